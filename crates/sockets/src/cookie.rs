//! The proof that a datagram answers ours.
//!
//! memcached echoes the 16-bit request id of the frame, and the kernel delivers to the port that we
//! sent from. So a probe is sent from one of a few sockets with an id, and both are drawn from a
//! keyed hash of whom it goes to and which send it is:
//!
//! ```text
//! SipHash(secret, address, port, send number)  ->  socket (2 bits) | request id (16 bits)
//! ```
//!
//! Nobody who did not see the probe can guess the 18 bits, and nothing has to be remembered to check
//! an answer, however late it comes: the hash is computed again from where the answer came from. The
//! send number is in it, so that the answer also tells which send it answers, and a retransmission
//! does not blur the measured round trip.
//!
//! Worked example: probe 1 to 10.0.0.5:11211 hashes to …0x2_1f3a: it leaves from socket 2 with
//! request id 0x1f3a. A datagram from 10.0.0.5:11211 arrives on socket 2 with id 0x1f3a: the hash
//! of (10.0.0.5, 11211, 1) agrees, so it answers send 1. From 10.0.0.6, or on socket 1, or with id
//! 0x1f3b, no send agrees: it is counted and not believed.

use std::hash::{BuildHasher, RandomState};

use crate::address::Peer;

/// Sockets that probes are sent from, for each address family.
pub(crate) const SWEEP_SOCKETS: usize = 4;

/// Which socket, and which request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cookie {
    pub(crate) socket: u8,
    pub(crate) request_id: u16,
}

/// The secret of a run. The keys come from the system's random source and never leave the process.
#[derive(Debug, Default)]
pub(crate) struct CookieKey(RandomState);

impl CookieKey {
    pub(crate) fn cookie(&self, peer: &Peer, send: u32) -> Cookie {
        let hash = self.0.hash_one((peer, send));
        Cookie {
            socket: ((hash >> 16) as usize % SWEEP_SOCKETS) as u8,
            request_id: hash as u16,
        }
    }

    /// Which of the first `sends` sends to this peer an answer belongs to.
    pub(crate) fn verify(&self, peer: &Peer, cookie: Cookie, sends: u32) -> Option<u32> {
        (1..=sends).find(|send| self.cookie(peer, *send) == cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str, port: u16) -> Peer {
        Peer {
            ip: text.parse().unwrap(),
            scope: 0,
            port,
        }
    }

    #[test]
    fn own_answers_pass_and_any_change_fails() {
        let key = CookieKey::default();
        let asked = peer("10.0.0.5", 11211);
        for send in 1..=4 {
            let cookie = key.cookie(&asked, send);
            let found = key.verify(&asked, cookie, 4).unwrap();
            // Two sends may share a cookie by chance; then the first is named.
            assert!(found <= send);
            for bit in 0..16 {
                let changed = Cookie {
                    request_id: cookie.request_id ^ (1 << bit),
                    ..cookie
                };
                let alike = (1..=4).any(|other| key.cookie(&asked, other) == changed);
                assert_eq!(key.verify(&asked, changed, 4).is_some(), alike);
            }
        }
    }

    #[test]
    fn ids_spread_over_sockets_and_the_whole_range() {
        let key = CookieKey::default();
        let mut sockets = [0_u32; SWEEP_SOCKETS];
        let mut high = 0_u32;
        for last in 0..=255_u8 {
            let cookie = key.cookie(&peer(&format!("10.0.0.{last}"), 11211), 1);
            sockets[usize::from(cookie.socket)] += 1;
            high += u32::from(cookie.request_id >> 15);
        }
        assert!(
            sockets.iter().all(|count| (30..=100).contains(count)),
            "{sockets:?}"
        );
        assert!((80..=176).contains(&high), "{high}");
    }
}
