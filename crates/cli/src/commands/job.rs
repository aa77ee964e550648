//! From flags to a job, and from a job to an exit code: what all scanning commands share.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};

use engine::keep::Recording;
use engine::verify::Verifier;
use engine::ways::{self, FrameOptions, Wish};
use engine::{AcceptedRisk, EngineKind, Job, Outcome};
use frames::Tap;
use interview::Depth;
use model::{
    Address, Hostname, PLAN_BLOCKS_MAX, Pending, PlanBlock, RunRecord, Severity, Summary, Text,
    VerdictCounts,
};
use report::nagios::{self, Thresholds};
use report::{Format, Style, TextOptions};
use sockets::{Plan, ReverseNames, TimeoutPolicy};
use store::{Location, Logs};
use targets::{Order, Permit, ScopeEntry, Shard, Target, parse_target, parse_target_lines};

use crate::commands::selecting::{LinkTarget, Selected, choose};
use crate::commands::telling::Teller;
use crate::configuration::{read_accepted, read_networks, read_scope};
use crate::exit::{Exit, Failure};
use crate::flags::{
    Engine, EnrichmentFlags, InventoryFlags, JudgingFlags, OutputFlags, PaceFlags,
    RATE_PPS_DEFAULT, RETRIES_DEFAULT, RETRIES_MAX, SeverityFlag,
};
use crate::inventory::{location, open_at};
use crate::outputs::Outputs;
use crate::progress::ProgressLine;
use crate::terminal;

/// A list of targets larger than this is a mistake.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Seeds fit into the integers that every JSON reader keeps exactly.
const SEED_BITS: u32 = 53;
/// How long a database may take to be opened before a scan ends without it.
const OPENING_MAX: Duration = Duration::from_secs(15);
/// How often Ctrl-C is looked for while a run is taken in.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
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
    pub(crate) fn keep(
        &mut self,
        inventory: &InventoryFlags,
        enrichment: &EnrichmentFlags,
        resumes: Option<String>,
    ) -> Result<(), Failure> {
        self.keeping = location(inventory)?.map(|location| Keeping { location, resumes });
        self.job.networks = read_networks(&enrichment.enrich)?.map(Arc::new);
        self.resolve = enrichment.resolve;
        Ok(())
    }
}

/// Everything that can be wrong is found here, before a packet leaves.
pub(crate) fn prepare(
    wanted: &Wanted,
    manner: &Manner,
    pace: &PaceFlags,
    judging: &JudgingFlags,
    names: &dyn Fn(&Address) -> Option<Hostname>,
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
    } = chosen.select(&scope, manner.dry, &mut random)?;
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

/// How a run ended.
pub(crate) struct Ended {
    /// What was found; incomplete if anything went wrong.
    outcome: Outcome,
    /// Whether this machine's sockets or an output refused to work; said on stderr already.
    pub(crate) broken: bool,
    /// Whether stdout was the only output and its reader left, having seen enough.
    left: bool,
    /// The run's last word.
    pub(crate) summary: Option<Box<Summary>>,
}

impl Ended {
    pub(crate) fn exit(&self) -> Exit {
        if self.left && !self.outcome.interrupted {
            return Exit::Done;
        }
        Exit::of_outcome(self.outcome)
    }
}

/// Runs a prepared scan by the engine that was wished for, and reports it.
pub(crate) fn run(
    prepared: &Prepared,
    style: Style,
    output: &OutputFlags,
    resumed: Option<&Path>,
) -> Result<Ended, Failure> {
    run_verifying(prepared, style, output, resumed, None)
}

/// The same, and tells what became of an earlier run's findings.
pub(crate) fn run_verifying(
    prepared: &Prepared,
    style: Style,
    output: &OutputFlags,
    resumed: Option<&Path>,
    verifier: Option<&mut Verifier>,
) -> Result<Ended, Failure> {
    let language = terminal::language(output.lang);
    let options = TextOptions {
        width_columns: terminal::width_columns(),
        color: terminal::color(output.color),
        language,
        style,
        verbose: output.verbose,
    };
    let outputs = Outputs::open(&output.output, resumed, &|format| match format {
        Format::Nagios => nagios::writer(prepared.thresholds),
        other => report::writer(other, &options),
    })?;
    if !output.quiet {
        for remark in &prepared.remarks {
            terminal::say(&format!("memsweep: {remark}"));
        }
    }
    let stopped = stop_flag();
    let mut job = prepared.job.clone();
    let begun = prepared.begun;
    let mut opened = ways::open(
        prepared.wish,
        &job.plan,
        &prepared.frames,
        &prepared.permit,
        &|| {
            let is_late = |deadline| begun.elapsed() >= deadline;
            stopped.load(Ordering::Relaxed) || prepared.job.plan.deadline.is_some_and(is_late)
        },
    )
    .map_err(Failure::usage)?;
    // Looking up names and hosts of our own links takes its time too; the deadline is the whole run's.
    let left = |deadline: Duration| deadline.saturating_sub(begun.elapsed());
    job.plan.deadline = job.plan.deadline.map(left);
    if output.verbose {
        for remark in &opened.remarks {
            terminal::say(&format!("memsweep: {remark}"));
        }
    }
    if prepared.frames.adaptive && opened.engine == "socket" && !output.quiet {
        terminal::say(&format!(
            "memsweep: --adaptive needs a packet engine; ordinary sockets keep to {} packets/s",
            job.plan.rate_pps
        ));
    }
    job.run.vantage.engine = opened.engine.to_owned();
    if let Some(interface) = &opened.interface {
        job.run.vantage.interface = Some(interface.clone());
    }
    let tap = outputs
        .wants_frames()
        .then(|| Tap::open(&ports_of(&prepared.permit)))
        .transpose()
        .map_err(Failure::usage)?;
    outputs.make_room()?;
    let recording = prepared.keeping.as_ref().map(|keeping| {
        let logs = Logs::new(keeping.location.logs());
        match &keeping.resumes {
            Some(run) => Recording::resume(&logs, run),
            None => Recording::begin(&logs, &job.run.run),
        }
    });
    if let (Some(keeping), Some(recording)) = (&prepared.keeping, &recording)
        && keeping.resumes.is_some()
        && let Some(failure) = recording.failure()
    {
        // Two who continue one run would ask everything twice.
        return Err(Failure::usage(failure));
    }
    let mut teller = Teller {
        recording,
        names: prepared.resolve.then(ReverseNames::new),
        outputs,
        line: ProgressLine::new(output.quiet, language),
        tap,
        verifier,
        stopped: &stopped,
        gone: None,
        summary: None,
    };
    job.prepared_in = begun.elapsed();
    let (mut outcome, error) = teller.while_telling(|listener| {
        engine::scan(
            &job,
            &prepared.permit,
            opened.network.as_mut(),
            &stopped,
            listener,
        )
    })?;
    if let Some(error) = &error {
        terminal::say_error(&error.to_string());
    }
    let Teller {
        outputs,
        gone,
        recording,
        summary,
        ..
    } = teller;
    if let (Some(keeping), Some(recording)) = (&prepared.keeping, recording) {
        take_in(keeping, recording, &stopped, output.verbose);
    }
    let broken = error.is_some() || outputs.has_failed();
    outcome.complete &= !broken && gone.is_none();
    // That we stopped it ourselves is no interruption.
    outcome.interrupted &= gone.unwrap_or(true);
    Ok(Ended {
        outcome,
        broken,
        left: outputs.was_only_stdout_and_left(),
        summary,
    })
}

/// Takes a run that has ended into the inventory, and what was left behind by others. Whatever goes
/// wrong is said, and changes nothing about the run: its log is there. A database that does not
/// answer is not waited for, and Ctrl-C ends the waiting for one that takes long.
fn take_in(keeping: &Keeping, recording: Recording, stopped: &AtomicBool, verbose: bool) {
    let run = recording.run().to_owned();
    if let Some(failure) = recording.failure() {
        terminal::say(&format!(
            "memsweep: the run is not kept as a whole: {failure}"
        ));
    }
    let later = |reason: &str| {
        terminal::say(&format!(
            "memsweep: the run is not in the inventory yet: {reason}; `memsweep runs` tries again"
        ));
    };
    match recording.finish() {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return later(&error.to_string()),
    }
    let was_stopped = stopped.load(Ordering::Relaxed);
    let (sender, receiver) = std::sync::mpsc::channel();
    let location = keeping.location.clone();
    let taking = std::thread::Builder::new().spawn(move || {
        let opened = open_at(&location).map_err(|failure| failure.message());
        let inventory = match opened {
            Ok(inventory) => inventory,
            Err(message) => return drop(sender.send(Err(message))),
        };
        // Whoever hears this may have gone on.
        let _ = sender.send(Ok(None));
        let mut inventory = inventory;
        let caught = inventory.catch_up().map_err(|error| error.to_string());
        let _ = sender.send(caught.map(Some));
    });
    if let Err(error) = taking {
        return later(&error.to_string());
    }
    let begun = Instant::now();
    let mut is_open = false;
    loop {
        match receiver.recv_timeout(LOOK_INTERVAL) {
            Ok(Ok(None)) => is_open = true,
            Ok(Ok(Some(caught))) => {
                caught.failures.iter().for_each(|failure| later(failure));
                if verbose {
                    terminal::say(&format!("memsweep: kept as run {run}"));
                }
                return;
            }
            Ok(Err(message)) => return later(&message),
            Err(RecvTimeoutError::Disconnected) => return later("it broke down"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !is_open && begun.elapsed() > OPENING_MAX {
            return later("the database does not answer");
        }
        if !was_stopped && stopped.load(Ordering::Relaxed) {
            return later("interrupted");
        }
    }
}

/// Every port that the run asks.
fn ports_of(permit: &Permit) -> Vec<u16> {
    let selection = permit.selection();
    let mut ports: BTreeSet<u16> = selection
        .blocks()
        .flat_map(|block| block.ports.iter().copied())
        .collect();
    let singles = selection.block_pairs()..selection.pairs();
    ports.extend(singles.map(|index| selection.pair(index).port));
    // A unix socket has none.
    ports.remove(&0);
    ports.into_iter().collect()
}

/// Set by the first Ctrl-C (or SIGTERM, or the end of the terminal); the second ends the process at
/// once.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let code = i32::from(Exit::Interrupted.code());
        // Without handlers Ctrl-C would end the process and lose what was found; registering can
        // fail only for signals that cannot be caught.
        let _ =
            signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stopped));
        let _ = signal_hook::flag::register(signal, Arc::clone(&stopped));
    }
    stopped
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
