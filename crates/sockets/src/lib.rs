//! Ordinary sockets: the sweep that needs no privileges, and the driver of interviews.
//!
//! One thread, one epoll. A *sweep* asks every (address, port) pair of its order over both
//! transports: a connection attempt for TCP, a framed `version` datagram for UDP. What answers is
//! handed at once to an *interview* (crate `interview`) that this room drives over further sockets,
//! while the sweep goes on. Results leave through a [`Sink`] as they come.
//!
//! Why one thread: the work is system calls, which cost the same from every thread, and without a
//! second one there is no lock, no race and no order that a test could not repeat. Loopback shows
//! some 100,000 probes a second that way, far more than `--rate` usually allows.
//!
//! Bounds, whatever the targets do: probes in flight ([`limits`]), descriptors (the soft limit is
//! raised, then counted against), interviews at once (in all and for each /24), bytes read of each
//! reply (in `interview`), waits (every one has an end).
//!
//! Where something faster sweeps (raw frames), it leaves [`Leads`]: then only the pairs that it
//! names are asked here, by the same probes and interviews ([`SocketNetwork::interview`]).
//!
//! [`Network`] is the trait above all ways to sweep: a plan and a permit go in, answers come out to
//! the sink, a tally at the end. The simulator implements it too.

mod address;
mod all_nodes;
mod certificate;
mod cookie;
mod icmp;
mod leads;
pub mod limits;
mod link;
mod names;
mod neighbour_table;
mod neighbourhood;
pub mod pace;
mod plan;
mod probes;
mod reactor;
pub mod round_trip;
mod session;
mod surroundings;
mod sweep_datagrams;
mod sweep_streams;
mod talks;
mod timers;
mod turns;

pub use all_nodes::{LINK_HOSTS_MAX, LinkHosts, hosts_of_link};
pub use leads::{Lead, LeadTeller, Leads, LeadsEnd, LeadsProgress, leads};
pub use link::{
    DATAGRAM_SENDS_MAX, DatagramLink, Link, LinkError, ReplySpeed, Security, TlsOptions,
};
pub use names::ReverseNames;
pub use neighbourhood::Neighbourhood;
pub use plan::{
    AcceptsEverything, Network, Observation, Plan, Progress, Sink, SocketError, Tally,
    TimeoutPolicy,
};
pub use reactor::SocketNetwork;
pub use surroundings::{
    Capabilities, Confinement, capabilities, confinement, has_interface, kernel_release,
    local_networks, resolve, vantage,
};
