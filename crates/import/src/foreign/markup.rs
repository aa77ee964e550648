//! XML out of pieces of a file: tags with their attributes, and the text between them.
//!
//! Only what scanners write is understood. There are no entities but the five of XML itself and
//! numbers of characters; a document type may be named, but not brought along; nothing is fetched.

use super::sink::Ended;
use crate::ImportError;
use crate::own::BYTE_ORDER_MARK;

/// The longest tag: it may hold what a script of nmap says.
const TAG_BYTES_MAX: usize = 1 << 20;
/// Text kept between two tags.
const TEXT_BYTES_MAX: usize = 64 << 10;
const DEPTH_MAX: u32 = 64;
const ATTRIBUTES_MAX: usize = 64;

/// A piece of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `<name attribute="…">`; of `<name/>` the end follows at once.
    Start(Tag<'a>),
    /// `</name>`.
    End(&'a str),
    /// Text, as it is written: not yet unescaped, and cut off beyond a limit.
    Text(&'a str),
}

/// A tag that begins an element.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub(super) line: u64,
    pub(super) name: &'a str,
    attributes: &'a str,
}

/// Cuts what is fed into tokens, and keeps no more than the one that is not whole.
#[derive(Debug)]
pub(super) struct Markup {
    line: u64,
    /// The line on which the tag begins.
    first_line: u64,
    state: State,
    depth: u32,
    is_first: bool,
    begun: Vec<u8>,
}

/// Where in the document the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// Behind `<`.
    Opened,
    Tag {
        quote: Option<u8>,
    },
    /// `<? … ?>`
    Instruction {
        after_mark: bool,
    },
    /// `<! …>`
    Declaration,
    /// `<!-- … -->`, with the dashes seen last.
    Comment {
        dashes: u8,
    },
}

type Each<'e> = dyn FnMut(Token<'_>) -> Result<(), ImportError> + 'e;

impl Default for Markup {
    fn default() -> Markup {
        Markup {
            line: 1,
            first_line: 1,
            state: State::Text,
            depth: 0,
            is_first: true,
            begun: Vec::new(),
        }
    }
}

impl Markup {
    /// Gives every whole token.
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<(), ImportError> {
        for byte in bytes {
            if *byte == b'\n' {
                self.line += 1;
            }
            self.state = self.step(*byte, each)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Ended {
        if self.depth == 0 && self.state == State::Text {
            Ended::Whole
        } else {
            Ended::Torn
        }
    }

    fn step(&mut self, byte: u8, each: &mut Each<'_>) -> Result<State, ImportError> {
        Ok(match (self.state, byte) {
            (State::Text, b'<') => {
                self.end_text(each)?;
                self.first_line = self.line;
                State::Opened
            }
            (State::Text, _) => {
                // What is longer is cut off; nothing that is looked for is.
                if self.begun.len() < TEXT_BYTES_MAX {
                    self.begun.push(byte);
                }
                State::Text
            }
            (State::Opened, b'?') => State::Instruction { after_mark: false },
            (State::Opened, b'!') => State::Declaration,
            (State::Opened | State::Tag { quote: None }, b'>') => {
                self.end_tag(each)?;
                State::Text
            }
            (State::Opened, _) => {
                self.push(byte)?;
                State::Tag { quote: None }
            }
            (State::Tag { quote }, _) => {
                self.push(byte)?;
                State::Tag {
                    quote: match (quote, byte) {
                        (None, b'"' | b'\'') => Some(byte),
                        (Some(begun), _) if begun == byte => None,
                        (quote, _) => quote,
                    },
                }
            }
            (State::Instruction { after_mark: true }, b'>') => State::Text,
            (State::Instruction { .. }, _) => State::Instruction {
                after_mark: byte == b'?',
            },
            (State::Declaration, _) => self.in_declaration(byte)?,
            (State::Comment { dashes: 2 }, b'>') => State::Text,
            (State::Comment { dashes }, b'-') => State::Comment {
                dashes: (dashes + 1).min(2),
            },
            (State::Comment { .. }, _) => State::Comment { dashes: 0 },
        })
    }

    /// A document type, whose own part between brackets is refused; or a comment, once its dashes
    /// have come.
    fn in_declaration(&mut self, byte: u8) -> Result<State, ImportError> {
        self.push(byte)?;
        Ok(match byte {
            b'[' => return Err(self.wrong("it brings a document type of its own")),
            b'>' => {
                self.begun.clear();
                State::Text
            }
            _ if self.begun == b"--" => {
                self.begun.clear();
                State::Comment { dashes: 0 }
            }
            _ => State::Declaration,
        })
    }

    fn end_text(&mut self, each: &mut Each<'_>) -> Result<(), ImportError> {
        let text = if std::mem::take(&mut self.is_first) {
            let mark = BYTE_ORDER_MARK;
            self.begun.strip_prefix(mark).unwrap_or(&self.begun)
        } else {
            &self.begun
        };
        if !text.trim_ascii().is_empty() {
            if self.depth == 0 {
                return Err(self.wrong("there is text outside of the document"));
            }
            // A cut at the limit may have gone through a character.
            let text = match std::str::from_utf8(text) {
                Ok(text) => text,
                Err(error) if text.len() - error.valid_up_to() < 4 => {
                    std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default()
                }
                Err(_) => return Err(self.wrong("it is not UTF-8")),
            };
            each(Token::Text(text))?;
        }
        self.begun.clear();
        Ok(())
    }

    fn end_tag(&mut self, each: &mut Each<'_>) -> Result<(), ImportError> {
        let begun = std::mem::take(&mut self.begun);
        let tag = std::str::from_utf8(&begun).map_err(|_| self.wrong("it is not UTF-8"))?;
        if let Some(name) = tag.strip_prefix('/') {
            self.depth = self
                .depth
                .checked_sub(1)
                .ok_or_else(|| self.wrong("an element ends that did not begin"))?;
            each(Token::End(name.trim_end()))?;
        } else {
            let (tag, is_empty) = match tag.strip_suffix('/') {
                Some(tag) => (tag, true),
                None => (tag, false),
            };
            let end = tag.find(|one: char| one.is_ascii_whitespace());
            let (name, attributes) = tag.split_at(end.unwrap_or(tag.len()));
            if name.is_empty() {
                return Err(self.wrong("a tag has no name"));
            }
            if self.depth == DEPTH_MAX {
                return Err(ImportError::TooDeep {
                    line: self.line,
                    depth_max: DEPTH_MAX,
                });
            }
            each(Token::Start(Tag {
                line: self.first_line,
                name,
                attributes,
            }))?;
            match is_empty {
                true => each(Token::End(name))?,
                false => self.depth += 1,
            }
        }
        self.begun = begun;
        self.begun.clear();
        Ok(())
    }

    fn push(&mut self, byte: u8) -> Result<(), ImportError> {
        if self.begun.len() == TAG_BYTES_MAX {
            return Err(ImportError::RecordTooLong {
                line: self.first_line,
                bytes_max: TAG_BYTES_MAX,
            });
        }
        self.begun.push(byte);
        Ok(())
    }

    fn wrong(&self, problem: &'static str) -> ImportError {
        ImportError::NotXml {
            line: self.line,
            problem,
        }
    }
}

impl<'a> Tag<'a> {
    /// Its attributes, unescaped.
    pub(super) fn attributes(&self) -> Result<Vec<(&'a str, String)>, ImportError> {
        let wrong = |problem| ImportError::NotXml {
            line: self.line,
            problem,
        };
        let mut attributes = Vec::new();
        let mut rest = self.attributes.trim_ascii_start();
        while !rest.is_empty() {
            let (name, behind) = rest
                .split_once('=')
                .ok_or_else(|| wrong("an attribute has no value"))?;
            let behind = behind.trim_ascii_start();
            let quote = behind
                .chars()
                .next()
                .filter(|one| matches!(one, '"' | '\''));
            let quote = quote.ok_or_else(|| wrong("a value is not in quotes"))?;
            let (value, behind) = behind[1..]
                .split_once(quote)
                .ok_or_else(|| wrong("a value does not end"))?;
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(wrong("a tag has more than 64 attributes"));
            }
            let value = unescape(value).ok_or_else(|| wrong("it uses an entity of its own"))?;
            attributes.push((name.trim_ascii(), value));
            rest = behind.trim_ascii_start();
        }
        Ok(attributes)
    }
}

/// Text with its entities replaced; `None` if one of them is not XML's own.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut pieces = text.split('&');
    plain.push_str(pieces.next()?);
    for piece in pieces {
        let (entity, behind) = piece.split_once(';')?;
        plain.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                // What is no character, such as half of a pair, says that something was there.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
        });
        plain.push_str(behind);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Result<Vec<String>, ImportError> {
        let mut told = Vec::new();
        let mut markup = Markup::default();
        markup.feed(document.as_bytes(), &mut |token| {
            told.push(match token {
                Token::Start(tag) => format!("{} {:?}", tag.name, tag.attributes()?),
                Token::End(name) => format!("/{name}"),
                Token::Text(text) => format!("{text:?}"),
            });
            Ok(())
        })?;
        told.push(format!("{:?}", markup.finish()));
        Ok(told)
    }

    #[test]
    fn tags_attributes_and_text() {
        let document = "\u{feff}<?xml version=\"1.0\"?>\n<!DOCTYPE nmaprun>\n<!-- a > b -- -->\n\
                        <a b = 'c&#x41;&lt;&#10;' d=\"e>'/f\">x<g/>\n</a>\n";
        assert_eq!(
            read(document).unwrap(),
            [
                r#"a [("b", "cA<\n"), ("d", "e>'/f")]"#,
                r#""x""#,
                "g []",
                "/g",
                "/a",
                "Whole"
            ]
        );
        assert_eq!(read("<a><b>").unwrap().last().unwrap(), "Torn");
    }

    #[test]
    fn what_could_harm_is_refused() {
        let deep = "<a>".repeat(100);
        let long = format!("<a b=\"{}", "x".repeat(TAG_BYTES_MAX));
        for (document, problem) in [
            (
                "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a/>",
                "line 1 is not XML: it brings a document type of its own",
            ),
            (
                "<a b=\"&c;\"/>",
                "line 1 is not XML: it uses an entity of its own",
            ),
            (
                "<a><![CDATA[x]]></a>",
                "line 1 is not XML: it brings a document type of its own",
            ),
            (
                "</a>",
                "line 1 is not XML: an element ends that did not begin",
            ),
            ("<a b/>", "line 1 is not XML: an attribute has no value"),
            ("<a b=c/>", "line 1 is not XML: a value is not in quotes"),
            (
                "\nx<a/>",
                "line 2 is not XML: there is text outside of the document",
            ),
            (&deep, "line 1 nests deeper than 64 levels"),
            (&long, "line 1 begins a record longer than 1048576 bytes"),
        ] {
            assert_eq!(read(document).unwrap_err().to_string(), problem);
        }
    }
}
