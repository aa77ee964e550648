//! What makes a probe ours.
//!
//! ```text
//! SipHash-2-4(secret, address | port | protocol)  ->  sequence number (bits 0..32)
//!                                                     UDP request id   (bits 32..48)
//!                                                     source port      (bits 48..54: one of 64)
//! ```
//!
//! The message is, in 64-bit words that are hashed as their little-endian bytes: for IPv4 one word
//! `address << 32 | port << 16 | protocol` (protocol 6 or 17, RFC 790's numbers); for IPv6 three
//! words: the upper and the lower half of the address, and `port << 16 | protocol`.
//!
//! The hash is SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012): short,
//! keyed, and made to withstand those who see many of its outputs, as everybody does whom a sweep
//! asks. A worked example, with the key of the paper's test vectors (bytes 00 to 0f):
//!
//! ```text
//! 192.0.2.1, port 11211, TCP:  word c0000201_2bcb0006
//!                              sequence number 5355a5fb, source port number 33
//! the same over UDP:           word c0000201_2bcb0011
//!                              request id e757, source port number 18
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Source ports that a sweep sends from.
pub const SOURCE_PORTS: usize = 64;

/// TCP's number in IP headers.
pub(crate) const PROTOCOL_TCP: u8 = 6;
/// UDP's number in IP headers.
pub(crate) const PROTOCOL_UDP: u8 = 17;

/// The secret of a run.
#[derive(Clone, Copy)]
pub struct CookieKey(pub [u64; 2]);

/// The ports that a run sends from; bound on this machine, so that nobody else gets the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePorts(pub [u16; SOURCE_PORTS]);

/// What stands in a probe to one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// TCP: the sequence number of the SYN.
    pub sequence: u32,
    /// UDP: the request id of memcached's frame.
    pub request_id: u16,
    /// Which of the source ports, 0..64.
    pub port_place: u8,
}

/// A cookie that every sender of a run has to make, wherever it computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieVector {
    /// The address that is asked.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Over TCP, or else UDP.
    pub stream: bool,
    /// What [`CookieKey::cookie`] makes of it with [`COOKIE_VECTORS_KEY`].
    pub cookie: Cookie,
}

/// The key of [`COOKIE_VECTORS`]: bytes 00 to 0f.
pub const COOKIE_VECTORS_KEY: CookieKey = CookieKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);

/// Cookies for tests of senders that do not call [`CookieKey::cookie`], such as a program in the
/// kernel.
pub const COOKIE_VECTORS: [CookieVector; 7] = [
    vector(
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        11211,
        true,
        0x5355_a5fb,
        0x3c06,
        33,
    ),
    vector(
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        11211,
        false,
        0xebf4_ce75,
        0xe757,
        18,
    ),
    vector(
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        11212,
        true,
        0xfd69_17ce,
        0x0d03,
        53,
    ),
    vector(
        IpAddr::V4(Ipv4Addr::new(255, 255, 255, 255)),
        65535,
        false,
        0x347a_058b,
        0x1a2d,
        57,
    ),
    vector(
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)),
        1,
        true,
        0x531d_fc42,
        0xf9f4,
        3,
    ),
    vector(EXAMPLE_IPV6, 11211, true, 0x17d5_6551, 0xe417, 45),
    vector(EXAMPLE_IPV6, 11211, false, 0x7565_0847, 0x35b5, 2),
];

const EXAMPLE_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

const fn vector(
    address: IpAddr,
    port: u16,
    stream: bool,
    sequence: u32,
    request_id: u16,
    port_place: u8,
) -> CookieVector {
    CookieVector {
        address,
        port,
        stream,
        cookie: Cookie {
            sequence,
            request_id,
            port_place,
        },
    }
}

impl std::fmt::Debug for CookieKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CookieKey(secret)")
    }
}

impl CookieKey {
    /// The cookie of a probe to this address and port, over TCP (`stream`) or UDP.
    #[inline]
    pub fn cookie(&self, address: IpAddr, port: u16, stream: bool) -> Cookie {
        let protocol = if stream { PROTOCOL_TCP } else { PROTOCOL_UDP };
        let tail = u64::from(port) << 16 | u64::from(protocol);
        let hash = match address {
            IpAddr::V4(v4) => siphash(self.0, [u64::from(v4.to_bits()) << 32 | tail]),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                siphash(self.0, [(bits >> 64) as u64, bits as u64, tail])
            }
        };
        Cookie {
            sequence: hash as u32,
            request_id: (hash >> 32) as u16,
            port_place: (hash >> 48) as u8 & (SOURCE_PORTS as u8 - 1),
        }
    }
}

impl SourcePorts {
    /// Whether this is one of the ports.
    #[inline]
    pub fn holds(&self, port: u16) -> bool {
        // Without an early end, so that the comparisons are done many at a time.
        self.0.iter().fold(false, |held, own| held | (*own == port))
    }

    /// Which of the ports this is, 0..64.
    pub fn place_of(&self, port: u16) -> Option<u8> {
        let place = self.0.iter().position(|own| *own == port)?;
        u8::try_from(place).ok()
    }

    /// The port of a cookie.
    #[inline]
    pub fn of(&self, cookie: &Cookie) -> u16 {
        self.0[usize::from(cookie.port_place) % SOURCE_PORTS]
    }
}

/// SipHash-2-4 of whole words.
#[inline]
fn siphash<const WORDS: usize>(key: [u64; 2], message: [u64; WORDS]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    // The last word holds the bytes that are left over (none) and the length in its highest byte.
    let length = (WORDS as u64 * 8) << 56;
    for word in message.into_iter().chain([length]) {
        state[3] ^= word;
        sip_round(&mut state);
        sip_round(&mut state);
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    for _ in 0..4 {
        sip_round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline(always)]
fn sip_round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    const KEY: CookieKey = COOKIE_VECTORS_KEY;

    /// `vectors_sip64` of the reference implementation: the message is the bytes 00, 01, 02, ….
    #[test]
    fn whole_words_hash_as_in_the_reference() {
        let words = |from: u64| 0x0706_0504_0302_0100 + from * 0x0101_0101_0101_0101;
        let expect = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        assert_eq!(
            siphash(KEY.0, []),
            expect([0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72])
        );
        assert_eq!(
            siphash(KEY.0, [words(0)]),
            expect([0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93])
        );
        assert_eq!(
            siphash(KEY.0, [words(0), words(8)]),
            expect([0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f])
        );
    }

    #[expect(deprecated, reason = "the one SipHash-2-4 of the standard library")]
    fn siphash_of_std(key: CookieKey, words: &[u64]) -> u64 {
        let mut hasher = std::hash::SipHasher::new_with_keys(key.0[0], key.0[1]);
        for word in words {
            hasher.write(&word.to_le_bytes());
        }
        hasher.finish()
    }

    proptest::proptest! {
        #[test]
        fn the_message_is_what_the_essay_says(
            key: [u64; 2], v4: u32, v6: u128, port: u16, stream: bool,
        ) {
            let key = CookieKey(key);
            let protocol = if stream { 6 } else { 17 };
            let tail = u64::from(port) << 16 | protocol;
            let words = [u64::from(v4) << 32 | tail];
            for (address, hash) in [
                (IpAddr::from(v4.to_be_bytes()), siphash_of_std(key, &words)),
                (
                    IpAddr::from(v6.to_be_bytes()),
                    siphash_of_std(key, &[(v6 >> 64) as u64, v6 as u64, tail]),
                ),
            ] {
                let cookie = key.cookie(address, port, stream);
                proptest::prop_assert_eq!(cookie.sequence, hash as u32);
                proptest::prop_assert_eq!(cookie.request_id, (hash >> 32) as u16);
                proptest::prop_assert_eq!(u64::from(cookie.port_place), hash >> 48 & 63);
            }
        }
    }

    #[test]
    fn cookies_are_pinned() {
        for vector in &COOKIE_VECTORS {
            let cookie = COOKIE_VECTORS_KEY.cookie(vector.address, vector.port, vector.stream);
            assert_eq!(cookie, vector.cookie, "{vector:?}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{KEY:?}"), "CookieKey(secret)");
    }

    #[test]
    fn ports_are_found_by_place_and_by_number() {
        let ports = SourcePorts(std::array::from_fn(|place| 40_000 + place as u16 * 3));
        assert!(ports.holds(40_000));
        assert!(ports.holds(40_189));
        assert!(!ports.holds(40_001));
        assert!(!ports.holds(40_192));
        let cookie = Cookie {
            sequence: 0,
            request_id: 0,
            port_place: 63,
        };
        assert_eq!(ports.of(&cookie), 40_189);
    }
}
