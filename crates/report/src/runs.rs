//! `memsweep runs`: the runs that are kept, as a table for people and as JSON.

use inventory::{OWN_SOURCE, RunKind, StoredRun};
use model::{Language, Verdict};
use serde_json::Value;

use crate::TextOptions;
use crate::escape::escape_for_terminal;
use crate::json::document;
use crate::layout::{pad, pad_left, truncate, width};
use crate::text::page::{Ink, Page, WIDTH_COLUMNS_MIN};
use crate::values::{Object, counts, set, set_some, strings};
use crate::words::{grouped, minute, pick, rfc3339};

/// Targets named of a run; of more, the first.
const NAMED_TARGETS_MAX: usize = 8;
/// Targets need this many columns; with less they get a line of their own.
const TARGETS_COLUMNS_MIN: usize = 20;
/// Spaces between two columns, and before a second line.
const GAP: &str = "  ";
const INDENT: &str = "    ";

/// The word for what made a run, as it is typed.
pub(crate) fn kind(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Scan => "scan",
        RunKind::Check => "check",
        RunKind::Verify => "verify",
        RunKind::Import => "import",
    }
}

/// A table of runs, in the order given.
pub fn runs_text(runs: &[StoredRun], options: &TextOptions) -> String {
    let options = TextOptions {
        width_columns: options.width_columns.max(WIDTH_COLUMNS_MIN),
        ..options.clone()
    };
    let mut out = Vec::new();
    let mut page = Page::new(&mut out, &options);
    if runs.is_empty() {
        let words = page.pick(
            "No run is kept yet: `memsweep scan` keeps what it finds.",
            "保存された実行はまだありません。`memsweep scan` の結果が保存されます。",
        );
        page.paragraph(Ink::Plain, words);
    } else {
        print_table(runs, &mut page);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// The runs as a JSON array.
pub fn runs_json(runs: &[StoredRun]) -> String {
    let runs: Vec<Value> = runs.iter().map(|run| value(run).into()).collect();
    document(&Value::Array(runs))
}

/// What is known of a run; what is not has no key.
pub(crate) fn value(run: &StoredRun) -> Object {
    let mut object = Object::new();
    set(&mut object, "run", &*run.run);
    set(&mut object, "kind", kind(run.kind));
    set(&mut object, "source", &*run.source);
    set(&mut object, "started", rfc3339(run.started));
    set_some(&mut object, "ended", run.ended.map(rfc3339));
    set(&mut object, "targets", strings(&run.targets));
    set(&mut object, "fingerprint", run.fingerprint.as_str());
    set_some(&mut object, "resumed_from", run.resumed_from.as_deref());
    set(&mut object, "complete", run.complete);
    set(&mut object, "verdicts", counts(&run.verdicts));
    set(&mut object, "alarms", run.alarms);
    set(&mut object, "observations", run.observations);
    set_some(&mut object, "grade", run.grade.as_deref());
    set_some(&mut object, "vantage", run.vantage.as_deref());
    set_some(&mut object, "log", run.log.as_deref());
    object
}

/// What was asked, or the file that was imported, cut to so many columns.
pub(crate) fn targets(run: &StoredRun, language: Language, columns_max: usize) -> String {
    let named = run.targets.iter().take(NAMED_TARGETS_MAX);
    let named = named.map(|target| escape_for_terminal(target));
    let named = named.collect::<Vec<_>>().join(pick(language, ", ", "、"));
    let rest = run.targets.len().saturating_sub(NAMED_TARGETS_MAX) as u64;
    let more = match (rest, language) {
        (0, _) => String::new(),
        (rest, Language::English) => format!(" and {} more", grouped(rest)),
        (rest, Language::Japanese) => format!(" ほか {} 件", grouped(rest)),
    };
    let columns = columns_max.saturating_sub(width(&more));
    format!("{}{more}", truncate(&named, columns))
}

/// The cells of a run but for its targets, and how they stand in their columns.
fn cells(run: &StoredRun, language: Language) -> [String; 8] {
    let yes_or_no = if run.complete {
        pick(language, "yes", "はい")
    } else {
        pick(language, "no", "いいえ")
    };
    let grade = run.grade.as_deref().unwrap_or_default();
    [
        escape_for_terminal(&run.run),
        minute(run.started),
        kind(run.kind).to_owned(),
        escape_for_terminal(&run.source),
        grouped(run.verdicts.of(Verdict::Exposed)),
        grouped(run.alarms),
        escape_for_terminal(grade),
        yes_or_no.to_owned(),
    ]
}

fn heads(language: Language) -> [&'static str; 9] {
    match language {
        Language::English => [
            "run",
            "began (UTC)",
            "command",
            "source",
            "exposed",
            "alarms",
            "grade",
            "complete",
            "targets",
        ],
        Language::Japanese => [
            "実行 ID",
            "開始 (UTC)",
            "コマンド",
            "情報源",
            "exposed",
            "要対処",
            "評価",
            "完了",
            "対象",
        ],
    }
}

fn print_table(runs: &[StoredRun], page: &mut Page<'_>) {
    let language = page.language();
    let heads = heads(language);
    let rows: Vec<[String; 8]> = runs.iter().map(|run| cells(run, language)).collect();
    // A column that says the same of every run is no column.
    let has_sources = runs.iter().any(|run| *run.source != *OWN_SOURCE);
    let is_shown = |column: usize| column != 3 || has_sources;
    let mut widths: [usize; 8] = std::array::from_fn(|column| width(heads[column]));
    for row in &rows {
        for (columns, cell) in widths.iter_mut().zip(row) {
            *columns = (*columns).max(width(cell));
        }
    }
    let shown = || (0..widths.len()).filter(|column| is_shown(*column));
    let fixed: usize = shown().map(|column| widths[column] + GAP.len()).sum();
    let rest = page.width().saturating_sub(fixed);
    if rest < TARGETS_COLUMNS_MIN {
        print_blocks(runs, has_sources, page);
        return;
    }
    let line = |cells: &dyn Fn(usize) -> String| {
        let cells = shown().map(|column| match column {
            4 | 5 => pad_left(&cells(column), widths[column]),
            _ => pad(&cells(column), widths[column]),
        });
        cells.map(|cell| cell + GAP).collect::<String>()
    };
    let head = line(&|column| heads[column].to_owned()) + heads[8];
    let head = page.ink(Ink::Faint, &head);
    page.line(&head);
    for (run, row) in runs.iter().zip(&rows) {
        let line = line(&|column| row[column].clone()) + &targets(run, language, rest);
        let line = page.ink(ink(run), &line);
        page.line(&line);
    }
}

/// Where a page is too narrow for a table, a run takes three short lines.
fn print_blocks(runs: &[StoredRun], has_sources: bool, page: &mut Page<'_>) {
    let language = page.language();
    let columns = page.width() - INDENT.len();
    for run in runs {
        let [id, began, command, source, exposed, alarms, grade, _] = cells(run, language);
        let id = page.ink(Ink::Bold, &truncate(&id, page.width()));
        page.line(&id);
        let made = if has_sources && source != command {
            format!("{command} ({source})")
        } else {
            command
        };
        let mut counts = match language {
            Language::English => format!("{exposed} exposed, {alarms} alarms"),
            Language::Japanese => format!("exposed {exposed} 件、要対処 {alarms} 件"),
        };
        if !grade.is_empty() {
            let word = pick(language, ", grade ", "、評価 ");
            counts.push_str(&format!("{word}{grade}"));
        }
        if !run.complete {
            counts.push_str(pick(language, ", not complete", "、未完了"));
        }
        for (ink, text) in [
            (Ink::Plain, format!("{began} UTC{GAP}{made}")),
            (ink(run), counts),
            (Ink::Plain, targets(run, language, columns)),
        ] {
            let text = page.ink(ink, &truncate(&text, columns));
            page.line(&format!("{INDENT}{text}"));
        }
    }
}

/// What is not whole is less than it seems.
fn ink(run: &StoredRun) -> Ink {
    if run.complete {
        Ink::Plain
    } else {
        Ink::Caution
    }
}
