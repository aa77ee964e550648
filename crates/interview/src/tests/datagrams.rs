//! The dialogue over UDP, whatever the network and the server do to its datagrams.

use std::time::Duration;

use model::{Amplification, Anomaly, Answer, Auth, Dialogue, Ending, Protocol, Question};
use sim::Personality;
use testkit::{Transcript, transcripts};

use super::driver::{Arrival, Exchanged, exchange, replay};
use crate::{DatagramInterview, Depth, Options};

const INTERVIEW_MAX: Duration = Duration::from_secs(10);
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// What happens to the datagrams of one reply: numbers of the request (the sweep's is 0) and all
/// its datagrams go in; what arrives, and how much later than the first could, comes out.
type Fault<'a> = &'a dyn Fn(usize, Vec<Vec<u8>>) -> Vec<Arrival>;

fn options(depth: Depth) -> Options {
    Options::new(depth, Some(ROUND_TRIP), 11)
}

/// A dialogue with a recorded server.
fn play(transcript: &Transcript, depth: Depth, fault: Fault<'_>) -> Exchanged {
    let mut server = replay(transcript);
    let mut number = 0;
    let exchanged = exchange(options(depth), &mut |request| {
        let acts = server.datagram(request, 0);
        let datagrams = acts.into_iter().map(|act| act.bytes).collect();
        let arrived = fault(number, datagrams);
        number += 1;
        arrived
            .into_iter()
            .map(|(later, datagram)| (ROUND_TRIP + later, datagram))
            .collect()
    });
    assert!(exchanged.took <= INTERVIEW_MAX, "{:?}", exchanged.took);
    exchanged
}

fn at_once(_: usize, datagrams: Vec<Vec<u8>>) -> Vec<Arrival> {
    datagrams
        .into_iter()
        .map(|datagram| (Duration::ZERO, datagram))
        .collect()
}

/// A recording in which the largest replies stand in for the usual ones.
fn full(name: &str) -> Transcript {
    let mut transcript = transcripts::by_name(name);
    transcript
        .exchanges
        .retain(|one| one.transport != "udp" || one.case != "stats-items");
    for exchange in &mut transcript.exchanges {
        if exchange.case == "full-items" {
            exchange.case = "stats-items".into();
        }
    }
    transcript
}

fn udp_transcripts() -> Vec<Transcript> {
    let mut all = transcripts::all();
    all.retain(|one| one.exchange("udp", "stats").is_some());
    assert!(all.len() >= 22, "{}", all.len());
    all
}

/// The payload of a recorded reply.
fn joined(transcript: &Transcript, case: &str) -> String {
    let payload = transcript
        .datagrams(case)
        .iter()
        .flat_map(|datagram| datagram[8..].to_vec());
    String::from_utf8_lossy(&payload.collect::<Vec<u8>>()).into_owned()
}

fn measured<'a>(dialogue: &'a Dialogue, command: &str) -> &'a Amplification {
    dialogue
        .amplification
        .iter()
        .find(|one| one.command == command)
        .expect(command)
}

#[test]
fn recorded_servers_tell_and_are_measured() {
    for transcript in udp_transcripts() {
        let Exchanged {
            dialogue, requests, ..
        } = play(&transcript, Depth::Scan, &at_once);
        let name = &transcript.name;
        let version = joined(&transcript, "version");
        let version = version.trim_end().strip_prefix("VERSION ").unwrap();
        assert_eq!(dialogue.version, Answer::Given(version.into()), "{name}");
        assert_eq!(
            (dialogue.protocol, &dialogue.auth),
            (Protocol::Ascii, &Auth::None),
            "{name}"
        );
        assert_eq!(
            dialogue.executed[..2],
            [Question::Version, Question::Stats],
            "{name}"
        );
        let rows = joined(&transcript, "stats").matches("STAT ").count();
        assert!(
            matches!(&dialogue.stats, Answer::Given(table) if table.len() == rows),
            "{name}"
        );
        let stats = transcript.datagrams("stats");
        let expected = Amplification {
            command: "stats".into(),
            request_bytes: 15,
            reply_bytes: stats.iter().map(|datagram| datagram.len() as u64).sum(),
            datagrams: stats.len() as u64,
            complete: true,
            ipv6: false,
        };
        assert_eq!(*measured(&dialogue, "stats"), expected, "{name}");
        assert_eq!(dialogue.ending, Ending::Complete, "{name}");
        assert_eq!(
            requests.len(),
            2,
            "{name}: `stats` and `stats settings`, each once"
        );
    }
}

#[test]
fn totals_that_are_too_small_are_noted_and_not_believed() {
    for (name, stated, received) in [("1.6.9", 23, 24), ("1.6.18-debian", 24, 24)] {
        let transcript = full(name);
        let dialogue = play(&transcript, Depth::Full, &at_once).dialogue;
        let rows = joined(&transcript, "stats-items").matches("STAT ").count();
        assert!(
            matches!(&dialogue.items, Answer::Given(table) if table.len() == rows),
            "{name}"
        );
        assert_eq!(measured(&dialogue, "stats items").datagrams, 24, "{name}");
        let expected = (stated < received).then_some(Anomaly::TotalTooSmall {
            stated,
            received: received.into(),
        });
        assert_eq!(dialogue.anomalies, Vec::from_iter(expected), "{name}");
    }
}

#[test]
fn the_order_of_datagrams_changes_nothing() {
    let transcript = full("1.6.45");
    let straight = play(&transcript, Depth::Full, &at_once).dialogue;
    for seed in 0..24_u64 {
        let shuffled = play(&transcript, Depth::Full, &|number, datagrams| {
            let mut draws = seed * 1_000 + number as u64;
            let mut arriving = at_once(number, datagrams);
            for (later, _) in &mut arriving {
                draws = draws.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                *later = Duration::from_micros(draws >> 49);
            }
            arriving
        });
        assert_eq!(shuffled.dialogue, straight, "seed {seed}");
    }
}

#[test]
fn duplicates_are_counted_and_change_nothing_else() {
    let transcript = full("1.6.45");
    let straight = play(&transcript, Depth::Full, &at_once).dialogue;
    // The copy right behind its original, and all copies behind all originals.
    for copy_later in [
        Duration::ZERO,
        Duration::from_millis(3),
        Duration::from_millis(15),
    ] {
        let doubled = play(&transcript, Depth::Full, &|number, datagrams| {
            let copied = datagrams
                .into_iter()
                .flat_map(|datagram| [(Duration::ZERO, datagram.clone()), (copy_later, datagram)]);
            if number == 0 {
                copied.take(1).collect()
            } else {
                copied.collect()
            }
        });
        let mut dialogue = doubled.dialogue;
        let copies: u64 = ["stats", "stats settings", "stats items"]
            .iter()
            .map(|command| measured(&straight, command).datagrams)
            .sum();
        // Nobody listens any more for the copies behind the last reply.
        let missed = measured(&straight, "stats items").datagrams;
        let noted = dialogue.anomalies.pop();
        let counted = match noted {
            Some(Anomaly::DuplicateDatagrams { count }) => count,
            other => panic!("{copy_later:?}: {other:?}"),
        };
        assert!(
            (copies - missed..=copies).contains(&counted),
            "{copy_later:?}: {counted} of {copies}"
        );
        assert_eq!(dialogue.anomalies, [], "{copy_later:?}");
        for command in ["stats", "stats settings"] {
            let (one, two) = (measured(&straight, command), measured(&dialogue, command));
            assert_eq!(two.datagrams, one.datagrams * 2, "{copy_later:?} {command}");
            assert_eq!(
                two.reply_bytes,
                one.reply_bytes * 2,
                "{copy_later:?} {command}"
            );
        }
        assert_eq!(
            (&dialogue.stats, &dialogue.settings, &dialogue.items),
            (&straight.stats, &straight.settings, &straight.items),
            "{copy_later:?}"
        );
    }
}

#[test]
fn a_lost_datagram_is_asked_for_again_once() {
    let transcript = full("1.6.45");
    let straight = play(&transcript, Depth::Full, &at_once).dialogue;
    let sizes = [("stats", 2), ("stats settings", 2), ("stats items", 24)];
    for (question, (command, datagrams)) in (1..).zip(sizes) {
        assert_eq!(measured(&straight, command).datagrams, datagrams);
        for lost in 0..datagrams as usize {
            let lose = |number: usize, mut datagrams: Vec<Vec<u8>>| {
                if number == question {
                    datagrams.remove(lost);
                }
                at_once(number, datagrams)
            };
            let Exchanged {
                dialogue, requests, ..
            } = play(&transcript, Depth::Full, &lose);
            assert_eq!(dialogue, straight, "datagram {lost} of {command}");
            assert_eq!(requests.len(), 4, "datagram {lost} of {command}");
        }
    }
}

#[test]
fn a_datagram_that_is_always_lost_truncates() {
    let transcript = full("1.6.45");
    let straight = play(&transcript, Depth::Full, &at_once).dialogue;
    let whole = straight.items.value().unwrap();
    for lost in 0..24 {
        let always = |number: usize, mut datagrams: Vec<Vec<u8>>| {
            if datagrams.len() == 24 {
                datagrams.remove(lost);
            }
            at_once(number, datagrams)
        };
        let dialogue = play(&transcript, Depth::Full, &always).dialogue;
        assert_eq!(
            (&dialogue.stats, &dialogue.settings),
            (&straight.stats, &straight.settings)
        );
        match &dialogue.items {
            Answer::Silent => assert_eq!(lost, 0),
            Answer::Truncated(rows) => {
                assert!(lost > 0 && rows.len() < whole.len(), "{lost}");
                assert!(
                    rows.iter()
                        .zip(whole.iter())
                        .all(|(one, other)| one == other),
                    "{lost}"
                );
            }
            other => panic!("{lost}: {other:?}"),
        }
        let measured = measured(&dialogue, "stats items");
        assert_eq!(
            (measured.datagrams, measured.complete),
            (23, false),
            "{lost}"
        );
    }
    let nothing = |number: usize, datagrams: Vec<Vec<u8>>| match number {
        0 => at_once(number, datagrams),
        _ => Vec::new(),
    };
    let Exchanged {
        dialogue,
        requests,
        took,
        unconfirmed,
    } = play(&transcript, Depth::Full, &nothing);
    assert_eq!(dialogue.stats, Answer::Silent);
    assert_eq!(
        dialogue.executed,
        [Question::Version],
        "the sweep's datagram was answered"
    );
    assert_eq!(
        requests.len(),
        8,
        "each question twice, then `version` again"
    );
    assert_eq!(took, Options::REPLY_WAIT_MIN * 8);
    assert!(
        unconfirmed,
        "the answer to the sweep may have been anybody's"
    );
}

/// On a path that is slower than our patience, the answer to the first send comes after the second
/// was sent. It is an answer of this server all the same.
#[test]
fn an_answer_to_the_first_send_counts_after_the_second() {
    let transcript = transcripts::by_name("1.6.45");
    let straight = play(&transcript, Depth::Scan, &at_once).dialogue;
    for slow_ms in [600, 700, 900] {
        let late = |_: usize, datagrams: Vec<Vec<u8>>| {
            let later = Duration::from_millis(slow_ms);
            datagrams
                .into_iter()
                .map(|datagram| (later, datagram))
                .collect()
        };
        let dialogue = play(&transcript, Depth::Scan, &late).dialogue;
        assert_eq!(dialogue.stats, straight.stats, "{slow_ms} ms");
        assert_eq!(dialogue.settings, straight.settings, "{slow_ms} ms");
        let foreign = |anomaly: &Anomaly| matches!(anomaly, Anomaly::WrongRequestId { .. });
        assert!(
            !dialogue.anomalies.iter().any(foreign),
            "{:?}",
            dialogue.anomalies
        );
        assert_eq!(
            measured(&dialogue, "stats").datagrams % 2,
            0,
            "{slow_ms} ms"
        );
    }
}

#[test]
fn foreign_ids_are_counted_and_never_believed() {
    let transcript = transcripts::by_name("1.6.45");
    let flipped = |number: usize, mut datagrams: Vec<Vec<u8>>| {
        for datagram in datagrams.iter_mut().filter(|_| number > 0) {
            datagram[1] ^= 0xff;
        }
        at_once(number, datagrams)
    };
    let Exchanged { dialogue, .. } = play(&transcript, Depth::Scan, &flipped);
    assert_eq!(dialogue.executed, [Question::Version]);
    assert_eq!(
        (&dialogue.stats, &dialogue.settings),
        (&Answer::Silent, &Answer::Silent)
    );
    assert_eq!(dialogue.anomalies, [Anomaly::WrongRequestId { count: 10 }]);
    assert_eq!(dialogue.amplification.len(), 1, "only the sweep's own");
}

#[test]
fn a_flood_is_counted_to_its_end_and_kept_to_its_limit() {
    let flood = |request: &[u8]| -> Vec<Arrival> {
        let row = b"STAT flood 1\r\n".repeat(99);
        let framed = |sequence: u16, payload: &[u8]| {
            let total = 2_001_u16.to_be_bytes();
            [
                &request[..2],
                &sequence.to_be_bytes(),
                &total,
                &[0, 0],
                payload,
            ]
            .concat()
        };
        if &request[8..] == b"version\r\n" {
            return vec![(ROUND_TRIP, framed(0, b"VERSION 1.6.18\r\n"))];
        }
        (0..2_000)
            .map(|sequence| {
                (
                    ROUND_TRIP + Duration::from_micros(u64::from(sequence) * 50),
                    framed(sequence, &row),
                )
            })
            .collect()
    };
    let mut flood = flood;
    let Exchanged {
        dialogue,
        took,
        requests,
        ..
    } = exchange(options(Depth::Full), &mut flood);
    assert!(took <= INTERVIEW_MAX, "{took:?}");
    assert_eq!(requests.len(), 3, "who floods is not asked again");
    let Answer::Truncated(rows) = &dialogue.stats else {
        panic!("{:?}", dialogue.stats)
    };
    assert_eq!(rows.len(), 64 * 99);
    for command in ["stats", "stats settings", "stats items"] {
        let measured = measured(&dialogue, command);
        assert_eq!(
            (measured.datagrams, measured.complete),
            (2_000, false),
            "{command}"
        );
        assert_eq!(measured.reply_bytes, 2_000 * (8 + 99 * 14), "{command}");
    }
    assert_eq!(
        dialogue.anomalies,
        [const { Anomaly::DatagramLimit { count: 2_000 } }; 3]
    );
}

/// The sweep may have believed an answer from another address by chance: it is asked once more.
#[test]
fn an_answer_from_elsewhere_is_confirmed_first() {
    let transcript = transcripts::by_name("1.6.45");
    let elsewhere = "10.0.0.9:11211".parse().unwrap();
    for answers in [true, false] {
        let mut server = replay(&transcript);
        let first = &transcript.datagrams("version")[0];
        let mut machine =
            DatagramInterview::new(options(Depth::Scan), Duration::ZERO, first, Some(elsewhere));
        let mut now = Duration::ZERO;
        let mut sent = 0;
        while let Some(wake_at) = machine.wake_at() {
            let mut replies = Vec::new();
            while let Some(crate::DatagramOutput::Send(request)) = machine.poll_output() {
                sent += 1;
                replies.extend(server.datagram(&request, 0));
            }
            if answers && !replies.is_empty() {
                replies
                    .iter()
                    .for_each(|reply| machine.handle_datagram(&reply.bytes, now));
            } else {
                now = wake_at;
                machine.handle_timeout(now);
            }
        }
        assert_eq!(machine.is_unconfirmed(), !answers);
        let dialogue = machine.into_dialogue();
        assert_eq!(dialogue.answered_from, Some(elsewhere));
        let (executed, requests): (&[Question], _) = match answers {
            true => (
                &[Question::Version, Question::Stats, Question::StatsSettings],
                3,
            ),
            false => (&[], 2),
        };
        assert_eq!((&dialogue.executed[..], sent), (executed, requests));
    }
}

#[test]
fn what_is_no_memcached_is_not_asked_further() {
    for payload in [
        &b"version\r\n"[..],
        b"",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\0\xff",
        b"STAT a 1\r\n",
    ] {
        let first = [&b"\x12\x34\0\0\0\x01\0\0"[..], payload].concat();
        let mut machine =
            DatagramInterview::new(options(Depth::Full), Duration::ZERO, &first, None);
        assert!(
            machine.is_finished() && machine.poll_output().is_none(),
            "{payload:?}"
        );
        let dialogue = machine.into_dialogue();
        assert_eq!(
            (dialogue.executed.len(), dialogue.impression.is_some()),
            (0, true),
            "{payload:?}"
        );
    }
}
