//! What the engines' tests share: two network namespaces joined by a pair of interfaces, a run over
//! made-up targets, and a tap that sees every frame that arrives at the far end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use model::MacAddress;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use sweep::cookie::{CookieKey, SOURCE_PORTS, SourcePorts};
use sweep::frame::{FRAME_BYTES_MAX, Probe, emit};
use sweep::reach::{Framing, Hop, Reach, Stretch, Way};
use sweep::reply::LinkLayer;
use sweep::schedule::Stint;
use targets::{AddressRange, Day, Order, Permit, Scope, SelectionBuilder, Shard};
use testkit::Namespace;

use crate::FramesError;
use crate::engine::{Carrier, Ground};
use crate::packet::socket::{PROTOCOL_ALL, bind, open_socket};
use crate::survey::{Interface, Survey};

/// The hops of every run: IPv4 and IPv6 over the same interface.
pub(crate) const BY_IPV4: Way = Way::Hop(0);
pub(crate) const BY_IPV6: Way = Way::Hop(1);

const NEAR: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const FAR: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
/// Bytes that a tap holds until they are read.
const TAP_BYTES: usize = 64 << 20;
/// How long a tap waits for a frame that should come; nothing that works needs it.
const TAP_WAIT_MS: u16 = 2_000;

/// Runs something on a thread whose network is the namespace's; sockets that it opens stay there.
pub(crate) fn inside<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> T {
    let path = format!("/proc/{}/ns/net", namespace.process_id());
    let network = File::open(path).expect("the namespace's file");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(network, CloneFlags::CLONE_NEWNET).expect("entering a namespace needs root");
            work()
        });
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Two namespaces joined by `near0` and `far0`, without addresses: all that passes is what tests
/// send.
pub(crate) struct Lab {
    pub(crate) near: Namespace,
    pub(crate) far: Namespace,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        Lab::with_queues(1)
    }

    /// With this many queues of each interface in either direction.
    pub(crate) fn with_queues(queues: u32) -> Lab {
        let near = Namespace::new();
        let far = near.sibling();
        let peer = far.process_id();
        let queues = format!("numtxqueues {queues} numrxqueues {queues}");
        near.run(&format!(
            "ip link add near0 address {NEAR} {queues} type veth \
             peer name far0 address {FAR} {queues} netns {peer}"
        ));
        for (namespace, name) in [(&near, "near0"), (&far, "far0")] {
            quiet(namespace);
            namespace.run(&format!("ip link set {name} up"));
        }
        Lab { near, far }
    }

    /// The interface that probes leave by.
    pub(crate) fn interface(&self) -> Interface {
        Interface {
            hardware: Some(NEAR),
            ..interface(&self.near, "near0", LinkLayer::Ethernet)
        }
    }

    /// How many frames the kernel counts that arrived at the far end.
    pub(crate) fn arrived(&self) -> u64 {
        let path = format!("/proc/{}/net/dev", self.far.process_id());
        let table = fs::read_to_string(path).expect("the interfaces' counters");
        let line = table
            .lines()
            .find_map(|line| line.trim().strip_prefix("far0:"));
        let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        packets.expect("the second counter")
    }
}

/// Keeps the namespace's kernel from sending anything by itself over IPv6.
pub(crate) fn quiet(namespace: &Namespace) {
    let mut command: Command = namespace.command("sh");
    command.args(["-c", "echo 1 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6"]);
    let output = command.output().expect("a shell");
    assert!(output.status.success(), "{output:?}");
}

/// An interface by its name.
pub(crate) fn interface(namespace: &Namespace, name: &str, layer: LinkLayer) -> Interface {
    let line = namespace.run(&format!("ip -oneline link show {name}"));
    let index = line
        .split(':')
        .next()
        .and_then(|number| number.parse().ok());
    Interface {
        index: index.expect("the interface's number"),
        name: name.to_owned(),
        hardware: None,
        layer,
        mtu_bytes: 1500,
    }
}

/// The addresses from the first to the last.
pub(crate) fn range(first: &str, last: &str) -> AddressRange {
    let ip = |text: &str| text.parse().expect("an address");
    AddressRange::new(ip(first), ip(last)).expect("a range")
}

/// A run on ports 11211 and 11212 of ranges that are reached in these ways, over both transports.
pub(crate) struct Run {
    pub(crate) ground: Ground,
    pub(crate) permit: Permit,
    pub(crate) survey: Survey,
}

impl Run {
    pub(crate) fn new(interface: Interface, targets: &[(AddressRange, Way)]) -> Run {
        let mut selection = SelectionBuilder::new(vec![11211, 11212]);
        for (range, _) in targets {
            selection.add_ranges(&[*range], None);
        }
        let selection = selection.build().expect("a selection");
        let today = Day::new(2026, 11, 22).expect("a day");
        let permit = Scope::new(Vec::new(), today).permit(selection);
        let permit = permit.expect("private addresses");
        let framing = match interface.layer {
            LinkLayer::Ethernet => Framing::Ethernet {
                source: NEAR,
                destination: FAR,
            },
            LinkLayer::Bare => Framing::Bare,
        };
        let hops = ["10.63.0.1", "fd63::1"].map(|source| Hop {
            interface: interface.index,
            framing,
            source: source.parse().expect("an address"),
        });
        let stretches = targets.iter();
        let stretches = stretches.map(|(range, way)| Stretch {
            range: *range,
            way: *way,
        });
        let reach = Reach::new(stretches.collect(), hops.to_vec());
        let ground = Ground {
            order: Order::new(permit.pairs(), 7, Shard::ALL, 0),
            stream: true,
            datagram: true,
            reach: reach.clone(),
            key: CookieKey([3, 5]),
            ports: ports(),
        };
        let survey = Survey {
            reach,
            interfaces: vec![interface],
            neighbours: BTreeMap::new(),
            remarks: Vec::new(),
        };
        Run {
            ground,
            permit,
            survey,
        }
    }

    /// The frame of every probe to whom a hop reaches, as it is to be seen: once.
    pub(crate) fn frames(&self) -> BTreeMap<Vec<u8>, u64> {
        let pairs = 0..self.permit.pairs();
        let frames = pairs.flat_map(|index| [true, false].map(|stream| self.frame(index, stream)));
        frames.flatten().map(|frame| (frame, 1)).collect()
    }

    /// The frame of one probe, if a hop reaches it.
    pub(crate) fn frame(&self, index: u64, stream: bool) -> Option<Vec<u8>> {
        let pair = self.permit.selection().pair(index);
        let address: IpAddr = pair.address.ip().expect("an IP address");
        let hop = self.ground.reach.hop(self.ground.reach.way(address))?;
        let probe = Probe {
            address,
            port: pair.port,
            stream,
        };
        let mut buffer = [0; FRAME_BYTES_MAX];
        let bytes = emit(
            &probe,
            hop,
            &self.ground.key,
            &self.ground.ports,
            &mut buffer,
        );
        Some(buffer[..bytes].to_vec())
    }
}

/// Source ports with others' ports between them.
pub(crate) fn ports() -> SourcePorts {
    let mut ports = [0; SOURCE_PORTS];
    for (port, number) in ports.iter_mut().zip((40_000..).step_by(3)) {
        *port = number;
    }
    SourcePorts(ports)
}

/// A packet socket that sees everything on one interface, and can send anything.
pub(crate) struct Tap(OwnedFd);

impl Tap {
    pub(crate) fn open(namespace: &Namespace, interface: &str) -> Tap {
        let index = self::interface(namespace, interface, LinkLayer::Ethernet).index;
        let socket = inside(namespace, open_socket).expect("a packet socket");
        setsockopt(&socket, sockopt::RcvBufForce, &TAP_BYTES).expect("a large buffer");
        bind(&socket, index, PROTOCOL_ALL).expect("to bind to the interface");
        Tap(socket)
    }

    /// The frames that arrived until now, and how often each. A pair of virtual interfaces hands
    /// over what is sent within the system call, but for what waits for a softirq; so they are
    /// awaited until there are `expected` or the wait is over. More than expected is seen too.
    pub(crate) fn frames(&self, expected: u64) -> BTreeMap<Vec<u8>, u64> {
        let mut frames = BTreeMap::new();
        let mut seen = 0;
        loop {
            match self.next(seen < expected) {
                Some(frame) => *frames.entry(frame).or_default() += 1,
                None => return frames,
            }
            seen += 1;
        }
    }

    /// The same in the order in which they came.
    pub(crate) fn sequence(&self, expected: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next(frames.len() < expected) {
            frames.push(frame);
        }
        frames
    }

    fn next(&self, wait: bool) -> Option<Vec<u8>> {
        if wait {
            let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            poll(&mut polled, TAP_WAIT_MS).expect("to wait");
        }
        let mut buffer = [0; 2_048];
        match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(bytes) => Some(buffer[..bytes].to_vec()),
            Err(Errno::EAGAIN) => None,
            Err(errno) => panic!("tap: {errno}"),
        }
    }

    /// Sends a frame; a full queue is waited out.
    pub(crate) fn send(&self, frame: &[u8]) {
        loop {
            match send(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
                Ok(bytes) => return assert_eq!(bytes, frame.len()),
                Err(Errno::ENOBUFS) => std::thread::yield_now(),
                Err(errno) => panic!("tap: {errno}"),
            }
        }
    }
}

/// Sends a round, the counters shared out among the transmitters in turns of `turn`.
pub(crate) fn send_round(carrier: &mut Carrier, run: &Run, turn: u64) -> u64 {
    let pairs = run.permit.pairs();
    let threads = carrier.transmitters.len() as u64;
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            .zip(&mut carrier.transmitters)
            .map(|(thread, transmitter)| {
                scope.spawn(move || {
                    let turns = (thread * turn..pairs).step_by((threads * turn) as usize);
                    let stints = turns.map(|from| Stint {
                        from,
                        to: (from + turn).min(pairs),
                        round: 0,
                    });
                    let sent = stints.map(|stint| transmitter.transmit(&run.permit, &stint));
                    sent.sum::<Result<u64, FramesError>>()
                })
            })
            .collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended
            .map(|sent| sent.expect("no panic").expect("to send"))
            .sum()
    })
}

/// Opens an engine with one thread, sends without end while `interfere` does its work, and returns what stopped sending and what
/// stopped hearing, if anything did.
pub(crate) fn until_it_fails(
    open: impl FnOnce(&Run) -> Result<Carrier, FramesError> + Send,
    interfere: impl FnOnce(&Lab),
) -> (FramesError, Option<FramesError>) {
    let lab = Lab::new();
    let run = Run::new(
        lab.interface(),
        &[(range("10.9.0.0", "10.9.0.255"), BY_IPV4)],
    );
    let mut carrier = inside(&lab.near, || open(&run)).expect("an engine");
    let mut transmitter = carrier.transmitters.remove(0);
    let stint = Stint {
        from: 0,
        to: run.permit.pairs(),
        round: 0,
    };
    std::thread::scope(|scope| {
        let (begun, has_begun) = mpsc::channel();
        let permit = &run.permit;
        let sender = scope.spawn(move || {
            loop {
                if let Err(error) = transmitter.transmit(permit, &stint) {
                    return error;
                }
                let _ = begun.send(());
            }
        });
        has_begun.recv().expect("a first round");
        interfere(&lab);
        let sending = sender.join().expect("no panic");
        let wait = Duration::from_millis(10);
        let hearing = carrier.receivers[0].receive(wait, &mut |_, _| ()).err();
        (sending, hearing)
    })
}

/// Makes this thread, and only it, one of a user without privileges.
pub(crate) fn become_nobody() {
    const NOBODY: libc::uid_t = 65_534;
    // SAFETY: the system call, unlike the function of that name, changes the calling thread alone;
    // it takes plain integers.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0, "{}", Errno::last());
}
