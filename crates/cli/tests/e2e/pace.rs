//! The rate, held in any 100 ms for probes and interviews together: a network on which everybody
//! answers takes ten packets of conversation for each probe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Lab, MemcachedServer};

use crate::program::memsweep_in;

/// Hosts, all of them one real server.
const NETWORK: &str = "10.64.0.0/24";
const HOSTS: u64 = 256;
const WINDOW: Duration = Duration::from_millis(100);
/// What the kernel sends by itself is known afterwards; room is kept for what can be expected.
const UNASKED_PERCENT: u64 = 10;
/// Between two looks at the counter.
const LOOK: Duration = Duration::from_micros(500);

/// A look at a counter, which was read between the two times.
struct Reading {
    from: Instant,
    until: Instant,
    packets: u64,
}

fn watch(lab: &Lab, is_over: &AtomicBool) -> Vec<Reading> {
    let mut readings = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let from = Instant::now();
        let packets = lab.received_frames();
        let until = Instant::now();
        readings.push(Reading {
            from,
            until,
            packets,
        });
        thread::sleep(LOOK);
    }
    readings
}

/// The most packets that came in a window, as far as is sure: between two looks of which the second
/// was over before 100 ms had passed since the first began.
fn busiest(readings: &[Reading]) -> u64 {
    let mut busiest = 0;
    let mut last = 0;
    for first in readings {
        while last + 1 < readings.len() && readings[last + 1].until <= first.from + WINDOW {
            last += 1;
        }
        busiest = busiest.max(readings[last].packets.saturating_sub(first.packets));
    }
    busiest
}

#[track_caller]
fn check(engine: &str, rate_pps: u64) {
    let lab = Lab::new();
    lab.own(NETWORK);
    // The kernel's own questions for neighbours are no packets of ours.
    for (namespace, peer, hardware, interface) in [
        (
            &lab.scanner,
            "10.63.0.2",
            testkit::lab::GATEWAY_HARDWARE,
            "lab0",
        ),
        (
            &lab.target,
            "10.63.0.1",
            testkit::lab::SCANNER_HARDWARE,
            "lab1",
        ),
    ] {
        namespace.run(&format!(
            "ip neigh replace {peer} lladdr {hardware} dev {interface} nud permanent"
        ));
    }
    let _server =
        MemcachedServer::start_in(&lab.target, &["-l", "0.0.0.0", "-U", "11211", "-c", "2000"]);
    let is_over = AtomicBool::new(false);
    let before = lab.received_frames();
    let (run, readings) = thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&lab, &is_over));
        let rate = rate_pps.to_string();
        let arguments = ["--engine", engine, "--rate", &rate, "-o", "ndjson", NETWORK];
        let run = memsweep_in(&lab.scanner, &[&["scan"], &arguments[..]].concat());
        is_over.store(true, Ordering::Relaxed);
        (run, watching.join().unwrap())
    });
    let sent = lab.received_frames() - before;
    let records = run.records_with_code(1);
    assert_eq!(
        records.summary()["verdicts"]["exposed"],
        2 * HOSTS,
        "{engine}"
    );
    let busiest = busiest(&readings);
    let told = records.summary()["packets_sent"].as_u64().unwrap();
    let most = rate_pps / 10 * (100 + UNASKED_PERCENT) / 100;
    assert!(
        busiest <= most,
        "{engine}: {busiest} of {sent} packets in 100 ms"
    );
    // What the kernel acknowledges is counted as well.
    assert!(
        told.abs_diff(sent) * 100 <= sent * UNASKED_PERCENT,
        "{engine}: {told} told of, {sent} sent"
    );
}

#[test]
fn interviews_of_many_servers_keep_the_rate() {
    for engine in ["socket", "packet", "live"] {
        check(engine, 2_000);
    }
}
