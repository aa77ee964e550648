//! The rate, held in any 100 ms for probes and interviews together: a network on which everybody
//! answers takes ten packets of conversation for each probe.

use std::time::Duration;

use testkit::{Counter, Lab, MemcachedServer};

use crate::program::memsweep_in;

/// Hosts, all of them one real server.
const NETWORK: &str = "10.64.0.0/24";
const HOSTS: u64 = 256;
const WINDOW: Duration = Duration::from_millis(100);
/// What the kernel sends by itself is known afterwards; room is kept for what can be expected.
const UNASKED_PERCENT: u64 = 10;

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
    let rate = rate_pps.to_string();
    let arguments = ["scan", "--engine", engine, "--rate", &rate];
    let arguments = [&arguments[..], &["-o", "ndjson", NETWORK]].concat();
    let (run, counter) = Counter::watch(
        || Some(lab.received_frames()),
        || memsweep_in(&lab.scanner, &arguments),
    );
    let sent = counter.total();
    let records = run.records_with_code(1);
    assert_eq!(
        records.summary()["verdicts"]["exposed"],
        2 * HOSTS,
        "{engine}"
    );
    let busiest = counter.busiest(WINDOW);
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
