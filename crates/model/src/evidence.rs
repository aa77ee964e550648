//! What was seen of one endpoint: how it could be reached, and what it said.

use std::net::IpAddr;
use std::time::Duration;

use crate::Dialogue;

/// ICMP destination unreachable (RFC 792).
const ICMP_UNREACHABLE: u8 = 3;
/// ICMPv6 destination unreachable (RFC 4443).
const ICMP6_UNREACHABLE: u8 = 1;

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

impl Contact {
    /// What an ICMP (RFC 792) or ICMPv6 (RFC 4443) error says about the endpoint whose probe it
    /// quotes; `None` if it says nothing about it.
    pub fn of_icmp(icmp: IcmpError, ipv6: bool) -> Option<Contact> {
        if ipv6 {
            if icmp.kind != ICMP6_UNREACHABLE {
                return None;
            }
            return Some(match icmp.code {
                4 => Contact::Refused(Refusal::PortUnreachable(icmp)),
                1 | 5 | 6 => Contact::Prohibited(Some(icmp)),
                _ => Contact::Unreachable(Some(icmp)),
            });
        }
        if icmp.kind != ICMP_UNREACHABLE {
            return None;
        }
        match icmp.code {
            3 => Some(Contact::Refused(Refusal::PortUnreachable(icmp))),
            // RFC 1812 section 5.2.7.1: network, host or communication prohibited.
            9 | 10 | 13 => Some(Contact::Prohibited(Some(icmp))),
            // Protocol unreachable: the host is there and knows no such transport.
            2 => Some(Contact::Prohibited(Some(icmp))),
            // Fragmentation needed says nothing about the port.
            4 => None,
            _ => Some(Contact::Unreachable(Some(icmp))),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icmp_codes_follow_the_rfcs() {
        let named = |kind, code, ipv6| {
            let icmp = IcmpError {
                from: None,
                kind,
                code,
            };
            match Contact::of_icmp(icmp, ipv6) {
                Some(Contact::Refused(_)) => "refused",
                Some(Contact::Prohibited(_)) => "prohibited",
                Some(Contact::Unreachable(_)) => "unreachable",
                Some(_) => "else",
                None => "nothing",
            }
        };
        for (kind, code, ipv6, expected) in [
            (3, 3, false, "refused"),
            (3, 13, false, "prohibited"),
            (3, 10, false, "prohibited"),
            (3, 9, false, "prohibited"),
            (3, 2, false, "prohibited"),
            (3, 1, false, "unreachable"),
            (3, 0, false, "unreachable"),
            (3, 4, false, "nothing"),
            (11, 0, false, "nothing"),
            (1, 4, true, "refused"),
            (1, 1, true, "prohibited"),
            (1, 5, true, "prohibited"),
            (1, 0, true, "unreachable"),
            (1, 3, true, "unreachable"),
            (3, 0, true, "nothing"),
        ] {
            assert_eq!(named(kind, code, ipv6), expected, "{kind}/{code}");
        }
    }
}
