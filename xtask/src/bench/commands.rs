//! Starting what is measured: memsweep and its peers, with a stopwatch and a look at them while
//! they run.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use crate::ground::command_line;

/// Nothing that is measured takes longer, on any machine that is worth measuring on.
const RUN_MAX: Duration = Duration::from_secs(600);
/// How often a running program is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What a run came to.
#[derive(Debug)]
pub(super) struct Run {
    /// From start to end, in seconds.
    pub(super) wall_s: f64,
    /// What it printed.
    pub(super) stdout: String,
}

impl Bench {
    /// A memsweep command that knows nothing of the developer's own settings.
    pub(super) fn memsweep(&self, arguments: &str) -> Command {
        let mut command = self.ground.command(&self.memsweep);
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("MEMSWEEP_INVENTORY", "none")
            .env("LC_ALL", "C")
            .args(arguments.split_whitespace());
        command
    }

    /// A scan, silent on stderr, with results as NDJSON on stdout.
    pub(super) fn scan(&self, arguments: &str) -> Command {
        self.memsweep(&format!("scan --quiet -o ndjson {arguments}"))
    }

    /// An nmap command.
    pub(super) fn nmap(&self, arguments: &str) -> Command {
        let mut command = self.ground.command("nmap");
        command.args(arguments.split_whitespace());
        command
    }
}

/// Says on stderr what is run, and how often.
pub(super) fn announce(command: &Command, times: usize) {
    match times {
        1 => eprintln!("    {}", command_line(command)),
        _ => eprintln!("    {} ({times} times)", command_line(command)),
    }
}

/// Runs a command to its end.
pub(super) fn measure(command: &mut Command) -> Result<Run> {
    measure_and_look(command, &mut |_| {})
}

/// Runs a command to its end and lets `look` see its process id every few milliseconds.
pub(super) fn measure_and_look(command: &mut Command, look: &mut dyn FnMut(u32)) -> Result<Run> {
    // memsweep's 1 means that something is exposed.
    measure_ending_with(command, &[0, 1], look)
}

/// The same for a command that may end with one of these exit codes.
pub(super) fn measure_ending_with(
    command: &mut Command,
    exit_codes: &[i32],
    look: &mut dyn FnMut(u32),
) -> Result<Run> {
    let line = command_line(command);
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{line}`"))?;
    let read = read_and_look(&mut child, begin, look);
    if read.is_err() {
        // It may have ended by itself by now; waited for it must be in any case.
        let _ = child.kill();
    }
    let status = child
        .wait()
        .with_context(|| format!("failed to wait for `{line}`"))?;
    let wall_s = begin.elapsed().as_secs_f64();
    let stdout = read.with_context(|| format!("`{line}` was given up"))?;
    if !status.code().is_some_and(|code| exit_codes.contains(&code)) {
        bail!("`{line}` ended with {status}");
    }
    Ok(Run { wall_s, stdout })
}

fn read_and_look(child: &mut Child, begin: Instant, look: &mut dyn FnMut(u32)) -> Result<String> {
    let mut stdout = child.stdout.take().context("no pipe to read from")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text).map(|_| text);
        // Nobody listens any more if the run was given up.
        let _ = sender.send(read);
    });
    loop {
        match receiver.recv_timeout(LOOK_INTERVAL) {
            Ok(read) => return read.context("failed to read what it printed"),
            Err(RecvTimeoutError::Timeout) if begin.elapsed() < RUN_MAX => look(child.id()),
            Err(RecvTimeoutError::Timeout) => bail!("no end after {} s", RUN_MAX.as_secs()),
            Err(RecvTimeoutError::Disconnected) => bail!("the reading thread broke off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_its_output_and_is_looked_at() {
        let mut looks = 0;
        let mut command = Command::new("sh");
        command.args(["-c", "read line; echo \"got $line\"; exit 1"]);
        let run = measure(&mut command).unwrap();
        assert_eq!(run.stdout, "got \n");
        let mut command = Command::new("sleep");
        let run = measure_and_look(command.arg("0.1"), &mut |_| looks += 1).unwrap();
        assert!(run.wall_s >= 0.1, "{run:?}");
        assert!(looks > 0);
    }

    #[test]
    fn a_failure_is_told() {
        let mut command = Command::new("sh");
        let error = measure(command.args(["-c", "exit 2"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c exit 2` ended with exit status: 2"
        );
    }
}
