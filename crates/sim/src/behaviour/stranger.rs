//! Servers that are not memcached and do not pretend to be.

use super::{Act, DatagramAct, Personality, StreamId};

/// What else people run on port 11211.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// A web server that finds our question malformed, and closes.
    Http,
    /// An SSH server: speaks first.
    Ssh,
    /// Redis: an error line for each of ours.
    Redis,
    /// Accepts and never says anything.
    Mute,
    /// Accepts and resets the connection.
    ResetAtOnce,
    /// Accepts and closes the connection.
    CloseAtOnce,
    /// Sends everything back, over UDP as well: so even the request id is ours.
    Echo,
}

impl Personality for Stranger {
    fn stream_opened(&mut self, _: StreamId, _: u64) -> Vec<Act> {
        match self {
            Stranger::Ssh => vec![Act::Send(
                b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n".to_vec(),
            )],
            Stranger::ResetAtOnce => vec![Act::Reset],
            Stranger::CloseAtOnce => vec![Act::Close],
            Stranger::Http | Stranger::Redis | Stranger::Mute | Stranger::Echo => Vec::new(),
        }
    }

    fn stream_bytes(&mut self, _: StreamId, bytes: &[u8], _: u64) -> Vec<Act> {
        match self {
            Stranger::Http => vec![Act::Send(http_error()), Act::Close],
            Stranger::Ssh => {
                vec![
                    Act::Send(b"Invalid SSH identification string.\r\n".to_vec()),
                    Act::Close,
                ]
            }
            Stranger::Redis => redis_errors(bytes),
            Stranger::Echo => vec![Act::Send(bytes.to_vec())],
            Stranger::Mute | Stranger::ResetAtOnce | Stranger::CloseAtOnce => Vec::new(),
        }
    }

    fn datagram(&mut self, datagram: &[u8], _: u64) -> Vec<DatagramAct> {
        match self {
            Stranger::Echo => vec![DatagramAct::now(datagram.to_vec())],
            _ => Vec::new(),
        }
    }
}

fn http_error() -> Vec<u8> {
    let body = "<html><head><title>400 Bad Request</title></head></html>\r\n";
    format!(
        "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn redis_errors(bytes: &[u8]) -> Vec<Act> {
    let text = String::from_utf8_lossy(bytes);
    let commands = text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next());
    let replies = commands.map(|command| {
        Act::Send(
            format!("-ERR unknown command '{command}', with args beginning with: \r\n")
                .into_bytes(),
        )
    });
    replies.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::sent;

    #[test]
    fn strangers_introduce_themselves() {
        let cases = [
            (Stranger::Http, "", "HTTP/1.1 400 Bad Request\r\n"),
            (Stranger::Ssh, "SSH-2.0-", "Invalid SSH"),
            (Stranger::Redis, "", "-ERR unknown command 'version'"),
            (Stranger::Mute, "", ""),
            (Stranger::Echo, "", "version\r\n"),
        ];
        for (mut stranger, greeting, answer) in cases {
            let opened = sent(&stranger.stream_opened(1, 0));
            let answered = sent(&stranger.stream_bytes(1, b"version\r\n", 0));
            assert!(opened.starts_with(greeting.as_bytes()), "{stranger:?}");
            assert_eq!(opened.is_empty(), greeting.is_empty(), "{stranger:?}");
            assert!(answered.starts_with(answer.as_bytes()), "{stranger:?}");
            assert_eq!(answered.is_empty(), answer.is_empty(), "{stranger:?}");
        }
        assert_eq!(Stranger::ResetAtOnce.stream_opened(1, 0), [Act::Reset]);
        assert_eq!(
            Stranger::Echo.datagram(b"x", 0),
            [DatagramAct::now(b"x".to_vec())]
        );
        assert_eq!(Stranger::Http.datagram(b"x", 0), []);
    }
}
