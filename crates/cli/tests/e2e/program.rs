//! Runs the built program, watches it while it runs, and keeps what it wrote.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::Namespace;

use crate::records::Records;

const PROGRAM: &str = env!("CARGO_BIN_EXE_memsweep");
/// No run of these tests takes nearly as long; one that does hangs.
const RUN_MAX: Duration = Duration::from_secs(40);
/// How often a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A finished run.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
    /// The most memory it held, as last seen before its end.
    pub(crate) memory_kib_max: u64,
}

impl Run {
    /// Its standard output, read as NDJSON.
    pub(crate) fn records(&self) -> Records {
        assert!(!self.stdout.is_empty(), "no output: {self:?}");
        Records::parse(&self.stdout)
    }

    /// The same, once the exit code is as expected.
    #[track_caller]
    pub(crate) fn records_with_code(&self, code: i32) -> Records {
        let records = self.records();
        let verdicts = records.verdicts();
        assert_eq!(self.code, Some(code), "{verdicts:#?}\n{}", self.stderr);
        records
    }
}

/// The program with these arguments, in a clean environment.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = testkit::binary(PROGRAM);
    command.args(arguments);
    command
}

/// The same inside a network namespace.
pub(crate) fn program_in(namespace: &Namespace, arguments: &[&str]) -> Command {
    let mut command = namespace.command(PROGRAM);
    clean(&mut command);
    command.args(arguments);
    command
}

/// Gives a command the environment of [`program`].
fn clean(command: &mut Command) {
    let clean = testkit::binary(PROGRAM);
    command.env_clear();
    for (name, value) in clean.get_envs() {
        command.env(name, value.unwrap_or(OsStr::new("")));
    }
}

/// Runs the program to its end.
pub(crate) fn memsweep(arguments: &[&str]) -> Run {
    Running::start(program(arguments)).finish()
}

/// The same as nobody, without any capability, from a place that nobody may read.
pub(crate) fn memsweep_as_nobody(namespace: &Namespace, arguments: &[&str]) -> Run {
    let folder = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let copy = folder.path().join("memsweep");
    fs::copy(PROGRAM, &copy).unwrap();
    let mut command = namespace.command("setpriv");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]);
    command.arg(&copy).args(arguments);
    Running::start(command).finish()
}

/// Runs the program as root of a user namespace with a network of its own, as in a container.
pub(crate) fn memsweep_contained(arguments: &[&str]) -> Run {
    let mut command = Command::new("unshare");
    clean(&mut command);
    command.args(["--user", "--map-root-user", "--net", "--", PROGRAM]);
    command.args(arguments);
    Running::start(command).finish()
}

/// Runs the program inside a namespace to its end.
pub(crate) fn memsweep_in(namespace: &Namespace, arguments: &[&str]) -> Run {
    Running::start(program_in(namespace, arguments)).finish()
}

/// A run that is not over.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: JoinHandle<String>,
    began: Instant,
    memory_kib_max: u64,
}

impl Running {
    /// Starts a command and reads everything it writes.
    pub(crate) fn start(command: Command) -> Running {
        let (mut running, stdout) = Running::start_unread(command);
        running.stdout = Some(read_all(stdout));
        running
    }

    /// Starts a command and leaves its standard output to the caller.
    pub(crate) fn start_unread(mut command: Command) -> (Running, ChildStdout) {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = read_all(child.stderr.take().unwrap());
        let running = Running {
            child,
            stdout: None,
            stderr,
            began,
            memory_kib_max: 0,
        };
        (running, stdout)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits until a file of this run says what is wanted of it.
    pub(crate) fn wait_for(&mut self, path: &Path, wanted: impl Fn(&str) -> bool) {
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if wanted(&text) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "ended ({ended:?}) before it wrote what was waited for: {text}"
            );
            self.look();
        }
    }

    /// Waits until something is so, for which it must not end.
    pub(crate) fn wait_until(&mut self, is_so: impl Fn() -> bool) {
        while !is_so() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended too early: {ended:?}");
            self.look();
        }
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Run {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.look();
        };
        Run {
            code: status.code(),
            signal: status.signal(),
            elapsed: self.began.elapsed(),
            memory_kib_max: self.memory_kib_max,
            stdout: self
                .stdout
                .map_or_else(String::new, |reader| reader.join().unwrap()),
            stderr: self.stderr.join().unwrap(),
        }
    }

    /// Measures, and waits a little. A run that hangs is ended, and fails its test.
    fn look(&mut self) {
        if let Some(kib) = memory_kib_max(self.child.id()) {
            self.memory_kib_max = self.memory_kib_max.max(kib);
        }
        if self.began.elapsed() > RUN_MAX {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            panic!("it ran for more than {RUN_MAX:?}");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The peak of a process's resident memory (`VmHWM` of proc(5)); `None` when it has ended.
fn memory_kib_max(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn read_all(mut source: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).expect("all output is UTF-8")
    })
}
