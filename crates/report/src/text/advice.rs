//! What to do, on a terminal: findings by rule, worst first, each with its proof and its cure.

use model::Severity;

use super::page::{Ink, Label, Page};
use crate::advice::{Advice, Cure, Note, Step};
use crate::labels;
use crate::layout::{pad_left, width};

pub(super) fn print(advice: &Advice, page: &mut Page<'_>) {
    let language = page.language();
    let steps = advice.steps(language);
    if !steps.is_empty() {
        page.heading(page.pick("What to do", "対処すること"));
    }
    for step in &steps {
        page.blank();
        print_step(step, page);
    }
    let notes = advice.notes(language);
    if !notes.is_empty() {
        page.heading(page.pick("Worth knowing", "参考情報"));
    }
    for note in &notes {
        print_note(note, page);
    }
    let accepted = advice.accepted(language);
    if !accepted.is_empty() {
        page.heading(page.pick("Accepted risks", "許容済みのリスク"));
    }
    for (place, said) in &accepted {
        match place {
            Some(place) => {
                let text = format!("{place}{}{said}", page.pick(": ", "："));
                page.labelled(&bullet(), Ink::Plain, &text);
            }
            None => page.labelled(&bullet(), Ink::Faint, said),
        }
    }
}

fn print_step(step: &Step, page: &mut Page<'_>) {
    let words = [
        page.pick("on", "対象"),
        page.pick("because", "根拠"),
        page.pick("fix", "対処"),
    ];
    let severity = page.say(&labels::severity(step.severity));
    let columns = words
        .iter()
        .map(|word| width(word))
        .chain(Severity::ALL.map(|severity| width(&page.say(&labels::severity(severity)))))
        .max()
        .unwrap_or_default();
    let number = format!("{} ", pad_left(&format!("{}.", step.number), 3));
    let head = Label {
        indent: 0,
        text: &format!("{number}{severity}"),
        columns: number.len() + columns,
        ink: Ink::of_severity(step.severity),
    };
    page.labelled(&head, Ink::Bold, &step.title);
    let [on, because, fix] = words;
    let label = |text| Label {
        indent: number.len(),
        text,
        columns,
        ink: Ink::Faint,
    };
    page.labelled(&label(on), Ink::Plain, &step.endpoints);
    for (index, line) in step.evidence.iter().enumerate() {
        let word = if index == 0 { because } else { "" };
        page.labelled(&label(word), Ink::Plain, line);
    }
    match &step.cure {
        Cure::AsFor(number) => {
            let words = Cure::as_for(*number, page.language());
            page.labelled(&label(fix), Ink::Plain, &words);
        }
        Cure::Lines { lines, differs } => {
            for (index, line) in lines.iter().enumerate() {
                let word = if index == 0 { fix } else { "" };
                page.labelled(&label(word), Ink::Plain, line);
            }
            if *differs {
                let words = Cure::differs(page.language());
                page.labelled(&label(""), Ink::Faint, words);
            }
        }
    }
}

fn print_note(note: &Note, page: &mut Page<'_>) {
    let text = format!("{}{}{}", note.title, page.pick(": ", "："), note.endpoints);
    page.labelled(&bullet(), Ink::Plain, &text);
    let label = Label {
        indent: 5,
        text: "",
        columns: 0,
        ink: Ink::Plain,
    };
    for line in &note.evidence {
        page.labelled(&label, Ink::Faint, line);
    }
}

fn bullet() -> Label<'static> {
    Label {
        indent: 2,
        text: "-",
        columns: 1,
        ink: Ink::Faint,
    }
}
