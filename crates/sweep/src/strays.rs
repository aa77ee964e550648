//! Answers that come from another address than the asked one.
//!
//! A memcached that listens on all addresses of a machine answers a datagram from whichever address
//! the machine's routes prefer. The cookie is made of the asked address, so such an answer fails the
//! check, although it carries what only the asked one can know: the request id, at the port that
//! asked. Which endpoint that was cannot be computed from the answer. But it can be looked up: when
//! a window is over, the cookies of its silent endpoints are made once more and held against the
//! proofs that came from elsewhere. Who matches is asked again by somebody who remembers. A proof that
//! comes when its window has been told of matches nobody; if one is left at the end, the cookies of
//! all who stayed silent are made once more, which takes about 0.1 µs an endpoint.
//!
//! A proof has 22 bits, and an innocent endpoint matches one of `n` proofs with a chance of
//! `n / 2^22`: it is then asked once more than needed, and judged by what it does. At most
//! [`PROOFS_MAX`] proofs are kept, so that forged datagrams make no more than one endpoint of a
//! thousand be asked again.

use crate::cookie::{Cookie, SOURCE_PORTS};

/// Distinct proofs that are kept.
pub const PROOFS_MAX: u32 = 4_096;

/// Request ids times source ports, in words of 64 bits.
const WORDS: usize = SOURCE_PORTS * (1 << 16) / 64;

/// What a datagram repeats of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proof {
    /// The request id.
    pub request_id: u16,
    /// Which of our ports it came to, 0..64.
    pub port_place: u8,
}

/// The proofs that came from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Strays {
    /// A bit for each possible proof; empty until there is one.
    bits: Vec<u64>,
    kept: u32,
    /// The same for those that somebody matched.
    matched_bits: Vec<u64>,
    matched: u32,
}

impl Strays {
    /// Keeps a proof, if there is room.
    pub fn add(&mut self, proof: Proof) {
        if self.kept >= PROOFS_MAX {
            return;
        }
        if self.bits.is_empty() {
            self.bits = vec![0; WORDS];
            self.matched_bits = vec![0; WORDS];
        }
        let (word, bit) = place(proof);
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.kept += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept == 0
    }

    /// Whether the proof of this cookie is among them, which is remembered.
    pub fn matches(&mut self, cookie: &Cookie) -> bool {
        let (word, bit) = place(proof_of(cookie));
        if self.bits.get(word).is_none_or(|bits| bits & bit == 0) {
            return false;
        }
        if self.matched_bits[word] & bit == 0 {
            self.matched_bits[word] |= bit;
            self.matched += 1;
        }
        true
    }

    /// Forgets what nobody matched, and returns it; all of it is to be matched anew. `None`
    /// if there is nothing of the kind.
    pub fn take_unmatched(&mut self) -> Option<Strays> {
        let kept = self.kept - self.matched;
        if kept == 0 {
            return None;
        }
        let mut bits = self.bits.clone();
        for (bits, matched) in bits.iter_mut().zip(&self.matched_bits) {
            *bits &= !matched;
        }
        self.bits.clone_from(&self.matched_bits);
        self.kept = self.matched;
        Some(Strays {
            bits,
            kept,
            matched_bits: vec![0; WORDS],
            matched: 0,
        })
    }
}

fn proof_of(cookie: &Cookie) -> Proof {
    Proof {
        request_id: cookie.request_id,
        port_place: cookie.port_place,
    }
}

fn place(proof: Proof) -> (usize, u64) {
    let port_place = usize::from(proof.port_place) % SOURCE_PORTS;
    let number = port_place << 16 | usize::from(proof.request_id);
    (number / 64, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(number: u32) -> Cookie {
        Cookie {
            sequence: 7,
            request_id: number as u16,
            port_place: (number >> 16) as u8,
        }
    }

    fn proof(number: u32) -> Proof {
        Proof {
            request_id: number as u16,
            port_place: (number >> 16) as u8,
        }
    }

    #[test]
    fn only_what_came_is_held() {
        let mut strays = Strays::default();
        assert!(strays.is_empty());
        assert!(!strays.matches(&cookie(0)));
        for number in [0, 1, 65_535, 65_536, (64 << 16) - 1] {
            strays.add(proof(number));
            strays.add(proof(number));
        }
        assert_eq!(strays.kept, 5);
        let held: Vec<u32> = (0..64 << 16)
            .filter(|one| strays.matches(&cookie(*one)))
            .collect();
        assert_eq!(held, [0, 1, 65_535, 65_536, (64 << 16) - 1]);
    }

    #[test]
    fn forgers_fill_no_more_than_their_share() {
        let mut strays = Strays::default();
        for number in 0..64 << 16 {
            strays.add(proof(number));
        }
        let held = (0..64 << 16).filter(|one| strays.matches(&cookie(*one)));
        assert_eq!(held.count(), PROOFS_MAX as usize);
    }

    #[test]
    fn what_nobody_matched_is_taken_once() {
        let mut strays = Strays::default();
        assert!(strays.take_unmatched().is_none());
        for number in [3, 4, 70_000] {
            strays.add(proof(number));
        }
        assert!(strays.matches(&cookie(4)) && strays.matches(&cookie(4)));
        let mut late = strays.take_unmatched().expect("two are left");
        let matching = (0..64 << 16).filter(|one| late.matches(&cookie(*one)));
        assert_eq!(matching.collect::<Vec<u32>>(), [3, 70_000]);
        assert!(strays.take_unmatched().is_none());
        assert!(strays.matches(&cookie(4)) && !strays.matches(&cookie(3)));
    }
}
