//! Addresses that share a path and an administrator: a /24 of IPv4, a /64 of IPv6.
//!
//! Also the place where a network is noticed that accepts every TCP connection: a SYN proxy or
//! another middlebox answers for hosts that are not there. Interviewing each of them in full would
//! take hours and find nothing, so after a sample that all behaved alike (all mute, all the same web
//! server), the rest of that network is asked for its version only. A real server behind such a box
//! still answers that.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::Impression;
use targets::AddressRange;

/// How many strangers that are all alike make a network suspicious, and how many triages run in it at once until
/// that is decided.
pub(crate) const SAMPLE: u64 = 16;

/// A /24 of IPv4 or a /64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Neighbourhood {
    /// The first three octets.
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl Neighbourhood {
    /// Where an address lives.
    pub fn of(ip: IpAddr) -> Neighbourhood {
        match ip {
            IpAddr::V4(ip) => Neighbourhood::V4(u32::from(ip) >> 8),
            IpAddr::V6(ip) => Neighbourhood::V6((u128::from(ip) >> 64) as u64),
        }
    }

    /// Its addresses.
    pub fn range(self) -> AddressRange {
        let (first, last) = match self {
            Neighbourhood::V4(prefix) => (
                IpAddr::V4(Ipv4Addr::from(prefix << 8)),
                IpAddr::V4(Ipv4Addr::from((prefix << 8) | 0xff)),
            ),
            Neighbourhood::V6(prefix) => {
                let first = u128::from(prefix) << 64;
                (
                    IpAddr::V6(Ipv6Addr::from(first)),
                    IpAddr::V6(Ipv6Addr::from(first | u128::from(u64::MAX))),
                )
            }
        };
        AddressRange { first, last }
    }
}

/// What is known of one neighbourhood, and the connections that wait for it to be known.
#[derive(Debug)]
pub(crate) struct Acceptance<Waiting, Held> {
    pub(crate) accepted: u64,
    pub(crate) sampled: u64,
    /// Full triages under way.
    pub(crate) talking: u64,
    /// What the first stranger looked like.
    pub(crate) impression: Option<Impression>,
    /// Triages that ended with a stranger who looked like the first.
    alike: u64,
    /// Triages that ended with anybody else.
    apart: u64,
    /// Refusals seen since the first acceptance.
    refused: u64,
    pub(crate) waiting: VecDeque<Waiting>,
    /// Whether the neighbourhood stands in the queue of those with waiting connections.
    pub(crate) queued: bool,
    /// Results of strangers who are alike, kept back until it is known whether one box answers for
    /// all of them.
    pub(crate) held: Vec<Held>,
}

impl<Waiting, Held> Default for Acceptance<Waiting, Held> {
    fn default() -> Self {
        Acceptance {
            accepted: 0,
            sampled: 0,
            talking: 0,
            impression: None,
            alike: 0,
            apart: 0,
            refused: 0,
            waiting: VecDeque::new(),
            queued: false,
            held: Vec::new(),
        }
    }
}

impl<Waiting, Held> Acceptance<Waiting, Held> {
    /// Takes the end of a full triage; returns whether the stranger looked like the first one.
    pub(crate) fn talk_ended(&mut self, stranger: Option<&Impression>) -> bool {
        let Some(impression) = stranger else {
            self.apart += 1;
            return false;
        };
        let alike = *self.impression.get_or_insert_with(|| impression.clone()) == *impression;
        if alike {
            self.alike += 1;
        } else {
            self.apart += 1;
        }
        alike
    }

    /// Whether something here answers for everybody: a whole sample was alike, and next to nobody
    /// was anything else or refused.
    pub(crate) fn accepts_everything(&self) -> bool {
        self.alike >= SAMPLE && (self.apart + self.refused) * 10 <= self.alike
    }

    /// Whether it is known if something here answers for everybody. A server of its own among the
    /// first ones that were heard decides nothing: a whole sample may still be alike.
    pub(crate) fn is_decided(&self) -> bool {
        let is_mixed = (self.apart + self.refused) * 10 > self.alike;
        self.alike + self.apart >= SAMPLE && (is_mixed || self.alike >= SAMPLE)
    }

    /// Whether another full triage may begin now.
    pub(crate) fn has_room(&self) -> bool {
        self.talking < SAMPLE || (self.is_decided() && self.apart > 0)
    }
}

/// The neighbourhoods in which anything accepted.
pub(crate) type Neighbourhoods<Waiting, Held> = HashMap<Neighbourhood, Acceptance<Waiting, Held>>;

/// Counts a refusal, which only matters where something has accepted.
pub(crate) fn count_refusal<Waiting, Held>(
    neighbourhoods: &mut Neighbourhoods<Waiting, Held>,
    ip: IpAddr,
) {
    if neighbourhoods.is_empty() {
        return;
    }
    if let Some(acceptance) = neighbourhoods.get_mut(&Neighbourhood::of(ip)) {
        acceptance.refused += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acceptance(alike: u64, apart: u64, refused: u64) -> Acceptance<(), ()> {
        Acceptance {
            alike,
            apart,
            refused,
            ..Acceptance::default()
        }
    }

    #[test]
    fn a_network_is_suspicious_only_if_nearly_all_of_it_is_alike() {
        assert!(!acceptance(15, 0, 0).accepts_everything());
        assert!(acceptance(16, 0, 0).accepts_everything());
        assert!(acceptance(16, 1, 0).accepts_everything());
        assert!(!acceptance(16, 2, 0).accepts_everything());
        assert!(!acceptance(16, 0, 200).accepts_everything());
    }

    #[test]
    fn a_server_among_the_first_ones_decides_nothing() {
        for (alike, apart, refused, is_decided) in [
            (15, 0, 0, false),
            (16, 0, 0, true),
            (15, 1, 0, false),
            (16, 1, 0, true),
            (14, 2, 0, true),
            (0, 16, 0, true),
            (15, 1, 1, true),
            (15, 0, 200, false),
        ] {
            let acceptance = acceptance(alike, apart, refused);
            assert_eq!(
                acceptance.is_decided(),
                is_decided,
                "{alike} alike, {apart} apart, {refused} refused"
            );
        }
    }

    #[test]
    fn strangers_are_alike_only_if_they_look_the_same() {
        let mut acceptance = acceptance(0, 0, 0);
        let web = Impression::Http("HTTP/1.1 400 Bad Request".to_owned());
        assert!(acceptance.talk_ended(Some(&web)));
        assert!(acceptance.talk_ended(Some(&web)));
        assert!(!acceptance.talk_ended(Some(&Impression::Mute)));
        assert!(!acceptance.talk_ended(None));
        assert_eq!((acceptance.alike, acceptance.apart), (2, 2));
    }

    #[test]
    fn a_neighbourhood_is_a_whole_network() {
        let place = Neighbourhood::of("10.1.2.3".parse().unwrap());
        assert_eq!(place.range().first, "10.1.2.0".parse::<IpAddr>().unwrap());
        assert_eq!(place.range().last, "10.1.2.255".parse::<IpAddr>().unwrap());
    }
}
