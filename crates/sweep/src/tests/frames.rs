//! The bytes of probes.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::peer::read;
use super::{KEY, bare, ethernet, ip, source_ports};
use crate::cookie::CookieKey;
use crate::frame::{FRAME_BYTES_MAX, Probe, emit};
use crate::reach::Hop;
use crate::reply::LinkLayer;

fn check(address: &str, stream: bool, hop: Hop, expect: &str) {
    let probe = Probe {
        address: ip(address),
        port: 11211,
        stream,
    };
    let mut buffer = [0xaa; FRAME_BYTES_MAX];
    let length = emit(&probe, &hop, &KEY, &source_ports(), &mut buffer);
    let hex: String = buffer[..length]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let expect: String = expect.split_whitespace().collect();
    assert_eq!(hex, expect, "{address} {stream}");
}

#[test]
fn every_byte_is_known() {
    let ethernet_ipv4 = "020000000002 020000000001 0800";
    check(
        "192.0.2.1",
        true,
        ethernet("10.63.0.1"),
        &format!(
            "{ethernet_ipv4} 4500002c000040004006 6e8b 0a3f0001 c0000201
             9c61 2bcb 5355a5fb 00000000 6002 faf0 0f77 0000 020405b4 0000"
        ),
    );
    let datagram = "4500002d000040004011 6e7f 0a3f0001 c0000201
                    9c52 2bcb 0019 b9ae e757 0000 0001 0000 76657273696f6e0d0a";
    check(
        "192.0.2.1",
        false,
        ethernet("10.63.0.1"),
        &format!("{ethernet_ipv4} {datagram} 00"),
    );
    check("192.0.2.1", false, bare("10.63.0.1"), datagram);
    check(
        "2001:db8::1",
        true,
        ethernet("fd00::1"),
        "020000000002 020000000001 86dd 60000000 0018 06 40
         fd000000000000000000000000000001 20010db8000000000000000000000001
         9c6d 2bcb 17d56551 00000000 6002 faf0 2d2f 0000 020405a0",
    );
    check(
        "2001:db8::1",
        false,
        bare("fd00::1"),
        "60000000 0019 11 40
         fd000000000000000000000000000001 20010db8000000000000000000000001
         9c42 2bcb 0019 0ce7 35b5 0000 0001 0000 76657273696f6e0d0a",
    );
}

#[test]
fn families_do_not_mix() {
    let probe = Probe {
        address: ip("10.0.0.1"),
        port: 11211,
        stream: true,
    };
    let mixed = std::panic::catch_unwind(|| {
        let mut buffer = [0; FRAME_BYTES_MAX];
        emit(&probe, &bare("fd00::1"), &KEY, &source_ports(), &mut buffer)
    });
    assert!(mixed.is_err());
}

/// RFC 768: a checksum that comes out as 0 is sent as ffff.
#[test]
fn a_checksum_of_nothing_is_sent_as_all_ones() {
    let mut found = 0;
    for step in 0..400_000 {
        let probe = Probe {
            address: Ipv4Addr::from_bits(0x0a00_0000 + step).into(),
            port: 11211,
            stream: false,
        };
        let mut buffer = [0; FRAME_BYTES_MAX];
        emit(
            &probe,
            &bare("10.63.0.1"),
            &KEY,
            &source_ports(),
            &mut buffer,
        );
        assert_ne!(buffer[26..28], [0, 0]);
        found += u32::from(buffer[26..28] == [0xff, 0xff]);
    }
    // About one in 65,536.
    assert!(found > 0, "the case came up");
}

proptest! {
    #[test]
    fn a_strict_receiver_takes_every_probe(
        key: [u64; 2], v4: u32, v6: u128, own_v4: u32, own_v6: u128,
        port: u16, stream: bool, over_ethernet: bool, dirt: u8,
    ) {
        let key = CookieKey(key);
        let ports = source_ports();
        let pairs = [
            (Ipv4Addr::from_bits(v4).into(), Ipv4Addr::from_bits(own_v4).to_string()),
            (Ipv6Addr::from_bits(v6).into(), Ipv6Addr::from_bits(own_v6).to_string()),
        ];
        for (address, own) in pairs {
            let probe = Probe { address, port, stream };
            let (hop, layer) = if over_ethernet {
                (ethernet(&own), LinkLayer::Ethernet)
            } else {
                (bare(&own), LinkLayer::Bare)
            };
            let mut clean = [0; FRAME_BYTES_MAX];
            let mut dirty = [dirt; FRAME_BYTES_MAX];
            let length = emit(&probe, &hop, &key, &ports, &mut clean);
            prop_assert_eq!(emit(&probe, &hop, &key, &ports, &mut dirty), length);
            prop_assert_eq!(&clean[..length], &dirty[..length]);

            let seen = read(&clean[..length], layer);
            let cookie = key.cookie(address, port, stream);
            prop_assert_eq!((seen.own, seen.address), (ip(&own), address));
            prop_assert_eq!((seen.own_port, seen.port), (ports.of(&cookie), port));
            prop_assert_eq!(seen.stream, stream);
            if stream {
                prop_assert_eq!(seen.sequence, cookie.sequence);
            } else {
                prop_assert_eq!(seen.request_id, cookie.request_id);
            }
        }
    }
}
