//! From flags to a job: what all scanning commands share.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use engine::ways::{FrameOptions, Wish};
use engine::{AcceptedRisk, EngineKind, Job};
use import::Networks;
use interview::Depth;
use model::{
    Address, Hostname, PLAN_BLOCKS_MAX, Pending, PlanBlock, RunRecord, Severity, Text,
    VerdictCounts,
};
use report::nagios::Thresholds;
use sockets::{Plan, TimeoutPolicy};
use store::Location;
use targets::{Order, Permit, ScopeEntry, Shard, Target, parse_target, parse_target_lines};

use crate::commands::selecting::{LinkTarget, Selected, choose};
use crate::configuration::{read_accepted, read_networks, read_scope};
use crate::exit::Failure;
use crate::flags::{
    Engine, EnrichmentFlags, InventoryFlags, JudgingFlags, PaceFlags, RATE_PPS_DEFAULT,
    RETRIES_DEFAULT, RETRIES_MAX, SeverityFlag,
};
use crate::inventory::location;

/// A list of targets larger than this is a mistake.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Seeds fit into the integers that every JSON reader keeps exactly.
const SEED_BITS: u32 = 53;
/// Threads that send frames, if nothing else is said: more would only wait for each other.
const THREADS_DEFAULT_MAX: u32 = 4;

/// What is asked: targets as typed, and what they came to.
pub(crate) struct Wanted {
    pub(crate) targets: Vec<Target>,
    pub(crate) exclusions: Vec<Target>,
    pub(crate) ports: Vec<u16>,
}

/// How it is asked.
pub(crate) struct Manner {
    /// The command that asks.
    pub(crate) command: &'static str,
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
    pub(crate) all: bool,
    pub(crate) depth: Depth,
    /// Names of keys to sample at most; `None` = none.
    pub(crate) key_names_max: Option<NonZeroU32>,
    pub(crate) seed: Option<u64>,
    pub(crate) shard: Shard,
    pub(crate) resume: Option<Resumption>,
    /// Whether nothing may be sent at all, because only the plan is asked for.
    pub(crate) dry: bool,
}

/// Where an interrupted run is continued.
pub(crate) struct Resumption {
    /// As it was typed.
    pub(crate) name: String,
    pub(crate) run: String,
    pub(crate) counter: u64,
    pub(crate) pending: Vec<Pending>,
    pub(crate) fingerprint: u64,
    pub(crate) verdicts: VerdictCounts,
    pub(crate) alarms: u64,
    pub(crate) rate_pps: u64,
    pub(crate) retries: u32,
    /// Unless another one is given now.
    pub(crate) engine: Option<Engine>,
}

/// Parses targets of the command line and of input files.
pub(crate) fn parse_targets(typed: &[String], inputs: &[PathBuf]) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for text in typed {
        targets.push(parse_target(text).map_err(Failure::usage)?);
    }
    for path in inputs {
        let text = read_input(path)?;
        let source = if path == Path::new("-") {
            "stdin".into()
        } else {
            path.to_string_lossy()
        };
        targets.extend(parse_target_lines(&text, &source).map_err(Failure::usage)?);
    }
    Ok(targets)
}

fn read_input(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(INPUT_BYTES_MAX + 1)
            .read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text)
    };
    let bytes = read.map_err(failed)?;
    if bytes as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{}: larger than 256 MiB",
            path.display()
        )));
    }
    Ok(text)
}

/// What a scan needs besides its permit.
pub(crate) struct Prepared {
    pub(crate) job: Job,
    pub(crate) permit: Permit,
    /// When the run began: the deadline and the duration count from here.
    pub(crate) begun: Instant,
    /// Links that are asked for their hosts: have been, unless the manner is dry.
    pub(crate) links: Vec<LinkTarget>,
    pub(crate) wish: Wish,
    pub(crate) frames: FrameOptions,
    pub(crate) remarks: Vec<String>,
    /// Where the run is kept; `None` if it is not.
    pub(crate) keeping: Option<Keeping>,
    /// Whether names of addresses are looked up.
    pub(crate) resolve: bool,
    /// From how many alarms on a monitoring plugin complains.
    pub(crate) thresholds: Thresholds,
}

/// Where a run is kept.
pub(crate) struct Keeping {
    pub(crate) location: Location,
    /// The kept run that this one continues.
    pub(crate) resumes: Option<String>,
}

impl Prepared {
    /// Has the run kept, and its records enriched.
    pub(crate) fn keep(&mut self, kept: Kept, resumes: Option<String>) {
        let Kept {
            location,
            networks,
            resolve,
        } = kept;
        self.keeping = location.map(|location| Keeping { location, resumes });
        self.job.networks = networks;
        self.resolve = resolve;
    }
}

/// Where runs are kept, and what their records are enriched with.
pub(crate) struct Kept {
    location: Option<Location>,
    networks: Option<Arc<Networks>>,
    resolve: bool,
}

impl Kept {
    /// Reads what the flags name.
    pub(crate) fn read(
        inventory: &InventoryFlags,
        enrichment: &EnrichmentFlags,
    ) -> Result<Kept, Failure> {
        Ok(Kept {
            location: location(inventory)?,
            networks: read_networks(&enrichment.enrich)?.map(Arc::new),
            resolve: enrichment.resolve,
        })
    }
}

/// Everything that can be wrong with targets and pace is found here, before a packet leaves. Links are
/// asked for their hosts here already, and before that `ready` looks at what else was typed.
pub(crate) fn prepare(
    wanted: &Wanted,
    manner: &Manner,
    pace: &PaceFlags,
    judging: &JudgingFlags,
    names: &dyn Fn(&Address) -> Option<Hostname>,
    ready: &dyn Fn() -> Result<(), Failure>,
) -> Result<Prepared, Failure> {
    let begun = Instant::now();
    let engine = engine_of(manner, pace);
    if engine == Engine::Socket && pace.interface.is_some() {
        return Err(Failure::usage(
            "--interface: ordinary sockets follow the routes; use --engine packet with it",
        ));
    }
    let scope = read_scope(judging.scope.as_deref())?;
    let (accepted, remarks) = match &judging.accept {
        Some(path) => read_accepted(path)?,
        None => (Vec::new(), Vec::new()),
    };
    check_adaptive(engine, pace)?;
    let chosen = choose(wanted, names)?;
    let Selected {
        selection,
        links,
        entries,
        notes,
    } = chosen.select(&scope, manner.dry, ready, &mut random)?;
    if let Some(resume) = &manner.resume
        && resume.fingerprint != selection.fingerprint()
        // Without asking a link, nobody knows.
        && (!manner.dry || links.is_empty())
    {
        return Err(Failure::usage(format!(
            "{}: its targets are another set now (a name, `local` or a link means other addresses); \
             scan them anew",
            resume.name
        )));
    }
    let permit = scope.permit(selection).map_err(Failure::usage)?;
    let mut job = job(wanted, manner, pace, judging, &permit, accepted);
    let entries = entries.iter().chain(permit.entries_used());
    job.notes = scope_notes(entries);
    job.notes.extend(notes);
    Ok(Prepared {
        wish: wish(engine),
        frames: FrameOptions {
            interface: pace.interface.clone(),
            threads: pace.threads.unwrap_or_else(threads_default),
            individually: manner.all,
            adaptive: pace.adaptive,
            key: [random(), random()],
        },
        job,
        permit,
        begun,
        links,
        remarks,
        keeping: None,
        resolve: false,
        thresholds: Thresholds::default(),
    })
}

fn wish(engine: Engine) -> Wish {
    match engine {
        Engine::Auto => Wish::Auto,
        Engine::Live => Wish::Frames(EngineKind::Live),
        Engine::Xdp => Wish::Frames(EngineKind::Xdp),
        Engine::Packet => Wish::Frames(EngineKind::Packet),
        Engine::Socket => Wish::Socket,
    }
}

fn threads_default() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cpus)
        .unwrap_or(THREADS_DEFAULT_MAX)
        .min(THREADS_DEFAULT_MAX)
}

/// What was given, else what the run that is continued was given.
fn engine_of(manner: &Manner, pace: &PaceFlags) -> Engine {
    let before = manner.resume.as_ref().and_then(|resume| resume.engine);
    pace.engine.or(before).unwrap_or(Engine::Auto)
}

/// The loss is known from those who answer only when they are asked again.
fn check_adaptive(engine: Engine, pace: &PaceFlags) -> Result<(), Failure> {
    if pace.adaptive && engine == Engine::Socket {
        return Err(Failure::usage(
            "--adaptive is for the packet engines; leave it out, or choose another --engine",
        ));
    }
    if pace.adaptive && pace.retries == Some(0) {
        return Err(Failure::usage(
            "--adaptive learns of losses from retries; leave out --retries 0",
        ));
    }
    Ok(())
}

fn job(
    wanted: &Wanted,
    manner: &Manner,
    pace: &PaceFlags,
    judging: &JudgingFlags,
    permit: &Permit,
    accepted: Vec<AcceptedRisk>,
) -> Job {
    let resume = manner.resume.as_ref();
    // A continued run keeps its pace, unless another is asked for now.
    let rate_pps = pace
        .rate
        .or(resume.map(|resume| resume.rate_pps.max(1)))
        .unwrap_or(RATE_PPS_DEFAULT);
    let retries = pace
        .retries
        .or(resume.map(|resume| resume.retries.min(RETRIES_MAX)))
        .unwrap_or(RETRIES_DEFAULT);
    let secret = random();
    let seed = manner.seed.unwrap_or(random() >> (64 - SEED_BITS));
    let counter = resume.map_or(0, |resume| resume.counter);
    let order = Order::new(permit.pairs(), seed, manner.shard, counter);
    let towards = (permit.pairs() > 0)
        .then(|| permit.pair(0))
        .and_then(|pair| pair.address().ip());
    let timestamp = SystemTime::now();
    let run = RunRecord {
        run: run_id(timestamp, secret),
        timestamp,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        targets: wanted
            .targets
            .iter()
            .map(|target| target.typed.clone())
            .collect(),
        exclusions: wanted
            .exclusions
            .iter()
            .map(|target| target.typed.clone())
            .collect(),
        ports: wanted.ports.clone(),
        tcp: manner.tcp,
        udp: manner.udp,
        seed,
        shard: (manner.shard.index, manner.shard.of),
        rate_pps,
        retries,
        all: manner.all,
        engine_wished: engine_of(manner, pace).word(),
        pairs: order.len(),
        fingerprint: permit.selection().fingerprint(),
        counter,
        command: manner.command.to_owned(),
        source: None,
        blocks: blocks_of(permit),
        resumed_from: resume.map(|resume| resume.run.clone()),
        vantage: sockets::vantage(towards),
    };
    Job {
        run,
        plan: Plan {
            tcp: manner.tcp,
            udp: manner.udp,
            order,
            again: resume.map(pending_before).unwrap_or_default(),
            rate_pps,
            retries,
            timeout: pace
                .timeout
                .map_or(TimeoutPolicy::Adaptive, TimeoutPolicy::Fixed),
            deadline: pace.deadline,
            depth: manner.depth,
            key_names_max: manner.key_names_max,
            secret,
        },
        all: manner.all,
        fail_on: severity(judging.fail_on),
        accepted,
        verdicts_before: resume.map(|resume| resume.verdicts).unwrap_or_default(),
        alarms_before: resume.map_or(0, |resume| resume.alarms),
        networks: None,
        notes: Vec::new(),
        prepared_in: Duration::ZERO,
        now: SystemTime::now,
    }
}

/// What is asked, as far as it fits into a run record.
fn blocks_of(permit: &Permit) -> Vec<PlanBlock> {
    let blocks: Vec<PlanBlock> = permit
        .selection()
        .blocks()
        .take(PLAN_BLOCKS_MAX + 1)
        .map(|block| PlanBlock {
            first: block.range.first,
            last: block.range.last,
            ports: block.ports.to_vec(),
        })
        .collect();
    if blocks.len() > PLAN_BLOCKS_MAX {
        return Vec::new();
    }
    blocks
}

/// What the continued run left open. A file that was written by other hands may name pairs that it
/// never reached: those come anyway.
fn pending_before(resume: &Resumption) -> Vec<Pending> {
    let begun = resume
        .pending
        .iter()
        .filter(|one| one.counter < resume.counter);
    begun
        .map(|one| Pending {
            count: one.count.min(resume.counter - one.counter),
            ..*one
        })
        .collect()
}

/// Which scope file counted is said, so that nobody scans by an entry they forgot.
fn scope_notes<'a>(entries: impl Iterator<Item = &'a ScopeEntry>) -> Vec<Text> {
    let sources: BTreeSet<(&str, String)> = entries
        .map(|entry| {
            (
                entry.source.as_str(),
                format!("{} ({})", entry.network, entry.owner),
            )
        })
        .collect();
    sources
        .into_iter()
        .map(|(source, entry)| {
            Text::new(
                format!("in scope by {source}: {entry}"),
                format!("スコープの根拠 {source}: {entry}"),
            )
        })
        .collect()
}

pub(crate) fn severity(flag: SeverityFlag) -> Severity {
    match flag {
        SeverityFlag::Info => Severity::Info,
        SeverityFlag::Low => Severity::Low,
        SeverityFlag::Medium => Severity::Medium,
        SeverityFlag::High => Severity::High,
        SeverityFlag::Critical => Severity::Critical,
    }
}

/// A number from the system's random source, by way of the keys that the standard library draws
/// for its hash tables.
fn random() -> u64 {
    RandomState::new().hash_one(SystemTime::now())
}

/// A new id for a run.
pub(crate) fn fresh_run_id(timestamp: SystemTime) -> Arc<str> {
    run_id(timestamp, random())
}

/// Sorts by time, and two runs of the same second differ.
fn run_id(timestamp: SystemTime, secret: u64) -> Arc<str> {
    let time = jiff::Timestamp::try_from(timestamp).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{}-{:06x}", time.strftime("%Y%m%dT%H%M%SZ"), secret >> 40).into()
}
