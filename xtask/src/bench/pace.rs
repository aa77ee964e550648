//! `pace`: what `--rate` promises, held against the interface's own counter.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::Counter;

use super::Bench;
use super::commands::{announce, measure};
use super::figures::{Board, Goal};
use super::measures::{findings, packets_sent_by};
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
        let (run, counter) = Counter::watch(|| packets_sent().ok(), || measure(&mut scan));
        let run = run?;
        let sent = counter.total();
        let found = findings(&run.stdout)?;
        ensure!(
            found.packets_sent == sent,
            "memsweep counts {} packets, the interface {sent}",
            found.packets_sent
        );
        let rate_asked = f64::from(rate);
        let mean = counter.per_second().context("the counter did not move")?;
        let goal = Goal::Between(rate_asked * 0.95, rate_asked * 1.02);
        board.figure(&format!("sent-at-{rate}"), mean, "packets/s", goal);
        let peak = counter.busiest(STRETCH) as f64 / STRETCH.as_secs_f64();
        // No window holds more than the rate, of packets that nobody answers.
        let goal = Goal::Below(rate_asked + 1.0);
        board.figure(&format!("peak-at-{rate}"), peak, "packets/s", goal);
    }
    Ok(())
}

/// Packets that our loopback has sent so far.
fn packets_sent() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/self/net/dev")?;
    packets_sent_by("lo", &table).context("the kernel counts no packets of lo")
}
