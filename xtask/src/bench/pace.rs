//! `pace`: what `--rate` promises, held against the interface's own counter.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::commands::{announce, measure_and_look};
use super::figures::{Board, Goal};
use super::measures::{Readings, findings, packets_sent_by};
use super::servers::SilentUdp;

/// Packets a second, and as many addresses that it takes some seconds.
const CASES: [(u32, &str); 2] = [(1_000, "127.68.0.0/20"), (10_000, "127.68.0.0/16")];
/// Not memcached's: servers of the other benchmarks have that.
const PORT: u16 = 21_211;
/// No stretch of this length may be much above the rate.
const STRETCH: Duration = Duration::from_millis(100);

/// `pace`.
pub(super) fn run(bench: &Bench, board: &mut Board) -> Result<()> {
    // One socket is enough to keep all of 127/8 silent; this is a namespace of our own.
    let _silent = SilentUdp::bind(&[Ipv4Addr::UNSPECIFIED], PORT)?;
    for (rate, network) in CASES {
        let mut scan = bench.scan(&format!(
            "--udp --ports {PORT} --retries 0 --rate {rate} {network}"
        ));
        announce(&scan, 1);
        let mut readings = Readings::default();
        let begin = Instant::now();
        let before = packets_sent()?;
        let run = measure_and_look(&mut scan, &mut |_| {
            if let Ok(count) = packets_sent() {
                readings.add(begin.elapsed(), count);
            }
        })?;
        let sent = packets_sent()? - before;
        let found = findings(&run.stdout)?;
        ensure!(
            found.packets_sent == sent,
            "memsweep counts {} packets, the interface {sent}",
            found.packets_sent
        );
        let rate_asked = f64::from(rate);
        let mean = readings.per_second().context("the counter did not move")?;
        let goal = Goal::Between(rate_asked * 0.95, rate_asked * 1.02);
        board.figure(&format!("sent-at-{rate}"), mean, "packets/s", goal);
        let peak = readings
            .peak_per_second(STRETCH)
            .context("the run was too short")?;
        // No window holds more than the rate; the rest is our own reading.
        let goal = Goal::Below(rate_asked * 1.05);
        board.figure(&format!("peak-at-{rate}"), peak, "packets/s", goal);
    }
    Ok(())
}

/// Packets that our loopback has sent so far.
fn packets_sent() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/self/net/dev")?;
    packets_sent_by("lo", &table).context("the kernel counts no packets of lo")
}
