//! The sheet that text is written on: its width, its language, and the styles it may use.

use model::{Language, Severity, Text, Verdict};

use crate::escape::escape_for_terminal;
use crate::layout::{pad, width, wrap};
use crate::words::pick;
use crate::{Style, TextOptions};

/// The narrowest page; below it nothing readable fits.
pub(crate) const WIDTH_COLUMNS_MIN: usize = 40;
/// Text that is to be read, not looked at, is no wider than this.
const PROSE_COLUMNS_MAX: usize = 110;
/// What stands between items in a row.
const ITEM_GAP: &str = " · ";

/// How a piece of text stands out. Each means nothing that the words do not say, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// As the terminal has it.
    Plain,
    /// Headings.
    Bold,
    /// What one may skip.
    Faint,
    /// What needs somebody now.
    Alarm,
    /// What needs somebody soon.
    Caution,
    /// What is as it should be.
    Good,
}

impl Ink {
    /// The ink of a severity.
    pub(crate) fn of_severity(severity: Severity) -> Ink {
        match severity {
            Severity::Critical | Severity::High => Ink::Alarm,
            Severity::Medium => Ink::Caution,
            Severity::Low | Severity::Info => Ink::Bold,
        }
    }

    /// The ink of a verdict.
    pub(crate) fn of_verdict(verdict: Verdict, alarm: bool) -> Ink {
        match verdict {
            _ if alarm => Ink::Alarm,
            Verdict::Exposed | Verdict::Unfinished => Ink::Caution,
            Verdict::Protected | Verdict::Closed => Ink::Good,
            Verdict::Decoy | Verdict::Other => Ink::Plain,
            Verdict::Filtered | Verdict::Silent | Verdict::Absent => Ink::Faint,
        }
    }

    /// Parameters of ECMA-48 SGR; the eight classic colours only, which every theme keeps legible.
    fn parameters(self) -> Option<&'static str> {
        match self {
            Ink::Plain => None,
            Ink::Bold => Some("1"),
            Ink::Faint => Some("2"),
            Ink::Alarm => Some("1;31"),
            Ink::Caution => Some("33"),
            Ink::Good => Some("32"),
        }
    }
}

/// A place to write lines to.
pub(crate) struct Page<'a> {
    out: &'a mut Vec<u8>,
    options: &'a TextOptions,
}

impl<'a> Page<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, options: &'a TextOptions) -> Page<'a> {
        Page { out, options }
    }

    pub(crate) fn width(&self) -> usize {
        self.options.width_columns
    }

    pub(crate) fn language(&self) -> Language {
        self.options.language
    }

    pub(crate) fn options(&self) -> &'a TextOptions {
        self.options
    }

    pub(crate) fn style(&self) -> Style {
        self.options.style
    }

    /// One of two words, in the page's language.
    pub(crate) fn pick<'b>(&self, en: &'b str, ja: &'b str) -> &'b str {
        pick(self.language(), en, ja)
    }

    /// A text in the page's language, harmless to a terminal.
    pub(crate) fn say(&self, text: &Text) -> String {
        escape_for_terminal(text.in_language(self.language()))
    }

    /// Lays a style on text that fits its place already.
    pub(crate) fn ink(&self, ink: Ink, text: &str) -> String {
        match ink.parameters() {
            Some(parameters) if self.options.color && !text.trim().is_empty() => {
                // Spaces stay outside, so that nothing is underlined or inverted by a theme.
                let spaces = &text[text.trim_end().len()..];
                format!("\u{1b}[{parameters}m{}\u{1b}[0m{spaces}", text.trim_end())
            }
            Some(_) | None => text.to_owned(),
        }
    }

    /// An empty line.
    pub(crate) fn blank(&mut self) {
        self.out.push(b'\n');
    }

    /// A line made ready by the caller.
    pub(crate) fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.trim_end().as_bytes());
        self.out.push(b'\n');
    }

    /// Lines made ready by the caller, their ends included.
    pub(crate) fn finished(&mut self, lines: &str) {
        self.out.extend_from_slice(lines.as_bytes());
    }

    /// A blank line and the heading of a section.
    pub(crate) fn heading(&mut self, text: &str) {
        self.blank();
        let heading = self.ink(Ink::Bold, text);
        self.line(&heading);
    }

    /// A paragraph, broken into lines.
    pub(crate) fn paragraph(&mut self, ink: Ink, text: &str) {
        for piece in wrap(text, self.width().min(PROSE_COLUMNS_MAX)) {
            let piece = self.ink(ink, &piece);
            self.line(&piece);
        }
    }

    /// Short items in a row, as many to a line as fit; none is broken that fits a line.
    pub(crate) fn items(&mut self, ink: Ink, items: &[String]) {
        let columns = self.width().min(PROSE_COLUMNS_MAX);
        let mut line = String::new();
        for item in items {
            let item = escape_for_terminal(item);
            if line.is_empty() {
                line = item;
            } else if width(&line) + width(ITEM_GAP) + width(&item) <= columns {
                line = [line.as_str(), &item].join(ITEM_GAP);
            } else {
                self.paragraph(ink, &line);
                line = item;
            }
        }
        self.paragraph(ink, &line);
    }

    /// A text behind a label; further lines of it begin below the first.
    pub(crate) fn labelled(&mut self, label: &Label<'_>, text_ink: Ink, text: &str) {
        let start = label.indent + label.columns + 2;
        let columns = self
            .width()
            .min(PROSE_COLUMNS_MAX)
            .saturating_sub(start)
            .max(2);
        // Spaces before a text are its own indentation, as in a command below a sentence.
        let lead = (text.len() - text.trim_start_matches(' ').len()).min(columns / 2);
        for (index, piece) in wrap(text, columns - lead).iter().enumerate() {
            let head = if index == 0 { label.text } else { "" };
            let head = self.ink(label.ink, &pad(head, label.columns));
            let piece = self.ink(text_ink, piece);
            let indent = " ".repeat(label.indent);
            self.line(&format!("{indent}{head}  {}{piece}", " ".repeat(lead)));
        }
    }
}

/// A word before a text.
pub(crate) struct Label<'a> {
    /// Spaces before it.
    pub(crate) indent: usize,
    /// The word.
    pub(crate) text: &'a str,
    /// Columns that it is filled up to.
    pub(crate) columns: usize,
    /// How it stands out.
    pub(crate) ink: Ink,
}
