//! Network namespaces: separate machines, as far as the kernel's network is concerned.
//!
//! A namespace lives as long as its holder, a process that waits on a pipe from us; with the last
//! process in it, the kernel removes the namespace with its interfaces, addresses and rules.
//! Where namespaces cannot be made, the test fails and says so: a test that could not run is not
//! green.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use model::Transport;

/// A network namespace of its own with loopback up. Gone when dropped.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
    is_user_namespace: bool,
}

/// What a firewall answers in a host's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// Nothing.
    Drop,
    /// ICMP type 3 code 13 (communication administratively prohibited).
    AdminProhibited,
    /// ICMP type 3 code 3.
    PortUnreachable,
    /// ICMP type 3 code 1.
    HostUnreachable,
    /// A TCP reset (TCP only).
    TcpReset,
}

impl Firewall {
    fn verdict(self) -> &'static str {
        match self {
            Firewall::Drop => "drop",
            Firewall::AdminProhibited => "reject with icmp type admin-prohibited",
            Firewall::PortUnreachable => "reject with icmp type port-unreachable",
            Firewall::HostUnreachable => "reject with icmp type host-unreachable",
            Firewall::TcpReset => "reject with tcp reset",
        }
    }
}

impl Namespace {
    /// A new namespace. Without root, inside a new user namespace whose root we are; use
    /// [`Namespace::sibling`] for the others that are to be connected with it.
    ///
    /// # Panics
    /// If this machine does not allow it.
    // A namespace is made, not defaulted to: `Default` would hide the processes behind it.
    #[expect(clippy::new_without_default, reason = "starts a process and can panic")]
    pub fn new() -> Namespace {
        let is_root = nix::unistd::geteuid().is_root();
        let mut command = Command::new("unshare");
        if !is_root {
            command.args(["--user", "--map-root-user"]);
        }
        Self::hold(command, !is_root)
    }

    /// Another namespace that can be connected with this one.
    ///
    /// # Panics
    /// If this machine does not allow it.
    pub fn sibling(&self) -> Namespace {
        Self::hold(self.command("unshare"), self.is_user_namespace)
    }

    fn hold(mut unshare: Command, is_user_namespace: bool) -> Namespace {
        // `exec` all the way: the holder is the process we started, so its id is known.
        unshare.args([
            "--net",
            "--",
            "sh",
            "-c",
            "ip link set lo up && echo ready && exec cat",
        ]);
        unshare
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut holder = unshare
            .spawn()
            .expect("failed to run unshare (package util-linux)");
        let mut line = String::new();
        let stdout = holder.stdout.as_mut().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the holder's first line");
        if line != "ready\n" {
            let output = holder.wait_with_output().expect("our own child");
            panic!(
                "this machine allows no network namespaces, which this test needs: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Namespace {
            holder,
            is_user_namespace,
        }
    }

    /// The id of a process in the namespace, for `nsenter --target` and `/proc/ID/ns/net`.
    pub fn process_id(&self) -> u32 {
        self.holder.id()
    }

    /// Whether it belongs to a user namespace of ours, in which we are root without being root.
    pub(crate) fn is_user_namespace(&self) -> bool {
        self.is_user_namespace
    }

    /// A command that will run inside the namespace. Its standard input is empty; whoever starts
    /// it must wait for it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg("--target")
            .arg(self.process_id().to_string())
            .arg("--net");
        if self.is_user_namespace {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a command line (split at spaces, no shell) and returns what it wrote.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, command_line: &str) -> String {
        let mut words = command_line.split_whitespace();
        let mut command = self.command(words.next().expect("a command"));
        succeed(command_line, command.args(words).output())
    }

    /// Does some work inside the namespace, on a thread of its own: sockets that it opens belong to
    /// the namespace for good, and so do the processes and threads that it starts.
    ///
    /// # Panics
    /// If the work panics, or without root: the kernel lets nobody else in.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/proc/{}/ns/net", self.process_id());
        let enter_and_work = || {
            let namespace = std::fs::File::open(&path).expect("the holder's namespace");
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("failed to enter a network namespace, which takes root");
            work()
        };
        std::thread::scope(|scope| {
            let worker = scope.spawn(enter_and_work);
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Whether a socket listens (TCP) or is bound (UDP) on this port, on any address: `protocol`
    /// is `tcp` or `udp`, as the files in `/proc/ID/net` are called.
    pub fn listens(&self, protocol: &str, port: u16) -> bool {
        // States of include/net/tcp_states.h: 0A is LISTEN; an unconnected UDP socket is 07.
        let state = if protocol == "tcp" { "0A" } else { "07" };
        let suffix = format!(":{port:04X}");
        ["", "6"].iter().any(|family| {
            let path = format!("/proc/{}/net/{protocol}{family}", self.process_id());
            let table = std::fs::read_to_string(path).unwrap_or_default();
            table.lines().skip(1).any(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields.get(1).is_some_and(|local| local.ends_with(&suffix))
                    && fields.get(3) == Some(&state)
            })
        })
    }

    /// Connects this namespace with another by a pair of virtual Ethernet interfaces. Addresses
    /// are with prefix length, such as `10.99.0.1/24`. Returns the names of the interfaces here
    /// and there.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn connect(&self, own: &str, other: &Namespace, others: &str) -> (String, String) {
        static PAIRS: AtomicU32 = AtomicU32::new(0);
        let number = PAIRS.fetch_add(1, Ordering::Relaxed);
        let [here, there] = [format!("here{number}"), format!("there{number}")];
        let peer = other.process_id();
        self.run(&format!(
            "ip link add {here} type veth peer name {there} netns {peer}"
        ));
        for (namespace, interface, address) in [(self, &here, own), (other, &there, others)] {
            // Without `nodad` an IPv6 address is unusable for its first second.
            let nodad = if address.contains(':') { "nodad" } else { "" };
            namespace.run(&format!("ip address add {address} dev {interface} {nodad}"));
            namespace.run(&format!("ip link set {interface} up"));
        }
        (here, there)
    }

    /// Makes the namespace answer packets to this port, on its way in, as `firewall` says.
    ///
    /// # Panics
    /// If nft refuses, or for a unix socket.
    pub fn firewall(&self, transport: Transport, port: u16, firewall: Firewall) {
        assert_ne!(transport, Transport::Unix, "unix sockets pass no firewall");
        self.nft("add table inet test");
        self.nft("add chain inet test input { type filter hook input priority 0 ; }");
        self.nft(&format!(
            "add rule inet test input {transport} dport {port} {}",
            firewall.verdict()
        ));
    }

    /// Runs one nft command.
    ///
    /// # Panics
    /// If nft refuses.
    pub fn nft(&self, command_line: &str) {
        succeed(command_line, self.command("nft").arg(command_line).output());
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The pipe's end is what the holder waits for; killing it (by its id) is as good and sure.
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What a command wrote.
///
/// # Panics
/// If it failed.
pub(crate) fn succeed(what: &str, output: std::io::Result<Output>) -> String {
    let output = output.unwrap_or_else(|error| panic!("failed to run {what}: {error}"));
    assert!(
        output.status.success(),
        "{what}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemcachedServer;

    /// Asks with a few lines of python, because our own process is not in the namespace.
    const ASK: &str = "
import errno, socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == 'tcp' else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET, kind)
s.settimeout(0.3)
try:
    s.connect((sys.argv[2], 11211))
    frame = b'' if kind == socket.SOCK_STREAM else b'\\0\\1\\0\\0\\0\\1\\0\\0'
    s.send(frame + b'version\\r\\n')
    print(s.recv(64)[len(frame):].split()[0].decode())
except OSError as error:
    print(type(error).__name__ if error.errno is None else errno.errorcode[error.errno])
";

    fn ask(from: &Namespace, transport: &str, address: &str) -> String {
        let output = from
            .command("python3")
            .args(["-c", ASK, transport, address])
            .output();
        succeed("python3", output).trim().to_owned()
    }

    #[test]
    fn two_namespaces_talk_to_a_real_server_and_through_a_firewall() {
        let scanner = Namespace::new();
        let host = scanner.sibling();
        scanner.connect("10.99.0.1/24", &host, "10.99.0.2/24");
        let _server = MemcachedServer::start_in(&host, &["-l", "10.99.0.2", "-U", "11211"]);
        assert_eq!(ask(&scanner, "tcp", "10.99.0.2"), "VERSION");
        assert_eq!(ask(&scanner, "udp", "10.99.0.2"), "VERSION");

        let cases = [
            (Transport::Tcp, Firewall::TcpReset, "ECONNREFUSED"),
            (Transport::Tcp, Firewall::HostUnreachable, "EHOSTUNREACH"),
            (Transport::Tcp, Firewall::PortUnreachable, "ECONNREFUSED"),
            (Transport::Tcp, Firewall::AdminProhibited, "EHOSTUNREACH"),
            (Transport::Tcp, Firewall::Drop, "TimeoutError"),
            (Transport::Udp, Firewall::PortUnreachable, "ECONNREFUSED"),
            (Transport::Udp, Firewall::AdminProhibited, "EHOSTUNREACH"),
            (Transport::Udp, Firewall::Drop, "TimeoutError"),
        ];
        for (transport, firewall, expected) in cases {
            host.firewall(transport, 11211, firewall);
            let heard = ask(&scanner, transport.as_str(), "10.99.0.2");
            assert_eq!(heard, expected, "{transport} {firewall:?}");
            host.nft("delete table inet test");
        }
    }

    #[test]
    fn a_namespace_sees_nothing_of_this_machine() {
        let namespace = Namespace::new();
        let links = namespace.run("ip -oneline link");
        assert_eq!(links.lines().count(), 1, "{links}");
        assert!(links.contains("LOOPBACK,UP"), "{links}");
    }

    #[test]
    fn nothing_is_left_after_drop() {
        let namespace = Namespace::new();
        let holder = namespace.process_id();
        drop(namespace);
        assert!(!std::path::Path::new(&format!("/proc/{holder}")).exists());
    }
}
