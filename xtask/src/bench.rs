//! `cargo xtask bench`: how fast, how frugal and how exact memsweep is, beside nmap where nmap does
//! the same job.
//!
//! Everything happens in a network namespace of the bench's own, on its loopback (`sweep`: on a cable
//! between two more of them): no packet leaves the machine, no server of the developer's is met, and
//! the interface's counters count nothing but the bench. A process namespace goes with it, whose end takes along all that was started in it.
//!
//! Figures go to stdout, one a line (`NAME: value unit`); the commands and the talk go to stderr.

mod commands;
mod dump;
mod figures;
mod impostors;
mod inventory;
mod measures;
mod pace;
mod precision;
mod servers;
mod silent_udp;
mod sixtyfive_thousand;
mod speed;
mod sweep;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::ground::{self, Ground};
use figures::Board;
pub(crate) use sweep::ROWS;

/// One benchmark.
pub(crate) struct Benchmark {
    /// The name that is typed, and the beginning of its figures' names.
    pub(crate) name: &'static str,
    /// What it measures, for the line that announces it.
    about: &'static str,
    /// Whether `all` means it too.
    is_of_all: bool,
    action: fn(&Bench, &mut Board) -> Result<()>,
}

/// All benchmarks, quick ones first.
pub(crate) const BENCHMARKS: [Benchmark; 9] = [
    Benchmark {
        name: "startup",
        about: "how long `memsweep --version` takes",
        is_of_all: true,
        action: speed::startup,
    },
    Benchmark {
        name: "one-server",
        about: "one real server with TCP and UDP open, to the full verdict",
        is_of_all: true,
        action: speed::one_server,
    },
    Benchmark {
        name: "precision",
        about: "real servers among impostors: who is called exposed",
        is_of_all: true,
        action: precision::run,
    },
    Benchmark {
        name: "pace",
        about: "packets a second that really leave, beside what was asked for",
        is_of_all: true,
        action: pace::run,
    },
    Benchmark {
        name: "sixtyfive-thousand",
        about: "65,536 addresses over both transports, 64 real servers among them",
        is_of_all: true,
        action: sixtyfive_thousand::run,
    },
    Benchmark {
        name: "silent-udp",
        about: "254 UDP ports that never answer",
        is_of_all: true,
        action: silent_udp::run,
    },
    Benchmark {
        name: "dump",
        about: "1,000,000 keys dumped, beside memcached-tool, and replayed",
        is_of_all: true,
        action: dump::run,
    },
    Benchmark {
        name: "inventory",
        about: "1,000,000 endpoints imported and searched, two runs of 100,000 compared",
        is_of_all: true,
        action: inventory::run,
    },
    Benchmark {
        name: "sweep",
        about: "the packet engines beside zmap, masscan and nmap, on a cable of their own",
        // Half an hour, as root, with peers that the tests do not need.
        is_of_all: false,
        action: sweep::run,
    },
];

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// A benchmark's name; if `None`, all that `all` means.
    pub(crate) only: Option<String>,
    /// Whether to leave out nmap where it takes longer than some 20 seconds.
    pub(crate) skip_slow_peers: bool,
    /// The one row of `sweep`; all if `None`.
    pub(crate) row: Option<String>,
    /// How often `sweep` measures; `None` as often as counts.
    pub(crate) rounds: Option<usize>,
}

/// What a benchmark works with.
struct Bench {
    ground: Ground,
    /// The release binary.
    memsweep: PathBuf,
    skip_slow_peers: bool,
    /// The row of `sweep` that was asked for.
    row: Option<String>,
    /// How often `sweep` measures.
    rounds: usize,
    /// Whether we are root only in a user namespace of our own.
    is_user_namespace: bool,
}

/// The first process of the namespaces. It stays, because the first process of a process namespace
/// is immune to Ctrl-C, and what it waits for is not.
const FIRST_PROCESS: &str = "ip link set lo up && \"$@\"; exit $?";

/// Builds the release binary and starts the benchmarks in their namespaces. Returns only if that
/// fails: this process becomes the one that holds the namespaces.
pub(crate) fn run(ground: &Ground, options: &Options) -> Result<()> {
    ground::run(&mut ground.cargo(&["build", "--release", "--locked"]))?;
    let memsweep = target_folder(ground)?.join("release/memsweep");
    let rounds = options.rounds.map(|rounds| rounds.to_string());
    let ourselves = std::env::current_exe().context("failed to find our own program")?;
    let mut unshare = ground.command("unshare");
    if ground::output(ground.command("id").arg("-u"))?.trim() != "0" {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare
        .args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child"])
        .args(["--", "sh", "-c", FIRST_PROCESS, "sh"])
        .arg(ourselves)
        .arg("bench-inside")
        .arg(memsweep)
        .arg(options.only.as_deref().unwrap_or("all"))
        .args(options.skip_slow_peers.then_some("--skip-slow-peers"))
        .args(options.row.iter().flat_map(|row| ["--only", row]))
        .args(rounds.iter().flat_map(|rounds| ["--rounds", rounds]))
        // By it the program inside finds the repository, as we did.
        .env("CARGO_MANIFEST_DIR", ground.path("xtask"));
    let error = unshare.exec();
    Err(error).context("failed to start unshare (package util-linux)")
}

/// Runs the benchmarks; we are inside the namespaces.
pub(crate) fn run_inside(ground: Ground, memsweep: &Path, options: &Options) -> Result<()> {
    let bench = Bench {
        ground,
        memsweep: memsweep.to_owned(),
        skip_slow_peers: options.skip_slow_peers,
        row: options.row.clone(),
        rounds: options.rounds.unwrap_or(sweep::ROUNDS),
        is_user_namespace: is_user_namespace()?,
    };
    let mut board = Board::default();
    let is_wanted = |benchmark: &&Benchmark| match &options.only {
        Some(only) => only == benchmark.name,
        None => benchmark.is_of_all,
    };
    for benchmark in BENCHMARKS.iter().filter(is_wanted) {
        eprintln!("==> {}: {}", benchmark.name, benchmark.about);
        board.begin(benchmark.name);
        (benchmark.action)(&bench, &mut board)
            .with_context(|| format!("benchmark `{}` failed", benchmark.name))?;
    }
    match board.missed() {
        [] => Ok(()),
        missed => bail!("goals missed: {}", missed.join("; ")),
    }
}

/// Whether root here is somebody else outside: the first user namespace maps all ids to themselves
/// (user_namespaces(7)).
fn is_user_namespace() -> Result<bool> {
    let map = std::fs::read_to_string("/proc/self/uid_map").context("failed to read uid_map")?;
    Ok(map.split_whitespace().ne(["0", "0", "4294967295"]))
}

fn target_folder(ground: &Ground) -> Result<PathBuf> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--locked"];
    let json = ground::output(&mut ground.cargo(&arguments))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&json).context("failed to read what cargo metadata printed")?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("cargo metadata names no target folder")
}
