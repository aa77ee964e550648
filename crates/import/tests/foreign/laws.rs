//! How a file is cut does not matter; and no bytes make an importer panic or grow.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use import::{Kind, Recognised, recognise};
use proptest::prelude::*;

use crate::{fixture, import, import_as};

const FILES: [&str; 18] = [
    "binaryedge.ndjson",
    "censys-search.json",
    "censys.ndjson",
    "masscan.gnmap",
    "masscan.json",
    "masscan.list",
    "masscan.ndjson",
    "masscan.xml",
    "nmap.gnmap",
    "nmap.xml",
    "shadowserver.csv",
    "shodan-search.json",
    "shodan.ndjson",
    "zgrab.ndjson",
    "zmap-tcp.csv",
    "zmap-udp.csv",
    "zmap.json",
    "nmap.xml",
];

/// What formats are made of, and values that are too much for them.
const WORDS: [&str; 24] = [
    "null",
    "[]",
    "{}",
    "[{}]",
    "-1",
    "1e999",
    "65536",
    "99999999999999999999",
    "true",
    "\"\"",
    "\"",
    "\\",
    ",",
    ":",
    "<",
    "/>",
    "&#0;",
    "&x;",
    "<!--",
    "\n",
    "\t",
    "STAT ",
    "::ffff:1.2.3.4",
    "\0",
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn how_a_file_is_cut_does_not_matter() {
    for name in FILES {
        for marked in [false, true] {
            let mut bytes = fixture(name);
            if marked {
                bytes.splice(0..0, *b"\xef\xbb\xbf");
            }
            let recognised = recognise(&bytes).unwrap();
            let whole = import(recognised, &bytes, usize::MAX).unwrap();
            for piece_bytes in [1, 2, 3, 7, 64, 1000] {
                let cut = import(recognised, &bytes, piece_bytes).unwrap();
                assert_eq!(cut, whole, "{name} in pieces of {piece_bytes}");
            }
        }
    }
}

#[test]
fn what_is_packed_reads_the_same() {
    for name in FILES {
        let bytes = fixture(name);
        let plain = recognise(&bytes).unwrap();
        let whole = import(plain, &bytes, usize::MAX).unwrap();
        let packed = gzip(&bytes);
        let recognised = recognise(&packed).unwrap();
        assert_eq!((recognised.kind, recognised.is_gzip), (plain.kind, true));
        for piece_bytes in [1, 100, usize::MAX] {
            let unpacked = import(recognised, &packed, piece_bytes).unwrap();
            assert_eq!(unpacked, whole, "{name}");
        }
        // Several files in one, as `cat a.gz b.gz` makes them.
        if plain.kind == Kind::Shodan && name.ends_with(".ndjson") {
            let twice = [packed.clone(), packed].concat();
            let (seen, tally) = import(recognised, &twice, 50).unwrap();
            assert_eq!(seen.len(), 2 * whole.0.len());
            assert!(!tally.is_torn);
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_is_read_as_far_as_it_goes() {
    for name in FILES {
        let bytes = fixture(name);
        let recognised = recognise(&bytes).unwrap();
        let (whole, _) = import(recognised, &bytes, usize::MAX).unwrap();
        for cut in 0..bytes.len() {
            let (seen, _) = import(recognised, &bytes[..cut], usize::MAX)
                .unwrap_or_else(|error| panic!("{name} at {cut}: {error}"));
            // The last one may have lost what stood behind the cut.
            let sure = seen.len().saturating_sub(1);
            assert_eq!(seen[..sure], whole[..sure], "{name} at {cut}");
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Memsweep);
    prop::sample::select(kinds.collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn any_bytes_to_any_importer(
        kind in kinds(),
        is_gzip in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        piece_bytes in 1_usize..100,
    ) {
        let recognised = Recognised { kind, is_gzip };
        let cut = import(recognised, &bytes, piece_bytes);
        prop_assert_eq!(cut.is_ok(), import(recognised, &bytes, 1).is_ok());
        let _ = recognise(&bytes);
    }

    #[test]
    fn any_damage_to_any_file(
        name in prop::sample::select(FILES.to_vec()),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        piece_bytes in 1_usize..400,
    ) {
        let mut bytes = fixture(name);
        let recognised = recognise(&bytes).unwrap();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let whole = import(recognised, &bytes, usize::MAX);
        let cut = import(recognised, &bytes, piece_bytes);
        prop_assert_eq!(cut, whole);
        let _ = recognise(&bytes);
    }

    #[test]
    fn any_words_in_the_midst_of_any_file(
        name in prop::sample::select(FILES.to_vec()),
        splices in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..12, prop::sample::select(WORDS.to_vec())),
            1..4,
        ),
        piece_bytes in 1_usize..400,
    ) {
        let mut bytes = fixture(name);
        let recognised = recognise(&bytes).unwrap();
        for (place, length, word) in splices {
            let place = place.index(bytes.len());
            let end = (place + length).min(bytes.len());
            bytes.splice(place..end, word.bytes());
        }
        let whole = import(recognised, &bytes, usize::MAX);
        let cut = import(recognised, &bytes, piece_bytes);
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn text_of_one_format_to_the_importer_of_another(
        name in prop::sample::select(FILES.to_vec()),
        kind in kinds(),
    ) {
        let _ = import_as(kind, &fixture(name));
    }
}
