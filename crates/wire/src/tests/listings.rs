//! Laws of the decoders of listings and values.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::laws::{config, split};
use crate::{
    BinaryValueDecoder, CacheDumpDecoder, CacheDumpEvent, KEY_BYTES_MAX, LINE_BYTES_MAX, ListedKey,
    ListingAnomalies, MetadumpDecoder, MetadumpEvent, ReadValues, ServerVersion, ValueDecoder,
    ValueEvent, add_line, is_ascii_key,
};

/// A decoder that takes pieces and gives events.
macro_rules! decode {
    ($decoder:ty, $pieces:expr) => {{
        let mut decoder = <$decoder>::new();
        let mut events = Vec::new();
        for piece in $pieces {
            decoder.feed(piece);
            events.extend(std::iter::from_fn(|| decoder.next_event()));
        }
        (events, decoder)
    }};
}

pub(super) fn decode_metadump<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<MetadumpEvent>, ListingAnomalies) {
    let (events, decoder) = decode!(MetadumpDecoder, pieces);
    (events, decoder.anomalies())
}

pub(super) fn decode_cachedump<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<CacheDumpEvent>, ListingAnomalies) {
    let (events, decoder) = decode!(CacheDumpDecoder, pieces);
    (events, decoder.anomalies())
}

/// Events with the pieces of each value joined, and whether the place was lost.
pub(super) fn decode_values<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<ValueEvent>, bool) {
    let (events, decoder) = decode!(ValueDecoder, pieces);
    (joined(events), decoder.is_lost())
}

pub(super) fn decode_binary_values<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<ValueEvent>, bool) {
    let (events, decoder) = decode!(BinaryValueDecoder, pieces);
    (joined(events), decoder.is_lost())
}

fn joined(events: Vec<ValueEvent>) -> Vec<ValueEvent> {
    let mut joined: Vec<ValueEvent> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(ValueEvent::ValueData(data)), ValueEvent::ValueData(more)) => data.extend(more),
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// Every law about cuts: any split, byte by byte, and a truncation gives a prefix.
macro_rules! check_cuts {
    ($decode:path, $bytes:expr, $cuts:expr, $cut:expr) => {{
        let bytes: &[u8] = $bytes;
        let whole = $decode([bytes]);
        prop_assert_eq!(&$decode(split(bytes, $cuts)), &whole);
        prop_assert_eq!(&$decode(bytes.chunks(1)), &whole);
        let (cut_short, _) = $decode([&bytes[..$cut.index(bytes.len() + 1)]]);
        (whole, cut_short)
    }};
}

/// Whether the events of a stream that was cut are those of the whole, up to the cut.
fn is_prefix(cut_short: &[ValueEvent], whole: &[ValueEvent]) -> bool {
    let Some((last, before)) = cut_short.split_last() else {
        return true;
    };
    let is_last_alike = match (last, whole.get(before.len())) {
        (ValueEvent::ValueData(part), Some(ValueEvent::ValueData(all))) => all.starts_with(part),
        (last, other) => Some(last) == other,
    };
    whole.starts_with(before) && is_last_alike
}

/// Lines that these replies have, and some that they do not have.
fn text_stream() -> impl Strategy<Value = Vec<u8>> {
    let lines = select(vec![
        "OK\r\n",
        "key=a%20b exp=-1 la=1795367624 cas=2 fetch=no cls=1 size=61 flags=0 \n",
        "key=%ff%zz%4 exp=1795367624 la=x\n",
        "key=\n",
        "ITEM a b [1 b; 0 s]\r\n",
        "ITEM a [1 b; 2 s] [3 b; 4 s]\r\n",
        "ITEM a\r\n",
        "END\r\n",
        "END\n",
        "END",
        "ERROR metadump not allowed\r\n",
        "CLIENT_ERROR lru crawler disabled\r\n",
        "BUSY currently processing crawler request\r\n",
        "NOTSTARTED no items to crawl\r\n",
        "VERSION 1.5.0\r\n",
        "VALUE k 0 5\r\nEND\r\n\r\n",
        "VALUE k 4294967295 0 9\r\n\r\n",
        "VALUE k 0 3\r\n",
        "VALUE k 0 1073741825\r\n",
        "SERVER_ERROR out of memory\r\n",
        "abc\r\n",
        "\r",
        "\n",
    ])
    .prop_map(|line| line.as_bytes().to_vec());
    let piece = prop_oneof![
        20 => lines,
        1 => vec(any::<u8>(), 0..40),
        1 => (LINE_BYTES_MAX - 3..LINE_BYTES_MAX + 4).prop_map(|length| vec![b'x'; length]),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

prop_compose! {
    fn stored()(
        key in vec(any::<u8>(), 1..=KEY_BYTES_MAX),
        flags in any::<u32>(),
        data in vec(any::<u8>(), 0..60),
    ) -> (Vec<u8>, u32, Vec<u8>) {
        (key, flags, data)
    }
}

fn values_of(stored: &[(Vec<u8>, u32, Vec<u8>)]) -> Vec<ValueEvent> {
    let mut events = Vec::new();
    for (key, flags, data) in stored {
        events.push(ValueEvent::ValueBegin {
            key: key.clone(),
            flags: *flags,
            bytes: data.len() as u64,
        });
        events.extend((!data.is_empty()).then(|| ValueEvent::ValueData(data.clone())));
        events.push(ValueEvent::ValueEnd);
    }
    events.push(ValueEvent::End);
    events
}

fn reply_packet(opcode: u8, status: u16, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [extras, key, value].concat();
    let mut packet = vec![0x81, opcode];
    packet.extend((key.len() as u16).to_be_bytes());
    packet.extend([extras.len() as u8, 0]);
    packet.extend(status.to_be_bytes());
    packet.extend((body.len() as u32).to_be_bytes());
    packet.extend([0; 12]);
    packet.extend(body);
    packet
}

fn binary_stream() -> impl Strategy<Value = Vec<u8>> {
    let value = stored()
        .prop_map(|(key, flags, data)| reply_packet(13, 0, &flags.to_be_bytes(), &key, &data));
    let error = (select(vec![10_u8, 13]), 0..4_u16, vec(any::<u8>(), 0..40))
        .prop_map(|(opcode, status, text)| reply_packet(opcode, status, &[], &[], &text));
    let piece = prop_oneof![
        10 => value,
        6 => error,
        // A header of a value with any lengths, and bytes of any kind.
        1 => vec(any::<u8>(), 22).prop_map(|rest| [&[0x81, 0x0d], &rest[..]].concat()),
        1 => vec(any::<u8>(), 0..30),
    ];
    vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn key_of(event: &MetadumpEvent) -> Option<&ListedKey> {
    match event {
        MetadumpEvent::Key(key) => Some(key),
        MetadumpEvent::Started
        | MetadumpEvent::End
        | MetadumpEvent::Version(_)
        | MetadumpEvent::Refused(_) => None,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn metadump_does_not_mind_cuts(
        bytes in text_stream(),
        cuts in vec(any::<Index>(), 0..20),
        cut in any::<Index>(),
    ) {
        let ((whole, anomalies), cut_short) = check_cuts!(decode_metadump, &bytes, &cuts, cut);
        prop_assert!(whole.starts_with(&cut_short));
        prop_assert!(anomalies.pending_bytes <= LINE_BYTES_MAX);
        let kept: usize = whole.iter().filter_map(key_of).map(|key| key.name.len()).sum();
        prop_assert!(kept <= bytes.len());
    }

    #[test]
    fn cachedump_does_not_mind_cuts(
        bytes in text_stream(),
        cuts in vec(any::<Index>(), 0..20),
        cut in any::<Index>(),
    ) {
        let ((whole, anomalies), cut_short) = check_cuts!(decode_cachedump, &bytes, &cuts, cut);
        prop_assert!(whole.starts_with(&cut_short));
        prop_assert!(anomalies.pending_bytes <= LINE_BYTES_MAX);
    }

    #[test]
    fn values_do_not_mind_cuts(
        bytes in text_stream(),
        cuts in vec(any::<Index>(), 0..20),
        cut in any::<Index>(),
    ) {
        let ((whole, _), cut_short) = check_cuts!(decode_values, &bytes, &cuts, cut);
        prop_assert!(is_prefix(&cut_short, &whole), "{cut_short:?} {whole:?}");
    }

    #[test]
    fn binary_values_do_not_mind_cuts(
        bytes in binary_stream(),
        cuts in vec(any::<Index>(), 0..20),
        cut in any::<Index>(),
    ) {
        let ((whole, _), cut_short) = check_cuts!(decode_binary_values, &bytes, &cuts, cut);
        prop_assert!(is_prefix(&cut_short, &whole), "{cut_short:?} {whole:?}");
    }

    #[test]
    fn no_bytes_at_all_break_a_decoder(bytes in vec(any::<u8>(), 0..2_000)) {
        let listed = decode_metadump([&bytes[..]]).0.len() + decode_cachedump([&bytes[..]]).0.len();
        prop_assert!(listed <= 2 * bytes.len());
        for (events, is_lost) in [decode_values([&bytes[..]]), decode_binary_values([&bytes[..]])] {
            prop_assert!(events.len() <= 2 * bytes.len());
            // Losing the place is the last thing that is said.
            prop_assert!(!is_lost || matches!(events.last(), Some(ValueEvent::Refused(_))));
        }
    }

    #[test]
    fn what_was_stored_is_read_over_both_protocols(stored in vec(stored(), 0..6)) {
        let mut stored = stored;
        let mut binary = Vec::new();
        for (key, flags, data) in &stored {
            binary.extend(reply_packet(13, 0, &flags.to_be_bytes(), key, data));
        }
        binary.extend(reply_packet(10, 0, &[], &[], &[]));
        prop_assert_eq!(decode_binary_values([&binary[..]]), (values_of(&stored), false));
        stored.iter_mut().for_each(|(key, _, _)| key.retain(u8::is_ascii_graphic));
        stored.retain(|(key, _, _)| !key.is_empty());
        let mut text = Vec::new();
        for (key, flags, data) in &stored {
            text.extend([b"VALUE ", &key[..]].concat());
            text.extend(format!(" {flags} {}\r\n", data.len()).bytes());
            text.extend([&data[..], b"\r\n"].concat());
        }
        text.extend(b"END\r\n");
        prop_assert_eq!(decode_values([&text[..]]), (values_of(&stored), false));
    }

    #[test]
    fn names_survive_a_metadump(name in vec(any::<u8>(), 0..=KEY_BYTES_MAX)) {
        // Every byte encoded is as good as only some.
        let encoded: String = name.iter().map(|byte| format!("%{byte:02X}")).collect();
        let reply = format!("key={encoded} exp=-1\nEND\r\n");
        let (events, _) = decode_metadump([reply.as_bytes()]);
        let key = ListedKey { name, ..ListedKey::default() };
        prop_assert_eq!(events, [MetadumpEvent::Key(key), MetadumpEvent::End]);
    }

    #[test]
    fn names_survive_a_cachedump(mut name in vec(any::<u8>(), 0..=KEY_BYTES_MAX)) {
        name.retain(|byte| *byte != b'\n');
        let reply = [b"ITEM ", &name[..], b" [7 b; 8 s]\r\nEND\r\n"].concat();
        let (events, _) = decode_cachedump([&reply[..]]);
        let key = ListedKey {
            name,
            expires: Some(8),
            size_bytes: Some(7),
            ..ListedKey::default()
        };
        prop_assert_eq!(events, [CacheDumpEvent::Key(key), CacheDumpEvent::End]);
    }

    #[test]
    fn no_key_ends_its_line(keys in vec(vec(any::<u8>(), 0..6), 0..4)) {
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let is_possible = !keys.is_empty() && keys.iter().all(|key| is_ascii_key(key));
        let line = ReadValues::ascii(&keys);
        prop_assert_eq!(line.is_some(), is_possible);
        let adds = keys.iter().filter_map(|key| add_line(key, 0, 0, 0));
        for line in line.into_iter().chain(adds) {
            let body = line.strip_suffix(b"\r\n").expect("every line is ended");
            prop_assert!(!body.iter().any(u8::is_ascii_control));
        }
    }

    #[test]
    fn any_text_may_be_a_version(text in "[12]\\.[0-9]{1,3}\\.[0-9]{1,11}[-_ (]{0,2}.{0,4}") {
        if let Some(version) = ServerVersion::parse(&text) {
            prop_assert_eq!(version.major, 1);
            prop_assert_eq!(ServerVersion::parse(&version.to_string()), Some(version));
        }
    }
}
