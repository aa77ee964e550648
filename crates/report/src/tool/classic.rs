//! Byte for byte what memcached-tool prints, where its output is sound; scripts read it.
//!
//! Its habits that scripts came to rely on are kept: values end in the carriage return of the
//! protocol's line (the script's `chomp` takes the newline alone) and are padded together with it,
//! rows are sorted as text and not by number, a class's missing figures print as 0, and of equal
//! names the last one counts. Modes that it lacks have the shape of its `stats`.
//!
//! One thing differs: a byte that would act on a terminal is shown as an escape, as everywhere in
//! memsweep. Real servers send none.

use std::collections::BTreeMap;

use model::{AddressKind, StatsTable};

use super::View;
use super::connections::{Peer, masked};
use crate::escape::escape_for_terminal;

/// The widths that memcached-tool gives to a table.
struct Shape {
    target: usize,
    value_head: usize,
    name: usize,
    value: usize,
}

const STATS_SHAPE: Shape = Shape {
    target: 22,
    value_head: 13,
    name: 29,
    value: 14,
};
const SETTINGS_SHAPE: Shape = Shape {
    target: 17,
    value_head: 11,
    name: 24,
    value: 12,
};
/// Bytes from which an item size is written in K.
const KILO: u64 = 1024;

/// A view in memcached-tool's form.
pub(super) fn view(target: &str, view: &View<'_>) -> Vec<u8> {
    match view {
        View::Display { items, slabs, .. } => display(items, slabs),
        View::Stats(table) | View::Items(table) | View::Slabs(table) => {
            two_columns(target, ["Field", "Value"], &STATS_SHAPE, table.iter())
        }
        View::Settings(table) => {
            two_columns(target, ["Field", "Value"], &SETTINGS_SHAPE, table.iter())
        }
        View::Sizes(table) => two_columns(target, ["Size", "Count"], &SETTINGS_SHAPE, table.iter()),
        View::Conns { connections, full } => {
            let masked_rows: Vec<(String, String)> = masked(connections, *full);
            let rows = masked_rows
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            two_columns(target, ["Field", "Value"], &STATS_SHAPE, rows)
        }
    }
}

/// What stands in the place of a peer's address that is not to be shown.
pub(super) fn peer_word(peer: &Peer) -> &'static str {
    match peer {
        Peer::Unix => "unix",
        Peer::Unknown => "unknown",
        Peer::Ip(ip) => match AddressKind::of(*ip) {
            AddressKind::Loopback => "loopback",
            AddressKind::Private | AddressKind::LinkLocal => "private",
            AddressKind::Other | AddressKind::NotAHost => "public",
        },
    }
}

/// A head, and a line for each name in the order of their bytes.
fn two_columns<'a>(
    target: &str,
    heads: [&str; 2],
    shape: &Shape,
    rows: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<u8> {
    // As in the script's hash, the last of equal names counts.
    let rows: BTreeMap<&str, &str> = rows.collect();
    let mut out = String::new();
    out.push('#');
    out.push_str(&before(shape.target, &escape_for_terminal(target)));
    out.push(' ');
    out.push_str(&behind(5, heads[0]));
    out.push(' ');
    out.push_str(&behind(shape.value_head, heads[1]));
    out.push('\n');
    for (name, value) in rows {
        out.push_str(&behind(shape.name, &escape_for_terminal(name)));
        out.push(' ');
        out.push_str(&behind(shape.value, &with_line_end(value)));
        out.push('\n');
    }
    out.into_bytes()
}

/// A value as the script's `/^STAT\s+(\S*)\s+(.*)/` reads it: spaces before it are skipped, and if
/// nothing else follows, the carriage return with them.
fn with_line_end(value: &str) -> String {
    let value = value.trim_start_matches([' ', '\t', '\r', '\u{b}', '\u{c}']);
    if value.is_empty() {
        String::new()
    } else {
        format!("{}\r", escape_for_terminal(value))
    }
}

/// `%-Ns`: filled behind. Perl counts bytes here, not characters.
fn before(bytes: usize, text: &str) -> String {
    format!("{text}{}", " ".repeat(bytes.saturating_sub(text.len())))
}

/// `%Ns`: filled before.
fn behind(bytes: usize, text: &str) -> String {
    format!("{}{text}", " ".repeat(bytes.saturating_sub(text.len())))
}

/// The figures of one class, as their digits.
type Figures<'a> = BTreeMap<&'a str, &'a str>;

/// The slab classes that have pages.
fn display(items: &StatsTable, slabs: &StatsTable) -> Vec<u8> {
    let mut classes: BTreeMap<u64, Figures<'_>> = BTreeMap::new();
    for (name, value) in items.iter() {
        let row = name.strip_prefix("items:");
        if let Some((class, field, digits)) = row.and_then(|name| figure(name, value)) {
            classes.entry(class).or_default().insert(field, digits);
        }
    }
    // The script counts up to the class that was named last.
    let mut class_last = 0;
    for (name, value) in slabs.iter() {
        if let Some((class, field, digits)) = figure(name, value) {
            classes.entry(class).or_default().insert(field, digits);
            class_last = class;
        }
    }
    let mut out =
        String::from("  #  Item_Size  Max_age   Pages   Count   Full?  Evicted Evict_Time OOM\n");
    for (class, figures) in classes.range(1..=class_last.max(1)) {
        if number(figures, "total_pages") != 0 {
            out.push_str(&display_line(*class, figures));
        }
    }
    out.into_bytes()
}

fn display_line(class: u64, figures: &Figures<'_>) -> String {
    // What is missing is nothing to Perl: 0 as a number, and no characters as a text.
    let chunk_size = number(figures, "chunk_size");
    let size = if chunk_size < KILO {
        format!("{}B", figures.get("chunk_size").unwrap_or(&""))
    } else {
        format!("{:.1}K", chunk_size as f64 / KILO as f64)
    };
    let full = if number(figures, "used_chunks") == number(figures, "total_chunks") {
        "yes"
    } else {
        " no"
    };
    // Perl's %d is a signed 64-bit integer.
    let signed = |name| number(figures, name) as i64;
    format!(
        "{class:>3} {size:>8} {:>9}s {:>7} {:>7} {full:>7} {:>8} {:>8} {:>4}\n",
        signed("age"),
        signed("total_pages"),
        signed("number"),
        signed("evicted"),
        signed("evicted_time"),
        signed("outofmemory"),
    )
}

/// Class, field and leading digits of a row, if it is one that the script's patterns take.
fn figure<'a>(name: &'a str, value: &'a str) -> Option<(u64, &'a str, &'a str)> {
    let (class, field) = name.split_once(':')?;
    let number: u64 = class.parse().ok()?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let taken = number.to_string() == class
        && !field.is_empty()
        && field.bytes().all(is_word)
        && digits > 0;
    taken.then(|| (number, field, &value[..digits]))
}

/// A figure as a number; beyond 64 bits, the largest.
fn number(figures: &Figures<'_>, name: &str) -> u64 {
    figures
        .get(name)
        .map_or(0, |digits| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &str)]) -> StatsTable {
        rows.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[track_caller]
    fn check(view: &View<'_>, expected: &str) {
        let bytes = super::view("127.0.0.1:11211", view);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn values_keep_their_carriage_return() {
        let stats = table(&[("pid", "42"), ("empty", ""), ("blank", "  "), ("a", " b c")]);
        check(
            &View::Stats(&stats),
            "#127.0.0.1:11211        Field         Value\n\
             \x20                           a           b c\r\n\
             \x20                       blank               \n\
             \x20                       empty               \n\
             \x20                         pid            42\r\n",
        );
    }

    #[test]
    fn sizes_are_sorted_as_text() {
        let sizes = table(&[("64", "1"), ("384", "20")]);
        check(
            &View::Sizes(&sizes),
            "#127.0.0.1:11211    Size       Count\n\
             \x20                    384          20\r\n\
             \x20                     64           1\r\n",
        );
        check(
            &View::Sizes(&table(&[("sizes_status", "disabled")])),
            "#127.0.0.1:11211    Size       Count\n\
             \x20           sizes_status    disabled\r\n",
        );
    }

    #[test]
    fn a_class_of_tails_has_no_items_and_one_without_pages_is_skipped() {
        let items = table(&[
            ("items:1:number", "4"),
            ("items:1:age", "4"),
            ("items:01:age", "9"),
        ]);
        let slabs = table(&[
            ("1:chunk_size", "96"),
            ("1:total_pages", "1"),
            ("1:total_chunks", "10922"),
            ("1:used_chunks", "4"),
            ("2:chunk_size", "5600"),
            ("2:total_pages", "1"),
            ("2:total_chunks", "187"),
            ("2:used_chunks", "187"),
            ("3:chunk_size", "200"),
            ("3:total_pages", "0"),
            ("active_slabs", "2"),
        ]);
        check(
            &View::Display {
                items: &items,
                slabs: &slabs,
                stats: None,
            },
            "  #  Item_Size  Max_age   Pages   Count   Full?  Evicted Evict_Time OOM\n\
             \x20 1      96B         4s       1       4      no        0        0    0\n\
             \x20 2     5.5K         0s       1       0     yes        0        0    0\n",
        );
    }

    #[test]
    fn a_hostile_server_reaches_no_terminal() {
        let stats = table(&[("\u{1b}[2J", "a\rb\u{9b}"), ("n", "\u{202e}")]);
        let bytes = super::view("\u{1b}", &View::Stats(&stats));
        let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
        assert!(text.lines().all(|line| escape_for_terminal(line) == line));
    }

    #[test]
    fn numbers_beyond_any_server_are_printed_as_perl_does() {
        let slabs = table(&[
            ("1:total_pages", "18446744073709551615"),
            ("1:chunk_size", "18446744073709551615"),
            ("1:used_chunks", "99999999999999999999999"),
        ]);
        check(
            &View::Display {
                items: &table(&[]),
                slabs: &slabs,
                stats: None,
            },
            "  #  Item_Size  Max_age   Pages   Count   Full?  Evicted Evict_Time OOM\n\
             \x20 1 18014398509481984.0K         0s      -1       0      no        0        0    0\n",
        );
    }
}
