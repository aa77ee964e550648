//! Queries as text again: whatever was parsed is printed so that it parses to the same.

use std::fmt;

use model::Severity;

use super::field::Field;
use super::value::address;
use super::{Bounds, Query, Term};
use crate::moment;
use crate::version::{PART_MAX, parts_of};

/// Prints what parses to the same query. Ages are printed as the moments that they were counted to,
/// so that a printed query means the same tomorrow.
impl fmt::Display for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Query::All => Ok(()),
            Query::Term(term) => term.fmt(formatter),
            Query::Not(query) if query.is_joined() => write!(formatter, "-({query})"),
            Query::Not(query) => write!(formatter, "-{query}"),
            Query::And(queries) => {
                for (index, query) in queries.iter().enumerate() {
                    let space = if index > 0 { " " } else { "" };
                    if query.is_joined() {
                        write!(formatter, "{space}({query})")?;
                    } else {
                        write!(formatter, "{space}{query}")?;
                    }
                }
                Ok(())
            }
            Query::Or(queries) => {
                if let Some(field) = field_of_list(queries) {
                    return write!(formatter, "{}:{}", field.as_str(), list(queries));
                }
                for (index, query) in queries.iter().enumerate() {
                    let or = if index > 0 { " OR " } else { "" };
                    write!(formatter, "{or}{query}")?;
                }
                Ok(())
            }
        }
    }
}

impl Query {
    /// Whether it is printed as several terms, which need parentheses where they are part of
    /// another query.
    fn is_joined(&self) -> bool {
        match self {
            Query::And(_) => true,
            Query::Or(queries) => field_of_list(queries).is_none(),
            Query::All | Query::Term(_) | Query::Not(_) => false,
        }
    }
}

/// The field that all of these are about: `verdict:exposed,protected`.
fn field_of_list(queries: &[Query]) -> Option<Field> {
    let field = |query: &Query| match query {
        Query::Term(term) => term.field(),
        _ => None,
    };
    let first = field(queries.first()?)?;
    queries
        .iter()
        .all(|query| field(query) == Some(first))
        .then_some(first)
}

fn list(queries: &[Query]) -> String {
    let values = queries.iter().filter_map(|query| match query {
        Query::Term(term) => Some(value(term)),
        _ => None,
    });
    values.collect::<Vec<String>>().join(",")
}

impl Term {
    /// The field that the condition is about; `None` for free text.
    pub fn field(&self) -> Option<Field> {
        Some(match self {
            Term::Port(_) => Field::Port,
            Term::Transport(_) => Field::Transport,
            Term::Verdict(_) => Field::Verdict,
            Term::Version(_) | Term::VersionText(_) => Field::Version,
            Term::Auth(_) => Field::Auth,
            Term::Protocol(_) => Field::Protocol,
            Term::Severity(_) => Field::Severity,
            Term::Confidence(_) => Field::Confidence,
            Term::Code(_) => Field::Code,
            Term::Net(..) => Field::Net,
            Term::Amplification(_) => Field::Amplification,
            Term::Host(_) => Field::Host,
            Term::Asn(_) => Field::Asn,
            Term::Country(_) => Field::Country,
            Term::Tag(_) => Field::Tag,
            Term::Owner(_) => Field::Owner,
            Term::Source(_) => Field::Source,
            Term::Alarm(_) => Field::Alarm,
            Term::Run(_) => Field::Run,
            Term::Seen(_) => Field::Seen,
            Term::First(_) => Field::First,
            Term::Text(_) => return None,
        })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(field) = self.field() else {
            return match self {
                Term::Text(text) => formatter.write_str(&free_text(text)),
                _ => Ok(()),
            };
        };
        write!(formatter, "{}:{}", field.as_str(), value(self))
    }
}

fn value(term: &Term) -> String {
    match term {
        Term::Port(bounds) => ends(bounds, u16::to_string, u16::to_string),
        Term::Transport(transport) => transport.to_string(),
        Term::Verdict(verdict) => verdict.to_string(),
        Term::Version(bounds) => versions(*bounds),
        Term::Severity(bounds) => ends(bounds, Severity::to_string, Severity::to_string),
        Term::Confidence(confidence) => confidence.as_str().to_owned(),
        Term::Net(first, last) => network(*first, *last),
        Term::Amplification(bounds) => ratios(*bounds),
        Term::Asn(asn) => format!("AS{asn}"),
        Term::Alarm(alarm) => (if *alarm { "yes" } else { "no" }).to_owned(),
        Term::Seen(bounds) | Term::First(bounds) => moments(bounds),
        Term::VersionText(text)
        | Term::Auth(text)
        | Term::Protocol(text)
        | Term::Code(text)
        | Term::Host(text)
        | Term::Country(text)
        | Term::Tag(text)
        | Term::Owner(text)
        | Term::Source(text)
        | Term::Run(text)
        | Term::Text(text) => quoted_if(text, |character| character == ','),
    }
}

/// `5`, `5..7`, `5..` or `..7`: no shell takes these for something of its own. Both ends open
/// never comes from a text.
fn ends<T: PartialEq>(
    bounds: &Bounds<T>,
    first: impl Fn(&T) -> String,
    last: impl Fn(&T) -> String,
) -> String {
    match (&bounds.min, &bounds.max) {
        (Some(min), Some(max)) if min == max => first(min),
        (Some(min), Some(max)) => format!("{}..{}", first(min), last(max)),
        (Some(min), None) => format!("{}..", first(min)),
        (None, Some(max)) => format!("..{}", last(max)),
        (None, None) => "..".to_owned(),
    }
}

fn versions(bounds: Bounds<u64>) -> String {
    let first = |key: &u64| {
        let [major, minor, patch] = parts_of(*key);
        format!("{major}.{minor}.{patch}")
    };
    // A key whose last parts are the greatest is the last release of a branch.
    let last = |key: &u64| match parts_of(*key) {
        [major, PART_MAX, PART_MAX] => major.to_string(),
        [major, minor, PART_MAX] => format!("{major}.{minor}"),
        _ => first(key),
    };
    let branch = bounds.min.zip(bounds.max).filter(|(min, max)| {
        let ([major, minor, patch], top) = (parts_of(*min), parts_of(*max));
        major == 1 && patch == 0 && top == [major, minor, PART_MAX]
    });
    match branch.map(|(min, _)| parts_of(min)) {
        Some([major, minor, _]) => format!("{major}.{minor}"),
        None => match ends(&bounds, first, last) {
            // Alone, what is no release of upstream's would be a text.
            text if bounds.min == bounds.max && !text.starts_with("1.") => {
                format!("{text}..{text}")
            }
            text => text,
        },
    }
}

/// `>50` where the bound is the next number after 50.
fn ratios(bounds: Bounds<f64>) -> String {
    match (bounds.min, bounds.max) {
        (Some(min), None) => {
            let (at_least, above) = (min.to_string(), min.next_down().to_string());
            if above.len() < at_least.len() {
                format!(">{above}")
            } else {
                format!("{at_least}..")
            }
        }
        (None, Some(max)) => {
            let (at_most, below) = (max.to_string(), max.next_up().to_string());
            if below.len() < at_most.len() {
                format!("<{below}")
            } else {
                format!("..{at_most}")
            }
        }
        _ => ends(&bounds, f64::to_string, f64::to_string),
    }
}

/// A prefix where it is one, else the first and the last address.
fn network(first: [u8; 16], last: [u8; 16]) -> String {
    let (low, high) = (u128::from_be_bytes(first), u128::from_be_bytes(last));
    let (first, last) = (address(first), address(last));
    let hosts = low ^ high;
    let width = if first.is_ipv4() { 32 } else { 128 };
    let is_prefix =
        hosts & hosts.wrapping_add(1) == 0 && low & hosts == 0 && first.is_ipv4() == last.is_ipv4();
    if low == high {
        first.to_string()
    } else if is_prefix {
        format!("{first}/{}", width - hosts.count_ones())
    } else {
        format!("{first}..{last}")
    }
}

/// Whole days, seconds or moments. A single text stands for all of its moments, so that both ends
/// are always told.
fn moments(bounds: &Bounds<std::time::SystemTime>) -> String {
    let first = |time: &std::time::SystemTime| moment::print_first(*time);
    let last = |time: &std::time::SystemTime| moment::print_last(*time);
    match (&bounds.min, &bounds.max) {
        (Some(min), Some(max)) if first(min) == last(max) => first(min),
        (Some(min), Some(max)) => format!("{}..{}", first(min), last(max)),
        _ => ends(bounds, first, last),
    }
}

/// A text as a term of its own: quoted where it would be read as something else.
fn free_text(text: &str) -> String {
    let is_word = ["or", "and", "not"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    if is_word || text.starts_with('-') {
        return quoted(text);
    }
    quoted_if(text, |character| matches!(character, ':' | '：'))
}

/// A text, quoted if it is empty or has a character that would end it.
fn quoted_if(text: &str, ends_it: impl Fn(char) -> bool) -> String {
    let plain = |character: char| {
        !character.is_whitespace() && !"()\"".contains(character) && !ends_it(character)
    };
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Backslashes are doubled only where they would be read as an escape, so that printing makes no
/// text longer than it was typed.
fn quoted(text: &str) -> String {
    let mut printed = String::from("\"");
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let reads_on = matches!(characters.peek(), Some('"' | '\\') | None);
        if character == '"' || (character == '\\' && reads_on) {
            printed.push('\\');
        }
        printed.push(character);
    }
    printed.push('"');
    printed
}
