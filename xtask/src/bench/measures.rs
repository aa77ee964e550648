//! Reading what others wrote: memsweep's NDJSON, and the kernel's tables in /proc.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// What a scan said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Findings {
    /// `address` and `transport` of every endpoint that was called exposed.
    pub(super) exposed: Vec<(String, String)>,
    /// How many endpoints got each verdict.
    pub(super) verdicts: BTreeMap<String, u64>,
    /// Connection attempts, datagrams and requests, as memsweep counts them.
    pub(super) packets_sent: u64,
    /// As memsweep measured it.
    pub(super) duration_s: f64,
    /// Whether every endpoint was judged.
    pub(super) complete: bool,
}

impl Findings {
    /// How many endpoints got this verdict.
    pub(super) fn of(&self, verdict: &str) -> u64 {
        self.verdicts.get(verdict).copied().unwrap_or_default()
    }
}

/// Reads a scan's NDJSON.
pub(super) fn findings(ndjson: &str) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut has_summary = false;
    for line in ndjson.lines() {
        let record: Value = serde_json::from_str(line)
            .with_context(|| format!("failed to read the NDJSON line `{line}`"))?;
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        match record["record"].as_str() {
            Some("endpoint") if record["verdict"] == "exposed" => {
                findings.exposed.push((text("address"), text("transport")));
            }
            Some("summary") => {
                has_summary = true;
                let verdicts = record["verdicts"].as_object();
                findings.verdicts = verdicts
                    .into_iter()
                    .flatten()
                    .map(|(verdict, count)| (verdict.clone(), count.as_u64().unwrap_or_default()))
                    .collect();
                findings.packets_sent = record["packets_sent"].as_u64().unwrap_or_default();
                findings.duration_s = record["duration_s"].as_f64().unwrap_or_default();
                findings.complete = record["complete"] == true;
            }
            _ => {}
        }
    }
    has_summary
        .then_some(findings)
        .context("the scan wrote no summary")
}

/// The most memory that a process ever had, in MiB, from the text of its `/proc/ID/status`
/// (proc_pid_status(5): VmHWM, "peak resident set size", in kB).
pub(super) fn peak_memory_mib(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// Packets that an interface has sent, from the text of `/proc/net/dev`: after the name come eight
/// columns of what was received, then bytes and packets of what was sent.
pub(super) fn packets_sent_by(interface: &str, table: &str) -> Option<u64> {
    let columns = table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    columns.split_whitespace().nth(9)?.parse().ok()
}

/// A counter, read again and again.
#[derive(Debug, Default)]
pub(super) struct Readings {
    readings: Vec<(Duration, u64)>,
}

impl Readings {
    /// Adds a reading; time and count never go back.
    pub(super) fn add(&mut self, at: Duration, count: u64) {
        self.readings.push((at, count));
    }

    /// Counts a second between two shares of everything that was counted, each 0 to 1. `None` if it
    /// was counted in one piece.
    pub(super) fn slope(&self, from_share: f64, to_share: f64) -> Option<f64> {
        let (_, first) = *self.readings.first()?;
        let (_, last) = *self.readings.last()?;
        let at_share = |share: f64| {
            let wanted = first as f64 + (last - first) as f64 * share;
            self.readings
                .iter()
                .find(|(_, count)| *count as f64 >= wanted)
        };
        let ((begin, low), (end, high)) = (at_share(from_share)?, at_share(to_share)?);
        (end > begin).then(|| (high - low) as f64 / (*end - *begin).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_read() {
        let ndjson = "\
{\"record\":\"run\",\"schema\":1}
{\"record\":\"endpoint\",\"address\":\"127.0.0.1\",\"transport\":\"udp\",\"verdict\":\"exposed\"}
{\"record\":\"endpoint\",\"address\":\"127.0.0.2\",\"transport\":\"tcp\",\"verdict\":\"other\"}
{\"record\":\"summary\",\"verdicts\":{\"exposed\":1,\"other\":1},\"packets_sent\":7,\"duration_s\":0.25,\"complete\":true}
";
        let found = findings(ndjson).unwrap();
        assert_eq!(found.exposed, [("127.0.0.1".to_owned(), "udp".to_owned())]);
        assert_eq!((found.of("other"), found.of("silent")), (1, 0));
        assert_eq!((found.packets_sent, found.duration_s), (7, 0.25));
        assert!(found.complete);
        assert!(findings("{\"record\":\"run\"}\n").is_err());
        assert!(findings("{\"record\":").is_err());
    }

    #[test]
    fn peak_memory_is_read() {
        let status = "Name:\tmemsweep\nVmPeak:\t  999999 kB\nVmHWM:\t    6144 kB\n";
        assert_eq!(peak_memory_mib(status), Some(6.0));
        assert_eq!(peak_memory_mib("Name:\tkthreadd\n"), None);
        assert_eq!(peak_memory_mib("VmHWM:\tmuch\n"), None);
    }

    #[test]
    fn packets_of_an_interface_are_read() {
        let table = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:    1200      20    0    0    0     0          0         0     1260      21    0    0
  eth0: 5 6 0 0 0 0 0 0 7 8 0 0
";
        assert_eq!(packets_sent_by("lo", table), Some(21));
        assert_eq!(packets_sent_by("eth0", table), Some(8));
        assert_eq!(packets_sent_by("eth", table), None);
    }

    fn readings(counts: &[(u64, u64)]) -> Readings {
        let mut readings = Readings::default();
        for (at_ms, count) in counts {
            readings.add(Duration::from_millis(*at_ms), *count);
        }
        readings
    }

    #[test]
    fn slopes_leave_out_both_ends() {
        let slope = |counts: &[(u64, u64)]| readings(counts).slope(0.1, 0.9);
        let slow_ends = [(0, 0), (500, 10), (600, 60), (650, 90), (2_000, 100)];
        assert_eq!(slope(&slow_ends), Some(80.0 / 0.150));
        assert_eq!(slope(&[(0, 0), (500, 10)]), None);
        assert_eq!(slope(&[(0, 7), (500, 7)]), None);
        assert_eq!(slope(&[]), None);
    }
}
