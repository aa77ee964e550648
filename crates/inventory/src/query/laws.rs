//! Laws of the language: nothing that is typed breaks it, and what it prints it reads.

use std::time::Duration;

use proptest::prelude::*;

use super::tests::asked_at;
use super::*;
use crate::{Observation, samples};

/// Texts that are likely to be queries, or nearly so.
fn any_query_text() -> impl Strategy<Value = String> {
    let mut parts: Vec<String> = Field::ALL
        .iter()
        .map(|field| field.example().to_owned())
        .collect();
    let others = [
        "word",
        "\"free text\"",
        "OR",
        "and",
        "(",
        ")",
        "-",
        "port:1,2..5",
        "version:<1.5",
        "version:1.5",
        "version:>=1.6.0,0.0.1",
        "version:\"1.4.14 (Ubuntu)\"",
        "amplification:<0.1,>=3",
        "seen:>30d",
        "seen:1d..2w,2026-01-01",
        "first:2026-01-01T10:30..",
        "net:::/0",
        "net:10.0.0.1..10.0.0.9,fd00::/8",
        "severity:<high,info",
        "owner:\"a \\\"b\\\\ c\"",
        "\"\\\\\"",
        "監視：中",
        "10.0.0.1:11211",
    ];
    parts.extend(others.map(str::to_owned));
    let spaced = (prop::sample::select(parts), any::<bool>());
    prop::collection::vec(spaced, 0..12).prop_map(|parts| {
        let texts = parts.into_iter().map(|(part, space)| {
            let space = if space && part == "-" { "" } else { " " };
            part + space
        });
        texts.collect()
    })
}

/// Any mixture of the characters that mean something.
fn any_characters() -> impl Strategy<Value = String> {
    let alphabet: Vec<char> = " \t\"\\():,-<>=.*?/19aORport監：\u{3000}\u{0}é"
        .chars()
        .collect();
    prop::collection::vec(prop::sample::select(alphabet), 0..60)
        .prop_map(|characters| characters.into_iter().collect())
}

fn law_of_printing(text: &str) -> Result<(), TestCaseError> {
    match Query::parse(text, asked_at()) {
        Ok(query) => {
            let printed = query.to_string();
            // Another day: what was printed no longer depends on it.
            let again = Query::parse(&printed, asked_at() + Duration::from_secs(86_400));
            prop_assert_eq!(again.as_ref(), Ok(&query), "{} as {}", text, printed);
            prop_assert_eq!(query.to_string(), printed);
            let seen = Observation::of(&samples::exposed_udp());
            let matches = query.matches(&seen, asked_at());
            prop_assert_ne!(
                Query::Not(Box::new(query)).matches(&seen, asked_at()),
                matches
            );
        }
        Err(error) => {
            prop_assert!(
                text.get(error.at..error.at + error.length).is_some(),
                "{:?}",
                error
            );
            prop_assert_eq!(error.render(text).split('\n').count(), 3);
            prop_assert!(
                !error
                    .render(text)
                    .contains(|c: char| c.is_control() && c != '\n')
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_printed_query_is_the_same_query(text in any_query_text()) {
        law_of_printing(&text)?;
    }

    #[test]
    fn characters_that_mean_something_break_nothing(text in any_characters()) {
        law_of_printing(&text)?;
    }

    #[test]
    fn any_text_is_a_query_or_an_error(text in any::<String>()) {
        law_of_printing(&text)?;
    }

    #[test]
    fn any_value_of_any_field_is_read_or_refused(
        field in prop::sample::select(Field::ALL.to_vec()),
        value in "[<>=.]{0,3}[-0-9a-zA-Z.:/T*]{0,20}",
    ) {
        law_of_printing(&format!("{}:{value}", field.as_str()))?;
    }

    #[test]
    fn an_end_that_is_open_lets_all_through(
        min in prop::option::of(any::<u16>()),
        max in prop::option::of(any::<u16>()),
        value in any::<u16>(),
    ) {
        let expected = min.is_none_or(|min| min <= value) && max.is_none_or(|max| value <= max);
        prop_assert_eq!(Bounds { min, max }.contains(&value), expected);
    }
}
