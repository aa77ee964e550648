//! 65,536 made-up hosts with a known truth, asked by every engine that needs privileges: all servers
//! are found, and nobody is made up.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use testkit::lab::{Fate, Responder};
use testkit::{Lab, Transport};

use crate::program::memsweep_in;
use crate::records::{Records, text};

const NETWORK: &str = "10.64.0.0/16";
const PREFIX_BITS: u32 = 16;
/// The engines' rate; `live` alone goes beyond what the others reach here.
const RATE: &str = "300000";

type Endpoints = BTreeSet<(Ipv4Addr, bool)>;

fn hosts(responder: &Responder, fate: Fate) -> Endpoints {
    let over = |transport| {
        let hosts = responder.hosts(responder.network, PREFIX_BITS, transport, fate);
        hosts.map(move |host| (host, transport == Transport::Udp))
    };
    over(Transport::Tcp).chain(over(Transport::Udp)).collect()
}

fn exposed(records: &Records) -> Endpoints {
    let endpoints = records.endpoints().into_iter();
    endpoints
        .filter(|record| text(record, "verdict") == "exposed")
        .map(|record| {
            let address = text(record, "address").parse().unwrap();
            (address, text(record, "transport") == "udp")
        })
        .collect()
}

/// Scans by an engine and holds what it says against the truth.
#[track_caller]
fn check(engine: &str, responder: &Responder) {
    let lab = Lab::new();
    lab.respond(responder);
    let run = memsweep_in(
        &lab.scanner,
        &[
            "scan", "--engine", engine, "--rate", RATE, "-o", "ndjson", NETWORK,
        ],
    );
    let records = run.records_with_code(1);
    assert_eq!(records.run()["vantage"]["engine"], engine);
    assert_eq!(records.summary()["complete"], true);

    let (found, truth) = (exposed(&records), hosts(responder, Fate::Answers));
    let missed: Vec<_> = truth.difference(&found).collect();
    let made_up: Vec<_> = found.difference(&truth).collect();
    assert!(missed.is_empty(), "{engine} missed {missed:?}");
    assert!(made_up.is_empty(), "{engine} made up {made_up:?}");
    if responder.lost == 0 {
        let closed = hosts(responder, Fate::Refuses).len();
        assert_eq!(records.summary()["verdicts"]["closed"], closed, "{engine}");
    }

    let counters = lab.counters();
    assert_eq!(counters.strays, 0, "{engine} left its permit");
    assert_eq!(counters.unsent, 0, "the lab failed");
}

#[test]
fn packet_finds_every_server_and_makes_up_none() {
    check("packet", &Responder::default());
}

#[test]
fn xdp_finds_every_server_and_makes_up_none() {
    check("xdp", &Responder::default());
}

#[test]
fn live_finds_every_server_and_makes_up_none() {
    check("live", &Responder::default());
}

/// One frame in a thousand gets lost, there or back: what stayed silent is asked again, and an
/// endpoint is missed only if four questions or their answers are lost, some 10^-11 of the time.
#[test]
fn lost_frames_are_made_good() {
    let responder = Responder {
        seed: 7,
        lost: 66,
        ..Responder::default()
    };
    check("packet", &responder);
}
