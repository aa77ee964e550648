//! Proof that live frames arrive, before the first probe leaves.
//!
//! A driver that cannot send them drops them and says nothing: loopback and most tunnels do, and so
//! does a virtual Ethernet pair whose other end does not poll. So a few frames go the way that the
//! probes will go. They are ARP probes (RFC 5227 section 2.1.1: from no address, so that nobody's
//! table changes) to a neighbour that is known to be there, mostly the gateway; its answer to
//! nobody's address can only be to us. Where nobody answers, the counter of the interface has to
//! move by what was sent, on a link that is otherwise quiet.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use model::MacAddress;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sweep::reach::Framing;
use targets::Permit;

use super::{KERNEL_NAME, LOOPBACK, refused, unsuited};
use crate::FramesError;
use crate::bpf::object::Instruction;
use crate::bpf::{LoadError, Program};
use crate::survey::{Interface, Survey};

/// Neighbours that are asked.
const NEIGHBOURS_MAX: usize = 3;
/// ARP probes to each: as many as RFC 5227 sends.
const PROBES: u32 = 3;
/// How long an answer is waited for.
const ANSWER_WAIT: Duration = Duration::from_millis(150);
/// Frames by which the counter has to move where nobody answers.
pub(super) const COUNTED_FRAMES: u32 = 16;
/// How long the counter is watched, before and after.
const COUNTER_WAIT: Duration = Duration::from_millis(60);
const ARP_FRAME_BYTES: usize = 60;
pub(super) const ETHERTYPE_ARP: u16 = 0x0806;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// Ethernet and IPv4, with addresses of 6 and 4 bytes (RFC 826).
const KINDS: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// Shows that live frames leave by this interface, or says that they vanish. The permit stands for
/// the run that the question belongs to: nobody is asked but its gateways and neighbours.
pub(super) fn prove_delivery(
    interface: &Interface,
    survey: &Survey,
    _permit: &Permit,
) -> Result<(), FramesError> {
    let Some(own) = interface.hardware else {
        return Err(unsuited("the interface has no Ethernet address"));
    };
    let program = redirecting_program(interface.index)?;
    if is_answered(&program, interface, own, survey)? {
        return Ok(());
    }
    // To ourselves, if there is nobody else: it leaves, and no more is asked.
    let neighbours = neighbours_on(interface.index, survey);
    let (address, hardware) = *neighbours.first().unwrap_or(&(Ipv4Addr::UNSPECIFIED, own));
    let frame = arp_probe(own, hardware, address);
    if moves_counter(&interface.name, || run(&program, &frame, COUNTED_FRAMES))? {
        return Ok(());
    }
    Err(unsuited(format!(
        "frames vanish: {} does not deliver live frames",
        interface.name
    )))
}

/// Whether a neighbour answers ARP probes that leave as live frames.
pub(super) fn is_answered(
    program: &Program,
    interface: &Interface,
    own: MacAddress,
    survey: &Survey,
) -> Result<bool, FramesError> {
    let neighbours = neighbours_on(interface.index, survey);
    if neighbours.is_empty() {
        return Ok(false);
    }
    let ears = listen(interface.index).map_err(refused("opening a packet socket"))?;
    for (address, hardware) in &neighbours {
        run(program, &arp_probe(own, *hardware, *address), PROBES)?;
    }
    hears_reply(&ears, own, &neighbours)
}

/// `return bpf_redirect(interface, 0)`: what the program of the probes ends with.
pub(super) fn redirecting_program(interface: u32) -> Result<Program, FramesError> {
    let move_into = |register: u64, value: u64| 0xb7 | register << 8 | value << 32;
    let instructions: [Instruction; 4] = [
        move_into(1, u64::from(interface)),
        move_into(2, 0),
        // Call helper 23.
        0x85 | 23 << 32,
        // Return.
        0x95,
    ];
    Program::of_instructions(KERNEL_NAME, &instructions).map_err(|error| match error {
        LoadError::Refused { errno, .. } => refused("loading a BPF program")(errno),
        error @ LoadError::Object(_) => unsuited(error.to_string()),
    })
}

fn run(program: &Program, frame: &[u8], count: u32) -> Result<(), FramesError> {
    match program.run_live(frame, LOOPBACK, count, count) {
        Ok(()) => Ok(()),
        Err(Errno::EINVAL) => Err(unsuited(
            "this kernel has no live frames (Linux 5.18 or later has them)",
        )),
        // A signal; what was sent was sent.
        Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(refused("sending live frames")(errno)),
    }
}

/// Whom probes go through on this interface, as far as their IPv4 addresses are known.
fn neighbours_on(interface: u32, survey: &Survey) -> Vec<(Ipv4Addr, MacAddress)> {
    let mut found: Vec<(Ipv4Addr, MacAddress)> = Vec::new();
    let hops = survey.reach.hops().iter();
    for hop in hops.filter(|hop| hop.interface == interface) {
        let Framing::Ethernet { destination, .. } = hop.framing else {
            continue;
        };
        let known = survey.neighbours.iter().find_map(|(ip, card)| match ip {
            IpAddr::V4(address) if *card == destination => Some((*address, *card)),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        });
        found.extend(known.filter(|neighbour| !found.contains(neighbour)));
        if found.len() == NEIGHBOURS_MAX {
            break;
        }
    }
    found
}

fn arp_probe(own: MacAddress, to: MacAddress, address: Ipv4Addr) -> [u8; ARP_FRAME_BYTES] {
    let mut frame = [0; ARP_FRAME_BYTES];
    frame[0..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&own.0);
    frame[12..14].copy_from_slice(&ETHERTYPE_ARP.to_be_bytes());
    frame[14..20].copy_from_slice(&KINDS);
    frame[21] = REQUEST;
    frame[22..28].copy_from_slice(&own.0);
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

/// Whether a frame is the answer to a probe of ours.
fn is_reply(frame: &[u8], own: MacAddress, neighbours: &[(Ipv4Addr, MacAddress)]) -> bool {
    let Some(frame) = frame.first_chunk::<42>() else {
        return false;
    };
    let from = Ipv4Addr::new(frame[28], frame[29], frame[30], frame[31]);
    frame[12..14] == ETHERTYPE_ARP.to_be_bytes()
        && frame[14..20] == KINDS
        && frame[20..22] == [0, REPLY]
        && neighbours.iter().any(|(address, _)| *address == from)
        && frame[32..38] == own.0
        && frame[38..42] == [0; 4]
}

/// A socket that hears the ARP packets of an interface.
fn listen(interface: u32) -> Result<OwnedFd, Errno> {
    let protocol = ETHERTYPE_ARP.to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes no memory.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    let socket = Errno::result(socket)?;
    // SAFETY: the kernel has just opened it for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all bits zero are a value of this structure of numbers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol;
    address.sll_ifindex = interface as libc::c_int;
    // SAFETY: the address is of the length that is said.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    Errno::result(bound)?;
    Ok(socket)
}

fn hears_reply(
    ears: &OwnedFd,
    own: MacAddress,
    neighbours: &[(Ipv4Addr, MacAddress)],
) -> Result<bool, FramesError> {
    let until = Instant::now() + ANSWER_WAIT;
    let mut frame = [0; 256];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut descriptors = [PollFd::new(ears.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(FramesError::system("waiting for ARP")(errno)),
        }
        match nix::unistd::read(ears, &mut frame) {
            Ok(length) if is_reply(&frame[..length], own, neighbours) => return Ok(true),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(FramesError::system("reading ARP")(errno)),
        }
    }
}

/// Whether the counter of sent packets moves by as many frames as `send` sends, and by far more
/// than it does by itself.
fn moves_counter(
    interface: &str,
    send: impl FnOnce() -> Result<(), FramesError>,
) -> Result<bool, FramesError> {
    let before = packets_sent(interface)?;
    std::thread::sleep(COUNTER_WAIT);
    let start = packets_sent(interface)?;
    send()?;
    std::thread::sleep(COUNTER_WAIT);
    let by_itself = start.saturating_sub(before);
    let moved = packets_sent(interface)?.saturating_sub(start);
    Ok(moved >= u64::from(COUNTED_FRAMES) + 2 * by_itself)
}

/// The interface's count of packets sent: the tenth number of its line (proc(5), /proc/net/dev).
fn packets_sent(interface: &str) -> Result<u64, FramesError> {
    // Of this thread, because namespaces are a matter of threads.
    let path = "/proc/thread-self/net/dev";
    let table = std::fs::read_to_string(path).map_err(|error| FramesError::System {
        what: "reading the interface's counters",
        reason: error.to_string(),
    })?;
    sent_in(&table, interface).ok_or_else(|| FramesError::NoInterface {
        name: interface.to_owned(),
    })
}

fn sent_in(table: &str, interface: &str) -> Option<u64> {
    let mut lines = table.lines().filter_map(|line| line.split_once(':'));
    let (_, numbers) = lines.find(|(name, _)| name.trim() == interface)?;
    numbers.split_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read() {
        let table = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11\n\
                     eth10:11 12 13 14 15 16 17 18 19 20 21\n";
        assert_eq!(sent_in(table, "lo"), Some(10));
        assert_eq!(sent_in(table, "eth10"), Some(20));
        assert_eq!(sent_in(table, "eth1"), None);
    }

    #[test]
    fn only_the_answer_to_our_probe_counts() {
        let own = MacAddress([2, 0, 0, 0, 0, 1]);
        let card = MacAddress([2, 0, 0, 0, 0, 2]);
        let address = Ipv4Addr::new(10, 0, 0, 2);
        let neighbours = [(address, card)];
        let mut reply = arp_probe(card, own, Ipv4Addr::UNSPECIFIED);
        reply[21] = REPLY;
        reply[28..32].copy_from_slice(&address.octets());
        reply[32..38].copy_from_slice(&own.0);
        assert!(is_reply(&reply, own, &neighbours));
        assert!(!is_reply(&reply[..41], own, &neighbours));
        for place in [12, 14, 21, 31, 37, 41] {
            let mut other = reply;
            other[place] ^= 4;
            assert!(!is_reply(&other, own, &neighbours), "{place}");
        }
        assert!(!is_reply(&arp_probe(own, card, address), own, &neighbours));
    }
}
