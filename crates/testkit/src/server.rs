//! A launcher of real memcached.
//!
//! The server runs in the foreground (never `-d`, no pid file) inside a pid namespace of its own,
//! whose first process waits on a pipe from us. When the pipe closes, because the value is dropped
//! or our process is gone, that process ends and the kernel ends everything else in the namespace.
//! So no server can outlive its test, and nothing is ever killed by name.

use std::fs::File;
use std::io::{Read, Seek};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Namespace;

/// Debian's memcached.
pub const MEMCACHED: &str = "/usr/bin/memcached";
/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(10);
/// How long a server may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(2);
/// How often a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// One `version` request as a UDP datagram: frame (id 1, sequence 0, total 1, reserved 0).
const VERSION_DATAGRAM: &[u8] = b"\x00\x01\x00\x00\x00\x01\x00\x00version\r\n";

/// The first process of the namespace: starts the server, ends it when the pipe on its standard
/// input closes, and ends itself when the server does.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -KILL $server; } 2>/dev/null &
wait $server
"#;

/// A running memcached. Ends when dropped.
#[derive(Debug)]
pub struct MemcachedServer {
    keeper: Child,
    messages: File,
}

impl MemcachedServer {
    /// Starts memcached with these arguments and returns when it answers on every address and
    /// transport that the arguments name (`-l`, `-p`, `-U`, `-s`; without `-l`, on 127.0.0.1).
    ///
    /// # Panics
    /// If it does not start, with its own words: a test without its server has not run.
    pub fn start(arguments: &[&str]) -> MemcachedServer {
        Self::start_command(MEMCACHED, arguments)
    }

    /// The same with another build of memcached.
    ///
    /// # Panics
    /// As [`MemcachedServer::start`].
    pub fn start_command(program: &str, arguments: &[&str]) -> MemcachedServer {
        let mut server = Self::launch(Command::new("unshare"), is_root(), program, arguments);
        let doors = doors_of(arguments);
        server.wait_until("does not answer", || doors.iter().all(Door::answers));
        server
    }

    /// Starts memcached inside a network namespace and returns when it listens there.
    ///
    /// # Panics
    /// As [`MemcachedServer::start`].
    pub fn start_in(namespace: &Namespace, arguments: &[&str]) -> MemcachedServer {
        let mut command = namespace.command("unshare");
        command.stdin(Stdio::piped());
        // In a user namespace we are root, even if we are not outside.
        let is_root = is_root() || namespace.is_user_namespace();
        let mut server = Self::launch(command, is_root, MEMCACHED, arguments);
        let doors = doors_of(arguments);
        server.wait_until("does not listen", || {
            doors.iter().all(|door| match door {
                Door::Tcp(address) => namespace.listens("tcp", address.port()),
                Door::Udp(address) => namespace.listens("udp", address.port()),
                Door::Unix(_) => door.answers(),
            })
        });
        server
    }

    fn launch(
        mut unshare: Command,
        is_root: bool,
        program: &str,
        arguments: &[&str],
    ) -> MemcachedServer {
        let messages = tempfile::tempfile().expect("a scratch file");
        if !is_root {
            unshare.args(["--user", "--map-current-user"]);
        }
        unshare.args([
            "--pid",
            "--fork",
            "--kill-child",
            "--",
            "sh",
            "-c",
            KEEPER,
            "keeper",
        ]);
        unshare.arg(program).args(arguments);
        if is_root && !arguments.contains(&"-u") {
            // memcached refuses to run as root unless it is told to.
            unshare.args(["-u", "root"]);
        }
        let keeper = unshare
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(
                messages
                    .try_clone()
                    .expect("a second handle of the scratch file"),
            )
            .spawn()
            .expect("failed to run unshare (package util-linux)");
        MemcachedServer { keeper, messages }
    }

    fn wait_until(&mut self, complaint: &str, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + START_MAX;
        while !ready() {
            let ended = self.keeper.try_wait().expect("our own child");
            let words = match ended {
                Some(status) => format!("ended ({status})"),
                None if Instant::now() > deadline => complaint.to_owned(),
                None => {
                    std::thread::sleep(LOOK_AGAIN);
                    continue;
                }
            };
            panic!("memcached {words}; it said: {}", self.messages());
        }
        // Whoever answered may be an older server on the same port: ours must still be there.
        if let Some(status) = self.keeper.try_wait().expect("our own child") {
            panic!("memcached ended ({status}); it said: {}", self.messages());
        }
    }

    /// What the server wrote to its standard error so far.
    pub fn messages(&mut self) -> String {
        let mut text = String::new();
        // The handle shares its position with the server's: move back to the end by reading to it.
        let read = self
            .messages
            .rewind()
            .and_then(|()| self.messages.read_to_string(&mut text));
        match read {
            Ok(_) => text,
            Err(error) => format!("(unreadable: {error})"),
        }
    }
}

impl Drop for MemcachedServer {
    fn drop(&mut self) {
        // Closing the pipe ends the keeper and with it, before it can be waited for, all others.
        drop(self.keeper.stdin.take());
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            if matches!(self.keeper.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A loopback address that no other caller of this process, nor of a test process running at the
/// same time, is given: so tests can run in parallel, all on port 11211.
///
/// # Panics
/// After 1,000 addresses.
pub fn fresh_loopback() -> Ipv4Addr {
    /// Processes with ids this far apart would share addresses; tests that run together are near.
    const PROCESSES: u32 = 28 * 256;
    const HOSTS: u32 = 250;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    assert!(
        number < 4 * HOSTS,
        "a test process took more than {} addresses",
        4 * HOSTS
    );
    let process = std::process::id() % PROCESSES;
    // Second octet 128 to 239: clear of 127.0.x.y and of 127.255.255.255.
    let second = 128 + 28 * (number / HOSTS) + process / 256;
    let octet = |value: u32| u8::try_from(value % 256).expect("below 256");
    Ipv4Addr::new(
        127,
        octet(second),
        octet(process),
        octet(1 + number % HOSTS),
    )
}

/// Something that must answer before the server counts as started.
#[derive(Debug, PartialEq)]
enum Door {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl Door {
    fn answers(&self) -> bool {
        const PATIENCE: Duration = Duration::from_millis(100);
        match self {
            Door::Tcp(address) => TcpStream::connect_timeout(address, PATIENCE).is_ok(),
            Door::Unix(path) => UnixStream::connect(path).is_ok(),
            Door::Udp(address) => {
                let any: SocketAddr = if address.is_ipv4() {
                    (Ipv4Addr::UNSPECIFIED, 0).into()
                } else {
                    (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
                };
                let answer = UdpSocket::bind(any).and_then(|socket| {
                    socket.set_read_timeout(Some(PATIENCE))?;
                    socket.connect(address)?;
                    socket.send(VERSION_DATAGRAM)?;
                    socket.recv(&mut [0; 64])
                });
                answer.is_ok()
            }
        }
    }
}

/// What the arguments make the server listen on, as far as Debian's 1.6.18 understands them: TCP
/// on 11211 unless `-p` says otherwise, UDP only with `-U`, and neither with `-s`.
fn doors_of(arguments: &[&str]) -> Vec<Door> {
    let value = |flag: &str| {
        arguments.iter().enumerate().find_map(|(index, argument)| {
            let rest = argument.strip_prefix(flag)?;
            if rest.is_empty() {
                arguments.get(index + 1).copied()
            } else {
                Some(rest)
            }
        })
    };
    if let Some(path) = value("-s") {
        return vec![Door::Unix(PathBuf::from(path))];
    }
    let port = |flag: &str| value(flag).and_then(|text| text.parse::<u16>().ok());
    let udp = port("-U").unwrap_or(0);
    // With -U and without -p, TCP follows to that port.
    let tcp = port("-p").unwrap_or(if udp == 0 { 11211 } else { udp });
    let mut doors = Vec::new();
    for listener in value("-l").unwrap_or("127.0.0.1").split(',') {
        let listener = listener.strip_prefix("notls:").unwrap_or(listener);
        let (address, own_port) = match listener.parse::<SocketAddr>() {
            Ok(socket) => (socket.ip(), Some(socket.port())),
            Err(_) => {
                let bare = listener.trim_matches(['[', ']']);
                let address = bare
                    .parse()
                    .unwrap_or_else(|_| panic!("-l {listener}: no address"));
                (address, None)
            }
        };
        let address = if address == Ipv4Addr::UNSPECIFIED {
            Ipv4Addr::LOCALHOST.into()
        } else {
            address
        };
        if tcp != 0 {
            doors.push(Door::Tcp(SocketAddr::new(address, own_port.unwrap_or(tcp))));
        }
        if udp != 0 {
            doors.push(Door::Udp(SocketAddr::new(address, own_port.unwrap_or(udp))));
        }
    }
    doors
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::Write;

    use super::*;

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.write_all(request).unwrap();
        stream.write_all(b"quit\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    #[test]
    fn a_real_server_answers_and_leaves_nothing_behind() {
        let host = fresh_loopback();
        let address = SocketAddr::from((host, 11211));
        let server =
            MemcachedServer::start(&["-l", &host.to_string(), "-p", "11211", "-U", "11211"]);
        assert!(ask(address, b"version\r\n").starts_with("VERSION 1."));
        assert!(Door::Udp(address).answers());
        let keeper = server.keeper.id();
        let began = Instant::now();
        drop(server);
        assert!(began.elapsed() < END_MAX, "it had to be killed");
        // Everything of the pid namespace is gone as soon as its keeper was waited for.
        assert!(!std::path::Path::new(&format!("/proc/{keeper}")).exists());
        assert_eq!(
            TcpStream::connect(address).unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused
        );
    }

    #[test]
    fn two_servers_share_the_port_on_two_addresses() {
        let [first, second] = [fresh_loopback(), fresh_loopback()];
        let _one = MemcachedServer::start(&["-l", &first.to_string()]);
        let _two = MemcachedServer::start(&["-l", &second.to_string(), "-X"]);
        let settings = |host: Ipv4Addr| ask((host, 11211).into(), b"stats settings\r\n");
        assert!(settings(first).contains("STAT dump_enabled yes\r\n"));
        assert!(settings(second).contains("STAT dump_enabled no\r\n"));
    }

    #[test]
    fn a_server_that_cannot_start_says_why() {
        let result = std::panic::catch_unwind(|| MemcachedServer::start(&["--nonsense"]));
        let words = *result.unwrap_err().downcast::<String>().unwrap();
        assert!(
            words.contains("ended") && words.contains("nonsense"),
            "{words}"
        );
    }

    #[test]
    fn a_port_that_is_taken_is_no_success() {
        let host = fresh_loopback().to_string();
        let _first = MemcachedServer::start(&["-l", &host]);
        let second = std::panic::catch_unwind(|| MemcachedServer::start(&["-l", &host]));
        // The first server answers in its place, so it may seem to have started: its keeper knows.
        let words = match second {
            Err(words) => *words.downcast::<String>().unwrap(),
            Ok(mut server) => {
                let deadline = Instant::now() + START_MAX;
                while server.keeper.try_wait().unwrap().is_none() {
                    assert!(Instant::now() < deadline, "two servers on one port");
                    std::thread::sleep(LOOK_AGAIN);
                }
                server.messages()
            }
        };
        assert!(words.contains("Address already in use"), "{words}");
    }

    #[test]
    fn fresh_addresses_are_distinct() {
        let addresses: HashSet<Ipv4Addr> = (0..300).map(|_| fresh_loopback()).collect();
        assert_eq!(addresses.len(), 300);
        for address in addresses {
            assert!(address.is_loopback() && (128..240).contains(&address.octets()[1]));
        }
    }

    #[test]
    fn doors_are_read_from_the_arguments() {
        let tcp = |text: &str| Door::Tcp(text.parse().unwrap());
        let udp = |text: &str| Door::Udp(text.parse().unwrap());
        let cases: [(&[&str], Vec<Door>); 6] = [
            (&[], vec![tcp("127.0.0.1:11211")]),
            (&["-l", "127.0.0.7", "-p", "5"], vec![tcp("127.0.0.7:5")]),
            (
                &["-l127.0.0.7", "-U", "6"],
                vec![tcp("127.0.0.7:6"), udp("127.0.0.7:6")],
            ),
            (&["-p", "0", "-U", "7"], vec![udp("127.0.0.1:7")]),
            (
                &["-l", "127.0.0.7,[::1]:9"],
                vec![tcp("127.0.0.7:11211"), tcp("[::1]:9")],
            ),
            (&["-s", "/run/x"], vec![Door::Unix("/run/x".into())]),
        ];
        for (arguments, doors) in cases {
            assert_eq!(doors_of(arguments), doors, "{arguments:?}");
        }
    }
}
