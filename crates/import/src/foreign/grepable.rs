//! The grepable lines of nmap and masscan (`-oG`).

use std::time::SystemTime;

use model::{Contact, Endpoint, Enrichment, Evidence, Transport};

use super::moments;
use super::nmap;
use super::reply;
use super::sink::{Known, MEMCACHED_PORT, Sink, address, means_memcached, transport};
use crate::ImportError;

/// A line: `Host: 192.0.2.1 (name)⇥Ports: 11211/open/tcp//memcached///`, perhaps with a
/// `Timestamp: …⇥` before it.
pub(super) fn line(number: u64, text: &[u8], sink: &mut Sink<'_>) -> Result<(), ImportError> {
    if text.is_empty() || text.starts_with(b"#") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(text);
    let (mut seen, mut host, mut ports) = (None, None, None);
    for part in text.split('\t') {
        if let Some(time) = part.strip_prefix("Timestamp: ") {
            seen = moments::parse(time.trim());
        } else if let Some(name) = part.strip_prefix("Host: ") {
            host = Some(name);
        } else if let Some(list) = part.strip_prefix("Ports: ") {
            ports = Some(list);
        }
    }
    let Some(host) = host else {
        return Err(ImportError::NotSuchALine {
            line: number,
            expected: "a grepable line of nmap",
        });
    };
    let (ip, name) = host.split_once(' ').unwrap_or((host, ""));
    let name = name.trim_start_matches('(').trim_end_matches(')').trim();
    for port in ports.into_iter().flat_map(|ports| ports.split(", ")) {
        one(number, (ip, name), port, seen, sink)?;
    }
    Ok(())
}

fn one(
    line: u64,
    (ip, name): (&str, &str),
    port: &str,
    seen: Option<SystemTime>,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let fields: Vec<&str> = port.splitn(8, '/').collect();
    let [number, state, transport_word, _, service, _, version, ..] = fields[..] else {
        return Err(ImportError::NotSuchALine {
            line,
            expected: "a grepable line of nmap",
        });
    };
    let port: u16 = number.trim().parse().map_err(|_| ImportError::WrongValue {
        line,
        key: "port",
        expected: "a port",
    })?;
    let is_ours = port == MEMCACHED_PORT || means_memcached(service);
    let Some(transport) = transport(transport_word).filter(|_| is_ours) else {
        sink.pass_over();
        return Ok(());
    };
    let endpoint = Endpoint::new(address(line, "host", ip)?, port, transport);
    let Some(evidence) = of_state(state, version, &endpoint) else {
        sink.pass_over();
        return Ok(());
    };
    let known = Known {
        hostname: None,
        enrichment: Enrichment {
            reverse_name: (!name.is_empty()).then(|| name.to_owned()),
            ..Enrichment::default()
        },
    };
    sink.keep_known(seen, endpoint, evidence, known);
    Ok(())
}

fn of_state(state: &str, version: &str, endpoint: &Endpoint) -> Option<Evidence> {
    Some(match (state, endpoint.transport) {
        ("open", _) => {
            let product = version.trim();
            let found = product.strip_prefix("Memcached").map(str::trim_start);
            match found {
                Some(found) => {
                    let (version, extra) = found.split_once(" (").unwrap_or((found, ""));
                    nmap::of_product(version, extra)
                }
                None => reply::open(),
            }
        }
        ("closed", _) => reply::closed(endpoint),
        ("filtered", _) | ("open|filtered", Transport::Udp) => reply::of_contact(Contact::Silent),
        _ => return None,
    })
}
