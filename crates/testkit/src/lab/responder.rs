//! Millions of hosts in the kernel: what each of them does, and how their program is told.
//!
//! The program is `bpf/responder.bpf.c`; its truth is written a second time here, and
//! the lab's tests hold both against each other.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use model::Transport;

/// The program, built from `bpf/responder.bpf.c` by `cargo xtask bpf`.
const OBJECT: &[u8] = include_bytes!("../../bpf/responder.bpf.o");
/// What stands before the settings in the object's read-only data.
const MAGIC: &[u8; 16] = b"memsweep-lab-set";

/// Where the responder is asked about itself.
pub(super) const CONTROL_PORT: u16 = 11_209;
const CONTROL_MAGIC: u32 = 0x4d4c_4142;
/// Words of an answer.
const CONTROL_WORDS: usize = 256;
/// Bytes of magic, subject and page.
const CONTROL_HEAD_BYTES: usize = 12;
const CONTROL_BYTES: usize = CONTROL_HEAD_BYTES + 4 * CONTROL_WORDS;
/// Milliseconds of arrival that are kept.
const ARRIVALS: usize = 131_072;
/// How often a question about the responder is asked, as datagrams get lost on a full link.
const CONTROL_TRIES: u32 = 3;

/// Made-up hosts, which answer on port 11211 as their addresses' hashes say. Every share is of
/// 65,536.
#[derive(Clone, Copy, Debug)]
pub struct Responder {
    /// Another seed, other hosts that answer.
    pub seed: u64,
    /// The network of the hosts; frames to other addresses are counted as strays and dropped.
    pub network: Ipv4Addr,
    /// Bits of its prefix, 1 to 32.
    pub prefix_bits: u32,
    /// Share of memcached servers; counted for TCP and UDP apart, as all the others.
    pub answering: u32,
    /// Share of the rest that refuses (RST, ICMP port unreachable).
    pub refusing: u32,
    /// Share of the rest that a firewall answers for (ICMP administratively prohibited).
    pub prohibiting: u32,
    /// Share of the rest that answers with a wrong acknowledgment or request id.
    pub forging: u32,
    /// Share of the TCP servers that send their SYN-ACK once more after a RST. Known of 2^22
    /// addresses.
    pub repeating: u32,
    /// Share of frames that is lost, on the way to the hosts and on the way back.
    pub lost: u32,
    /// Whether [`super::Lab::arrivals`] is kept.
    pub keeps_times: bool,
}

impl Default for Responder {
    /// 10.64.0.0/10, with a sixty-fourth of servers, a quarter that refuses, a sixteenth that is
    /// prohibited, a thousandth that forges, and a tenth of repeated SYN-ACKs; the rest is silent.
    fn default() -> Responder {
        Responder {
            seed: 1,
            network: Ipv4Addr::new(10, 64, 0, 0),
            prefix_bits: 10,
            answering: 1024,
            refusing: 16_384,
            prohibiting: 4_096,
            forging: 64,
            repeating: 6_554,
            lost: 0,
            keeps_times: false,
        }
    }
}

/// What a host does over one transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A memcached that anybody may ask.
    Answers,
    /// RST, or ICMP port unreachable.
    Refuses,
    /// ICMP administratively prohibited.
    Prohibits,
    /// An answer that proves nothing: to be believed by nobody.
    Forges,
    /// Nothing.
    Silent,
}

/// What the responder has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// IPv4 frames, those to the gateway left out.
    pub frames: u64,
    /// Frames to addresses outside its network.
    pub strays: u64,
    /// TCP segments that open a connection.
    pub syns: u64,
    /// UDP datagrams.
    pub datagrams: u64,
    /// Frames sent back.
    pub answers: u64,
    /// Frames lost on purpose, there and back.
    pub lost: u64,
    /// Answers that the kernel had no room for. Anything but 0 is a fault of the lab.
    pub unsent: u64,
}

impl Responder {
    /// What the host at this address does over TCP or UDP.
    pub fn fate(&self, address: Ipv4Addr, transport: Transport) -> Fate {
        let hash = self.hash(address, transport);
        if share(hash, 0) < self.answering {
            return Fate::Answers;
        }
        let other = share(hash, 16);
        match [self.refusing, self.prohibiting, self.forging] {
            [refusing, ..] if other < refusing => Fate::Refuses,
            [refusing, prohibiting, _] if other < refusing + prohibiting => Fate::Prohibits,
            shares if other < shares.iter().sum() => Fate::Forges,
            _ => Fate::Silent,
        }
    }

    /// The hosts of a network of 2^(32 - `prefix_bits`) addresses that have this fate, ascending.
    pub fn hosts(
        &self,
        network: Ipv4Addr,
        prefix_bits: u32,
        transport: Transport,
        fate: Fate,
    ) -> impl Iterator<Item = Ipv4Addr> {
        let first = network.to_bits() & mask(prefix_bits);
        let last = first | !mask(prefix_bits);
        (first..=last)
            .map(Ipv4Addr::from_bits)
            .filter(move |address| self.fate(*address, transport) == fate)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014) of the seed, the address and the transport.
    fn hash(&self, address: Ipv4Addr, transport: Transport) -> u64 {
        let which = u64::from(transport == Transport::Udp);
        let step = u64::from(address.to_bits()) * 2 + which + 1;
        let value = step
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(self.seed);
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// The program's object file with these settings in it.
    pub(super) fn object(&self, gateway: Ipv4Addr) -> Vec<u8> {
        let mut object = OBJECT.to_vec();
        let place = object
            .windows(MAGIC.len())
            .position(|window| window == MAGIC)
            .expect("the object has settings");
        let mut settings = self.seed.to_le_bytes().to_vec();
        let mask = mask(self.prefix_bits);
        for value in [
            self.network.to_bits() & mask,
            mask,
            gateway.to_bits(),
            self.answering,
            self.refusing,
            self.prohibiting,
            self.forging,
            self.repeating,
            self.lost,
            u32::from(self.keeps_times),
        ] {
            settings.extend(value.to_le_bytes());
        }
        let begin = place + MAGIC.len();
        object[begin..begin + settings.len()].copy_from_slice(&settings);
        object
    }
}

/// 16 bits of a hash.
fn share(hash: u64, shift: u32) -> u32 {
    u32::from((hash >> shift) as u16)
}

fn mask(prefix_bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - prefix_bits).unwrap_or(0)
}

/// Asks for the counters.
pub(super) fn ask_counters(control: &UdpSocket) -> io::Result<Counters> {
    let words = ask(control, 0, 0)?;
    let counter =
        |place: usize| u64::from(words[2 * place]) << 32 | u64::from(words[2 * place + 1]);
    Ok(Counters {
        frames: counter(0),
        strays: counter(1),
        syns: counter(2),
        datagrams: counter(3),
        answers: counter(4),
        lost: counter(5),
        unsent: counter(6),
    })
}

/// Asks for the times of arrival; milliseconds after the last frame are left out.
pub(super) fn ask_arrivals(control: &UdpSocket) -> io::Result<Vec<u32>> {
    let mut arrivals = Vec::with_capacity(ARRIVALS);
    for page in 0..ARRIVALS / CONTROL_WORDS {
        arrivals.extend(ask(control, 1, u32::try_from(page).unwrap_or_default())?);
    }
    let length = arrivals.iter().rposition(|count| *count > 0);
    arrivals.truncate(length.map_or(0, |last| last + 1));
    Ok(arrivals)
}

fn ask(control: &UdpSocket, subject: u32, page: u32) -> io::Result<Vec<u32>> {
    // The question has room for the answer, which is written into the same frame.
    let mut question = [0; CONTROL_BYTES];
    for (place, value) in [CONTROL_MAGIC, subject, page].into_iter().enumerate() {
        question[4 * place..][..4].copy_from_slice(&value.to_be_bytes());
    }
    let mut result = Err(io::ErrorKind::TimedOut.into());
    for _ in 0..CONTROL_TRIES {
        control.send(&question)?;
        let mut answer = [0; CONTROL_BYTES];
        match control.recv(&mut answer) {
            Ok(CONTROL_BYTES) => {
                let words = answer[CONTROL_HEAD_BYTES..].chunks_exact(4);
                return Ok(words
                    .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
                    .collect());
            }
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(error) => result = Err(error),
        }
    }
    result
}
