//! The lab: a scanner and a target, each in a network namespace of its own, joined by one cable and
//! with no route to anywhere else.
//!
//! ```text
//! scanner                                  target
//! lab0 10.63.0.1/30, 02:00:00:00:00:01 ─── lab1 10.63.0.2/30, 02:00:00:00:00:02
//! default via 10.63.0.2                    behind it: networks of the kernel's own, or a Responder
//! ```
//!
//! Behind the target's end there are either networks that its kernel owns ([`Lab::own`]), on which
//! real servers can listen, or millions of made-up hosts in the kernel ([`Lab::respond`]), whose
//! truth is known to [`Responder`].

mod responder;

use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

pub use responder::{Counters, Fate, Responder};

use crate::Namespace;
use crate::namespace::succeed;

/// The scanner's interface.
pub const SCANNER_INTERFACE: &str = "lab0";
/// The target's interface.
pub const TARGET_INTERFACE: &str = "lab1";
/// The scanner's address.
pub const SCANNER: Ipv4Addr = Ipv4Addr::new(10, 63, 0, 1);
/// The target's address, the gateway to everything behind it.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 63, 0, 2);
/// The hardware address of the target's interface.
pub const GATEWAY_HARDWARE: &str = "02:00:00:00:00:02";
/// The hardware address of the scanner's interface.
pub const SCANNER_HARDWARE: &str = "02:00:00:00:00:01";

/// Queues of each end: as many senders get one of their own.
const QUEUES: u32 = 2;
/// Processors whose queue is chosen, and bits of a word of the mask that says so.
const MASK_BITS: u32 = 32;
/// How long the responder may take for an answer about itself.
const CONTROL_WAIT: Duration = Duration::from_secs(2);

/// What a target's kernel must not do, so that one machine can stand for many hosts: limit ICMP
/// errors as if it were one host (`icmp_ratemask`), or drop what comes over an unusual way.
const TARGET_SETTINGS: &str = "\
    net.ipv4.icmp_ratemask=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lab1.rp_filter=0";

/// The two namespaces. Gone when dropped, with everything in them.
#[derive(Debug)]
pub struct Lab {
    /// Where the scanner runs.
    pub scanner: Namespace,
    /// What it scans.
    pub target: Namespace,
}

impl Lab {
    /// A lab with nothing behind the gateway: the target's kernel has no way back to where a probe
    /// wants to go, and stays silent.
    ///
    /// # Panics
    /// If this machine allows no namespaces, or lacks `ip`, `sysctl` or `ethtool`.
    #[expect(clippy::new_without_default, reason = "starts processes and can panic")]
    pub fn new() -> Lab {
        let scanner = Namespace::new();
        let target = scanner.sibling();
        let peer = target.process_id();
        let queues = format!("numtxqueues {QUEUES} numrxqueues {QUEUES}");
        scanner.run(&format!(
            "ip link add {SCANNER_INTERFACE} {queues} address {SCANNER_HARDWARE} type veth \
             peer name {TARGET_INTERFACE} {queues} address {GATEWAY_HARDWARE} netns {peer}"
        ));
        for (namespace, interface, address) in [
            (&scanner, SCANNER_INTERFACE, SCANNER),
            (&target, TARGET_INTERFACE, GATEWAY),
        ] {
            // Without IPv6 an idle link has no traffic at all: whoever hears a frame hears an answer.
            let quiet = format!("net.ipv6.conf.{interface}.disable_ipv6=1");
            namespace.run(&format!("sysctl -qw {quiet}"));
            namespace.run(&format!("ip address add {address}/30 dev {interface}"));
            namespace.run(&format!("ip link set {interface} up"));
            // veth takes bare frames only where somebody polls for them: NAPI comes with GRO. Once it
            // is up, because only then the other end is told that it may send them.
            namespace.run(&format!("ethtool -K {interface} gro on"));
        }
        scanner.run(&format!("ip route add default via {GATEWAY}"));
        target.run(&format!("sysctl -qw {TARGET_SETTINGS}"));
        Lab { scanner, target }
    }

    /// Lets the target's kernel own a network (CIDR): every address of it is one of its hosts, on
    /// which servers can listen, and whose other ports are closed.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn own(&self, network: &str) {
        self.target
            .run(&format!("ip route add local {network} dev lo"));
    }

    /// The same, on the link: the scanner gets this address of the network, and asks for the others
    /// by ARP.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn own_on_link(&self, network: &str, scanner: Ipv4Addr) {
        self.own(network);
        let length = network.rsplit('/').next().unwrap_or_default();
        self.scanner.run(&format!(
            "ip address add {scanner}/{length} dev {SCANNER_INTERFACE}"
        ));
        // In the table that is asked first; there it is the longest prefix.
        self.target.run(&format!(
            "ip route add {scanner}/32 dev {TARGET_INTERFACE} table local"
        ));
    }

    /// Puts made-up hosts behind the target's interface, in place of others that may be there.
    ///
    /// # Panics
    /// If this process is not root (the kernel takes no programs of others), or `ip` refuses.
    pub fn respond(&self, responder: &Responder) {
        bind_queues(&self.scanner, SCANNER_INTERFACE);
        bind_queues(&self.target, TARGET_INTERFACE);
        self.attach(responder, "responder");
    }

    /// Lets the target's interface forget whatever comes and is not for the gateway itself, after
    /// the interface has counted it.
    ///
    /// # Panics
    /// As [`Lab::respond`].
    pub fn sink(&self) {
        self.attach(&Responder::default(), "sink");
    }

    /// Takes responder or sink away again.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn detach(&self) {
        self.target
            .run(&format!("ip link set dev {TARGET_INTERFACE} xdp off"));
    }

    fn attach(&self, responder: &Responder, program: &str) {
        let mut object = tempfile::NamedTempFile::new().expect("a scratch file");
        object
            .write_all(&responder.object(GATEWAY))
            .and_then(|()| object.flush())
            .expect("a scratch file can be written");
        let path = object.path().to_str().expect("a plain path");
        self.detach();
        self.target.run(&format!(
            "ip link set dev {TARGET_INTERFACE} xdpdrv object {path} program {program}"
        ));
    }

    /// What the responder has counted since it was put there.
    ///
    /// # Panics
    /// If there is none, or it does not answer.
    pub fn counters(&self) -> Counters {
        self.scanner.inside(|| {
            let control = control_socket();
            responder::ask_counters(&control).expect("the responder tells its counters")
        })
    }

    /// How many frames came in each millisecond, from the first on (131 s at most), if the responder
    /// keeps times.
    ///
    /// # Panics
    /// As [`Lab::counters`].
    pub fn arrivals(&self) -> Vec<u32> {
        self.scanner.inside(|| {
            let control = control_socket();
            responder::ask_arrivals(&control).expect("the responder tells its times")
        })
    }

    /// Frames that the target's interface has received.
    ///
    /// # Panics
    /// If the kernel does not tell.
    pub fn received_frames(&self) -> u64 {
        self.interface_frames(&self.target, TARGET_INTERFACE)
    }

    /// Frames that the scanner's interface has received.
    ///
    /// # Panics
    /// If the kernel does not tell.
    pub fn answered_frames(&self) -> u64 {
        self.interface_frames(&self.scanner, SCANNER_INTERFACE)
    }

    fn interface_frames(&self, namespace: &Namespace, interface: &str) -> u64 {
        let path = format!("/proc/{}/net/dev", namespace.process_id());
        let table = std::fs::read_to_string(path).expect("the kernel's table of interfaces");
        received_by(interface, &table).expect("a row for the lab's interface")
    }
}

/// Gives every processor the queue that bare frames from it take (its number modulo the queues, by
/// veth's own choice), for what sockets send too (XPS, the kernel's networking/scaling document).
/// Otherwise a queue that one processor has begun to empty is filled by another, which does not wait
/// for it: where answers come in their hundred thousands, a busy machine's cable would lose a third
/// of all frames, and a test would be about the cable.
fn bind_queues(namespace: &Namespace, interface: &str) {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    for queue in 0..QUEUES {
        let of_queue = (0..MASK_BITS).filter(|processor| {
            processor % QUEUES == queue
                && usize::try_from(*processor).is_ok_and(|one| one < processors)
        });
        let mask = of_queue.fold(0_u32, |mask, processor| mask | 1 << processor);
        let file = format!("/sys/class/net/{interface}/queues/tx-{queue}/xps_cpus");
        // Only a new mount of sysfs shows the interfaces of this namespace.
        let script = format!("mount -t sysfs lab /sys && echo {mask:x} > {file}");
        let mut command = namespace.command("unshare");
        command.args(["--mount", "--", "sh", "-c", &script]);
        succeed("unshare --mount", command.output());
    }
}

/// Packets that an interface has received, from the text of `/proc/net/dev`: after the name come
/// bytes and packets.
fn received_by(interface: &str, table: &str) -> Option<u64> {
    let columns = table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    columns.split_whitespace().nth(1)?.parse().ok()
}

/// A socket to the responder; made in the scanner's namespace.
fn control_socket() -> UdpSocket {
    let socket = UdpSocket::bind((SCANNER, 0)).expect("a socket of the scanner's");
    socket
        .connect((GATEWAY, responder::CONTROL_PORT))
        .and_then(|()| socket.set_read_timeout(Some(CONTROL_WAIT)))
        .expect("a way to the gateway");
    socket
}

#[cfg(test)]
mod tests;
