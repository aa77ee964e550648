//! Verifying by finding: a run asked again about what an earlier one found, and each of its
//! findings is closed, still open, or cannot be told.
//!
//! "Closed" is said only where an answer, or a firewall's silence, shows it. A host that is gone, a
//! talk that broke off, a UDP port that is silent while TCP does not explain it: those may be open
//! again tomorrow, and the reader is told so.

use std::collections::HashMap;

use model::{FindingState, Record, Severity, Text, Transport, Verdict, VerifiedFinding};

/// A finding of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address as that run wrote it.
    pub address: String,
    /// The port; 0 for a unix socket.
    pub port: u16,
    /// How it was spoken to.
    pub transport: Transport,
    /// The rule's code.
    pub code: String,
    /// The rule's title.
    pub title: String,
}

/// What decides the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Findings that are not so any more.
    pub closed: u64,
    /// Findings that are still so, at or above the wanted severity, and not accepted.
    pub open: u64,
    /// Findings that cannot be told.
    pub unknown: u64,
}

/// What is kept of an endpoint's record.
#[derive(Clone, Debug)]
struct Seen {
    verdict: Verdict,
    reason: Text,
    /// Code, severity, and whether the risk is accepted.
    findings: Vec<(&'static str, Severity, bool)>,
}

/// Takes the records of the run that asks again, and answers at its end.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    questions: Vec<Question>,
    seen: HashMap<(String, u16, Transport), Seen>,
}

impl Verifier {
    /// A verifier with the findings to ask about, in the order in which they are to be told.
    pub fn new(questions: Vec<Question>) -> Verifier {
        Verifier {
            questions,
            seen: HashMap::new(),
        }
    }

    /// Takes a record of the run that asks again.
    pub fn take(&mut self, record: &Record) {
        let endpoint = &record.endpoint;
        let is_accepted = |code: &str| {
            record
                .acceptances
                .iter()
                .any(|accepted| accepted.rule.as_deref().is_none_or(|rule| rule == code))
        };
        let findings = record.judgement.findings.iter();
        let seen = Seen {
            verdict: record.judgement.verdict,
            reason: record.judgement.reason.clone(),
            findings: findings
                .map(|finding| (finding.code, finding.severity, is_accepted(finding.code)))
                .collect(),
        };
        let key = (
            endpoint.address.to_string(),
            endpoint.port,
            endpoint.transport,
        );
        self.seen.insert(key, seen);
    }

    /// What became of every finding.
    pub fn answers(&self) -> Vec<VerifiedFinding> {
        self.questions
            .iter()
            .map(|question| {
                let (state, why) = self.answer(question);
                VerifiedFinding {
                    address: question.address.clone(),
                    port: question.port,
                    transport: question.transport,
                    code: question.code.clone(),
                    title: question.title.clone(),
                    state,
                    why,
                }
            })
            .collect()
    }

    /// How many there are of each; an open finding below `fail_on`, or an accepted one, counts as
    /// none of them.
    pub fn tally(&self, fail_on: Severity) -> Tally {
        let mut tally = Tally::default();
        for question in &self.questions {
            match self.answer(question).0 {
                FindingState::Closed => tally.closed += 1,
                FindingState::Unknown => tally.unknown += 1,
                FindingState::Open => {
                    let seen = self.seen_of(question, question.transport);
                    let counts = seen.is_some_and(|seen| {
                        seen.findings.iter().any(|(code, severity, is_accepted)| {
                            *code == question.code && *severity >= fail_on && !is_accepted
                        })
                    });
                    tally.open += u64::from(counts);
                }
            }
        }
        tally
    }

    fn seen_of(&self, question: &Question, transport: Transport) -> Option<&Seen> {
        self.seen
            .get(&(question.address.clone(), question.port, transport))
    }

    fn answer(&self, question: &Question) -> (FindingState, Text) {
        let Some(seen) = self.seen_of(question, question.transport) else {
            let words = Text::new(
                "it was not asked: the run ended before",
                "確認前に実行が終了した",
            );
            return (FindingState::Unknown, words);
        };
        if seen
            .findings
            .iter()
            .any(|(code, ..)| *code == question.code)
        {
            return (FindingState::Open, seen.reason.clone());
        }
        let reason = seen.reason.clone();
        match seen.verdict {
            Verdict::Closed | Verdict::Filtered => (FindingState::Closed, reason),
            Verdict::Exposed | Verdict::Protected => {
                let words = Text::new(
                    "the server answers, and this is not so any more",
                    "サーバーは応答するが、この問題はもう見られない",
                );
                (FindingState::Closed, words)
            }
            // What was answered before is answered no more, and the host is there.
            Verdict::Silent if self.host_is_there(question) => {
                let words = Text::new(
                    "the host is there, and this port no longer answers the same question",
                    "ホストは存在し、このポートは同じ問いにもう応答しない",
                );
                (FindingState::Closed, words)
            }
            Verdict::Silent | Verdict::Absent | Verdict::Unfinished => {
                (FindingState::Unknown, reason)
            }
            Verdict::Other | Verdict::Decoy => (FindingState::Unknown, reason),
        }
    }

    /// Whether the other transport of the same address and port shows that the host is up and that
    /// nobody but UDP is silent.
    fn host_is_there(&self, question: &Question) -> bool {
        let other = match question.transport {
            Transport::Udp => Transport::Tcp,
            Transport::Tcp | Transport::Unix => return false,
        };
        self.seen_of(question, other)
            .is_some_and(|seen| matches!(seen.verdict, Verdict::Closed | Verdict::Protected))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use model::{
        Acceptance, Address, Confidence, Contact, Endpoint, Enrichment, Evidence, Finding,
        Judgement,
    };

    use super::*;

    fn record(transport: Transport, verdict: Verdict, codes: &[&'static str]) -> Record {
        let finding = |code: &&'static str| Finding {
            code,
            severity: Severity::High,
            confidence: Confidence::Confirmed,
            title: Text::same("t"),
            evidence: Vec::new(),
            fix: Text::same("f"),
        };
        Record {
            run: Arc::from("r"),
            timestamp: SystemTime::UNIX_EPOCH,
            endpoint: Endpoint::new(Address::Ip([10, 0, 0, 7].into()), 11211, transport),
            hostname: None,
            hardware: None,
            evidence: Evidence::without_dialogue(Contact::Unfinished, 0, None),
            judgement: Judgement {
                verdict,
                reason: Text::same("why"),
                findings: codes.iter().map(finding).collect(),
                only_from_here: false,
            },
            acceptances: Vec::new(),
            alarm: false,
            source: None,
            enrichment: Enrichment::default(),
        }
    }

    fn question(transport: Transport) -> Question {
        Question {
            address: "10.0.0.7".to_owned(),
            port: 11211,
            transport,
            code: "MS001".to_owned(),
            title: "t".to_owned(),
        }
    }

    #[test]
    fn closed_is_said_only_of_what_shows_it() {
        use FindingState::{Closed, Open, Unknown};
        use Transport::{Tcp, Udp};
        use Verdict::{Absent, Decoy, Exposed, Filtered, Other, Protected, Silent, Unfinished};
        let cases = [
            (Tcp, vec![], Unknown),
            (Tcp, vec![record(Tcp, Exposed, &["MS001"])], Open),
            (Tcp, vec![record(Tcp, Exposed, &["MS012"])], Closed),
            (Tcp, vec![record(Tcp, Protected, &[])], Closed),
            (Tcp, vec![record(Tcp, Verdict::Closed, &[])], Closed),
            (Tcp, vec![record(Tcp, Filtered, &[])], Closed),
            (Tcp, vec![record(Tcp, Absent, &[])], Unknown),
            (Tcp, vec![record(Tcp, Unfinished, &[])], Unknown),
            (Tcp, vec![record(Tcp, Other, &[])], Unknown),
            (Tcp, vec![record(Tcp, Decoy, &[])], Unknown),
            (Udp, vec![record(Udp, Silent, &[])], Unknown),
            (
                Udp,
                vec![record(Udp, Silent, &[]), record(Tcp, Verdict::Closed, &[])],
                Closed,
            ),
            (
                Udp,
                vec![record(Udp, Silent, &[]), record(Tcp, Filtered, &[])],
                Unknown,
            ),
            (
                Udp,
                vec![record(Udp, Silent, &[]), record(Tcp, Exposed, &[])],
                Unknown,
            ),
            (Udp, vec![record(Tcp, Exposed, &["MS001"])], Unknown),
        ];
        for (transport, records, expected) in cases {
            let mut verifier = Verifier::new(vec![question(transport)]);
            for record in &records {
                verifier.take(record);
            }
            let answers = verifier.answers();
            assert_eq!(answers[0].state, expected, "{records:?}");
            assert!(!answers[0].why.en.is_empty());
            let tally = verifier.tally(Severity::Low);
            let counts = (tally.closed, tally.open, tally.unknown);
            let of = |state| u64::from(state == expected);
            assert_eq!(counts, (of(Closed), of(Open), of(Unknown)));
        }
    }

    #[test]
    fn accepted_and_lesser_findings_are_told_and_do_not_count() {
        let mut accepted = record(Transport::Tcp, Verdict::Exposed, &["MS001"]);
        for (rule, fail_on, open) in [
            (None, Severity::Low, 0),
            (Some("MS001"), Severity::Low, 0),
            (Some("MS002"), Severity::Low, 1),
            (Some("MS002"), Severity::Critical, 0),
        ] {
            accepted.acceptances = vec![Acceptance {
                rule: rule.map(str::to_owned),
                reason: "a lab".to_owned(),
                until: "2999-12-31".to_owned(),
            }];
            let mut verifier = Verifier::new(vec![question(Transport::Tcp)]);
            verifier.take(&accepted);
            assert_eq!(verifier.tally(fail_on).open, open, "{rule:?}");
            assert_eq!(verifier.answers()[0].state, FindingState::Open);
        }
    }
}
