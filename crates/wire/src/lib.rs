//! Memcached as bytes: what may be asked, and what any peer may answer.
//!
//! # What is here
//!
//! Nothing in this room knows an address, a socket, a clock or a random source. Requests become
//! bytes, bytes become events; whoever owns a connection moves the bytes.
//!
//! For anybody, hence also for a scan of servers that nobody knows yet:
//!
//! * [`Request`], [`ConnectionsRequest`], [`BinaryRequest`] and [`DatagramRequest`]: everything
//!   that may be said to any server.
//! * [`AsciiDecoder`] and [`BinaryDecoder`]: incremental readers of the two stream protocols.
//! * [`Frame`] and [`Reassembly`]: the 8-byte frame of the UDP protocol, and the putting together
//!   of one reply from its datagrams.
//!
//! For the one server that a user asks to look into, or by the user's own word for a run:
//!
//! * [`Clearance`]: the leave to ask what harms some versions, minted from the [`Channel`], the
//!   [`ServerVersion`] and the user's [`Wish`]. [`MetadumpRequest`], [`CacheDumpRequest`],
//!   [`SizesRequest`] and [`ConnectionsRequest::over_unix`] consume one each.
//! * [`MetadumpDecoder`] and [`CacheDumpDecoder`]: readers of listings of keys, of any length.
//! * [`ReadValues`] with [`ValueDecoder`] and [`BinaryValueDecoder`]: reading values, and
//!   [`add_line`] and [`meta_set_line`] to write one down.
//! * [`AsciiAuthentication`] and [`SaslPlain`]: the user's credentials, for a server whose reply
//!   demanded them ([`AsciiDemand`], [`SaslDemand`]).
//!
//! The formats are those of `doc/protocol.txt` and `doc/protocol-binary.txt` in memcached's
//! sources; where real servers differ from them, the tests replay what real servers sent.
//!
//! # Why there are two levels
//!
//! The two directions are not alike, so they do not share types.
//!
//! What *we* send is a closed set of legal values. A request for anybody has no free text in it: a
//! key can only be made from random bits, the total of a UDP frame is written by this room alone,
//! and a group of statistics is one of four. Whatever can be built can be sent to any server without
//! harm, so nobody downstream has to check it again. A request that is not harmless everywhere can
//! only be built from the proof that it is here: a clearance, which says that the version and the
//! channel are not among those that it harms, or a demand, which only a server's reply can give.
//! Both are used up by the request. And where free text does come in, as keys to read or as
//! credentials, it is bounded, and cannot end its line.
//!
//! What *they* send is any bytes at all. Reading them is a total function: no decoder returns an
//! error, panics, or reserves memory because a peer stated a length. Bytes become events, and what
//! no correct server does is counted beside them as an anomaly. Whether an event is good or bad
//! news is judged elsewhere.
//!
//! # What needs a clearance
//!
//! * `lru_crawler metadump all`: crashes 1.6.19 to 1.6.25 over UDP, or when the reply is not read to
//!   its end, and may crash 1.4.31 to 1.4.33 when the client goes away. Never over UDP. (Before
//!   1.6.44 it also overflows a buffer when the client stops reading, so whoever sends it reads on.)
//! * `stats cachedump`: lists keys under a lock, so it is asked for a bounded number of them, and
//!   never over UDP. It is the only one that a scan can be given leave for, where its user wishes for a
//!   few names of keys ([`Wish::FewKeyNames`]).
//! * `stats sizes`: walks the whole cache under a lock on versions up to 1.4.26.
//! * `stats conns` over a unix socket: reads beyond the stack of 1.4.18 to 1.5.16 (CVE-2019-15026).
//!   Over TCP it is harmless, so there it needs none; but that is why [`ConnectionsRequest`] stands
//!   apart from [`Request`].
//!
//! # What is deliberately absent
//!
//! A scanner that can harm a server will harm one some day, by a bug or by a flag. So these
//! commands are not disabled here; they cannot be written down:
//!
//! * `set` but as the authentication that was demanded, `add` and `ms` but as text for a file,
//!   `delete`, `incr`, `touch`, `flush_all`, `shutdown`, `verbosity`, `cache_memlimit`, `stats reset`,
//!   `stats detail on`, `lru`, `slabs`, `watch`: they change the server. `flush_all` with nonsense
//!   behind it does flush on many versions, so not even an error can be asked for.
//! * `get` of a real key, but by [`ReadValues`], which a dump alone may use: it reads other people's
//!   data. [`RandomKey`] cannot spell one.
//! * `mgdump`: lists keys as metadump does, and says less.
//! * `stats extstore`: crashes a default build of 1.6.0 to 1.6.9. `stats proxy`: crashes some
//!   proxies of 1.6.13 and 1.6.14.
//! * Meta commands other than `mn` (and `ms`, as text for a file): with bad flags they crash 1.6.0
//!   to 1.6.2 (CVE-2020-22570).
//! * UDP frames whose total is not 1: they kill 1.6.0 to 1.6.7 (CVE-2022-48571).
//! * `quit` and binary requests over UDP: the one silences 1.2.8, the others put its parser out of
//!   step. Several commands in one datagram: all they add is amplification.

mod ascii;
mod auth;
pub mod binary;
mod binary_values;
mod clearance;
mod frame;
mod lines;
mod listing;
mod reassembly;
mod request;
#[cfg(test)]
mod tests;
mod values;
mod version;

pub use ascii::{AsciiAnomalies, AsciiDecoder, AsciiEvent, LINE_BYTES_MAX, REPLY_ROWS_MAX};
pub use auth::{
    AsciiAuthentication, AsciiDemand, CREDENTIAL_BYTES_MAX, Credentials, SaslDemand, SaslPlain,
};
pub use binary::{BODY_BYTES_MAX, BinaryDecoder, BinaryEvent, BinaryReply, opcode, status};
pub use binary_values::BinaryValueDecoder;
pub use clearance::{Channel, Clearance, Denied, Risky, Wish};
pub use frame::{FRAME_BYTES, Frame};
pub use listing::{
    CACHEDUMP_CLASS_MAX, CACHEDUMP_KEYS_MAX, CacheDumpDecoder, CacheDumpEvent, CacheDumpRequest,
    ListedKey, ListingAnomalies, MetadumpDecoder, MetadumpEvent, MetadumpRequest, SizesRequest,
};
pub use reassembly::{Accepted, REPLY_BYTES_MAX, REPLY_DATAGRAMS_MAX, Reassembly};
pub use request::{
    BinaryRequest, ConnectionsRequest, DatagramRequest, RandomKey, Request, StatsGroup,
    VERSION_DATAGRAM_BYTES,
};
pub use values::{
    KEY_BYTES_MAX, KEYS_PER_GET_MAX, META_KEY_BYTES_MAX, ReadValues, VALUE_BYTES_MAX, ValueDecoder,
    ValueEvent, add_line, is_ascii_key, meta_set_line, takes_meta_set,
};
pub use version::ServerVersion;
