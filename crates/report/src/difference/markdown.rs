//! What changed, as a Markdown document.

use inventory::{Difference, Row};
use model::Language;

use super::{ComparedRuns, finding, name, sentence, side, title, told, verdict};
use crate::markdown::{code, text};
use crate::words::pick;

/// A heading, what changed, and a sentence.
pub fn diff_markdown(
    runs: &ComparedRuns<'_>,
    difference: &Difference,
    language: Language,
) -> String {
    let pick = |en, ja| pick(language, en, ja);
    let mut out = format!("# {}\n\n", pick("What changed", "変化したもの"));
    for (word, run) in [
        (pick("from", "比較元"), runs.before),
        (pick("to", "比較先"), runs.after),
    ] {
        out.push_str(&format!("- {word}: {}\n", text(&title(run, language))));
    }
    out.push_str(&format!("\n**{}**\n", sentence(difference, language)));
    rows(pick("New", "新規"), &difference.new, language, &mut out);
    rows(pick("Gone", "消失"), &difference.gone, language, &mut out);
    changed(difference, language, &mut out);
    let not_asked = pick("Not asked again", "再調査なし");
    rows(not_asked, &difference.not_asked, language, &mut out);
    let unknown = pick("Cannot be told", "判別できないもの");
    rows(unknown, &difference.unknown, language, &mut out);
    out
}

fn rows(title: &str, rows: &[Row], language: Language, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    out.push_str(&format!("\n## {title} ({})\n\n", rows.len()));
    for row in rows {
        let place = code(&row.endpoint.to_string());
        out.push_str(&format!("- {place} {}\n", verdict(row.verdict, language)));
    }
}

fn changed(difference: &Difference, language: Language, out: &mut String) {
    let changed = &difference.changed;
    if changed.is_empty() {
        return;
    }
    let pick = |en, ja| pick(language, en, ja);
    let title = pick("Changed", "変化");
    out.push_str(&format!("\n## {title} ({})\n\n", changed.len()));
    for change in changed {
        let place = code(&change.endpoint.to_string());
        let (before, after) = (change.verdict_before, change.verdict_after);
        let mut words = verdict(after, language);
        if before != after {
            words = format!("{} → **{words}**", verdict(before, language));
        }
        if change.restarted {
            words.push_str(pick(", restarted", "、再起動あり"));
        }
        out.push_str(&format!("- {place} {words}\n"));
        for field in told(&change.fields) {
            let before = text(&side(field, field.before.as_deref(), language));
            let after = text(&side(field, field.after.as_deref(), language));
            let name = text(&name(field, language));
            out.push_str(&format!("  - {name}: {before} → {after}\n"));
        }
        for field in &change.gained {
            let word = pick("new finding", "新しい検出");
            out.push_str(&format!(
                "  - {word}: {}\n",
                text(&finding(field, language))
            ));
        }
        for field in &change.lost {
            let word = pick("finding gone", "解消した検出");
            out.push_str(&format!(
                "  - {word}: {}\n",
                text(&finding(field, language))
            ));
        }
    }
}
