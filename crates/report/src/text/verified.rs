//! What became of an earlier run's findings, one line each: what is open first.

use model::{FindingState, Language, VerifiedFinding};

use super::page::{Ink, Label, Page};
use crate::layout::width;
use crate::words::pick;

/// Prints the findings of the earlier run, if there are any.
pub(super) fn print(findings: &[VerifiedFinding], page: &mut Page<'_>) {
    if findings.is_empty() {
        return;
    }
    page.blank();
    page.heading(page.pick("Findings of the earlier run", "以前の実行での検出項目"));
    let findings = sorted(findings);
    let words: Vec<&str> = findings
        .iter()
        .map(|finding| word(finding.state, page.language()))
        .collect();
    let columns = words.iter().map(|word| width(word)).max().unwrap_or(0);
    for (finding, word) in findings.into_iter().zip(words) {
        let ink = match finding.state {
            FindingState::Open => Ink::Alarm,
            FindingState::Unknown => Ink::Caution,
            FindingState::Closed => Ink::Good,
        };
        let label = Label {
            indent: INDENT_COLUMNS,
            text: word,
            columns,
            ink,
        };
        let why = page.say(&finding.why);
        page.labelled(&label, Ink::Plain, &format!("{}: {why}", name(finding)));
    }
}

/// Columns before each finding.
const INDENT_COLUMNS: usize = 2;

/// What is open first.
pub(crate) fn sorted(findings: &[VerifiedFinding]) -> Vec<&VerifiedFinding> {
    let mut findings: Vec<&VerifiedFinding> = findings.iter().collect();
    let rank = |state| match state {
        FindingState::Open => 0,
        FindingState::Unknown => 1,
        FindingState::Closed => 2,
    };
    findings.sort_by_key(|finding| rank(finding.state));
    findings
}

/// What became of a finding.
pub(crate) fn word(state: FindingState, language: Language) -> &'static str {
    match state {
        FindingState::Closed => pick(language, "closed", "解消"),
        FindingState::Open => pick(language, "still open", "未解消"),
        FindingState::Unknown => pick(language, "can't tell", "判定不能"),
    }
}

/// `192.168.2.7:11211/tcp MS001 title`.
pub(crate) fn name(finding: &VerifiedFinding) -> String {
    let VerifiedFinding {
        address,
        port,
        transport,
        code,
        title,
        ..
    } = finding;
    let place = match port {
        0 => address.clone(),
        port if address.contains(':') => format!("[{address}]:{port}/{}", transport.as_str()),
        port => format!("{address}:{port}/{}", transport.as_str()),
    };
    crate::escape_for_terminal(&format!("{place} {code} {title}"))
}

#[cfg(test)]
mod tests {
    use model::{Text, Transport};

    use super::*;
    use crate::{Style, TextOptions};

    #[test]
    fn what_is_open_comes_first() {
        let finding = |port, state| VerifiedFinding {
            address: "fd00::7".to_owned(),
            port,
            transport: Transport::Tcp,
            code: "MS001".to_owned(),
            title: "open\u{1b}".to_owned(),
            state,
            why: Text::new("refused", "拒否"),
        };
        let findings = [
            finding(1, FindingState::Closed),
            finding(2, FindingState::Open),
        ];
        let print = |language| {
            let options = TextOptions {
                width_columns: 100,
                color: false,
                language,
                style: Style::Verify,
                verbose: false,
            };
            let mut out = Vec::new();
            super::print(&findings, &mut Page::new(&mut out, &options));
            String::from_utf8(out).unwrap()
        };
        let text = print(Language::English);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
        assert_eq!(
            lines,
            [
                "  still open  [fd00::7]:2/tcp MS001 open\\x1b: refused",
                "  closed      [fd00::7]:1/tcp MS001 open\\x1b: refused",
            ]
        );
        assert!(print(Language::Japanese).contains("未解消"));
    }
}
