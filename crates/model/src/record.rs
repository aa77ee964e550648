//! What a run tells its readers: one record for the run, one for each endpoint, one summary.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{
    Endpoint, Enrichment, Evidence, Finding, MacAddress, Severity, Text, Verdict, VerdictCounts,
};

/// The name an administrator typed for an address.
pub type Hostname = Arc<str>;

/// What the evidence amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The one verdict.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub reason: Text,
    /// The rules that fired, worst first.
    pub findings: Vec<Finding>,
    /// Whether only this machine can reach the endpoint, so that it is no alarm.
    pub only_from_here: bool,
}

impl Judgement {
    /// The worst severity among the findings.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// Why an endpoint or a finding does not count against the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The code of the accepted rule; `None` if the whole endpoint is accepted.
    pub rule: Option<String>,
    /// The reason that the administrator gave.
    pub reason: String,
    /// Until when, as a date `YYYY-MM-DD`.
    pub until: String,
}

/// The network card that answers for an address on our own link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Its address.
    pub address: MacAddress,
    /// Whom the address was assigned to, as far as is known.
    pub vendor: Option<String>,
}

/// One endpoint, seen and judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The run's id.
    pub run: Arc<str>,
    /// When it was judged.
    pub timestamp: SystemTime,
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// The name it was asked by.
    pub hostname: Option<Hostname>,
    /// The network card of the host; `None` if it is not on our own link.
    pub hardware: Option<Hardware>,
    /// What was seen.
    pub evidence: Evidence,
    /// What it amounts to.
    pub judgement: Judgement,
    /// Accepted risks that apply.
    pub acceptances: Vec<Acceptance>,
    /// Whether it counts as an alarm (exit code 1).
    pub alarm: bool,
    /// Who saw it, such as `shodan`; `None` if this program did.
    pub source: Option<Arc<str>>,
    /// What the administrator's own files say about the address.
    pub enrichment: Enrichment,
}

/// Blocks that a run record names.
pub const PLAN_BLOCKS_MAX: usize = 4096;

/// Where the questions were asked from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vantage {
    /// Our own address towards the first target, if there is one.
    pub source: Option<String>,
    /// The interface of that address.
    pub interface: Option<String>,
    /// The engine in use, such as `socket`.
    pub engine: String,
}

/// Addresses that are asked on the same ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanBlock {
    /// The first address.
    pub first: IpAddr,
    /// The last address.
    pub last: IpAddr,
    /// The ports, ascending.
    pub ports: Vec<u16>,
}

/// The first record of a run: all that is needed to repeat or continue it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// The run's id.
    pub run: Arc<str>,
    /// The command that made it: `scan`, `check`, `verify`, `demo` or `import`.
    pub command: String,
    /// Who saw what follows, such as `shodan`; `None` if this program did.
    pub source: Option<Arc<str>>,
    /// When it began.
    pub timestamp: SystemTime,
    /// The version of memsweep.
    pub tool_version: String,
    /// Targets as typed.
    pub targets: Vec<String>,
    /// Exclusions as typed.
    pub exclusions: Vec<String>,
    /// Ports asked where a target names none.
    pub ports: Vec<u16>,
    /// Whether TCP is asked.
    pub tcp: bool,
    /// Whether UDP is asked.
    pub udp: bool,
    /// Order of the probes.
    pub seed: u64,
    /// Which part of the targets, as (I, N) of `--shard I/N`; (1, 1) is all.
    pub shard: (u64, u64),
    /// Packets a second.
    pub rate_pps: u64,
    /// Sends after the first.
    pub retries: u32,
    /// Whether every endpoint gets a record, also those of which nobody was heard.
    pub all: bool,
    /// What was asked to move the packets; what does is in `vantage`.
    pub engine_wished: String,
    /// How many (address, port) pairs the plan holds, in this shard.
    pub pairs: u64,
    /// A fingerprint of the set of targets; a resumed run must have the same.
    pub fingerprint: u64,
    /// What was asked, exclusions taken out and names resolved, so that a later reader can tell "not
    /// there any more" from "not asked"; empty if it takes more than [`PLAN_BLOCKS_MAX`].
    pub blocks: Vec<PlanBlock>,
    /// How many pairs were done before this run began (greater than 0 when resumed).
    pub counter: u64,
    /// The run that this one continues.
    pub resumed_from: Option<String>,
    /// Where it was asked from.
    pub vantage: Vantage,
}

impl RunRecord {
    /// A run that asked nobody: it tells what is known from elsewhere. Its id, its command, the version of
    /// the program, where from, and when.
    pub fn of_what_is_known(
        run: Arc<str>,
        command: &str,
        tool_version: &str,
        target: String,
        timestamp: SystemTime,
    ) -> RunRecord {
        RunRecord {
            run,
            command: command.to_owned(),
            source: None,
            timestamp,
            tool_version: tool_version.to_owned(),
            targets: vec![target],
            exclusions: Vec::new(),
            ports: Vec::new(),
            tcp: true,
            udp: true,
            seed: 0,
            shard: (1, 1),
            rate_pps: 0,
            retries: 0,
            all: true,
            engine_wished: "none".to_owned(),
            pairs: 0,
            fingerprint: 0,
            blocks: Vec::new(),
            counter: 0,
            resumed_from: None,
            vantage: Vantage::default(),
        }
    }
}

/// Pairs that were begun and not ended when a run stopped, and over which transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pending {
    /// The place of the first one in the order of the run.
    pub counter: u64,
    /// How many follow each other from there on, at least 1.
    pub count: u64,
    /// Whether TCP (or the unix socket) is still to be asked.
    pub stream: bool,
    /// Whether UDP is still to be asked.
    pub datagram: bool,
}

/// The last record of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The run's id.
    pub run: Arc<str>,
    /// When it ended.
    pub timestamp: SystemTime,
    /// How many endpoints got each verdict, recorded or not.
    pub verdicts: VerdictCounts,
    /// Packets and datagrams sent, as far as we can tell: of ordinary sockets the kernel says little.
    pub packets_sent: u64,
    /// Packets and datagrams received, likewise.
    pub packets_received: u64,
    /// How long it took.
    pub duration: Duration,
    /// Whether every planned endpoint was judged.
    pub complete: bool,
    /// Every pair before this counter is done, but for the pending ones; a resumed run begins here.
    pub counter: u64,
    /// Pairs before the counter that a resumed run has to ask again.
    pub pending: Vec<Pending>,
    /// Endpoints counted as `unfinished` only because the run was stopped: a resumed run asks them.
    pub unasked: u64,
    /// What a reader must know about the run as a whole, such as a network that accepts everything.
    pub notes: Vec<Text>,
    /// Endpoints that count as alarms.
    pub alarms: u64,
    /// Answers that failed the request-id check, counted and never believed.
    pub rejected_replies: u64,
}

impl Summary {
    /// The last word of a run that asked nobody.
    pub fn of_what_is_known(
        run: Arc<str>,
        verdicts: VerdictCounts,
        alarms: u64,
        timestamp: SystemTime,
    ) -> Summary {
        Summary {
            run,
            timestamp,
            verdicts,
            packets_sent: 0,
            packets_received: 0,
            duration: Duration::ZERO,
            complete: true,
            counter: 0,
            pending: Vec::new(),
            unasked: 0,
            notes: Vec::new(),
            alarms,
            rejected_replies: 0,
        }
    }
}
