//! Which endpoints a run may ask, and in which order: the room between what was typed and what is
//! sent.
//!
//! # The way of a target
//!
//! ```text
//! "192.168.2.0/24:11212"  --parse_target-->  Target
//! Targets and exclusions  --SelectionBuilder-->  Selection   (a set of address and port pairs)
//! Selection               --Scope::permit-->  Permit         (or the address that is out of scope)
//! Permit, pair index      --Permit::pair-->  Permitted       (the only thing sockets send to)
//! ```
//!
//! Of a link of IPv6, which holds more addresses than anybody can ask, only those are selected that
//! are there. To find them out, the link is asked, which takes a [`LinkPermit`] of its own.
//!
//! A [`Selection`] is never expanded. It is a sorted list of blocks, each a range of addresses with
//! the ports asked there, and its pairs are numbered from 0: a /8 costs one block, and finding the
//! pair of a number, or the number of a pair, is one binary search. An [`Order`] walks those
//! numbers in a scattered sequence that is computed, not stored, so that neighbours are not asked
//! in a row, shards need no coordination, and a run that broke off goes on from one integer.
//!
//! # The wall
//!
//! Nothing is sent without a [`Permitted`]. Only a [`Permit`] makes one, only [`Scope::permit`]
//! makes a [`Permit`], and it checks every address of the selection first: a range is compared with
//! the scope as a range, so a /8 is checked as quickly as a host. Fields and constructors are
//! private to the module that does the check: whoever wants to send somewhere else has to change
//! that module, or to write a scope entry with an owner's name in it, and can do neither by
//! accident.
//!
//! An address has one spelling here. An IPv4-mapped IPv6 address becomes its IPv4 address on every
//! way in (parsing, building, looking up), and an IPv6 range that would hold mapped addresses among
//! others is refused, so no scope entry or exclusion can be walked around by spelling.
//!
//! # What this room does not know
//!
//! It resolves no name, reads no file, asks no clock and draws no random number: `today` and `seed`
//! are arguments, host names and the word `local` are handed back for the caller to resolve.

mod order;
mod parse;
mod range;
mod scope;
mod selection;

#[cfg(test)]
mod laws;

pub use order::{Order, Permutation, PermutationParts, ROUNDS, Shard};
pub use parse::{
    Hosts, PORTS_MAX, RANGES_PER_TARGET_MAX, TARGETS_PER_FILE_MAX, Target, TargetError,
    parse_ports, parse_shard, parse_target, parse_target_lines,
};
pub use range::{AddressRange, RangeError, predecessor, steps_between, successor};
pub use scope::{
    Day, LinkPermit, Network, OutOfScope, OutOfScopeReason, Permit, Permitted, Scope, ScopeEntry,
    ScopeError,
};
pub use selection::{
    IPV4_ADDRESSES_MAX, IPV6_ADDRESSES_MAX, NAMED_MAX, Pair, PairBlock, RANGES_MAX, Selection,
    SelectionBuilder, SelectionError,
};
