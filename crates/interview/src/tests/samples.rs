//! Names of keys: asked for only by wish, only of servers that are not harmed, a few of them, and none
//! of them kept.

use std::num::NonZeroU32;
use std::time::Duration;

use model::{Answer, Dialogue, Ending, Question, Unsampled};
use proptest::prelude::*;
use sim::behaviour::{Genuine, GenuineConfig, StoredItems};
use sim::{Act, Personality};
use testkit::{Transcript, transcripts};

use super::driver::{Fate, Manner, Pieces, Played, Tls, play_with, replay};
use crate::{Depth, Options};

/// Transcripts of servers that list names, and how many names they list of class 1. 1.5.0 lists none,
/// because all its items were used lately.
const LISTS: [(&str, u64); 19] = [
    ("1.2.8", 3),
    ("1.4.0", 3),
    ("1.4.4", 3),
    ("1.4.10", 3),
    ("1.4.13", 3),
    ("1.4.15", 3),
    ("1.4.15-sasl", 3),
    ("1.4.33", 3),
    ("1.4.34", 3),
    ("1.5.0", 0),
    ("1.5.5", 4),
    ("1.5.6", 4),
    ("1.6.0", 4),
    ("1.6.9", 4),
    ("1.6.18-debian", 4),
    ("1.6.21", 4),
    ("1.6.38", 4),
    ("1.6.45", 4),
    ("1.6.45-sasl-tls", 4),
];

fn wishing(names_max: u32) -> Options {
    Options {
        key_names_max: NonZeroU32::new(names_max),
        ..Options::new(Depth::Scan, None, 7)
    }
}

fn manner() -> Manner {
    Manner {
        half_trip: Duration::from_millis(5),
        ..Manner::default()
    }
}

fn played(transcript: &Transcript, names_max: u32, manner: &Manner) -> Played {
    play_with(wishing(names_max), &mut replay(transcript), manner)
}

fn listings(played: &Played) -> Vec<String> {
    let requests = played.requests.iter();
    let texts = requests.map(|request| String::from_utf8_lossy(request).trim_end().to_owned());
    texts.filter(|text| text.contains("dump")).collect()
}

/// The dialogue without what was sampled.
fn unsampled(mut dialogue: Dialogue) -> Dialogue {
    dialogue.key_sample = Answer::NotAsked;
    dialogue.unsampled = None;
    dialogue
        .executed
        .retain(|question| *question != Question::KeySample);
    dialogue
}

#[test]
fn recorded_servers_name_what_was_recorded() {
    for (name, names) in LISTS {
        let transcript = transcripts::by_name(name);
        let played = played(&transcript, 50, &manner());
        let dialogue = &played.dialogue;
        let Answer::Given(sample) = &dialogue.key_sample else {
            panic!("{name}: {:?} {:?}", dialogue.key_sample, dialogue.unsampled);
        };
        assert_eq!((sample.names_max, sample.names_seen), (50, names), "{name}");
        assert_eq!(dialogue.unsampled, None, "{name}");
        assert_eq!(dialogue.ending, Ending::Complete, "{name}");
        assert!(dialogue.executed.contains(&Question::KeySample), "{name}");
        let listings = listings(&played);
        assert!(listings.len() > 1 && listings.len() <= 16, "{listings:?}");
        let sessions: Vec<_> = sample.secrets().map(|count| count.kind.en).collect();
        let has_session = names == 4 || name == "1.2.8";
        let expected: &[&str] = if has_session { &["sessions"] } else { &[] };
        assert_eq!(sessions, expected, "{name}");
        let kept = format!("{dialogue:?}");
        for part in ["abc123", "bin key", "session:"] {
            assert!(!kept.contains(part), "{name} keeps {part:?}");
        }
    }
}

#[test]
fn nothing_is_asked_without_a_wish_and_nothing_else_changes_with_one() {
    for (name, _) in LISTS {
        let transcript = transcripts::by_name(name);
        let options = Options::new(Depth::Full, None, 7);
        let without = play_with(options, &mut replay(&transcript), &manner());
        assert_eq!(listings(&without), [""; 0], "{name}");
        assert_eq!(without.dialogue.key_sample, Answer::NotAsked, "{name}");
        assert_eq!(without.dialogue.unsampled, None, "{name}");
        let with = played(&transcript, 50, &manner());
        assert_eq!(unsampled(with.dialogue), without.dialogue, "{name}");
    }
}

#[test]
fn fewer_names_are_asked_for_where_fewer_are_wished() {
    let transcript = transcripts::by_name("1.6.45");
    let played = played(&transcript, 2, &manner());
    let listings = listings(&played);
    assert_eq!(listings.len(), 2);
    // What the other class did not list is asked of this one.
    assert_eq!(listings[1], "stats cachedump 1 2");
    let seen = played.dialogue.key_sample.value().unwrap();
    assert_eq!((seen.names_max, seen.names_seen), (2, 2));
}

#[test]
fn who_cannot_be_asked_is_not_asked_and_it_is_said_why() {
    let cases = [
        ("B-binary-1.4.15", Some(Unsampled::NotAscii)),
        ("other-memcrsd", Some(Unsampled::NotAscii)),
        ("other-honeypots", Some(Unsampled::Contradictory)),
        ("other-memcached-njs", Some(Unsampled::UnknownVersion)),
        ("other-nodecached", Some(Unsampled::UnknownVersion)),
        ("other-yrmcds", Some(Unsampled::UnknownVersion)),
        // Nothing of theirs is open.
        ("auth-1.4.15-S", None),
        ("auth-1.6.45-Y", None),
    ];
    for (name, expected) in cases {
        let transcript = transcripts::by_name(name);
        let played = played(&transcript, 50, &manner());
        assert_eq!(listings(&played), [""; 0], "{name}");
        assert_eq!(played.dialogue.key_sample, Answer::NotAsked, "{name}");
        assert_eq!(played.dialogue.unsampled, expected, "{name}");
    }
    let mut empty = Genuine::new(GenuineConfig::new("1.6.18"));
    let played = play_with(wishing(50), &mut empty, &manner());
    assert_eq!(listings(&played), [""; 0]);
    assert_eq!(played.dialogue.unsampled, Some(Unsampled::NoItems));
}

#[test]
fn names_come_through_tls_as_well() {
    let transcript = transcripts::by_name("1.6.45");
    let manner = Manner {
        tls: Tls::Session(model::TlsFacts::default()),
        ..manner()
    };
    let dialogue = played(&transcript, 50, &manner).dialogue;
    assert!(dialogue.tls.is_some());
    assert_eq!(dialogue.key_sample.value().unwrap().names_seen, 4);
}

#[test]
fn any_split_gives_the_same_sample() {
    for (name, _) in LISTS {
        let transcript = transcripts::by_name(name);
        let whole = played(&transcript, 50, &manner()).dialogue;
        let random = |seed| Pieces::Random {
            seed,
            pause: Duration::from_millis(1),
        };
        let pieces = [Pieces::Bytes].into_iter().chain((0..4).map(random));
        for pieces in pieces {
            let manner = Manner { pieces, ..manner() };
            let dialogue = played(&transcript, 50, &manner).dialogue;
            assert_eq!(dialogue, whole, "{name} {pieces:?}");
        }
    }
}

/// Wherever the listing breaks off, everything else had been learnt and stays complete.
#[test]
fn a_listing_that_breaks_off_harms_no_verdict() {
    for name in ["1.4.15", "1.6.45"] {
        let transcript = transcripts::by_name(name);
        let whole = played(&transcript, 50, &manner());
        let options = Options::new(Depth::Scan, None, 7);
        let before = play_with(options, &mut replay(&transcript), &manner());
        assert!(whole.bytes > before.bytes + 50, "{name}");
        for after in before.bytes..whole.bytes {
            for fate in [Fate::Closes, Fate::Resets, Fate::Stalls] {
                let what = format!("{name} {fate:?} after {after}");
                let manner = Manner {
                    cut: Some((after, fate)),
                    ..manner()
                };
                let played = played(&transcript, 50, &manner);
                assert!(played.took < Duration::from_secs(8), "{what}");
                let sample = &played.dialogue.key_sample;
                let expected = match (sample, fate) {
                    (Answer::Silent, Fate::Stalls) => true,
                    (Answer::Closed, Fate::Closes | Fate::Resets) => true,
                    // Some class was answered, if only by `END`.
                    (Answer::Truncated(_), _) => after >= before.bytes + "END\r\n".len(),
                    _ => false,
                };
                assert!(expected, "{what}: {sample:?}");
                assert_eq!(unsampled(played.dialogue), before.dialogue, "{what}");
            }
        }
    }
}

/// A genuine server with items in classes, that answers a cachedump in a manner of its own.
struct Lister {
    genuine: Genuine,
    list: fn(u32, u32) -> Vec<Act>,
}

impl Lister {
    fn new(items: &[(u8, u64)], list: fn(u32, u32) -> Vec<Act>) -> Lister {
        let mut config = GenuineConfig::new("1.6.18");
        config.items = items
            .iter()
            .map(|(class, count)| StoredItems {
                class: *class,
                count: *count,
                bytes: 100 * count,
            })
            .collect();
        Lister {
            genuine: Genuine::new(config),
            list,
        }
    }
}

impl Personality for Lister {
    fn stream_opened(&mut self, stream: u64, now_us: u64) -> Vec<Act> {
        self.genuine.stream_opened(stream, now_us)
    }

    fn stream_bytes(&mut self, stream: u64, bytes: &[u8], now_us: u64) -> Vec<Act> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        match text.trim_end().strip_prefix("stats cachedump ") {
            Some(rest) => {
                let (class, count) = rest.split_once(' ').unwrap();
                (self.list)(class.parse().unwrap(), count.parse().unwrap())
            }
            None => self.genuine.stream_bytes(stream, bytes, now_us),
        }
    }
}

fn names(class: u32, count: u32) -> Vec<u8> {
    let row = |number| format!("ITEM class{class}:{number} [1 b; 0 s]\r\n");
    let rows: String = (0..count).map(row).collect();
    rows.into_bytes()
}

#[test]
fn classes_share_what_is_wished_for() {
    fn list(class: u32, count: u32) -> Vec<Act> {
        let mut reply = names(class, count);
        reply.extend_from_slice(b"END\r\n");
        vec![Act::Send(reply)]
    }
    // (items by class, names wished for, what is asked)
    let many: Vec<(u8, u64)> = (1..=40)
        .map(|class| (class, 100 + u64::from(class)))
        .collect();
    type Case<'a> = (&'a [(u8, u64)], u32, &'a [&'a str]);
    let cases: [Case<'_>; 3] = [
        (
            &[(1, 1_000), (2, 3), (5, 400)],
            50,
            &[
                "stats cachedump 2 3",
                "stats cachedump 5 23",
                "stats cachedump 1 24",
            ],
        ),
        (&[(1, 9), (2, 10)], 1, &["stats cachedump 2 1"]),
        (&[(9, 5)], 1_000, &["stats cachedump 9 5"]),
    ];
    for (items, wished, expected) in cases {
        let played = play_with(wishing(wished), &mut Lister::new(items, list), &manner());
        assert_eq!(listings(&played), expected);
        assert!(matches!(played.dialogue.key_sample, Answer::Given(_)));
    }
    let played = play_with(wishing(100), &mut Lister::new(&many, list), &manner());
    assert_eq!(listings(&played).len(), 16);
    let seen = played.dialogue.key_sample.value().unwrap().names_seen;
    assert_eq!(seen, 100);
}

#[test]
fn who_says_more_than_was_asked_is_cut_short() {
    let floods: [fn(u32, u32) -> Vec<Act>; 3] = [
        |class, count| vec![Act::Send(names(class, count + 5))],
        |_, _| {
            let bytes = b"ITEM odd\r\n".repeat(100);
            let (times, pause_us) = (100_000, 100);
            vec![
                Act::Send(names(1, 1)),
                Act::Repeat {
                    bytes,
                    times,
                    pause_us,
                },
            ]
        },
        |_, _| {
            let (times, pause_us) = (100_000, 400_000);
            vec![
                Act::Send(names(1, 1)),
                Act::Repeat {
                    bytes: b"x".to_vec(),
                    times,
                    pause_us,
                },
            ]
        },
    ];
    for (number, flood) in floods.into_iter().enumerate() {
        let mut server = Lister::new(&[(1, 100)], flood);
        let played = play_with(wishing(20), &mut server, &manner());
        let sample = &played.dialogue.key_sample;
        assert!(
            matches!(sample, Answer::Truncated(_)),
            "{number}: {sample:?}"
        );
        assert!(sample.value().unwrap().names_seen <= 20, "{number}");
        assert_eq!(played.dialogue.ending, Ending::Complete, "{number}");
        assert!(
            played.took < Duration::from_secs(5),
            "{number}: {:?}",
            played.took
        );
    }
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let refuse = |_, _| {
        vec![Act::Send(
            b"CLIENT_ERROR stats cachedump not allowed\r\n".to_vec(),
        )]
    };
    let mut server = Lister::new(&[(1, 100)], refuse);
    let dialogue = play_with(wishing(20), &mut server, &manner()).dialogue;
    let words = "CLIENT_ERROR stats cachedump not allowed".to_owned();
    assert_eq!(dialogue.key_sample, Answer::Refused(words));
    assert!(!dialogue.executed.contains(&Question::KeySample));
}

#[test]
fn a_listing_in_another_form_is_not_quoted() {
    let list = |_, _| vec![Act::Send(b"KEY session:abc123\r\nEND\r\n".to_vec())];
    let mut server = Lister::new(&[(1, 100)], list);
    let dialogue = play_with(wishing(20), &mut server, &manner()).dialogue;
    let words = "a line that is no listing".to_owned();
    assert_eq!(dialogue.key_sample, Answer::Refused(words));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands behind the known beginning of a session's name, nothing of it is kept.
    #[test]
    fn no_identifier_is_kept(ids in prop::collection::vec("[a-zA-Z0-9]{12,40}", 1..8)) {
        let mut tally = model::KeyTally::default();
        for id in &ids {
            for begin in ["memc.sess.key.", "app:_session_id:", "session:", ":1:django.contrib.sessions.cache"] {
                tally.add(format!("{begin}{id}").as_bytes());
            }
        }
        let kept = format!("{:?}", tally.finish(100));
        for id in &ids {
            prop_assert!(!kept.contains(&id[..6]), "{id} in {kept}");
        }
    }
}
