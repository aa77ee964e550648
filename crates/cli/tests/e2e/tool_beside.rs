//! `tool -o memcached-tool` beside memcached-tool itself, on the same server, byte for byte.

use std::process::Command;

use crate::tool_ground::{Client, Folder, run_bytes, start};

const PEER: &str = "/usr/share/memcached/scripts/memcached-tool";

/// Statistics that change between two looks: clocks, what looking itself costs, and what the
/// server's own threads do meanwhile.
const VOLATILE: [&str; 14] = [
    "bytes_read",
    "bytes_written",
    "crawler_",
    "curr_connections",
    "direct_reclaims",
    "lru_crawler_",
    "lru_maintainer_juggles",
    "moves_",
    "read_buf_",
    "response_obj_",
    "rusage_",
    "time",
    "total_connections",
    "uptime",
];

/// Where the age of the oldest item stands in a line of `display`.
const AGE: std::ops::Range<usize> = 13..22;

fn peer(target: &str, mode: &str) -> Vec<u8> {
    let output = Command::new("perl")
        .args([PEER, target, mode])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn ours(folder: &Folder, target: &str, mode: &str) -> Vec<u8> {
    let (run, stdout) = run_bytes(folder.tool(&[target, mode, "-o", "memcached-tool"]));
    assert_eq!((run.code, &run.stderr[..]), (Some(0), ""));
    stdout
}

/// Replaces what changes between two looks, and keeps every width.
fn masked(bytes: &[u8], mode: &str) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.ends_with('\n'));
    text.split_inclusive('\n')
        .enumerate()
        .map(|(number, line)| {
            let name = line.split_whitespace().next().unwrap_or_default();
            let is_volatile = VOLATILE.iter().any(|volatile| name.starts_with(volatile));
            match mode {
                "stats" if is_volatile => format!("{name} {}\n", line.len()),
                "display" if number > 0 => format!("{}{}", &line[..AGE.start], &line[AGE.end..]),
                _ => line.to_owned(),
            }
        })
        .collect()
}

#[test]
fn the_form_is_that_of_memcached_tool() {
    let folder = Folder::new();
    for arguments in [
        &["-o", "track_sizes"][..],
        &[],
        &["-m", "1024", "-c", "33", "-X"],
    ] {
        let (address, _server) = start(arguments);
        let target = format!("{address}:11211");
        for is_filled in [false, true] {
            let mut client = Client::connect(address);
            if is_filled {
                for bytes in [1, 30, 200, 3_000, 70_000, 600_000] {
                    client.set(&format!("key:{bytes}"), 0, 0, &vec![b'x'; bytes]);
                }
                client.set("あ%2 b".split(' ').next().unwrap(), 7, 900, b"");
            }
            let has_listing = !arguments.contains(&"-X");
            if has_listing {
                client.metadump();
            }
            for mode in ["display", "stats", "settings", "sizes"] {
                let [ours, peer] = [ours(&folder, &target, mode), peer(&target, mode)]
                    .map(|bytes| masked(&bytes, mode));
                for (ours, peer) in ours.iter().zip(&peer) {
                    assert_eq!(ours, peer, "{mode} {arguments:?}");
                }
                assert_eq!(ours.len(), peer.len(), "{mode} {arguments:?}");
            }
            if has_listing {
                let [ours, peer] = [ours(&folder, &target, "keys"), peer(&target, "keys")]
                    .map(|bytes| String::from_utf8(bytes).unwrap());
                let [mut ours, mut peer] =
                    [&ours, &peer].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
                ours.sort_unstable();
                peer.sort_unstable();
                assert_eq!(ours, peer, "keys {arguments:?}");
                assert_eq!(ours.len(), if is_filled { 7 } else { 0 });
            }
        }
    }
}

#[test]
fn a_dump_holds_what_memcached_tool_dumps() {
    let folder = Folder::new();
    let (address, _server) = start(&[]);
    let target = format!("{address}:11211");
    let mut client = Client::connect(address);
    for number in 0..300_u32 {
        let value = format!("value\r\nof {number}");
        client.set(&format!("key:{number}"), number, 0, value.as_bytes());
    }
    client.metadump();
    let (run, ours) = run_bytes(folder.tool(&[&target, "dump", "--quiet"]));
    assert_eq!((run.code, &run.stderr[..]), (Some(0), ""));
    let peer = peer(&target, "dump");
    let sorted = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let mut items: Vec<String> = text.split("add ").map(str::to_owned).collect();
        items.sort_unstable();
        items
    };
    assert_eq!(sorted(&ours), sorted(&peer));
    assert_eq!(sorted(&ours).len(), 301);
}
