//! Whose an address is and where, by files that the user brings: a list of networks as CSV, and
//! databases in the format of MaxMind (.mmdb). Nothing is asked of anybody.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use maxminddb::{LookupResult, PathElement, Reader, path};
use model::{Enrichment, canonical_ip};

use crate::ImportError;
use crate::foreign::rows::{Row, Rows, column};

/// Networks of all lists together.
const NETWORKS_MAX: usize = 1 << 20;
/// Characters kept of a name; a database may hold anything.
const NAME_CHARACTERS_MAX: usize = 200;
/// What stands before the metadata of a database (MaxMind DB File Format Specification).
const DATABASE_MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// How far from the end of a database it may stand.
const DATABASE_MARK_BYTES_MAX: usize = 128 << 10;

/// What the user's files know about networks.
///
/// Each fact is looked for by itself: first in the lists, from the longest prefix that says it to the
/// shortest, then in the databases, in the order in which they were added.
#[derive(Default)]
pub struct Networks {
    listed: HashMap<Network, Listed>,
    /// Lengths of prefixes that are listed, for each family.
    lengths_v4: BTreeSet<u8>,
    lengths_v6: BTreeSet<u8>,
    databases: Vec<Reader<Vec<u8>>>,
}

/// A network; the bits behind its prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// What a row says about a network.
#[derive(Clone, Debug, Default)]
struct Listed {
    owner: Option<String>,
    tags: Vec<String>,
    asn: Option<u32>,
    as_name: Option<String>,
    country: Option<String>,
}

impl fmt::Debug for Networks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Networks")
            .field("listed", &self.listed.len())
            .field("databases", &self.databases.len())
            .finish()
    }
}

impl Networks {
    /// Files that say nothing.
    pub fn new() -> Networks {
        Networks::default()
    }

    /// Whether no file says anything.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.databases.is_empty()
    }

    /// Adds a file, a database or a list, by what it holds.
    pub fn add(&mut self, bytes: Vec<u8>) -> Result<(), ImportError> {
        let tail = &bytes[bytes.len().saturating_sub(DATABASE_MARK_BYTES_MAX)..];
        let is_database = tail
            .windows(DATABASE_MARK.len())
            .any(|window| window == DATABASE_MARK);
        if is_database {
            self.add_database(bytes)
        } else {
            self.add_list(&bytes)
        }
    }

    /// Adds a database of countries, cities or autonomous systems, as MaxMind and others lay them
    /// out.
    pub fn add_database(&mut self, bytes: Vec<u8>) -> Result<(), ImportError> {
        let reader = Reader::from_source(bytes);
        self.databases
            .push(reader.map_err(|problem| ImportError::NotADatabase {
                problem: problem.to_string(),
            })?);
        Ok(())
    }

    /// Adds a list: CSV with a heading that names its columns, in any order. `network` is needed (an
    /// address alone is a network too); `owner`, `tags` (separated by semicolons), `asn`, `as_name`
    /// and `country` (two letters) are read, others passed over. Of a network that is listed twice
    /// the later row counts.
    pub fn add_list(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        let mut rows = Rows::new();
        let mut columns = None;
        let mut each = |heading: &[String], row: Row<'_>| {
            let columns = match columns {
                Some(columns) => columns,
                None => *columns.insert(Columns::of(heading)?),
            };
            self.list(columns, row)
        };
        rows.feed(bytes, &mut each)?;
        let heading = rows.finish_strictly(&mut each)?;
        // Also of a list without a row.
        Columns::of(&heading).map(drop)
    }

    fn list(&mut self, columns: Columns, row: Row<'_>) -> Result<(), ImportError> {
        let (network, listed) = columns.read(row)?;
        if self.listed.len() == NETWORKS_MAX && !self.listed.contains_key(&network) {
            return Err(ImportError::TooManyNetworks {
                networks_max: NETWORKS_MAX,
            });
        }
        match network.address {
            IpAddr::V4(_) => self.lengths_v4.insert(network.prefix_bits),
            IpAddr::V6(_) => self.lengths_v6.insert(network.prefix_bits),
        };
        self.listed.insert(network, listed);
        Ok(())
    }

    /// Adds what is known about an address. What the files say replaces what stood there; what they
    /// do not say stays.
    pub fn enrich(&self, ip: IpAddr, known: &mut Enrichment) {
        let ip = canonical_ip(ip);
        let mut found = Listed::default();
        let lengths = match ip {
            IpAddr::V4(_) => &self.lengths_v4,
            IpAddr::V6(_) => &self.lengths_v6,
        };
        for prefix_bits in lengths.iter().rev() {
            if let Some(listed) = self.listed.get(&Network::of(ip, *prefix_bits)) {
                found.add(listed);
            }
        }
        for database in &self.databases {
            if let Ok(record) = database.lookup(ip) {
                found.add(&listed_of(&record));
            }
        }
        known.owner = found.owner.or(known.owner.take());
        known.asn = found.asn.or(known.asn);
        known.as_name = found.as_name.or(known.as_name.take());
        known.country = found.country.or(known.country.take());
        if !found.tags.is_empty() {
            known.tags = found.tags;
        }
    }
}

impl Listed {
    /// Takes what is not known yet. The name of a system goes with its number.
    fn add(&mut self, wider: &Listed) {
        if self.asn.is_none() && self.as_name.is_none() {
            self.asn = wider.asn;
            self.as_name.clone_from(&wider.as_name);
        }
        if self.owner.is_none() {
            self.owner.clone_from(&wider.owner);
        }
        if self.country.is_none() {
            self.country.clone_from(&wider.country);
        }
        if self.tags.is_empty() {
            self.tags.clone_from(&wider.tags);
        }
    }
}

impl Network {
    /// The network of this length that an address is in.
    fn of(ip: IpAddr, prefix_bits: u8) -> Network {
        let address = match ip {
            IpAddr::V4(ip) => {
                let host_bits = 32 - u32::from(prefix_bits.min(32));
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
            }
            IpAddr::V6(ip) => {
                let host_bits = 128 - u32::from(prefix_bits.min(128));
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
        };
        Network {
            address,
            prefix_bits,
        }
    }

    /// A network as people write it. Bits behind the prefix are forgiven.
    fn parse(text: &str) -> Option<Network> {
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip, Some(length.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let written: IpAddr = ip.trim_end().parse().ok()?;
        let ip = canonical_ip(written);
        let bits = |ip: IpAddr| if ip.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(bits(written));
        if length > bits(written) {
            return None;
        }
        // An IPv4-mapped network is its IPv4 network, if it lies within those.
        let length = length.checked_sub(bits(written) - bits(ip))?;
        Some(Network::of(ip, length))
    }
}

/// Where the columns of a list stand.
#[derive(Clone, Copy, Debug)]
struct Columns {
    network: Option<usize>,
    owner: Option<usize>,
    tags: Option<usize>,
    asn: Option<usize>,
    as_name: Option<usize>,
    country: Option<usize>,
}

impl Columns {
    fn of(heading: &[String]) -> Result<Columns, ImportError> {
        let place = |name| column(heading, name);
        let columns = Columns {
            network: place("network"),
            owner: place("owner"),
            tags: place("tags"),
            asn: place("asn"),
            as_name: place("as_name"),
            country: place("country"),
        };
        match columns.network {
            Some(_) => Ok(columns),
            None => Err(ImportError::NoColumn { column: "network" }),
        }
    }

    fn read(self, row: Row<'_>) -> Result<(Network, Listed), ImportError> {
        let wrong = |key, expected| ImportError::WrongValue {
            line: row.line,
            key,
            expected,
        };
        // Spreadsheets write other encodings too; names would be lost without a word.
        if !row.is_utf8() {
            return Err(ImportError::NotSuchALine {
                line: row.line,
                expected: "UTF-8",
            });
        }
        let network = row.field(self.network).and_then(Network::parse);
        let network = network.ok_or_else(|| wrong("network", "an address or a network"))?;
        let text = |column| row.field(column).map(shortened);
        let asn = row.field(self.asn).map(|asn| {
            let digits = asn.strip_prefix("AS").unwrap_or(asn);
            digits
                .parse()
                .map_err(|_| wrong("asn", "the number of an autonomous system"))
        });
        let country = row.field(self.country).map(|country| {
            let is_code =
                country.len() == 2 && country.bytes().all(|one| one.is_ascii_alphabetic());
            let code = is_code.then(|| country.to_ascii_uppercase());
            code.ok_or_else(|| wrong("country", "two letters"))
        });
        let tags = row.field(self.tags).unwrap_or_default().split(';');
        let listed = Listed {
            owner: text(self.owner),
            tags: tags
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
                .map(shortened)
                .collect(),
            asn: asn.transpose()?,
            as_name: text(self.as_name),
            country: country.transpose()?,
        };
        Ok((network, listed))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(NAME_CHARACTERS_MAX).collect()
}

/// What a database says. A record that cannot be read says nothing.
fn listed_of(record: &LookupResult<'_, Vec<u8>>) -> Listed {
    let text = |path: &[PathElement<'_>]| -> Option<String> {
        let text: &str = record.decode_path(path).ok()??;
        (!text.is_empty()).then(|| shortened(text))
    };
    let number: Option<u32> = record
        .decode_path(&path!["autonomous_system_number"])
        .ok()
        .flatten();
    // Others than MaxMind write `AS64496`.
    let spelled = || text(&path!["asn"])?.strip_prefix("AS")?.parse().ok();
    let country = text(&path!["country", "iso_code"])
        .or_else(|| text(&path!["registered_country", "iso_code"]))
        .or_else(|| text(&path!["country_code"]));
    Listed {
        asn: number.or_else(spelled),
        as_name: text(&path!["autonomous_system_organization"]).or_else(|| text(&path!["as_name"])),
        country,
        ..Listed::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_people_write_them() {
        for (text, address, prefix_bits) in [
            ("10.0.0.0/8", "10.0.0.0", 8),
            ("10.1.2.3/8", "10.0.0.0", 8),
            ("10.1.2.3", "10.1.2.3", 32),
            ("0.0.0.0/0", "0.0.0.0", 0),
            ("::/0", "::", 0),
            ("2001:db8::1/32", "2001:db8::", 32),
            ("::ffff:10.1.0.0/112", "10.1.0.0", 16),
            ("::ffff:10.1.2.3", "10.1.2.3", 32),
        ] {
            let network = Network::parse(text).unwrap();
            let expected: IpAddr = address.parse().unwrap();
            assert_eq!(
                (network.address, network.prefix_bits),
                (expected, prefix_bits),
                "{text}"
            );
        }
        for text in [
            "",
            "/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "::/129",
            "::ffff:10.0.0.0/8",
            "a/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
