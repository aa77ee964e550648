//! Where the rows are measured: a lab, and commands that run in its scanner's namespace.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::Lab;

use super::super::Bench;
use super::super::commands::{Run, measure_ending_with};
use super::super::measures::{Readings, peak_memory_mib};

/// A rate that no engine reaches, so that each sends as fast as it can.
pub(super) const FULL_RATE: &str = "100000000";

/// Exit codes of memsweep that are no fault: nothing exposed, something exposed, not finished (the
/// deadline that a row sets).
const GOOD_ENDS: [i32; 3] = [0, 1, 3];
/// The kernel's clock ticks in a second, as /proc counts them (proc_pid_stat(5), USER_HZ).
const TICKS_PER_S: f64 = 100.0;

/// A lab and the bench that measures in it.
pub(super) struct Arena<'a> {
    pub(super) bench: &'a Bench,
    pub(super) lab: Lab,
}

/// What was seen of a program while it ran.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) run: Run,
    /// Frames at the far end of the cable.
    pub(super) frames: Readings,
    /// The most memory it had.
    pub(super) peak_mib: f64,
    /// Processor time, the kernel's for it included.
    pub(super) cpu_s: f64,
}

impl Arena<'_> {
    /// Cable and namespaces, with nothing behind the gateway.
    pub(super) fn new(bench: &Bench) -> Arena<'_> {
        Arena {
            bench,
            lab: Lab::new(),
        }
    }

    /// A scan by memsweep as root in the scanner's namespace, with results as NDJSON on stdout.
    pub(super) fn scan(&self, arguments: &str) -> Command {
        let memsweep = self.bench.memsweep.to_string_lossy();
        let mut command = self.lab.scanner.command(&memsweep);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/nonexistent")
            .env("MEMSWEEP_INVENTORY", "none")
            .env("LC_ALL", "C")
            .args(["scan", "--quiet", "-o", "ndjson"])
            .args(arguments.split_whitespace());
        command
    }

    /// Another program in the scanner's namespace.
    pub(super) fn peer(&self, program: &str, arguments: &str) -> Command {
        let mut command = self.lab.scanner.command(program);
        command.args(arguments.split_whitespace());
        command
    }

    /// How often each row is measured.
    pub(super) fn rounds(&self) -> usize {
        self.bench.rounds
    }

    /// Runs a command to its end and looks at it meanwhile.
    pub(super) fn watch(&self, command: &mut Command) -> Result<Seen> {
        let begin = Instant::now();
        let mut frames = Readings::default();
        let (mut peak_mib, mut cpu_s) = (0.0, 0.0);
        let run = measure_ending_with(command, &GOOD_ENDS, &mut |id| {
            frames.add(begin.elapsed(), self.lab.received_frames());
            let read = |file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}"));
            // Both are gone once it has ended; what was read last counts.
            if let Some(mib) = read("status").ok().as_deref().and_then(peak_memory_mib) {
                peak_mib = mib;
            }
            if let Some(seconds) = read("stat").ok().as_deref().and_then(cpu_seconds) {
                cpu_s = seconds;
            }
        })?;
        frames.add(
            begin.elapsed().max(Duration::from_secs_f64(run.wall_s)),
            self.lab.received_frames(),
        );
        Ok(Seen {
            run,
            frames,
            peak_mib,
            cpu_s,
        })
    }
}

/// Processor time of a process with all its threads, from the text of `/proc/ID/stat`
/// (proc_pid_stat(5)): utime and stime are the 14th and 15th field, the second is a name in
/// parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 1 0 99";
        assert_eq!(cpu_seconds(stat), Some(1.75));
        assert_eq!(cpu_seconds("7 (cut) S 1"), None);
    }
}
