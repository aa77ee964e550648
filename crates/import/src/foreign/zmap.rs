//! zmap: the output of its modules for TCP and UDP, as CSV or as one JSON object a line.

use model::{Contact, Endpoint, IcmpError, Transport};

use super::json::Object;
use super::moments;
use super::reply;
use super::rows::{Row, column};
use super::sink::{MEMCACHED_PORT, Sink, address};
use crate::ImportError;

/// Hex digits read of a datagram: more than fits into one.
const DATA_DIGITS_MAX: usize = 1 << 17;

/// Where the columns stand, once their heading is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns([Option<usize>; FIELDS.len()]);

/// What is read of a packet.
const FIELDS: [&str; 13] = [
    "saddr",
    "sport",
    "classification",
    "success",
    "icmp_responder",
    "icmp_type",
    "icmp_code",
    "udp_pkt_size",
    "data",
    "timestamp_ts",
    "timestamp-ts",
    "timestamp_str",
    "timestamp-str",
];

impl Columns {
    /// Errs if an address has no column.
    pub(super) fn of(heading: &[String]) -> Result<Columns, ImportError> {
        let columns = FIELDS.map(|name| column(heading, name));
        if columns[0].is_none() {
            return Err(ImportError::NoColumn { column: FIELDS[0] });
        }
        Ok(Columns(columns))
    }
}

/// A packet that came.
#[derive(Default)]
struct Packet<'a> {
    line: u64,
    fields: [Option<&'a str>; FIELDS.len()],
}

/// A row of CSV.
pub(super) fn row(columns: Columns, row: Row<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let packet = Packet {
        line: row.line,
        fields: columns.0.map(|column| row.field(column)),
    };
    packet.observe(sink)
}

/// An object of the JSON.
pub(super) fn object(object: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let mut found: [Option<std::borrow::Cow<'_, str>>; FIELDS.len()] = Default::default();
    for (name, value) in object.rows() {
        let place = FIELDS.iter().position(|field| *field == name);
        if let Some(found) = place.and_then(|place| found.get_mut(place)) {
            *found = Some(value).filter(|value| !value.is_empty() && value != "null");
        }
    }
    let mut packet = Packet {
        line: object.line(),
        ..Packet::default()
    };
    for (field, found) in packet.fields.iter_mut().zip(&found) {
        *field = found.as_deref();
    }
    packet.observe(sink)
}

impl Packet<'_> {
    fn wrong(&self, key: &'static str, expected: &'static str) -> ImportError {
        ImportError::WrongValue {
            line: self.line,
            key,
            expected,
        }
    }

    fn byte(&self, place: usize) -> Result<Option<u8>, ImportError> {
        self.fields[place]
            .map(|text| {
                text.parse()
                    .map_err(|_| self.wrong(FIELDS[place], "a byte"))
            })
            .transpose()
    }

    fn observe(&self, sink: &mut Sink<'_>) -> Result<(), ImportError> {
        let [
            saddr,
            sport,
            classification,
            _,
            responder,
            _,
            _,
            _,
            data,
            time @ ..,
        ] = self.fields;
        // Where no port is told, the packet says nothing about memcached.
        let port = sport
            .map(|port| {
                port.parse::<u16>()
                    .map_err(|_| self.wrong("sport", "a port"))
            })
            .transpose()?;
        let (Some(saddr), Some(MEMCACHED_PORT)) = (saddr, port) else {
            sink.pass_over();
            return Ok(());
        };
        let address = address(self.line, "saddr", saddr)?;
        let is_udp = match classification {
            Some("synack" | "rst") => false,
            Some("udp") => true,
            // Only the module for UDP has these.
            _ => responder.is_some() || data.is_some() || self.fields[7].is_some(),
        };
        let transport = if is_udp {
            Transport::Udp
        } else {
            Transport::Tcp
        };
        let endpoint = Endpoint::new(address, MEMCACHED_PORT, transport);
        let evidence = match (classification, self.icmp()?) {
            (Some("synack"), _) => reply::open(),
            (Some("rst"), _) => reply::closed(&endpoint),
            (_, Some(icmp)) => {
                match Contact::of_icmp(icmp, icmp.from.is_some_and(|ip| ip.is_ipv6())) {
                    Some(contact) => reply::of_contact(contact),
                    None => {
                        return {
                            sink.pass_over();
                            Ok(())
                        };
                    }
                }
            }
            (Some("udp"), _) => self.datagram(data)?,
            // Without its classification only what zmap counts as a success is in its output.
            (None, None) => self.datagram(data)?,
            (Some(_), None) => {
                return {
                    sink.pass_over();
                    Ok(())
                };
            }
        };
        let time = time.into_iter().flatten().next();
        let seen = time
            .map(|time| moments::parse(time).ok_or_else(|| self.wrong("timestamp-ts", "a time")))
            .transpose()?;
        sink.keep(seen, endpoint, evidence);
        Ok(())
    }

    fn icmp(&self) -> Result<Option<IcmpError>, ImportError> {
        let from = self.fields[4].and_then(|ip| ip.parse().ok());
        Ok(match (self.byte(5)?, self.byte(6)?) {
            (Some(kind), Some(code)) => Some(IcmpError { from, kind, code }),
            _ => None,
        })
    }

    /// What a datagram said, with its size.
    fn datagram(&self, data: Option<&str>) -> Result<model::Evidence, ImportError> {
        let Some(data) = data else {
            return Ok(reply::open());
        };
        let bytes = hex(data).ok_or_else(|| self.wrong("data", "bytes in hex"))?;
        let mut evidence = reply::of_datagram(&bytes, false);
        // Should the data have been shortened, the length of the packet was not.
        let length: Option<u64> = self.fields[7]
            .map(|length| {
                length
                    .parse::<u16>()
                    .map_err(|_| self.wrong("udp_pkt_size", "a size"))
            })
            .transpose()?
            .map(u64::from);
        let measured = evidence
            .dialogue
            .as_mut()
            .and_then(|dialogue| dialogue.amplification.first_mut());
        if let (Some(measured), Some(length)) = (measured, length) {
            // It counts the header of UDP.
            let payload = length.saturating_sub(UDP_HEADER_BYTES);
            measured.reply_bytes = measured.reply_bytes.max(payload);
        }
        Ok(evidence)
    }
}

/// RFC 768.
const UDP_HEADER_BYTES: u64 = 8;

fn hex(digits: &str) -> Option<Vec<u8>> {
    if digits.len() > DATA_DIGITS_MAX || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        (byte as char)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}
