//! Leads: where pairs come from when something faster than ordinary sockets sweeps.
//!
//! The sweep of raw frames knows who answers and nothing more. It leaves a lead for each pair that
//! is worth a conversation, and the reactor begins that pair as if its own order had brought it: a
//! connection, a datagram, the same interviews. So the verdicts are those of a slow scan, whatever
//! was fast about finding the pair.
//!
//! Everything that a sweep has to tell comes through one queue, in the order in which it happened.
//! That is what makes a checkpoint exact: when it is taken out, whatever was told before it has been
//! taken out too.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{Contact, MacAddress, Pending, Transport};
use nix::sys::eventfd::{EfdFlags, EventFd};
use sweep::pace::Pace;

use crate::pace::Pacer;
use crate::plan::SocketError;

/// One thing that a sweep has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Ask this pair of the permit over these transports.
    Ask {
        /// Its number in the permit.
        index: u64,
        /// Over TCP, or the unix socket.
        tcp: bool,
        /// Over UDP.
        udp: bool,
        /// It has been told of as silent.
        late: bool,
    },
    /// What became of an endpoint that gets a record without a conversation.
    Seen {
        /// The number of its pair in the permit.
        index: u64,
        /// Over which transport.
        transport: Transport,
        /// How far the probes came.
        contact: Contact,
        /// Probes sent, the first included.
        attempts: u32,
        /// Time from a probe to its answer.
        rtt: Option<Duration>,
    },
    /// What became of endpoints that are only counted.
    Counted {
        /// Over which transport.
        transport: Transport,
        /// How far the probes came.
        contact: Contact,
        /// How many.
        endpoints: u64,
    },
    /// Every pair before this counter has been told of before this lead, but for the open ones.
    Checkpoint {
        /// Pairs of the order.
        counter: u64,
        /// What is open of them, ascending.
        open: Vec<Pending>,
    },
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeadsProgress {
    /// Pairs begun, of those in the order.
    pub begun: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received that concern us.
    pub packets_received: u64,
}

/// Where a sweep stands when it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadsEnd {
    /// Whether every pair has been told of.
    pub complete: bool,
    /// Every pair before this counter has been told of, but for the open ones.
    pub counter: u64,
    /// What is open of them, ascending.
    pub open: Vec<Pending>,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received that concern us.
    pub packets_received: u64,
    /// Packets that were no answers to ours: counted, never believed.
    pub rejected_replies: u64,
}

/// The sweep's end of the queue. Dropping it ends the leads, also if the sweep panics.
#[derive(Debug)]
pub struct LeadTeller {
    shared: Arc<Shared>,
}

/// The reactor's end of the queue.
#[derive(Debug)]
pub struct Leads {
    shared: Arc<Shared>,
    hardware: BTreeMap<IpAddr, MacAddress>,
    pace: Pace,
    paced_since: Instant,
    /// Taken out of the shared queue in one go, so that its lock is seldom needed.
    taken: VecDeque<Lead>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
    /// Readable when there is something new to take, or the sweep has ended.
    wake: EventFd,
    /// Leads of single pairs and endpoints that nobody has taken.
    backlog: AtomicUsize,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Lead>,
    progress: LeadsProgress,
    end: Option<LeadsEnd>,
}

/// A queue for the leads of one sweep. `hardware` are the network cards that it has met, and `pace` is
/// the rate that it shares, whose time began at `paced_since`.
///
/// # Errors
///
/// If the system has no descriptor left.
pub fn leads(
    hardware: BTreeMap<IpAddr, MacAddress>,
    pace: Pace,
    paced_since: Instant,
) -> Result<(LeadTeller, Leads), SocketError> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let wake = EventFd::from_value_and_flags(0, flags).map_err(SocketError::system("eventfd"))?;
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        ended: Condvar::new(),
        wake,
        backlog: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    });
    let teller = LeadTeller {
        shared: Arc::clone(&shared),
    };
    let leads = Leads {
        shared,
        hardware,
        pace,
        paced_since,
        taken: VecDeque::new(),
    };
    Ok((teller, leads))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves a half-made state behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Fails only if it would count beyond 2^64: then it is readable anyway.
        let _ = self.wake.write(1);
    }
}

impl Lead {
    /// Whether there may be as many like it as there are endpoints.
    fn is_of_one(&self) -> bool {
        matches!(self, Lead::Ask { .. } | Lead::Seen { .. })
    }
}

impl LeadTeller {
    /// Tells one thing.
    pub fn tell(&self, lead: Lead) {
        if lead.is_of_one() {
            self.shared.backlog.fetch_add(1, Ordering::Relaxed);
        }
        let was_empty = {
            let mut state = self.shared.state();
            state.queue.push_back(lead);
            state.queue.len() == 1
        };
        if was_empty {
            self.shared.wake();
        }
    }

    /// Tells how far the sweep is; only the last word counts.
    pub fn progress(&self, progress: LeadsProgress) {
        self.shared.state().progress = progress;
    }

    /// Pairs to be asked that nobody has begun, and endpoints with a record that nobody has taken:
    /// there is one for each of them, so whoever tells has to wait while there are too many.
    pub fn backlog(&self) -> usize {
        self.shared.backlog.load(Ordering::Relaxed)
    }

    /// Whether the sweep is to end now.
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }

    /// The sweep is over.
    pub fn end(self, end: LeadsEnd) {
        self.shared.state().end = Some(end);
    }
}

impl Drop for LeadTeller {
    fn drop(&mut self) {
        self.shared.state().end.get_or_insert_default();
        self.shared.ended.notify_all();
        self.shared.wake();
    }
}

impl Leads {
    /// Ends the sweep if it is still under way, waits until it is over, and says how it ended.
    /// What it told until then can still be taken.
    pub fn end(&mut self) -> LeadsEnd {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let mut state = self.shared.state();
        loop {
            if let Some(end) = &state.end {
                return end.clone();
            }
            state = self
                .shared
                .ended
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    /// Makes the descriptor unreadable until there is something new again.
    pub(crate) fn clear_wake(&self) {
        let _ = self.shared.wake.read();
    }

    /// The oldest lead that was not taken yet.
    pub(crate) fn take(&mut self) -> Option<Lead> {
        if self.taken.is_empty() {
            std::mem::swap(&mut self.taken, &mut self.shared.state().queue);
        }
        let lead = self.taken.pop_front()?;
        if lead.is_of_one() {
            self.shared.backlog.fetch_sub(1, Ordering::Relaxed);
        }
        Some(lead)
    }

    /// Whether no more leads will come but those that wait to be taken.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.state().end.is_some()
    }

    /// The rate that the sweep shares with whoever began at `epoch`.
    pub(crate) fn pacer(&self, epoch: Instant) -> Pacer {
        let ahead = epoch.saturating_duration_since(self.paced_since);
        Pacer::beside(self.pace.clone(), ahead)
    }

    pub(crate) fn hardware(&self, ip: IpAddr) -> Option<MacAddress> {
        self.hardware.get(&ip).copied()
    }

    pub(crate) fn progress(&self) -> LeadsProgress {
        self.shared.state().progress
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use interview::Depth;
    use model::Address;
    use targets::{Day, Order, Permit, Scope, SelectionBuilder, Shard};

    use super::*;
    use crate::plan::{Observation, Plan, Progress, Sink, Tally, TimeoutPolicy};
    use crate::reactor::SocketNetwork;

    const TARGETS: u8 = 20;
    const CARD: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);

    /// What a run told, in order.
    #[derive(Default)]
    struct Told {
        observed: Vec<Observation>,
        counted: Vec<(Transport, Contact, u64)>,
        checkpoints: Vec<(u64, Vec<Pending>)>,
        stop: bool,
    }

    impl Sink for Told {
        fn observed(&mut self, observation: Observation) {
            self.observed.push(observation);
        }

        fn counted(&mut self, transport: Transport, contact: &Contact, endpoints: u64) {
            self.counted.push((transport, contact.clone(), endpoints));
        }

        fn progress(&mut self, _: &Progress) {}

        fn checkpoint(&mut self, counter: u64, pending: &[Pending]) {
            self.checkpoints.push((counter, pending.to_vec()));
        }

        fn is_stopped(&self) -> bool {
            self.stop
        }
    }

    /// Addresses of loopback at a port that nobody listens on there; the listener keeps others away.
    struct Ground {
        permit: Permit,
        plan: Plan,
        _listener: TcpListener,
    }

    fn ground() -> Ground {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut builder = SelectionBuilder::new(vec![port]);
        for host in 1..=TARGETS {
            builder.add_address(Address::from_ip([127, 70, 0, host].into()), None, None);
        }
        let scope = Scope::new(Vec::new(), Day::new(2026, 1, 1).unwrap());
        let permit = scope.permit(builder.build().unwrap()).unwrap();
        let plan = Plan {
            tcp: true,
            udp: true,
            again: Vec::new(),
            order: Order::new(permit.pairs(), 7, Shard::ALL, 0),
            rate_pps: 100_000,
            retries: 0,
            timeout: TimeoutPolicy::Adaptive,
            deadline: None,
            depth: Depth::Scan,
            key_names_max: None,
            secret: 7,
        };
        Ground {
            permit,
            plan,
            _listener: listener,
        }
    }

    /// Interviews what the sweep tells, which runs on a thread of its own.
    fn interview(ground: &Ground, told: &mut Told, sweep: impl FnOnce(LeadTeller) + Send) -> Tally {
        let ip = [127, 70, 0, 1].into();
        let pace = Pace::new(ground.plan.rate_pps, Duration::ZERO);
        let (teller, mut leads) = leads([(ip, CARD)].into(), pace, Instant::now()).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || sweep(teller));
            SocketNetwork
                .interview(&ground.plan, &ground.permit, &mut leads, told)
                .unwrap()
        })
    }

    fn ask(index: u64, late: bool) -> Lead {
        Lead::Ask {
            index,
            tcp: true,
            udp: true,
            late,
        }
    }

    fn pending(counter: u64, count: u64) -> Pending {
        Pending {
            counter,
            count,
            stream: true,
            datagram: true,
        }
    }

    #[test]
    fn what_a_sweep_names_is_asked_and_the_rest_is_passed_on() {
        let ground = ground();
        let mut told = Told::default();
        let tally = interview(&ground, &mut told, |teller| {
            teller.tell(ask(0, false));
            teller.tell(Lead::Seen {
                index: 1,
                transport: Transport::Udp,
                contact: Contact::Silent,
                attempts: 4,
                rtt: None,
            });
            teller.tell(Lead::Counted {
                transport: Transport::Tcp,
                contact: Contact::Silent,
                endpoints: 17,
            });
            teller.tell(ask(2, true));
            teller.end(LeadsEnd {
                complete: true,
                counter: u64::from(TARGETS),
                open: Vec::new(),
                packets_sent: 40,
                packets_received: 3,
                rejected_replies: 1,
            });
        });
        assert!(tally.complete && tally.pending.is_empty());
        assert_eq!(tally.counter, u64::from(TARGETS));
        // Four probes of ours: both transports of two pairs.
        assert_eq!((tally.packets_sent, tally.rejected_replies), (44, 1));
        assert_eq!(told.counted, [(Transport::Tcp, Contact::Silent, 17)]);
        let mut seen: Vec<_> = told
            .observed
            .iter()
            .map(|one| {
                let index = ground
                    .permit
                    .selection()
                    .index_of(one.target.address(), one.target.port())
                    .unwrap();
                let refused = matches!(one.evidence.contact, Contact::Refused(_));
                (index, one.transport, refused, one.late, one.hardware)
            })
            .collect();
        seen.sort_by_key(|one| (one.0, one.1));
        let expected = [
            (0, Transport::Tcp, true, false, Some(CARD)),
            (0, Transport::Udp, true, false, Some(CARD)),
            (1, Transport::Udp, false, false, None),
            (2, Transport::Tcp, true, true, None),
            (2, Transport::Udp, true, true, None),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_checkpoint_holds_what_is_open_on_both_sides() {
        let mut ground = ground();
        // Nothing may be sent, so what was asked stays open.
        ground.plan.rate_pps = 1;
        ground.plan.deadline = Some(Duration::from_millis(300));
        let mut told = Told::default();
        let (index, late) = (
            ground.plan.order.index_at(3).unwrap(),
            ground.plan.order.index_at(5).unwrap(),
        );
        let tally = interview(&ground, &mut told, |teller| {
            teller.tell(ask(index, false));
            teller.tell(ask(late, true));
            teller.tell(Lead::Checkpoint {
                counter: 12,
                open: vec![pending(0, 2), pending(6, 4)],
            });
            while !teller.is_stopped() {
                thread::yield_now();
            }
            teller.end(LeadsEnd {
                counter: 14,
                open: vec![pending(8, 5)],
                ..LeadsEnd::default()
            });
        });
        let (counter, open) = &told.checkpoints[0];
        assert_eq!(*counter, 12);
        assert_eq!(*open, [pending(0, 2), pending(3, 1), pending(6, 4)]);
        assert!(!tally.complete);
        assert_eq!(tally.counter, 14);
        let left: Vec<u64> = tally.pending.iter().map(|one| one.counter).collect();
        // The one packet that the rate allows may have ended one transport of the pair.
        assert_eq!(left, [3, 8], "what was late is judged already");
    }

    #[test]
    fn pairs_that_nobody_began_stay_open_when_it_is_stopped() {
        let ground = ground();
        let mut told = Told {
            stop: true,
            ..Told::default()
        };
        let tally = interview(&ground, &mut told, |teller| {
            while !teller.is_stopped() {
                thread::yield_now();
            }
            for index in 0..3 {
                teller.tell(ask(index, index == 2));
            }
            assert_eq!(teller.backlog(), 3);
        });
        assert!(!tally.complete, "a sweep that broke off is not complete");
        assert_eq!(tally.pending.len(), 2, "{:?}", tally.pending);
        assert!(told.observed.is_empty());
    }
}
