//! What a file is, by its first bytes and never by its name.

use super::unpack;
use crate::own::BYTE_ORDER_MARK;

/// How much of a file is looked at.
pub const RECOGNISE_BYTES: usize = 64 << 10;

/// A form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// memsweep's own NDJSON, which [`crate::read_line`] reads.
    Memsweep,
    /// nmap's XML.
    NmapXml,
    /// nmap's grepable lines.
    NmapGrepable,
    /// masscan's XML.
    MasscanXml,
    /// masscan's list.
    MasscanList,
    /// masscan's JSON, as an array or one object a line.
    MasscanJson,
    /// masscan's grepable lines.
    MasscanGrepable,
    /// zmap's CSV.
    ZmapCsv,
    /// zmap's JSON.
    ZmapJson,
    /// zgrab2's NDJSON.
    Zgrab,
    /// Shodan's banners.
    Shodan,
    /// Censys's hosts.
    Censys,
    /// BinaryEdge's events.
    BinaryEdge,
    /// Shadowserver's CSV.
    Shadowserver,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 14] = [
        Kind::Memsweep,
        Kind::NmapXml,
        Kind::NmapGrepable,
        Kind::MasscanXml,
        Kind::MasscanList,
        Kind::MasscanJson,
        Kind::MasscanGrepable,
        Kind::ZmapCsv,
        Kind::ZmapJson,
        Kind::Zgrab,
        Kind::Shodan,
        Kind::Censys,
        Kind::BinaryEdge,
        Kind::Shadowserver,
    ];

    /// Who saw what is in such a file, by the word of [`super::Foreign::source`].
    pub fn source(self) -> &'static str {
        match self {
            Kind::Memsweep => "memsweep",
            Kind::NmapXml | Kind::NmapGrepable => "nmap",
            Kind::MasscanXml | Kind::MasscanList | Kind::MasscanJson | Kind::MasscanGrepable => {
                "masscan"
            }
            Kind::ZmapCsv | Kind::ZmapJson => "zmap",
            Kind::Zgrab => "zgrab2",
            Kind::Shodan => "shodan",
            Kind::Censys => "censys",
            Kind::BinaryEdge => "binaryedge",
            Kind::Shadowserver => "shadowserver",
        }
    }
}

/// A kind, and how it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recognised {
    /// What it is.
    pub kind: Kind,
    /// Whether it is packed with gzip.
    pub is_gzip: bool,
}

/// What a file is, by its first [`RECOGNISE_BYTES`] (or all of it, if it is shorter); `None` if it
/// is nothing that can be read here.
pub fn recognise(first_bytes: &[u8]) -> Option<Recognised> {
    if first_bytes.starts_with(unpack::GZIP_MAGIC) {
        return Some(Recognised {
            kind: kind(&unpack::beginning(first_bytes))?,
            is_gzip: true,
        });
    }
    Some(Recognised {
        kind: kind(first_bytes)?,
        is_gzip: false,
    })
}

fn kind(bytes: &[u8]) -> Option<Kind> {
    let bytes = &bytes[..bytes.len().min(RECOGNISE_BYTES)];
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let bytes = bytes.trim_ascii_start();
    // The cut may have gone through a character.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
    };
    match text.as_bytes().first()? {
        b'<' => xml(text),
        b'{' | b'[' => json(text.as_bytes()),
        b'#' => commented(text),
        _ => list(text).or_else(|| csv(text)),
    }
}

fn xml(text: &str) -> Option<Kind> {
    let (_, root) = text.split_once("<nmaprun")?;
    let (attributes, _) = root.split_once('>')?;
    let is_masscan = attributes.contains("scanner=\"masscan\"");
    Some(if is_masscan {
        Kind::MasscanXml
    } else {
        Kind::NmapXml
    })
}

/// nmap's and masscan's lines begin with a comment; nmap's normal output does too.
fn commented(text: &str) -> Option<Kind> {
    let is_masscan = text
        .get(..9)
        .is_some_and(|word| word.eq_ignore_ascii_case("# masscan"));
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    match lines.next() {
        None if text.starts_with("#masscan") => Some(Kind::MasscanList),
        None => None,
        Some(line) if line.starts_with("Host: ") => Some(Kind::NmapGrepable),
        Some(line) if line.starts_with("Timestamp: ") && is_masscan => Some(Kind::MasscanGrepable),
        Some(line) if line.starts_with("Timestamp: ") => Some(Kind::MasscanGrepable),
        Some(line) => list(line),
    }
}

fn list(text: &str) -> Option<Kind> {
    let mut words = text.split(' ');
    let kind = words.next()?;
    let transport = words.next()?;
    let is_list = matches!(kind, "open" | "closed" | "banner")
        && matches!(
            transport,
            "tcp" | "udp" | "sctp" | "icmp" | "arp" | "oproto"
        );
    is_list.then_some(Kind::MasscanList)
}

fn csv(text: &str) -> Option<Kind> {
    let heading = text.lines().next()?;
    let names: Vec<String> = heading
        .split(',')
        .map(|name| name.trim().trim_matches('"').to_ascii_lowercase())
        .collect();
    let has = |name: &str| names.iter().any(|one| one == name);
    if has("saddr") {
        Some(Kind::ZmapCsv)
    } else if has("timestamp") && has("ip") && has("port") && (has("tag") || has("amplification")) {
        Some(Kind::Shadowserver)
    } else {
        None
    }
}

fn json(bytes: &[u8]) -> Option<Kind> {
    let keys = keys_of_first_object(bytes);
    let has = |key: &str| keys.contains(&key.as_bytes());
    if has("record") && has("schema") {
        Some(Kind::Memsweep)
    } else if has("ip_str") || has("_shodan") || (has("matches") && has("total")) {
        Some(Kind::Shodan)
    } else if has("saddr") {
        Some(Kind::ZmapJson)
    } else if has("rec_type") || (has("ip") && has("ports")) {
        Some(Kind::MasscanJson)
    } else if has("target") && (has("origin") || has("result")) || has("events") {
        Some(Kind::BinaryEdge)
    } else if has("data") && (has("ip") || has("domain")) {
        Some(Kind::Zgrab)
    } else {
        let censys = [
            "services",
            "matched_services",
            "memcached",
            "host_identifier",
            "autonomous_system",
            "result",
            "resource",
            "hits",
        ];
        let is_censys = censys.into_iter().any(has);
        // Empty arrays and half objects are nothing.
        is_censys.then_some(Kind::Censys)
    }
}

/// The keys of the first object, as far as it is there. What stands deeper is not looked at.
fn keys_of_first_object(bytes: &[u8]) -> Vec<&[u8]> {
    let mut keys = Vec::new();
    let (mut depth, mut begun, mut is_escaped) = (0_u32, None, false);
    let mut last: Option<&[u8]> = None;
    let start = bytes
        .iter()
        .position(|byte| *byte == b'{')
        .unwrap_or(bytes.len());
    for (place, byte) in bytes.iter().enumerate().skip(start) {
        if let Some(begin) = begun {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    last = Some(&bytes[begin..place]);
                    begun = None;
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => begun = Some(place + 1),
            b':' if depth == 1 => keys.extend(last.take()),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    keys
}
