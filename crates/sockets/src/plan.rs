//! What goes into a sweep and what comes out of it, whatever moves the packets.

use std::num::NonZeroU32;
use std::time::Duration;

use interview::Depth;
use model::{Contact, Evidence, Impression, MacAddress, Pending, Text, Transport};
use targets::{AddressRange, Order, Permit, Permitted};

/// How long one probe is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutPolicy {
    /// From measured round-trip times, as RFC 6298 computes them, for each /24 (IPv6: /64).
    Adaptive,
    /// Always the same.
    Fixed(Duration),
}

/// Everything a sweep has to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Ask over TCP (and unix sockets).
    pub tcp: bool,
    /// Ask over UDP.
    pub udp: bool,
    /// Which pairs of the permit, in which order, from which counter on.
    pub order: Order,
    /// Pairs of an earlier run that it did not end: they are asked first.
    pub again: Vec<Pending>,
    /// Packets a second, at most.
    pub rate_pps: u64,
    /// Sends after the first, to what stayed silent.
    pub retries: u32,
    /// How long one probe is waited for.
    pub timeout: TimeoutPolicy,
    /// End of the whole sweep, from its start; `None` = when everything is judged.
    pub deadline: Option<Duration>,
    /// How deep the interviews go.
    pub depth: Depth,
    /// The most names of keys that an open server is asked for, by the user's wish; `None` = none are.
    pub key_names_max: Option<NonZeroU32>,
    /// Makes cookies, keys and ids unpredictable; from the system's random source.
    pub secret: u64,
}

/// One endpoint, seen.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Which (address, port).
    pub target: Permitted,
    /// Over which transport.
    pub transport: Transport,
    /// What was seen.
    pub evidence: Evidence,
    /// Whether this replaces an observation of silence that was already handed over: the answer
    /// came late.
    pub late: bool,
    /// The network card that answers for the address on our own link, if that is where it is.
    pub hardware: Option<MacAddress>,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Time since the start.
    pub elapsed: Duration,
    /// Pairs begun, of those in the order.
    pub begun: u64,
    /// Pairs in the order.
    pub pairs: u64,
    /// Packets sent so far.
    pub packets_sent: u64,
    /// Packets received so far.
    pub packets_received: u64,
    /// Interviews under way or waiting.
    pub interviews: u64,
}

/// Where results go.
pub trait Sink {
    /// An endpoint has been seen to its end.
    fn observed(&mut self, observation: Observation);
    /// So many endpoints have been seen to their end that are told of by nothing but their number.
    fn counted(&mut self, transport: Transport, contact: &Contact, endpoints: u64);
    /// Called a few times a second.
    fn progress(&mut self, progress: &Progress);
    /// Called every few seconds: from here an interrupted run can be continued. Every pair before
    /// `counter` is done, but for the pending ones.
    fn checkpoint(&mut self, counter: u64, pending: &[Pending]);
    /// Whether the user wants it to end now.
    fn is_stopped(&self) -> bool;
}

/// A network in which something accepts every TCP connection, and always behaves alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptsEverything {
    /// The network (a /24 or /64).
    pub network: AddressRange,
    /// Connections accepted there.
    pub accepted: u64,
    /// How many of them were asked only for their version.
    pub sampled: u64,
    /// What all of them looked like.
    pub impression: Impression,
}

/// What a sweep did, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connection attempts, datagrams and requests sent.
    pub packets_sent: u64,
    /// Answers received, ICMP errors included.
    pub packets_received: u64,
    /// Datagrams that failed the request-id check: counted, never believed.
    pub rejected_replies: u64,
    /// Whether every pair was judged.
    pub complete: bool,
    /// Every pair before this counter is done, but for the pending ones.
    pub counter: u64,
    /// Pairs before the counter that were begun and not ended.
    pub pending: Vec<Pending>,
    /// How long it took.
    pub duration: Duration,
    /// Networks in which everything accepts.
    pub accepts_everything: Vec<AcceptsEverything>,
    /// What else a reader must know about the run.
    pub notes: Vec<Text>,
}

/// Our own system refused something without which nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A system call failed.
    #[error("{what}: {error}")]
    System {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        error: std::io::Error,
    },
    /// A link cannot be asked for its hosts.
    #[error(
        "asking {interface} for its hosts: {error}; `ip -6 address show {interface}` tells whether it \
         is up and has IPv6"
    )]
    Link {
        /// The interface's name.
        interface: String,
        /// Why not.
        error: std::io::Error,
    },
    /// A link may not be asked for its hosts.
    #[error(
        "asking {interface} for its hosts takes an ICMPv6 echo: not permitted; run as root, or once \
         `sudo setcap cap_net_raw+ep {program}`"
    )]
    LinkNotPermitted {
        /// The interface's name.
        interface: String,
        /// The path of this program.
        program: String,
    },
    /// A name could not be resolved.
    #[error("{name}: {reason}")]
    Resolve {
        /// The host name.
        name: String,
        /// Why not.
        reason: String,
    },
}

impl SocketError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(nix::errno::Errno) -> SocketError {
        move |errno| SocketError::System {
            what,
            error: errno.into(),
        }
    }
}

/// A way to sweep: a plan and a permit go in, answers come out to the sink, a tally at the end.
pub trait Network {
    /// Whether an answer over TCP may come after its endpoint was told of as silent.
    fn streams_may_be_late(&self) -> bool {
        false
    }

    /// Asks every pair of the plan's order, all of them from the permit.
    ///
    /// # Errors
    ///
    /// Only if our own system refuses to work (no descriptor at all, no epoll); whatever the
    /// network does is an observation.
    fn sweep(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        sink: &mut dyn Sink,
    ) -> Result<Tally, SocketError>;
}
