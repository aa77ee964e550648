//! The head that says what was asked, and the sentences that say how it came out.

use assess::Scores;
use model::{Language, Record, RunRecord, Summary, Verdict};

use super::page::{Ink, Page};
use crate::escape::escape_for_terminal;
use crate::labels;
use crate::values;
use crate::words::{counted, grouped, moment, pick, run_duration};
use crate::{Style, TextOptions};

/// Targets named in the head.
const NAMED_TARGETS_MAX: usize = 3;
/// Ports named in the head.
const NAMED_PORTS_MAX: usize = 8;

/// Why exposed endpoints are no alarm, counted over the records.
#[derive(Default)]
pub(crate) struct Tally {
    only_from_here: u64,
    accepted: u64,
    below_threshold: u64,
}

/// What the records added up to.
pub(crate) struct Found<'a> {
    /// Why exposed endpoints are no alarm.
    pub(crate) tally: &'a Tally,
    /// What the findings of each server add up to.
    pub(crate) scores: &'a Scores,
    /// Endpoints that have a record.
    pub(crate) endpoints: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, record: &Record) {
        if record.alarm || record.judgement.verdict != Verdict::Exposed {
            return;
        }
        if record.judgement.only_from_here {
            self.only_from_here += 1;
        } else if !record.acceptances.is_empty() {
            self.accepted += 1;
        } else {
            self.below_threshold += 1;
        }
    }

    /// The reasons that occurred, with their counts.
    fn reasons(&self, language: Language) -> String {
        let reasons = [
            (
                self.only_from_here,
                "seen only from this machine",
                "このマシンからのみ到達可能",
            ),
            (self.accepted, "accepted", "許容済み"),
            (
                self.below_threshold,
                "below the severity that raises an alarm",
                "警報の重大度未満",
            ),
        ];
        let said = reasons.iter().filter(|(count, ..)| *count > 0);
        match language {
            Language::English => {
                let said = said.map(|(count, en, _)| format!("{} {en}", grouped(*count)));
                said.collect::<Vec<_>>().join(", ")
            }
            Language::Japanese => {
                let said = said.map(|(count, _, ja)| format!("{ja} {} 件", grouped(*count)));
                said.collect::<Vec<_>>().join("、")
            }
        }
    }
}

/// What was asked, when and from where: so that a report found in a mailbox explains itself.
pub(super) fn print_head(run: Option<&RunRecord>, page: &mut Page<'_>) {
    if page.style() == Style::Demo {
        let words = page.pick(
            "A made-up network on this machine's loopback: none of these servers is real.",
            "ループバック上に作った架空のネットワークです。実在のサーバではありません。",
        );
        page.paragraph(Ink::Bold, words);
    }
    let Some(run) = run else { return };
    let mut parts = vec![format!("memsweep {}", run.tool_version)];
    if page.style() != Style::Demo {
        parts.push(some_of(&run.targets, NAMED_TARGETS_MAX, page.language()));
    }
    let transports = match (run.tcp, run.udp) {
        (true, false) => "tcp",
        (false, true) => "udp",
        (true, true) | (false, false) => page.pick("tcp and udp", "tcp・udp"),
    };
    let ports: Vec<String> = run.ports.iter().map(u16::to_string).collect();
    let word = match ports.len() {
        1 => page.pick("port", "ポート"),
        _ => page.pick("ports", "ポート"),
    };
    parts.push(format!(
        "{word} {} {transports}",
        some_of(&ports, NAMED_PORTS_MAX, page.language())
    ));
    if let Some(source) = &run.vantage.source {
        let interface = run.vantage.interface.as_deref();
        let interface = interface
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        parts.push(format!(
            "{}{source}{interface}",
            page.pick("from ", "送信元 ")
        ));
    }
    parts.push(moment(run.timestamp));
    page.items(Ink::Faint, &parts);
}

/// How a run came out, in sentences.
pub(crate) struct Sentences {
    /// What follows from it, and how it stands out.
    pub(crate) conclusion: (Ink, String),
    /// The grade of what was found.
    pub(crate) grade: Option<String>,
    /// Counts, and what a reader must know of the run.
    pub(crate) rest: Vec<(Ink, String)>,
}

impl Sentences {
    /// The sentences of a command. What a server said is harmless to a terminal in them.
    pub(crate) fn of(
        summary: &Summary,
        run: Option<&RunRecord>,
        found: &Found<'_>,
        options: &TextOptions,
    ) -> Sentences {
        let language = options.language;
        if options.style == Style::Find {
            return Sentences::of_search(summary, found.endpoints, language);
        }
        let conclusion = match options.style {
            Style::Verify => verified(summary, found.tally, language),
            Style::Scan | Style::Check | Style::Demo | Style::Find => {
                scanned(summary, found.tally, language)
            }
        };
        let mut rest = vec![(Ink::Plain, counts(summary, language))];
        if summary.rejected_replies > 0 {
            let count = grouped(summary.rejected_replies);
            let words = match language {
                Language::English => {
                    format!("{count} answers did not carry our request id and were not believed.")
                }
                Language::Japanese => {
                    format!("要求 ID が一致しない応答 {count} 件は採用していません。")
                }
            };
            rest.push((Ink::Plain, words));
        }
        rest.extend(notes(summary, language));
        if !summary.complete {
            rest.push((Ink::Caution, incomplete(summary, run, language)));
        }
        Sentences {
            conclusion,
            grade: graded(summary, found.scores, language),
            rest,
        }
    }

    /// A search asks nobody, so it concludes nothing.
    fn of_search(summary: &Summary, endpoints: u64, language: Language) -> Sentences {
        let count = counted(language, endpoints, "endpoint", "endpoints", "件");
        let words = match (language, summary.complete) {
            (Language::English, true) => count,
            (Language::English, false) => format!("{count}; there are more"),
            (Language::Japanese, true) => count,
            (Language::Japanese, false) => format!("{count}（ほかにもあります）"),
        };
        Sentences {
            conclusion: (Ink::Bold, words),
            grade: None,
            rest: notes(summary, language).collect(),
        }
    }
}

fn notes(summary: &Summary, language: Language) -> impl Iterator<Item = (Ink, String)> {
    let notes = summary.notes.iter();
    notes.map(move |note| {
        let note = escape_for_terminal(note.in_language(language));
        let words = format!("{}{note}", pick(language, "Note: ", "注記："));
        (Ink::Plain, words)
    })
}

/// The conclusion, the counts behind it, and what a reader must know of the run.
pub(super) fn print(
    summary: &Summary,
    run: Option<&RunRecord>,
    found: &Found<'_>,
    page: &mut Page<'_>,
) {
    let sentences = Sentences::of(summary, run, found, page.options());
    let (ink, conclusion) = sentences.conclusion;
    page.paragraph(ink, &conclusion);
    if let Some(grade) = sentences.grade {
        page.paragraph(Ink::Plain, &grade);
    }
    for (ink, sentence) in sentences.rest {
        page.paragraph(ink, &sentence);
    }
}

/// The grade of what was found, in a sentence; `None` where a run that found nothing is not over.
fn graded(summary: &Summary, scores: &Scores, language: Language) -> Option<String> {
    let counts = scores.counts();
    let grade = scores.grade().as_str();
    if counts.total() == 0 {
        let words = match language {
            Language::English => format!("Grade {grade}: no memcached server was reached."),
            Language::Japanese => {
                format!("評価 {grade}：到達できる memcached サーバはありませんでした。")
            }
        };
        return values::is_settled(summary).then_some(words);
    }
    let present = counts.iter().filter(|(_, count)| *count > 0);
    // The worst first: it gives the network its grade.
    let mut present: Vec<String> = present
        .map(|(grade, count)| {
            let grade = grade.as_str();
            match language {
                Language::English => {
                    let servers = counted(language, count, "server", "servers", "");
                    format!("{servers} with {grade}")
                }
                Language::Japanese => format!("{grade} が {} 台", grouped(count)),
            }
        })
        .collect();
    present.reverse();
    let list = present.join(pick(language, ", ", "、"));
    let debt = grouped(scores.debt());
    Some(match language {
        Language::English => format!(
            "Grade {grade}, debt {debt}: {list} (`memsweep explain grade` tells how it adds up)."
        ),
        Language::Japanese => format!(
            "評価 {grade}（負債点 {debt}）：{list}（計算方法は `memsweep explain grade`）。"
        ),
    })
}

/// What `scan` and `check` conclude.
fn scanned(summary: &Summary, tally: &Tally, language: Language) -> (Ink, String) {
    let exposed = summary.verdicts.of(Verdict::Exposed);
    if exposed == 0 {
        return nothing_exposed(summary, language);
    }
    let reasons = tally.reasons(language);
    if summary.alarms == 0 {
        let words = match language {
            Language::English if reasons.is_empty() => "No alarm.".to_owned(),
            Language::English => format!(
                "No alarm: {} ({reasons}).",
                counted(
                    language,
                    exposed,
                    "endpoint is exposed",
                    "endpoints are exposed",
                    ""
                )
            ),
            Language::Japanese if reasons.is_empty() => "警報はありません。".to_owned(),
            Language::Japanese => format!(
                "警報はありません。exposed の {} 件は次のとおりです：{reasons}。",
                grouped(exposed)
            ),
        };
        return (Ink::Good, words);
    }
    let mut words = match language {
        Language::English => format!(
            "Exposed: {} whoever asks, without credentials.",
            counted(
                language,
                summary.alarms,
                "endpoint serves",
                "endpoints serve",
                ""
            )
        ),
        Language::Japanese => format!(
            "要対処：{} 件のエンドポイントが、認証なしで誰の要求にも応じます。",
            grouped(summary.alarms)
        ),
    };
    if !reasons.is_empty() {
        words.push_str(&match language {
            Language::English => format!(" No alarm: {reasons}."),
            Language::Japanese => format!("警報としないもの：{reasons}。"),
        });
    }
    (Ink::Alarm, words)
}

fn nothing_exposed(summary: &Summary, language: Language) -> (Ink, String) {
    let total = summary.verdicts.total();
    let unfinished = summary.verdicts.of(Verdict::Unfinished);
    let asked = grouped(total);
    if !summary.complete || unfinished > 0 {
        let words = match language {
            Language::English => {
                "Nothing exposed so far, but not everything could be judged.".to_owned()
            }
            Language::Japanese => {
                "これまでに exposed はありませんが、判定できなかったものがあります。".to_owned()
            }
        };
        return (Ink::Caution, words);
    }
    let words = match language {
        Language::English if total == 0 => "Nothing was asked.".to_owned(),
        Language::English if total == 1 => {
            "Nothing exposed: the one endpoint asked did not serve us without credentials."
                .to_owned()
        }
        Language::English => format!(
            "Nothing exposed: of {asked} endpoints asked, none served us without credentials."
        ),
        Language::Japanese if total == 0 => "調査対象がありませんでした。".to_owned(),
        Language::Japanese => format!(
            "exposed はありません：調査した {asked} 件に、認証なしで応じたものはありませんでした。"
        ),
    };
    (Ink::Good, words)
}

/// What `verify` concludes.
fn verified(summary: &Summary, tally: &Tally, language: Language) -> (Ink, String) {
    let silent = summary.verdicts.of(Verdict::Silent);
    let unfinished = summary.verdicts.of(Verdict::Unfinished);
    let settled = summary.complete && silent + unfinished == 0;
    let (ink, mut words) = still_open(summary, settled, language);
    let reasons = tally.reasons(language);
    if !reasons.is_empty() {
        words.push_str(&match language {
            Language::English => format!(" No alarm: {reasons}."),
            Language::Japanese => format!("警報としないもの：{reasons}。"),
        });
    }
    if silent > 0 {
        let count = grouped(silent);
        words.push_str(&match language {
            Language::English => {
                format!(" {count} gave no answer: filtered, switched off or lost.")
            }
            Language::Japanese => {
                format!("{count} 件は応答がありません（フィルタ、停止、またはパケット損失）。")
            }
        });
    }
    if unfinished > 0 {
        words.push_str(&match language {
            Language::English => format!(" {} could not be judged.", grouped(unfinished)),
            Language::Japanese => format!("{} 件は判定できませんでした。", grouped(unfinished)),
        });
    }
    (ink, words)
}

/// Whether anything is open still; only what is `settled` is called closed.
fn still_open(summary: &Summary, settled: bool, language: Language) -> (Ink, String) {
    let asked = summary.verdicts.total();
    let open = summary.verdicts.of(Verdict::Exposed);
    let ink = match open {
        0 if settled => Ink::Good,
        0 => Ink::Caution,
        _ if summary.alarms > 0 => Ink::Alarm,
        _ => Ink::Caution,
    };
    let (total, count) = (grouped(asked), grouped(open));
    let endpoints = counted(language, asked, "endpoint", "endpoints", "");
    let words = match language {
        _ if asked == 0 => pick(
            language,
            "Nothing was asked.",
            "調査対象がありませんでした。",
        )
        .to_owned(),
        Language::English if open > 0 => format!("Still open: {count} of {total}."),
        Language::Japanese if open > 0 => format!("まだ開いています：{total} 件中 {count} 件。"),
        Language::English if settled => {
            format!("Closed: of {endpoints}, none is open any more.")
        }
        Language::English => format!("Of {endpoints}, none was seen open."),
        Language::Japanese if settled => {
            format!("{total} 件のうち、開いているものはもうありません。")
        }
        Language::Japanese => {
            format!("{total} 件のうち、開いていると確認できたものはありません。")
        }
    };
    (ink, words)
}

/// How many there were of each, how long it took, and what it cost the network.
fn counts(summary: &Summary, language: Language) -> String {
    let present = summary.verdicts.iter().filter(|(_, count)| *count > 0);
    let duration = run_duration(language, summary.duration);
    let (sent, received) = (
        grouped(summary.packets_sent),
        grouped(summary.packets_received),
    );
    let total = summary.verdicts.total();
    match language {
        Language::English => {
            let list = present.map(|(verdict, count)| format!("{} {verdict}", grouped(count)));
            let list = list.collect::<Vec<_>>().join(", ");
            let colon = if list.is_empty() { "" } else { ": " };
            let total = counted(language, total, "endpoint", "endpoints", "");
            format!("{total} in {duration}{colon}{list}. {sent} packets sent, {received} received.")
        }
        Language::Japanese => {
            let list = present.map(|(verdict, count)| {
                format!(
                    "{verdict}（{}）{} 件",
                    labels::verdict_gloss(verdict),
                    grouped(count)
                )
            });
            let list = list.collect::<Vec<_>>().join("、");
            let colon = if list.is_empty() { "" } else { "：" };
            format!(
                "{} 件を {duration}で調査{colon}{list}。送信 {sent} パケット、受信 {received} パケット。",
                grouped(total)
            )
        }
    }
}

fn incomplete(summary: &Summary, run: Option<&RunRecord>, language: Language) -> String {
    let done = grouped(summary.counter);
    let plan = run.map(|run| (grouped(run.pairs), escape_for_terminal(&run.run)));
    match (language, plan) {
        (Language::English, Some((pairs, id))) => format!(
            "Not complete: {done} of {pairs} address-and-port pairs are done. \
             `memsweep scan --resume {id}` (or this run's NDJSON file) goes on from there."
        ),
        (Language::English, None) => "Not complete: the run broke off.".to_owned(),
        (Language::Japanese, Some((pairs, id))) => format!(
            "未完了：アドレスとポートの組 {pairs} 組のうち {done} 組まで終了。\
             `memsweep scan --resume {id}`（またはこの実行の NDJSON ファイル）で続きから再開します。"
        ),
        (Language::Japanese, None) => "未完了：途中で中断しました。".to_owned(),
    }
}

/// The first few of a list, and how many more there are.
pub(crate) fn some_of(list: &[String], named_max: usize, language: Language) -> String {
    let named = list.iter().take(named_max).cloned().collect::<Vec<_>>();
    let named = named.join(pick(language, ", ", "、"));
    match list.len().saturating_sub(named_max) {
        0 => named,
        rest => match language {
            Language::English => format!("{named} and {} more", grouped(rest as u64)),
            Language::Japanese => format!("{named} ほか {} 件", grouped(rest as u64)),
        },
    }
}
