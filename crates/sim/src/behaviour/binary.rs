//! The binary protocol (protocol-binary.txt) from the server's side: requests read, replies made.

/// First byte of a request.
pub(crate) const REQUEST_MAGIC: u8 = 0x80;
/// First byte of a reply.
const RESPONSE_MAGIC: u8 = 0x81;
/// Length of a header, both ways.
pub(crate) const HEADER_BYTES: usize = 24;
/// The longest body that is waited for; honest questions have at most a key of 250 bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

pub(crate) const GET: u8 = 0x00;
pub(crate) const QUIT: u8 = 0x07;
pub(crate) const GET_QUIETLY: u8 = 0x09;
pub(crate) const NOOP: u8 = 0x0a;
pub(crate) const VERSION: u8 = 0x0b;
pub(crate) const GET_WITH_KEY: u8 = 0x0c;
pub(crate) const GET_WITH_KEY_QUIETLY: u8 = 0x0d;
pub(crate) const STAT: u8 = 0x10;
pub(crate) const QUIT_QUIETLY: u8 = 0x17;
pub(crate) const SASL_LIST: u8 = 0x20;

pub(crate) const STATUS_OK: u16 = 0x0000;
pub(crate) const STATUS_NOT_FOUND: u16 = 0x0001;
pub(crate) const STATUS_AUTH_FAILURE: u16 = 0x0020;
pub(crate) const STATUS_UNKNOWN_COMMAND: u16 = 0x0081;

/// A request, as far as these servers care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) opcode: u8,
    pub(crate) opaque: [u8; 4],
    pub(crate) key: Vec<u8>,
}

/// What stands at the beginning of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Less than a request.
    NeedMore,
    /// No request: another magic byte, or lengths that contradict each other.
    Invalid,
    /// A request and how many bytes it took.
    Request(Request, usize),
}

/// Reads the request at the beginning of a buffer.
pub(crate) fn parse(buffer: &[u8]) -> Parsed {
    let Some((header, rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
        return Parsed::NeedMore;
    };
    let key_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let extras_bytes = usize::from(header[4]);
    let body = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    let body_bytes = usize::try_from(body).unwrap_or(usize::MAX);
    if header[0] != REQUEST_MAGIC
        || body_bytes > BODY_BYTES_MAX
        || extras_bytes + key_bytes > body_bytes
    {
        return Parsed::Invalid;
    }
    let Some(body) = rest.get(..body_bytes) else {
        return Parsed::NeedMore;
    };
    let request = Request {
        opcode: header[1],
        opaque: [header[12], header[13], header[14], header[15]],
        key: body[extras_bytes..extras_bytes + key_bytes].to_vec(),
    };
    Parsed::Request(request, HEADER_BYTES + body_bytes)
}

impl Request {
    /// A reply to this request.
    pub(crate) fn reply(&self, status: u16, key: &[u8], value: &[u8]) -> Vec<u8> {
        let key_bytes = u16::try_from(key.len()).expect("names of rows are short");
        let body_bytes = u32::try_from(key.len() + value.len()).expect("values are short");
        let mut reply = vec![RESPONSE_MAGIC, self.opcode];
        reply.extend(key_bytes.to_be_bytes());
        reply.extend([0, 0]);
        reply.extend(status.to_be_bytes());
        reply.extend(body_bytes.to_be_bytes());
        reply.extend(self.opaque);
        reply.extend([0; 8]);
        reply.extend(key);
        reply.extend(value);
        reply
    }

    /// Replies to STAT: one for each row, and one without a key at the end.
    pub(crate) fn reply_rows(&self, rows: &[(String, String)]) -> Vec<u8> {
        let mut all = Vec::new();
        for (name, value) in rows {
            all.extend(self.reply(STATUS_OK, name.as_bytes(), value.as_bytes()));
        }
        all.extend(self.reply(STATUS_OK, b"", b""));
        all
    }

    /// The reply to what is not known.
    pub(crate) fn reply_unknown(&self) -> Vec<u8> {
        self.reply(STATUS_UNKNOWN_COMMAND, b"", b"Unknown command")
    }

    /// The reply to who has not authenticated.
    pub(crate) fn reply_auth_failure(&self) -> Vec<u8> {
        self.reply(STATUS_AUTH_FAILURE, b"", b"Auth failure.")
    }
}

/// Whether every server of every version can take this request without harm or change.
pub(crate) fn is_harmless(request: &Request) -> bool {
    match request.opcode {
        GET | GET_QUIETLY | GET_WITH_KEY | GET_WITH_KEY_QUIETLY => true,
        NOOP | VERSION | QUIT | QUIT_QUIETLY | SASL_LIST => true,
        STAT => matches!(
            &request.key[..],
            b"" | b"settings" | b"items" | b"slabs" | b"conns"
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(opcode: u8, key: &[u8]) -> Vec<u8> {
        let mut bytes = vec![REQUEST_MAGIC, opcode, 0, key.len() as u8, 0, 0, 0, 0];
        bytes.extend([0, 0, 0, key.len() as u8, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(key);
        bytes
    }

    #[test]
    fn requests_are_read_whole_or_not_at_all() {
        let bytes = request(STAT, b"settings");
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Parsed::NeedMore, "{cut}");
        }
        let Parsed::Request(stat, taken) = parse(&bytes) else {
            panic!("no request")
        };
        assert_eq!(
            (stat.opcode, &stat.key[..], taken),
            (STAT, &b"settings"[..], 32)
        );
        assert_eq!(stat.opaque, [1, 2, 3, 4]);
    }

    #[test]
    fn contradictions_are_invalid() {
        let mut magic = request(NOOP, b"");
        magic[0] = b'v';
        let mut body = request(NOOP, b"");
        body[8] = 0xff;
        let mut key = request(NOOP, b"");
        key[3] = 1;
        for bytes in [magic, body, key] {
            assert_eq!(parse(&bytes), Parsed::Invalid);
        }
    }
}
