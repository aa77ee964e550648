//! Frames over real sockets between two namespaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use sweep::reach::Way;
use sweep::reply::{LOOKED_AT_BYTES, LinkLayer};
use sweep::schedule::Stint;
use testkit::Namespace;

use super::*;
use crate::lab::{
    BY_IPV4, BY_IPV6, Lab, Run, Tap, become_nobody, inside, interface, ports, quiet, range,
    send_round, until_it_fails,
};

/// How long something is awaited that has to happen.
const PATIENCE: Duration = Duration::from_secs(5);

fn open_for(run: &Run, threads: u32) -> Result<Carrier, FramesError> {
    open(&run.ground, &run.permit, &run.survey, threads)
}

/// Hears until there are `expected` frames, or until patience is over.
fn hear(receiver: &mut dyn Receive, expected: usize) -> Vec<(Vec<u8>, LinkLayer)> {
    let mut heard = Vec::new();
    let since = Instant::now();
    while heard.len() < expected && since.elapsed() < PATIENCE {
        let take = &mut |frame: &[u8], layer| heard.push((frame.to_vec(), layer));
        receiver
            .receive(Duration::from_millis(100), take)
            .expect("to hear");
    }
    heard
}

#[test]
fn every_frame_arrives_once_and_as_it_was_made() {
    // Threads, and pairs in a stint: parts of batches, many batches, threads side by side.
    for (threads, turn) in [(1, 1), (1, 5_000), (2, 64), (3, 700)] {
        let lab = Lab::new();
        let targets = [
            (range("10.9.0.0", "10.9.7.255"), BY_IPV4),
            (range("fd00::100", "fd00::4ff"), BY_IPV6),
            (range("10.8.0.0", "10.8.0.255"), Way::Absent),
            (range("10.8.1.0", "10.8.1.255"), Way::Sockets),
        ];
        let run = Run::new(lab.interface(), &targets);
        let tap = Tap::open(&lab.far, "far0");
        let mut carrier = inside(&lab.near, || open_for(&run, threads)).expect("an engine");
        assert_eq!(carrier.transmitters.len(), threads as usize);
        let expected = run.frames();
        assert_eq!(expected.len(), 2 * 2 * (2_048 + 1_024));
        let sent = send_round(&mut carrier, &run, turn);
        assert_eq!(sent, expected.len() as u64, "{threads} {turn}");
        assert!(tap.frames(sent) == expected, "{threads} {turn}");
        assert_eq!(lab.arrived(), sent, "{threads} {turn}");
    }
}

#[test]
fn who_has_answered_is_not_asked_again() {
    let lab = Lab::new();
    let run = Run::new(
        lab.interface(),
        &[(range("10.9.0.0", "10.9.0.255"), BY_IPV4)],
    );
    let mut carrier = inside(&lab.near, || open_for(&run, 1)).expect("an engine");
    for counter in 0..run.permit.pairs() {
        carrier.answered.set(counter, true);
        if counter != 77 {
            carrier.answered.set(counter, false);
        }
    }
    let tap = Tap::open(&lab.far, "far0");
    assert_eq!(send_round(&mut carrier, &run, 512), 1);
    let index = run.ground.order.index_at(77).expect("a pair");
    let expected = run.frame(index, false).map(|frame| (frame, 1));
    assert_eq!(
        tap.frames(1),
        expected.into_iter().collect::<BTreeMap<_, _>>()
    );
}

/// An IPv4 datagram in Ethernet to this port, as long as asked.
fn datagram(port: u16, bytes: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend_from_slice(&[10, 9, 0, 1, 10, 63, 0, 1, 0x2b, 0xcb]);
    frame.extend_from_slice(&port.to_be_bytes());
    frame.resize(bytes, 0);
    frame
}

#[test]
fn only_what_may_be_ours_is_heard_from_the_opening_on() {
    let lab = Lab::new();
    let run = Run::new(
        lab.interface(),
        &[(range("10.9.0.0", "10.9.0.255"), BY_IPV4)],
    );
    let mut carrier = inside(&lab.near, || open_for(&run, 1)).expect("an engine");
    let ours = ports().0;
    let (near, far) = (Tap::open(&lab.near, "near0"), Tap::open(&lab.far, "far0"));
    // Ours going out, others' coming in: none of our business.
    near.send(&datagram(ours[0], 60));
    far.send(&datagram(ours[0] + 1, 60));
    far.send(&datagram(11211, 60));
    let mut expected = Vec::new();
    for port in ours {
        far.send(&datagram(port, 60));
        expected.push((datagram(port, 60), LinkLayer::Ethernet));
    }
    // The kernel takes the tag off before a packet socket sees the frame.
    let mut tagged = datagram(ours[5], 60);
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    far.send(&tagged);
    expected.push((datagram(ours[5], 60), LinkLayer::Ethernet));
    far.send(&datagram(ours[6], 1_000));
    expected.push((datagram(ours[6], LOOKED_AT_BYTES), LinkLayer::Ethernet));
    let receiver = &mut *carrier.receivers[0];
    assert_eq!(hear(receiver, expected.len()), expected);
    assert_eq!(receiver.take_lost(), 0);
}

#[test]
fn silence_is_waited_out() {
    let lab = Lab::new();
    let run = Run::new(
        lab.interface(),
        &[(range("10.9.0.0", "10.9.0.255"), BY_IPV4)],
    );
    let mut carrier = inside(&lab.near, || open_for(&run, 1)).expect("an engine");
    let since = Instant::now();
    let wait = Duration::from_millis(30);
    carrier.receivers[0]
        .receive(wait, &mut |frame, _| panic!("{frame:?}"))
        .expect("to wait");
    assert!(since.elapsed() >= wait);
}

#[test]
fn what_the_ring_cannot_hold_is_counted() {
    const SENT: u64 = 40_000;
    let lab = Lab::new();
    let run = Run::new(
        lab.interface(),
        &[(range("10.9.0.0", "10.9.0.255"), BY_IPV4)],
    );
    let mut carrier = inside(&lab.near, || open_for(&run, 1)).expect("an engine");
    let tap = Tap::open(&lab.far, "far0");
    let frame = datagram(ports().0[0], LOOKED_AT_BYTES);
    for _ in 0..SENT {
        tap.send(&frame);
    }
    let receiver = &mut *carrier.receivers[0];
    let (mut heard, mut lost) = (0, 0);
    let since = Instant::now();
    while heard + lost < SENT && since.elapsed() < PATIENCE {
        lost += receiver.take_lost();
        let wait = Duration::from_millis(100);
        receiver
            .receive(wait, &mut |_, _| heard += 1)
            .expect("to hear");
    }
    assert_eq!(heard + lost, SENT);
    assert!(lost > 0, "a ring of 8 MiB holds some 24,000 of these");
    // And then it goes on as if nothing had been.
    tap.send(&frame);
    assert_eq!(hear(receiver, 1), [(frame, LinkLayer::Ethernet)]);
}

#[test]
fn what_ends_an_interface_ends_the_sweep_and_is_named() {
    let down = "interface near0 is down; `ip link set near0 up`";
    let (sending, hearing) = until_it_fails(
        |run| open_for(run, 1),
        |lab| drop(lab.near.run("ip link set near0 down")),
    );
    assert_eq!(sending.to_string(), down);
    assert_eq!(
        hearing.map(|error| error.to_string()).as_deref(),
        Some(down)
    );

    let (sending, hearing) = until_it_fails(
        |run| open_for(run, 1),
        |lab| drop(lab.far.run("ip link set far0 down")),
    );
    assert_eq!(
        sending.to_string(),
        "packet engine: interface near0 takes no frames; see that its link is there: `ip link show \
         near0`"
    );
    assert_eq!(hearing, None);
}

#[test]
fn an_interface_that_is_gone_is_named() {
    let lab = Lab::new();
    let run = Run::new(
        lab.interface(),
        &[(range("10.9.0.0", "10.9.0.255"), BY_IPV4)],
    );
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
fn missing_privileges_and_interfaces_are_named_with_the_mend() {
    let lab = Lab::new();
    let targets = [(range("10.9.0.0", "10.9.0.255"), BY_IPV4)];
    let opened = |run: &Run, lab: &Lab, nobody: bool| {
        let refused = inside(&lab.near, || {
            if nobody {
                become_nobody();
            }
            open_for(run, 1).map(drop)
        });
        refused.expect_err("no engine").to_string()
    };
    let run = Run::new(lab.interface(), &targets);
    let text = opened(&run, &lab, true);
    let begin = "packet engine: a packet socket: not permitted; run as root, or once `sudo setcap";
    assert!(text.starts_with(begin), "{text}");

    let mut elsewhere = lab.interface();
    elsewhere.index += 1_000;
    let run = Run::new(elsewhere, &targets);
    assert_eq!(
        opened(&run, &lab, false),
        "no interface \"near0\"; `ip link` lists them"
    );

    let run = Run::new(lab.interface(), &targets);
    lab.near.run("ip link set near0 down");
    assert_eq!(
        opened(&run, &lab, false),
        "interface near0 is down; `ip link set near0 up`"
    );
}

/// An interface without Ethernet, whose other end is a file. Packets there are led by
/// [`tun_header`].
fn tun(namespace: &Namespace) -> File {
    /// linux/if_tun.h: `_IOW('T', 202, int)`, IFF_TUN.
    const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
    const TUN: libc::c_short = 0x0001;
    let tun = inside(namespace, || {
        let tun = File::options().read(true).write(true).open("/dev/net/tun");
        let tun = tun.expect("the tun device");
        // SAFETY: integers, for which zeros are a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(b"tun0") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = TUN;
        // SAFETY: the request is one of an interface and lives through the call.
        let result = unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETIFF, &raw mut request) };
        assert_eq!(result, 0, "{}", nix::errno::Errno::last());
        tun
    });
    quiet(namespace);
    namespace.run(&format!("ip link set tun0 txqueuelen {TUN_QUEUE} up"));
    tun
}

/// Packets that wait in the interface at most: fewer than a batch, so that it fills up.
const TUN_QUEUE: usize = 100;

/// What the kernel says of a packet: no flags, and its protocol.
fn tun_header(packet: &[u8]) -> [u8; 4] {
    match packet[0] >> 4 {
        4 => [0, 0, 0x08, 0x00],
        _ => [0, 0, 0x86, 0xdd],
    }
}

/// How many packets the interface had no room for.
fn refused(namespace: &Namespace) -> u64 {
    let path = format!("/proc/{}/net/dev", namespace.process_id());
    let table = std::fs::read_to_string(path).expect("the interfaces' counters");
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix("tun0:"));
    let dropped = line.and_then(|line| line.split_whitespace().nth(11)?.parse().ok());
    dropped.expect("the twelfth counter")
}

#[test]
fn interfaces_without_ethernet_carry_both_families_and_congestion_is_waited_out() {
    let near = Namespace::new();
    let mut far = tun(&near);
    let targets = [
        (range("10.9.0.0", "10.9.0.255"), BY_IPV4),
        (range("fd00::100", "fd00::1ff"), BY_IPV6),
    ];
    let run = Run::new(interface(&near, "tun0", LinkLayer::Bare), &targets);
    let mut carrier = inside(&near, || open_for(&run, 1)).expect("an engine");
    let expected = run.frames();
    let seen = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_round(&mut carrier, &run, 1_000));
        let since = Instant::now();
        while refused(&near) == 0 {
            assert!(since.elapsed() < PATIENCE, "the queue never filled");
            std::thread::yield_now();
        }
        let mut seen = BTreeMap::new();
        for _ in 0..expected.len() {
            let mut polled = [PollFd::new(far.as_fd(), PollFlags::POLLIN)];
            let patience_ms = PATIENCE.as_millis() as u16;
            assert_eq!(poll(&mut polled, patience_ms), Ok(1), "a packet");
            let mut buffer = [0; 2_048];
            let bytes = far.read(&mut buffer).expect("a packet");
            let (header, packet) = buffer[..bytes].split_at(4);
            assert_eq!(header, tun_header(packet));
            *seen.entry(packet.to_vec()).or_default() += 1;
        }
        assert_eq!(sender.join().expect("no panic"), expected.len() as u64);
        seen
    });
    assert!(seen == expected);

    for port in [9, ports().0[9]] {
        let answer = datagram(port, 60).split_off(14);
        let packet = [&tun_header(&answer)[..], &answer].concat();
        far.write_all(&packet).expect("to answer");
    }
    let heard = hear(&mut *carrier.receivers[0], 1);
    let answer = datagram(ports().0[9], 60).split_off(14);
    assert_eq!(heard, [(answer, LinkLayer::Bare)]);
}
