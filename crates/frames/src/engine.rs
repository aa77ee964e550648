//! What an engine is: transmitters that make frames of stints, and a receiver.

use std::fmt;
use std::time::Duration;

use sweep::cookie::{CookieKey, SourcePorts};
use sweep::reach::Reach;
use sweep::reply::LinkLayer;
use sweep::schedule::{Answered, Stint};
use targets::{Order, Permit};

use crate::FramesError;

/// Which engine the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The best that proves that it delivers.
    Auto,
    /// This one, or an error.
    Only(EngineKind),
}

/// The ways to move frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// XDP live frames, made in the kernel.
    Live,
    /// AF_XDP.
    Xdp,
    /// AF_PACKET.
    Packet,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            EngineKind::Live => "live",
            EngineKind::Xdp => "xdp",
            EngineKind::Packet => "packet",
        })
    }
}

/// What every engine of a run works with.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) order: Order,
    pub(crate) stream: bool,
    pub(crate) datagram: bool,
    pub(crate) reach: Reach,
    pub(crate) key: CookieKey,
    pub(crate) ports: SourcePorts,
}

/// Makes and sends the frames of stints. One for each sending thread.
pub(crate) trait Transmit: Send {
    /// Sends a probe to every endpoint of the stint (every counter of the order in
    /// `stint.from..stint.to`, over every transport of the run) whose bit in the engine's
    /// [`Answered`] is not set and which a hop reaches. Returns how many frames left. Congestion is
    /// waited out; only what makes further sending useless is an error.
    fn transmit(&mut self, permit: &Permit, stint: &Stint) -> Result<u64, FramesError>;

    /// Frames that the interface took and dropped since the last call, as far as it says so; they
    /// are not among those that left.
    fn take_dropped(&mut self) -> u64 {
        0
    }
}

/// Hears what comes back.
pub(crate) trait Receive: Send {
    /// Waits at most `wait` for frames and gives each to `take`, of which the first 256 bytes matter.
    fn receive(
        &mut self,
        wait: Duration,
        take: &mut dyn FnMut(&[u8], LinkLayer),
    ) -> Result<(), FramesError>;

    /// Frames that the kernel had to drop since the last call.
    fn take_lost(&mut self) -> u64;
}

/// An engine that is ready. Receivers hear before the first probe leaves.
pub(crate) struct Carrier {
    pub(crate) kind: EngineKind,
    /// As many as threads were asked for, at least one.
    pub(crate) transmitters: Vec<Box<dyn Transmit>>,
    /// One for each interface.
    pub(crate) receivers: Vec<Box<dyn Receive>>,
    /// The bits that the transmitters look at.
    pub(crate) answered: Answered,
    /// A transmitter is called with about as many pairs as leave in this time at the rate: calls of
    /// some engines cost much, whatever they send.
    pub(crate) quantum: Duration,
    /// Pairs of one call at most, for each transmitter.
    pub(crate) stint_pairs_max: u64,
}
