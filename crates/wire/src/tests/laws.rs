//! Laws that hold for any bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

use super::{decode_ascii, decode_binary};
use crate::{
    Accepted, AsciiDecoder, AsciiEvent, BODY_BYTES_MAX, BinaryEvent, BinaryReply, Frame,
    LINE_BYTES_MAX, REPLY_BYTES_MAX, REPLY_DATAGRAMS_MAX, RandomKey, Reassembly,
};

/// The same cases on every machine and every day.
pub(super) fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 256,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x6d65_6d73_7765_6570),
        ..ProptestConfig::default()
    }
}

/// Text that is often almost right, and now and then nothing of the kind.
fn ascii_stream() -> impl Strategy<Value = Vec<u8>> {
    let lines = select(vec![
        "STAT pid 1\r\n",
        "STATS a b c\r\n",
        "STAT \r\n",
        "END\r\n",
        "END\n",
        "END",
        "VERSION 1.4.15\r\n",
        "ERROR\r\n",
        "CLIENT_ERROR unauthenticated\r\n",
        "SERVER_ERROR\n",
        "MN\r\n",
        "EN\r\n",
        "VALUE k 0 5\r\nEND\r\n\r\n",
        "VALUE k 0 0\r\n\r\n",
        "VALUE k 0 3\r\n",
        "VALUE k 0 18446744073709551616\r\n",
        "あ\r\n",
        "\r",
        "\n",
    ])
    .prop_map(|line| line.as_bytes().to_vec());
    let piece = prop_oneof![
        12 => lines,
        2 => vec(any::<u8>(), 0..40),
        1 => (LINE_BYTES_MAX - 3..LINE_BYTES_MAX + 4).prop_map(|length| vec![b'x'; length]),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn packet(reply: &BinaryReply, extras: &[u8]) -> Vec<u8> {
    let body_bytes = (extras.len() + reply.key.len() + reply.value.len()) as u32;
    let mut out = vec![0x81, reply.opcode];
    out.extend((reply.key.len() as u16).to_be_bytes());
    out.extend([extras.len() as u8, 0]);
    out.extend(reply.status.to_be_bytes());
    out.extend(body_bytes.to_be_bytes());
    out.extend(reply.opaque.to_be_bytes());
    out.extend([0; 8]);
    out.extend(extras);
    out.extend(&reply.key);
    out.extend(&reply.value);
    out
}

prop_compose! {
    fn reply()(
        opcode in any::<u8>(),
        status in any::<u16>(),
        opaque in any::<u32>(),
        key in vec(any::<u8>(), 0..20),
        value in vec(any::<u8>(), 0..60),
    ) -> BinaryReply {
        BinaryReply { opcode, status, opaque, key, value }
    }
}

fn binary_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => (reply(), vec(any::<u8>(), 0..5))
            .prop_map(|(reply, extras)| packet(&reply, &extras)),
        // A header with any lengths, and bytes with none.
        1 => vec(any::<u8>(), 23).prop_map(|rest| [&[0x81], &rest[..]].concat()),
        1 => vec(any::<u8>(), 0..30),
    ];
    vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Cuts bytes at the given places.
pub(super) fn split<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

/// Sequence numbers that often follow each other, and now and then are far away.
fn sequence() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 0..80_u16, 1 => any::<u16>()]
}

/// What stands behind the sequence number: sometimes too short for a frame, sometimes so long that
/// the limit of bytes is met before that of datagrams.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        (0..9_000_usize).prop_map(|length| vec![b'x'; length]),
    ]
}

fn text_bytes(event: &AsciiEvent) -> usize {
    match event {
        AsciiEvent::Stat { name, value } => name.len() + value.len(),
        AsciiEvent::Version(text)
        | AsciiEvent::ClientError(text)
        | AsciiEvent::ServerError(text)
        | AsciiEvent::Other(text) => text.len(),
        AsciiEvent::End
        | AsciiEvent::Value { .. }
        | AsciiEvent::Error
        | AsciiEvent::MetaNoop
        | AsciiEvent::MetaEnd => 0,
    }
}

/// A reply of `count` datagrams whose payloads are this text, cut evenly.
fn datagrams(request_id: u16, text: &[u8], count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|part| {
            let payload = &text[text.len() * part / count..text.len() * (part + 1) / count];
            let frame = Frame {
                request_id,
                sequence: part as u16,
                total: count as u16,
                reserved: 0,
            };
            [&frame.to_bytes()[..], payload].concat()
        })
        .collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn ascii_any_split_gives_the_same_events(
        bytes in ascii_stream(),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let whole = decode_ascii([&bytes[..]]);
        prop_assert_eq!(&decode_ascii(split(&bytes, &cuts)), &whole);
        prop_assert_eq!(&decode_ascii(bytes.chunks(1)), &whole);
        // Fetching late changes nothing either.
        let mut decoder = AsciiDecoder::new();
        split(&bytes, &cuts).into_iter().for_each(|piece| decoder.feed(piece));
        let events: Vec<AsciiEvent> = std::iter::from_fn(|| decoder.next_event()).collect();
        prop_assert_eq!((events, decoder.anomalies()), whole);
    }

    #[test]
    fn ascii_truncation_gives_a_prefix(bytes in ascii_stream(), cut in any::<Index>()) {
        let (whole, _) = decode_ascii([&bytes[..]]);
        let (cut_short, _) = decode_ascii([&bytes[..cut.index(bytes.len() + 1)]]);
        prop_assert!(whole.starts_with(&cut_short));
    }

    #[test]
    fn ascii_stays_bounded(bytes in prop_oneof![ascii_stream(), vec(any::<u8>(), 0..30_000)]) {
        let (events, anomalies) = decode_ascii([&bytes[..]]);
        prop_assert!(anomalies.pending_bytes <= LINE_BYTES_MAX);
        prop_assert!(events.len() <= bytes.len());
        // An invalid byte becomes U+FFFD, which is three.
        let kept: usize = events.iter().map(text_bytes).sum();
        prop_assert!(kept + anomalies.pending_bytes <= 3 * bytes.len());
        prop_assert!(anomalies.value_bytes_skipped <= bytes.len() as u64);
        for event in &events {
            if let AsciiEvent::Other(text) = event {
                prop_assert!(text.chars().count() <= 256);
            }
        }
    }

    #[test]
    fn binary_any_split_gives_the_same_events(
        bytes in binary_stream(),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let whole = decode_binary([&bytes[..]]);
        prop_assert_eq!(&decode_binary(split(&bytes, &cuts)), &whole);
        prop_assert_eq!(&decode_binary(bytes.chunks(1)), &whole);
    }

    #[test]
    fn binary_truncation_gives_a_prefix(bytes in binary_stream(), cut in any::<Index>()) {
        let (whole, _) = decode_binary([&bytes[..]]);
        let (cut_short, _) = decode_binary([&bytes[..cut.index(bytes.len() + 1)]]);
        prop_assert!(whole.starts_with(&cut_short));
    }

    #[test]
    fn binary_accounts_for_every_byte(
        bytes in prop_oneof![binary_stream(), vec(any::<u8>(), 0..2_000)],
    ) {
        let (events, pending_bytes) = decode_binary([&bytes[..]]);
        let mut read = pending_bytes;
        for (number, event) in events.iter().enumerate() {
            match event {
                BinaryEvent::Reply(reply) => read += 24 + reply.key.len() + reply.value.len(),
                BinaryEvent::NotBinary => prop_assert_eq!(number + 1, events.len()),
            }
        }
        prop_assert!(read <= bytes.len());
        prop_assert!(pending_bytes < 24 + BODY_BYTES_MAX);
    }

    #[test]
    fn binary_round_trip(replies in vec(reply(), 0..6), extras in vec(any::<u8>(), 0..5)) {
        let bytes: Vec<u8> = replies.iter().flat_map(|reply| packet(reply, &extras)).collect();
        let expected: Vec<BinaryEvent> = replies.into_iter().map(BinaryEvent::Reply).collect();
        prop_assert_eq!(decode_binary([&bytes[..]]), (expected, 0));
    }

    #[test]
    fn reassembly_does_not_mind_order_and_duplicates(
        text in vec(select(b"STAEND \r\n".to_vec()), 0..200),
        is_ended in any::<bool>(),
        count in 1..=REPLY_DATAGRAMS_MAX as usize,
        copies in vec(any::<Index>(), 0..20),
        swaps in vec((any::<Index>(), any::<Index>()), 0..100),
    ) {
        let text = [&text[..], if is_ended { b"\r\nEND\r\n" } else { b"x" }].concat();
        let in_order = datagrams(7, &text, count);
        let mut sent = in_order.clone();
        sent.extend(copies.iter().map(|copy| copy.get(&in_order).clone()));
        for (one, other) in swaps {
            let (one, other) = (one.index(sent.len()), other.index(sent.len()));
            sent.swap(one, other);
        }
        let mut reply = Reassembly::new(7);
        let mut bytes = 0;
        for (number, datagram) in sent.iter().enumerate() {
            let before = reply.is_complete();
            let accepted = reply.handle_datagram(datagram);
            prop_assert!(matches!(accepted, Accepted::New | Accepted::Duplicate));
            prop_assert!(accepted == Accepted::New || reply.is_complete() == before);
            prop_assert!(text.starts_with(&reply.contiguous()));
            bytes += datagram.len() as u64;
            prop_assert_eq!((reply.datagrams(), reply.bytes()), (number as u64 + 1, bytes));
        }
        prop_assert_eq!(reply.contiguous(), text);
        prop_assert_eq!(reply.is_complete(), is_ended);
        prop_assert!(!reply.has_gap());
        prop_assert_eq!(reply.received_distinct() as usize, count);
        prop_assert_eq!(reply.duplicates() as usize, copies.len());
        prop_assert_eq!(reply.stated_total(), Some(count as u16));
    }

    #[test]
    fn reassembly_with_a_loss_is_a_prefix_with_a_gap(
        count in 2..=REPLY_DATAGRAMS_MAX as usize,
        lost in any::<Index>(),
    ) {
        let text = [&b"STAT name value\r\n".repeat(100)[..], b"END\r\n"].concat();
        let mut sent = datagrams(7, &text, count);
        sent.remove(lost.index(count));
        let mut reply = Reassembly::new(7);
        sent.iter().for_each(|datagram| {
            reply.handle_datagram(datagram);
        });
        prop_assert!(!reply.is_complete());
        prop_assert!(reply.has_gap());
        prop_assert_eq!(reply.contiguous(), &text[..text.len() * lost.index(count) / count]);
    }

    #[test]
    fn reassembly_of_anything_stays_bounded(
        sent in vec((0..2_u8, sequence(), payload()), 0..120),
    ) {
        let mut reply = Reassembly::new(0);
        let mut counted = 0;
        for (id, sequence, rest) in &sent {
            let head = [0, *id, sequence.to_be_bytes()[0], sequence.to_be_bytes()[1]];
            counted += match reply.handle_datagram(&[&head[..], rest].concat()) {
                Accepted::New | Accepted::Duplicate | Accepted::OverLimit => 1,
                Accepted::WrongRequestId | Accepted::NotAFrame => 0,
            };
            prop_assert!(reply.received_distinct() <= REPLY_DATAGRAMS_MAX);
        }
        prop_assert!(reply.contiguous().len() <= REPLY_BYTES_MAX);
        prop_assert_eq!(reply.datagrams(), counted);
        let others = reply.wrong_request_ids() + reply.not_frames();
        prop_assert_eq!(counted + others, sent.len() as u64);
        let kept = u64::from(reply.received_distinct());
        prop_assert_eq!(kept + reply.duplicates() + reply.over_limit(), counted);
    }

    #[test]
    fn keys_differ_when_their_bits_do(bits in any::<u128>(), flipped in 0..108_u32) {
        let other = RandomKey::from_bits(bits ^ (1 << flipped));
        prop_assert_ne!(RandomKey::from_bits(bits), other);
    }
}
