//! What something that is not memcached looked like, from its first bytes.

use model::Impression;

/// How many characters of a stranger's line are kept as evidence.
const SHOWN_CHARS_MAX: usize = 80;
/// How many bytes of a stranger's binary reply are kept, in hex.
const SHOWN_BYTES_MAX: usize = 24;

/// Names what answered, from the first bytes it sent and from what we had sent.
pub fn impression_of(received: &[u8], sent: &[u8]) -> Impression {
    if !sent.is_empty() && received.starts_with(sent) {
        return Impression::Echo;
    }
    let line = first_line(received);
    if received.starts_with(b"HTTP/") || received.starts_with(b"<!DOCTYPE") {
        Impression::Http(line)
    } else if received.starts_with(b"SSH-") {
        Impression::Ssh(line)
    } else if received.starts_with(b"-ERR") || received.starts_with(b"-NOAUTH") {
        Impression::Redis(line)
    } else if is_tls_record(received) {
        Impression::TlsFailure("answers plain text with a TLS alert".to_owned())
    } else if is_text(received) {
        Impression::Text(line)
    } else {
        Impression::Bytes(
            received
                .iter()
                .take(SHOWN_BYTES_MAX)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }
}

/// Whether bytes begin a TLS alert or handshake record (RFC 8446 section 5.1).
pub(crate) fn is_tls_record(received: &[u8]) -> bool {
    matches!(received, [0x15 | 0x16, 0x03, 0x00..=0x04, ..])
}

fn is_text(received: &[u8]) -> bool {
    received
        .iter()
        .take(256)
        .all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | 0x20..=0x7e | 0x80..=0xff))
}

fn first_line(received: &[u8]) -> String {
    let end = received
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(received.len());
    String::from_utf8_lossy(&received[..end.min(512)])
        .trim_end()
        .chars()
        .take(SHOWN_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_named() {
        let cases: &[(&[u8], Impression)] = &[
            (b"version\r\n", Impression::Echo),
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                Impression::Http("HTTP/1.1 400 Bad Request".into()),
            ),
            (
                b"SSH-2.0-OpenSSH_9.2\r\n",
                Impression::Ssh("SSH-2.0-OpenSSH_9.2".into()),
            ),
            (
                b"-ERR unknown command\r\n",
                Impression::Redis("-ERR unknown command".into()),
            ),
            (
                b"\x15\x03\x01\x00\x02\x02\x16",
                Impression::TlsFailure("answers plain text with a TLS alert".into()),
            ),
            (
                b"220 mail.example.org\r\n",
                Impression::Text("220 mail.example.org".into()),
            ),
            (b"\x00\x01\xff", Impression::Bytes("0001ff".into())),
        ];
        for (received, expected) in cases {
            assert_eq!(impression_of(received, b"version\r\n"), *expected);
        }
    }
}
