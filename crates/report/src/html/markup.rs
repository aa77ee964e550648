//! Markup under construction. What is ours is a literal; everything else is text, and is escaped.
//!
//! There is no way to add a made-up string as markup: [`Markup::raw`] takes literals only. Documents
//! are well-formed XML too, so that other programs can check and read them.

use crate::escape::escape_for_terminal;

/// Names and values of attributes; the values are escaped.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

/// A piece of a document.
#[derive(Default)]
pub(crate) struct Markup {
    out: String,
}

impl Markup {
    /// Adds markup of our own.
    pub(crate) fn raw(&mut self, markup: &'static str) {
        self.out.push_str(markup);
    }

    /// Adds text.
    pub(crate) fn text(&mut self, text: &str) {
        for character in escape_for_terminal(text).chars() {
            match character {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                // Not a character of XML (XML 1.0 section 2.2).
                '\u{fffe}' | '\u{ffff}' => {
                    self.out
                        .push_str(&format!("\\u{{{:x}}}", u32::from(character)));
                }
                other => self.out.push(other),
            }
        }
    }

    /// Adds text in which backquotes stand around what is typed or named.
    pub(crate) fn prose(&mut self, text: &str) {
        let pieces: Vec<&str> = text.split('`').collect();
        // An odd backquote is a character like any other.
        if pieces.len().is_multiple_of(2) {
            self.text(text);
            return;
        }
        for (index, piece) in pieces.into_iter().enumerate() {
            match index % 2 {
                0 => self.text(piece),
                _ => self.element("code", &[], piece),
            }
        }
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.begin(tag, attributes);
        self.out.push('>');
    }

    /// Closes an element.
    pub(crate) fn close(&mut self, tag: &'static str) {
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
        if BLOCKS.contains(&tag) {
            self.out.push('\n');
        }
    }

    /// An element without content.
    pub(crate) fn empty(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.begin(tag, attributes);
        self.out.push_str("/>");
    }

    /// An element that holds text.
    pub(crate) fn element(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.open(tag, attributes);
        self.text(text);
        self.close(tag);
    }

    /// An element that holds text with backquotes.
    pub(crate) fn prose_element(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        text: &str,
    ) {
        self.open(tag, attributes);
        self.prose(text);
        self.close(tag);
    }

    /// Lines of text that keep their ends and their indentation: an indented line is to be typed.
    pub(crate) fn lines(&mut self, lines: &[String]) {
        self.open("pre", &[]);
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                self.raw("\n");
            }
            if line.starts_with(' ') {
                self.element("code", &[], line);
            } else {
                self.prose(line);
            }
        }
        self.close("pre");
    }

    /// The whole piece.
    pub(crate) fn into_string(self) -> String {
        self.out
    }

    fn begin(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            self.text(value);
            self.out.push('"');
        }
    }
}

/// Elements after which a new line begins, so that a document can be read and compared as text.
const BLOCKS: [&str; 19] = [
    "article",
    "dd",
    "details",
    "div",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "li",
    "nav",
    "p",
    "pre",
    "section",
    "summary",
    "svg",
    "table",
    "tr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stands_out_and_hides_nothing() {
        for (text, written) in [
            ("plain", "plain"),
            ("run `a <b>` now", "run <code>a &lt;b&gt;</code> now"),
            ("an odd ` one", "an odd ` one"),
            ("``", "<code></code>"),
        ] {
            let mut markup = Markup::default();
            markup.prose(text);
            assert_eq!(markup.into_string(), written);
        }
    }

    #[test]
    fn text_is_never_markup() {
        for (text, written) in [
            ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
            ("\" onload='x'", "&quot; onload=&#39;x&#39;"),
            ("a\u{1b}b\u{fffe}\n", "a\\x1bb\\u{fffe}\\x0a"),
            ("]]>-->日本", "]]&gt;--&gt;日本"),
        ] {
            let mut markup = Markup::default();
            markup.text(text);
            assert_eq!(markup.into_string(), written);
            let mut markup = Markup::default();
            markup.empty("meta", &[("content", text)]);
            assert_eq!(
                markup.into_string(),
                format!("<meta content=\"{written}\"/>")
            );
        }
    }
}
