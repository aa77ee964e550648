//! `explain`: a rule, or how grades are made.

use report::{Explanation, Style, TextOptions};

use crate::exit::{Exit, Failure};
use crate::flags::{AnswerFormat, ExplainFlags};
use crate::terminal::{self, Lines};

/// What is typed for the formula of grades.
const GRADE: &str = "grade";

/// What is to be explained.
#[derive(Debug)]
enum Subject {
    All,
    Grade,
    One(Explanation),
}

/// `memsweep explain`. Nothing is sent.
pub(crate) fn explain(flags: &ExplainFlags) -> Result<Exit, Failure> {
    let subject = subject(flags.subject.as_deref())?;
    let text = match flags.output {
        AnswerFormat::Text => text(&subject, flags),
        AnswerFormat::Json => json(&subject),
    };
    let mut lines = Lines::new();
    for line in text.lines() {
        lines.add(line)?;
    }
    lines.finish()?;
    Ok(Exit::Done)
}

/// A rule by its code or its name, in upper or lower case.
fn subject(typed: Option<&str>) -> Result<Subject, Failure> {
    let Some(typed) = typed else {
        return Ok(Subject::All);
    };
    if typed.eq_ignore_ascii_case(GRADE) {
        return Ok(Subject::Grade);
    }
    let found = Explanation::find(typed);
    found.map(Subject::One).ok_or_else(|| {
        Failure::usage(format!(
            "no rule is called \"{typed}\"; `memsweep explain` lists all"
        ))
    })
}

fn text(subject: &Subject, flags: &ExplainFlags) -> String {
    let options = TextOptions {
        width_columns: terminal::width_columns(),
        color: false,
        language: terminal::language(flags.lang),
        style: Style::Check,
        verbose: false,
    };
    match subject {
        Subject::All => report::rules_text(&options),
        Subject::Grade => report::grade_text(&options),
        Subject::One(rule) => report::rule_text(rule, &options),
    }
}

fn json(subject: &Subject) -> String {
    match subject {
        Subject::All => report::rules_json(),
        Subject::Grade => report::grade_json(),
        Subject::One(rule) => report::rule_json(rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_by_code_and_by_name() {
        let cases = [
            ("MS002", "MS002"),
            ("ms110", "MS110"),
            ("udp-reflector", "MS002"),
            ("CVE-2016-8704", "MS110"),
            ("cve-2018-1000115", "MS002"),
            ("MS201", "MS201"),
        ];
        for (typed, expected) in cases {
            match subject(Some(typed)).unwrap() {
                Subject::One(rule) => assert_eq!(rule.code, expected, "{typed}"),
                other => panic!("{typed}: {other:?}"),
            }
        }
        assert!(matches!(subject(None), Ok(Subject::All)));
        assert!(matches!(subject(Some("Grade")), Ok(Subject::Grade)));
        for typed in ["", "MS999", "MS1xx", "CVE-", "grades", "\u{1b}[2J"] {
            assert_eq!(subject(Some(typed)).unwrap_err().exit(), Exit::Usage);
        }
    }
}
