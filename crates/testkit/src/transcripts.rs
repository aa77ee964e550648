//! Recorded dialogues with real servers, read from `fixtures/transcripts`.

use std::path::PathBuf;

/// Everything that one server was asked and what it answered.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The file's name without `.ndjson`, such as `1.4.15` or `other-honeypots`.
    pub name: String,
    /// The exchanges, in the order they took place.
    pub exchanges: Vec<Exchange>,
}

/// One request and its reply, as bytes.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The name of the request, such as `stats-items`.
    pub case: String,
    /// `tcp`, `tls` or `udp`.
    pub transport: String,
    /// The request; over UDP the whole datagram. `None` where the recording describes it in words.
    pub sent: Option<Vec<u8>>,
    /// The reply on a stream, up to the pause or the close.
    pub received: Option<Vec<u8>>,
    /// The reply over UDP: whole datagrams, in order of arrival.
    pub datagrams: Option<Vec<Vec<u8>>>,
    /// `open` or `closed`: how the server left the connection, where known.
    pub after: Option<String>,
}

impl Transcript {
    /// The first exchange of this transport and case.
    pub fn exchange(&self, transport: &str, case: &str) -> Option<&Exchange> {
        self.exchanges
            .iter()
            .find(|exchange| exchange.transport == transport && exchange.case == case)
    }

    /// What came back on a stream (`tcp` or `tls`) for this case.
    ///
    /// # Panics
    /// If there is no such recording.
    pub fn received(&self, case: &str) -> &[u8] {
        self.exchange("tcp", case)
            .or_else(|| self.exchange("tls", case))
            .and_then(|exchange| exchange.received.as_deref())
            .unwrap_or_else(|| panic!("transcript {} has no stream reply to {case}", self.name))
    }

    /// What came back over UDP for this case.
    ///
    /// # Panics
    /// If there is no such recording.
    pub fn datagrams(&self, case: &str) -> &[Vec<u8>] {
        self.exchange("udp", case)
            .and_then(|exchange| exchange.datagrams.as_deref())
            .unwrap_or_else(|| panic!("transcript {} has no UDP reply to {case}", self.name))
    }
}

/// The folder of the recordings.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/transcripts"
    ))
}

/// All recordings, sorted by name.
///
/// # Panics
/// If the folder is missing or a line is not as its README says.
pub fn all() -> Vec<Transcript> {
    let entries = std::fs::read_dir(folder()).expect("fixtures/transcripts must exist");
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry
                .expect("readable folder")
                .file_name()
                .into_string()
                .ok()
        })
        .filter_map(|name| name.strip_suffix(".ndjson").map(str::to_owned))
        .collect();
    names.sort();
    names.iter().map(|name| by_name(name)).collect()
}

/// One recording.
///
/// # Panics
/// If there is no such file, or a line is not as the folder's README says.
pub fn by_name(name: &str) -> Transcript {
    let path = folder().join(format!("{name}.ndjson"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()));
    let exchanges = text
        .lines()
        .enumerate()
        .map(|(index, line)| {
            exchange_of_line(line)
                .unwrap_or_else(|what| panic!("{name}.ndjson line {}: {what}", index + 1))
        })
        .collect();
    Transcript {
        name: name.to_owned(),
        exchanges,
    }
}

fn exchange_of_line(line: &str) -> Result<Exchange, String> {
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let bytes = |key: &str| value[key].as_str().map(latin_1).transpose();
    let datagrams = match &value["datagrams"] {
        serde_json::Value::Null => None,
        serde_json::Value::Array(items) => Some(
            items
                .iter()
                .map(|item| latin_1(item.as_str().ok_or("a datagram is no text")?))
                .collect::<Result<Vec<_>, _>>()?,
        ),
        _ => return Err("datagrams is no array".into()),
    };
    Ok(Exchange {
        case: text("case").ok_or("no case")?,
        transport: text("transport").ok_or("no transport")?,
        sent: bytes("sent")?,
        received: bytes("received")?,
        datagrams,
        after: text("after"),
    })
}

/// One character is one byte, U+0000 to U+00FF.
fn latin_1(text: &str) -> Result<Vec<u8>, String> {
    text.chars()
        .map(|character| {
            u8::try_from(u32::from(character)).map_err(|_| format!("{character:?} is no byte"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recording_can_be_read_and_says_something() {
        let all = all();
        assert!(all.len() >= 32, "only {} recordings", all.len());
        for transcript in &all {
            assert!(transcript.exchanges.len() >= 11, "{}", transcript.name);
            for exchange in &transcript.exchanges {
                let is_udp = exchange.transport == "udp";
                assert_eq!(exchange.datagrams.is_some(), is_udp, "{}", transcript.name);
                assert_eq!(exchange.received.is_some(), !is_udp, "{}", transcript.name);
            }
        }
    }

    #[test]
    fn bytes_survive_the_text_form() {
        let transcript = by_name("1.4.15");
        assert_eq!(transcript.received("version"), b"VERSION 1.4.15\r\n");
        let noop = transcript
            .exchange("tcp", "bin-noop")
            .unwrap()
            .sent
            .clone()
            .unwrap();
        assert_eq!(noop.len(), 24);
        assert_eq!(noop[..2], [0x80, 0x0a]);
        assert_eq!(noop[12..16], [0xde, 0xad, 0xbe, 0xef]);
        let slabs = transcript.datagrams("stats-slabs");
        assert_eq!(slabs[0].len(), 1400);
        assert_eq!(slabs[0][..8], [0x12, 0x34, 0, 0, 0, 2, 0, 0]);
    }

    #[test]
    fn what_is_no_byte_is_refused() {
        assert!(latin_1("\u{100}").is_err());
        assert_eq!(latin_1("\u{ff}"), Ok(vec![0xff]));
    }
}
