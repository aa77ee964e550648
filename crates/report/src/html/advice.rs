//! What to do first, and what was accepted.

use super::Document;
use crate::advice::{Cure, Step};
use crate::labels;

impl Document<'_> {
    /// The same advice as on a terminal.
    pub(super) fn advice(&mut self) {
        let language = self.digest.language();
        let advice = &self.digest.advice;
        let (steps, notes) = (advice.steps(language), advice.notes(language));
        self.section("advice", "What to do first", "最初に行うこと");
        if steps.is_empty() {
            let words = self.pick(
                "Nothing to mend was found.",
                "対処が必要な項目はありません。",
            );
            self.markup.element("p", &[], words);
        } else {
            self.markup.raw("<ol class=\"steps\">\n");
            for step in &steps {
                self.step(step);
            }
            self.markup.raw("</ol>\n");
        }
        if !notes.is_empty() {
            let title = self.pick("Worth knowing", "参考情報");
            self.markup.element("h3", &[], title);
            self.markup.raw("<ul>\n");
            for note in &notes {
                self.markup.open("li", &[]);
                self.markup.prose(&note.title);
                self.markup.raw(" – ");
                self.markup
                    .element("span", &[("class", "places")], &note.endpoints);
                self.markup.close("li");
            }
            self.markup.raw("</ul>\n");
        }
        self.end_of_section();
    }

    fn step(&mut self, step: &Step) {
        let digest = self.digest;
        let language = digest.language();
        self.markup.open(
            "li",
            &[("class", "step"), ("data-severity", step.severity.as_str())],
        );
        self.markup.open("h3", &[]);
        self.severity(step.severity);
        self.markup.raw(" ");
        self.markup.prose(&step.title);
        self.markup.close("h3");
        self.markup.raw("<dl>\n");
        let places = digest.pick("on", "対象");
        self.markup.element("dt", &[], places);
        self.markup
            .element("dd", &[("class", "places")], &step.endpoints);
        for (index, line) in step.evidence.iter().enumerate() {
            if index == 0 {
                self.markup
                    .element("dt", &[], digest.pick("because", "根拠"));
            }
            self.markup.prose_element("dd", &[], line);
        }
        self.markup.element("dt", &[], digest.pick("fix", "対処"));
        self.markup.open("dd", &[]);
        match &step.cure {
            Cure::AsFor(number) => self.markup.text(&Cure::as_for(*number, language)),
            Cure::Lines { lines, differs } => {
                self.markup.lines(lines);
                if *differs {
                    let words = digest.pick(
                        "Other endpoints may need another wording: see their details below.",
                        "ほかの対象では書き方が異なることがあります。下の各詳細を参照してください。",
                    );
                    self.markup.element("p", &[("class", "faint")], words);
                }
            }
        }
        self.markup.close("dd");
        self.markup.raw("</dl>\n");
        self.markup.close("li");
    }

    /// A severity as a tag that is clear without its colour.
    pub(super) fn severity(&mut self, severity: model::Severity) {
        let word = labels::severity(severity);
        let word = word.in_language(self.digest.language());
        self.markup.element(
            "span",
            &[("class", "tag"), ("data-severity", severity.as_str())],
            word,
        );
    }

    /// Accepted risks.
    pub(super) fn accepted(&mut self) {
        let accepted = self.digest.advice.accepted(self.digest.language());
        if accepted.is_empty() {
            return;
        }
        self.section("accepted", "Accepted risks", "許容済みのリスク");
        self.markup.raw("<ul>\n");
        for (place, said) in &accepted {
            self.markup.open("li", &[]);
            if let Some(place) = place {
                self.markup.element("strong", &[], place);
                self.markup.raw(" – ");
            }
            self.markup.text(said);
            self.markup.close("li");
        }
        self.markup.raw("</ul>\n");
        self.end_of_section();
    }
}
