//! Queries as SQL.
//!
//! Whatever a query means is said by `Query::matches`; a law holds what is written here against it.
//! A fact that is not known makes a term false, never NULL, so that NOT means the opposite.

use inventory::{Bounds, Query, Term, fold, has_wildcard};
use model::{Confidence, Severity};

use crate::codec::{clean, nanoseconds, net_ranges};
use crate::database::{Dialect, Value};

/// A condition with placeholders, and what they stand for.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value<'static>>,
}

/// What all has to be true of an observation, each part of it answered by one table or index.
pub(crate) fn parts(query: &Query) -> Vec<Query> {
    let Query::And(queries) = query else {
        return vec![query.clone()];
    };
    let mut parts = Vec::new();
    for wanted in [Scope::Anywhere, Scope::Kind, Scope::Place] {
        let mut group: Vec<Query> = of_scope(queries, wanted).cloned().collect();
        match group.len() {
            0 => {}
            1 => parts.append(&mut group),
            _ => parts.push(Query::And(group)),
        }
    }
    for wanted in [Scope::Observation, Scope::Document] {
        parts.extend(of_scope(queries, wanted).cloned());
    }
    parts
}

/// Whether an index of current observations can lead to what is as this part says.
pub(crate) fn has_index(part: &Query) -> bool {
    match (scope(part), part) {
        (Scope::Kind | Scope::Place, _) => true,
        (_, Query::Term(Term::Host(pattern))) => !has_wildcard(pattern),
        (_, Query::Term(Term::Net(..) | Term::Amplification(_))) => true,
        (_, Query::Term(Term::Seen(_) | Term::First(_))) => true,
        _ => false,
    }
}

/// Whether all that is as this part says stands together in the order of addresses.
fn is_one_range(part: &Query) -> bool {
    match part {
        Query::Term(Term::Net(first, last)) => net_ranges(*first, *last).len() == 1,
        _ => false,
    }
}

/// Which index SQLite is to go by. It knows how many rows an index holds for a usual value, and
/// not how many for the value that is asked, which here is everything from none to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// That of the part with this place.
    Part(usize),
    /// That of the addresses, in whose order the answer is.
    Order,
}

/// The rows `o` of `observations` of which all parts are true. A leading `+` keeps SQLite from using the index of a column.
pub(crate) fn condition_by(
    parts: &[Query],
    lead: Option<Lead>,
    dialect: Dialect,
    values: Vec<Value<'static>>,
) -> Condition {
    let mut writer = Writer {
        dialect,
        values,
        plus: "",
    };
    let written: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(place, part)| {
            let is_lead = match lead {
                None => true,
                Some(Lead::Part(led_by)) => led_by == place,
                // It begins and ends where the network does.
                Some(Lead::Order) => is_one_range(part),
            };
            writer.plus = if is_lead { "" } else { "+" };
            writer.observation(part)
        })
        .collect();
    Condition {
        sql: balanced(&written, " AND "),
        values: writer.values,
    }
}

fn of_scope(queries: &[Query], wanted: Scope) -> impl Iterator<Item = &Query> {
    queries.iter().filter(move |query| scope(query) == wanted)
}

/// Which table knows the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// None is needed.
    Anywhere,
    /// `kinds k`.
    Kind,
    /// `places p`.
    Place,
    /// `observations o`, or several of them.
    Observation,
    /// The long text in `documents` too: asked last.
    Document,
}

fn scope(query: &Query) -> Scope {
    match query {
        Query::All => Scope::Anywhere,
        Query::Not(query) => scope(query),
        Query::And(queries) | Query::Or(queries) => queries
            .iter()
            .map(scope)
            .reduce(|one, other| match (one, other) {
                (Scope::Anywhere, scope) | (scope, Scope::Anywhere) => scope,
                (one, other) if one == other => one,
                (one, other) => one.max(other).max(Scope::Observation),
            })
            .unwrap_or(Scope::Anywhere),
        Query::Term(term) => match term {
            Term::Port(_)
            | Term::Transport(_)
            | Term::Verdict(_)
            | Term::Version(_)
            | Term::VersionText(_)
            | Term::Auth(_)
            | Term::Protocol(_)
            | Term::Severity(_)
            | Term::Confidence(_)
            | Term::Code(_)
            | Term::Source(_)
            | Term::Alarm(_) => Scope::Kind,
            Term::Asn(_) | Term::Country(_) | Term::Tag(_) | Term::Owner(_) => Scope::Place,
            Term::Net(..)
            | Term::Amplification(_)
            | Term::Host(_)
            | Term::Run(_)
            | Term::Seen(_)
            | Term::First(_) => Scope::Observation,
            Term::Text(_) => Scope::Document,
        },
    }
}

struct Writer {
    dialect: Dialect,
    values: Vec<Value<'static>>,
    /// `+` if no index of `observations` is to be used.
    plus: &'static str,
}

impl Writer {
    fn bind(&mut self, value: Value<'static>) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    fn observation(&mut self, query: &Query) -> String {
        match (scope(query), query) {
            (Scope::Kind, query) => {
                let inner = self.plain(query);
                format!(
                    "{}o.kind IN (SELECT k.id FROM kinds k WHERE {inner})",
                    self.plus
                )
            }
            (Scope::Place, query) => {
                let inner = self.plain(query);
                format!(
                    "{}o.place IN (SELECT p.id FROM places p WHERE {inner})",
                    self.plus
                )
            }
            (Scope::Anywhere, query) => self.plain(query),
            (_, Query::And(queries)) => self.grouped(queries, " AND ", &Query::And),
            (_, Query::Or(queries)) => self.grouped(queries, " OR ", &Query::Or),
            (_, Query::Not(query)) => format!("NOT ({})", self.observation(query)),
            (_, query) => self.plain(query),
        }
    }

    /// Parts that ask the same table are asked together, and the cheap ones first.
    fn grouped(
        &mut self,
        queries: &[Query],
        operator: &str,
        together: &dyn Fn(Vec<Query>) -> Query,
    ) -> String {
        let mut written = Vec::new();
        for wanted in [Scope::Anywhere, Scope::Kind, Scope::Place] {
            let group: Vec<Query> = of_scope(queries, wanted).cloned().collect();
            if !group.is_empty() {
                let group = together(group);
                written.push(match wanted {
                    Scope::Anywhere => self.plain(&group),
                    _ => self.observation(&group),
                });
            }
        }
        for wanted in [Scope::Observation, Scope::Document] {
            for query in of_scope(queries, wanted) {
                written.push(self.observation(query));
            }
        }
        balanced(&written, operator)
    }

    /// The condition, with the table of its scope at hand.
    fn plain(&mut self, query: &Query) -> String {
        match query {
            Query::All => "1 = 1".to_owned(),
            Query::Not(query) => format!("NOT ({})", self.plain(query)),
            Query::And(queries) if queries.is_empty() => "1 = 1".to_owned(),
            Query::Or(queries) if queries.is_empty() => "1 = 0".to_owned(),
            Query::And(queries) => {
                let parts: Vec<String> = queries.iter().map(|query| self.plain(query)).collect();
                balanced(&parts, " AND ")
            }
            Query::Or(queries) => {
                let parts: Vec<String> = queries.iter().map(|query| self.plain(query)).collect();
                balanced(&parts, " OR ")
            }
            Query::Term(term) => self.term(term),
        }
    }

    fn term(&mut self, term: &Term) -> String {
        match term {
            Term::Port(bounds) => self.between("k.port", bounds, |port| (*port).into()),
            Term::Transport(transport) => self.equals("k.transport", transport.as_str()),
            Term::Verdict(verdict) => self.equals("k.verdict", verdict.as_str()),
            Term::Version(bounds) => self.between("k.version_key", bounds, |key| key.cast_signed()),
            Term::VersionText(pattern) => self.like("k.version_folded", pattern),
            Term::Auth(word) => self.like("k.auth", word),
            Term::Protocol(word) => self.like("k.protocol", word),
            Term::Severity(bounds) => {
                let bits = Severity::ALL.into_iter().filter(|one| bounds.contains(one));
                self.any_bit("k.severities", bits.map(severity_bit).sum())
            }
            Term::Confidence(confidence) => {
                self.any_bit("k.confidences", confidence_bit(*confidence))
            }
            Term::Code(pattern) => self.any_line("k.codes", pattern),
            Term::Source(pattern) => self.like("k.source", pattern),
            Term::Alarm(alarm) => {
                let place = self.bind(Value::flag(*alarm));
                format!("k.alarm = {place}")
            }
            Term::Asn(asn) => {
                let place = self.bind(Value::Integer((*asn).into()));
                format!("(p.asn IS NOT NULL AND p.asn = {place})")
            }
            Term::Country(country) => self.like("p.country", country),
            Term::Tag(pattern) => self.any_line("p.tags_folded", pattern),
            Term::Owner(pattern) => self.like("p.owner_folded", pattern),
            Term::Net(first, last) => self.net(*first, *last),
            Term::Amplification(bounds) => self.ratio(bounds),
            Term::Host(pattern) => self.like(&self.column("o.hostname_folded"), pattern),
            Term::Run(pattern) => {
                let inner = self.like("r.run_folded", pattern);
                format!("o.run IN (SELECT r.key FROM runs r WHERE {inner})")
            }
            Term::Seen(bounds) => {
                self.between(&self.column("o.seen"), bounds, |time| nanoseconds(*time))
            }
            Term::First(bounds) => self.between(&self.column("o.first_seen"), bounds, |time| {
                nanoseconds(*time)
            }),
            Term::Text(text) => {
                let place = self.bind(Value::text(clean(&fold(text))));
                let contains = self.contains("d.text", &place);
                format!(
                    "EXISTS (SELECT 1 FROM documents d WHERE d.observation = o.id AND {contains})"
                )
            }
        }
    }

    fn column(&self, name: &str) -> String {
        format!("{}{name}", self.plus)
    }

    fn equals(&mut self, column: &str, word: &'static str) -> String {
        let place = self.bind(Value::text(word));
        format!("({column} IS NOT NULL AND {column} = {place})")
    }

    fn between<T>(
        &mut self,
        column: &str,
        bounds: &Bounds<T>,
        number: impl Fn(&T) -> i64,
    ) -> String {
        let mut sql = format!("({column} IS NOT NULL");
        for (operator, end) in [(">=", &bounds.min), ("<=", &bounds.max)] {
            if let Some(end) = end {
                let place = self.bind(Value::Integer(number(end)));
                sql.push_str(&format!(" AND {column} {operator} {place}"));
            }
        }
        sql.push(')');
        sql
    }

    fn ratio(&mut self, bounds: &Bounds<f64>) -> String {
        let column = self.column("o.payload_ratio");
        let mut sql = "(o.payload_ratio IS NOT NULL".to_owned();
        for (operator, end) in [(">=", bounds.min), ("<=", bounds.max)] {
            if let Some(end) = end {
                let place = self.bind(Value::Real(end));
                sql.push_str(&format!(" AND {column} {operator} {place}"));
            }
        }
        sql.push(')');
        sql
    }

    fn any_bit(&mut self, column: &str, bits: i64) -> String {
        let place = self.bind(Value::Integer(bits));
        format!("({column} & {place}) <> 0")
    }

    fn net(&mut self, first: [u8; 16], last: [u8; 16]) -> String {
        let column = self.column("o.address");
        let ranges: Vec<String> = net_ranges(first, last)
            .into_iter()
            .map(|(first, last)| {
                let first = self.bind(Value::bytes(first));
                let last = self.bind(Value::bytes(last));
                format!("({column} >= {first} AND {column} <= {last})")
            })
            .collect();
        balanced(&ranges, " OR ")
    }

    /// A folded text that is as the pattern says.
    fn like(&mut self, column: &str, pattern: &str) -> String {
        let folded = clean(&fold(pattern));
        if has_wildcard(&folded) {
            let place = self.bind(Value::text(like_pattern(&folded)));
            format!("({column} IS NOT NULL AND {column} LIKE {place} ESCAPE '\\')")
        } else {
            let place = self.bind(Value::text(folded));
            format!("({column} IS NOT NULL AND {column} = {place})")
        }
    }

    /// One of several folded texts in a column that is as the pattern says.
    fn any_line(&mut self, column: &str, pattern: &str) -> String {
        let folded = line(pattern);
        if !has_wildcard(&folded) {
            let place = self.bind(Value::text(format!("\n{folded}\n")));
            return self.contains(column, &place);
        }
        match self.dialect {
            Dialect::Sqlite => {
                let place = self.bind(Value::text(folded));
                format!("any_line_like({column}, {place})")
            }
            Dialect::Postgres => {
                let place = self.bind(Value::text(like_pattern(&folded)));
                // Of the pieces between line feeds, the first and the last are nobody's.
                format!(
                    "EXISTS (SELECT 1 FROM unnest(string_to_array({column}, chr(10))) \
                     WITH ORDINALITY AS l (line, place) WHERE l.place > 1 \
                     AND l.place < length({column}) - length(replace({column}, chr(10), '')) + 1 \
                     AND l.line LIKE {place} ESCAPE '\\')"
                )
            }
        }
    }

    fn contains(&self, column: &str, place: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("instr({column}, {place}) > 0"),
            Dialect::Postgres => format!("strpos({column}, {place}) > 0"),
        }
    }
}

/// A text as one of several in a column: folded, and on one line.
pub(crate) fn line(text: &str) -> String {
    clean(&fold(text)).replace('\n', " ")
}

/// The bit of a severity in `kinds.severities`.
pub(crate) fn severity_bit(severity: Severity) -> i64 {
    1 << (severity as u8)
}

/// The bit of a confidence in `kinds.confidences`.
pub(crate) fn confidence_bit(confidence: Confidence) -> i64 {
    1 << (confidence as u8)
}

/// Our wildcards in the words of LIKE.
fn like_pattern(pattern: &str) -> String {
    let mut like = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        match character {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '\\' => like.extend(['\\', character]),
            other => like.push(other),
        }
    }
    like
}

/// Joins conditions to a tree whose depth is the logarithm of their number: databases limit it.
fn balanced(parts: &[String], operator: &str) -> String {
    match parts {
        [] => "1 = 1".to_owned(),
        [one] => one.clone(),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            format!(
                "({}{operator}{})",
                balanced(left, operator),
                balanced(right, operator)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The condition on addresses, if the answer is looked for in their order.
    fn in_order(first: [u8; 16], last: [u8; 16]) -> String {
        let parts = [Query::Term(Term::Net(first, last))];
        condition_by(&parts, Some(Lead::Order), Dialect::Sqlite, Vec::new()).sql
    }

    #[test]
    fn one_network_begins_and_ends_in_the_order_of_addresses() {
        let mapped = |last: [u8; 4]| std::net::Ipv4Addr::from(last).to_ipv6_mapped().octets();
        let sql = in_order(mapped([10, 7, 0, 0]), mapped([10, 7, 255, 255]));
        assert!(
            sql.contains("(o.address >= ?1 AND o.address <= ?2)"),
            "{sql}"
        );
        // Of IPv6 there are those with the name of an interface, too, who stand elsewhere.
        let sql = in_order([0xfe; 16], [0xff; 16]);
        assert!(sql.contains("(+o.address >= ?1"), "{sql}");
        assert!(!sql.contains("(o.address"), "{sql}");
    }
}
