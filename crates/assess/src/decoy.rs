//! When a server contradicts itself: the only thing that makes it a decoy.
//!
//! A honeypot pays its operator by being believed, so it cannot be told by a list of oddities:
//! forks, proxies, home-grown servers and very old releases are odd as well, and those are real
//! open doors. A contradiction is different: something that no server can produce honestly.
//!
//! 1. **A random key hits.** The key has 30 random characters that nobody can have stored.
//! 2. **The process moves.** Process id, or start time (`time` − `uptime`), differ between two
//!    asks a moment apart. There is one honest explanation: a load balancer with several servers
//!    behind one address. It is told apart by asking again on the *first* connection: behind a
//!    balancer that connection still leads to the first server, which repeats itself; a honeypot
//!    that rolls its numbers for each reply differs once more, or has closed the connection after
//!    its one reply.
//! 3. **The version lacks its commands.** Every upstream server from 1.6.0 on knows `mn`. One
//!    that claims such a version and answers `mn` with an error is not what it says. A proxy that
//!    passes its backend's version through closes the connection on `mn` instead of answering, and
//!    that is no contradiction; nor is a version string that upstream would not print.
//!
//! Only whole answers count. Missing statistics, numbers that are none, truncated replies and
//! questions that a deadline cut off leave doubt, and in doubt the server is exposed.

use model::{Answer, Dialogue, Ending, KeyProbe, MetaNoop, StatsTable};

use crate::UpstreamVersion;

/// By how much the start time may move between two asks of one honest process, in seconds.
///
/// `time` and `uptime` are each rounded to whole seconds, so their difference wavers by one within
/// a single process. Servers that refresh the two from separate timers, or give `uptime` with a
/// fraction, add one more. A honeypot rolls from days or years.
const START_TIME_TOLERANCE_S: u64 = 2;

/// The first release whose every build answers `mn` with `MN`.
const FIRST_WITH_META_NOOP: UpstreamVersion = UpstreamVersion::new(1, 6, 0);

/// What no honest server can produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contradiction {
    /// A `get` of a random key brought a value.
    RandomKeyHit,
    /// The process id changed between two asks.
    PidMoved {
        /// What the first ask gave.
        first: u64,
        /// What the second gave.
        second: u64,
    },
    /// The start time changed between two asks; seconds since the Unix epoch.
    StartTimeMoved {
        /// What the first ask gave.
        first_unix_s: i64,
        /// What the second gave.
        second_unix_s: i64,
    },
    /// It claims this version and does not know `mn`.
    LacksMetaNoop(UpstreamVersion),
}

/// The contradiction in what a server said, if there is one. Allocates nothing.
pub(crate) fn contradiction(dialogue: &Dialogue) -> Option<Contradiction> {
    if dialogue.random_key == Answer::Given(KeyProbe::Hit) {
        return Some(Contradiction::RandomKeyHit);
    }
    if let Some(moved) = moved_between_asks(dialogue)
        && is_held_against_it(dialogue)
    {
        return Some(moved);
    }
    lacks_meta_noop(dialogue)
}

/// Whether separate connections reach separate servers, each consistent in itself.
pub(crate) fn is_several_servers(dialogue: &Dialogue) -> bool {
    moved_between_asks(dialogue).is_some() && repeats_itself(dialogue)
}

fn moved_between_asks(dialogue: &Dialogue) -> Option<Contradiction> {
    let (Answer::Given(first), Answer::Given(second)) = (&dialogue.stats, &dialogue.second_stats)
    else {
        return None;
    };
    moved(first, second)
}

/// Whether asking once more on the first connection failed to explain the movement.
fn is_held_against_it(dialogue: &Dialogue) -> bool {
    let Answer::Given(first) = &dialogue.stats else {
        return false;
    };
    match &dialogue.repeated_stats {
        Answer::Given(again) | Answer::Truncated(again) => moved(first, again).is_some(),
        Answer::Silent | Answer::Closed | Answer::Refused(_) => true,
        // Never put although there was time: nothing speaks for it. Cut off: in doubt, exposed.
        Answer::NotAsked => !matches!(dialogue.ending, Ending::Deadline | Ending::Stopped),
    }
}

fn repeats_itself(dialogue: &Dialogue) -> bool {
    match (&dialogue.stats, &dialogue.repeated_stats) {
        (Answer::Given(first), Answer::Given(again)) => moved(first, again).is_none(),
        _ => false,
    }
}

/// What differs between two `stats` replies that one process cannot have given both.
fn moved(first: &StatsTable, second: &StatsTable) -> Option<Contradiction> {
    if let (Some(first), Some(second)) = (first.integer("pid"), second.integer("pid"))
        && first != second
    {
        return Some(Contradiction::PidMoved { first, second });
    }
    let first_unix_s = first.start_time_unix_s()?;
    let second_unix_s = second.start_time_unix_s()?;
    (first_unix_s.abs_diff(second_unix_s) > START_TIME_TOLERANCE_S).then_some(
        Contradiction::StartTimeMoved {
            first_unix_s,
            second_unix_s,
        },
    )
}

fn lacks_meta_noop(dialogue: &Dialogue) -> Option<Contradiction> {
    let Answer::Given(version) = &dialogue.version else {
        return None;
    };
    let version = UpstreamVersion::parse(version)?;
    let lacks =
        version >= FIRST_WITH_META_NOOP && dialogue.meta_noop == Answer::Given(MetaNoop::NotKnown);
    lacks.then_some(Contradiction::LacksMetaNoop(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{open, stats};

    fn asked(first: StatsTable, second: StatsTable, repeated: Answer<StatsTable>) -> Dialogue {
        Dialogue {
            stats: Answer::Given(first),
            second_stats: Answer::Given(second),
            repeated_stats: repeated,
            ..open()
        }
    }

    fn table(rows: &[(&str, &str)]) -> StatsTable {
        rows.iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn the_process_must_not_move() {
        let first = || stats("100", "1000", "10");
        let cases = [
            ("same", stats("100", "1001", "11"), false),
            ("two seconds, rounding", stats("100", "1002", "10"), false),
            ("three seconds", stats("100", "1003", "10"), true),
            ("three seconds, back", stats("100", "1000", "13"), true),
            ("another pid", stats("101", "1000", "10"), true),
            ("decimal uptime", stats("100", "1000", "10.93"), false),
            (
                "no pid",
                table(&[("time", "1000"), ("uptime", "10")]),
                false,
            ),
            ("no fields at all", table(&[("foo", "bar")]), false),
            ("pid is a word", stats("many", "1000", "10"), false),
            ("uptime is a word", stats("100", "9000", "long"), false),
            (
                "numbers beyond 64 bits",
                stats("99999999999999999999", "1", "1e300"),
                false,
            ),
            (
                "no pid, moved start",
                table(&[("time", "9999"), ("uptime", "10")]),
                true,
            ),
        ];
        for (name, second, moves) in cases {
            let dialogue = asked(first(), second, Answer::Closed);
            assert_eq!(contradiction(&dialogue).is_some(), moves, "{name}");
        }
    }

    #[test]
    fn a_load_balancer_is_no_decoy() {
        let first = || stats("100", "1000", "10");
        let second = || stats("2222", "1000", "500");
        let third = || stats("31", "1000", "7000");
        let truncated = |table| Answer::Truncated(table);
        let cases = [
            (
                "first connection repeats itself",
                Answer::Given(first()),
                false,
            ),
            (
                "a second later",
                Answer::Given(stats("100", "1001", "11")),
                false,
            ),
            ("first connection differs too", Answer::Given(third()), true),
            (
                "first connection now says the second",
                Answer::Given(second()),
                true,
            ),
            ("closed", Answer::Closed, true),
            ("silent", Answer::Silent, true),
            ("refused", Answer::Refused("ERROR".into()), true),
            ("never asked", Answer::NotAsked, true),
            ("truncated, agrees", truncated(first()), false),
            ("truncated, differs", truncated(third()), true),
            (
                "truncated before any row",
                truncated(StatsTable::new()),
                false,
            ),
        ];
        for (name, repeated, is_decoy) in cases {
            let dialogue = asked(first(), second(), repeated);
            assert_eq!(contradiction(&dialogue).is_some(), is_decoy, "{name}");
        }
        assert!(is_several_servers(&asked(
            first(),
            second(),
            Answer::Given(first())
        )));
        assert!(!is_several_servers(&asked(
            first(),
            first(),
            Answer::NotAsked
        )));
    }

    #[test]
    fn what_was_cut_off_is_in_doubt() {
        let first = || stats("100", "1000", "10");
        let second = || stats("2222", "1000", "500");
        for ending in [Ending::Deadline, Ending::Stopped] {
            let mut dialogue = asked(first(), second(), Answer::NotAsked);
            dialogue.ending = ending;
            assert_eq!(contradiction(&dialogue), None);
        }
        let mut dialogue = asked(first(), second(), Answer::Closed);
        dialogue.second_stats = Answer::Truncated(second());
        assert_eq!(contradiction(&dialogue), None);
    }

    #[test]
    fn a_version_must_know_its_commands() {
        use MetaNoop::{En, Mn, NotKnown};
        let cases = [
            ("1.6.29", Answer::Given(NotKnown), true),
            ("1.6.0", Answer::Given(NotKnown), true),
            ("1.6.18 (Ubuntu)", Answer::Given(NotKnown), true),
            ("1.6.0-rc1", Answer::Given(NotKnown), true),
            ("1.6.29", Answer::Given(Mn), false),
            ("1.6.29", Answer::Given(En), false),
            ("1.6.18", Answer::Closed, false),
            ("1.6.18", Answer::Silent, false),
            ("1.6.18", Answer::NotAsked, false),
            ("1.6.18", Answer::Truncated(NotKnown), false),
            ("1.5.22", Answer::Given(NotKnown), false),
            ("1.4.15", Answer::Given(NotKnown), false),
            ("yrmcds version 1.1.9", Answer::Given(NotKnown), false),
            ("nodecached-0.2.0", Answer::Given(NotKnown), false),
            ("0.0.1", Answer::Given(NotKnown), false),
            ("7.2.4", Answer::Given(NotKnown), false),
        ];
        for (version, meta_noop, is_decoy) in cases {
            let dialogue = Dialogue {
                version: Answer::Given(version.into()),
                meta_noop,
                ..open()
            };
            assert_eq!(contradiction(&dialogue).is_some(), is_decoy, "{dialogue:?}");
        }
    }

    #[test]
    fn a_random_key_must_miss() {
        for (answer, is_decoy) in [
            (Answer::Given(KeyProbe::Hit), true),
            (Answer::Given(KeyProbe::Miss), false),
            (Answer::Truncated(KeyProbe::Hit), false),
            (Answer::Refused("ERROR".into()), false),
            (Answer::Closed, false),
        ] {
            let dialogue = Dialogue {
                random_key: answer,
                ..open()
            };
            assert_eq!(contradiction(&dialogue).is_some(), is_decoy, "{dialogue:?}");
        }
    }
}
