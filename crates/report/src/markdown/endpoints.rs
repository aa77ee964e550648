//! Every endpoint: a table of all, then the worst with everything that is known of them.

use super::Document;
use super::escape::{code, text};
use crate::digest::{Brief, Detail};
use crate::facts::Fact;
use crate::labels;
use crate::words::minute;

impl Document<'_> {
    pub(super) fn endpoints(&mut self) {
        let digest = self.digest;
        let lines = digest.endpoints.lines();
        if lines.is_empty() {
            return;
        }
        let title = self.pick("Endpoints", "エンドポイント");
        self.heading(2, title);
        if let Some(words) = digest.left_out() {
            self.line(&format!("{}\n", text(&words)));
        }
        let heads = digest.endpoint_heads();
        self.table_head(&heads);
        for (brief, _) in lines {
            let seen = seen(brief);
            let cells = [
                &verdict(brief),
                &code(&brief.place),
                &text(&brief.name),
                &text(&brief.version),
                &text(&brief.matter),
                &seen,
            ];
            self.row(&cells.map(String::as_str)[..heads.len()]);
        }
        if digest.endpoints.detailed_count() > 0 {
            let title = self.pick("Details", "詳細");
            self.heading(2, title);
        }
        for (index, detail) in digest.endpoints.detailed().enumerate() {
            if index > 0 {
                self.line("");
            }
            self.detail(detail);
        }
    }

    fn detail(&mut self, detail: &Detail) {
        let digest = self.digest;
        let brief = &detail.brief;
        let name = match brief.name.as_str() {
            "" => String::new(),
            name => format!(" {}", text(name)),
        };
        self.line(&format!("### {}{name}\n", code(&brief.place)));
        self.line(&format!("{}: {}", verdict(brief), text(&detail.reason)));
        for finding in &detail.findings {
            let severity = labels::severity(finding.severity);
            let severity = severity.in_language(digest.language());
            self.line(&format!("\n- **{severity}** {}", text(&finding.title)));
            for line in &finding.evidence {
                self.line(&format!("  - {}", text(line)));
            }
            if finding.fix.iter().any(|line| !line.is_empty()) {
                self.fenced(&finding.fix, "  ");
            }
        }
        if !detail.facts.is_empty() {
            self.line("");
            let heads = [self.pick("fact", "項目"), self.pick("value", "内容")];
            self.table_head(&heads);
        }
        for fact in &detail.facts {
            match fact {
                Fact::Line(label, said) => self.row(&[label, &text(said)]),
                Fact::Amplification(rows) => {
                    let label = self.pick("amplification", "増幅");
                    for row in rows {
                        self.row(&[label, &text(&row.join(", "))]);
                    }
                }
            }
        }
        if !detail.settings.is_empty() {
            let settings = detail.settings.iter();
            let settings = settings.map(|(name, value)| code(&format!("{name} {value}")));
            let settings = settings.collect::<Vec<_>>().join(" ");
            let title = self.pick("All settings", "全設定");
            self.line(&format!("\n{title}: {settings}"));
        }
    }
}

/// A verdict; an alarm has a mark of its own.
fn verdict(brief: &Brief) -> String {
    match brief.alarm {
        true => format!("**! {}**", brief.verdict),
        false => brief.verdict.to_string(),
    }
}

/// When it was seen, and by whom if not by this program.
fn seen(brief: &Brief) -> String {
    let time = minute(brief.seen);
    match brief.source.as_deref() {
        Some(source) => format!("{time} {}", text(source)),
        None => time,
    }
}
