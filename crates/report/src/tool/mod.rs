//! The forms of `memsweep tool`: one server's statistics and keys, as tables for people, as JSON,
//! and byte for byte as memcached-tool prints them.
//!
//! Tables hold what the server said and nothing else: a statistic that a version does not have is
//! a blank, never a zero. Every server from 1.2 on is read alike.

mod classes;
mod classic;
mod connections;
mod display;
mod explain;
mod glossary;
mod grid;
mod json;
mod keys;
mod pattern;
mod sizes;
mod statistics;
mod summary;
mod units;
mod watch;

use model::{Language, StatsTable};

use crate::text::page::{Ink, Page, WIDTH_COLUMNS_MIN};
use crate::{Style, TextOptions};

pub use explain::explain_value;
pub use glossary::{describe_field, field_names};
pub use keys::{key_line, keys_head};
pub use pattern::shortened_key;
pub use summary::{KeySummary, summary};
pub use watch::{watch, watch_head, watch_line};

/// A form of `memsweep tool`, by the word that `--output` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ToolFormat {
    /// Tables for people: `text`.
    #[default]
    Table,
    /// The bytes of memcached-tool: `memcached-tool`.
    MemcachedTool,
    /// One JSON object, or one a line where rows are streamed: `json`.
    Json,
}

impl ToolFormat {
    /// All forms.
    pub const ALL: [ToolFormat; 3] = [
        ToolFormat::Table,
        ToolFormat::MemcachedTool,
        ToolFormat::Json,
    ];

    /// The form of a word, if it is one; `table` is another name of `text`.
    pub fn parse(word: &str) -> Option<ToolFormat> {
        if word == "table" {
            return Some(ToolFormat::Table);
        }
        ToolFormat::ALL
            .into_iter()
            .find(|format| format.as_str() == word)
    }

    /// The word that users type.
    pub fn as_str(self) -> &'static str {
        match self {
            ToolFormat::Table => "text",
            ToolFormat::MemcachedTool => "memcached-tool",
            ToolFormat::Json => "json",
        }
    }
}

/// How the output is to look. Only [`ToolFormat::Table`] heeds width, colour and language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOptions {
    /// The form.
    pub format: ToolFormat,
    /// Columns a line may fill; less than 40 counts as 40. Names and keys are never cut to fit.
    pub width_columns: usize,
    /// Whether to use ANSI styles. Everything is clear without them.
    pub color: bool,
    /// The language of headings and explanations.
    pub language: Language,
}

impl ToolOptions {
    /// The same wishes, as a page takes them.
    fn text_options(&self) -> TextOptions {
        TextOptions {
            width_columns: self.width_columns.max(WIDTH_COLUMNS_MIN),
            color: self.color,
            language: self.language,
            style: Style::Check,
            verbose: false,
        }
    }
}

/// What was asked of the server, with its answer.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// The slab classes at a glance.
    Display {
        /// `stats items`.
        items: &'a StatsTable,
        /// `stats slabs`.
        slabs: &'a StatsTable,
        /// `stats`, for the totals; memcached-tool's form does without.
        stats: Option<&'a StatsTable>,
    },
    /// `stats`.
    Stats(&'a StatsTable),
    /// `stats settings`.
    Settings(&'a StatsTable),
    /// `stats items`.
    Items(&'a StatsTable),
    /// `stats slabs`.
    Slabs(&'a StatsTable),
    /// `stats sizes`.
    Sizes(&'a StatsTable),
    /// `stats conns`.
    Conns {
        /// The rows.
        connections: &'a StatsTable,
        /// Whether to show the addresses of peers. They are personal data: without it, in every
        /// form, they are only counted by kind of network.
        full: bool,
    },
}

impl View<'_> {
    /// The mode's word, as users type it.
    pub fn mode(&self) -> &'static str {
        match self {
            View::Display { .. } => "display",
            View::Stats(_) => "stats",
            View::Settings(_) => "settings",
            View::Items(_) => "items",
            View::Slabs(_) => "slabs",
            View::Sizes(_) => "sizes",
            View::Conns { .. } => "conns",
        }
    }
}

/// A view in the form that is asked for.
///
/// `target` is the server as memcached-tool names it: `host:port`, or the path of a unix socket.
/// `now_unix_s` is this machine's clock, in seconds since the Unix epoch.
pub fn view(target: &str, view: &View<'_>, now_unix_s: i64, options: &ToolOptions) -> Vec<u8> {
    match options.format {
        ToolFormat::MemcachedTool => classic::view(target, view),
        ToolFormat::Json => json::view(target, view),
        ToolFormat::Table => table(target, view, now_unix_s, options),
    }
}

fn table(target: &str, view: &View<'_>, now_unix_s: i64, options: &ToolOptions) -> Vec<u8> {
    let text_options = options.text_options();
    let mut out = Vec::new();
    let mut page = Page::new(&mut out, &text_options);
    let stats = match view {
        View::Display { stats, .. } => *stats,
        View::Stats(stats) => Some(*stats),
        View::Settings(_)
        | View::Items(_)
        | View::Slabs(_)
        | View::Sizes(_)
        | View::Conns { .. } => None,
    };
    statistics::print_title(target, view.mode(), stats, &mut page);
    match view {
        View::Display {
            items,
            slabs,
            stats,
        } => display::print(items, slabs, *stats, &mut page),
        View::Stats(stats) => statistics::print_stats(stats, now_unix_s, &mut page),
        View::Settings(settings) => statistics::print_settings(settings, &mut page),
        View::Items(items) => display::print_fields(Some(items), None, &mut page),
        View::Slabs(slabs) => display::print_fields(None, Some(slabs), &mut page),
        View::Sizes(sizes) => sizes::print(sizes, &mut page),
        View::Conns { connections, full } => connections::print(connections, *full, &mut page),
    }
    out
}

/// A line that says there is nothing to show, so that an empty table is never taken for a fault.
fn print_nothing(en: &str, ja: &str, page: &mut Page<'_>) {
    let words = page.pick(en, ja).to_owned();
    page.paragraph(Ink::Plain, &words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_by_its_own_word() {
        for format in ToolFormat::ALL {
            assert_eq!(ToolFormat::parse(format.as_str()), Some(format));
        }
        assert_eq!(ToolFormat::parse("table"), Some(ToolFormat::Table));
        assert_eq!(ToolFormat::parse("xml"), None);
    }
}
