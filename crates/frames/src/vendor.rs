//! Who made a network card, as nmap names them.
//!
//! The registry of the IEEE grows by some hundred entries a month and comes with systems that use
//! it; the first of these files that is there is read, when the first name is asked for. nmap's own
//! comes first, because it also names the cards of virtual machines, whose addresses nobody
//! registered.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::OnceLock;

use model::MacAddress;

/// A table is not larger than this; the largest known, of Wireshark, has 2 MiB.
const TABLE_BYTES_MAX: u64 = 32 << 20;
/// Longer names are cut here.
const NAME_CHARS_MAX: usize = 80;

/// Where tables are, and how their lines are written.
const TABLES: [(&str, Form); 9] = [
    ("/usr/share/nmap/nmap-mac-prefixes", Form::Plain),
    ("/usr/local/share/nmap/nmap-mac-prefixes", Form::Plain),
    ("/usr/lib/udev/hwdb.d/20-OUI.hwdb", Form::Udev),
    ("/lib/udev/hwdb.d/20-OUI.hwdb", Form::Udev),
    ("/usr/share/ieee-data/oui.txt", Form::Registry),
    ("/var/lib/ieee-data/oui.txt", Form::Registry),
    ("/usr/share/arp-scan/ieee-oui.txt", Form::Plain),
    ("/etc/arp-scan/ieee-oui.txt", Form::Plain),
    ("/usr/share/wireshark/manuf", Form::Wireshark),
];

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `525400 QEMU virtual NIC` (nmap, arp-scan): 6, 7 or 9 digits and a name.
    Plain,
    /// `OUI:286FB9*`, and in the next line ` ID_OUI_FROM_DATABASE=Nokia` (udev's hardware database).
    Udev,
    /// `28-6F-B9   (hex)`, then tabs and `Nokia` (the IEEE's own list).
    Registry,
    /// `00:1B:C5:00:10:00/36`, a short and a long name, with tabs between (Wireshark); digits beyond
    /// the length do not count.
    Wireshark,
}

/// The name of who made the card, if a table of this system has it. Reads that table once, some
/// milliseconds long.
pub fn vendor(hardware: MacAddress) -> Option<String> {
    static TABLE: OnceLock<Table> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut tables = TABLES.iter().filter_map(|(path, form)| {
            let text = read(Path::new(path)).ok()?;
            let table = Table::new(text, *form);
            (!table.entries.is_empty()).then_some(table)
        });
        tables.next().unwrap_or_default()
    });
    table.name(hardware)
}

/// Prefixes of 6, 7 or 9 hexadecimal digits, and where in the text their names are.
#[derive(Debug, Default)]
struct Table {
    text: String,
    /// Ascending by prefix.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    prefix: Prefix,
    from: u32,
    to: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    digits: u8,
    value: u64,
}

impl Table {
    fn new(text: String, form: Form) -> Table {
        let mut entries = Vec::new();
        let mut before = None;
        for line in text.lines() {
            let named = match form {
                Form::Plain => plain(line),
                Form::Registry => registry(line),
                Form::Wireshark => wireshark(line),
                Form::Udev => {
                    let name = line.strip_prefix(" ID_OUI_FROM_DATABASE=");
                    let named = before.zip(name);
                    before = line
                        .strip_prefix("OUI:")
                        .and_then(|rest| Prefix::parse(rest.strip_suffix('*')?));
                    named
                }
            };
            let Some((prefix, name)) = named else {
                continue;
            };
            let name = name.trim();
            // Both lie in the same text, which is limited.
            let from = (name.as_ptr() as usize - text.as_ptr() as usize) as u32;
            let to = from + name.len() as u32;
            if !name.is_empty() {
                entries.push(Entry { prefix, from, to });
            }
        }
        entries.sort_by_key(|entry| entry.prefix);
        Table { text, entries }
    }

    fn name(&self, hardware: MacAddress) -> Option<String> {
        [9, 7, 6].into_iter().find_map(|digits| {
            let prefix = Prefix::of(hardware, digits);
            let found = self
                .entries
                .binary_search_by_key(&prefix, |entry| entry.prefix);
            let entry = self.entries.get(found.ok()?)?;
            let name = self.text.get(entry.from as usize..entry.to as usize)?;
            let shown = name.chars().filter(|sign| !sign.is_control());
            Some(shown.take(NAME_CHARS_MAX).collect())
        })
    }
}

impl Prefix {
    fn of(hardware: MacAddress, digits: u8) -> Prefix {
        let [a, b, c, d, e, f] = hardware.0;
        let value = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Prefix {
            digits,
            value: value >> (48 - 4 * u32::from(digits)),
        }
    }

    /// From 6, 7 or 9 hexadecimal digits.
    fn parse(text: &str) -> Option<Prefix> {
        let digits = u8::try_from(text.len()).ok()?;
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !matches!(digits, 6 | 7 | 9) || !is_hex {
            return None;
        }
        let value = u64::from_str_radix(text, 16).ok()?;
        Some(Prefix { digits, value })
    }
}

fn plain(line: &str) -> Option<(Prefix, &str)> {
    let (digits, name) = line.split_once([' ', '\t'])?;
    Some((Prefix::parse(digits)?, name))
}

fn registry(line: &str) -> Option<(Prefix, &str)> {
    let (digits, name) = line.split_once("(hex)")?;
    Some((Prefix::parse(&digits.trim().replace('-', ""))?, name))
}

fn wireshark(line: &str) -> Option<(Prefix, &str)> {
    let mut fields = line.split('\t').map(str::trim);
    let (address, short) = (fields.next()?, fields.next()?);
    let name = fields.next().unwrap_or(short);
    let (address, bits) = address.split_once('/').unwrap_or((address, "24"));
    let digits = match bits {
        "24" => 6,
        "28" => 7,
        "36" => 9,
        _ => return None,
    };
    let address = address.replace([':', '-', '.'], "");
    Some((Prefix::parse(address.get(..digits)?)?, name))
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(TABLE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: MacAddress = MacAddress([0x00, 0x1b, 0xc5, 0x00, 0x1f, 0x01]);

    fn check(form: Form, text: &str, hardware: MacAddress, expect: &str) {
        let table = Table::new(text.to_owned(), form);
        assert_eq!(table.name(hardware).unwrap_or_default(), expect, "{text:?}");
    }

    #[test]
    fn every_form_is_read() {
        use Form::{Plain, Registry, Udev, Wireshark};
        check(
            Plain,
            "# a comment\n001BC5 Somebody, Inc.\n",
            CARD,
            "Somebody, Inc.",
        );
        check(Plain, "001BC5\tSomebody, Inc.\n", CARD, "Somebody, Inc.");
        check(
            Registry,
            "OUI/MA-L\t\tOrganization\n00-1B-C5   (hex)\t\tSomebody, Inc.\r\n001BC5     (base 16)\t\tOther\r\n",
            CARD,
            "Somebody, Inc.",
        );
        check(
            Udev,
            "# This file\n\nOUI:001BC5*\n ID_OUI_FROM_DATABASE=Somebody, Inc.\n\nOUI:001BC6*\n ID_OUI_FROM_DATABASE=Other\n",
            CARD,
            "Somebody, Inc.",
        );
        check(
            Wireshark,
            "# a comment\n00:1B:C5\tIeeeRegi\tSomebody, Inc.\n",
            CARD,
            "Somebody, Inc.",
        );
        check(Wireshark, "00:1B:C5\tSomebody\n", CARD, "Somebody");
        check(
            Wireshark,
            "00:1B:C5:00:10:00/36\tIeee\tSomebody, Inc.\n",
            CARD,
            "Somebody, Inc.",
        );
    }

    #[test]
    fn the_longest_prefix_names_it() {
        let table = "001BC5 Registry\n001BC50 Seven\n001BC5001 Nine\n525400 QEMU virtual NIC\n";
        let card = |last: [u8; 3]| MacAddress([0x00, 0x1b, 0xc5, last[0], last[1], last[2]]);
        check(Form::Plain, table, card([0x00, 0x1f, 0xff]), "Nine");
        check(Form::Plain, table, card([0x00, 0x2f, 0xff]), "Seven");
        check(Form::Plain, table, card([0x10, 0x1f, 0xff]), "Registry");
        let virtual_card = MacAddress([0x52, 0x54, 0, 1, 2, 3]);
        check(Form::Plain, table, virtual_card, "QEMU virtual NIC");
        check(Form::Plain, table, MacAddress([0; 6]), "");
    }

    #[test]
    fn strange_lines_name_nothing() {
        for text in [
            "",
            "001BC5",
            "001BC5 ",
            "+01BC5 Somebody",
            "001BC Somebody",
            "001BC500 Somebody",
            "\u{fffd}01BC5 Somebody",
            "OUI:001BC5*\n",
        ] {
            for form in [Form::Plain, Form::Udev, Form::Registry, Form::Wireshark] {
                check(form, text, CARD, "");
            }
        }
        check(Form::Wireshark, "00:1B:C5/20\tSomebody", CARD, "");
        check(Form::Wireshark, "00:1B\tSomebody", CARD, "");
        check(Form::Plain, "001BC5 a\u{1b}[31mb", CARD, "a[31mb");
    }

    #[test]
    fn a_card_that_nobody_registered_has_no_vendor() {
        assert_eq!(vendor(MacAddress([0xff; 6])), None);
    }
}
