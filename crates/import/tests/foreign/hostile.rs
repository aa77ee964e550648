//! Files that are made to harm.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use import::{Importer, Kind, Recognised, recognise};

use crate::{import, import_as};

#[track_caller]
fn check(kind: Kind, text: &str, message: &str) {
    let error = import_as(kind, text.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn errors_name_the_line_the_key_and_what_was_expected() {
    let list = "#masscan\nopen tcp 11211 192.0.2.300 1700000000\n";
    check(Kind::MasscanList, list, "line 2: `ip` is not an IP address");
    let list = "open tcp -1 192.0.2.3 1700000000\n";
    check(Kind::MasscanList, list, "line 1: `port` is not a port");
    let list = "open tcp 11211 192.0.2.3 99999999999999999999\n";
    check(Kind::MasscanList, list, "line 1: `timestamp` is not a time");
    let list = "\nGET / HTTP/1.1\n";
    check(
        Kind::MasscanList,
        list,
        "line 2 is not a line of masscan's list",
    );
    let json = r#"[{"ip":"192.0.2.1","ports":[{"port":70000,"proto":"tcp"}]}]"#;
    check(Kind::MasscanJson, json, "line 1: `port` is not a port");
    let json = "[\n{\"ip\":7,\"ports\":[]}]";
    check(Kind::MasscanJson, json, "line 2: `ip` is not a text");
    let json = r#"{"ip_str":"192.0.2.1","port":11211,"timestamp":"today","data":""}"#;
    check(Kind::Shodan, json, "line 1: `timestamp` is not a time");
    let json = r#"{"ip_str":"192.0.2.1","port":-11211}"#;
    check(Kind::Shodan, json, "line 1: `port` is not a port");
    let json = r#"{"ip_str":"192.0.2.1","port":11211,"data":{}}"#;
    check(Kind::Shodan, json, "line 1: `data` is not a text");
    check(
        Kind::Shodan,
        "nothing",
        "line 1 is not JSON: here an object should begin",
    );
    let csv = "saddr,sport,classification,data\n192.0.2.1,11211,udp,0g\n";
    check(Kind::ZmapCsv, csv, "line 2: `data` is not bytes in hex");
    check(
        Kind::ZmapCsv,
        "a,b\n1,2\n",
        "its heading has no column `saddr`",
    );
    let csv = "timestamp,ip,port,tag,response_size\n,192.0.2.1,11211,memcached,-1\n";
    check(
        Kind::Shadowserver,
        csv,
        "line 2: `response_size` is not a number of bytes",
    );
    check(
        Kind::NmapGrepable,
        "Host: 192.0.2.1 ()\tPorts: x\n",
        "line 1 is not a grepable line of nmap",
    );
    check(
        Kind::NmapXml,
        "<nmaprun>\n<host><address addr=\"x\" addrtype=\"ipv4\"/>",
        "line 2: `addr` is not an IP address",
    );
    check(
        Kind::NmapXml,
        "<!DOCTYPE nmaprun [<!ENTITY a \"aaaa\">]>",
        "line 1 is not XML: it brings a document type of its own",
    );
}

#[test]
fn addresses_of_every_kind_are_read_as_they_are_written() {
    for (text, shown) in [
        ("192.0.2.1", "192.0.2.1:11211/tcp"),
        ("2001:db8::1", "[2001:db8::1]:11211/tcp"),
        ("::ffff:192.0.2.1", "192.0.2.1:11211/tcp"),
        ("fe80::1%eth0", "[fe80::1%eth0]:11211/tcp"),
    ] {
        let list = format!("open tcp 11211 {text} 1700000000\n");
        let (seen, _) = import_as(Kind::MasscanList, list.as_bytes()).unwrap();
        assert_eq!(seen[0].endpoint.to_string(), shown);
    }
}

#[test]
fn what_is_not_text_stays_data() {
    let list = b"banner tcp 11211 192.0.2.1 1700000000 unknown \xff\xfe\0 bytes\n";
    let (seen, _) = import_as(Kind::MasscanList, list).unwrap();
    assert_eq!(seen.len(), 1);
    check_shodan("\\u0000\\ud83d\\ude00 \\\"ip_str\\\":", 1);
    // A lone surrogate is no text, and said so.
    let json = r#"{"ip_str":"192.0.2.1","port":11211,"data":"\ud83d"}"#;
    check(Kind::Shodan, json, "line 1: `data` is not a text");
}

#[track_caller]
fn check_shodan(data: &str, count: usize) {
    let json = format!(r#"{{"ip_str":"192.0.2.1","port":11211,"data":"{data}"}}"#);
    let (seen, _) = import_as(Kind::Shodan, json.as_bytes()).unwrap();
    assert_eq!(seen.len(), count);
}

/// Feeds the same piece again and again; how often, until it was refused.
fn fed_until_refused(recognised: Recognised, first: &[u8], piece: &[u8]) -> (usize, String) {
    let mut importer = Importer::new(recognised).unwrap();
    importer.feed(first, &mut |_| {}).unwrap();
    for count in 0..100_000 {
        if let Err(error) = importer.feed(piece, &mut |_| {}) {
            return (count, error.to_string());
        }
    }
    panic!("never refused");
}

#[test]
fn endless_lines_and_records_are_refused_at_a_limit() {
    let piece = vec![b'a'; 64 << 10];
    for (kind, first, message) in [
        (
            Kind::MasscanList,
            "banner tcp 11211 192.0.2.1 1 x ",
            "line 1 is longer than 1048576 bytes",
        ),
        (
            Kind::Shodan,
            "\n{\"data\":\"",
            "line 2 begins a record longer than 8388608 bytes",
        ),
        (
            Kind::ZmapCsv,
            "saddr\n\"",
            "line 2 begins a record longer than 1048576 bytes",
        ),
        (
            Kind::NmapXml,
            "<nmaprun args=\"",
            "line 1 begins a record longer than 1048576 bytes",
        ),
    ] {
        let recognised = Recognised {
            kind,
            is_gzip: false,
        };
        let (count, error) = fed_until_refused(recognised, first.as_bytes(), &piece);
        assert_eq!(error, message);
        assert!(count <= 128, "{kind:?}: {count}");
    }
    let commas = ",".repeat(2000);
    check(
        Kind::ZmapCsv,
        &format!("saddr{commas}\n"),
        "line 1 is not a row of at most 512 columns",
    );
}

#[test]
fn depth_has_a_limit() {
    let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
    check(Kind::Shodan, &deep, "line 1 nests deeper than 128 levels");
    let deep = "<a>".repeat(1_000);
    check(Kind::NmapXml, &deep, "line 1 nests deeper than 64 levels");
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    // A terabyte would take minutes; what is refused, is refused after some megabytes.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(b"#masscan\n").unwrap();
    let lines = vec![b'\n'; 1 << 20];
    for _ in 0..100 {
        encoder.write_all(&lines).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let recognised = recognise(&bomb).unwrap();
    assert_eq!(
        (recognised.kind, recognised.is_gzip),
        (Kind::MasscanList, true)
    );
    let error = import(recognised, &bomb, usize::MAX).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it unpacks to more than 250 times its size, as no list of scanners does"
    );
}

#[test]
fn damaged_packing_is_said_so_and_cut_packing_is_torn() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder
        .write_all(b"#masscan\nopen tcp 11211 192.0.2.1 1700000000\n# end\n")
        .unwrap();
    let packed = encoder.finish().unwrap();
    let recognised = recognise(&packed).unwrap();
    for cut in 1..packed.len() - 8 {
        let (seen, tally) = import(recognised, &packed[..cut], 9).unwrap();
        assert!(seen.len() <= 1 && tally.is_torn, "{cut}");
    }
    // Without its whole checksum it is not said to be right.
    for cut in packed.len() - 8..packed.len() {
        let cut_off = import(recognised, &packed[..cut], 9);
        assert!(cut_off.map_or(true, |(_, tally)| tally.is_torn), "{cut}");
    }
    let mut damaged = packed;
    let last = damaged.len() - 1;
    damaged[last - 6] ^= 1;
    let error = import(recognised, &damaged, usize::MAX).unwrap_err();
    assert!(
        error.to_string().starts_with("it cannot be unpacked"),
        "{error}"
    );
}

#[test]
fn what_is_nothing_of_anybody_is_not_recognised() {
    for text in [
        "",
        "\n\n",
        "hello",
        "{}",
        "[]",
        "[{",
        "<html><body>",
        "<?xml version=\"1.0\"?>",
        "# Nmap 7.93 scan initiated\nNmap scan report for 192.0.2.1\n",
        "a,b,c\n1,2,3\n",
        "192.0.2.1\n192.0.2.2\n",
        "\u{1f}\u{8b}",
        "{\"a\":{\"ip_str\":1}}",
    ] {
        assert_eq!(recognise(text.as_bytes()), None, "{text}");
    }
    let own = br#"{"record":"run","schema":1}"#;
    let recognised = recognise(own).unwrap();
    assert_eq!(recognised.kind, Kind::Memsweep);
    assert!(Importer::new(recognised).is_none(), "read_line reads it");
}
