//! The loop of a sweep: what the schedule wants and the rate allows, the transmitters send; what
//! comes back is checked, deduplicated and told.
//!
//! # Threads
//!
//! ```text
//! transmitter (one a sending thread)  <- stints --  conductor  -- asks, fates --> Sink
//!                                     -- sent  -->      ^
//! receiver (one an interface)  -- checked answers ------+
//! ```
//!
//! The conductor alone holds the schedule, so nothing of it is locked. Transmitters share with it
//! only the bits of who has answered; receivers share nothing and send what they checked in
//! batches. A stint is handed out when all transmitters are idle, cut into as many parts as there
//! are: at a low rate one has work and the others sleep, at a high one every part is a long call.
//!
//! # What is told when
//!
//! Who accepts or answers is handed on at once, as a whole pair: the interview asks both transports
//! and judges them together, so a fast sweep gives the verdicts of a slow one. An RST or ICMP error
//! is told at once only where every endpoint gets a record of its own; otherwise it is counted when
//! its window is over, because the other transport may still answer and take the pair along.

mod resets;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use model::{Contact, Transport};
use sweep::cookie::Cookie;
use sweep::governor::Governor;
use sweep::pace::Pace;
use sweep::reach::{Reach, Stretch, Way};
use sweep::reply::{Checked, Heard, Verifier};
use sweep::schedule::{
    Answered, Finished, Freshness, Next, OpenRange, Outcome, Schedule, ScheduleOptions, Stint,
};
use sweep::strays::{Proof, Strays};
use targets::{AddressRange, Order, PairBlock, Permit, steps_between};

use self::resets::Resets;
use crate::engine::{Carrier, Receive, Transmit};
use crate::{Fate, FrameProgress, FrameTally, FramesError, Plan, SharedPace, Sink};

/// Pairs of a window: about half a second of sending, within these bounds. Larger windows cost
/// memory, smaller ones calls.
const WINDOW_PAIRS_MIN: u64 = 4_096;
const WINDOW_PAIRS_MAX: u64 = 1 << 21;
/// The same where each endpoint is told of by itself: all of a window's wait for their records.
const WINDOW_PAIRS_TOLD_MAX: u64 = 1 << 15;
/// Pairs handed on, and endpoints told of, that nobody has taken, above which nothing new is sent.
const BACKLOG_MAX: usize = 1 << 18;
/// Both probes of a pair leave together. At lower rates no two packets may ever: then the second one
/// is made good for afterwards.
const PAIR_PPS_MIN: u64 = 40;
/// Longest wait of a receiver, so that the end is noticed.
const RECEIVE_WAIT: Duration = Duration::from_millis(20);
/// Longest sleep of the conductor, so that a stop by the user is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// How often an interrupted run could be continued from.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// Open ranges up to which a checkpoint is worth its size; above, the last one has to do.
const CHECKPOINT_RANGES_MAX: usize = 20_000;
/// How long nothing new is sent while there are so many.
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);
/// Pairs whose cookies are made once more between two looks at what came.
const LATE_PAIRS_PER_LOOK: u64 = 1 << 14;
/// Answers that a receiver hands over at once.
const ANSWERS_PER_BATCH: usize = 4_096;

/// An answer that passed the check.
struct Answer {
    index: u64,
    stream: bool,
    heard: Heard,
}

/// What became of a part of a stint.
struct Sent {
    frames: u64,
    dropped: u64,
}

/// What the conductor waits for.
enum Event {
    Answers(Vec<Answer>),
    Strays(Vec<Proof>),
    Sent(Result<Sent, FramesError>),
    Deaf(FramesError),
}

/// Frames that receivers have seen, for the tally.
#[derive(Default)]
struct Counts {
    received: AtomicU64,
    rejected: AtomicU64,
    lost: AtomicU64,
}

/// Ends the receivers when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sweeps, and returns when every pair is judged or handed on, or when it has to end.
pub(crate) fn drive(
    plan: &Plan,
    pace: SharedPace,
    permit: &Permit,
    reach: &Reach,
    verifier: Verifier<'_>,
    carrier: Carrier,
    sink: &mut dyn Sink,
) -> FrameTally {
    let ended = AtomicBool::new(false);
    let counts = Counts::default();
    let Carrier {
        transmitters,
        receivers,
        answered,
        quantum,
        stint_pairs_max,
        ..
    } = carrier;
    thread::scope(|scope| {
        let (events_out, events) = mpsc::channel();
        for receiver in receivers {
            let events_out = events_out.clone();
            let (ended, counts) = (&ended, &counts);
            scope.spawn(move || hear(receiver, verifier, ended, counts, &events_out));
        }
        let workers: Vec<Sender<Stint>> = transmitters
            .into_iter()
            .map(|transmitter| employ(scope, transmitter, permit, events_out.clone()))
            .collect();
        drop(events_out);
        let mut conductor = Conductor::new(plan, pace, permit, reach, answered, sink);
        conductor.quantum = quantum;
        conductor.stint_pairs_max = stint_pairs_max;
        // Set in any case: a panic of the sink must not leave the receivers listening for ever.
        let _ending = Ending(&ended);
        let complete = conductor.conduct(&workers, &events, &counts);
        drop(workers);
        conductor.finish(complete, &counts)
    })
}

/// Receives until the sweep has ended.
fn hear(
    mut receiver: Box<dyn Receive>,
    verifier: Verifier<'_>,
    ended: &AtomicBool,
    counts: &Counts,
    events: &Sender<Event>,
) {
    let mut batch = Vec::new();
    let mut strays = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let (mut received, mut rejected) = (0, 0);
        let heard = receiver.receive(RECEIVE_WAIT, &mut |frame, layer| match verifier
            .check(frame, layer)
        {
            Checked::Answer {
                index,
                stream,
                heard,
            } => {
                match heard {
                    Heard::Unproven(_) => rejected += 1,
                    Heard::Accepted | Heard::Datagram | Heard::Contact(_) => received += 1,
                }
                batch.push(Answer {
                    index,
                    stream,
                    heard,
                });
                if batch.len() >= ANSWERS_PER_BATCH {
                    let _ = events.send(Event::Answers(std::mem::take(&mut batch)));
                }
            }
            Checked::Stray(proof) => {
                rejected += 1;
                if strays.len() < ANSWERS_PER_BATCH {
                    strays.push(proof);
                }
            }
            Checked::Rejected => rejected += 1,
            Checked::Foreign => {}
        });
        counts.received.fetch_add(received, Ordering::Relaxed);
        counts.rejected.fetch_add(rejected, Ordering::Relaxed);
        counts
            .lost
            .fetch_add(receiver.take_lost(), Ordering::Relaxed);
        if !batch.is_empty()
            && events
                .send(Event::Answers(std::mem::take(&mut batch)))
                .is_err()
        {
            return;
        }
        if !strays.is_empty()
            && events
                .send(Event::Strays(std::mem::take(&mut strays)))
                .is_err()
        {
            return;
        }
        if let Err(error) = heard {
            let _ = events.send(Event::Deaf(error));
            return;
        }
    }
}

/// Tells of a transmitter that panics over its work: nobody must wait for it.
struct Watch<'a> {
    events: &'a Sender<Event>,
    is_working: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.is_working {
            let error = FramesError::System {
                what: "sending frames",
                reason: "a sending thread broke down".to_owned(),
            };
            let _ = self.events.send(Event::Sent(Err(error)));
        }
    }
}

/// Starts a thread that sends the stints it is given.
fn employ<'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut transmitter: Box<dyn Transmit>,
    permit: &'scope Permit,
    events: Sender<Event>,
) -> Sender<Stint> {
    let (work_out, work) = mpsc::channel::<Stint>();
    scope.spawn(move || {
        let mut watch = Watch {
            events: &events,
            is_working: false,
        };
        for stint in work {
            watch.is_working = true;
            let sent = transmitter.transmit(permit, &stint).map(|frames| Sent {
                frames,
                dropped: transmitter.take_dropped(),
            });
            watch.is_working = false;
            if events.send(Event::Sent(sent)).is_err() {
                return;
            }
        }
    });
    work_out
}

/// A stint that is being sent.
struct UnderWay {
    stint: Stint,
    done_to: u64,
    since: Duration,
    /// Out of the pace.
    taken: u64,
    /// Parts that have not come back.
    parts: usize,
    frames: u64,
}

/// How far the looking for late answers from elsewhere has come.
struct LatePass {
    strays: Strays,
    /// The counter of the next pair.
    next: u64,
}

struct Conductor<'a> {
    plan: &'a Plan,
    permit: &'a Permit,
    reach: &'a Reach,
    order: &'a Order,
    sink: &'a mut dyn Sink,
    epoch: Instant,
    answered: Answered,
    done_before: DoneBefore,
    schedule: Schedule,
    pace: Pace,
    /// How far the time of `pace` is ahead of ours.
    ahead: Duration,
    resets: Resets,
    /// Only if the rate follows the loss.
    governor: Option<Governor>,
    rate_pps: u64,
    quantum: Duration,
    stint_pairs_max: u64,
    under_way: Option<UnderWay>,
    /// Counters of pairs that are told of by themselves because they were named, ascending.
    named: Vec<u64>,
    /// What frames do not reach.
    others: Others,
    strays: Strays,
    late: Option<LatePass>,
    frames_sent: u64,
    dropped: u64,
    error: Option<FramesError>,
    progress_at: Duration,
    checkpoint_at: Duration,
}

impl<'a> Conductor<'a> {
    fn new(
        plan: &'a Plan,
        pace: SharedPace,
        permit: &'a Permit,
        reach: &'a Reach,
        answered: Answered,
        sink: &'a mut dyn Sink,
    ) -> Conductor<'a> {
        let epoch = Instant::now();
        let ahead = epoch.saturating_duration_since(pace.since);
        let pace = pace.pace;
        let order = &plan.order;
        let begin = plan
            .again
            .first()
            .map_or(order.counter(), |open| open.from.min(order.counter()));
        let done_before = DoneBefore::new(begin, order.counter(), &plan.again);
        done_before.mark(&answered);
        let governor = plan
            .adaptive
            .then(|| Governor::new(plan.rate_pps, Duration::ZERO));
        let rate_pps = governor.as_ref().map_or(plan.rate_pps, Governor::rate_pps);
        if rate_pps != plan.rate_pps {
            pace.set_rate(rate_pps, ahead);
        }
        let options = ScheduleOptions {
            pairs: order.len(),
            counter: begin,
            rounds: plan.retries + 1,
            stream: plan.tcp,
            datagram: plan.udp,
            window_pairs: window_pairs(rate_pps, plan.individually),
            patience: plan.patience,
        };
        let mut named: Vec<u64> = if plan.individually {
            Vec::new()
        } else {
            let pairs = permit.selection().named_pairs();
            pairs.filter_map(|index| order.counter_of(index)).collect()
        };
        named.sort_unstable();
        Conductor {
            plan,
            permit,
            reach,
            order,
            sink,
            epoch,
            schedule: Schedule::new(options, answered.clone()),
            answered,
            done_before,
            ahead,
            pace,
            resets: Resets::new(plan.tcp),
            governor,
            rate_pps,
            quantum: Duration::ZERO,
            stint_pairs_max: u64::MAX,
            under_way: None,
            named,
            others: Others::find(permit, reach, order),
            strays: Strays::default(),
            late: None,
            frames_sent: 0,
            dropped: 0,
            error: None,
            progress_at: Duration::ZERO,
            checkpoint_at: CHECKPOINT_INTERVAL,
        }
    }

    /// What no frame was sent to is dealt with as soon as it is its turn. Ordinary sockets ask
    /// loopback, link-local addresses with a zone, unix sockets, and interfaces that frames cannot
    /// use; who is not on the link is told of as absent.
    fn deal_with_other_ways(&mut self, from: u64, to: u64) {
        match std::mem::replace(&mut self.others, Others::Many) {
            Others::Many => {
                for counter in from..to {
                    if let Some(index) = self.order.index_at(counter) {
                        self.deal_with_other_way(counter, index);
                    }
                }
            }
            Others::Few(few) => {
                let begin = few.partition_point(|(counter, _)| *counter < from);
                for (counter, index) in &few[begin..] {
                    if *counter >= to {
                        break;
                    }
                    self.deal_with_other_way(*counter, *index);
                }
                self.others = Others::Few(few);
            }
        }
    }

    fn deal_with_other_way(&mut self, counter: u64, index: u64) {
        let way = self.way_of(index);
        if matches!(way, Some(Way::Hop(_)) | None) {
            return;
        }
        let is_open = |stream| !self.done_before.holds(counter, stream);
        let is_single = index >= self.permit.selection().block_pairs();
        let tcp = is_open(true) && (self.plan.tcp || is_single);
        let udp = is_open(false) && self.plan.udp;
        self.schedule.hand_on(counter, true);
        self.schedule.hand_on(counter, false);
        match way {
            Some(Way::Absent) => self.tell_absent(index, tcp, udp),
            _ if tcp || udp => self.sink.ask(index, tcp, udp, false),
            _ => {}
        }
    }

    fn tell_absent(&mut self, index: u64, tcp: bool, udp: bool) {
        for (stream, wanted) in [(true, tcp), (false, udp)] {
            if !wanted {
                continue;
            }
            let fate = Fate {
                transport: transport_of(stream),
                contact: Contact::Unreachable(None),
                attempts: 0,
            };
            let counter = self.order.counter_of(index);
            if counter.is_some_and(|counter| self.is_told_by_itself(counter)) {
                self.sink.seen(index, fate, None);
            } else {
                self.sink.counted(fate, 1);
            }
        }
    }

    /// How the address of a pair is reached.
    fn way_of(&self, index: u64) -> Option<Way> {
        let selection = self.permit.selection();
        if index >= selection.block_pairs() {
            return Some(Way::Sockets);
        }
        let ip = selection.pair(index).address.ip()?;
        Some(self.reach.way(ip))
    }

    /// Runs to the end; whether everything was judged or handed on.
    fn conduct(
        &mut self,
        workers: &[Sender<Stint>],
        events: &Receiver<Event>,
        counts: &Counts,
    ) -> bool {
        loop {
            let now = self.epoch.elapsed();
            let late = self.plan.deadline.is_some_and(|deadline| now >= deadline);
            if late || self.error.is_some() || self.sink.is_stopped() {
                self.await_workers(events);
                // Who is looked for only because an answer may be theirs has been told of already.
                return self.late.is_some() && self.error.is_none();
            }
            self.govern(now);
            // Work is handed out first: what there is to tell is told while it is done.
            let next = self.advance(workers, now);
            self.tell_finished();
            let next = next.or_else(|| {
                while let Ok(event) = events.try_recv() {
                    self.handle(event);
                }
                self.follow_late_strays(now)
            });
            let Some(wake_at) = next else {
                return true;
            };
            self.tell_progress(now, counts);
            let wait = wake_at.saturating_sub(self.epoch.elapsed()).min(SLEEP_MAX);
            match events.recv_timeout(wait) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => {}
                // Every thread has ended: the error that made them end came before.
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            while let Ok(event) = events.try_recv() {
                self.handle(event);
            }
        }
    }

    /// Follows the loss, if that is wanted.
    fn govern(&mut self, now: Duration) {
        let Some(governor) = self.governor.as_mut() else {
            return;
        };
        let heard = self.schedule.heard_after_sends();
        let once = heard.first().copied().unwrap_or(0);
        let later = heard.iter().skip(1).sum();
        if let Some(rate_pps) = governor.judge(once, later, now) {
            self.rate_pps = rate_pps;
            self.pace.set_rate(rate_pps, now + self.ahead);
            self.schedule
                .set_window_pairs(window_pairs(rate_pps, self.plan.individually));
        }
    }

    /// Hands out what may be sent now; returns when to look again, `None` when all is done.
    fn advance(&mut self, workers: &[Sender<Stint>], now: Duration) -> Option<Duration> {
        if self.under_way.is_some() {
            return Some(now + SLEEP_MAX);
        }
        let stint = match self.schedule.next(now) {
            Next::Send(stint) => stint,
            Next::Wait(until) => return Some(until),
            Next::Done => return None,
        };
        if self.sink.backlog() > BACKLOG_MAX {
            return Some(now + BACKLOG_PAUSE);
        }
        let transports = u64::from(self.plan.tcp) + u64::from(self.plan.udp);
        let pairs_max = self.stint_pairs_max.saturating_mul(workers.len() as u64);
        let wanted = (stint.to - stint.from).min(pairs_max) * transports;
        let quantum = (self.rate_pps as f64 * self.quantum.as_secs_f64()) as u64;
        let together = if self.rate_pps < PAIR_PPS_MIN {
            1
        } else {
            transports
        };
        let paced_at = now + self.ahead;
        self.resets.forget(&self.pace, paced_at);
        // A quantum at once, neither more nor less, with the room for resets. More, after a delay,
        // would take long to leave, count as if all had left at the end, and come again in every
        // window as a longer delay; less would leave a part of every window unused.
        let most = (wanted + self.resets.of_pairs(wanted / transports))
            .min(quantum.max(together + self.resets.of_pairs(1)));
        let least = most.min(self.pace.most());
        let taken = self.pace.take(most, paced_at);
        if taken < least {
            self.pace.settle(taken, 0, paced_at, paced_at);
            let ready_at = self.pace.ready_at(least, paced_at);
            // At low rates the room that is kept is worth more waiting than it is kept.
            let ready_at = match self.resets.returns_at(self.rate_pps) {
                Some(returned_at) => ready_at.min(returned_at.max(paced_at)),
                None => ready_at,
            };
            return Some(ready_at.saturating_sub(self.ahead));
        }
        let (pairs, taken) = self.resets.keep(taken, transports, wanted / transports);
        let done_to = stint.from + pairs;
        let parts = deal(stint.from, done_to, workers.len());
        for ((from, to), worker) in parts.iter().zip(workers) {
            let part = Stint {
                from: *from,
                to: *to,
                round: stint.round,
            };
            // A worker that is gone has told its error (see `Watch`), which ends the loop.
            let _ = worker.send(part);
        }
        self.under_way = Some(UnderWay {
            stint,
            done_to,
            since: now,
            taken,
            parts: parts.len(),
            frames: 0,
        });
        Some(now + SLEEP_MAX)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Answers(answers) => {
                let now = self.epoch.elapsed();
                self.count_resets(&answers, now);
                for answer in answers {
                    self.take_answer(answer, now);
                }
            }
            Event::Strays(proofs) => {
                for proof in proofs {
                    self.strays.add(proof);
                }
            }
            Event::Sent(sent) => self.take_sent(sent),
            Event::Deaf(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    fn take_sent(&mut self, sent: Result<Sent, FramesError>) {
        let now = self.epoch.elapsed();
        let Some(under_way) = self.under_way.as_mut() else {
            return;
        };
        under_way.parts -= 1;
        match sent {
            Ok(sent) => {
                under_way.frames += sent.frames;
                self.dropped += sent.dropped;
            }
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        if under_way.parts > 0 {
            return;
        }
        let UnderWay {
            stint,
            done_to,
            since,
            taken,
            frames,
            ..
        } = *under_way;
        self.under_way = None;
        self.frames_sent += frames;
        let (from, until) = (since + self.ahead, now + self.ahead);
        self.pace.settle(taken, frames, from, until);
        if self.error.is_none() {
            self.schedule.sent(&stint, done_to, since, now);
            if stint.round == 0 {
                self.deal_with_other_ways(stint.from, done_to);
            }
        }
    }

    /// Sends that are under way come to their end before the transmitters do.
    fn await_workers(&mut self, events: &Receiver<Event>) {
        while self.under_way.is_some() {
            match events.recv() {
                Ok(event) => self.handle(event),
                Err(_) => return,
            }
        }
    }

    /// Our kernel resets what accepted a SYN that it knows nothing of: a packet each.
    fn count_resets(&mut self, answers: &[Answer], now: Duration) {
        let accepted = answers
            .iter()
            .filter(|answer| answer.heard == Heard::Accepted);
        let (resets, now) = (accepted.count() as u64, now + self.ahead);
        self.resets.accepted += resets;
        self.pace.settle(0, resets, now, now);
    }

    fn take_answer(&mut self, answer: Answer, now: Duration) {
        let Answer {
            index,
            stream,
            heard,
        } = answer;
        let Some(counter) = self.order.counter_of(index) else {
            return;
        };
        let contact = match heard {
            Heard::Accepted | Heard::Datagram => None,
            Heard::Contact(contact) => Some(contact),
            Heard::Unproven(proof) => {
                // Perhaps it answers for another address of the same machine.
                if let Some(proof) = proof {
                    self.strays.add(proof);
                }
                // Perhaps a forgery: it ends the asking, and measures nothing.
                if self.schedule.is_waited_for(counter, stream) {
                    self.hand_on_answered(counter, index, stream);
                }
                return;
            }
        };
        let freshness = self
            .schedule
            .answered(counter, stream, contact.as_ref(), now);
        match (freshness, contact) {
            (Freshness::Known, _) | (Freshness::Late, Some(_)) => {}
            (Freshness::First { .. }, None) => self.hand_on_answered(counter, index, stream),
            (Freshness::Late, None) => self.sink.ask(index, stream, !stream, true),
            (Freshness::First { attempts, rtt }, Some(contact)) => {
                if self.is_told_by_itself(counter) {
                    self.schedule.hand_on(counter, stream);
                    let fate = Fate {
                        transport: transport_of(stream),
                        contact,
                        attempts,
                    };
                    self.sink.seen(index, fate, rtt);
                }
            }
        }
    }

    /// Hands a pair on because of this answer; its bit is set, and still it is to be asked.
    fn hand_on_answered(&mut self, counter: u64, index: u64, stream: bool) {
        let other_wanted = if stream { self.plan.udp } else { self.plan.tcp };
        let other_told = self.is_told_by_itself(counter) && self.answered.is_set(counter, !stream);
        let other = other_wanted && !other_told && !self.done_before.holds(counter, !stream);
        self.schedule.hand_on(counter, true);
        self.schedule.hand_on(counter, false);
        let (tcp, udp) = if stream { (true, other) } else { (other, true) };
        self.sink.ask(index, tcp, udp, false);
    }

    fn is_told_by_itself(&self, counter: u64) -> bool {
        self.plan.individually || self.named.binary_search(&counter).is_ok()
    }

    fn tell_finished(&mut self) {
        while let Some(finished) = self.schedule.take_finished() {
            self.tell_window(&finished, false);
        }
    }

    /// Tells what became of a window. Of one that is `abandoned`, silence is no result.
    fn tell_window(&mut self, finished: &Finished, abandoned: bool) {
        let attempts = finished.attempts();
        let mut counted: Vec<(Fate, u64)> = Vec::new();
        // Over TCP, over UDP.
        let transports = [(true, self.plan.tcp), (false, self.plan.udp)];
        let mut silent = [0, 0];
        // Both transports of a pair together: whoever judges them keeps the one until the other.
        for counter in finished.from..finished.to {
            if !abandoned && self.answered_from_elsewhere(finished, counter) {
                continue;
            }
            for ((stream, wanted), silent) in transports.into_iter().zip(&mut silent) {
                if !wanted {
                    continue;
                }
                let contact = match finished.outcome(counter, stream) {
                    Outcome::Elsewhere => continue,
                    Outcome::Silent if abandoned => continue,
                    Outcome::Silent => Contact::Silent,
                    Outcome::Contact(contact) => contact,
                };
                if self.is_told_by_itself(counter) {
                    self.tell_seen(counter, stream, contact, attempts);
                } else if contact == Contact::Silent {
                    *silent += 1;
                } else {
                    let fate = Fate {
                        transport: transport_of(stream),
                        contact,
                        attempts,
                    };
                    match counted.iter_mut().find(|(known, _)| *known == fate) {
                        Some((_, endpoints)) => *endpoints += 1,
                        None => counted.push((fate, 1)),
                    }
                }
            }
        }
        for ((stream, _), silent) in transports.into_iter().zip(silent) {
            if silent > 0 {
                let fate = Fate {
                    transport: transport_of(stream),
                    contact: Contact::Silent,
                    attempts,
                };
                counted.push((fate, silent));
            }
        }
        for (fate, endpoints) in counted {
            self.sink.counted(fate, endpoints);
        }
    }

    /// Hands on a pair that was silent over UDP, if its proof has come from another address.
    fn answered_from_elsewhere(&mut self, finished: &Finished, counter: u64) -> bool {
        let is_silent = !self.strays.is_empty()
            && self.plan.udp
            && finished.outcome(counter, false) == Outcome::Silent;
        let Some(index) = is_silent.then(|| self.order.index_at(counter)).flatten() else {
            return false;
        };
        let Some(cookie) = self.cookie_of(index) else {
            return false;
        };
        if !self.strays.matches(&cookie) {
            return false;
        }
        let tcp = self.plan.tcp && finished.outcome(counter, true) != Outcome::Elsewhere;
        self.schedule.hand_on(counter, true);
        self.schedule.hand_on(counter, false);
        self.sink.ask(index, tcp, true, false);
        true
    }

    /// Hands on who stayed silent over UDP and whose proof came from another address too late for its
    /// window, some pairs at a time. Everything has been told by now. When to look again; `None` when
    /// nobody is left. What comes meanwhile is not looked for a second time: a flood of forgeries
    /// must not keep a run from its end.
    fn follow_late_strays(&mut self, now: Duration) -> Option<Duration> {
        if !self.plan.udp {
            return None;
        }
        if self.late.is_none() {
            self.late = Some(LatePass {
                strays: self.strays.take_unmatched()?,
                next: self.done_before.begin,
            });
        }
        if self.sink.backlog() > BACKLOG_MAX {
            return Some(now + BACKLOG_PAUSE);
        }
        let mut late = self.late.take()?;
        let end = self.order.len().min(late.next + LATE_PAIRS_PER_LOOK);
        for counter in late.next..end {
            if self.answered.is_set(counter, false) {
                continue;
            }
            let Some(index) = self.order.index_at(counter) else {
                continue;
            };
            let cookie = self.cookie_of(index);
            if cookie.is_some_and(|cookie| late.strays.matches(&cookie)) {
                self.sink.ask(index, false, true, true);
            }
        }
        late.next = end;
        self.late = Some(late);
        (end < self.order.len()).then_some(now)
    }

    /// The cookie of a pair's datagram; `None` where no frame is sent.
    fn cookie_of(&self, index: u64) -> Option<Cookie> {
        let pair = self.permit.selection().pair(index);
        let ip = pair.address.ip()?;
        Some(self.plan.key.cookie(ip, pair.port, false))
    }

    fn tell_seen(&mut self, counter: u64, stream: bool, contact: Contact, attempts: u32) {
        let Some(index) = self.order.index_at(counter) else {
            return;
        };
        let fate = Fate {
            transport: transport_of(stream),
            contact,
            attempts,
        };
        self.sink.seen(index, fate, None);
    }

    fn tell_progress(&mut self, now: Duration, counts: &Counts) {
        if now < self.progress_at {
            return;
        }
        self.progress_at = now + PROGRESS_INTERVAL;
        let progress = FrameProgress {
            begun: self.schedule.counter().max(self.order.counter()),
            pairs: self.order.len(),
            frames_sent: self.frames_sent,
            frames_received: counts.received.load(Ordering::Relaxed),
        };
        self.sink.progress(&progress);
        if now >= self.checkpoint_at {
            self.checkpoint_at = now + CHECKPOINT_INTERVAL;
            let (counter, open) = self.open(true);
            if open.len() <= CHECKPOINT_RANGES_MAX {
                self.sink.checkpoint(counter, &open);
            }
        }
    }

    /// Where the run stands: what an earlier run left and this one has not reached stays open, and
    /// so does, with `untold`, what is known and not told yet.
    fn open(&self, untold: bool) -> (u64, Vec<OpenRange>) {
        let reached = self.schedule.counter();
        let mut open = self.schedule.open_ranges(untold);
        let left = self.plan.again.iter().filter(|range| range.to > reached);
        open.extend(left.map(|range| OpenRange {
            from: range.from.max(reached),
            ..*range
        }));
        (reached.max(self.order.counter()), open)
    }

    fn finish(mut self, complete: bool, counts: &Counts) -> FrameTally {
        self.resets
            .give_back(&self.pace, self.epoch.elapsed() + self.ahead);
        self.tell_finished();
        let (counter, open) = self.open(false);
        for window in self.schedule.abandon() {
            self.tell_window(&window, true);
        }
        FrameTally {
            frames_sent: self.frames_sent,
            frames_received: counts.received.load(Ordering::Relaxed),
            rejected: counts.rejected.load(Ordering::Relaxed),
            dropped_here: self.dropped,
            lost_here: counts.lost.load(Ordering::Relaxed),
            heard_after_sends: self.schedule.heard_after_sends().to_vec(),
            complete,
            counter,
            open: if complete { Vec::new() } else { open },
            error: self.error,
        }
    }
}

/// Pairs that frames do not reach.
enum Others {
    /// These, as (counter, index), ascending.
    Few(Vec<(u64, u64)>),
    /// So many that each pair is looked at when it is its turn.
    Many,
}

/// Pairs that are listed.
const OTHERS_LISTED_MAX: u64 = 1 << 20;

impl Others {
    fn find(permit: &Permit, reach: &Reach, order: &Order) -> Others {
        let selection = permit.selection();
        let others = |stretch: &&Stretch| !matches!(stretch.way, Way::Hop(_));
        let blocks: Vec<PairBlock<'_>> = selection.blocks().collect();
        let mut ranges = Vec::new();
        ranges.push(selection.block_pairs()..selection.pairs());
        for stretch in reach.stretches().iter().filter(others) {
            // Blocks ascend and do not overlap.
            let begin = blocks.partition_point(|block| block.range.last < stretch.range.first);
            for block in &blocks[begin..] {
                let Some((first, last)) = common(stretch.range, block.range) else {
                    break;
                };
                // What a permit holds of a family is far below 2^64.
                let ports = block.ports.len() as u64;
                let begin = block.offset + steps_between(block.range.first, first) as u64 * ports;
                let steps = steps_between(first, last) as u64 + 1;
                ranges.push(begin..begin + steps * ports);
            }
        }
        let pairs: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if pairs > OTHERS_LISTED_MAX {
            return Others::Many;
        }
        let counted = |index| order.counter_of(index).map(|counter| (counter, index));
        let mut few: Vec<(u64, u64)> = ranges.into_iter().flatten().filter_map(counted).collect();
        few.sort_unstable();
        Others::Few(few)
    }
}

/// The addresses that two ranges share.
fn common(one: AddressRange, other: AddressRange) -> Option<(IpAddr, IpAddr)> {
    one.overlaps(&other)
        .then(|| (one.first.max(other.first), one.last.min(other.last)))
}

/// What an earlier run has judged, of the pairs that it had begun.
struct DoneBefore {
    begin: u64,
    counter: u64,
    /// Two bits for each pair from `begin` on, as in [`Answered`]: 1 = still open.
    open: Vec<u64>,
}

impl DoneBefore {
    fn new(begin: u64, counter: u64, again: &[OpenRange]) -> DoneBefore {
        let mut open = vec![0; (counter - begin).div_ceil(32) as usize];
        for range in again {
            for pair in range.from.max(begin)..range.to.min(counter) {
                let bits = u64::from(range.stream) | u64::from(range.datagram) << 1;
                open[((pair - begin) / 32) as usize] |= bits << ((pair - begin) % 32 * 2);
            }
        }
        DoneBefore {
            begin,
            counter,
            open,
        }
    }

    fn holds(&self, counter: u64, stream: bool) -> bool {
        if counter >= self.counter {
            return false;
        }
        let Some(place) = counter.checked_sub(self.begin) else {
            return true;
        };
        let bits = self.open[(place / 32) as usize] >> (place % 32 * 2);
        bits & if stream { 0b01 } else { 0b10 } == 0
    }

    /// Marks it, so that it is neither asked nor counted again.
    fn mark(&self, answered: &Answered) {
        for counter in self.begin..self.counter {
            for stream in [true, false] {
                if self.holds(counter, stream) {
                    answered.set(counter, stream);
                }
            }
        }
    }
}

/// Pairs of a window at this rate.
fn window_pairs(rate_pps: u64, individually: bool) -> u64 {
    let most = if individually {
        WINDOW_PAIRS_TOLD_MAX
    } else {
        WINDOW_PAIRS_MAX
    };
    (rate_pps / 4).clamp(WINDOW_PAIRS_MIN, most)
}

/// Cuts `from..to` into at most `parts` parts of nearly equal length, none of them empty.
fn deal(from: u64, to: u64, parts: usize) -> Vec<(u64, u64)> {
    let pairs = to - from;
    let parts = (parts as u64).min(pairs.div_ceil(PART_PAIRS_MIN)).max(1);
    (0..parts)
        .map(|part| {
            (
                from + pairs * part / parts,
                from + pairs * (part + 1) / parts,
            )
        })
        .filter(|(first, last)| first < last)
        .collect()
}

/// Fewer pairs than this are not worth a second thread's wake-up.
const PART_PAIRS_MIN: u64 = 256;

fn transport_of(stream: bool) -> Transport {
    if stream {
        Transport::Tcp
    } else {
        Transport::Udp
    }
}

#[cfg(test)]
mod tests;
