//! Memcached as bytes: what may be asked, and what any peer may answer.
//!
//! # What is here
//!
//! Nothing in this room knows an address, a socket, a clock or a random source. Requests become
//! bytes, bytes become events; whoever owns a connection moves the bytes.
//!
//! * [`Request`], [`ConnectionsRequest`], [`BinaryRequest`] and [`DatagramRequest`]: everything
//!   that this program is able to say to a server.
//! * [`AsciiDecoder`] and [`BinaryDecoder`]: incremental readers of the two stream protocols.
//! * [`Frame`] and [`Reassembly`]: the 8-byte frame of the UDP protocol, and the putting together
//!   of one reply from its datagrams.
//!
//! The formats are those of `doc/protocol.txt` and `doc/protocol-binary.txt` in memcached's
//! sources; where real servers differ from them, the tests replay what real servers sent.
//!
//! # Why there are two levels
//!
//! The two directions are not alike, so they do not share types.
//!
//! What *we* send is a closed set of legal values. A request has no free text in it: a key can
//! only be made from random bits, the total of a UDP frame is written by this room alone, and a
//! group of statistics is one of four. Whatever can be built can be sent to any server without
//! harm, so nobody downstream has to check it again.
//!
//! What *they* send is any bytes at all. Reading them is a total function: no decoder returns an
//! error, panics, or reserves memory because a peer stated a length. Bytes become events, and what
//! no correct server does is counted beside them as an anomaly. Whether an event is good or bad
//! news is judged elsewhere.
//!
//! # What is deliberately absent
//!
//! A scanner that can harm a server will harm one some day, by a bug or by a flag. So these
//! commands are not disabled here; they cannot be written down:
//!
//! * `set`, `add`, `delete`, `incr`, `touch`, `flush_all`, `shutdown`, `verbosity`,
//!   `cache_memlimit`, `stats reset`, `stats detail on`, `lru`, `slabs`, `watch`: they change the
//!   server. `flush_all` with nonsense behind it does flush on many versions, so not even an error
//!   can be asked for.
//! * `get` of a real key: it reads other people's data. [`RandomKey`] cannot spell one.
//! * `lru_crawler metadump` and `mgdump`: they list keys. Besides, metadump crashes 1.6.19 to
//!   1.6.25 over UDP, or when the reply is not read to its end, and overflows a buffer before
//!   1.6.44 when the client stops reading.
//! * `stats cachedump` and `stats sizes`: the one lists keys under a lock, the other walks the whole
//!   cache under a lock on versions up to 1.4.26.
//! * `stats extstore`: crashes a default build of 1.6.0 to 1.6.9. `stats proxy`: crashes some
//!   proxies of 1.6.13 and 1.6.14.
//! * Meta commands other than `mn`: with bad flags they crash 1.6.0 to 1.6.2 (CVE-2020-22570).
//! * SASL AUTH and ASCII authentication: the latter *is* a `set` wherever it was not demanded.
//! * UDP frames whose total is not 1: they kill 1.6.0 to 1.6.7 (CVE-2022-48571).
//! * `quit` and binary requests over UDP: the one silences 1.2.8, the others put its parser out of
//!   step. Several commands in one datagram: all they add is amplification.
//!
//! `stats conns` stands apart as [`ConnectionsRequest`], because it is harmless over TCP only.

mod ascii;
pub mod binary;
mod frame;
mod reassembly;
mod request;
#[cfg(test)]
mod tests;

pub use ascii::{AsciiAnomalies, AsciiDecoder, AsciiEvent, LINE_BYTES_MAX, REPLY_ROWS_MAX};
pub use binary::{BODY_BYTES_MAX, BinaryDecoder, BinaryEvent, BinaryReply, opcode, status};
pub use frame::{FRAME_BYTES, Frame};
pub use reassembly::{Accepted, REPLY_BYTES_MAX, REPLY_DATAGRAMS_MAX, Reassembly};
pub use request::{
    BinaryRequest, ConnectionsRequest, DatagramRequest, RandomKey, Request, StatsGroup,
};
