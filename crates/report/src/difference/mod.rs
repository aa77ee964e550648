//! `memsweep diff`: what changed between two runs, for people, for programs, and for a wiki.
//!
//! What is new comes first, then what is gone, then what changed, each in the order of addresses.
//! What the later run did not ask is told apart: nothing is known of it.

mod json;
mod markdown;
mod text;

use inventory::{
    Difference, FINDING_PREFIX, FieldChange, SETTING_PREFIX, STATISTIC_PREFIX, StoredRun,
};
use model::{Confidence, Language, Severity, Verdict};

use crate::escape::escape_for_terminal;
use crate::layout::truncate;
use crate::words::{counted, grouped, moment, pick};
use crate::{labels, runs};

pub use json::{diff_json, diff_ndjson};
pub use markdown::diff_markdown;
pub use text::diff_text;

/// Columns of the targets in a heading.
const TARGETS_COLUMNS_MAX: usize = 60;
/// Columns of a value.
const VALUE_COLUMNS_MAX: usize = 120;

/// The two runs that were compared.
#[derive(Clone, Copy, Debug)]
pub struct ComparedRuns<'a> {
    /// The earlier one.
    pub before: &'a StoredRun,
    /// The later one.
    pub after: &'a StoredRun,
}

/// A run in a heading: id, time, what it was; harmless to a terminal.
fn title(run: &StoredRun, language: Language) -> String {
    let id = escape_for_terminal(&run.run);
    let (time, kind) = (moment(run.started), runs::kind(run.kind));
    let targets = runs::targets(run, language, TARGETS_COLUMNS_MAX);
    let broken = if run.complete {
        ""
    } else {
        pick(language, ", not complete", "、未完了")
    };
    match language {
        Language::English => format!("{id} ({time}, {kind} of {targets}{broken})"),
        Language::Japanese => format!("{id}（{time}、{kind}：{targets}{broken}）"),
    }
}

/// A verdict, or that there is none; in Japanese with its gloss.
fn verdict(verdict: Option<Verdict>, language: Language) -> String {
    match (verdict, language) {
        (None, _) => pick(language, "gone", "なし").to_owned(),
        (Some(verdict), Language::English) => verdict.to_string(),
        (Some(verdict), Language::Japanese) => {
            format!("{verdict}（{}）", labels::verdict_gloss(verdict))
        }
    }
}

/// What a fact is called.
fn name(field: &FieldChange, language: Language) -> String {
    let name = field.name.as_str();
    let after = |prefix| name.strip_prefix(prefix).map(value);
    if let Some(setting) = after(SETTING_PREFIX) {
        return format!("{} {setting}", pick(language, "setting", "設定"));
    }
    if let Some(statistic) = after(STATISTIC_PREFIX) {
        return format!("{} {statistic}", pick(language, "statistic", "統計値"));
    }
    if let Some(code) = after(FINDING_PREFIX) {
        return code;
    }
    let known = match name {
        "auth" => Some(("authentication", "認証")),
        "version" => Some(("version", "バージョン")),
        "protocol" => Some(("protocol", "プロトコル")),
        "certificate" => Some(("certificate", "証明書")),
        "answered_from" => Some(("answers from", "応答元")),
        "impression" => Some(("looks like", "見え方")),
        _ => None,
    };
    match known {
        Some((en, ja)) => pick(language, en, ja).to_owned(),
        None => value(name),
    }
}

/// The code of a finding that came or went.
fn code(field: &FieldChange) -> &str {
    let code = field.name.strip_prefix(FINDING_PREFIX);
    code.unwrap_or(&field.name)
}

/// A finding that came or went, with how bad it was and how sure.
fn finding(field: &FieldChange, language: Language) -> String {
    let said = field.after.as_deref().or(field.before.as_deref());
    let code = value(code(field));
    match (said, language) {
        (Some(said), Language::English) => format!("{code} ({})", judged(said, language)),
        (Some(said), Language::Japanese) => format!("{code}（{}）", judged(said, language)),
        (None, _) => code,
    }
}

/// Severity and confidence in words, out of the stored form `high confirmed`.
fn judged(said: &str, language: Language) -> String {
    let known = said.split_once(' ').and_then(|(severity, confidence)| {
        let severity = Severity::ALL
            .into_iter()
            .find(|one| one.as_str() == severity)?;
        let confidence = [
            (Confidence::Confirmed, "確認済み"),
            (Confidence::Likely, "推定"),
            (Confidence::Possible, "可能性あり"),
        ]
        .into_iter()
        .find(|(one, _)| one.as_str() == confidence)?;
        Some((severity, confidence))
    });
    match (known, language) {
        (Some((severity, (confidence, _))), Language::English) => {
            format!("{severity}, {}", confidence.as_str())
        }
        (Some((severity, (_, confidence))), Language::Japanese) => {
            format!("{}・{confidence}", labels::severity(severity).ja)
        }
        (None, _) => value(said),
    }
}

/// What a fact was or is, or that it was not there.
fn side(field: &FieldChange, side: Option<&str>, language: Language) -> String {
    match side {
        Some("") => "\"\"".to_owned(),
        Some(text) if field.name.starts_with(FINDING_PREFIX) => judged(text, language),
        Some(text) => value(text),
        None => pick(language, "(none)", "（なし）").to_owned(),
    }
}

fn value(text: &str) -> String {
    truncate(&escape_for_terminal(text), VALUE_COLUMNS_MAX)
}

/// Fields that are told below an endpoint; its verdict stands beside its name.
fn told(fields: &[FieldChange]) -> impl Iterator<Item = &FieldChange> {
    fields.iter().filter(|field| field.name != "verdict")
}

/// What changed, in one sentence.
fn sentence(difference: &Difference, language: Language) -> String {
    let count = |list: usize| grouped(list as u64);
    let (new, gone) = (count(difference.new.len()), count(difference.gone.len()));
    let changed = count(difference.changed.len());
    let (not_asked, unknown) = (difference.not_asked.len(), difference.unknown.len());
    let mut parts = Vec::new();
    match language {
        Language::English => {
            if difference.is_empty() {
                parts.push("Nothing changed".to_owned());
            } else {
                parts.push(format!("{new} new, {gone} gone, {changed} changed"));
            }
            let same = counted(
                language,
                difference.same,
                "endpoint is",
                "endpoints are",
                "",
            );
            parts.push(format!("{same} as before"));
            if not_asked > 0 {
                parts.push(format!("{} not asked again", count(not_asked)));
            }
            if unknown > 0 {
                let count = count(unknown);
                parts.push(format!(
                    "of {count} it cannot be told whether they are gone"
                ));
            }
            format!("{}.", parts.join("; "))
        }
        Language::Japanese => {
            parts.push(format!("変化なし {} 件", grouped(difference.same)));
            if not_asked > 0 {
                parts.push(format!("再調査なし {} 件", count(not_asked)));
            }
            if unknown > 0 {
                parts.push(format!("消失か判別できないもの {} 件", count(unknown)));
            }
            let rest = parts.join("、");
            if difference.is_empty() {
                format!("変化はありません（{rest}）。")
            } else {
                format!("新規 {new} 件、消失 {gone} 件、変化 {changed} 件（{rest}）。")
            }
        }
    }
}
