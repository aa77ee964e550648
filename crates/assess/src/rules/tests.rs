//! The registry keeps its promises: every rule has its cases, its texts and its code.

use super::*;
use crate::rule::Bilingual;
use crate::samples::Sample;

fn fires(rule: &Rule, sample: &Sample) -> bool {
    sample
        .judge()
        .findings
        .iter()
        .any(|finding| finding.code == rule.code)
}

#[test]
fn every_rule_has_a_case_that_fires_and_one_that_stays_silent() {
    for rule in rules() {
        let code = rule.code;
        assert!(
            !rule.cases.fires.is_empty(),
            "{code} has no case that fires"
        );
        assert!(
            !rule.cases.silent.is_empty(),
            "{code} has no case that stays silent"
        );
        for (index, sample) in rule.cases.fires.iter().enumerate() {
            assert!(
                fires(rule, &sample()),
                "{code} stays silent on its firing case {index}"
            );
        }
        for (index, sample) in rule.cases.silent.iter().enumerate() {
            assert!(
                !fires(rule, &sample()),
                "{code} fires on its silent case {index}"
            );
        }
    }
}

#[test]
fn codes_count_up_and_names_are_words() {
    let (versions, behaviour): (Vec<&Rule>, Vec<&Rule>) =
        rules().iter().partition(|rule| rule.flaw.is_some());
    for (first, series) in [(1, behaviour), (100, versions)] {
        for (index, rule) in series.iter().enumerate() {
            assert_eq!(rule.code, format!("MS{:03}", index + first));
        }
    }
    assert!(rules().is_sorted_by_key(|rule| rule.code));
    for rule in rules() {
        let is_name = rule
            .name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(is_name, "{}", rule.name);
        assert_eq!(rule.since.split('.').count(), 3, "{}", rule.code);
        assert!(std::ptr::eq(explain(rule.code).unwrap(), rule));
    }
    assert_eq!(explain("ms002").map(|rule| rule.code), Some("MS002"));
    for code in ["MS000", "MS099", "MS200", "MS01", "", "MS001 "] {
        assert!(explain(code).is_none(), "{code:?}");
    }
}

#[test]
fn every_text_is_there_in_both_languages() {
    for rule in rules() {
        let texts = [rule.title, rule.what, rule.why, rule.evidence, rule.fix];
        for text in texts {
            assert!(
                text.en.is_ascii() && text.en.len() > 10,
                "{}: {}",
                rule.code,
                text.en
            );
            assert!(is_japanese(text.ja), "{}: {}", rule.code, text.ja);
        }
        for text in texts.into_iter().chain([rule.references]) {
            assert_is_tidy(rule, text);
        }
    }
}

#[test]
fn every_finding_has_proof_and_cure_in_both_languages() {
    for rule in rules() {
        for sample in rule.cases.fires {
            for finding in sample().judge().findings {
                assert!(!finding.evidence.is_empty(), "{}", finding.code);
                assert!(
                    is_japanese(&finding.fix.ja),
                    "{}: {}",
                    finding.code,
                    finding.fix.ja
                );
                for text in finding.evidence.iter().chain([&finding.fix]) {
                    assert!(text.en.is_ascii(), "{}: {}", finding.code, text.en);
                    assert!(
                        !text.en.is_empty() && !text.ja.is_empty(),
                        "{}",
                        finding.code
                    );
                    assert!(
                        !text.en.contains("  ") && !text.ja.contains("  "),
                        "{text:?}"
                    );
                }
            }
        }
    }
}

/// Whether a text holds kana; a text left in English does not.
fn is_japanese(text: &str) -> bool {
    text.chars()
        .any(|letter| ('\u{3041}'..='\u{30ff}').contains(&letter))
}

fn assert_is_tidy(rule: &Rule, text: Bilingual) {
    for text in [text.en, text.ja] {
        assert!(
            !text.is_empty() && text.trim() == text,
            "{}: {text:?}",
            rule.code
        );
        assert!(!text.contains("  "), "{}: {text:?}", rule.code);
        assert!(
            text.lines().all(|line| line.trim() == line),
            "{}: {text:?}",
            rule.code
        );
    }
}
