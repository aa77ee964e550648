//! Servers on memcached's port that execute none of its commands, however much some of them look
//! like it. They are made without any of memsweep's own code, so that one misunderstanding cannot
//! be on both sides.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use super::servers::PORT;

/// How long a connection is kept without a word from the client.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a line that are read; the rest counts as the next line.
const LINE_BYTES_MAX: u64 = 4_096;

/// A way to be mistaken for memcached.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Over TCP: what is said first, and what is said to each line.
    Stream {
        greeting: &'static str,
        answer: fn(&str) -> String,
    },
    /// Over TCP: the door is closed on whoever comes in.
    Hangup,
    /// Over UDP: what comes back for a datagram.
    Datagram(fn(&[u8]) -> Vec<u8>),
}

/// Every kind there is.
pub(super) const KINDS: [Kind; 16] = [
    says_on_each_line("", |line| format!("{line}\r\n")),
    says_on_each_line("", |_| String::new()),
    says_on_each_line("", |_| {
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".into()
    }),
    says_on_each_line("SSH-2.0-OpenSSH_9.2p1\r\n", |_| {
        "Invalid SSH identification string.\r\n".into()
    }),
    says_on_each_line("220 mail.example.org ESMTP\r\n", |_| {
        "502 5.5.2 Error: command not recognized\r\n".into()
    }),
    says_on_each_line("", |line| format!("-ERR unknown command '{line}'\r\n")),
    says_on_each_line("", |_| "ERROR\r\n".into()),
    says_on_each_line("", |_| "CLIENT_ERROR unauthenticated\r\n".into()),
    says_on_each_line("VERSION 1.4.15\r\n", |_| String::new()),
    says_on_each_line("", honeypot),
    Kind::Hangup,
    Kind::Datagram(<[u8]>::to_vec),
    Kind::Datagram(|request| framed(request, 1, "VERSION 1.4.15\r\n")),
    Kind::Datagram(|request| framed(request, 0, "HTTP/1.1 400 Bad Request\r\n\r\n")),
    Kind::Datagram(|_| b"VERSION 1.4.15\r\n".to_vec()),
    Kind::Datagram(|_| vec![0; 512]),
];

const fn says_on_each_line(greeting: &'static str, answer: fn(&str) -> String) -> Kind {
    Kind::Stream { greeting, answer }
}

/// Knows every key, and is another process each time that it is asked.
fn honeypot(line: &str) -> String {
    static ASKED: AtomicU32 = AtomicU32::new(1_000);
    match line.split_once(' ').unwrap_or((line, "")) {
        ("version", _) => "VERSION 1.6.18\r\n".into(),
        ("get" | "gets", key) => format!("VALUE {key} 0 5\r\nadmin\r\nEND\r\n"),
        ("stats", "") => {
            let process = ASKED.fetch_add(7, Ordering::Relaxed);
            format!("STAT pid {process}\r\nSTAT uptime 99\r\nSTAT version 1.6.18\r\nEND\r\n")
        }
        _ => "ERROR\r\n".into(),
    }
}

/// An answer of one datagram whose request id differs from the request's by `shift`.
fn framed(request: &[u8], shift: u16, text: &str) -> Vec<u8> {
    let asked = match request {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let mut datagram = asked.wrapping_add(shift).to_be_bytes().to_vec();
    datagram.extend([0, 0, 0, 1, 0, 0]);
    datagram.extend(text.as_bytes());
    datagram
}

/// Starts an impostor. Its threads end with the bench.
pub(super) fn start(kind: Kind, address: Ipv4Addr) -> Result<()> {
    let what = || format!("failed to bind {address}:{PORT}");
    if let Kind::Datagram(answer) = kind {
        let socket = UdpSocket::bind((address, PORT)).with_context(what)?;
        std::thread::spawn(move || answer_datagrams(&socket, answer));
    } else {
        let listener = TcpListener::bind((address, PORT)).with_context(what)?;
        std::thread::spawn(move || accept(&listener, kind));
    }
    Ok(())
}

fn answer_datagrams(socket: &UdpSocket, answer: fn(&[u8]) -> Vec<u8>) {
    let mut buffer = [0; 2_048];
    loop {
        // An error is an ICMP message about an earlier answer.
        if let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length]), client);
        }
    }
}

fn accept(listener: &TcpListener, kind: Kind) {
    for stream in listener.incoming().flatten() {
        if let Kind::Stream { greeting, answer } = kind {
            std::thread::spawn(move || {
                // A client that is gone ends the conversation, and that is all.
                let _ = converse(&stream, greeting, answer);
            });
        }
    }
}

fn converse(
    mut stream: &TcpStream,
    greeting: &str,
    answer: fn(&str) -> String,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(greeting.as_bytes())?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        if reader
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        stream.write_all(answer(line.trim_end()).as_bytes())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_the_id_that_they_are_meant_to() {
        let request = b"\xff\xff\0\0\0\x01\0\0version\r\n";
        assert_eq!(framed(request, 0, "A"), b"\xff\xff\0\0\0\x01\0\0A");
        assert_eq!(framed(request, 1, "A"), b"\0\0\0\0\0\x01\0\0A");
        assert_eq!(framed(b"", 1, ""), b"\0\x01\0\0\0\x01\0\0");
    }

    #[test]
    fn the_honeypot_contradicts_itself() {
        assert_ne!(honeypot("stats"), honeypot("stats"));
        assert_eq!(honeypot("get abc"), "VALUE abc 0 5\r\nadmin\r\nEND\r\n");
        assert_eq!(honeypot("mn"), "ERROR\r\n");
    }
}
