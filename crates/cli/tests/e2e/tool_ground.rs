//! What the tests of `tool` stand on: servers that demand a log-in, a plain client that fills and
//! reads a cache as an application does, and runs whose output need not be text.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::{MemcachedServer, fresh_loopback};

use crate::certificate::base64;
use crate::program::{Run, Running, program};

pub(crate) const MODES: [&str; 10] = [
    "display", "stats", "settings", "items", "slabs", "sizes", "conns", "keys", "dump", "console",
];
pub(crate) const USER: &str = "anna";
pub(crate) const PASSWORD: &str = "s3cret-word";
/// How long a server of these tests may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder for what one test writes: password files, journals, dumps.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns its path as an argument.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `memsweep tool` with these arguments, which journals into this folder.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = program(&[&["tool"], arguments].concat());
        command.env("XDG_STATE_HOME", self.path("state"));
        command
    }

    pub(crate) fn journal(&self) -> String {
        std::fs::read_to_string(self.path("state/memsweep/dumps.log")).unwrap_or_default()
    }
}

/// Runs a command whose output may be any bytes.
pub(crate) fn run_bytes(command: Command) -> (Run, Vec<u8>) {
    let (running, mut stdout) = Running::start_unread(command);
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let run = running.finish();
    (run, reader.join().unwrap())
}

/// The same with these lines on its standard input.
pub(crate) fn run_with_input(folder: &Folder, mut command: Command, input: &str) -> (Run, Vec<u8>) {
    let mut name = tempfile::NamedTempFile::new_in(folder.0.path()).unwrap();
    name.write_all(input.as_bytes()).unwrap();
    command.stdin(File::open(name.path()).unwrap());
    run_bytes(command)
}

/// Does something with each, a few at once, and returns what came of it in their order.
pub(crate) fn at_once<T: Sync, R: Send>(
    all: &[T],
    workers: usize,
    action: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            match all.get(index) {
                Some(one) => done.push((index, action(one))),
                None => return done,
            }
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let finished = workers.into_iter().map(|worker| worker.join().unwrap());
        finished.flatten().collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// memcached on a loopback address of its own.
pub(crate) fn start(arguments: &[&str]) -> (Ipv4Addr, MemcachedServer) {
    let address = fresh_loopback();
    let text = address.to_string();
    let server = MemcachedServer::start(&[&["-l", &text], arguments].concat());
    (address, server)
}

/// A server that demands SASL, with a stand-in for saslauthd that knows one user.
///
/// Debian's memcached has no password file of its own for SASL; its configuration names a socket
/// where saslauthd would listen, and here a thread does.
pub(crate) struct SaslServer {
    pub(crate) address: Ipv4Addr,
    _server: MemcachedServer,
    folder: TempDir,
    stopped: Arc<AtomicBool>,
    judge: Option<JoinHandle<()>>,
}

impl SaslServer {
    pub(crate) fn start() -> SaslServer {
        SaslServer::start_with(&[])
    }

    /// With further arguments for memcached.
    pub(crate) fn start_with(more: &[&str]) -> SaslServer {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("mux");
        let listener = UnixListener::bind(&socket).unwrap();
        let configuration = format!(
            "pwcheck_method: saslauthd\nsaslauthd_path: {}\nmech_list: plain\n",
            socket.display()
        );
        std::fs::write(folder.path().join("memcached.conf"), configuration).unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        let judge = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_stopped.load(Ordering::Relaxed) {
                    return;
                }
                judge(&mut stream.unwrap());
            }
        });
        let address = fresh_loopback();
        let environment = format!("SASL_CONF_PATH={}", folder.path().display());
        let host = address.to_string();
        let arguments = [
            &[&environment, testkit::server::MEMCACHED, "-S", "-l", &host],
            more,
        ]
        .concat();
        SaslServer {
            address,
            _server: MemcachedServer::start_command("/usr/bin/env", &arguments),
            folder,
            stopped,
            judge: Some(judge),
        }
    }
}

impl Drop for SaslServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it is to end.
        let _ = UnixStream::connect(self.folder.path().join("mux"));
        if let Some(judge) = self.judge.take() {
            let _ = judge.join();
        }
    }
}

/// Answers one question of saslauthd's protocol: four texts (user, password, service, realm), each
/// with its length before it in two bytes; the answer is one such text.
fn judge(stream: &mut UnixStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = || {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut text = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    let [user, password, _service, _realm] = [text(), text(), text(), text()];
    let answer: &[u8] = if (&user[..], &password[..]) == (USER, PASSWORD) {
        b"\0\x02OK"
    } else {
        b"\0\x02NO"
    };
    stream.write_all(answer).unwrap();
}

/// An item as a client sees it: flags, moment of expiry as the listing names it, value.
pub(crate) type Item = (u32, i64, Vec<u8>);

/// A client like those of applications, over TCP or a unix socket.
pub(crate) struct Client<Stream: Read + Write> {
    stream: BufReader<Stream>,
}

impl Client<TcpStream> {
    pub(crate) fn connect(host: Ipv4Addr) -> Client<TcpStream> {
        let stream = TcpStream::connect(SocketAddr::from((host, 11211))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a file as `nc` would, and returns how many of the replies say that something was stored.
    pub(crate) fn replay(self, file: &Path) -> u64 {
        let mut stream = self.stream.into_inner();
        let mut replies = BufReader::new(stream.try_clone().unwrap());
        let counter = std::thread::spawn(move || {
            let mut stored = 0;
            let mut line = String::new();
            while replies.read_line(&mut line).unwrap() > 0 {
                stored += u64::from(line == "STORED\r\n" || line == "HD\r\n");
                line.clear();
            }
            stored
        });
        std::io::copy(&mut File::open(file).unwrap(), &mut stream).unwrap();
        stream.write_all(b"quit\r\n").unwrap();
        counter.join().unwrap()
    }
}

impl Client<UnixStream> {
    pub(crate) fn connect_unix(path: &Path) -> Client<UnixStream> {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }
}

impl<Stream: Read + Write> Client<Stream> {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, request: &str) -> String {
        self.send(request.as_bytes());
        self.line()
    }

    pub(crate) fn set(&mut self, key: &str, flags: u32, expires: u32, data: &[u8]) {
        let head = format!("set {key} {flags} {expires} {}\r\n", data.len());
        // In one piece: small pieces would each wait for the other side's acknowledgement.
        self.send(&[head.as_bytes(), data, b"\r\n"].concat());
        assert_eq!(self.line(), "STORED");
    }

    /// Many items at once, without waiting for each.
    pub(crate) fn set_many(&mut self, keys: impl Iterator<Item = String>, data: &[u8]) {
        let mut requests = Vec::new();
        for key in keys {
            let head = format!("set {key} 0 0 {} noreply\r\n", data.len());
            requests.extend([head.as_bytes(), data, b"\r\n"].concat());
            if requests.len() > 1 << 20 {
                self.send(&requests);
                requests.clear();
            }
        }
        self.send(&requests);
        assert_eq!(self.ask("mn\r\n"), "MN");
    }

    /// Logs in as servers with `-Y` want it.
    pub(crate) fn log_in(&mut self) {
        self.set("login", 0, 0, format!("{USER} {PASSWORD}").as_bytes());
    }

    /// One packet of the binary protocol (doc/protocol-binary.txt), which is answered with status 0.
    fn packet(&mut self, opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) {
        let body = [extras, key, value].concat();
        let mut packet = vec![0x80, opcode];
        packet.extend(u16::try_from(key.len()).unwrap().to_be_bytes());
        packet.extend([u8::try_from(extras.len()).unwrap(), 0, 0, 0]);
        packet.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        packet.extend([0; 4 + 8]);
        packet.extend(body);
        self.send(&packet);
        let mut reply = [0; 24];
        self.stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply[6..8], [0, 0], "status");
        let body_bytes = u32::from_be_bytes([reply[8], reply[9], reply[10], reply[11]]);
        let mut body = vec![0; body_bytes as usize];
        self.stream.read_exact(&mut body).unwrap();
    }

    /// Logs in as servers with `-S` want it.
    pub(crate) fn log_in_by_sasl(&mut self) {
        let message = format!("\0{USER}\0{PASSWORD}");
        self.packet(0x21, b"", b"PLAIN", message.as_bytes());
    }

    /// By the binary protocol, which takes any bytes as a key; on a connection that speaks no other.
    pub(crate) fn set_binary(&mut self, key: &[u8], flags: u32, expires: u32, data: &[u8]) {
        let extras = [flags.to_be_bytes(), expires.to_be_bytes()].concat();
        self.packet(0x01, &extras, key, data);
    }

    /// By a meta set, which takes any bytes as a key too.
    pub(crate) fn set_meta(&mut self, key: &[u8], data: &[u8]) {
        let head = format!("ms {} {} b F9 T0\r\n", base64(key), data.len());
        self.send(&[head.as_bytes(), data, b"\r\n"].concat());
        assert_eq!(self.line(), "HD");
    }

    /// The lines of a metadump, once the server's own crawler is not at work.
    pub(crate) fn metadump(&mut self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let first = self.ask("lru_crawler metadump all\r\n");
            if first.starts_with("BUSY") {
                assert!(Instant::now() < deadline, "the crawler never gets done");
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let mut lines = Vec::new();
            let mut line = first;
            while line != "END" {
                assert!(line.starts_with("key="), "{line}");
                lines.push(std::mem::replace(&mut line, self.line()));
            }
            return lines;
        }
    }

    /// All that the server holds.
    pub(crate) fn items(&mut self) -> BTreeMap<Vec<u8>, Item> {
        let listed = self.metadump();
        let mut items = BTreeMap::new();
        for line in listed {
            let mut words = line.split(' ');
            let key = decoded(words.next().unwrap().strip_prefix("key=").unwrap());
            let expires = words.next().unwrap().strip_prefix("exp=").unwrap();
            let (flags, value) = if key.iter().any(|byte| *byte <= b' ') {
                self.item_by_meta(&key)
            } else {
                self.item_by_get(&key)
            };
            items.insert(key, (flags, expires.parse().unwrap(), value));
        }
        items
    }

    fn item_by_get(&mut self, key: &[u8]) -> (u32, Vec<u8>) {
        self.send(&[b"get ", key, b"\r\n"].concat());
        let mut head = Vec::new();
        self.stream.read_until(b'\n', &mut head).unwrap();
        let head = String::from_utf8_lossy(&head).into_owned();
        let numbers: Vec<&str> = head.trim_end().rsplit(' ').collect();
        let mut value = vec![0; numbers[0].parse().unwrap()];
        self.stream.read_exact(&mut value).unwrap();
        assert_eq!((self.line(), self.line()), (String::new(), "END".into()));
        (numbers[1].parse().unwrap(), value)
    }

    fn item_by_meta(&mut self, key: &[u8]) -> (u32, Vec<u8>) {
        let head = self.ask(&format!("mg {} b f v\r\n", base64(key)));
        let words: Vec<&str> = head.split(' ').collect();
        assert_eq!(words[0], "VA", "{head}");
        let mut value = vec![0; words[1].parse().unwrap()];
        self.stream.read_exact(&mut value).unwrap();
        assert_eq!(self.line(), "");
        let flags = words.iter().find_map(|word| word.strip_prefix('f'));
        (flags.unwrap().parse().unwrap(), value)
    }
}

/// `%41` is `A`.
pub(crate) fn decoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, behind @ ..] = rest {
        if let (b'%', [high, low, behind @ ..]) = (first, behind) {
            let digits = [*high, *low];
            let digits = std::str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    bytes
}
