//! What comes back: what proves itself, and what does not.

use std::net::IpAddr;

use model::{Contact, IcmpError, Refusal};
use proptest::prelude::*;
use targets::Permit;

use super::peer::{Seen, framed, packet, read, tagged};
use super::{KEY, bare, ethernet, ip, permit, source_ports};
use crate::cookie::CookieKey;
use crate::frame::{FRAME_BYTES_MAX, Probe, emit};
use crate::reply::{Checked, Heard, LinkLayer, OTHER_PORTS_MAX, Verifier};
use crate::strays::Proof;

const ETHERNET: LinkLayer = LinkLayer::Ethernet;

fn both_families(ports: &[u16]) -> Permit {
    permit(
        &[("10.0.0.0", "10.0.0.255"), ("fd00::100", "fd00::1ff")],
        ports,
    )
}

fn probe(address: &str, port: u16, stream: bool, layer: LinkLayer) -> Seen {
    let own = if address.contains(':') {
        "fd00::1"
    } else {
        "10.63.0.1"
    };
    let hop = match layer {
        LinkLayer::Ethernet => ethernet(own),
        LinkLayer::Bare => bare(own),
    };
    let probe = Probe {
        address: ip(address),
        port,
        stream,
    };
    let mut buffer = [0; FRAME_BYTES_MAX];
    let length = emit(&probe, &hop, &KEY, &source_ports(), &mut buffer);
    read(&buffer[..length], layer)
}

fn checked(permit: &Permit, frame: &[u8], layer: LinkLayer) -> Checked {
    let verifier = Verifier {
        permit,
        key: &KEY,
        ports: &source_ports(),
    };
    verifier.check(frame, layer)
}

fn answer(index: u64, stream: bool, heard: Heard) -> Checked {
    Checked::Answer {
        index,
        stream,
        heard,
    }
}

fn refused() -> Heard {
    Heard::Contact(Contact::Refused(Refusal::Reset))
}

#[test]
fn answers_prove_themselves() {
    let permit = both_families(&[11211, 11212]);
    for layer in [LinkLayer::Ethernet, LinkLayer::Bare] {
        for (address, port, index) in [
            ("10.0.0.0", 11211, 0),
            ("10.0.0.7", 11212, 15),
            ("10.0.0.255", 11212, 511),
            ("fd00::100", 11211, 512),
            ("fd00::1ff", 11212, 1023),
        ] {
            let syn = probe(address, port, true, layer);
            for (frame, heard) in [(syn.syn_ack(), Heard::Accepted), (syn.reset(), refused())] {
                let expect = answer(index, true, heard);
                assert_eq!(checked(&permit, &frame, layer), expect, "{address}:{port}");
            }
            let version = probe(address, port, false, layer);
            let expect = answer(index, false, Heard::Datagram);
            let frame = version.version_from(port);
            assert_eq!(checked(&permit, &frame, layer), expect, "{address}:{port}");
            // Eight bytes are enough: what they carry is not judged here.
            let [high, low] = version.request_id.to_be_bytes();
            let frame = version.datagram(port, &[high, low, 9, 9, 9, 9, 9, 9]);
            assert_eq!(checked(&permit, &frame, layer), expect);
        }
    }
}

#[test]
fn a_datagram_may_come_from_another_port() {
    let ports: Vec<u16> = (11211..11240).collect();
    let permit = both_families(&ports);
    for (port, expect) in [
        (11211, Some(0)),
        (11226, Some(15)),
        // Not among the first sixteen.
        (11227, None),
    ] {
        let version = probe("10.0.0.0", port, false, ETHERNET);
        let stray = Checked::Stray(Proof {
            request_id: version.request_id,
            port_place: (version.own_port - 40_000) as u8,
        });
        let expect = expect.map_or(stray, |index| answer(index, false, Heard::Datagram));
        for other in [53, 40_000, 65_535] {
            let frame = version.version_from(other);
            assert_eq!(checked(&permit, &frame, ETHERNET), expect, "{port}");
        }
    }
    assert_eq!(OTHER_PORTS_MAX, 16);
    // TCP has no such excuse.
    let mut syn = probe("10.0.0.0", 11211, true, ETHERNET);
    syn.port = 11212;
    assert_eq!(
        checked(&permit, &syn.syn_ack(), ETHERNET),
        Checked::Rejected
    );
}

#[test]
fn without_proof_nothing_is_believed() {
    let permit = both_families(&[11211]);
    let rejected = |frame: &[u8]| {
        assert_eq!(checked(&permit, frame, ETHERNET), Checked::Rejected);
    };
    let syn = probe("10.0.0.7", 11211, true, ETHERNET);
    for bit in 0..32 {
        rejected(&syn.segment(syn.sequence.wrapping_add(1) ^ 1 << bit, 0x12));
        rejected(&syn.segment(syn.sequence.wrapping_add(1) ^ 1 << bit, 0x14));
    }
    // A RST without ACK, a SYN, a SYN-ACK-RST, data, FIN: none answers a SYN.
    for flags in [0x04, 0x02, 0x16, 0x10, 0x18, 0x11, 0x00] {
        rejected(&syn.segment(syn.sequence.wrapping_add(1), flags));
    }
    let version = probe("10.0.0.7", 11211, false, ETHERNET);
    // What comes from the asked port to the right one of ours is worth a look.
    let unproven = |frame: &[u8], request_id: Option<u16>| {
        let proof = request_id.map(|request_id| Proof {
            request_id,
            port_place: (version.own_port - 40_000) as u8,
        });
        let expect = answer(7, false, Heard::Unproven(proof));
        assert_eq!(checked(&permit, frame, ETHERNET), expect);
    };
    // From elsewhere it is told what it repeats, and nothing of whom it means.
    let stray = |frame: &[u8], request_id: u16, own_port: u16| {
        let port_place = (own_port - 40_000) as u8;
        let expect = Checked::Stray(Proof {
            request_id,
            port_place,
        });
        assert_eq!(checked(&permit, frame, ETHERNET), expect);
    };
    for bit in 0..16 {
        let mut forged = version.clone();
        forged.request_id ^= 1 << bit;
        unproven(&forged.version_from(11211), Some(forged.request_id));
        stray(&forged.version_from(53), forged.request_id, forged.own_port);
    }
    unproven(&version.datagram(11211, b"1234567"), None);
    unproven(&version.datagram(11211, b""), None);
    // Eight bytes are there, and the header says that the last one is none of its own.
    let mut padded = version.version_from(11211);
    padded[14 + 20 + 5] = 8 + 7;
    padded[14 + 20 + 4] = 0;
    unproven(&padded, None);
    for own_port in 40_000..40_064 {
        for mut seen in [syn.clone(), version.clone()] {
            if own_port != seen.own_port {
                seen.own_port = own_port;
                rejected(&seen.syn_ack());
                if own_port != version.own_port {
                    stray(&seen.version_from(11211), seen.request_id, own_port);
                }
            }
        }
    }
    // Proven, and not in the permit: the run's secret is the same for all addresses.
    rejected(&probe("10.0.1.0", 11211, true, ETHERNET).syn_ack());
    rejected(&probe("10.0.0.7", 11212, false, ETHERNET).version_from(11212));
    rejected(&probe("10.0.0.7", 11212, false, ETHERNET).datagram(11212, b""));
    // Another address that repeats what it has overheard.
    let mut elsewhere = syn.clone();
    elsewhere.address = ip("10.0.0.8");
    rejected(&elsewhere.syn_ack());
    let frame = syn.syn_ack();
    let verifier = Verifier {
        permit: &permit,
        key: &CookieKey([1, 2]),
        ports: &source_ports(),
    };
    assert_eq!(verifier.check(&frame, ETHERNET), Checked::Rejected);
}

#[test]
fn what_is_not_for_us_is_foreign() {
    let permit = both_families(&[11211]);
    let foreign = |frame: &[u8]| {
        assert_eq!(checked(&permit, frame, ETHERNET), Checked::Foreign);
    };
    let mut syn = probe("10.0.0.7", 11211, true, ETHERNET);
    syn.own_port = 39_999;
    foreign(&syn.syn_ack());
    foreign(&syn.version_from(11211));
    syn.own_port = 40_064;
    foreign(&syn.reset());

    let (peer, own) = (ip("10.0.0.7"), ip("10.63.0.1"));
    let segment = probe("10.0.0.7", 11211, true, LinkLayer::Bare).syn_ack();
    let whole = packet(peer, own, 6, &segment[20..]);
    let changed = |at: usize, value: u8| {
        let mut changed = whole.clone();
        changed[at] = value;
        framed(&changed, ETHERNET)
    };
    let accepted = answer(7, true, Heard::Accepted);
    assert_eq!(
        checked(&permit, &framed(&whole, ETHERNET), ETHERNET),
        accepted
    );
    // More fragments; an offset; a header that is too short; another protocol or version.
    for (at, value) in [(6, 0x20), (7, 1), (0, 0x44), (9, 47), (0, 0x65), (0, 0x55)] {
        foreign(&changed(at, value));
    }
    // ARP; LLDP; a runt.
    let mut arp = framed(&whole, ETHERNET);
    arp[12..14].copy_from_slice(&[8, 6]);
    foreign(&arp);
    foreign(&arp[..13]);
    foreign(b"");
}

#[test]
fn tags_options_and_extensions_are_read_over() {
    let permit = both_families(&[11211]);
    let accepted = |index: u64| answer(index, true, Heard::Accepted);
    let ipv4 = probe("10.0.0.7", 11211, true, LinkLayer::Bare).syn_ack();
    for (tags, expect) in [
        (&[0x8100][..], accepted(7)),
        (&[0x88a8, 0x8100], accepted(7)),
        (&[0x88a8, 0x8100, 0x8100], Checked::Foreign),
        (&[0x9999], Checked::Foreign),
    ] {
        assert_eq!(
            checked(&permit, &tagged(&ipv4, tags), ETHERNET),
            expect,
            "{tags:x?}"
        );
    }

    let mut with_options = ipv4.clone();
    with_options[0] = 0x47;
    with_options[3] += 8;
    with_options.splice(20..20, [1; 8]);
    assert_eq!(
        checked(&permit, &with_options, LinkLayer::Bare),
        accepted(7)
    );

    let (peer, own) = (ip("fd00::107"), ip("fd00::1"));
    let segment = probe("fd00::107", 11211, true, LinkLayer::Bare).syn_ack()[40..].to_vec();
    let behind = |kinds: &[u8]| {
        let mut carried = Vec::new();
        for next in kinds[1..].iter().chain([&6]) {
            carried.extend([*next, 0, 0, 0, 0, 0, 0, 1]);
        }
        carried.extend(&segment);
        packet(peer, own, kinds[0], &carried)
    };
    for (kinds, expect) in [
        (&[0][..], accepted(256 + 7)),
        (&[0, 43, 60, 44], accepted(256 + 7)),
        (&[60; 8], accepted(256 + 7)),
        (&[60; 9], Checked::Foreign),
        (&[51], Checked::Foreign),
        (&[59], Checked::Foreign),
    ] {
        assert_eq!(
            checked(&permit, &behind(kinds), LinkLayer::Bare),
            expect,
            "{kinds:?}"
        );
    }
    let mut fragment = behind(&[44]);
    fragment[43] = 1;
    assert_eq!(
        checked(&permit, &fragment, LinkLayer::Bare),
        Checked::Foreign
    );
}

fn icmp(from: IpAddr, kind: u8, code: u8) -> IcmpError {
    IcmpError {
        from: Some(from),
        kind,
        code,
    }
}

#[test]
fn errors_are_believed_if_they_quote_the_probe() {
    let permit = both_families(&[11211]);
    let (router, router6) = (ip("10.63.0.254"), ip("fd00::fe"));
    let (host, host6) = (ip("10.0.0.7"), ip("fd00::107"));
    let unreachable = |from, kind, code| Contact::Unreachable(Some(icmp(from, kind, code)));
    let prohibited = |from, kind, code| Contact::Prohibited(Some(icmp(from, kind, code)));
    let refused =
        |from, kind, code| Contact::Refused(Refusal::PortUnreachable(icmp(from, kind, code)));
    for stream in [true, false] {
        for quoted in [8, 12, 64] {
            for (from, kind, code, index, contact) in [
                (host, 3, 3, 7, refused(host, 3, 3)),
                (router, 3, 1, 7, unreachable(router, 3, 1)),
                (router, 3, 13, 7, prohibited(router, 3, 13)),
                (host6, 1, 4, 256 + 7, refused(host6, 1, 4)),
                (router6, 1, 1, 256 + 7, prohibited(router6, 1, 1)),
                (router6, 1, 3, 256 + 7, unreachable(router6, 1, 3)),
            ] {
                let address = if from.is_ipv4() {
                    "10.0.0.7"
                } else {
                    "fd00::107"
                };
                let seen = probe(address, 11211, stream, ETHERNET);
                let frame = seen.error(from, kind, code, quoted);
                let expect = answer(index, stream, Heard::Contact(contact));
                assert_eq!(checked(&permit, &frame, ETHERNET), expect, "{kind}/{code}");
            }
        }
        let seen = probe("10.0.0.7", 11211, stream, ETHERNET);
        // Time exceeded, fragmentation needed, echo reply: they say nothing about the port.
        for (kind, code) in [(11, 0), (3, 4), (0, 0)] {
            let frame = seen.error(router, kind, code, 8);
            assert_eq!(checked(&permit, &frame, ETHERNET), Checked::Foreign);
        }
        // Too little is quoted to tell whose packet it was.
        let frame = seen.error(router, 3, 3, 7);
        assert_eq!(checked(&permit, &frame, ETHERNET), Checked::Foreign);
    }
}

#[test]
fn forged_errors_are_rejected() {
    let permit = both_families(&[11211]);
    let router = ip("10.63.0.254");
    for stream in [true, false] {
        let seen = probe("10.0.0.7", 11211, stream, ETHERNET);
        // Every bit of the proof: TCP's sequence number, UDP's checksum.
        let proof = if stream { 24..28 } else { 26..28 };
        for at in proof {
            for bit in 0..8 {
                let mut forged = seen.clone();
                forged.packet[at] ^= 1 << bit;
                let frame = forged.error(router, 3, 3, 8);
                assert_eq!(
                    checked(&permit, &frame, ETHERNET),
                    Checked::Rejected,
                    "{at}"
                );
            }
        }
        // Another address, another port, another of our ports.
        for at in [19, 23, 21] {
            let mut forged = seen.clone();
            forged.packet[at] ^= 1;
            let frame = forged.error(router, 3, 3, 8);
            assert_eq!(
                checked(&permit, &frame, ETHERNET),
                Checked::Rejected,
                "{at}"
            );
        }
        // None of our ports.
        let mut other = seen.clone();
        other.packet[20] ^= 0x40;
        let frame = other.error(router, 3, 3, 8);
        assert_eq!(checked(&permit, &frame, ETHERNET), Checked::Foreign);
    }
}

/// Frames that are read to their end, for changing.
fn real_frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for address in ["10.0.0.7", "fd00::107"] {
        let router = if address.contains(':') {
            "fd00::fe"
        } else {
            "10.63.0.254"
        };
        let (kind, code) = if address.contains(':') {
            (1, 4)
        } else {
            (3, 3)
        };
        for stream in [true, false] {
            let seen = probe(address, 11211, stream, ETHERNET);
            frames.push(seen.syn_ack());
            frames.push(seen.version_from(11211));
            frames.push(seen.error(ip(router), kind, code, 64));
            frames.push(tagged(
                &seen.error(ip(router), kind, code, 8)[14..],
                &[0x8100],
            ));
        }
    }
    frames
}

proptest! {
    #[test]
    fn nothing_that_a_frame_holds_breaks_us(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let permit = both_families(&[11211]);
        for layer in [LinkLayer::Ethernet, LinkLayer::Bare] {
            let answered = matches!(checked(&permit, &bytes, layer), Checked::Answer { .. });
            prop_assert!(!answered, "believed chance");
        }
    }

    #[test]
    fn changed_and_cut_frames_are_read_or_refused(
        which in 0usize..16,
        changes in proptest::collection::vec((0usize..160, any::<u8>()), 0..6),
        cut in 0usize..160,
    ) {
        let permit = both_families(&[11211]);
        let mut frame = real_frames().swap_remove(which);
        for (at, value) in changes {
            let at = at % frame.len();
            frame[at] = value;
        }
        frame.truncate(cut.max(1));
        for layer in [LinkLayer::Ethernet, LinkLayer::Bare] {
            let Checked::Answer { index, .. } = checked(&permit, &frame, layer) else {
                continue;
            };
            prop_assert_eq!(index % 256, 7, "only the one that was asked");
        }
    }
}
