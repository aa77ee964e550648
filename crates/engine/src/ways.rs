//! Which way the packets of a scan go: raw frames where this machine and the targets allow it,
//! ordinary sockets everywhere else.
//!
//! [`open`] takes what the user wishes and gives a network that is ready. Frames only find who
//! answers; the conversations are always those of `sockets`, so every way gives the same verdicts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use ::frames::{
    Choice, EngineKind, Fate, FrameProgress, FrameTally, FramesError, SharedPace, Sweeper,
};
use model::{MacAddress, Pending, Text};
use sockets::{
    Lead, LeadTeller, LeadsEnd, LeadsProgress, Network, Plan, Sink, SocketError, SocketNetwork,
    Tally, TimeoutPolicy,
};
use sweep::cookie::CookieKey;
use sweep::schedule::{OpenRange, Patience};
use targets::Permit;

/// Fewer pairs than this are asked by sockets if the user leaves the choice to us: there is nothing
/// to gain, and asking the link for its hosts first would take longer.
const PAIRS_BY_FRAMES_MIN: u64 = 32;

/// What the user wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The best that this machine and the targets allow.
    Auto,
    /// Ordinary sockets.
    Socket,
    /// This engine, or an error.
    Frames(EngineKind),
}

/// What frames need to know besides the plan.
#[derive(Clone, Debug)]
pub struct FrameOptions {
    /// Only over this interface.
    pub interface: Option<String>,
    /// Threads that send, at least 1.
    pub threads: u32,
    /// Whether every endpoint gets a record.
    pub individually: bool,
    /// Whether the rate is lowered when answers get lost.
    pub adaptive: bool,
    /// Makes probes unpredictable; from the system's random source.
    pub key: [u64; 2],
}

/// A network that is ready.
pub struct Opened {
    /// The network.
    pub network: Box<dyn Network>,
    /// The name of the engine.
    pub engine: &'static str,
    /// The interface that frames leave by, if it is one.
    pub interface: Option<String>,
    /// What is worth saying only to those who want to hear more: why it is not a faster engine.
    pub remarks: Vec<String>,
}

impl Opened {
    fn sockets(remarks: Vec<String>) -> Opened {
        Opened {
            network: Box::new(SocketNetwork),
            engine: "socket",
            interface: None,
            remarks,
        }
    }
}

/// Which engine would be tried first; nothing is opened and nothing is sent.
pub fn likely(wish: Wish, plan: &Plan, options: &FrameOptions, permit: &Permit) -> &'static str {
    match wish {
        Wish::Socket => "socket",
        Wish::Frames(kind) => name_of(kind),
        Wish::Auto if options.interface.is_none() && reason_for_sockets(permit).is_some() => {
            "socket"
        }
        Wish::Auto if plan.rate_pps > ::frames::LIVE_RATE_PPS_MIN => "live",
        Wish::Auto => "packet",
    }
}

/// Opens the way that was wished for. Frames ask the links for their hosts here, at most at the
/// plan's rate; no probe leaves.
///
/// # Errors
///
/// If an engine or an interface was asked for by its name and does not work: one line with the mend.
pub fn open(
    wish: Wish,
    plan: &Plan,
    options: &FrameOptions,
    permit: &Permit,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Opened, FramesError> {
    let choice = match wish {
        Wish::Socket => return Ok(Opened::sockets(Vec::new())),
        Wish::Frames(kind) => Choice::Only(kind),
        Wish::Auto => Choice::Auto,
    };
    let is_free = wish == Wish::Auto && options.interface.is_none();
    if is_free && let Some(reason) = reason_for_sockets(permit) {
        return Ok(Opened::sockets(vec![reason.to_owned()]));
    }
    let plan = frame_plan(choice, plan, options);
    match Sweeper::open(plan, permit, is_stopped) {
        Ok(sweeper) => Ok(opened(sweeper)),
        Err(FramesError::NotPermitted { .. }) if is_free => {
            Ok(Opened::sockets(vec![UNPRIVILEGED.to_owned()]))
        }
        Err(error) if is_free => {
            let network = FallenBack {
                reason: Text::new(
                    format!("engine socket was used, because: {error}"),
                    format!("socket エンジンを使用（理由: {error}）"),
                ),
            };
            Ok(Opened {
                network: Box::new(network),
                ..Opened::sockets(Vec::new())
            })
        }
        Err(error) => Err(by_its_name(error, wish)),
    }
}

/// What every engine needs was refused: it is the engine that was asked for that cannot work.
fn by_its_name(error: FramesError, wish: Wish) -> FramesError {
    match (error, wish) {
        (FramesError::NotPermitted { what, program, .. }, Wish::Frames(kind)) => {
            FramesError::NotPermitted {
                engine: name_of(kind),
                what,
                program,
            }
        }
        (error, _) => error,
    }
}

/// Endpoints: if the estimate is lower, probably nobody was missed.
const MISSED_MIN: f64 = 0.5;
const UNPRIVILEGED: &str = "engine socket: raw frames need CAP_NET_RAW and CAP_NET_ADMIN; \
     `memsweep doctor` says more";

/// Why frames would be no help, if they would not.
fn reason_for_sockets(permit: &Permit) -> Option<&'static str> {
    let selection = permit.selection();
    if !selection.ranges().any(|range| !range.first.is_loopback()) {
        return Some(
            "engine socket: none of the targets is beyond this machine, or all name their \
             interface",
        );
    }
    if permit.pairs() < PAIRS_BY_FRAMES_MIN {
        return Some("engine socket: so few are asked that frames would be no faster");
    }
    let capabilities = sockets::capabilities();
    (!capabilities.net_raw || !capabilities.net_admin).then_some(UNPRIVILEGED)
}

fn name_of(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Live => "live",
        EngineKind::Xdp => "xdp",
        EngineKind::Packet => "packet",
    }
}

fn opened(sweeper: Sweeper) -> Opened {
    let interfaces = sweeper.interfaces();
    let engine = sweeper.kind().map_or("socket", name_of);
    Opened {
        interface: match interfaces.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        },
        network: Box::new(FrameNetwork {
            sweeper: Some(sweeper),
        }),
        engine,
        remarks: Vec::new(),
    }
}

fn frame_plan(choice: Choice, plan: &Plan, options: &FrameOptions) -> ::frames::Plan {
    let mut again: Vec<OpenRange> = plan
        .again
        .iter()
        .map(|pending| OpenRange {
            from: pending.counter,
            to: pending.counter.saturating_add(pending.count),
            stream: pending.stream,
            datagram: pending.datagram,
        })
        .collect();
    again.sort_by_key(|range| range.from);
    ::frames::Plan {
        choice,
        interface: options.interface.clone(),
        threads: options.threads.max(1),
        tcp: plan.tcp,
        udp: plan.udp,
        order: plan.order.clone(),
        again,
        rate_pps: plan.rate_pps,
        adaptive: options.adaptive,
        retries: plan.retries,
        patience: match plan.timeout {
            TimeoutPolicy::Adaptive => Patience::Adaptive,
            TimeoutPolicy::Fixed(wait) => Patience::Fixed(wait),
        },
        deadline: plan.deadline,
        individually: options.individually,
        key: CookieKey(options.key),
    }
}

/// Ordinary sockets in the place of frames, and why.
struct FallenBack {
    reason: Text,
}

impl Network for FallenBack {
    fn sweep(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        sink: &mut dyn Sink,
    ) -> Result<Tally, SocketError> {
        let mut tally = SocketNetwork.sweep(plan, permit, sink)?;
        tally.notes.push(self.reason.clone());
        Ok(tally)
    }
}

/// Frames that find who answers, and sockets that talk to them. It sweeps once; after that it is an
/// ordinary [`SocketNetwork`].
struct FrameNetwork {
    sweeper: Option<Sweeper>,
}

impl Network for FrameNetwork {
    fn streams_may_be_late(&self) -> bool {
        true
    }

    fn sweep(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        sink: &mut dyn Sink,
    ) -> Result<Tally, SocketError> {
        let Some(sweeper) = self.sweeper.take() else {
            return SocketNetwork.sweep(plan, permit, sink);
        };
        let mut notes: Vec<Text> = sweeper.remarks().iter().map(Text::same).collect();
        if sweeper.kind().is_none() {
            let mut tally = SocketNetwork.sweep(plan, permit, sink)?;
            tally.notes.append(&mut notes);
            return Ok(tally);
        }
        let hardware: BTreeMap<IpAddr, MacAddress> = sweeper.hardware().clone();
        // One rate for probes and interviews together.
        let pace = SharedPace::new(plan.rate_pps);
        let (teller, mut leads) = sockets::leads(hardware, pace.pace.clone(), pace.since)?;
        let (tally, swept) = thread::scope(|scope| {
            let sweeping = scope.spawn(move || sweep_and_tell(sweeper, permit, pace, teller));
            let tally = SocketNetwork.interview(plan, permit, &mut leads, sink);
            // Also if our own sockets refused to work: the sweep must not go on alone.
            leads.end();
            (tally, sweeping.join())
        });
        let swept = swept.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut tally = tally?;
        notes.extend(notes_of(&swept, plan.retries));
        tally.notes.append(&mut notes);
        Ok(tally)
    }
}

fn sweep_and_tell(
    sweeper: Sweeper,
    permit: &Permit,
    pace: SharedPace,
    teller: LeadTeller,
) -> FrameTally {
    let mut bridge = Bridge { teller };
    let tally = sweeper.run(permit, pace, &mut bridge);
    bridge.teller.end(LeadsEnd {
        complete: tally.complete && tally.error.is_none(),
        counter: tally.counter,
        open: pending_of(&tally.open),
        packets_sent: tally.frames_sent,
        packets_received: tally.frames_received,
        rejected_replies: tally.rejected,
    });
    tally
}

/// Passes what a sweep of frames tells on to the reactor.
struct Bridge {
    teller: LeadTeller,
}

impl ::frames::Sink for Bridge {
    fn ask(&mut self, index: u64, tcp: bool, udp: bool, late: bool) {
        self.teller.tell(Lead::Ask {
            index,
            tcp,
            udp,
            late,
        });
    }

    fn seen(&mut self, index: u64, fate: Fate, rtt: Option<Duration>) {
        self.teller.tell(Lead::Seen {
            index,
            transport: fate.transport,
            contact: fate.contact,
            attempts: fate.attempts,
            rtt,
        });
    }

    fn counted(&mut self, fate: Fate, endpoints: u64) {
        self.teller.tell(Lead::Counted {
            transport: fate.transport,
            contact: fate.contact,
            endpoints,
        });
    }

    fn progress(&mut self, progress: &FrameProgress) {
        self.teller.progress(LeadsProgress {
            begun: progress.begun,
            packets_sent: progress.frames_sent,
            packets_received: progress.frames_received,
        });
    }

    fn checkpoint(&mut self, counter: u64, open: &[OpenRange]) {
        self.teller.tell(Lead::Checkpoint {
            counter,
            open: pending_of(open),
        });
    }

    fn backlog(&self) -> usize {
        self.teller.backlog()
    }

    fn is_stopped(&self) -> bool {
        self.teller.is_stopped()
    }
}

fn pending_of(open: &[OpenRange]) -> Vec<Pending> {
    let ranges = open.iter().filter(|range| range.from < range.to);
    ranges
        .map(|range| Pending {
            counter: range.from,
            count: range.to - range.from,
            stream: range.stream,
            datagram: range.datagram,
        })
        .collect()
}

/// What a reader must know about a sweep of frames.
fn notes_of(tally: &FrameTally, retries: u32) -> Vec<Text> {
    let mut notes = Vec::new();
    if let Some(error) = &tally.error {
        notes.push(Text::new(
            format!("this machine broke the run off: {error}"),
            format!("このマシンの問題でスキャンが中断されました: {error}"),
        ));
    }
    if tally.dropped_here > 0 {
        notes.push(Text::new(
            format!(
                "the interface dropped {} probes because its queue was full, and what stayed silent \
                 was asked again; a lower --rate loses none",
                tally.dropped_here
            ),
            format!(
                "送信キューがあふれ、{} 個のプローブがインターフェースで破棄されました（応答のない相手には再送\
                 済み）。--rate を下げると解消します",
                tally.dropped_here
            ),
        ));
    }
    if tally.lost_here > 0 {
        notes.push(Text::new(
            format!(
                "this machine dropped {} received packets unread; a lower --rate finds what they \
                 were",
                tally.lost_here
            ),
            format!(
                "受信した {} 個のパケットを読み取れませんでした。--rate を下げると解消します",
                tally.lost_here
            ),
        ));
    }
    notes.extend(note_of_loss(&tally.heard_after_sends, retries));
    notes
}

/// How much was probably missed: of those who answered, some needed a second send because a packet
/// was lost. If each send and its answer get lost alike with probability `q`, all `n` sends of an
/// endpoint do with `q^n`. The share of those who needed more than one send is `q`.
///
/// Worked example: 1,000 answered, 50 of them not to the first of 2 sends. q = 0.05, q² = 0.0025:
/// of N endpoints N · 0.9975 were heard, so about 2.5 were missed; "at most" rounds that up.
fn note_of_loss(heard_after_sends: &[u64], retries: u32) -> Option<Text> {
    let heard: u64 = heard_after_sends.iter().sum();
    let later: u64 = heard_after_sends.iter().skip(1).sum();
    if later == 0 {
        return None;
    }
    let lost = later as f64 / heard as f64;
    let lost_always = lost.powi(retries.saturating_add(1).min(100) as i32);
    let missed = heard as f64 * lost_always / (1.0 - lost_always).max(f64::EPSILON);
    let (missed_en, missed_ja) = if missed < MISSED_MIN {
        (
            "probably none was missed".to_owned(),
            "見落としはおそらくありません".to_owned(),
        )
    } else {
        let missed = missed.ceil();
        (
            format!("at most about {missed:.0} were missed"),
            format!("見落としは多くても約 {missed:.0} 件です"),
        )
    };
    Some(Text::new(
        format!(
            "{later} of {heard} answering endpoints did not answer the first probe: {missed_en}"
        ),
        format!(
            "応答した {heard} 件のうち {later} 件は最初のプローブに応答しませんでした。{missed_ja}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(heard_after_sends: &[u64], retries: u32, expect: Option<&str>) {
        let note = note_of_loss(heard_after_sends, retries);
        assert_eq!(note.as_ref().map(|note| note.en.as_str()), expect);
    }

    #[test]
    fn what_was_missed_is_estimated_from_who_needed_another_probe() {
        check(&[], 3, None);
        check(&[1_000, 0, 0, 0], 3, None);
        check(
            &[950, 50],
            1,
            Some(
                "50 of 1000 answering endpoints did not answer the first probe: at most about 3 \
                 were missed",
            ),
        );
        check(
            &[90, 9, 1, 0],
            3,
            Some(
                "10 of 100 answering endpoints did not answer the first probe: probably none was \
                 missed",
            ),
        );
        // A world in which every first probe is lost says nothing, but does not divide by zero.
        assert!(note_of_loss(&[0, 5], 1).is_some());
    }

    #[test]
    fn open_ranges_survive_both_forms() {
        let range = |from, to, stream, datagram| OpenRange {
            from,
            to,
            stream,
            datagram,
        };
        let open = [
            range(0, 5, true, true),
            range(9, 9, true, true),
            range(9, 10, false, true),
        ];
        let pending = pending_of(&open);
        let counts: Vec<(u64, u64)> = pending.iter().map(|one| (one.counter, one.count)).collect();
        assert_eq!(counts, [(0, 5), (9, 1)]);
        assert!(!pending[1].stream && pending[1].datagram);
    }

    #[test]
    fn a_bridge_passes_everything_on_in_order() {
        use ::frames::Sink as _;
        let shared = SharedPace::new(100);
        let (teller, _leads) = sockets::leads(BTreeMap::new(), shared.pace, shared.since).unwrap();
        let mut bridge = Bridge { teller };
        bridge.ask(7, true, false, false);
        bridge.counted(
            Fate {
                transport: model::Transport::Udp,
                contact: model::Contact::Silent,
                attempts: 4,
            },
            12,
        );
        let fate = Fate {
            transport: model::Transport::Tcp,
            contact: model::Contact::Silent,
            attempts: 4,
        };
        bridge.seen(8, fate, None);
        assert_eq!(bridge.backlog(), 2, "numbers take up nothing");
        assert!(!bridge.is_stopped());
    }
}
