//! What goes into a sweep of frames, and what comes out of it.

use std::time::{Duration, Instant};

use model::{Contact, Transport};
use sweep::cookie::CookieKey;
use sweep::pace::Pace;
use sweep::schedule::{OpenRange, Patience};
use targets::Order;

use crate::{Choice, FramesError};

/// Everything a sweep has to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which engine.
    pub choice: Choice,
    /// Only over this interface; `None` = as the routes say.
    pub interface: Option<String>,
    /// Threads that send, at least 1.
    pub threads: u32,
    /// Ask over TCP.
    pub tcp: bool,
    /// Ask over UDP.
    pub udp: bool,
    /// Which pairs of the permit, in which order, from which counter on.
    pub order: Order,
    /// Pairs before that counter that an earlier run left open, ascending.
    pub again: Vec<OpenRange>,
    /// Packets a second, at most.
    pub rate_pps: u64,
    /// Whether the rate begins low and follows the loss; `rate_pps` is the most then.
    pub adaptive: bool,
    /// Sends after the first, to what stayed silent.
    pub retries: u32,
    /// How long one probe is waited for.
    pub patience: Patience,
    /// End of the whole sweep, from its start.
    pub deadline: Option<Duration>,
    /// Whether every endpoint is told of by itself ([`Sink::seen`]), not only the named ones.
    pub individually: bool,
    /// Makes probes unpredictable; from the system's random source.
    pub key: CookieKey,
}

/// A rate that a sweep shares with whoever talks to those that answer.
#[derive(Clone, Debug)]
pub struct SharedPace {
    /// The rate, for all packets together.
    pub pace: Pace,
    /// When its time began.
    pub since: Instant,
}

impl SharedPace {
    /// A rate in packets a second, at least 1, that begins now.
    pub fn new(rate_pps: u64) -> SharedPace {
        SharedPace {
            pace: Pace::new(rate_pps, Duration::ZERO),
            since: Instant::now(),
        }
    }
}

/// What became of endpoints that nobody talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Over which transport.
    pub transport: Transport,
    /// How far the probes came.
    pub contact: Contact,
    /// Probes sent to each, the first included.
    pub attempts: u32,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameProgress {
    /// Pairs begun, done ones included.
    pub begun: u64,
    /// Pairs in the order.
    pub pairs: u64,
    /// Frames sent so far.
    pub frames_sent: u64,
    /// Frames received that concern us.
    pub frames_received: u64,
}

/// Where answers go. Called from the sweep's own thread.
pub trait Sink: Send {
    /// Something answered at this pair, or frames cannot reach it: ask it by ordinary sockets, over
    /// these transports. `late`: it has been told of as silent.
    fn ask(&mut self, index: u64, tcp: bool, udp: bool, late: bool);
    /// What became of an endpoint that is told of by itself.
    fn seen(&mut self, index: u64, fate: Fate, rtt: Option<Duration>);
    /// What became of endpoints that are only counted.
    fn counted(&mut self, fate: Fate, endpoints: u64);
    /// Called a few times a second. `open` (pairs begun and not ended here) is asked for only every
    /// few seconds.
    fn progress(&mut self, progress: &FrameProgress);
    /// From here an interrupted run could be continued: every pair before `counter` has been told
    /// of, but for the open ones.
    fn checkpoint(&mut self, counter: u64, open: &[OpenRange]);
    /// Pairs handed on that nobody has begun yet, and endpoints told of by themselves that nobody has
    /// taken; the sweep waits while there are too many.
    fn backlog(&self) -> usize;
    /// Whether the sweep is to end now.
    fn is_stopped(&self) -> bool;
}

/// What a sweep did, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameTally {
    /// Probes sent.
    pub frames_sent: u64,
    /// Answers received, ICMP errors included.
    pub frames_received: u64,
    /// Frames to our ports that failed the cookie.
    pub rejected: u64,
    /// Probes that the interface dropped because its queue was full; not counted as sent.
    pub dropped_here: u64,
    /// Frames that the kernel dropped before we could read them.
    pub lost_here: u64,
    /// Endpoints by the number of sends after which they were first heard.
    pub heard_after_sends: Vec<u64>,
    /// Whether every pair was judged or handed on.
    pub complete: bool,
    /// Every pair before this counter has been begun.
    pub counter: u64,
    /// Pairs before it that are still open.
    pub open: Vec<OpenRange>,
    /// Why it broke off, if our own system failed (interface down …).
    pub error: Option<FramesError>,
}
