//! The grammar: how terms, operators and parentheses make a query.
//!
//! ```text
//! query = all { OR all }
//! all   = one { [AND] one }
//! one   = "-" one | "(" query ")" | field ":" value { "," value } | text
//! ```

use std::time::SystemTime;

use super::field::Field;
use super::value;
use super::words::{Item, Place, Word, words};
use super::{Query, QueryError, Term};

/// The longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 4_096;
/// The most terms, each value of a list being one.
pub const QUERY_TERMS_MAX: usize = 256;
/// How deep parentheses and minus signs may stand in each other.
pub const QUERY_DEPTH_MAX: usize = 32;

impl Query {
    /// Reads what a user typed. `now` is what ages such as `seen:<7d` are counted from. An empty
    /// text is everything.
    pub fn parse(text: &str, now: SystemTime) -> Result<Query, QueryError> {
        let end = Place {
            at: text.len(),
            length: 0,
        };
        if text.len() > QUERY_BYTES_MAX {
            let at = (0..=QUERY_BYTES_MAX)
                .rev()
                .find(|at| text.is_char_boundary(*at));
            let beyond = Place::between(at.unwrap_or(0), text.len());
            return Err(beyond.error(format!(
                "the query is too long; {QUERY_BYTES_MAX} bytes are read"
            )));
        }
        let words = words(text)?;
        if words.is_empty() {
            return Ok(Query::All);
        }
        let mut parser = Parser {
            words: &words,
            at: 0,
            end,
            now,
            terms: 0,
        };
        let query = parser.query(0)?;
        match parser.peek() {
            // Only a closing parenthesis ends a query before its words do.
            Some((_, place)) => Err(place.error("nothing was opened that this could close")),
            None => Ok(query),
        }
    }

    /// All of these; what is nested without need is taken out.
    fn all(queries: Vec<Query>) -> Query {
        let flat = queries.into_iter().flat_map(|query| match query {
            Query::And(inner) => inner,
            other => vec![other],
        });
        Query::one_or(flat.collect(), Query::And)
    }

    /// One of these at least, likewise.
    fn any(queries: Vec<Query>) -> Query {
        let flat = queries.into_iter().flat_map(|query| match query {
            Query::Or(inner) => inner,
            other => vec![other],
        });
        Query::one_or(flat.collect(), Query::Or)
    }

    fn one_or(mut queries: Vec<Query>, many: fn(Vec<Query>) -> Query) -> Query {
        match (queries.pop(), queries.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                queries.extend(last);
                many(queries)
            }
        }
    }
}

struct Parser<'a> {
    words: &'a [(Word, Place)],
    at: usize,
    end: Place,
    now: SystemTime,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a (Word, Place)> {
        self.words.get(self.at)
    }

    /// Takes the next word if it is this operator.
    fn take(&mut self, operator: &Word) -> bool {
        let found = self.peek().is_some_and(|(word, _)| word == operator);
        self.at += usize::from(found);
        found
    }

    fn query(&mut self, depth: usize) -> Result<Query, QueryError> {
        let mut queries = vec![self.all(depth)?];
        while self.take(&Word::Or) {
            queries.push(self.all(depth)?);
        }
        Ok(Query::any(queries))
    }

    fn all(&mut self, depth: usize) -> Result<Query, QueryError> {
        let mut queries = vec![self.one(depth)?];
        loop {
            let is_joined = self.take(&Word::And);
            match self.peek() {
                None | Some((Word::Or | Word::Close, _)) if !is_joined => {
                    return Ok(Query::all(queries));
                }
                _ => queries.push(self.one(depth)?),
            }
        }
    }

    fn one(&mut self, depth: usize) -> Result<Query, QueryError> {
        let Some((word, place)) = self.peek() else {
            return Err(self.end.error("a term is missing at the end"));
        };
        if depth > QUERY_DEPTH_MAX {
            return Err(place.error(format!(
                "parentheses and minus signs stand more than {QUERY_DEPTH_MAX} deep"
            )));
        }
        self.at += 1;
        match word {
            Word::Minus => Ok(Query::Not(Box::new(self.one(depth + 1)?))),
            Word::Open => self.parenthesis(depth, *place),
            Word::Close => Err(place.error("a term is missing before this")),
            Word::Or | Word::And => Err(place.error_with_hint(
                "this joins two terms, and one is missing",
                "quote the word to search for it",
            )),
            Word::Text(item) => self.text(item),
            Word::Field { name, values } => self.field(name, values),
        }
    }

    fn parenthesis(&mut self, depth: usize, open: Place) -> Result<Query, QueryError> {
        if let Some((Word::Close, close)) = self.peek() {
            let place = Place::between(open.at, close.at + close.length);
            return Err(place.error("there is nothing between the parentheses"));
        }
        let query = self.query(depth + 1)?;
        if self.take(&Word::Close) {
            Ok(query)
        } else {
            Err(open.error("a parenthesis is not closed"))
        }
    }

    fn text(&mut self, item: &Item) -> Result<Query, QueryError> {
        self.term(item.place, Ok(Term::Text(item.text.clone()).into()))
    }

    fn field(&mut self, name: &Item, values: &[Item]) -> Result<Query, QueryError> {
        let Some(field) = Field::from_name(&name.text) else {
            return Err(unknown_field(name));
        };
        let mut queries = Vec::with_capacity(values.len());
        for value in values {
            let read = value::read(field, value, self.now);
            queries.push(self.term(value.place, read)?);
        }
        Ok(Query::any(queries))
    }

    /// Counts a term.
    fn term(&mut self, place: Place, term: Result<Query, QueryError>) -> Result<Query, QueryError> {
        self.terms += 1;
        if self.terms > QUERY_TERMS_MAX {
            return Err(place.error(format!("there are more than {QUERY_TERMS_MAX} terms")));
        }
        term
    }
}

impl From<Term> for Query {
    fn from(term: Term) -> Query {
        Query::Term(term)
    }
}

fn unknown_field(name: &Item) -> QueryError {
    let shown: String = name.text.chars().take(40).collect();
    let hint = match Field::meant_by(&name.text) {
        Some(field) => format!("did you mean {}?", field.example()),
        None => {
            let names: Vec<&str> = Field::ALL.iter().map(|field| field.as_str()).collect();
            let names = names.join(", ");
            format!("the fields are {names}; quote a text that has a colon")
        }
    };
    name.place
        .error_with_hint(format!("there is no field {shown}"), hint)
}
