//! Asking the links who is there.
//!
//! Every address is asked up to three times, and all of them in one go: a round asks whoever has not
//! answered, at no more than the rate, then waits. Hosts that sleep between the beacons of a
//! radio network need some hundred milliseconds, so the waits grow: 1 s in all behind the last
//! question, and nothing once all have answered.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use model::MacAddress;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use targets::{AddressRange, Permit};

use super::kernel::{Link, LinkKind};
use super::link_socket::LinkSocket;
use super::questions::{self, ETHERTYPE_ARP, ETHERTYPE_IPV6};
use crate::FramesError;
use crate::error::program;
use crate::socket_filter::{Instruction, expect, give, load_byte, load_half};

/// How long each round waits behind its last question.
const WAITS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(300),
    Duration::from_millis(500),
];
/// Questions are broadcasts, which every host of the link has to look at, and which radio networks
/// send at their slowest: more than this a second only gets lost.
const QUESTIONS_PPS_MAX: u64 = 20_000;
/// A sender that was held up makes good for at most this time.
const CATCH_UP_MAX: Duration = Duration::from_millis(5);
/// Answers are taken after so many questions at the latest.
const QUESTIONS_AT_ONCE_MAX: u32 = 32;
/// It is looked this often whether the run is to end.
const POLL_MAX: Duration = Duration::from_millis(50);
/// Only answers pass: the operation of an ARP packet is 2.
const ARP_REPLIES: [Instruction; 4] = [load_half(20), expect(2, 1), give(u32::MAX), give(0)];
/// Only neighbour advertisements pass: ICMPv6, and its type 136.
const ADVERTISEMENTS: [Instruction; 6] = [
    load_byte(20),
    expect(58, 3),
    load_byte(54),
    expect(136, 1),
    give(u32::MAX),
    give(0),
];

/// An address that is looked for on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) interface: u32,
    pub(super) target: IpAddr,
    /// Our own address, of the same family.
    pub(super) source: IpAddr,
    /// Whether frames to targets go through it; otherwise it is a target itself.
    pub(super) is_gateway: bool,
}

/// What the links said.
#[derive(Debug, Default)]
pub(super) struct Neighbourhood {
    pub(super) hardware: HashMap<(u32, IpAddr), MacAddress>,
    /// Whether everybody had their time to answer.
    pub(super) is_complete: bool,
}

/// Asks all questions, at most `rate_pps` a second.
///
/// # Errors
///
/// If frames cannot be sent from here, or an interface goes down.
///
/// # Panics
///
/// If somebody is asked for who is neither a gateway nor in the permit.
pub(super) fn ask(
    permit: &Permit,
    questions: &[Question],
    links: &BTreeMap<u32, Link>,
    rate_pps: u64,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Neighbourhood, FramesError> {
    let permitted: Vec<AddressRange> = permit.selection().ranges().collect();
    for question in questions {
        let below = permitted.partition_point(|range| range.first <= question.target);
        let range = permitted[..below].last();
        let is_permitted = range.is_some_and(|range| range.contains(question.target));
        assert!(question.is_gateway || is_permitted, "{question:?}");
    }
    let mut asking = Asking::open(questions, links)?;
    // At most 1 s.
    let pause = Duration::from_nanos(1_000_000_000 / rate_pps.clamp(1, QUESTIONS_PPS_MAX));
    let mut next_at = Instant::now();
    let mut at_once = 0;
    for wait in WAITS {
        for question in questions {
            if asking.is_answered(question) {
                continue;
            }
            while let Some(early) = next_at.checked_duration_since(Instant::now()) {
                if early.is_zero() {
                    break;
                }
                if is_stopped() {
                    return Ok(asking.neighbourhood);
                }
                asking.listen(early)?;
                at_once = 0;
            }
            if at_once == QUESTIONS_AT_ONCE_MAX {
                asking.listen(Duration::ZERO)?;
                at_once = 0;
            }
            if asking.is_answered(question) {
                continue;
            }
            asking.send(question)?;
            at_once += 1;
            let earliest = Instant::now().checked_sub(CATCH_UP_MAX);
            next_at = earliest.map_or(next_at, |earliest| next_at.max(earliest)) + pause;
        }
        let until = Instant::now() + wait;
        while asking.open_questions > 0 {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                break;
            };
            if is_stopped() {
                return Ok(asking.neighbourhood);
            }
            asking.listen(left)?;
        }
    }
    asking.neighbourhood.is_complete = true;
    Ok(asking.neighbourhood)
}

struct Asking<'a> {
    links: &'a BTreeMap<u32, Link>,
    /// By interface, and whether it is for IPv4.
    sockets: BTreeMap<(u32, bool), LinkSocket>,
    /// Whether they have been answered.
    asked: HashMap<(u32, IpAddr), bool>,
    open_questions: usize,
    neighbourhood: Neighbourhood,
}

impl<'a> Asking<'a> {
    fn open(
        questions: &[Question],
        links: &'a BTreeMap<u32, Link>,
    ) -> Result<Asking<'a>, FramesError> {
        let mut sockets = BTreeMap::new();
        let mut asked = HashMap::with_capacity(questions.len());
        for question in questions {
            asked.insert((question.interface, question.target), false);
            let key = (question.interface, question.target.is_ipv4());
            if sockets.contains_key(&key) {
                continue;
            }
            let (ethertype, filter): (u16, &[Instruction]) = if key.1 {
                (ETHERTYPE_ARP, &ARP_REPLIES)
            } else {
                (ETHERTYPE_IPV6, &ADVERTISEMENTS)
            };
            let socket = LinkSocket::open(question.interface, ethertype, filter)
                .map_err(|errno| refusal(links.get(&question.interface), errno))?;
            sockets.insert(key, socket);
        }
        Ok(Asking {
            links,
            sockets,
            open_questions: asked.len(),
            asked,
            neighbourhood: Neighbourhood::default(),
        })
    }

    fn is_answered(&self, question: &Question) -> bool {
        let key = (question.interface, question.target);
        self.asked.get(&key).is_none_or(|is_answered| *is_answered)
    }

    fn send(&self, question: &Question) -> Result<(), FramesError> {
        let key = (question.interface, question.target.is_ipv4());
        let (Some(link), Some(socket)) =
            (self.links.get(&question.interface), self.sockets.get(&key))
        else {
            return Ok(());
        };
        let LinkKind::Ethernet(hardware) = link.kind else {
            return Ok(());
        };
        match questions::question(hardware, question.source, question.target) {
            Some(frame) => socket
                .send(&frame)
                .map_err(|errno| refusal(Some(link), errno)),
            None => Ok(()),
        }
    }

    /// Waits for answers, at most `wait`, and takes what has come.
    fn listen(&mut self, wait: Duration) -> Result<(), FramesError> {
        let failed = FramesError::system("waiting for neighbours");
        let mut polled: Vec<PollFd<'_>> = self
            .sockets
            .values()
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        // poll(2) counts milliseconds; what is shorter is slept, so that the rate holds.
        let wait = wait.min(POLL_MAX);
        if wait < Duration::from_millis(1) {
            std::thread::sleep(wait);
        }
        let milliseconds = PollTimeout::try_from(wait.as_millis()).unwrap_or(PollTimeout::ZERO);
        match poll(&mut polled, milliseconds) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
        drop(polled);
        for ((interface, _), socket) in &self.sockets {
            let drained = socket.drain(&mut |frame| {
                let Some((address, hardware)) = questions::answer(frame) else {
                    return;
                };
                let key = (*interface, address);
                // The first answer counts; of addresses that nobody asked for, none does.
                if let Some(is_answered @ false) = self.asked.get_mut(&key) {
                    *is_answered = true;
                    self.open_questions -= 1;
                    self.neighbourhood.hardware.insert(key, hardware);
                }
            });
            drained.map_err(|errno| refusal(self.links.get(interface), errno))?;
        }
        Ok(())
    }
}

/// What a refused socket, or one that failed, means.
fn refusal(link: Option<&Link>, errno: Errno) -> FramesError {
    match (errno, link) {
        (Errno::EPERM | Errno::EACCES, _) => FramesError::NotPermitted {
            engine: "packet",
            what: "asking for neighbours by ARP and NDP",
            program: program(),
        },
        (Errno::ENETDOWN, Some(link)) => FramesError::InterfaceDown {
            name: link.name.clone(),
        },
        (Errno::ENODEV | Errno::ENXIO, Some(link)) => FramesError::NoInterface {
            name: link.name.clone(),
        },
        _ => FramesError::system("asking for neighbours")(errno),
    }
}
