//! MS017: the server's clock is far off.

use model::{Confidence, Severity, Text, Transport};

use crate::context::Context;
use crate::numbers::counted;
use crate::rule::{Bilingual, Fired, Rule};

/// More than this is far off, in seconds: what Kerberos allows (RFC 4120 section 3.1.3), and much
/// more than an interview takes.
const FAR_OFF_S: u64 = 300;

pub(crate) const RULE: Rule = Rule {
    code: "MS017",
    name: "clock-far-off",
    title: Bilingual {
        en: "the server's clock is far off",
        ja: "サーバーの時計が大きくずれている",
    },
    what: Bilingual {
        en: "The time that the server gives in `stats` differs from ours by more than five minutes.",
        ja: "`stats` でサーバーが示す時刻が、こちらの時刻と 5 分を超えてずれています。",
    },
    why: Bilingual {
        en: "Logs of an incident do not fit together, and items that are to expire at a moment \
             expire at another. A clock that nobody sets is often a machine that nobody looks after.",
        ja: "インシデント時にログの時刻が合わなくなり、期限付きのアイテムも違う時刻に失効します。時刻が合っ\
             ていないマシンは、管理されていないことも少なくありません。",
    },
    evidence: Bilingual {
        en: "Likely: the server's own words, compared with the clock of the machine that asked.",
        ja: "可能性が高い（likely）: サーバー自身の申告を、調査したマシンの時計と比較した結果です。",
    },
    fix: Bilingual {
        en: "Let chrony or systemd-timesyncd set the clock of that machine; check ours too.",
        ja: "そのマシンの時刻を chrony か systemd-timesyncd で同期します。こちらの時計も確認します。",
    },
    references: Bilingual {
        en: "chrony.conf(5), timesyncd.conf(5)",
        ja: "chrony.conf(5)、timesyncd.conf(5)",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    let dialogue = context.exposed()?;
    // One process has one clock; TCP, where it was asked, tells of it.
    if context.transport == Transport::Udp && context.tcp_beside_udp().is_some() {
        return None;
    }
    let theirs = i64::try_from(dialogue.stats.value()?.integer("time")?).ok()?;
    let ours = context.now_unix_s?;
    let apart_s = theirs.abs_diff(ours);
    if apart_s <= FAR_OFF_S {
        return None;
    }
    let minutes = counted(apart_s / 60, "minute");
    let number = crate::numbers::grouped(apart_s / 60);
    let (behind, behind_ja) = if theirs < ours {
        ("behind", "遅れている")
    } else {
        ("ahead of", "進んでいる")
    };
    Some(Fired {
        severity: Severity::Low,
        confidence: Confidence::Likely,
        evidence: vec![Text::new(
            format!("stats: time {theirs}, {minutes} {behind} our clock"),
            format!("stats: time {theirs}。こちらの時計より {number} 分{behind_ja}"),
        )],
        fix: Text::new(
            "let chrony or systemd-timesyncd set the clock of that machine (`timedatectl` tells \
             whether one does)",
            "そのマシンの時刻を chrony か systemd-timesyncd で同期する（状態は `timedatectl` で確認）",
        ),
    })
}

#[cfg(test)]
mod cases {
    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    /// The sample's own clock says 1000.
    fn asked_at(now_unix_s: i64) -> Sample {
        Sample::tcp(samples::open()).asked_at(now_unix_s)
    }

    pub(super) const CASES: Cases = Cases {
        fires: &[|| asked_at(1_301), || asked_at(699)],
        silent: &[
            || asked_at(1_300),
            || asked_at(700),
            || Sample::tcp(samples::open()),
            || Sample::tcp(samples::sasl()).asked_at(1_795_367_628),
            || {
                let both = Sample::udp(samples::reflector()).with_tcp(samples::open());
                both.asked_at(1_795_367_628)
            },
        ],
    };

    #[test]
    fn the_direction_is_said() {
        let evidence = |now_unix_s| {
            let findings = asked_at(now_unix_s).judge().findings;
            let finding = findings
                .into_iter()
                .find(|finding| finding.code == RULE.code)
                .unwrap();
            finding.evidence[0].en.clone()
        };
        assert_eq!(
            evidence(1_600),
            "stats: time 1000, 10 minutes behind our clock"
        );
        assert_eq!(
            evidence(400),
            "stats: time 1000, 10 minutes ahead of our clock"
        );
    }
}
