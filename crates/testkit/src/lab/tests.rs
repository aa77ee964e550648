//! The lab is what it says: both writings of the truth agree, and nothing gets lost in between.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use model::Transport;

use super::*;

/// Of a /20; the connections are made one after the other.
const PREFIX_BITS: u32 = 20;
const ANSWER_WAIT: Duration = Duration::from_millis(300);

fn responder() -> Responder {
    Responder {
        seed: 0x5eed,
        // Silence is waited for: little of it, and only in UDP's share, is asked here.
        answering: 16_384,
        refusing: 32_768,
        prohibiting: 16_384,
        forging: 4_096,
        ..Responder::default()
    }
}

fn addresses(of: &Responder, transport: Transport, fate: Fate, count: usize) -> Vec<Ipv4Addr> {
    let hosts = of.hosts(of.network, PREFIX_BITS, transport, fate);
    let addresses: Vec<Ipv4Addr> = hosts.take(count).collect();
    assert_eq!(addresses.len(), count, "{transport} {fate:?}");
    addresses
}

/// What a client hears over TCP: the first line, or the error's name.
fn tcp(address: Ipv4Addr, command: &str) -> String {
    let answer = || {
        let address = SocketAddr::from((address, 11211));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WAIT)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.write_all(command.as_bytes())?;
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    answer().unwrap_or_else(|error: std::io::Error| error.kind().to_string())
}

/// The same over UDP, the frame's eight bytes in hexadecimal before it.
fn udp(address: Ipv4Addr, command: &str) -> String {
    let answer = || {
        let socket = UdpSocket::bind((SCANNER, 0))?;
        socket.set_read_timeout(Some(ANSWER_WAIT))?;
        socket.connect((address, 11211))?;
        let mut datagram = b"\x12\x34\0\0\0\x01\0\0".to_vec();
        datagram.extend(command.as_bytes());
        socket.send(&datagram)?;
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer)?;
        let frame: String = buffer[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let text = String::from_utf8_lossy(&buffer[8..length]).into_owned();
        Ok(format!("{frame} {text}"))
    };
    answer().unwrap_or_else(|error: std::io::Error| error.kind().to_string())
}

#[test]
fn the_program_and_its_truth_agree() {
    let lab = Lab::new();
    let responder = responder();
    lab.respond(&responder);
    lab.scanner.inside(|| {
        for (fate, over_tcp, over_udp) in [
            (
                Fate::Answers,
                "VERSION 1.6.18\r\n",
                "1234000000010000 VERSION 1.6.18\r\n",
            ),
            (Fate::Refuses, "connection refused", "connection refused"),
            (Fate::Prohibits, "host unreachable", "host unreachable"),
        ] {
            for address in addresses(&responder, Transport::Tcp, fate, 100) {
                assert_eq!(tcp(address, "version\r\n"), over_tcp, "{address} {fate:?}");
            }
            for address in addresses(&responder, Transport::Udp, fate, 100) {
                assert_eq!(udp(address, "version\r\n"), over_udp, "{address} {fate:?}");
            }
        }
        let [silent] = addresses(&responder, Transport::Udp, Fate::Silent, 1)[..] else {
            panic!("one was asked for")
        };
        assert_eq!(udp(silent, "version\r\n"), "operation would block");
        let [forging] = addresses(&responder, Transport::Udp, Fate::Forges, 1)[..] else {
            panic!("one was asked for")
        };
        let forged = "4761000000010000 VERSION 1.6.18\r\n";
        assert_eq!(udp(forging, "version\r\n"), forged);
    });
    let counters = lab.counters();
    assert_eq!((counters.syns, counters.datagrams), (300, 302));
    assert_eq!((counters.strays, counters.unsent, counters.lost), (0, 0, 0));
}

#[test]
fn a_made_up_server_holds_a_whole_conversation() {
    let lab = Lab::new();
    let responder = responder();
    lab.respond(&responder);
    let [server] = addresses(&responder, Transport::Tcp, Fate::Answers, 1)[..] else {
        panic!("one was asked for")
    };
    lab.scanner.inside(|| {
        let mut stream = TcpStream::connect((server, 11211)).expect("a server");
        stream.set_read_timeout(Some(ANSWER_WAIT)).expect("a limit");
        for (request, begin) in [
            ("version\r\nget memsweep-0\r\n", "VERSION 1.6.18\r\nEND\r\n"),
            ("stats\r\n", "STAT pid "),
            ("stats settings\r\n", "STAT maxconns "),
            ("stats items\r\n", "END\r\n"),
            ("mn\r\n", "MN\r\n"),
            ("nonsense\r\n", "ERROR\r\n"),
        ] {
            stream.write_all(request.as_bytes()).expect("a listener");
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).expect("an answer");
            let answer = String::from_utf8_lossy(&buffer[..length]);
            assert!(answer.starts_with(begin), "{request:?}: {answer:?}");
        }
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("an open connection");
        assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0);
    });
}

#[test]
fn strays_and_losses_are_counted() {
    let lab = Lab::new();
    let responder = Responder {
        lost: 65_536,
        keeps_times: true,
        ..responder()
    };
    lab.respond(&responder);
    lab.scanner.inside(|| {
        let socket = UdpSocket::bind((SCANNER, 0)).expect("a socket");
        for address in ["10.64.0.1:11211", "10.65.1.2:11211", "10.10.0.1:11211"] {
            socket
                .send_to(b"\0\0\0\0\0\x01\0\0version\r\n", address)
                .expect("a way");
        }
    });
    let counters = lab.counters();
    assert_eq!((counters.frames, counters.strays, counters.lost), (3, 1, 2));
    assert_eq!(lab.arrivals().iter().sum::<u32>(), 2);
}

#[test]
fn a_sink_counts_and_is_silent() {
    let lab = Lab::new();
    lab.own("10.100.7.0/24");
    lab.sink();
    lab.scanner.inside(|| {
        // The first waits for the gateway's answer to ARP, which the kernel still gives.
        assert_eq!(tcp(GATEWAY, "version\r\n"), "connection refused");
        let (sent, heard) = (lab.received_frames(), lab.answered_frames());
        let socket = UdpSocket::bind((SCANNER, 0)).expect("a socket");
        for _ in 0..7 {
            socket.send_to(b"nobody", "10.100.7.1:9").expect("a way");
        }
        assert_eq!(lab.received_frames() - sent, 7);
        assert_eq!(lab.answered_frames() - heard, 0);
    });
    lab.detach();
    lab.scanner.inside(|| {
        let closed = Ipv4Addr::new(10, 100, 7, 1);
        assert_eq!(udp(closed, "version\r\n"), "connection refused");
    });
}

#[test]
fn the_targets_kernel_owns_networks() {
    let lab = Lab::new();
    lab.own("10.100.7.0/24");
    lab.own_on_link("10.100.8.0/24", Ipv4Addr::new(10, 100, 8, 250));
    let _server = crate::MemcachedServer::start_in(
        &lab.target,
        &["-l", "10.100.7.9,10.100.8.9", "-U", "11211"],
    );
    lab.scanner.inside(|| {
        for network in [7, 8] {
            let server = Ipv4Addr::new(10, 100, network, 9);
            assert!(
                tcp(server, "version\r\n").starts_with("VERSION "),
                "{server}"
            );
            assert!(udp(server, "version\r\n").contains("VERSION "), "{server}");
            // More than one host would be allowed to send at once.
            for last in 20..60 {
                let closed = Ipv4Addr::new(10, 100, network, last);
                assert_eq!(udp(closed, "version\r\n"), "connection refused", "{closed}");
            }
        }
    });
    let neighbours = lab.scanner.run("ip neighbour show 10.100.8.9");
    assert!(neighbours.contains(GATEWAY_HARDWARE), "{neighbours}");
}

#[test]
fn fates_come_in_the_shares_that_were_asked_for() {
    let responder = Responder::default();
    for transport in [Transport::Tcp, Transport::Udp] {
        for (fate, expect) in [
            (Fate::Answers, 65_536 / 64),
            (Fate::Refuses, 65_536 / 4),
            (Fate::Silent, 65_536 * 5 / 8),
        ] {
            let hosts = responder.hosts(responder.network, 16, transport, fate);
            let count = hosts.count();
            assert!(
                count.abs_diff(expect) < expect / 8,
                "{transport} {fate:?} {count}"
            );
        }
    }
}

#[test]
fn received_packets_are_read() {
    let table =
        "face |bytes packets\n    lo:    1200      20    0\n  lab1: 5 6 0 0 0 0 0 0 7 8 0 0\n";
    assert_eq!(received_by("lo", table), Some(20));
    assert_eq!(received_by("lab1", table), Some(6));
    assert_eq!(received_by("lab", table), None);
}
