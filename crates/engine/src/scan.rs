//! From a plan to records, a summary and an outcome.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use import::Networks;
use model::{
    Address, Contact, Ending, Endpoint, Enrichment, Evidence, Hardware, Impression, Judgement,
    Pending, Record, RunRecord, Severity, Summary, Text, Transport, Verdict, VerdictCounts,
};
use sockets::{AcceptsEverything, Network, Observation, Plan, Progress, Sink, SocketError, Tally};
use targets::{AddressRange, Permit, successor};

use crate::accept::{AcceptedRisk, weigh};
use crate::event::{Event, Outcome};
use crate::join::{Join, Joined};

/// Silent endpoints whose record waits for a late answer; beyond that the oldest go out as silent.
const SILENT_HELD_MAX: usize = 65_536;
/// Records of named addresses that are noted one by one, to see which never came; each costs some
/// twenty bytes.
const NAMED_TRACKED_MAX: usize = 8_000_000;

/// A scan to be done.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is told first; holds the run's id.
    pub run: RunRecord,
    /// What the sweep is to do.
    pub plan: Plan,
    /// Whether every endpoint gets a record, not only those that answered.
    pub all: bool,
    /// The least severity that counts as an alarm.
    pub fail_on: Severity,
    /// Accepted risks in force.
    pub accepted: Vec<AcceptedRisk>,
    /// What the administrator's own files say of addresses.
    pub networks: Option<Arc<Networks>>,
    /// Verdicts of the run that this one continues.
    pub verdicts_before: VerdictCounts,
    /// Alarms of the run that this one continues.
    pub alarms_before: u64,
    /// Sentences that the summary is to carry, such as which scope file counted.
    pub notes: Vec<Text>,
    /// What the run took before its first probe: looking up names, and asking links for their hosts.
    pub prepared_in: Duration,
    /// The time of day: what records carry, and what a server's own clock is held against.
    pub now: fn() -> SystemTime,
}

/// Scans, telling everything to the listener, and returns what decides the exit code; beside it the
/// error, if this machine's own sockets refused to work. What was found until then is told all the
/// same, and the summary says that it is not complete.
pub fn scan(
    job: &Job,
    permit: &Permit,
    network: &mut dyn Network,
    stopped: &AtomicBool,
    listener: &mut dyn FnMut(Event),
) -> (Outcome, Option<SocketError>) {
    listener(Event::Run(Box::new(job.run.clone())));
    let mut desk = Desk {
        job,
        permit,
        stopped,
        listener,
        join: Join::new(job.plan.tcp && job.plan.udp),
        verdicts: job.verdicts_before,
        alarms: job.alarms_before,
        held: BTreeMap::new(),
        streams_may_be_late: network.streams_may_be_late(),
        named_recorded: HashSet::new(),
        unasked: 0,
        last: Tally {
            counter: job.plan.order.counter(),
            pending: job.plan.again.clone(),
            ..Tally::default()
        },
    };
    let (tally, error) = match network.sweep(&job.plan, permit, &mut desk) {
        Ok(tally) => (tally, None),
        Err(error) => (std::mem::take(&mut desk.last), Some(error)),
    };
    for joined in desk.join.drain() {
        desk.judge(joined);
    }
    for (_, record) in std::mem::take(&mut desk.held) {
        desk.emit(record);
    }
    if !tally.complete {
        desk.record_unasked();
    }
    let interrupted = stopped.load(Ordering::Relaxed);
    let complete = tally.complete && desk.verdicts.of(Verdict::Unfinished) == 0;
    let mut notes = job.notes.clone();
    notes.extend(notes_of(&tally.accepts_everything));
    notes.extend(tally.notes);
    notes.extend(error.as_ref().map(note_of_error));
    let summary = Summary {
        run: Arc::clone(&job.run.run),
        timestamp: (job.now)(),
        verdicts: desk.verdicts,
        packets_sent: tally.packets_sent,
        packets_received: tally.packets_received,
        duration: job.prepared_in + tally.duration,
        complete: tally.complete,
        counter: tally.counter,
        pending: tally.pending,
        unasked: desk.unasked,
        notes,
        alarms: desk.alarms,
        rejected_replies: tally.rejected_replies,
    };
    let alarms = desk.alarms;
    listener(Event::Summary(Box::new(summary)));
    let outcome = Outcome {
        alarms,
        complete,
        interrupted,
    };
    (outcome, error)
}

struct Desk<'a> {
    job: &'a Job,
    permit: &'a Permit,
    stopped: &'a AtomicBool,
    listener: &'a mut dyn FnMut(Event),
    join: Join,
    verdicts: VerdictCounts,
    alarms: u64,
    /// Records of endpoints that have not answered us: a late answer may still replace them.
    held: BTreeMap<Endpoint, Record>,
    /// Whether that may be so over TCP too.
    streams_may_be_late: bool,
    /// Endpoints of named pairs that have their record, by [`named_key`].
    named_recorded: HashSet<u64>,
    /// Endpoints counted as unfinished because the run was stopped.
    unasked: u64,
    /// What is known of the sweep if it breaks off: its last checkpoint and progress.
    last: Tally,
}

impl Sink for Desk<'_> {
    fn observed(&mut self, observation: Observation) {
        for joined in self.join.add(observation) {
            self.judge(joined);
        }
    }

    fn counted(&mut self, transport: Transport, contact: &Contact, endpoints: u64) {
        let evidence = Evidence::without_dialogue(contact.clone(), 0, None);
        // Nothing was said, so the address has no say in the verdict.
        let anywhere = Address::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let own = Some(&evidence);
        let (tcp, udp) = match transport {
            Transport::Udp => (None, own),
            Transport::Tcp | Transport::Unix => (own, None),
        };
        let host = assess::Host {
            address: &anywhere,
            port: 0,
            tcp,
            udp,
        };
        let verdict = assess::verdict(&host, transport);
        self.verdicts.add_many(verdict, endpoints);
    }

    fn progress(&mut self, progress: &Progress) {
        self.last.packets_sent = progress.packets_sent;
        self.last.packets_received = progress.packets_received;
        self.last.duration = progress.elapsed;
        (self.listener)(Event::Progress {
            progress: *progress,
            verdicts: self.verdicts,
            alarms: self.alarms,
        });
    }

    fn checkpoint(&mut self, counter: u64, pending: &[Pending]) {
        let pending: Vec<Pending> = pending
            .iter()
            .map(|pair| self.with_waiting(*pair))
            .collect();
        self.last.counter = counter;
        self.last.pending = pending.clone();
        (self.listener)(Event::Checkpoint {
            run: Arc::clone(&self.job.run.run),
            timestamp: (self.job.now)(),
            counter,
            pending,
            verdicts: self.verdicts,
            alarms: self.alarms,
        });
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl Desk<'_> {
    /// A pending pair whose UDP side was seen and waits here for TCP has no verdict yet: if the run
    /// breaks off now, both have to be asked again.
    fn with_waiting(&self, mut pair: Pending) -> Pending {
        // Only pairs that were begun one by one have anything that waits.
        if pair.count == 1
            && let Some(index) = self.job.plan.order.index_at(pair.counter)
        {
            let target = self.permit.pair(index);
            pair.datagram |= self.join.is_waiting(target.address(), target.port());
        }
        pair
    }

    fn judge(&mut self, joined: Joined) {
        let observation = &joined.observation;
        let named = observation.target.is_named();
        let host = joined.host();
        let verdict = assess::verdict(&host, observation.transport);
        if verdict == Verdict::Unfinished && was_stopped(&observation.evidence) {
            if !named {
                // Neither judged nor forgotten: a resumed run asks it again.
                return;
            }
            self.unasked += 1;
        }
        if observation.late {
            self.replace_silence(observation);
        }
        self.verdicts.add(verdict);
        let sampled = observation
            .evidence
            .dialogue
            .as_ref()
            .is_some_and(|dialogue| dialogue.ending == Ending::Sampled);
        let by_itself = verdict.is_recorded_by_default() && !(sampled && verdict == Verdict::Other);
        if !(named || self.job.all || by_itself) {
            return;
        }
        let judgement = assess::judge_at(&host, observation.transport, (self.job.now)());
        let endpoint = observation.target.endpoint(observation.transport);
        let hardware = joined.observation.hardware.map(|address| Hardware {
            address,
            vendor: ::frames::vendor(address),
        });
        let record = Record {
            hardware,
            ..self.record(endpoint, joined.observation.evidence, judgement)
        };
        if self.may_be_replaced(&record) {
            self.hold(record);
        } else {
            self.emit(record);
        }
    }

    fn record(&self, endpoint: Endpoint, evidence: Evidence, judgement: Judgement) -> Record {
        let (acceptances, alarm) =
            weigh(&self.job.accepted, &endpoint, &judgement, self.job.fail_on);
        let mut enrichment = Enrichment::default();
        if let (Some(networks), Some(ip)) = (&self.job.networks, endpoint.address.ip()) {
            networks.enrich(ip, &mut enrichment);
        }
        if enrichment.owner.is_none() {
            enrichment.owner = self.owner_by_scope(&endpoint.address);
        }
        Record {
            run: Arc::clone(&self.job.run.run),
            timestamp: (self.job.now)(),
            hostname: self.permit.selection().hostname(&endpoint.address).cloned(),
            hardware: None,
            endpoint,
            evidence,
            judgement,
            acceptances,
            alarm,
            source: None,
            enrichment,
        }
    }

    /// Whoever administers an address by the scope entry that lets it be asked.
    fn owner_by_scope(&self, address: &Address) -> Option<String> {
        let ip = address.ip()?;
        let entries = self.permit.entries_used().iter();
        let covering = entries.filter(|entry| entry.network.contains(ip));
        let nearest = covering.max_by_key(|entry| entry.network.prefix_bits())?;
        Some(nearest.owner.clone())
    }

    /// Whether an answer may still come and replace this record: nothing was heard, or only a
    /// datagram that was no answer to ours.
    fn may_be_replaced(&self, record: &Record) -> bool {
        let dialogue = record.evidence.dialogue.as_deref();
        let impression = dialogue.and_then(|dialogue| dialogue.impression.as_ref());
        let unheard = record.evidence.contact == Contact::Silent
            && record.endpoint.transport == Transport::Tcp;
        record.judgement.verdict == Verdict::Silent
            || (unheard && self.streams_may_be_late)
            || matches!(impression, Some(Impression::ForeignDatagram(_)))
    }

    fn hold(&mut self, record: Record) {
        self.held.insert(record.endpoint.clone(), record);
        if self.held.len() > SILENT_HELD_MAX
            && let Some((_, first)) = self.held.pop_first()
        {
            self.emit(first);
        }
    }

    /// An endpoint that was counted as silent has answered after all.
    fn replace_silence(&mut self, observation: &Observation) {
        let endpoint = observation.target.endpoint(observation.transport);
        let counted = match (self.held.remove(&endpoint), observation.transport) {
            (Some(record), _) => record.judgement.verdict,
            (None, Transport::Udp) => Verdict::Silent,
            (None, Transport::Tcp | Transport::Unix) => Verdict::Filtered,
        };
        if self.verdicts.of(counted) > 0 {
            self.verdicts.take_back(counted);
        }
    }

    fn emit(&mut self, record: Record) {
        if record.alarm {
            self.alarms += 1;
        }
        if self.named_recorded.len() < NAMED_TRACKED_MAX {
            let Endpoint {
                address,
                port,
                transport,
            } = &record.endpoint;
            let selection = self.permit.selection();
            if selection.is_named(address, *port)
                && let Some(index) = selection.index_of(address, *port)
            {
                self.named_recorded.insert(named_key(index, *transport));
            }
        }
        (self.listener)(Event::Record(Box::new(record)));
    }

    /// Every address that was named by itself gets a record, also if its turn never came.
    fn record_unasked(&mut self) {
        if self.named_recorded.len() >= NAMED_TRACKED_MAX {
            // Nobody knows any more which have theirs, and none may have two.
            return;
        }
        let permit = self.permit;
        for index in permit.selection().named_pairs() {
            if !self.was_to_be_asked(index) {
                continue;
            }
            let target = permit.pair(index);
            for transport in self.transports_of(target.address()) {
                if self.named_recorded.contains(&named_key(index, transport)) {
                    continue;
                }
                let endpoint = target.endpoint(transport);
                let evidence = Evidence::without_dialogue(Contact::Unfinished, 0, None);
                let own = Some(&evidence);
                let (tcp, udp) = match transport {
                    Transport::Udp => (None, own),
                    Transport::Tcp | Transport::Unix => (own, None),
                };
                let host = assess::Host {
                    address: target.address(),
                    port: target.port(),
                    tcp,
                    udp,
                };
                let judgement = assess::judge(&host, transport);
                self.verdicts.add(judgement.verdict);
                self.unasked += 1;
                let record = self.record(endpoint, evidence.clone(), judgement);
                self.emit(record);
            }
        }
    }

    /// Whether a pair belongs to this shard and was not done by the run that this one continues.
    fn was_to_be_asked(&self, index: u64) -> bool {
        let order = &self.job.plan.order;
        order
            .counter_of(index)
            .is_some_and(|counter| counter >= order.counter())
    }

    fn transports_of(&self, address: &Address) -> Vec<Transport> {
        if matches!(address, Address::Unix(_)) {
            return vec![Transport::Unix];
        }
        let mut transports = Vec::new();
        if self.job.plan.tcp {
            transports.push(Transport::Tcp);
        }
        if self.job.plan.udp {
            transports.push(Transport::Udp);
        }
        transports
    }
}

/// A number for the endpoint of a pair: a pair has at most two.
fn named_key(index: u64, transport: Transport) -> u64 {
    index * 2 + u64::from(transport == Transport::Udp)
}

/// Whether the end of the run, and not the endpoint's own deadline, cut it short.
fn was_stopped(evidence: &Evidence) -> bool {
    let dialogue = evidence.dialogue.as_ref();
    evidence.contact == Contact::Unfinished
        || dialogue.is_some_and(|dialogue| dialogue.ending == Ending::Stopped)
}

/// One line for each stretch of networks in which everything accepts.
fn notes_of(networks: &[AcceptsEverything]) -> Vec<Text> {
    let mut stretches: Vec<AcceptsEverything> = Vec::new();
    for network in networks {
        match stretches.last_mut() {
            Some(last)
                if successor(last.network.last) == Some(network.network.first)
                    && last.impression == network.impression =>
            {
                last.network.last = network.network.last;
                last.accepted += network.accepted;
                last.sampled += network.sampled;
            }
            _ => stretches.push(network.clone()),
        }
    }
    stretches.iter().map(note_of).collect()
}

fn note_of_error(error: &SocketError) -> Text {
    Text::new(
        format!("this machine broke the run off: {error}"),
        format!("このマシンの問題でスキャンが中断されました: {error}"),
    )
}

fn note_of(stretch: &AcceptsEverything) -> Text {
    let AcceptsEverything {
        network: AddressRange { first, last },
        accepted,
        sampled,
        impression,
    } = stretch;
    let (en, ja) = behaviour_of(impression);
    Text::new(
        format!(
            "{first}-{last}: something accepts every TCP connection there and {en} \
             ({accepted} accepted), so {sampled} of them were asked for their version only; \
             a firewall, proxy or SYN proxy answers for these addresses: scan from inside that \
             network"
        ),
        format!(
            "{first}-{last}: すべての TCP 接続が受け入れられ、{ja}（{accepted} 件）。うち {sampled} \
             件には version だけを尋ねました。ファイアウォールやプロキシが代わりに応答しています。\
             そのネットワークの内側からスキャンしてください"
        ),
    )
}

/// What all connections of such a network have in common.
fn behaviour_of(impression: &Impression) -> (String, String) {
    let both = |en: &str, ja: &str| (en.to_owned(), ja.to_owned());
    match impression {
        Impression::Mute => both("says nothing", "何も応答がありません"),
        Impression::Reset => both("resets it", "すぐにリセットされます"),
        Impression::Closed => both("closes it", "すぐに閉じられます"),
        Impression::Http(line)
        | Impression::Ssh(line)
        | Impression::Redis(line)
        | Impression::Text(line) => (
            format!("always says the same ({line})"),
            format!("いつも同じ応答（{line}）が返ります"),
        ),
        Impression::Echo
        | Impression::InsideTls(_)
        | Impression::TlsFailure(_)
        | Impression::Bytes(_)
        | Impression::ForeignDatagram(_) => {
            both("always behaves the same", "いつも同じ応答が返ります")
        }
    }
}
