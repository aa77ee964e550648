//! Every endpoint: a table of all, then the worst with everything that is known of them.

use super::Document;
use super::markup::Attributes;
use crate::digest::{Brief, Detail};
use crate::facts::Fact;
use crate::words::minute;

/// Details that stand open when the document is opened; the others are a click away.
const OPEN_MAX: usize = 3;

impl Document<'_> {
    pub(super) fn endpoints(&mut self) {
        let digest = self.digest;
        let lines = digest.endpoints.lines();
        if lines.is_empty() {
            return;
        }
        self.section("endpoints", "Endpoints", "エンドポイント");
        if let Some(words) = digest.left_out() {
            self.markup.element("p", &[], &words);
        }
        self.table_head("endpoints", &digest.endpoint_heads());
        for (brief, place) in lines {
            self.endpoint(brief, place);
        }
        self.end_of_table();
        self.end_of_section();
        if digest.endpoints.detailed_count() > 0 {
            self.section("details", "Details", "詳細");
            for (index, detail) in digest.endpoints.detailed().enumerate() {
                self.detail(detail, index);
            }
            self.end_of_section();
        }
    }

    /// A row; the place leads to the details, if there are any.
    fn endpoint(&mut self, brief: &Brief, place: Option<usize>) {
        self.markup.raw("<tr><td>");
        self.verdict(brief);
        self.markup.raw("</td><th scope=\"row\">");
        match place {
            Some(index) => {
                let target = format!("#e{index}");
                self.markup.element("a", &[("href", &target)], &brief.place);
            }
            None => self.markup.text(&brief.place),
        }
        self.markup.raw("</th>");
        self.markup.element("td", &[], &brief.name);
        self.markup.element("td", &[], &brief.version);
        self.markup.prose_element("td", &[], &brief.matter);
        if !self.digest.is_of_run() {
            self.markup.element("td", &[], &seen(brief));
        }
        self.markup.close("tr");
    }

    /// A verdict as a tag; an alarm has a mark of its own.
    fn verdict(&mut self, brief: &Brief) {
        let (state, mark) = match brief.alarm {
            true => ("alarm", "! "),
            false => (brief.verdict.as_str(), ""),
        };
        let text = format!("{mark}{}", brief.verdict);
        self.markup
            .element("span", &[("class", "tag"), ("data-verdict", state)], &text);
    }

    fn detail(&mut self, detail: &Detail, index: usize) {
        let digest = self.digest;
        let id = format!("e{index}");
        let closed: Attributes<'_> = &[("id", &id), ("class", "endpoint")];
        let open: Attributes<'_> = &[("id", &id), ("class", "endpoint"), ("open", "open")];
        self.markup
            .open("details", if index < OPEN_MAX { open } else { closed });
        self.markup.open("summary", &[]);
        self.verdict(&detail.brief);
        self.markup.raw(" ");
        self.markup.element("h3", &[], &detail.brief.place);
        if !detail.brief.name.is_empty() {
            self.markup.raw(" ");
            self.markup
                .element("span", &[("class", "name")], &detail.brief.name);
        }
        self.markup.close("summary");
        self.markup
            .prose_element("p", &[("class", "reason")], &detail.reason);
        if !digest.is_of_run() {
            let words = format!(
                "{}{}",
                self.pick("Last seen (UTC): ", "最終確認 (UTC)："),
                seen(&detail.brief)
            );
            self.markup.element("p", &[], &words);
        }
        self.findings(detail);
        if !detail.facts.is_empty() {
            let title = digest.pick("What an outsider learns", "外部から分かること");
            self.markup.element("h4", &[], title);
            self.facts(&detail.facts);
        }
        self.settings(detail);
        self.markup.close("details");
    }

    fn findings(&mut self, detail: &Detail) {
        let digest = self.digest;
        for finding in &detail.findings {
            self.markup.open(
                "article",
                &[
                    ("class", "finding"),
                    ("data-severity", finding.severity.as_str()),
                ],
            );
            self.markup.open("h4", &[]);
            self.severity(finding.severity);
            self.markup.raw(" ");
            self.markup.prose(&finding.title);
            self.markup.close("h4");
            if !finding.evidence.is_empty() {
                self.markup.raw("<ul>\n");
                for line in &finding.evidence {
                    self.markup.prose_element("li", &[], line);
                }
                self.markup.raw("</ul>\n");
            }
            if finding.fix.iter().any(|line| !line.is_empty()) {
                let word = digest.pick("fix", "対処");
                self.markup.element("p", &[("class", "label")], word);
                self.markup.lines(&finding.fix);
            }
            self.markup.close("article");
        }
    }

    fn facts(&mut self, facts: &[Fact]) {
        self.facts_head();
        // A fact without a label goes on from the one before.
        let goes_on = |fact: &Fact| matches!(fact, Fact::Line("", _));
        for facts in facts.chunk_by(|_, next| goes_on(next)) {
            self.markup.raw("<tr>");
            let label = match &facts[0] {
                Fact::Line(label, _) => label,
                Fact::Amplification(_) => self.pick("amplification", "増幅"),
            };
            self.markup.element("th", &[("scope", "row")], label);
            self.markup.raw("<td>");
            for (index, fact) in facts.iter().enumerate() {
                match fact {
                    Fact::Line(_, text) if index == 0 => self.markup.text(text),
                    Fact::Line(_, text) => self.markup.element("div", &[], text),
                    Fact::Amplification(rows) => self.measured(rows),
                }
            }
            self.markup.raw("</td>");
            self.markup.close("tr");
        }
        self.end_of_table();
    }

    /// A small table: one request a row.
    fn measured(&mut self, rows: &[[String; 6]]) {
        let Some((heads, rows)) = rows.split_first() else {
            return;
        };
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        self.table_head("measured", &heads);
        for row in rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            self.row(&cells);
        }
        self.end_of_table();
    }

    fn settings(&mut self, detail: &Detail) {
        if detail.settings.is_empty() {
            return;
        }
        let digest = self.digest;
        let count = detail.settings.len() + detail.settings_left;
        let title = digest.pick(
            "All settings, as the server names them",
            "サーバの全設定（名称はサーバによる）",
        );
        self.markup.raw("<details class=\"settings\">");
        self.markup
            .element("summary", &[], &format!("{title} ({count})"));
        self.facts_head();
        for (name, value) in &detail.settings {
            self.fact(name, value);
        }
        if detail.settings_left > 0 {
            let words = digest.pick("and more", "ほか");
            self.fact(words, &detail.settings_left.to_string());
        }
        self.end_of_table();
        self.markup.close("details");
    }
}

/// When it was seen, and by whom if not by this program.
fn seen(brief: &Brief) -> String {
    let time = minute(brief.seen);
    match brief.source.as_deref() {
        Some(source) => format!("{time} {source}"),
        None => time,
    }
}
