//! From characters to the words of a query: terms, operators and parentheses.

use super::QueryError;
use super::field::Field;

/// A stretch of the query, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) length: usize,
}

impl Place {
    pub(super) fn between(at: usize, end: usize) -> Place {
        Place {
            at,
            length: end - at,
        }
    }

    pub(super) fn error(self, message: impl Into<String>) -> QueryError {
        QueryError {
            at: self.at,
            length: self.length,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn error_with_hint(
        self,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> QueryError {
        QueryError {
            hint: Some(hint.into()),
            ..self.error(message)
        }
    }
}

/// A value, or a word without a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// What it says, quotes taken off.
    pub(super) text: String,
    pub(super) place: Place,
}

/// What a query is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `-` before a term.
    Minus,
    /// `OR`
    Or,
    /// `AND`
    And,
    /// `name:value,value`
    Field {
        name: Item,
        /// At least one.
        values: Vec<Item>,
    },
    /// A word or a quoted text.
    Text(Item),
}

/// Reads the words of a query, each with its place.
pub(super) fn words(query: &str) -> Result<Vec<(Word, Place)>, QueryError> {
    let mut reader = Reader { query, at: 0 };
    let mut words = Vec::new();
    loop {
        reader.skip_space();
        let begin = reader.at;
        let Some(character) = reader.peek() else {
            return Ok(words);
        };
        let word = match character {
            '(' => reader.single(Word::Open),
            ')' => reader.single(Word::Close),
            '-' => {
                let minus = reader.single(Word::Minus);
                if reader.peek().is_none_or(char::is_whitespace) {
                    let place = Place::between(begin, reader.at);
                    return Err(place.error_with_hint(
                        "a minus stands right before a term",
                        "write -verdict:closed, or \"-\" for the character",
                    ));
                }
                minus
            }
            _ => reader.term()?,
        };
        words.push((word, Place::between(begin, reader.at)));
    }
}

struct Reader<'a> {
    query: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.query[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    fn single(&mut self, word: Word) -> Word {
        self.next();
        word
    }

    /// A field with its values, an operator, or a text.
    fn term(&mut self) -> Result<Word, QueryError> {
        if let Some(name) = self.field_name() {
            let values = self.values(&name)?;
            return Ok(Word::Field { name, values });
        }
        let begin = self.at;
        let item = self.item(false)?;
        if !self.query[begin..self.at].contains('"') {
            return bare(item);
        }
        if item.text.trim().is_empty() {
            return Err(item.place.error("there is nothing between the quotes"));
        }
        Ok(Word::Text(item))
    }

    /// What stands before a colon, if it could be a name, which begins with a letter (so that
    /// `10.0.0.1:11211` is a text); the colon is taken.
    fn field_name(&mut self) -> Option<Item> {
        let rest = &self.query[self.at..];
        let length = rest.find(|character: char| !is_name_character(character))?;
        let is_name = rest.starts_with(|first: char| first.is_ascii_alphabetic());
        if !is_name || !rest[length..].starts_with(':') {
            return None;
        }
        let place = Place::between(self.at, self.at + length);
        self.at += length + 1;
        Some(Item {
            text: rest[..length].to_owned(),
            place,
        })
    }

    /// The values of a field, between commas.
    fn values(&mut self, name: &Item) -> Result<Vec<Item>, QueryError> {
        let mut values = Vec::new();
        loop {
            let item = self.item(true)?;
            if item.text.trim().is_empty() {
                let message = format!("{} lacks a value", name.text.to_ascii_lowercase());
                return Err(item.place.error(message));
            }
            values.push(item);
            if self.peek() != Some(',') {
                return Ok(values);
            }
            self.next();
        }
    }

    /// Characters up to a space or a parenthesis, and in a list up to a comma; what is quoted
    /// counts as it is.
    fn item(&mut self, in_list: bool) -> Result<Item, QueryError> {
        let begin = self.at;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            match character {
                '"' => self.quoted(&mut text)?,
                '(' | ')' => break,
                ',' if in_list => break,
                _ if character.is_whitespace() => break,
                _ => {
                    text.push(character);
                    self.next();
                }
            }
        }
        let place = Place::between(begin, self.at);
        Ok(Item { text, place })
    }

    /// A quoted stretch; `\"` and `\\` stand for the character, any other backslash for itself.
    fn quoted(&mut self, text: &mut String) -> Result<(), QueryError> {
        let begin = self.at;
        self.next();
        while let Some(character) = self.next() {
            match character {
                '"' => return Ok(()),
                '\\' if matches!(self.peek(), Some('"' | '\\')) => text.extend(self.next()),
                _ => text.push(character),
            }
        }
        let place = Place::between(begin, self.query.len());
        Err(place.error("a quote is not closed"))
    }
}

/// A word without quotes: an operator, a text, or what somebody takes for a term.
fn bare(item: Item) -> Result<Word, QueryError> {
    match item.text.to_ascii_lowercase().as_str() {
        "or" => return Ok(Word::Or),
        "and" => return Ok(Word::And),
        "not" => {
            return Err(item.place.error_with_hint(
                "there is no operator of this name",
                "write a minus right before a term, or quote the word",
            ));
        }
        _ => {}
    }
    // What a Japanese keyboard gives while its input method is on.
    if let Some((name, _)) = item.text.split_once('：')
        && Field::from_name(name).is_some()
    {
        return Err(item.place.error_with_hint(
            "the colon is a full-width one",
            format!("write {name}: with the colon of ASCII, or quote the text"),
        ));
    }
    Ok(Word::Text(item))
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
