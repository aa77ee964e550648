//! Live servers as their clients see them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use testkit::fresh_loopback;

use super::*;
use crate::behaviour::{Genuine, GenuineConfig, Hostile, Misbehaviour, Slow, Stranger};

const PATIENCE: Duration = Duration::from_secs(5);
const TCP: Hosting = Hosting {
    tcp: true,
    udp: false,
    tls: None,
    udp_reply: UdpReply::FromSamePort,
};
const BOTH: Hosting = Hosting { udp: true, ..TCP };
const VERSION: &[u8] = b"\x12\x34\0\0\0\x01\0\0version\r\n";

fn genuine() -> Box<Genuine> {
    let config = GenuineConfig {
        udp_port: 11211,
        ..GenuineConfig::new("1.6.18")
    };
    Box::new(Genuine::new(config))
}

fn host(hosting: Hosting, personality: Box<dyn Personality>) -> LiveServer {
    LiveServer::host((fresh_loopback(), 11211).into(), hosting, personality).unwrap()
}

fn connect(server: &LiveServer) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request and reads until the server closes.
fn ask(server: &LiveServer, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(server);
    stream.write_all(request)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

fn udp_client(server: &LiveServer) -> UdpSocket {
    let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(VERSION, server.address()).unwrap();
    client
}

#[test]
fn a_server_answers_over_tcp_and_udp() {
    let server = host(BOTH, genuine());
    let reply = ask(&server, b"version\r\nget a\r\nquit\r\n").unwrap();
    assert_eq!(reply, b"VERSION 1.6.18\r\nEND\r\n");
    let mut buffer = [0; 1500];
    let (length, from) = udp_client(&server).recv_from(&mut buffer).unwrap();
    assert_eq!(
        buffer[..length],
        *b"\x12\x34\0\0\0\x01\0\0VERSION 1.6.18\r\n"
    );
    assert_eq!(from, server.address());
}

#[test]
fn the_factory_makes_one_server() {
    let address = (fresh_loopback(), 11211).into();
    let make: Arc<dyn Fn() -> Box<dyn Personality>> = Arc::new(|| genuine());
    let server = LiveServer::start(address, true, false, None, make).unwrap();
    let total = |reply: Vec<u8>| {
        let text = String::from_utf8(reply).unwrap();
        let line = text
            .lines()
            .find(|line| line.contains(" total_connections "))
            .unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let first = total(ask(&server, b"stats\r\nquit\r\n").unwrap());
    let second = total(ask(&server, b"stats\r\nquit\r\n").unwrap());
    assert_eq!(second, first + 1);
}

#[test]
fn answers_may_come_from_another_port() {
    let server = host(
        Hosting {
            udp_reply: UdpReply::FromOtherPort,
            ..BOTH
        },
        genuine(),
    );
    let (_, from) = udp_client(&server).recv_from(&mut [0; 1500]).unwrap();
    assert_eq!(from.ip(), server.address().ip());
    assert_ne!(from.port(), server.address().port());
}

#[test]
fn late_answers_are_late() {
    let server = host(BOTH, Box::new(Slow::new(genuine(), 80_000)));
    let began = Instant::now();
    let client = udp_client(&server);
    assert_eq!(
        ask(&server, b"version\r\nquit\r\n").unwrap(),
        b"VERSION 1.6.18\r\n"
    );
    assert!(began.elapsed() >= Duration::from_millis(80));
    client.recv_from(&mut [0; 1500]).unwrap();
}

#[test]
fn connections_end_as_the_personality_says() {
    let server = host(TCP, Box::new(Stranger::ResetAtOnce));
    assert_eq!(
        ask(&server, b"").unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    let server = host(TCP, Box::new(Stranger::CloseAtOnce));
    assert_eq!(ask(&server, b"").unwrap(), b"");
    let server = host(TCP, Box::new(Stranger::Http));
    assert!(
        ask(&server, b"version\r\n")
            .unwrap()
            .starts_with(b"HTTP/1.1 400")
    );
}

#[test]
fn a_client_that_never_reads_does_not_stop_others() {
    let server = host(TCP, Box::new(Hostile::new(Misbehaviour::EndlessStats)));
    let mut deaf = connect(&server);
    deaf.write_all(b"stats\r\n").unwrap();
    deaf.read_exact(&mut [0; 100]).unwrap();
    assert_eq!(
        ask(&server, b"version\r\nquit\r\n").unwrap(),
        b"VERSION 1.6.18\r\n"
    );
}

#[test]
fn a_drip_comes_byte_by_byte() {
    let server = host(TCP, Box::new(Hostile::new(Misbehaviour::Drip)));
    let mut stream = connect(&server);
    stream.write_all(b"version\r\n").unwrap();
    let began = Instant::now();
    let mut buffer = [0; 16];
    assert_eq!(stream.read(&mut buffer).unwrap(), 1);
    assert_eq!(stream.read(&mut buffer).unwrap(), 1);
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[test]
fn a_flood_of_datagrams_is_a_flood() {
    let server = host(BOTH, Box::new(Hostile::new(Misbehaviour::DatagramFlood)));
    let client = udp_client(&server);
    let mut buffer = [0; 1500];
    // The kernel drops what the client has no room for; its default is room for some ninety.
    for _ in 0..50 {
        client.recv_from(&mut buffer).unwrap();
    }
}

#[test]
fn connections_are_bounded() {
    let server = host(TCP, Box::new(Stranger::Mute));
    let held: Vec<TcpStream> = (0..STREAMS_MAX).map(|_| connect(&server)).collect();
    // Over the limit a connection is closed; within it, it stays mute.
    let mut one_more = connect(&server);
    assert_eq!(one_more.read(&mut [0]).unwrap(), 0);
    held[0]
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    assert_eq!(
        (&held[0]).read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn stopping_is_quick_whatever_goes_on() {
    for misbehaviour in [Misbehaviour::EndlessLine, Misbehaviour::Drip] {
        let server = host(BOTH, Box::new(Hostile::new(misbehaviour)));
        let address = server.address();
        let mut stream = connect(&server);
        stream.write_all(b"version\r\n").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let began = Instant::now();
        drop(server);
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn a_taken_address_is_an_error() {
    let server = host(TCP, genuine());
    let second = LiveServer::host(server.address(), TCP, genuine()).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_full_backlog_makes_connections_time_out() {
    let full = FullBacklog::start((fresh_loopback(), 11211).into()).unwrap();
    for _ in 0..3 {
        let error = TcpStream::connect_timeout(&full.address(), Duration::from_secs(3));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
    }
    let address = full.address();
    drop(full);
    assert_eq!(
        TcpStream::connect(address).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn a_silent_port_is_bound_and_says_nothing() {
    let silent = SilentUdp::bind((fresh_loopback(), 11211).into()).unwrap();
    let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    client.connect(silent.address().unwrap()).unwrap();
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    client.send(VERSION).unwrap();
    // An unbound port would be refused by ICMP.
    assert_eq!(
        client.recv(&mut [0; 100]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

/// Accepts any certificate: these tests are not about trust.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
        ]
    }
}

fn ask_tls(server: &LiveServer, request: &[u8]) -> io::Result<Vec<u8>> {
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
    let name = ServerName::from(server.address().ip());
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, connect(server));
    stream.write_all(request)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

#[test]
fn tls_servers_answer_inside_tls_and_reset_plain_text() {
    let hosting = Hosting {
        tls: Some(TlsMode::default()),
        ..BOTH
    };
    let server = host(hosting, genuine());
    assert_eq!(
        ask_tls(&server, b"version\r\nquit\r\n").unwrap(),
        b"VERSION 1.6.18\r\n"
    );
    let stats = ask_tls(&server, b"stats\r\nquit\r\n").unwrap();
    assert!(stats.starts_with(b"STAT pid ") && stats.ends_with(b"END\r\n"));
    assert_eq!(
        ask(&server, b"version\r\n").unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    // Over UDP the same server speaks plainly, as memcached does.
    udp_client(&server).recv_from(&mut [0; 1500]).unwrap();
}

#[test]
fn tls_servers_can_demand_a_certificate() {
    let mode = TlsMode {
        require_client_certificate: true,
    };
    let server = host(
        Hosting {
            tls: Some(mode),
            ..TCP
        },
        genuine(),
    );
    let error = ask_tls(&server, b"version\r\nquit\r\n").unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}
