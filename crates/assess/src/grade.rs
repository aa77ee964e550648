//! Grades: what the findings of a server, and of a network, add up to.
//!
//! Every hole costs points, and the sum is the *debt*: 0 is clean, and it has no upper end, so that
//! each hole that is closed makes it smaller. A letter stands for a stretch of debt.
//!
//! | debt | 0–9 | 10–29 | 30–49 | 50–74 | 75–99 | from 100 |
//! |---|---|---|---|---|---|---|
//! | grade | A | B | C | D | E | F |
//!
//! The debt of an endpoint:
//!
//! 1. **Only what is reached counts.** An endpoint that is `exposed` or `protected` has the debt of
//!    its findings. One that is `closed` or `filtered` has none: nobody reaches it, whatever its
//!    version. Findings of an endpoint that only this machine can reach are all `info`, and cost
//!    nothing. What is `silent`, `absent`, `other`, a `decoy` or `unfinished` has no grade.
//! 2. A finding costs 100 points if it is critical, 50 if high, 20 if medium, 5 if low, 0 if info.
//! 3. A finding that is only `possible` costs 8, 4, 2 or 1 instead, and all of them together at most
//!    20: what a version string suggests never makes more than one letter and a half.
//! 4. Accepted risks cost nothing.
//!
//! The debt of a server (an address and port) is the sum over its endpoints: TCP and UDP are two
//! doors. The debt of a network is the sum over its servers, and its grade is that of its worst
//! server, because that is where an attacker begins.
//!
//! A worked example: 1.4.15 as installed, holding items, seen over TCP and UDP: open on TCP (100)
//! and on UDP (100), a reflector (100), bound everywhere (20 and 20), … : F. With UDP off: 145 and
//! still F, because a stranger can read it. Bound to loopback: closed to others, 0, A. The possible
//! findings on version 1.4.15 stay true, and nobody can use them.

use std::collections::BTreeMap;

use model::{Address, Confidence, Finding, Record, Severity, Transport, Verdict};

use crate::rule::Bilingual;

/// All findings of an endpoint that are only `possible` cost at most this much.
const POSSIBLE_POINTS_MAX: u32 = 20;
/// Servers that are remembered to join TCP and UDP; beyond, each endpoint counts as a server.
const SERVERS_MAX: usize = 1 << 18;

/// A letter for a debt, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grade {
    /// Nothing to do, or next to nothing.
    A,
    /// Something weakens it.
    B,
    /// Several things weaken it.
    C,
    /// One thing gives data away or makes it a weapon.
    D,
    /// That and more.
    E,
    /// Open to strangers.
    F,
}

/// The formula, for people: paragraphs in the order in which they are read.
pub const FORMULA: [Bilingual; 8] = [
    Bilingual {
        en: "Every hole costs points. Their sum is the debt: 0 is clean, and it has no upper end, so \
             that each hole that is closed makes it smaller.",
        ja: "見つかった問題ごとに点数が付き、その合計が「負債点」です。0 が最良で上限はなく、問題を 1 つ\
             解消するたびに小さくなります。",
    },
    Bilingual {
        en: "A letter stands for a stretch of debt: A 0-9, B 10-29, C 30-49, D 50-74, E 75-99, F \
             from 100.",
        ja: "評価は負債点で決まります: A は 0〜9、B は 10〜29、C は 30〜49、D は 50〜74、E は 75〜99、F は \
             100 以上。",
    },
    Bilingual {
        en: "Only what is reached counts: exposed and protected endpoints have the debt of their \
             findings. Closed and filtered ones have none, whatever their version. What is silent, \
             absent, other, decoy or unfinished has no grade.",
        ja: "到達できるものだけが対象です。exposed と protected のエンドポイントには、その検出結果の点数が\
             付きます。closed と filtered は、バージョンに関係なく 0 点です。silent、absent、other、\
             decoy、unfinished は評価しません。",
    },
    Bilingual {
        en: "A finding costs 100 points if it is critical, 50 if high, 20 if medium, 5 if low, and \
             none if it is info, as everything is that only this machine can reach.",
        ja: "検出結果 1 件の点数は、critical 100、high 50、medium 20、low 5、info 0 です。このマシンから\
             しか到達できないものはすべて info になります。",
    },
    Bilingual {
        en: "A finding that is only possible costs 8, 4, 2 or 1 instead, and all such findings of an \
             endpoint together at most 20: a version string is no proof.",
        ja: "「可能性あり（possible）」の検出結果は代わりに 8、4、2、1 点で、1 つのエンドポイントにつき合計 \
             20 点までです。バージョン番号だけでは証拠にならないためです。",
    },
    Bilingual {
        en: "Accepted risks cost nothing.",
        ja: "許容済みのリスクは 0 点です。",
    },
    Bilingual {
        en: "A server is an address and port; its debt is the sum over TCP and UDP, which are two \
             doors.",
        ja: "サーバーはアドレスとポートの組です。TCP と UDP は別々の入り口なので、負債点は両方の合計です。",
    },
    Bilingual {
        en: "The debt of a network is the sum over its servers. Its grade is that of its worst \
             server, because that is where an attacker begins; A if no server is reached.",
        ja: "ネットワークの負債点は全サーバーの合計です。評価は、攻撃の起点となる最も悪いサーバーの評価と\
             同じです。到達できるサーバーがなければ A です。",
    },
];

/// What the findings of an endpoint, a server or a network add up to. The formula is told in
/// docs/grades.md, and by `memsweep explain grade`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Points of everything that was found and is reached; 0 is clean.
    pub debt: u32,
}

/// How many servers have which grade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GradeCounts {
    counts: [u64; 6],
}

/// The scores of the servers of a run, joined from their endpoints in any order.
#[derive(Clone, Debug)]
pub struct Scores {
    /// By address and port; TCP (or the unix socket) first, then UDP. `None`: not reached.
    servers: BTreeMap<(Address, u16), [Option<Score>; 2]>,
    /// Endpoints beyond the limit.
    others: GradeCounts,
    others_debt: u64,
    others_worst: Option<Score>,
    servers_max: usize,
}

impl Grade {
    /// All, from best to worst.
    pub const ALL: [Grade; 6] = [Grade::A, Grade::B, Grade::C, Grade::D, Grade::E, Grade::F];

    /// The letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Grade::A => "A",
            Grade::B => "B",
            Grade::C => "C",
            Grade::D => "D",
            Grade::E => "E",
            Grade::F => "F",
        }
    }

    /// The least debt that has this grade.
    pub fn debt_min(self) -> u32 {
        match self {
            Grade::A => 0,
            Grade::B => 10,
            Grade::C => 30,
            Grade::D => 50,
            Grade::E => 75,
            Grade::F => 100,
        }
    }
}

impl Score {
    /// The score of one endpoint; `None` if it says nothing about a memcached server.
    pub fn of(record: &Record) -> Option<Score> {
        match record.judgement.verdict {
            Verdict::Exposed | Verdict::Protected => {}
            Verdict::Closed | Verdict::Filtered => return Some(Score::default()),
            Verdict::Silent
            | Verdict::Absent
            | Verdict::Other
            | Verdict::Decoy
            | Verdict::Unfinished => return None,
        }
        let is_accepted = |finding: &Finding| {
            record.acceptances.iter().any(|acceptance| {
                let rule = acceptance.rule.as_deref();
                rule.is_none_or(|rule| rule == finding.code)
            })
        };
        let findings = record.judgement.findings.iter();
        Some(Score::of_findings(
            findings.filter(|finding| !is_accepted(finding)),
        ))
    }

    /// The score of findings that are reached and not accepted.
    pub fn of_findings<'a>(findings: impl Iterator<Item = &'a Finding>) -> Score {
        let (mut sure, mut possible) = (0_u32, 0_u32);
        for finding in findings {
            let points = points(finding.severity, finding.confidence);
            match finding.confidence {
                Confidence::Possible => possible = possible.saturating_add(points),
                Confidence::Likely | Confidence::Confirmed => sure = sure.saturating_add(points),
            }
        }
        Score {
            debt: sure.saturating_add(possible.min(POSSIBLE_POINTS_MAX)),
        }
    }

    /// Its letter.
    pub fn grade(self) -> Grade {
        let reached = |grade: &Grade| self.debt >= grade.debt_min();
        Grade::ALL.into_iter().rfind(reached).unwrap_or(Grade::A)
    }

    fn plus(self, other: Score) -> Score {
        Score {
            debt: self.debt.saturating_add(other.debt),
        }
    }
}

impl GradeCounts {
    /// How many servers have this grade.
    pub fn of(&self, grade: Grade) -> u64 {
        self.counts[grade as usize]
    }

    /// All grades with their counts, zero included, best first.
    pub fn iter(&self) -> impl Iterator<Item = (Grade, u64)> + '_ {
        Grade::ALL.into_iter().map(|grade| (grade, self.of(grade)))
    }

    /// How many servers in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, grade: Grade) {
        self.counts[grade as usize] += 1;
    }
}

impl Default for Scores {
    fn default() -> Scores {
        Scores::with_servers_max(SERVERS_MAX)
    }
}

impl Scores {
    fn with_servers_max(servers_max: usize) -> Scores {
        Scores {
            servers: BTreeMap::new(),
            others: GradeCounts::default(),
            others_debt: 0,
            others_worst: None,
            servers_max,
        }
    }

    /// Takes an endpoint; a later record of the same one replaces the earlier.
    pub fn add(&mut self, record: &Record) {
        let is_reached = matches!(
            record.judgement.verdict,
            Verdict::Exposed | Verdict::Protected
        );
        let score = Score::of(record).filter(|_| is_reached);
        let key = (record.endpoint.address.clone(), record.endpoint.port);
        let door = usize::from(record.endpoint.transport == Transport::Udp);
        if let Some(doors) = self.servers.get_mut(&key) {
            doors[door] = score;
        } else if let Some(score) = score {
            if self.servers.len() < self.servers_max {
                let mut doors = [None; 2];
                doors[door] = Some(score);
                self.servers.insert(key, doors);
            } else {
                self.others.add(score.grade());
                self.others_debt += u64::from(score.debt);
                self.others_worst = self.others_worst.max(Some(score));
            }
        }
    }

    /// The servers that are reached, with their scores, in the order of their addresses.
    pub fn servers(&self) -> impl Iterator<Item = (&Address, u16, Score)> {
        self.servers
            .iter()
            .filter_map(|((address, port), doors)| Some((address, *port, sum(*doors)?)))
    }

    /// How many servers have which grade.
    pub fn counts(&self) -> GradeCounts {
        let mut counts = self.others;
        for (_, _, score) in self.servers() {
            counts.add(score.grade());
        }
        counts
    }

    /// The debt of all servers together.
    pub fn debt(&self) -> u64 {
        let debts = self.servers().map(|(_, _, score)| u64::from(score.debt));
        self.others_debt + debts.sum::<u64>()
    }

    /// The grade of the network: that of its worst server, and A if none is reached.
    pub fn grade(&self) -> Grade {
        let scores = self.servers().map(|(_, _, score)| score);
        let worst = scores.chain(self.others_worst).max();
        worst.unwrap_or_default().grade()
    }
}

/// The score of a server by its doors; `None` if none of them is reached.
fn sum(doors: [Option<Score>; 2]) -> Option<Score> {
    doors.into_iter().flatten().reduce(Score::plus)
}

/// What one finding costs.
fn points(severity: Severity, confidence: Confidence) -> u32 {
    let is_possible = confidence == Confidence::Possible;
    match (severity, is_possible) {
        (Severity::Critical, false) => 100,
        (Severity::High, false) => 50,
        (Severity::Medium, false) => 20,
        (Severity::Low, false) => 5,
        (Severity::Critical, true) => 8,
        (Severity::High, true) => 4,
        (Severity::Medium, true) => 2,
        (Severity::Low, true) => 1,
        (Severity::Info, _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use model::{Acceptance, Answer, Dialogue, Endpoint, Enrichment, Text};

    use super::*;
    use crate::samples::{self, Sample, with_setting};

    fn record(sample: &Sample) -> Record {
        let judgement = sample.judge();
        Record {
            run: Arc::from("run"),
            timestamp: UNIX_EPOCH,
            endpoint: Endpoint {
                address: sample.address.clone(),
                port: sample.port,
                transport: sample.transport,
            },
            hostname: None,
            hardware: None,
            evidence: model::Evidence::without_dialogue(model::Contact::Answered, 1, None),
            judgement,
            acceptances: Vec::new(),
            alarm: true,
            source: None,
            enrichment: Enrichment::default(),
        }
    }

    fn finding(severity: Severity, confidence: Confidence) -> Finding {
        Finding {
            code: "MS001",
            severity,
            confidence,
            title: Text::same(""),
            evidence: Vec::new(),
            fix: Text::same(""),
        }
    }

    #[test]
    fn letters_stand_for_stretches_of_debt() {
        let cases = [
            (0, Grade::A),
            (9, Grade::A),
            (10, Grade::B),
            (29, Grade::B),
            (30, Grade::C),
            (49, Grade::C),
            (50, Grade::D),
            (74, Grade::D),
            (75, Grade::E),
            (99, Grade::E),
            (100, Grade::F),
            (u32::MAX, Grade::F),
        ];
        for (debt, expected) in cases {
            assert_eq!(Score { debt }.grade(), expected, "{debt}");
        }
    }

    #[test]
    fn the_formula_says_what_the_code_does() {
        let all: String = FORMULA.iter().map(|part| part.en).collect();
        for (grade, next) in Grade::ALL.iter().zip(&Grade::ALL[1..]) {
            let (first, last) = (grade.debt_min(), next.debt_min() - 1);
            assert!(all.contains(&format!("{} {first}-{last}", grade.as_str())));
        }
        for (severity, word) in [
            (Severity::Critical, "100 points if it is critical"),
            (Severity::High, "50 if high"),
            (Severity::Medium, "20 if medium"),
            (Severity::Low, "5 if low"),
        ] {
            let points = points(severity, Confidence::Confirmed).to_string();
            assert!(word.starts_with(&points) && all.contains(word), "{word}");
        }
        let possible = Severity::ALL.map(|one| points(one, Confidence::Possible));
        assert_eq!(possible, [0, 1, 2, 4, 8]);
        assert!(all.contains("8, 4, 2 or 1 instead"));
        assert!(all.contains(&format!("at most {POSSIBLE_POINTS_MAX}:")));
    }

    #[test]
    fn points_add_up_and_what_is_only_possible_has_a_limit() {
        use Confidence::{Confirmed, Likely, Possible};
        let cases: [(&[(Severity, Confidence)], u32); 7] = [
            (&[], 0),
            (&[(Severity::Info, Confirmed)], 0),
            (&[(Severity::Low, Likely), (Severity::Medium, Likely)], 25),
            (&[(Severity::Critical, Possible)], 8),
            (&[(Severity::Critical, Possible); 3], 20),
            (&[(Severity::Critical, Possible); 100], 20),
            (&[(Severity::Critical, Confirmed); 2], 200),
        ];
        for (parts, expected) in cases {
            let findings: Vec<Finding> = parts
                .iter()
                .map(|(severity, confidence)| finding(*severity, *confidence))
                .collect();
            assert_eq!(
                Score::of_findings(findings.iter()).debt,
                expected,
                "{parts:?}"
            );
        }
    }

    #[test]
    fn a_server_that_nobody_reaches_is_an_a_whatever_its_version() {
        let mut old = record(&Sample::tcp(Dialogue {
            version: Answer::Given("1.4.15".into()),
            ..samples::open()
        }));
        assert_eq!(Score::of(&old).unwrap().grade(), Grade::F);
        for verdict in [Verdict::Closed, Verdict::Filtered] {
            old.judgement.verdict = verdict;
            assert_eq!(Score::of(&old), Some(Score { debt: 0 }), "{verdict}");
        }
        for verdict in [
            Verdict::Silent,
            Verdict::Absent,
            Verdict::Other,
            Verdict::Decoy,
            Verdict::Unfinished,
        ] {
            old.judgement.verdict = verdict;
            assert_eq!(Score::of(&old), None, "{verdict}");
        }
        let loopback = with_setting(samples::open(), "inter", "127.0.0.1");
        let loopback = record(&Sample::tcp(loopback).at("127.0.0.1"));
        assert_eq!(Score::of(&loopback), Some(Score { debt: 0 }));
    }

    /// RHEL 7's 1.4.15, as installed, seen from the network.
    fn as_installed() -> Dialogue {
        let version = Answer::Given("1.4.15".into());
        let mut dialogue = Dialogue {
            version,
            connections: Answer::Given(samples::connections()),
            ..samples::open()
        };
        for (name, value) in [
            ("inter", "NULL"),
            ("udpport", "11211"),
            ("item_size_max", "1048576"),
            ("flush_enabled", "yes"),
        ] {
            samples::set(&mut dialogue.settings, name, value);
        }
        dialogue
    }

    /// Every step closes one hole, as an administrator would.
    fn steps() -> Vec<(&'static str, Vec<Record>)> {
        let both = || {
            let udp = Sample::udp(samples::reflector()).with_tcp(as_installed());
            vec![record(&Sample::tcp(as_installed())), record(&udp)]
        };
        let tcp = |dialogue: Dialogue| vec![record(&Sample::tcp(dialogue))];
        let no_flush = || with_setting(as_installed(), "flush_enabled", "no");
        let bound = || with_setting(no_flush(), "inter", "10.0.0.5");
        let newest = |dialogue| Dialogue {
            version: Answer::Given("1.6.45".into()),
            ..dialogue
        };
        let mut closed = record(&Sample::tcp(samples::open()));
        closed.judgement.verdict = Verdict::Filtered;
        closed.judgement.findings.clear();
        vec![
            ("as installed", both()),
            ("UDP off", tcp(as_installed())),
            ("flush_all off", tcp(no_flush())),
            ("bound to one address", tcp(bound())),
            ("upgraded", tcp(newest(bound()))),
            ("SASL", tcp(newest(samples::sasl()))),
            ("behind a firewall", vec![closed]),
        ]
    }

    #[test]
    fn every_hole_that_is_closed_makes_the_debt_smaller_until_it_is_an_a() {
        let scored: Vec<(&str, u64, Grade)> = steps()
            .iter()
            .map(|(step, records)| {
                let mut scores = Scores::default();
                for record in records {
                    scores.add(record);
                }
                (*step, scores.debt(), scores.grade())
            })
            .collect();
        for pair in scored.windows(2) {
            assert!(pair[0].1 > pair[1].1, "{scored:?}");
            assert!(pair[0].2 >= pair[1].2, "{scored:?}");
        }
        assert_eq!(scored[0].2, Grade::F);
        assert_eq!(scored.last().map(|last| last.2), Some(Grade::A));
    }

    #[test]
    fn endpoints_of_a_server_come_in_any_order_and_may_be_replaced() {
        let [tcp, udp]: [Record; 2] = steps().remove(0).1.try_into().unwrap();
        let debt = |records: &[&Record]| {
            let mut scores = Scores::default();
            for record in records {
                scores.add(record);
            }
            (scores.debt(), scores.counts().total(), scores.grade())
        };
        let (sum, servers, grade) = debt(&[&tcp, &udp]);
        assert_eq!(debt(&[&udp, &tcp]), (sum, servers, grade));
        assert_eq!(debt(&[&udp, &tcp, &tcp, &udp]), (sum, 1, Grade::F));
        assert!(sum > debt(&[&tcp]).0);
        let mut closed = tcp.clone();
        closed.judgement.verdict = Verdict::Closed;
        assert_eq!(debt(&[&tcp, &closed]), (0, 0, Grade::A));
        assert_eq!(debt(&[]), (0, 0, Grade::A));
    }

    #[test]
    fn the_worst_server_gives_the_network_its_grade() {
        let mut scores = Scores::default();
        scores.add(&record(&Sample::tcp(samples::sasl())));
        let alone = scores.grade();
        scores.add(&record(&Sample::tcp(samples::open()).at("10.0.0.6")));
        assert!(alone < Grade::F);
        assert_eq!(scores.grade(), Grade::F);
        assert_eq!(scores.counts().of(Grade::F), 1);
        assert_eq!(scores.counts().of(alone), 1);
    }

    #[test]
    fn servers_beyond_the_limit_count_all_the_same() {
        let records: Vec<Record> = ["10.0.0.5", "10.0.0.6", "10.0.0.7"]
            .iter()
            .map(|ip| record(&Sample::tcp(samples::open()).at(ip)))
            .collect();
        let scored = |mut scores: Scores| {
            for record in &records {
                scores.add(record);
            }
            (scores.debt(), scores.counts(), scores.grade())
        };
        let all = scored(Scores::default());
        assert_eq!(all.1.of(Grade::F), 3);
        assert_eq!(scored(Scores::with_servers_max(1)), all);
        assert_eq!(scored(Scores::with_servers_max(0)), all);
    }

    #[test]
    fn accepted_risks_cost_nothing() {
        let mut open = record(&Sample::tcp(samples::open()));
        let all = Score::of(&open).unwrap();
        let accept = |rule: Option<&str>| Acceptance {
            rule: rule.map(str::to_owned),
            reason: "lab".into(),
            until: "2030-01-01".into(),
        };
        open.acceptances = vec![accept(Some("MS001"))];
        assert_eq!(Score::of(&open).unwrap().debt, all.debt - 100);
        open.acceptances = vec![accept(None)];
        assert_eq!(Score::of(&open).unwrap().debt, 0);
    }
}
