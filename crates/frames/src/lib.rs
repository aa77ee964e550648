//! Raw frames: the sweep that root can do, at whatever rate the network bears.
//!
//! [`Sweeper::open`] surveys how the targets of a permit are reached (routes, neighbours), takes the
//! best engine that proves that it delivers, and [`Sweeper::run`] sweeps: probes leave by the
//! engine's transmitters, what comes back is checked against the cookie (crate `sweep`) and goes to
//! the [`Sink`]. This room holds no dialogue: whoever answers is handed on.
//!
//! Unsafe code of the project lives here and nowhere else: rings shared with the kernel, BPF.

mod bpf;
mod drive;
mod engine;
mod error;
#[cfg(test)]
mod lab;
mod live;
mod packet;
mod plan;
mod ports;
mod probes;
mod socket_filter;
mod survey;
mod sweeper;
mod tap;
mod trial;
mod vendor;
mod xdp;

pub use engine::{Choice, EngineKind};
pub use error::FramesError;
pub use plan::{Fate, FrameProgress, FrameTally, Plan, SharedPace, Sink};
pub use survey::{OnLink, known_hosts, on_link};
pub use sweeper::{LIVE_RATE_PPS_MIN, Sweeper};
pub use tap::Tap;
pub use trial::try_engine;
pub use vendor::vendor;
