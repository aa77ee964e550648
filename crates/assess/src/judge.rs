//! The full judgement: verdict, reason and findings.

use std::time::{SystemTime, UNIX_EPOCH};

use model::{Finding, Judgement, Severity, Transport};

use crate::context::Context;
use crate::rules::{ONLY_FROM_HERE_CODE, rules};
use crate::{Host, reason, verdict};

/// Judges one endpoint: the verdict that [`verdict`] gives, one sentence of reason, and the
/// findings, worst first.
///
/// When only this machine can reach the endpoint, MS008 comes first and every other finding is
/// capped at [`Severity::Info`]; evidence and fix stay.
pub fn judge(host: &Host<'_>, transport: Transport) -> Judgement {
    judge_context(&Context::new(*host, transport, verdict(host, transport)))
}

/// The same, with the moment at which the endpoint was asked: its clock can be judged too.
pub fn judge_at(host: &Host<'_>, transport: Transport, now: SystemTime) -> Judgement {
    let since_epoch = now.duration_since(UNIX_EPOCH).ok();
    let mut context = Context::new(*host, transport, verdict(host, transport));
    context.now_unix_s = since_epoch.and_then(|since| i64::try_from(since.as_secs()).ok());
    judge_context(&context)
}

fn judge_context(context: &Context<'_>) -> Judgement {
    let mut findings: Vec<Finding> = rules()
        .iter()
        .filter_map(|rule| rule.finding(context))
        .collect();
    if context.only_from_here {
        for finding in &mut findings {
            finding.severity = Severity::Info;
        }
    }
    // Worst first; among equals MS008, which explains the rest, and then by code.
    findings.sort_by_key(|finding| {
        (
            std::cmp::Reverse(finding.severity),
            finding.code != ONLY_FROM_HERE_CODE,
            finding.code,
        )
    });
    Judgement {
        verdict: context.verdict,
        reason: reason::of(context),
        findings,
        only_from_here: context.only_from_here,
    }
}

#[cfg(test)]
mod tests {
    use model::{
        Amplification, Answer, Auth, Contact, Dialogue, Ending, Evidence, IcmpError, Impression,
        KeyProbe, MetaNoop, Question, Refusal, StatsTable, Verdict,
    };
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::samples::{self, Sample};

    #[test]
    fn findings_stand_worst_first() {
        let mut dialogue = samples::open_and_empty();
        for name in ["flush_enabled", "dump_enabled", "shutdown_command"] {
            samples::set(&mut dialogue.settings, name, "yes");
        }
        let findings = Sample::tcp(dialogue).judge().findings;
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(
            codes,
            [
                "MS001", "MS007", "MS005", "MS006", "MS100", "MS004", "MS015",
            ]
        );
    }

    #[test]
    fn only_what_answered_is_seen_only_from_here() {
        let refused = Contact::Refused(Refusal::Reset);
        let closed = Sample::contact(Transport::Tcp, refused)
            .at("127.0.0.1")
            .judge();
        assert!(!closed.only_from_here);
        assert!(closed.findings.is_empty());
        assert!(
            Sample::tcp(samples::sasl())
                .at("127.0.0.1")
                .judge()
                .only_from_here
        );
        assert!(
            !Sample::tcp(samples::sasl())
                .at("127.0.0.1")
                .at("10.0.0.5")
                .judge()
                .only_from_here
        );
    }

    /// One of the outcomes of a question.
    fn answer<T: Clone + std::fmt::Debug + 'static>(
        values: Vec<T>,
    ) -> impl Strategy<Value = Answer<T>> {
        select(values).prop_flat_map(|value| {
            select(vec![
                Answer::NotAsked,
                Answer::Silent,
                Answer::Closed,
                Answer::Refused("ERROR".into()),
                Answer::Truncated(value.clone()),
                Answer::Given(value),
            ])
        })
    }

    fn stats() -> impl Strategy<Value = Answer<StatsTable>> {
        let mut open = samples::stats("100", "1000", "10");
        open.push("curr_items", "7");
        answer(vec![
            open,
            samples::stats("100", "1001", "11"),
            samples::stats("2222", "1000", "500"),
            samples::stats("x", "-1", "nan"),
            StatsTable::new(),
        ])
    }

    fn settings() -> impl Strategy<Value = Answer<StatsTable>> {
        let row = |name: &'static str, values: &'static [&'static str]| {
            select(values).prop_map(move |value| (name.to_owned(), value.to_owned()))
        };
        let rows = (
            row(
                "inter",
                &["NULL", "127.0.0.1", "10.0.0.5", "", "0.0.0.0,::1"],
            ),
            row("udpport", &["0", "11211", "off"]),
            row("dump_enabled", &["yes", "no"]),
            row("flush_enabled", &["yes", "no"]),
            row("shutdown_command", &["yes", "no"]),
        );
        rows.prop_flat_map(|(one, two, three, four, five)| {
            answer(vec![
                [one, two, three, four, five]
                    .into_iter()
                    .collect::<StatsTable>(),
            ])
        })
    }

    fn auth() -> impl Strategy<Value = Auth> {
        select(vec![
            Auth::Unknown,
            Auth::None,
            Auth::Sasl(vec!["PLAIN".into()]),
            Auth::Ascii,
            Auth::TlsClientCertificate,
        ])
    }

    fn dialogue() -> impl Strategy<Value = Dialogue> {
        let versions = [
            "1.6.18",
            "1.4.15",
            "1.4.14 (Ubuntu)",
            "yrmcds version 1.1.9",
            "0.0.1",
            "",
        ];
        let executed = vec![
            vec![],
            vec![Question::Version],
            vec![Question::Version, Question::RandomKey],
        ];
        let asked = (
            select(executed),
            answer(versions.map(str::to_owned).to_vec()),
            auth(),
            (stats(), stats(), stats(), settings()),
            answer(vec![KeyProbe::Miss, KeyProbe::Miss, KeyProbe::Hit]),
            answer(vec![MetaNoop::Mn, MetaNoop::En, MetaNoop::NotKnown]),
            select(vec![
                Ending::Complete,
                Ending::Deadline,
                Ending::Stopped,
                Ending::Sampled,
            ]),
            select(vec![
                None,
                Some(Impression::Mute),
                Some(Impression::Text("220".into())),
            ]),
            (any::<bool>(), any::<bool>(), any::<bool>(), 0..5_000_u64),
        );
        asked.prop_map(
            |(executed, version, auth, tables, key, mn, ending, impression, rest)| {
                let (stats, second_stats, repeated_stats, settings) = tables;
                let (tls, elsewhere, listed, reply_bytes) = rest;
                let measured: Amplification = samples::amplification("stats", 15, reply_bytes);
                Dialogue {
                    executed,
                    version,
                    auth,
                    stats,
                    second_stats,
                    repeated_stats,
                    settings,
                    random_key: key,
                    meta_noop: mn,
                    ending,
                    impression,
                    tls: tls.then(model::TlsFacts::default),
                    answered_from: elsewhere.then(|| "192.0.2.7:40000".parse().unwrap()),
                    connections: if listed {
                        Answer::Given(samples::connections())
                    } else {
                        Answer::NotAsked
                    },
                    amplification: vec![measured],
                    ..Dialogue::default()
                }
            },
        )
    }

    fn evidence() -> impl Strategy<Value = Option<Evidence>> {
        let icmp = IcmpError {
            from: None,
            kind: 3,
            code: 1,
        };
        let contacts = vec![
            Contact::Refused(Refusal::Reset),
            Contact::Refused(Refusal::PortUnreachable(icmp)),
            Contact::Refused(Refusal::NoListener),
            Contact::Prohibited(None),
            Contact::Prohibited(Some(icmp)),
            Contact::Unreachable(None),
            Contact::Unreachable(Some(icmp)),
            Contact::Silent,
            Contact::Unfinished,
            Contact::Failed("no buffer space".into()),
            Contact::Answered,
        ];
        let answered = dialogue().prop_map(|dialogue| {
            let nothing = Evidence::without_dialogue(Contact::Answered, 1, None);
            Some(Evidence {
                dialogue: Some(Box::new(dialogue)),
                ..nothing
            })
        });
        let other = (select(contacts), 0..5_u32).prop_map(|(contact, attempts)| {
            Some(Evidence::without_dialogue(contact, attempts, None))
        });
        prop_oneof![1 => Just(None), 2 => other, 6 => answered]
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let addresses = select(vec![
            "127.0.0.1",
            "::1",
            "10.0.0.5",
            "192.0.2.1",
            "2001:db8::1",
        ]);
        let transports = select(vec![Transport::Tcp, Transport::Udp, Transport::Unix]);
        (addresses, transports, evidence(), evidence()).prop_map(|(ip, transport, tcp, udp)| {
            Sample {
                address: samples::address(ip),
                port: 11211,
                transport,
                tcp,
                udp,
                now: None,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2_000,
            failure_persistence: None,
            // The same cases in every run: a failure is seen by everybody or by nobody.
            rng_seed: RngSeed::Fixed(11211),
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_judgement_agrees_with_the_verdict_and_with_itself(sample in sample()) {
            let judgement = sample.judge();
            let codes: Vec<_> = judgement.findings.iter().map(|finding| finding.code).collect();
            prop_assert_eq!(judgement.verdict, sample.verdict());
            prop_assert_eq!(&judgement, &sample.judge());
            prop_assert!(!judgement.reason.en.is_empty() && !judgement.reason.ja.is_empty());

            let severities = judgement.findings.iter().map(|finding| finding.severity);
            prop_assert!(severities.rev().is_sorted());
            prop_assert_eq!(
                codes.contains(&"MS001"),
                judgement.verdict == Verdict::Exposed,
                "every exposed endpoint says so among its findings, and no other does"
            );
            match judgement.verdict {
                Verdict::Decoy => prop_assert_eq!(&codes, &["MS011"]),
                Verdict::Exposed if judgement.only_from_here => {
                    prop_assert_eq!(codes[0], ONLY_FROM_HERE_CODE);
                }
                Verdict::Exposed | Verdict::Protected => {}
                _ => prop_assert!(codes.is_empty(), "{:?}", codes),
            }
            if judgement.only_from_here {
                prop_assert!(judgement.worst().is_none_or(|worst| worst == Severity::Info));
            }
        }

        #[test]
        fn tcp_changes_the_verdict_of_udp_only_where_it_is_said_to(
            sample in sample(),
            tcp in evidence(),
        ) {
            let before = Sample { transport: Transport::Udp, ..sample };
            let after = Sample { tcp, ..before.clone() };
            let may_change = before.udp.as_ref().is_some_and(crate::settles_later);
            prop_assert!(may_change || before.verdict() == after.verdict());
        }
    }
}
