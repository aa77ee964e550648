//! Debian's memcached answers what this room says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use testkit::server::MEMCACHED;
use testkit::{MemcachedServer, fresh_loopback};

use super::listings::{decode_binary_values, decode_cachedump, decode_metadump, decode_values};
use super::{decode_ascii, decode_binary};
use crate::{
    AsciiAuthentication, AsciiDemand, AsciiEvent, BinaryEvent, BinaryReply, BinaryRequest,
    CACHEDUMP_KEYS_MAX, CacheDumpEvent, CacheDumpRequest, Channel, Clearance, ConnectionsRequest,
    Credentials, KEYS_PER_GET_MAX, ListedKey, MetadumpEvent, MetadumpRequest, ReadValues, Request,
    Risky, SaslDemand, SaslPlain, ServerVersion, SizesRequest, StatsGroup, ValueEvent, Wish,
    status,
};

/// How long one answer may take. It is met only when something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a server, over TCP or a unix socket.
struct Connection<Stream>(Stream);

fn tcp(address: SocketAddr) -> Connection<TcpStream> {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Connection(stream)
}

impl<Stream: Read + Write> Connection<Stream> {
    /// Sends a request and reads until the reply is whole by this judgement, or the server closes.
    fn ask(&mut self, request: &[u8], is_whole: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        self.0.write_all(request).expect("the server reads");
        self.read(is_whole)
    }

    fn read(&mut self, is_whole: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut reply = Vec::new();
        let mut buffer = [0; 4096];
        while !is_whole(&reply) {
            match self.0.read(&mut buffer).expect("the server answers") {
                0 => break,
                count => reply.extend_from_slice(&buffer[..count]),
            }
        }
        reply
    }

    fn ask_text(&mut self, request: &[u8]) -> Vec<AsciiEvent> {
        let is_whole = |reply: &[u8]| {
            let (events, _) = decode_ascii([reply]);
            let last = events.last();
            last.is_some_and(|event| !matches!(event, AsciiEvent::Stat { .. }))
        };
        decode_ascii([&self.ask(request, is_whole)[..]]).0
    }

    /// Sends binary requests whose last has one reply.
    fn ask_binary(&mut self, request: &[u8]) -> BinaryReply {
        let reply = |bytes: &[u8]| match &decode_binary([bytes]).0[..] {
            [BinaryEvent::Reply(reply)] => Some(reply.clone()),
            _ => None,
        };
        let bytes = self.ask(request, |bytes| reply(bytes).is_some());
        reply(&bytes).expect("a binary reply")
    }

    /// Stores a value, as the clients of a cache do. Nothing outside of tests can.
    fn store(&mut self, key: &str, flags: u32, expires: u32, data: &[u8]) {
        let head = format!("set {key} {flags} {expires} {}\r\n", data.len());
        let request = [head.as_bytes(), data, b"\r\n"].concat();
        assert_eq!(
            self.ask_text(&request),
            [AsciiEvent::Other("STORED".into())]
        );
    }

    /// The same with the binary protocol, which takes any bytes as a key.
    fn store_binary(&mut self, key: &[u8], data: &[u8]) {
        let body_bytes = (8 + key.len() + data.len()) as u8;
        let mut packet = vec![0x80, 0x01, 0, key.len() as u8, 8, 0, 0, 0];
        packet.extend([0, 0, 0, body_bytes]);
        packet.extend([0; 4 + 8 + 8]);
        packet.extend([key, data].concat());
        assert_eq!(self.ask_binary(&packet).status, status::NO_ERROR);
    }
}

fn clearance(risky: Risky, channel: Channel) -> Clearance {
    let version = ServerVersion::parse("1.6.18").expect("Debian's");
    Clearance::mint(risky, channel, Some(&version), Wish::AskedByUser).expect("it has no fault")
}

fn metadump() -> Vec<u8> {
    let mut request = Vec::new();
    let clearance = clearance(Risky::Metadump, Channel::Tcp);
    let metadump = MetadumpRequest::new(clearance).expect("its own clearance");
    metadump.encode(&mut request);
    request
}

fn cachedump(class: u32) -> Vec<u8> {
    let mut request = Vec::new();
    let clearance = clearance(Risky::CacheDump, Channel::Tcp);
    CacheDumpRequest::new(clearance, class, CACHEDUMP_KEYS_MAX)
        .expect("its own clearance")
        .encode(&mut request);
    request
}

fn is_ended(reply: &[u8]) -> bool {
    let refusals: [&[u8]; 3] = [b"ERROR", b"CLIENT_ERROR", b"BUSY"];
    let is_refusal = refusals.iter().any(|word| reply.starts_with(word));
    let is_end = reply == b"END\r\n" || reply.ends_with(b"\nEND\r\n");
    is_end || (is_refusal && reply.ends_with(b"\r\n"))
}

/// Every key, sorted by name. A server that has just started, or looks through its cache on its own
/// account, says that it is busy, and is to be asked again.
fn listed<Stream: Read + Write>(connection: &mut Connection<Stream>) -> Vec<ListedKey> {
    let busy = MetadumpEvent::Refused("BUSY currently processing crawler request".into());
    let deadline = Instant::now() + PATIENCE;
    let mut events = loop {
        let (events, anomalies) = decode_metadump([&connection.ask(&metadump(), is_ended)[..]]);
        assert_eq!(anomalies, Default::default());
        if events != [busy.clone()] {
            break events;
        }
        assert!(Instant::now() < deadline, "the server never gets done");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(events.pop(), Some(MetadumpEvent::End));
    let mut keys: Vec<ListedKey> = events
        .into_iter()
        .map(|event| match event {
            MetadumpEvent::Key(key) => key,
            other => panic!("{other:?} among the keys"),
        })
        .collect();
    keys.sort_by(|one, other| one.name.cmp(&other.name));
    keys
}

fn value(key: &[u8], flags: u32, data: &[u8]) -> Vec<ValueEvent> {
    let mut events = vec![ValueEvent::ValueBegin {
        key: key.to_vec(),
        flags,
        bytes: data.len() as u64,
    }];
    events.extend((!data.is_empty()).then(|| ValueEvent::ValueData(data.to_vec())));
    events.push(ValueEvent::ValueEnd);
    events
}

#[test]
fn keys_are_listed_and_values_read() {
    let host = fresh_loopback();
    // Without the thread that moves items between queues, a cachedump lists all of a class, not
    // only those that the thread has already found cold.
    let options = ["-l", &host.to_string(), "-o", "no_lru_maintainer"];
    let _server = MemcachedServer::start(&options);
    let address = SocketAddr::from((host, 11211));
    let mut text = tcp(address);
    let mut binary = tcp(address);
    assert_eq!(listed(&mut text), []);
    let sly = b"x\r\nEND\r\nVALUE y 0 1\r\n";
    text.store("session:abc", 5, 0, sly);
    text.store("url%20enc", 0, 3_600, b"");
    text.store("あ", u32::MAX, 0, &[b'z'; 200_000]);
    binary.store_binary(b"bin key\r\n\0", b"\0\x81");

    let keys = listed(&mut tcp(address));
    let names: Vec<&[u8]> = keys.iter().map(|key| &key.name[..]).collect();
    let expect: [&[u8]; 4] = [
        b"bin key\r\n\0",
        b"session:abc",
        b"url%20enc",
        "あ".as_bytes(),
    ];
    assert_eq!(names, expect);
    assert!(
        keys.iter()
            .all(|key| key.last_access.is_some() && key.fetched == Some(false))
    );
    assert!(
        keys.iter()
            .all(|key| key.cas.is_some() && key.class.is_some())
    );
    assert!(keys[3].size_bytes > Some(200_000), "{:?}", keys[3]);
    let expiring: Vec<bool> = keys.iter().map(|key| key.expires.is_some()).collect();
    assert_eq!(expiring, [false, false, true, false]);

    let class = keys[1].class.expect("a class");
    let (events, anomalies) = decode_cachedump([&text.ask(&cachedump(class), is_ended)[..]]);
    assert_eq!(anomalies, Default::default());
    let session = ListedKey {
        name: b"session:abc".to_vec(),
        size_bytes: Some(sly.len() as u64),
        ..ListedKey::default()
    };
    assert!(events.contains(&CacheDumpEvent::Key(session)), "{events:?}");
    assert_eq!(events.last(), Some(&CacheDumpEvent::End));

    let asked: [&[u8]; 4] = [b"session:abc", b"gone", b"url%20enc", "あ".as_bytes()];
    let request = ReadValues::ascii(&asked).expect("plain keys");
    let is_whole = |reply: &[u8]| decode_values([reply]).0.last() == Some(&ValueEvent::End);
    let reply = text.ask(&request, is_whole);
    let [session, url, wide] = [
        value(b"session:abc", 5, sly),
        value(b"url%20enc", 0, b""),
        value("あ".as_bytes(), u32::MAX, &[b'z'; 200_000]),
    ];
    let expect = [session.clone(), url, wide, vec![ValueEvent::End]].concat();
    assert_eq!(decode_values([&reply[..]]), (expect, false));

    let long = [b'k'; 251];
    let asked: [&[u8]; 5] = [b"bin key\r\n\0", b"gone", b"", &long, b"session:abc"];
    let is_whole = |reply: &[u8]| decode_binary_values([reply]).0.last() == Some(&ValueEvent::End);
    let reply = binary.ask(&ReadValues::binary(&asked, 7), is_whole);
    let odd = value(b"bin key\r\n\0", 0, b"\0\x81");
    let expect = [odd, session, vec![ValueEvent::End]].concat();
    assert_eq!(decode_binary_values([&reply[..]]), (expect, false));
}

#[test]
fn the_longest_get_is_answered() {
    let host = fresh_loopback();
    let _server = MemcachedServer::start(&["-l", &host.to_string()]);
    let mut connection = tcp((host, 11211).into());
    let keys: Vec<String> = (0..KEYS_PER_GET_MAX)
        .map(|number| format!("{number:0250}"))
        .collect();
    let names: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let mut expect = Vec::new();
    for key in &keys {
        connection.store(key, 1, 0, key.as_bytes());
        expect.extend(value(key.as_bytes(), 1, key.as_bytes()));
    }
    expect.push(ValueEvent::End);
    let request = ReadValues::ascii(&names).expect("plain keys");
    let is_whole = |reply: &[u8]| decode_values([reply]).0.last() == Some(&ValueEvent::End);
    let reply = connection.ask(&request, is_whole);
    assert_eq!(decode_values([&reply[..]]), (expect.clone(), false));
    let reply = connection.ask(&request, is_whole);
    assert_eq!(decode_values(reply.chunks(7)), (expect, false));
}

#[test]
fn servers_that_do_not_list_say_so() {
    let cases: [(&[&str], &str, Option<&str>); 2] = [
        (
            &["-X"],
            "ERROR metadump not allowed",
            Some("CLIENT_ERROR stats cachedump not allowed"),
        ),
        (
            &["-o", "no_lru_crawler"],
            "CLIENT_ERROR lru crawler disabled",
            None,
        ),
    ];
    for (arguments, metadump_words, cachedump_words) in cases {
        let host = fresh_loopback().to_string();
        let _server = MemcachedServer::start(&[&["-l", &host], arguments].concat());
        let address = format!("{host}:11211").parse().expect("an address");
        let (events, _) = decode_metadump([&tcp(address).ask(&metadump(), is_ended)[..]]);
        assert_eq!(events, [MetadumpEvent::Refused(metadump_words.into())]);
        let (events, _) = decode_cachedump([&tcp(address).ask(&cachedump(1), is_ended)[..]]);
        let expect = match cachedump_words {
            Some(words) => CacheDumpEvent::Refused(words.into()),
            None => CacheDumpEvent::End,
        };
        assert_eq!(events, [expect]);
    }
}

#[test]
fn sizes_and_connections_are_answered_over_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("memcached.sock");
    let path_text = path.to_str().expect("a plain path");
    let _server = MemcachedServer::start(&["-s", path_text, "-o", "track_sizes"]);
    let stream = UnixStream::connect(&path).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut connection = Connection(stream);
    connection.store("k", 0, 0, b"v");
    let mut request = Vec::new();
    let sizes = SizesRequest::new(clearance(Risky::Sizes, Channel::Unix)).unwrap();
    sizes.encode(&mut request);
    let stat = |name: &str, value: &str| AsciiEvent::Stat {
        name: name.into(),
        value: value.into(),
    };
    assert_eq!(
        connection.ask_text(&request),
        [stat("64", "1"), AsciiEvent::End]
    );
    request.clear();
    let clearance = clearance(Risky::ConnectionsOverUnix, Channel::Unix);
    let connections = ConnectionsRequest::over_unix(clearance).unwrap();
    connections.encode(&mut request);
    let events = connection.ask_text(&request);
    assert_eq!(events.last(), Some(&AsciiEvent::End));
    let is_address = |event: &&AsciiEvent| matches!(event, AsciiEvent::Stat { name, .. } if name.ends_with(":addr"));
    assert!(events.iter().filter(is_address).count() >= 2, "{events:?}");
}

#[test]
fn ascii_authentication_is_accepted() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("users");
    std::fs::write(&path, "anna:s3cret\n").expect("a scratch file");
    let host = fresh_loopback();
    let path_text = path.to_str().expect("a plain path");
    let _server = MemcachedServer::start(&["-l", &host.to_string(), "-Y", path_text]);
    let mut connection = tcp((host, 11211).into());
    let mut request = Vec::new();
    Request::Version.encode(&mut request);
    let authenticate = |connection: &mut Connection<TcpStream>, password: &str| {
        let reply = connection.ask_text(&request);
        let demand = AsciiDemand::from_reply(&reply[0]).expect("-Y demands it");
        let credentials = Credentials::new("anna", password).expect("plain ones");
        let reply = connection.ask_text(&AsciiAuthentication::encode(demand, &credentials));
        assert!(AsciiDemand::from_reply(&reply[0]).is_none(), "{reply:?}");
        reply
    };
    let failure = AsciiEvent::ClientError("authentication failure".into());
    assert_eq!(authenticate(&mut connection, "wrong"), [failure]);
    let reply = authenticate(&mut connection, "s3cret");
    assert!(AsciiAuthentication::is_accepted(&reply[0]), "{reply:?}");
    assert_eq!(
        connection.ask_text(&request),
        [AsciiEvent::Version("1.6.18".into())]
    );
    // Nothing was stored: it was no `set`.
    assert_eq!(listed(&mut connection), []);
}

/// A memcached that asks this test whether a password is right.
///
/// Debian's memcached has no password file of its own for SASL (`MEMCACHED_SASL_PWDB` is a build
/// option), so it needs Cyrus SASL's: package libsasl2-modules for the mechanism PLAIN, and a
/// `memcached.conf` in the folder that `SASL_CONF_PATH` names. Instead of a user database, which
/// only `saslpasswd2` of sasl2-bin could write, the configuration names a socket where saslauthd
/// would listen. The test takes its place, and so sees what reached the server.
struct SaslServer {
    _server: MemcachedServer,
    _folder: tempfile::TempDir,
    address: SocketAddr,
    passwords: UnixListener,
}

impl SaslServer {
    fn start() -> SaslServer {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let socket = folder.path().join("mux");
        let passwords = UnixListener::bind(&socket).expect("a unix socket");
        passwords.set_nonblocking(true).expect("a listener");
        let configuration = format!(
            "pwcheck_method: saslauthd\nsaslauthd_path: {}\nmech_list: plain\n",
            socket.display()
        );
        std::fs::write(folder.path().join("memcached.conf"), configuration).expect("a file");
        let host = fresh_loopback();
        let environment = format!("SASL_CONF_PATH={}", folder.path().display());
        let arguments = [&environment, MEMCACHED, "-S", "-l", &host.to_string()];
        SaslServer {
            _server: MemcachedServer::start_command("/usr/bin/env", &arguments),
            _folder: folder,
            address: (host, 11211).into(),
            passwords,
        }
    }

    /// Waits for the server's question and answers it: the user and the password that it was given.
    ///
    /// The question is four texts (user, password, service, realm), the answer one, each with its
    /// length before it in two bytes (`saslauthd/saslauthd-main.c` of Cyrus SASL).
    fn answer_password(&self, answer: &str) -> [String; 2] {
        let deadline = Instant::now() + PATIENCE;
        let mut stream = loop {
            match self.passwords.accept() {
                Ok((stream, _)) => break stream,
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    assert!(Instant::now() < deadline, "the server asks for no password");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        };
        stream.set_nonblocking(false).expect("a stream");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut text = || {
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("a length");
            let mut text = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut text).expect("a text");
            String::from_utf8(text).expect("text")
        };
        let [user, password, service, _realm] = [text(), text(), text(), text()];
        assert_eq!(service, "memcached");
        let length = (answer.len() as u16).to_be_bytes();
        stream
            .write_all(&[&length, answer.as_bytes()].concat())
            .expect("it listens");
        [user, password]
    }
}

#[test]
fn sasl_authentication_is_accepted() {
    let server = SaslServer::start();
    let encode = |request: BinaryRequest| {
        let mut out = Vec::new();
        request.encode(7, &mut out);
        out
    };
    let authenticate = |connection: &mut Connection<TcpStream>, password: &str, answer: &str| {
        let list = connection.ask_binary(&encode(BinaryRequest::SaslList));
        let demand = SaslDemand::from_reply(&list).expect("PLAIN is listed");
        let credentials = Credentials::new("anna", password).expect("plain ones");
        let request = SaslPlain::encode(demand, &credentials, 9);
        connection.0.write_all(&request).expect("the server reads");
        assert_eq!(server.answer_password(answer), ["anna", password]);
        let reply = connection.ask_binary(&[]);
        assert_eq!(reply.opaque, 9);
        assert!(SaslDemand::from_reply(&reply).is_none(), "{reply:?}");
        reply
    };
    let mut connection = tcp(server.address);
    let reply = authenticate(&mut connection, "wr ong", "NO");
    assert_eq!(reply.status, status::AUTH_ERROR);
    assert!(!SaslPlain::is_accepted(&reply));

    let mut connection = tcp(server.address);
    let reply = authenticate(&mut connection, "s3 cret", "OK");
    assert!(SaslPlain::is_accepted(&reply), "{reply:?}");
    connection.store_binary(b"a b", b"v");
    let is_whole = |reply: &[u8]| decode_binary_values([reply]).0.last() == Some(&ValueEvent::End);
    let reply = connection.ask(&ReadValues::binary(&[b"a b"], 0), is_whole);
    let expect = [value(b"a b", 0, b"v"), vec![ValueEvent::End]].concat();
    assert_eq!(decode_binary_values([&reply[..]]), (expect, false));

    // Without it, a demand comes and the connection is closed.
    let mut stranger = tcp(server.address);
    let reply = stranger.ask_binary(&encode(BinaryRequest::Stat(StatsGroup::General)));
    assert!(SaslDemand::from_reply(&reply).is_some(), "{reply:?}");
    assert_eq!(stranger.read(|_| false), b"");
    let mut stranger = tcp(server.address);
    let reply = stranger.ask(&ReadValues::binary(&[b"a b"], 0), |_| false);
    let expect = vec![ValueEvent::Refused("Auth failure. (status 0x20)".into())];
    assert_eq!(decode_binary_values([&reply[..]]), (expect, false));
}
