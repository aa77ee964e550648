//! Deep-probe dialogues as machines: what comes in is told to them, what is to go out is polled.
//!
//! A dialogue with a stranger is a small program: ask, wait, decide what to ask next. Written over
//! sockets it could be tested only with sockets and real time. Here it has no socket and no clock:
//! the driver says `handle_*` (bytes came, a connection closed, time passed) and then drains
//! `poll_output` (send this, open another connection, wake me then) until nothing is left. The same
//! machines run over the kernel's sockets and over a simulated network on a virtual clock.
//!
//! Two machines:
//!
//! * [`StreamInterview`] for TCP, TLS and unix sockets. It first finds out, in at most three cheap
//!   steps, what it is speaking to (ASCII `version`, binary VERSION, TLS ClientHello), then asks an
//!   open server for everything an outsider can read, with the checks of genuineness woven in so
//!   that they cost no waiting.
//! * [`DatagramInterview`] for UDP, begun by an answer to the sweep's `version` datagram.
//!
//! Neither can fail: whatever the peer does becomes a [`model::Dialogue`], with its anomalies. Both
//! end by themselves, since every wait has an end and the whole has two (`triage_max` and
//! `interview_max`). Nothing here can send what changes a server, because `wire` cannot spell it.

mod counting;
mod datagram;
mod impression;
mod options;
mod sample;
mod stream;
#[cfg(test)]
mod tests;

pub use datagram::{DatagramInterview, DatagramOutput};
pub use impression::impression_of;
pub use options::{Depth, Options};
pub use stream::{Closing, ConnectionId, StreamInterview, StreamOutput};
