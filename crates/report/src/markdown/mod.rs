//! The report of a run as a Markdown document, in the dialect of GitHub.
//!
//! It says what the HTML document says. Whatever is not ours is escaped so that it is text: what a
//! server calls itself makes no heading, link, table or tag.

mod endpoints;
mod escape;

use model::{Record, RunRecord, Summary, VerifiedFinding};

use crate::advice::{Cure, Step};
use crate::digest::{Cells, Digest, Mark, Network};
use crate::escape::escape_for_terminal;
use crate::text::verified;
use crate::words::{grouped, moment};
use crate::{History, HistoryPoint, Report, Style, TextOptions, labels};
use escape::longest_run;
pub(crate) use escape::{code, text};

/// Addresses in a row of a map.
const MAP_COLUMNS: u64 = 16;

/// Gathers a run, and writes the document when it is over.
pub(crate) struct MarkdownReport {
    digest: Digest,
    history: Vec<HistoryPoint>,
}

impl MarkdownReport {
    pub(crate) fn new(options: &TextOptions, history: &History) -> MarkdownReport {
        MarkdownReport {
            digest: Digest::new(options),
            history: history.latest(),
        }
    }
}

impl Report for MarkdownReport {
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
            out: String::new(),
        };
        document.header(summary);
        document.verified();
        if self.digest.is_of_run() {
            document.advice();
            document.over_time(&self.history);
            document.versions();
            document.amplification();
        }
        document.maps();
        document.endpoints();
        document.accepted();
        if self.digest.is_of_run() {
            document.plan(summary);
        }
        out.extend_from_slice(document.out.as_bytes());
    }
}

/// A document under construction.
struct Document<'a> {
    digest: &'a Digest,
    out: String,
}

impl Document<'_> {
    fn pick<'b>(&self, en: &'b str, ja: &'b str) -> &'b str {
        self.digest.pick(en, ja)
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// A blank line and a heading.
    fn heading(&mut self, level: usize, title: &str) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
        self.line(&format!("{} {title}\n", "#".repeat(level)));
    }

    fn table_head(&mut self, heads: &[&str]) {
        let rule: Vec<&str> = heads.iter().map(|_| "---").collect();
        self.line(&format!("| {} |", heads.join(" | ")));
        self.line(&format!("| {} |", rule.join(" | ")));
    }

    /// A row of a table, its cells written already.
    fn row(&mut self, cells: &[&str]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    fn header(&mut self, summary: &Summary) {
        let digest = self.digest;
        let headline = digest.headline(summary);
        self.heading(1, digest.heading());
        let began = digest
            .run
            .as_ref()
            .map_or(summary.timestamp, |run| run.timestamp);
        let subject = digest.subject();
        let subject = subject.map(|subject| format!("**{}** · ", text(&subject)));
        self.line(&format!(
            "{}{}\n",
            subject.unwrap_or_default(),
            moment(began)
        ));
        if digest.options.style == Style::Demo {
            let words = digest.pick(
                "A made-up network on this machine's loopback: none of these servers is real.",
                "ループバック上に作った架空のネットワークです。実在のサーバではありません。",
            );
            self.line(&format!("**{words}**\n"));
        }
        self.line(&format!("**{}**", text(&headline.conclusion)));
        for sentence in &headline.rest {
            self.line(&format!("\n{}", text(sentence)));
        }
    }

    fn verified(&mut self) {
        let digest = self.digest;
        if digest.verified.is_empty() {
            return;
        }
        let title = self.pick("Findings of the earlier run", "以前の実行での検出項目");
        self.heading(2, title);
        let heads = [
            self.pick("now", "現在"),
            self.pick("finding", "検出項目"),
            self.pick("why", "理由"),
        ];
        self.table_head(&heads);
        for finding in verified::sorted(&digest.verified) {
            let word = verified::word(finding.state, digest.language());
            let name = text(&verified::name(finding));
            let why = text(finding.why.in_language(digest.language()));
            self.row(&[word, &name, &why]);
        }
    }

    fn advice(&mut self) {
        let digest = self.digest;
        let language = digest.language();
        let title = self.pick("What to do first", "最初に行うこと");
        self.heading(2, title);
        let steps = digest.advice.steps(language);
        if steps.is_empty() {
            let words = self.pick(
                "Nothing to mend was found.",
                "対処が必要な項目はありません。",
            );
            self.line(words);
        }
        for step in &steps {
            self.step(step);
        }
        let notes = digest.advice.notes(language);
        if !notes.is_empty() {
            let title = self.pick("Worth knowing", "参考情報");
            self.heading(3, title);
        }
        for note in &notes {
            let colon = self.pick(": ", "：");
            let words = format!("- {}{colon}{}", text(&note.title), text(&note.endpoints));
            self.line(&words);
        }
    }

    /// A numbered item; what belongs to it stands in the column of its text.
    fn step(&mut self, step: &Step) {
        let digest = self.digest;
        let severity = labels::severity(step.severity);
        let severity = severity.in_language(digest.language());
        let number = format!("{}. ", step.number);
        let indent = " ".repeat(number.len());
        self.line(&format!("{number}**{severity}** {}\n", text(&step.title)));
        let item =
            |label: &str, words: &str| format!("{indent}- {label}: {words}").trim_end().to_owned();
        self.line(&item(digest.pick("on", "対象"), &text(&step.endpoints)));
        for line in &step.evidence {
            self.line(&item(digest.pick("because", "根拠"), &text(line)));
        }
        match &step.cure {
            Cure::AsFor(number) => {
                let words = Cure::as_for(*number, digest.language());
                self.line(&item(digest.pick("fix", "対処"), &text(&words)));
            }
            Cure::Lines { lines, .. } => {
                self.line(&item(digest.pick("fix", "対処"), ""));
                self.fenced(lines, &format!("{indent}  "));
            }
        }
        self.line("");
    }

    /// Lines as they are, within a fence that none of them can close.
    fn fenced(&mut self, lines: &[String], indent: &str) {
        let longest = lines.iter().map(|line| longest_run(line)).max();
        let fence = "`".repeat(longest.unwrap_or_default().max(2) + 1);
        self.line(&format!("\n{indent}{fence}text"));
        for line in lines {
            let line = escape_for_terminal(line);
            self.line(format!("{indent}{line}").trim_end());
        }
        self.line(&format!("{indent}{fence}"));
    }

    fn accepted(&mut self) {
        let accepted = self.digest.advice.accepted(self.digest.language());
        if accepted.is_empty() {
            return;
        }
        let title = self.pick("Accepted risks", "許容済みのリスク");
        self.heading(2, title);
        for (place, said) in &accepted {
            let place = place.as_ref().map(|place| format!("{}: ", code(place)));
            self.line(&format!("- {}{}", place.unwrap_or_default(), text(said)));
        }
    }

    fn over_time(&mut self, history: &[HistoryPoint]) {
        if history.is_empty() {
            return;
        }
        let title = self.pick("Exposure over time", "公開状況の推移");
        self.heading(2, title);
        let heads = [
            self.pick("run", "実行"),
            "exposed",
            self.pick("alarms", "要対処"),
            self.pick("grade", "評価"),
        ];
        self.table_head(&heads);
        for point in history {
            let grade = text(point.grade.as_deref().unwrap_or_default());
            let (exposed, alarms) = (grouped(point.exposed), grouped(point.alarms));
            self.row(&[&moment(point.timestamp), &exposed, &alarms, &grade]);
        }
    }

    fn versions(&mut self) {
        let bars = self.digest.versions.bars(self.digest.language());
        if bars.is_empty() {
            return;
        }
        let title = self.pick("Versions", "バージョン");
        self.heading(2, title);
        let heads = [
            self.pick("version", "バージョン"),
            self.pick("endpoints", "件数"),
        ];
        self.table_head(&heads);
        for (version, count) in &bars {
            self.row(&[&text(version), &grouped(*count)]);
        }
    }

    fn amplification(&mut self) {
        let bars = self.digest.amplifiers.bars(self.digest.language());
        if bars.is_empty() {
            return;
        }
        let title = self.pick("Amplification over UDP", "UDP による増幅");
        self.heading(2, title);
        let heads = [
            self.pick("endpoint", "エンドポイント"),
            self.pick(
                "bytes received for each sent",
                "送信 1 バイトあたりの受信バイト数",
            ),
        ];
        self.table_head(&heads);
        for (place, _, said) in &bars {
            self.row(&[&code(place), &text(said)]);
        }
        let left = self.digest.amplifiers.total() - bars.len() as u64;
        if left > 0 {
            let words = self.pick(
                "Further endpoints that amplify: ",
                "ほかに増幅するエンドポイント：",
            );
            self.line(&format!("\n{words}{}", grouped(left)));
        }
    }

    fn maps(&mut self) {
        let digest = self.digest;
        let (networks, left_out) = digest.subnets.shown();
        if networks.is_empty() {
            return;
        }
        let title = self.pick("Map of addresses", "アドレスマップ");
        self.heading(2, title);
        let legend = Mark::ALL.map(|mark| {
            let (en, ja) = mark.meaning();
            format!("`{}` {}", mark.sign(), digest.pick(en, ja))
        });
        self.line(&legend.join(digest.pick(", ", "、")));
        for (network, cells) in networks {
            self.map(network, cells);
        }
        if left_out > 0 {
            let words = self.pick(
                "Networks not shown here: ",
                "ここに示していないネットワーク：",
            );
            self.line(&format!("\n{words}{}", grouped(left_out)));
        }
    }

    fn map(&mut self, network: Network, cells: &Cells) {
        let mut lines = vec![network.to_string()];
        match network {
            Network::V4(_) => {
                let marks: Vec<(u64, Mark)> = cells.iter().collect();
                for row in 0..MAP_COLUMNS {
                    let sign = |column| {
                        let place = row * MAP_COLUMNS + column;
                        let mark = marks.iter().find(|(one, _)| *one == place);
                        mark.map_or(" ", |(_, mark)| mark.sign())
                    };
                    let signs: Vec<&str> = (0..MAP_COLUMNS).map(sign).collect();
                    let head = format!(".{}", row * MAP_COLUMNS);
                    lines.push(format!("{head:>4}  {}", signs.join(" ")));
                }
            }
            Network::V6(_) => {
                let marks = cells.iter();
                lines
                    .extend(marks.map(|(place, mark)| {
                        format!("{} {}", mark.sign(), network.address(place))
                    }));
            }
        }
        if cells.left_out() > 0 {
            let words = self.pick("not shown: ", "表示外：");
            lines.push(format!("{words}{}", grouped(cells.left_out())));
        }
        self.fenced(&lines, "");
    }

    fn plan(&mut self, summary: &Summary) {
        let digest = self.digest;
        let title = self.pick("How it was asked", "調査方法");
        self.heading(2, title);
        let heads = [self.pick("what", "項目"), self.pick("value", "内容")];
        self.table_head(&heads);
        for (label, said) in digest.plan(summary) {
            self.row(&[label, &text(&said)]);
        }
        self.line("");
        let heads = [
            self.pick("verdict", "判定"),
            self.pick("what it means", "意味"),
            self.pick("endpoints", "件数"),
        ];
        self.table_head(&heads);
        for (verdict, meaning, count) in digest.verdicts(summary) {
            self.row(&[verdict.as_str(), &meaning, &grouped(count)]);
        }
    }
}
