//! Frames over real sockets between two namespaces.

use std::collections::BTreeMap;
use std::time::Instant;

use nix::errno::Errno;
use sweep::reach::Way;

use super::*;
use crate::lab::{
    BY_IPV4, BY_IPV6, Lab, Run, Tap, become_nobody, inside, range, send_round, until_it_fails,
};
use crate::survey::Interface;

fn open_for(run: &Run, threads: u32) -> Result<Carrier, FramesError> {
    open(&run.ground, &run.permit, &run.survey, threads)
}

fn small_run(interface: Interface) -> Run {
    Run::new(interface, &[(range("10.9.0.0", "10.9.0.255"), BY_IPV4)])
}

#[test]
fn every_frame_arrives_once_and_as_it_was_made() {
    // Pairs in a stint; threads; queues of the interface: parts of batches and many batches, threads
    // with queues of their own, and threads that share one.
    for (turn, threads, queues) in [
        (1, 1, 1),
        (100, 1, 2),
        (5000, 1, 1),
        (64, 2, 2),
        (300, 3, 1),
    ] {
        let lab = Lab::with_queues(queues);
        let targets = [
            (range("10.9.0.0", "10.9.15.255"), BY_IPV4),
            (range("fd00::100", "fd00::4ff"), BY_IPV6),
            (range("10.8.0.0", "10.8.0.255"), Way::Absent),
            (range("10.8.1.0", "10.8.1.255"), Way::Sockets),
        ];
        let run = Run::new(lab.interface(), &targets);
        let tap = Tap::open(&lab.far, "far0");
        let mut carrier = inside(&lab.near, || open_for(&run, threads)).expect("an engine");
        assert_eq!(carrier.transmitters.len(), threads as usize);
        assert_eq!(carrier.receivers.len(), 1);
        let expected = run.frames();
        assert_eq!(expected.len(), 2 * 2 * (4_096 + 1_024));
        let sent = send_round(&mut carrier, &run, turn);
        assert_eq!(sent, expected.len() as u64, "{turn} {threads} {queues}");
        assert!(tap.frames(sent) == expected, "{turn} {threads} {queues}");
        assert_eq!(lab.arrived(), sent, "{turn} {threads} {queues}");
    }
}

#[test]
fn a_later_round_asks_only_who_has_not_answered() {
    let lab = Lab::new();
    let run = small_run(lab.interface());
    let mut carrier = inside(&lab.near, || open_for(&run, 1)).expect("an engine");
    let pairs = run.permit.pairs();
    assert_eq!(send_round(&mut carrier, &run, 512), 2 * pairs);
    for counter in 0..pairs {
        carrier.answered.set(counter, true);
        if counter != 77 {
            carrier.answered.set(counter, false);
        }
    }
    let tap = Tap::open(&lab.far, "far0");
    assert_eq!(send_round(&mut carrier, &run, 512), 1);
    let index = run.ground.order.index_at(77).expect("a pair");
    let expected = run.frame(index, false).map(|frame| (frame, 1));
    let expected: BTreeMap<_, _> = expected.into_iter().collect();
    assert_eq!(tap.frames(1), expected);
}

#[test]
fn what_ends_an_interface_in_the_middle_ends_the_sweep_and_is_named() {
    let check = |interfere: fn(&Lab), expected: &str| {
        let (sending, _) = until_it_fails(|run| open_for(run, 1), interfere);
        assert_eq!(sending.to_string(), expected);
    };
    check(
        |lab| drop(lab.near.run("ip link set near0 down")),
        "interface near0 is down; `ip link set near0 up`",
    );
    check(
        |lab| drop(lab.far.run("ip link set far0 down")),
        "xdp engine: the link of near0 is down; `ip link show near0` tells whether it has a carrier",
    );
}

#[test]
fn an_interface_that_is_gone_is_named() {
    let lab = Lab::new();
    let run = small_run(lab.interface());
    let mut carrier = inside(&lab.near, || open_for(&run, 1)).expect("an engine");
    lab.near.run("ip link delete near0");
    let stint = Stint {
        from: 0,
        to: 1,
        round: 0,
    };
    let error = carrier.transmitters[0].transmit(&run.permit, &stint);
    assert_eq!(
        error.map_err(|error| error.to_string()),
        Err("no interface \"near0\"; `ip link` lists them".to_owned())
    );
}

#[test]
fn nothing_stays_attached() {
    let lab = Lab::new();
    let run = small_run(lab.interface());
    let is_attached = || lab.near.run("ip link show near0").contains("xdp");
    let carrier = inside(&lab.near, || open_for(&run, 2)).expect("an engine");
    assert!(!is_attached(), "copying needs no program");
    drop(carrier);

    let attach = || inside(&lab.near, || pass::attach(lab.interface().index));
    let link = attach().expect("a link");
    assert!(is_attached());
    assert_eq!(attach().map(drop), Err(Errno::EBUSY));
    drop(link);
    // A process that another test is just starting holds copies of our descriptors until it runs.
    let since = Instant::now();
    while is_attached() {
        assert!(since.elapsed() < Duration::from_secs(5), "still attached");
    }
}

#[test]
fn the_program_lets_everything_pass() {
    let lab = Lab::new();
    let _link = inside(&lab.near, || pass::attach(lab.interface().index)).expect("a link");
    let (near, far) = (Tap::open(&lab.near, "near0"), Tap::open(&lab.far, "far0"));
    let frame: Vec<u8> = (0..100).collect();
    far.send(&frame);
    assert_eq!(near.frames(1), BTreeMap::from([(frame, 1)]));
}

#[test]
fn what_does_not_fit_is_refused_with_the_mend() {
    let lab = Lab::new();
    let check = |interface: Interface, expected: &str| {
        let run = small_run(interface);
        let refused = inside(&lab.near, || open_for(&run, 1).map(drop));
        let refused = refused.map_err(|error| error.to_string());
        assert_eq!(refused, Err(expected.to_owned()));
    };
    check(
        Interface {
            layer: LinkLayer::Bare,
            hardware: None,
            ..lab.interface()
        },
        "xdp engine: near0 has no Ethernet header (tun, WireGuard, PPP); use --engine packet",
    );
    let run = small_run(lab.interface());
    let holder = inside(&lab.near, || open_for(&run, 1)).expect("an engine");
    check(
        lab.interface(),
        "xdp engine: another program holds queue 0 of near0; end it, or use --engine packet",
    );
    drop(holder);
    lab.near.run("ip link set near0 down");
    check(
        lab.interface(),
        "interface near0 is down; `ip link set near0 up`",
    );
}

#[test]
fn missing_privileges_are_named_with_the_mend() {
    let lab = Lab::new();
    let interface = lab.interface();
    let refused = inside(&lab.near, || {
        become_nobody();
        lane::open_lanes(&interface, 1).map(drop)
    });
    let text = refused.expect_err("no engine").to_string();
    let begin = "xdp engine: an AF_XDP socket: not permitted; run as root, or once `sudo setcap";
    assert!(text.starts_with(begin), "{text}");
}
