//! What changed, on a terminal: a sign, an endpoint and what became of it on each line.

use inventory::{Change, Difference, Row};
use model::{Endpoint, Verdict};

use super::{ComparedRuns, finding, name, sentence, side, title, told, verdict};
use crate::TextOptions;
use crate::escape::escape_for_terminal;
use crate::layout::width;
use crate::text::page::{Ink, Label, Page, WIDTH_COLUMNS_MIN};

/// An endpoint wider than this pushes its text to the right; it fits every IPv4 address.
const PLACE_COLUMNS_MAX: usize = 30;
/// Columns before what changed of an endpoint.
const INDENT_COLUMNS: usize = 4;

/// A heading that names both runs, what changed, and a sentence. `+` is new, `-` gone, `~` changed,
/// and `?` not known; those are only named where everything is to be shown.
pub fn diff_text(
    runs: &ComparedRuns<'_>,
    difference: &Difference,
    options: &TextOptions,
) -> String {
    let options = TextOptions {
        width_columns: options.width_columns.max(WIDTH_COLUMNS_MIN),
        ..options.clone()
    };
    let mut out = Vec::new();
    let mut page = Page::new(&mut out, &options);
    let heads = [
        (page.pick("from", "比較元"), runs.before),
        (page.pick("to", "比較先"), runs.after),
    ];
    let columns = heads.iter().map(|(word, _)| width(word)).max();
    for (word, run) in heads {
        let label = Label {
            indent: 0,
            text: word,
            columns: columns.unwrap_or_default(),
            ink: Ink::Faint,
        };
        page.labelled(&label, Ink::Plain, &title(run, options.language));
    }
    let lists = Lists {
        columns: place_columns(difference, options.verbose),
    };
    let is_told = !difference.is_empty() || options.verbose;
    if is_told && lists.columns > 0 {
        page.blank();
        lists.print(difference, &mut page);
    }
    page.blank();
    let ink = match (difference.is_empty(), difference.new.is_empty()) {
        (true, _) => Ink::Good,
        (false, false) => Ink::Alarm,
        (false, true) => Ink::Caution,
    };
    page.paragraph(ink, &sentence(difference, options.language));
    String::from_utf8(out).unwrap_or_default()
}

/// Columns that endpoints need.
fn place_columns(difference: &Difference, verbose: bool) -> usize {
    let unknown = [&difference.not_asked, &difference.unknown];
    let rows = difference.new.iter().chain(&difference.gone);
    let rows = rows.chain(unknown.into_iter().flatten().filter(|_| verbose));
    let endpoints = rows.map(|row| &row.endpoint);
    let endpoints = endpoints.chain(difference.changed.iter().map(|change| &change.endpoint));
    let widths = endpoints.map(|endpoint| width(&place(endpoint)));
    widths
        .map(|columns| columns.min(PLACE_COLUMNS_MAX))
        .max()
        .unwrap_or_default()
}

fn place(endpoint: &Endpoint) -> String {
    escape_for_terminal(&endpoint.to_string())
}

struct Lists {
    columns: usize,
}

impl Lists {
    fn print(&self, difference: &Difference, page: &mut Page<'_>) {
        let language = page.language();
        for row in &difference.new {
            let ink = ink(row, Ink::Alarm, Ink::Caution);
            self.row("+", ink, row, &verdict(row.verdict, language), page);
        }
        for row in &difference.gone {
            let was = verdict(row.verdict, language);
            let words = format!("{}{was}", page.pick("gone; was ", "消失：以前は "));
            self.row("-", ink(row, Ink::Good, Ink::Plain), row, &words, page);
        }
        for change in &difference.changed {
            self.change(change, page);
        }
        if !page.options().verbose {
            return;
        }
        for row in &difference.not_asked {
            let words = page.pick("not asked again", "再調査なし").to_owned();
            self.row("?", Ink::Faint, row, &words, page);
        }
        for row in &difference.unknown {
            let words = page.pick("cannot be told", "判別できない").to_owned();
            self.row("?", Ink::Faint, row, &words, page);
        }
    }

    fn row(&self, sign: &str, ink: Ink, row: &Row, words: &str, page: &mut Page<'_>) {
        self.line(sign, ink, &row.endpoint, words, page);
    }

    /// A sign, an endpoint, and words in their column.
    fn line(&self, sign: &str, ink: Ink, endpoint: &Endpoint, words: &str, page: &mut Page<'_>) {
        let place = place(endpoint);
        let text = format!("{sign} {place}");
        let fits = width(&place) <= self.columns && self.columns + 20 < page.width();
        let label = Label {
            indent: 0,
            text: &text,
            columns: self.columns + 2,
            ink,
        };
        if fits {
            page.labelled(&label, Ink::Plain, words);
        } else {
            page.paragraph(ink, &text);
            below(Ink::Plain, words, page);
        }
    }

    fn change(&self, change: &Change, page: &mut Page<'_>) {
        let language = page.language();
        let (before, after) = (change.verdict_before, change.verdict_after);
        let mut words = verdict(after, language);
        if before != after {
            words = format!("{} -> {words}", verdict(before, language));
        }
        if change.restarted {
            words.push_str(page.pick(", restarted", "、再起動あり"));
        }
        self.line("~", Ink::Caution, &change.endpoint, &words, page);
        for field in told(&change.fields) {
            let before = side(field, field.before.as_deref(), language);
            let after = side(field, field.after.as_deref(), language);
            let colon = page.pick(": ", "：");
            let words = format!("{}{colon}{before} -> {after}", name(field, language));
            below(Ink::Plain, &words, page);
        }
        for field in &change.gained {
            below(Ink::Alarm, &format!("+ {}", finding(field, language)), page);
        }
        for field in &change.lost {
            below(Ink::Good, &format!("- {}", finding(field, language)), page);
        }
    }
}

/// How a row stands out: an open server differs from anything else.
fn ink(row: &Row, exposed: Ink, other: Ink) -> Ink {
    if row.verdict == Some(Verdict::Exposed) {
        exposed
    } else {
        other
    }
}

/// A line about the endpoint above it.
fn below(ink: Ink, words: &str, page: &mut Page<'_>) {
    let label = Label {
        indent: INDENT_COLUMNS - 2,
        text: "",
        columns: 0,
        ink,
    };
    page.labelled(&label, ink, words);
}
