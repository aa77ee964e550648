//! What was seen of one endpoint: how it could be reached, and what it said.

use std::net::IpAddr;
use std::time::Duration;

use crate::Dialogue;

/// An ICMP or ICMPv6 error, as the kernel reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Who sent it, if known.
    pub from: Option<IpAddr>,
    /// Type, RFC 792 or RFC 4443.
    pub kind: u8,
    /// Code, RFC 792, RFC 1812 section 5.2.7.1 or RFC 4443.
    pub code: u8,
}

/// How a port said that nobody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// TCP RST.
    Reset,
    /// ICMP port unreachable.
    PortUnreachable(IcmpError),
    /// A unix socket that nobody listens on.
    NoListener,
}

/// How far a probe came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// TCP: accepted. UDP: a datagram that answers ours, or one that does not (see the dialogue).
    Answered,
    /// Nobody listens.
    Refused(Refusal),
    /// A filter said so (ICMP administratively prohibited, or this machine's own firewall).
    Prohibited(Option<IcmpError>),
    /// No such host: ICMP host unreachable, no neighbour, or no route from here.
    Unreachable(Option<IcmpError>),
    /// Nothing came, in all attempts.
    Silent,
    /// The run ended before the outcome was known.
    Unfinished,
    /// Our own system could not ask; the reason in words.
    Failed(String),
}

/// Everything seen of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How far the probes came.
    pub contact: Contact,
    /// Probes sent, the first included (connection attempts, or `version` datagrams).
    pub attempts: u32,
    /// Time from a probe to its first answer.
    pub rtt: Option<Duration>,
    /// What was said, if anything was. Boxed, because most endpoints of a sweep say nothing.
    pub dialogue: Option<Box<Dialogue>>,
}

impl Evidence {
    /// Evidence of an endpoint that nothing was heard from but this contact.
    pub fn without_dialogue(contact: Contact, attempts: u32, rtt: Option<Duration>) -> Evidence {
        Evidence {
            contact,
            attempts,
            rtt,
            dialogue: None,
        }
    }
}
