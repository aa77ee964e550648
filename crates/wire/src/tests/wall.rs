//! The wall: everything that this room can say, and what each thing takes to be said.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::{
    AsciiAuthentication, AsciiDemand, AsciiEvent, BinaryReply, CACHEDUMP_CLASS_MAX,
    CACHEDUMP_KEYS_MAX, CacheDumpRequest, Channel, Clearance, ConnectionsRequest, Credentials,
    Frame, MetadumpRequest, ReadValues, Risky, SaslDemand, SaslPlain, ServerVersion, SizesRequest,
    Wish, opcode, status,
};

const EVERY_RISKY: [Risky; 4] = [
    Risky::Metadump,
    Risky::CacheDump,
    Risky::Sizes,
    Risky::ConnectionsOverUnix,
];

fn clearance(risky: Risky) -> Clearance {
    let version = ServerVersion::new(1, 6, 45);
    Clearance::mint(risky, Channel::Unix, Some(&version), Wish::AskedByUser)
        .expect("1.6.45 has none of the faults")
}

fn text(encode: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    encode(&mut out);
    String::from_utf8(out).expect("requests are ASCII")
}

/// What a clearance can be turned into. Each of the four requests is tried with it.
fn lines_with(risky: Risky) -> Vec<String> {
    let metadump = MetadumpRequest::new(clearance(risky));
    let cachedump = CacheDumpRequest::new(clearance(risky), 7, 20);
    let sizes = SizesRequest::new(clearance(risky));
    let connections = ConnectionsRequest::over_unix(clearance(risky));
    let lines = [
        metadump.map(|request| text(|out| request.encode(out))),
        cachedump.map(|request| text(|out| request.encode(out))),
        sizes.map(|request| text(|out| request.encode(out))),
        connections.map(|request| text(|out| request.encode(out))),
    ];
    lines.into_iter().flatten().collect()
}

#[test]
fn a_clearance_becomes_its_one_request() {
    for risky in EVERY_RISKY {
        // Adding a variant stops compiling here.
        let expect = match risky {
            Risky::Metadump => "lru_crawler metadump all\r\n",
            Risky::CacheDump => "stats cachedump 7 20\r\n",
            Risky::Sizes => "stats sizes\r\n",
            Risky::ConnectionsOverUnix => "stats conns\r\n",
        };
        assert_eq!(lines_with(risky), [expect], "{risky:?}");
    }
}

#[test]
fn a_cachedump_asks_for_a_few_keys_of_a_possible_class() {
    let is_possible =
        |class, count| CacheDumpRequest::new(clearance(Risky::CacheDump), class, count).is_some();
    for class in [1, 63, CACHEDUMP_CLASS_MAX] {
        assert!(is_possible(class, 1) && is_possible(class, CACHEDUMP_KEYS_MAX));
        // Without a limit, and above it.
        assert!(!is_possible(class, 0) && !is_possible(class, CACHEDUMP_KEYS_MAX + 1));
    }
    // 255 is beyond the table of 1.2.x, which takes it nevertheless.
    for class in [0, CACHEDUMP_CLASS_MAX + 1, 255, u32::MAX] {
        assert!(!is_possible(class, 1), "{class}");
    }
}

#[test]
fn sizes_are_one_datagram_with_total_one() {
    for request_id in [0, 0x1234, u16::MAX] {
        let request = SizesRequest::new(clearance(Risky::Sizes)).unwrap();
        let datagram = request.encode_datagram(request_id);
        let frame = Frame {
            request_id,
            sequence: 0,
            total: 1,
            reserved: 0,
        };
        assert_eq!(
            Frame::parse(&datagram),
            Some((frame, &b"stats sizes\r\n"[..]))
        );
    }
}

#[test]
fn sizes_are_one_binary_packet() {
    let request = SizesRequest::new(clearance(Risky::Sizes)).unwrap();
    let mut packet = Vec::new();
    request.encode_binary(7, &mut packet);
    assert_eq!(opcodes(&packet), [0x10]);
    assert_eq!(packet[12..16], [0, 0, 0, 7]);
    assert_eq!(packet[24..], *b"sizes");
}

/// Opcodes of the packets in a stream of requests.
fn opcodes(mut stream: &[u8]) -> Vec<u8> {
    let mut opcodes = Vec::new();
    while let Some(head) = stream.first_chunk::<24>() {
        assert_eq!(head[0], 0x80);
        assert_eq!(head[4], 0, "no packet has extras");
        let body_bytes = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        opcodes.push(head[1]);
        stream = &stream[24 + body_bytes as usize..];
    }
    assert!(stream.is_empty());
    opcodes
}

#[test]
fn values_are_only_ever_read() {
    assert_eq!(
        opcodes(&ReadValues::binary(&[b"a", b"b"], 0)),
        [0x0d, 0x0d, 0x0a]
    );
    assert_eq!(opcodes(&ReadValues::binary(&[], 0)), [0x0a]);
    let line = ReadValues::ascii(&[b"flush_all", b"set"]).unwrap();
    assert_eq!(line, b"get flush_all set\r\n");
}

#[test]
fn credentials_are_one_command_whatever_they_are() {
    let credentials = Credentials::new("flush_all", "shutdown").unwrap();
    let unauthenticated = AsciiEvent::ClientError("unauthenticated".into());
    let demand = AsciiDemand::from_reply(&unauthenticated).unwrap();
    let request = AsciiAuthentication::encode(demand, &credentials);
    assert_eq!(request, b"set memsweep 0 0 18\r\nflush_all shutdown\r\n");
    let reply = BinaryReply {
        opcode: opcode::NOOP,
        status: status::AUTH_ERROR,
        opaque: 0,
        key: Vec::new(),
        value: Vec::new(),
    };
    let demand = SaslDemand::from_reply(&reply).unwrap();
    assert_eq!(opcodes(&SaslPlain::encode(demand, &credentials, 0)), [0x21]);
}

/// Does not compile if the type can be cloned: then both implementations fit.
macro_rules! assert_not_clone {
    ($type:ty) => {{
        trait Ambiguous<Marker> {
            fn is_unique() {}
        }
        struct Cloneable;
        impl<Type: ?Sized> Ambiguous<()> for Type {}
        impl<Type: ?Sized + Clone> Ambiguous<Cloneable> for Type {}
        <$type as Ambiguous<_>>::is_unique();
    }};
}

#[test]
fn what_gives_leave_is_used_once() {
    assert_not_clone!(Clearance);
    assert_not_clone!(MetadumpRequest);
    assert_not_clone!(CacheDumpRequest);
    assert_not_clone!(SizesRequest);
    assert_not_clone!(AsciiDemand);
    assert_not_clone!(SaslDemand);
    assert_not_clone!(Credentials);
}

/// Every word that any version of memcached takes as a command, and the arguments that matter.
const COMMAND_WORDS: &str = "add append cache_memlimit cas config conns decr delete detach detail \
    extstore extstore_config flush_all flush_regex gat gats get gets incr lru lru_crawler ma me \
    mg mgdump mn ms md me noop own prepend proxy quit refresh_certs replace reset set shutdown \
    slabs stats touch verbosity version watch";

/// String literals of the room's own source, tests aside, by the word they begin with.
fn literals_by_word() -> BTreeMap<String, Vec<String>> {
    let words: Vec<&str> = COMMAND_WORDS.split_ascii_whitespace().collect();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("our own source") {
        let path = entry.expect("our own source").path();
        if !path.is_file() || path.ends_with("tests.rs") {
            continue;
        }
        files += 1;
        let source = fs::read_to_string(&path).expect("our own source");
        let product = source.split("#[cfg(test)]\nmod tests {").next();
        let lines = product.unwrap_or_default().lines();
        let code = lines.filter(|line| !line.trim_start().starts_with("//"));
        for literal in code.flat_map(|line| line.split('"').skip(1).step_by(2)) {
            let word: String = literal
                .chars()
                .take_while(|char| char.is_ascii_alphanumeric() || *char == '_')
                .collect();
            if words.contains(&&word[..]) {
                found.entry(word).or_default().push(literal.to_owned());
            }
        }
    }
    assert!(files > 10, "{files}");
    for literals in found.values_mut() {
        literals.sort();
    }
    found
}

#[test]
fn no_other_command_stands_in_the_source() {
    let expect = [
        // Text for a file.
        ("add", vec!["add "]),
        // A field of a listing.
        ("cas", vec!["cas"]),
        ("get", vec!["get", "get", "get "]),
        ("lru_crawler", vec!["lru_crawler metadump all\\r\\n"]),
        ("mn", vec!["mn"]),
        // Text for a file.
        (
            "ms",
            vec!["ms {name} {bytes} b F{flags} T{expires} ME\\r\\n"],
        ),
        // The authentication that was demanded.
        ("set", vec!["set {ASCII_KEY} 0 0 {data_bytes}\\r\\n"]),
        // An argument of `stats`.
        ("slabs", vec!["slabs"]),
        (
            "stats",
            vec![
                "stats",
                "stats cachedump {} {}\\r\\n",
                "stats conns\\r\\n",
                "stats items",
                "stats settings",
                "stats sizes\\r\\n",
                "stats slabs",
            ],
        ),
        ("version", vec!["version", "version"]),
    ];
    let found = literals_by_word();
    let found: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|(word, literals)| (&word[..], literals.iter().map(|text| &text[..]).collect()))
        .collect();
    assert_eq!(found, expect);
}
