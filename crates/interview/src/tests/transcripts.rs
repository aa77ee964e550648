//! The dialogues with recorded servers say what was recorded, however the bytes arrive.

use std::time::Duration;

use model::{Answer, Auth, Dialogue, Ending, Impression, KeyProbe, MetaNoop, Protocol, Question};
use model::{Connections, StatsTable, TlsFacts};
use sim::behaviour::{Genuine, GenuineConfig};
use sim::{Act, Personality};
use testkit::{Transcript, transcripts};

use super::driver::{Fate, Manner, Pieces, Played, Tls, play, replay};

/// Cuts tried for each server and fate.
const CUTS: usize = 40;
/// Servers that give another table each time.
const VOLATILE: [&str; 3] = ["other-honeypots", "other-memcached-njs", "other-nodecached"];
/// The longest that an interview may take.
const INTERVIEW_MAX: Duration = Duration::from_secs(10);

fn manner_of(transcript: &Transcript) -> Manner {
    let has_tls = transcript
        .exchanges
        .iter()
        .any(|one| one.transport == "tls");
    let tls = if has_tls {
        Tls::Session(TlsFacts {
            version: "TLSv1.3".into(),
            ..TlsFacts::default()
        })
    } else {
        Tls::None
    };
    Manner {
        tls,
        half_trip: Duration::from_millis(5),
        ..Manner::default()
    }
}

fn played(transcript: &Transcript, manner: &Manner) -> Played {
    let played = play(&mut replay(transcript), manner);
    assert!(
        played.took <= INTERVIEW_MAX,
        "{}: {:?}",
        transcript.name,
        played.took
    );
    played
}

/// The rows of a recorded table, read by other means than the product's.
fn rows(recorded: &[u8]) -> StatsTable {
    let text = String::from_utf8_lossy(recorded).into_owned();
    let row = |line: &str| {
        let (_, row) = line.split_once(' ')?;
        let (name, value) = row.split_once(' ').unwrap_or((row, ""));
        (line.starts_with("STAT ") || line.starts_with("STATS "))
            .then(|| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

/// What a recording of a table must become.
fn table(transcript: &Transcript, case: &str) -> Answer<StatsTable> {
    let recorded = ["tcp", "tls"]
        .iter()
        .find_map(|one| transcript.exchange(one, case));
    let Some(recorded) = recorded.and_then(|exchange| exchange.received.clone()) else {
        // The replayed server does not know what was not recorded.
        return Answer::Refused("ERROR".into());
    };
    if recorded.ends_with(b"END\r\n") || recorded.ends_with(b"END") {
        Answer::Given(rows(&recorded))
    } else {
        Answer::Refused(String::from_utf8_lossy(&recorded).trim_end().to_owned())
    }
}

/// Servers that speak ASCII and demand nothing: everything is told.
fn check_open(transcript: &Transcript, dialogue: &Dialogue) {
    let name = &transcript.name;
    let text = |case: &str| String::from_utf8_lossy(transcript.received(case)).into_owned();
    let version = text("version").trim_end().replacen("VERSION ", "", 1);
    assert_eq!(dialogue.version, Answer::Given(version), "{name}");
    assert_eq!(
        (dialogue.protocol, &dialogue.auth),
        (Protocol::Ascii, &Auth::None),
        "{name}"
    );
    assert_eq!(dialogue.stats, table(transcript, "stats"), "{name}");
    assert_eq!(dialogue.second_stats, table(transcript, "stats"), "{name}");
    assert_eq!(dialogue.repeated_stats, Answer::NotAsked, "{name}");
    assert_eq!(
        dialogue.settings,
        table(transcript, "stats-settings"),
        "{name}"
    );
    assert_eq!(dialogue.items, table(transcript, "stats-items"), "{name}");
    assert_eq!(dialogue.random_key, Answer::Given(KeyProbe::Miss), "{name}");
    assert_eq!(dialogue.two_commands, Answer::Given(2), "{name}");
    let meta_noop = match text("mn").as_str() {
        "MN\r\n" => MetaNoop::Mn,
        "EN\r\n" => MetaNoop::En,
        _ => MetaNoop::NotKnown,
    };
    assert_eq!(dialogue.meta_noop, Answer::Given(meta_noop), "{name}");
    let mut executed = vec![Question::Version, Question::RandomKey, Question::Stats];
    let tables = [
        (&dialogue.settings, Question::StatsSettings),
        (&dialogue.items, Question::StatsItems),
    ];
    executed.extend(
        tables
            .iter()
            .filter(|(table, _)| table.value().is_some())
            .map(|one| one.1),
    );
    assert_eq!(dialogue.executed, executed, "{name}");
    assert_eq!(
        (&dialogue.impression, dialogue.ending),
        (&None, Ending::Complete),
        "{name}"
    );
    assert_eq!(dialogue.anomalies, [], "{name}");
}

#[test]
fn open_servers_tell_what_was_recorded() {
    let mut seen = 0;
    for transcript in transcripts::all() {
        let is_other = transcript.name.starts_with("auth-")
            || transcript.name.starts_with("B-binary")
            || matches!(
                transcript.name.as_str(),
                "other-honeypots" | "other-memcached-njs" | "other-memcrsd" | "other-nodecached"
            );
        if is_other {
            continue;
        }
        let played = played(&transcript, &manner_of(&transcript));
        check_open(&transcript, &played.dialogue);
        let is_tls = transcript.name.starts_with("tls-");
        assert_eq!(played.dialogue.tls.is_some(), is_tls, "{}", transcript.name);
        seen += 1;
    }
    assert!(seen >= 21, "{seen}");
}

#[test]
fn connections_are_counted_as_recorded() {
    // (recording, listening, TCP clients)
    for (name, listening, tcp_clients) in [("1.4.33", 5, 1), ("1.6.0", 5, 1), ("1.6.45", 5, 1)] {
        let transcript = transcripts::by_name(name);
        let dialogue = played(&transcript, &manner_of(&transcript)).dialogue;
        let counted = Connections {
            listening,
            tcp_clients,
            loopback_peers: 1,
            ..Connections::default()
        };
        assert_eq!(dialogue.connections, Answer::Given(counted), "{name}");
    }
    let old = transcripts::by_name("1.4.15");
    let dialogue = played(&old, &manner_of(&old)).dialogue;
    assert_eq!(dialogue.connections, Answer::Refused("ERROR".into()));
}

#[test]
fn servers_that_demand_a_password_are_asked_no_further() {
    let mechanisms: Vec<String> = "SCRAM-SHA-512 SCRAM-SHA-384 SCRAM-SHA-256 SCRAM-SHA-224 \
                                   SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5 NTLM PLAIN LOGIN ANONYMOUS"
        .split(' ')
        .map(str::to_owned)
        .collect();
    for (name, version) in [
        ("auth-1.4.15-S", "1.4.15"),
        ("auth-1.4.15-S-udp", "1.4.15"),
        ("auth-1.6.45-S", "1.6.45"),
    ] {
        let transcript = transcripts::by_name(name);
        let played = played(&transcript, &manner_of(&transcript));
        let expected = Dialogue {
            protocol: Protocol::Binary,
            version: Answer::Given(version.into()),
            auth: Auth::Sasl(mechanisms.clone()),
            ..Dialogue::default()
        };
        assert_eq!(played.dialogue, expected, "{name}");
        assert_eq!(played.requests.len(), 2, "{name}: one ASCII, one binary");
    }
    let transcript = transcripts::by_name("auth-1.6.45-Y");
    let played = played(&transcript, &manner_of(&transcript));
    let expected = Dialogue {
        protocol: Protocol::Ascii,
        version: Answer::Refused("CLIENT_ERROR unauthenticated".into()),
        auth: Auth::Ascii,
        ..Dialogue::default()
    };
    assert_eq!(played.dialogue, expected);
    assert_eq!(played.requests.len(), 1);
}

#[test]
fn binary_servers_are_asked_in_binary() {
    for (name, version) in [
        ("B-binary-1.4.15", "1.4.15"),
        ("B-binary-1.6.45", "1.6.45"),
        ("other-memcrsd", "0.0.1"),
    ] {
        let transcript = transcripts::by_name(name);
        let dialogue = played(&transcript, &manner_of(&transcript)).dialogue;
        assert_eq!(dialogue.version, Answer::Given(version.into()), "{name}");
        assert_eq!(
            (dialogue.protocol, &dialogue.auth),
            (Protocol::Binary, &Auth::None),
            "{name}"
        );
        let executed = [Question::BinaryNoop, Question::BinaryStat];
        assert_eq!(dialogue.executed, executed, "{name}");
        let recorded = binary_rows(transcript.received("bin-stat"));
        assert_eq!(dialogue.stats, Answer::Given(recorded), "{name}");
        assert_eq!(dialogue.stats, dialogue.second_stats, "{name}");
    }
}

/// The rows of recorded STAT packets, read by other means than the product's.
fn binary_rows(recorded: &[u8]) -> StatsTable {
    let mut table = StatsTable::new();
    let mut rest = recorded;
    while let Some((header, after)) = rest.split_first_chunk::<24>() {
        let key_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let body_bytes = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let (body, next) = after.split_at(body_bytes as usize);
        if header[1] == 0x10 && header[6..8] == [0, 0] && key_bytes > 0 {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            table.push(text(&body[..key_bytes]), text(&body[key_bytes..]));
        }
        rest = next;
    }
    table
}

#[test]
fn impostors_show_themselves() {
    // Refuses `version`, closes after every reply, and has a value for any key.
    let transcript = transcripts::by_name("other-honeypots");
    let dialogue = played(&transcript, &manner_of(&transcript)).dialogue;
    assert_eq!(dialogue.version, Answer::Refused("ERROR".into()));
    assert_eq!(dialogue.random_key, Answer::Given(KeyProbe::Hit));
    assert!(
        dialogue.executed.contains(&Question::Stats),
        "{:?}",
        dialogue.executed
    );
    let pid = |answer: &Answer<StatsTable>| answer.value().and_then(|table| table.integer("pid"));
    assert_ne!(pid(&dialogue.stats), pid(&dialogue.second_stats));

    // Numbers its connections, so that no two tables are alike.
    let transcript = transcripts::by_name("other-memcached-njs");
    let dialogue = played(&transcript, &manner_of(&transcript)).dialogue;
    assert_eq!(dialogue.version, Answer::Given("0.0.1".into()));
    assert_eq!(dialogue.two_commands, Answer::Given(2));
    for table in [
        &dialogue.stats,
        &dialogue.settings,
        &dialogue.items,
        &dialogue.second_stats,
    ] {
        assert_eq!(
            table.value().and_then(|rows| rows.text("hello")),
            Some("world")
        );
    }

    // Hears only the last of two commands in one segment.
    let transcript = transcripts::by_name("other-nodecached");
    let dialogue = played(&transcript, &manner_of(&transcript)).dialogue;
    assert_eq!(dialogue.version, Answer::Given("nodecached-0.2.0".into()));
    assert_eq!(dialogue.two_commands, Answer::Truncated(1));
    assert_eq!(dialogue.random_key, Answer::Given(KeyProbe::Miss));
    assert_eq!(pid(&dialogue.stats), Some(8489));
    assert_eq!(pid(&dialogue.second_stats), Some(8489));
    assert_eq!(dialogue.meta_noop, Answer::Given(MetaNoop::NotKnown));
}

/// What a server answers to this segment, if not what a genuine one would.
type Habit = fn(&[u8]) -> Option<Vec<Act>>;

/// A genuine server with one habit of its own.
struct Odd {
    genuine: Genuine,
    habit: Habit,
}

impl Personality for Odd {
    fn stream_opened(&mut self, stream: u64, now_us: u64) -> Vec<Act> {
        self.genuine.stream_opened(stream, now_us)
    }

    fn stream_bytes(&mut self, stream: u64, bytes: &[u8], now_us: u64) -> Vec<Act> {
        (self.habit)(bytes).unwrap_or_else(|| self.genuine.stream_bytes(stream, bytes, now_us))
    }
}

/// Each answer is taken for the question that it answers, also where one comes late.
#[test]
fn odd_servers_are_not_put_out_of_step() {
    let slow = |bytes: &[u8]| {
        bytes.starts_with(b"version\r\nget ").then(|| {
            let version = Act::Send(b"VERSION 1.6.18\r\n".to_vec());
            vec![
                version,
                Act::Wait { us: 700_000 },
                Act::Send(b"END\r\n".to_vec()),
            ]
        })
    };
    let secretive = |bytes: &[u8]| match bytes {
        b"version\r\n" => Some(vec![Act::Send(b"ERROR\r\n".to_vec())]),
        _ => None,
    };
    let cases: [(&str, Habit, _, _); 2] = [
        (
            "slow",
            slow,
            Answer::Given("1.6.18".to_owned()),
            Answer::Truncated(1),
        ),
        (
            "secretive",
            secretive,
            Answer::Refused("ERROR".to_owned()),
            Answer::Given(2),
        ),
    ];
    for (name, habit, version, two_commands) in cases {
        let genuine = Genuine::new(GenuineConfig::new("1.6.18"));
        let dialogue = play(&mut Odd { genuine, habit }, &Manner::default()).dialogue;
        assert_eq!(
            (dialogue.version, dialogue.two_commands),
            (version, two_commands),
            "{name}"
        );
        assert_eq!(dialogue.random_key, Answer::Given(KeyProbe::Miss), "{name}");
        assert_eq!(dialogue.meta_noop, Answer::Given(MetaNoop::Mn), "{name}");
        let rows = [
            (&dialogue.stats, "curr_items"),
            (&dialogue.second_stats, "curr_items"),
            (&dialogue.settings, "udpport"),
        ];
        for (table, row) in rows {
            let given = matches!(table, Answer::Given(rows) if rows.text(row).is_some());
            assert!(given, "{name}: {row} in {table:?}");
        }
        assert_eq!(dialogue.anomalies, [], "{name}");
    }
}

#[test]
fn any_split_gives_the_same_dialogue() {
    for transcript in transcripts::all() {
        let manner = manner_of(&transcript);
        let whole = played(&transcript, &manner).dialogue;
        let mut ways = vec![Pieces::Bytes];
        ways.extend((1..=12).map(|seed| Pieces::Random {
            seed,
            pause: Duration::ZERO,
        }));
        let pause = Duration::from_millis(20);
        ways.extend((1..=4).map(|seed| Pieces::Random { seed, pause }));
        for pieces in ways {
            let cut_up = played(
                &transcript,
                &Manner {
                    pieces,
                    ..manner.clone()
                },
            );
            assert_eq!(cut_up.dialogue, whole, "{} in {pieces:?}", transcript.name);
        }
    }
}

#[test]
fn a_server_that_breaks_off_adds_no_fact() {
    for transcript in transcripts::all() {
        let manner = manner_of(&transcript);
        let whole = played(&transcript, &manner);
        for fate in [Fate::Closes, Fate::Resets, Fate::Stalls] {
            for number in 0..CUTS {
                // Every byte of the beginning, then spread over the rest.
                let after = match number {
                    0..20 => number,
                    _ => 20 + whole.bytes * (number - 20) / (CUTS - 20),
                };
                let cut = Manner {
                    cut: Some((after, fate)),
                    ..manner.clone()
                };
                let part = played(&transcript, &cut).dialogue;
                let context = format!("{} {fate:?} after {after}", transcript.name);
                check_subset(&part, &whole.dialogue, &context);
            }
        }
    }
}

/// Everything that is stated in the part was stated in the whole.
fn check_subset(part: &Dialogue, whole: &Dialogue, context: &str) {
    for question in &part.executed {
        assert!(whole.executed.contains(question), "{context}: {question:?}");
    }
    if let Answer::Given(version) = &part.version {
        assert_eq!(whole.version, Answer::Given(version.clone()), "{context}");
    }
    assert!(
        part.protocol == whole.protocol || part.protocol == Protocol::Unknown,
        "{context}"
    );
    if part.auth != Auth::Unknown {
        assert_eq!(part.auth, whole.auth, "{context}");
    }
    let tables = [
        (&part.stats, &whole.stats),
        (&part.second_stats, &whole.stats),
        (&part.settings, &whole.settings),
        (&part.items, &whole.items),
    ];
    for (part, whole) in tables {
        check_table(part, whole, context);
    }
    if let Answer::Given(counted) = &part.connections {
        assert_eq!(
            whole.connections,
            Answer::Given(counted.clone()),
            "{context}"
        );
    }
    if let Answer::Given(probe) = part.random_key {
        assert_eq!(whole.random_key, Answer::Given(probe), "{context}");
    }
    if let Answer::Given(replies) = part.two_commands {
        assert_eq!(whole.two_commands, Answer::Given(replies), "{context}");
    }
    if let Answer::Given(known) = part.meta_noop {
        assert_eq!(whole.meta_noop, Answer::Given(known), "{context}");
    }
    if !part.executed.is_empty() {
        assert_eq!(part.impression, None, "{context}");
    }
    let looks_like_nothing = matches!(
        part.impression,
        None | Some(
            Impression::Mute
                | Impression::Closed
                | Impression::Reset
                | Impression::Text(_)
                | Impression::Bytes(_)
                | Impression::InsideTls(_)
                | Impression::TlsFailure(_)
        )
    );
    assert!(looks_like_nothing, "{context}: {:?}", part.impression);
}

fn check_table(part: &Answer<StatsTable>, whole: &Answer<StatsTable>, context: &str) {
    match part {
        Answer::Given(_) | Answer::Truncated(_)
            if VOLATILE.iter().any(|name| context.starts_with(name)) => {}
        Answer::Given(rows) => assert_eq!(Some(rows), whole.value(), "{context}"),
        Answer::Truncated(rows) => {
            let all = whole.value().expect("a truncated table has a whole one");
            assert!(rows.len() <= all.len(), "{context}");
            assert!(
                rows.iter().zip(all.iter()).all(|(one, other)| one == other),
                "{context}"
            );
        }
        Answer::NotAsked | Answer::Silent | Answer::Closed | Answer::Refused(_) => {}
    }
}
