//! One file for a browser or a printer: no outside resource, no script, no style but its own.
//!
//! The policy in its head forbids everything else to the browser, and names the one style sheet by
//! its hash. What a server says gets into the document as text only, see [`markup::Markup`].

mod advice;
mod endpoints;
mod map;
mod markup;
mod plots;
mod style;

use model::{Language, Record, RunRecord, Summary, VerifiedFinding};

use crate::digest::Digest;
use crate::text::page::Ink;
use crate::text::verified;
use crate::words::{grouped, moment, rfc3339};
use crate::{History, HistoryPoint, Report, Style, TextOptions};
use markup::Markup;

/// Gathers a run, and writes the document when it is over.
pub(crate) struct HtmlReport {
    digest: Digest,
    history: Vec<HistoryPoint>,
}

impl HtmlReport {
    pub(crate) fn new(options: &TextOptions, history: &History) -> HtmlReport {
        HtmlReport {
            digest: Digest::new(options),
            history: history.latest(),
        }
    }
}

impl Report for HtmlReport {
    fn run(&mut self, run: &RunRecord, _out: &mut Vec<u8>) {
        self.digest.run = Some(run.clone());
    }

    fn record(&mut self, record: &Record, _out: &mut Vec<u8>) {
        self.digest.add(record);
    }

    fn verified(&mut self, _summary: &Summary, findings: &[VerifiedFinding], _out: &mut Vec<u8>) {
        self.digest.verified = findings.to_vec();
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        let mut document = Document {
            digest: &self.digest,
            markup: Markup::default(),
        };
        document.head();
        document.header(summary);
        document.contents();
        document.verified();
        if self.digest.is_of_run() {
            document.advice();
            document.plots(&self.history);
        }
        document.maps();
        document.endpoints();
        document.accepted();
        if self.digest.is_of_run() {
            document.plan(summary);
        }
        document.markup.raw("</main></body></html>\n");
        out.extend_from_slice(document.markup.into_string().as_bytes());
    }
}

/// A document under construction.
struct Document<'a> {
    digest: &'a Digest,
    markup: Markup,
}

impl Document<'_> {
    /// One of two words, in the document's language.
    fn pick<'b>(&self, en: &'b str, ja: &'b str) -> &'b str {
        self.digest.pick(en, ja)
    }

    /// Opens a section; its name is the place that links go to.
    fn section(&mut self, name: &'static str, en: &str, ja: &str) {
        let title = self.digest.pick(en, ja);
        self.markup.open("section", &[("id", name)]);
        self.markup.element("h2", &[], title);
    }

    fn end_of_section(&mut self) {
        self.markup.close("section");
    }

    fn head(&mut self) {
        let digest = self.digest;
        let language = match digest.language() {
            Language::English => "en",
            Language::Japanese => "ja",
        };
        let markup = &mut self.markup;
        markup.raw("<!DOCTYPE html>\n");
        markup.open("html", &[("lang", language)]);
        markup.raw("<head><meta charset=\"utf-8\"/>\n");
        let policy = style::policy();
        markup.empty(
            "meta",
            &[
                ("http-equiv", "Content-Security-Policy"),
                ("content", &policy),
            ],
        );
        markup.raw(
            "\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta name=\"color-scheme\" content=\"light dark\"/>\n\
             <meta name=\"referrer\" content=\"no-referrer\"/>\n\
             <meta name=\"robots\" content=\"noindex, nofollow\"/>\n",
        );
        let title = match digest.subject() {
            Some(subject) => format!("{} – {subject}", digest.heading()),
            None => digest.heading().to_owned(),
        };
        markup.element("title", &[], &title);
        markup.raw("\n<style>");
        markup.raw(style::STYLE);
        markup.raw("</style></head>\n<body>\n");
    }

    /// What was asked, and how it came out.
    fn header(&mut self, summary: &Summary) {
        let digest = self.digest;
        let headline = digest.headline(summary);
        let markup = &mut self.markup;
        markup.raw("<header>\n");
        if digest.options.style == Style::Demo {
            let words = digest.pick(
                "A made-up network on this machine's loopback: none of these servers is real.",
                "ループバック上に作った架空のネットワークです。実在のサーバではありません。",
            );
            markup.element("p", &[("class", "banner")], words);
        }
        markup.element("h1", &[], digest.heading());
        markup.open("p", &[("class", "subject")]);
        if let Some(subject) = digest.subject() {
            markup.element("strong", &[], &subject);
            markup.raw(" · ");
        }
        let began = digest
            .run
            .as_ref()
            .map_or(summary.timestamp, |run| run.timestamp);
        let machine = rfc3339(began);
        markup.element("time", &[("datetime", &machine)], &moment(began));
        markup.close("p");
        let class = match headline.ink {
            Ink::Alarm => "headline alarm",
            Ink::Caution => "headline caution",
            Ink::Good => "headline good",
            Ink::Plain | Ink::Bold | Ink::Faint => "headline",
        };
        markup.open("div", &[("class", class)]);
        if let Some(grade) = headline.grade {
            let word = digest.pick("grade", "評価");
            let letter = grade.as_str();
            markup.open("p", &[("class", "grade"), ("data-grade", letter)]);
            markup.element("span", &[], word);
            markup.raw(" ");
            markup.element("strong", &[], letter);
            markup.close("p");
        }
        markup.raw("<div>");
        markup.prose_element("p", &[("class", "conclusion")], &headline.conclusion);
        for sentence in &headline.rest {
            markup.prose_element("p", &[], sentence);
        }
        markup.raw("</div></div>\n</header>\n<main>\n");
    }

    /// Links to the sections that there are.
    fn contents(&mut self) {
        let digest = self.digest;
        if !digest.is_of_run() || digest.endpoints.total() == 0 {
            return;
        }
        let is_verified = !digest.verified.is_empty();
        let has_maps = !digest.subnets.shown().0.is_empty();
        let links = [
            (is_verified, "#verified", "Asked again", "再確認"),
            (true, "#advice", "What to do first", "最初に行うこと"),
            (has_maps, "#addresses", "Map of addresses", "アドレスマップ"),
            (true, "#endpoints", "Endpoints", "エンドポイント"),
            (true, "#plan", "How it was asked", "調査方法"),
        ];
        let label = self.pick("Contents", "目次");
        self.markup.open("nav", &[("aria-label", label)]);
        for (_, target, en, ja) in links.iter().filter(|(is_there, ..)| *is_there) {
            let word = digest.pick(en, ja);
            self.markup.element("a", &[("href", target)], word);
            self.markup.raw(" ");
        }
        self.markup.close("nav");
    }

    /// What became of the findings of an earlier run.
    fn verified(&mut self) {
        let digest = self.digest;
        if digest.verified.is_empty() {
            return;
        }
        self.section(
            "verified",
            "Findings of the earlier run",
            "以前の実行での検出項目",
        );
        let heads = [
            self.pick("now", "現在"),
            self.pick("finding", "検出項目"),
            self.pick("why", "理由"),
        ];
        self.table_head("wide", &heads);
        for finding in verified::sorted(&digest.verified) {
            let word = verified::word(finding.state, digest.language());
            let name = verified::name(finding);
            let why = finding.why.in_language(digest.language());
            self.row(&[word, &name, why]);
        }
        self.end_of_table();
        self.end_of_section();
    }

    /// How it was asked.
    fn plan(&mut self, summary: &Summary) {
        let digest = self.digest;
        self.section("plan", "How it was asked", "調査方法");
        self.facts_head();
        for (label, text) in digest.plan(summary) {
            self.fact(label, &text);
        }
        self.end_of_table();
        let heads = [
            self.pick("verdict", "判定"),
            self.pick("what it means", "意味"),
            self.pick("endpoints", "件数"),
        ];
        self.table_head("counts", &heads);
        for (verdict, meaning, count) in digest.verdicts(summary) {
            self.row(&[verdict.as_str(), &meaning, &grouped(count)]);
        }
        self.end_of_table();
        self.end_of_section();
    }

    /// Opens a table with these heads.
    fn table_head(&mut self, class: &'static str, heads: &[&str]) {
        self.markup.raw("<div class=\"scroll\">");
        self.markup.open("table", &[("class", class)]);
        self.markup.raw("<thead><tr>");
        for head in heads {
            self.markup.element("th", &[("scope", "col")], head);
        }
        self.markup.raw("</tr></thead>\n<tbody>\n");
    }

    /// Opens a table of labels and texts.
    fn facts_head(&mut self) {
        self.markup
            .raw("<div class=\"scroll\"><table class=\"facts\"><tbody>\n");
    }

    fn end_of_table(&mut self) {
        self.markup.raw("</tbody>");
        self.markup.close("table");
        self.markup.close("div");
    }

    /// A row of a table, its first cell the name of the row.
    fn row(&mut self, cells: &[&str]) {
        self.markup.raw("<tr>");
        for (index, cell) in cells.iter().enumerate() {
            match index {
                0 => self.markup.element("th", &[("scope", "row")], cell),
                _ => self.markup.element("td", &[], cell),
            }
        }
        self.markup.close("tr");
    }

    /// A row of a table without a head: what it is, and the text.
    fn fact(&mut self, label: &str, text: &str) {
        self.row(&[label, text]);
    }
}
