//! From a job to an exit code: it is run, told to outputs and log, and taken into the inventory.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use engine::keep::Recording;
use engine::verify::Verifier;
use engine::ways::{self, Opened};
use engine::{Job, Outcome};
use frames::{FramesError, Tap};
use model::Summary;
use nix::net::if_::if_nametoindex;
use report::nagios::{self, Thresholds};
use report::{Format, Style, TextOptions};
use sockets::ReverseNames;
use store::Logs;
use targets::Permit;

use crate::commands::job::{Keeping, Prepared};
use crate::commands::telling::Teller;
use crate::exit::{Exit, Failure};
use crate::flags::OutputFlags;
use crate::inventory::open_at;
use crate::outputs::Outputs;
use crate::progress::ProgressLine;
use crate::terminal;

/// How long a database may take to be opened before a scan ends without it.
const OPENING_MAX: Duration = Duration::from_secs(15);
/// How often Ctrl-C is looked for while a run is taken in.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

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
    let options = text_options(output, style);
    let language = options.language;
    let outputs = open_outputs(output, resumed, &options, prepared.thresholds)?;
    if !output.quiet {
        for remark in &prepared.remarks {
            terminal::say(&format!("memsweep: {remark}"));
        }
    }
    let stopped = stop_flag();
    let mut job = prepared.job.clone();
    let mut opened = open_way(prepared, &mut job, output, &stopped)?;
    let tap = outputs
        .wants_frames()
        .then(|| Tap::open(&ports_of(&prepared.permit)))
        .transpose()
        .map_err(Failure::usage)?;
    outputs.make_room()?;
    let recording = recording(prepared, &job)?;
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
    job.prepared_in = prepared.begun.elapsed();
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

/// Finds what is mistyped before a link is asked for its hosts: an output that cannot be written, an
/// interface that is not there. What only an engine finds out, it finds out later.
pub(crate) fn check_ready(
    output: &OutputFlags,
    resumed: Option<&Path>,
    interface: Option<&str>,
) -> Result<(), Failure> {
    let options = text_options(output, Style::Scan);
    // Who reads a pipe would take this for its end.
    let mut files = output.clone();
    files.output.retain(|typed| !is_pipe(typed));
    open_outputs(&files, resumed, &options, Thresholds::default())?;
    match interface {
        Some(name) if if_nametoindex(name).is_err() => {
            let name = name.to_owned();
            Err(Failure::usage(FramesError::NoInterface { name }))
        }
        _ => Ok(()),
    }
}

/// Whether an output goes to something that is neither a file nor yet to be made.
fn is_pipe(typed: &str) -> bool {
    let path = typed.split_once('=').map(|(_, path)| Path::new(path));
    path.and_then(|path| path.metadata().ok())
        .is_some_and(|metadata| !metadata.is_file())
}

fn text_options(output: &OutputFlags, style: Style) -> TextOptions {
    TextOptions {
        width_columns: terminal::width_columns(),
        color: terminal::color(output.color),
        language: terminal::language(output.lang),
        style,
        verbose: output.verbose,
    }
}

fn open_outputs(
    output: &OutputFlags,
    resumed: Option<&Path>,
    options: &TextOptions,
    thresholds: Thresholds,
) -> Result<Outputs, Failure> {
    Outputs::open(&output.output, resumed, &|format| match format {
        Format::Nagios => nagios::writer(thresholds),
        other => report::writer(other, options),
    })
}

/// Opens the engine that was wished for; the job learns which one it is, and how much of its deadline
/// is left.
fn open_way(
    prepared: &Prepared,
    job: &mut Job,
    output: &OutputFlags,
    stopped: &AtomicBool,
) -> Result<Opened, Failure> {
    let begun = prepared.begun;
    let opened = ways::open(
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
    Ok(opened)
}

/// Begins the log of a run that is kept, or goes on with the one that it continues.
fn recording(prepared: &Prepared, job: &Job) -> Result<Option<Recording>, Failure> {
    let Some(keeping) = &prepared.keeping else {
        return Ok(None);
    };
    let logs = Logs::new(keeping.location.logs());
    let recording = match &keeping.resumes {
        Some(run) => Recording::resume(&logs, run),
        None => Recording::begin(&logs, &job.run.run),
    };
    match recording.failure() {
        // Two who continue one run would ask everything twice.
        Some(failure) if keeping.resumes.is_some() => Err(Failure::usage(failure)),
        _ => Ok(Some(recording)),
    }
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
