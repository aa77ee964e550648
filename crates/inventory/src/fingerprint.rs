//! A fingerprint of facts that is the same in every version of this program and on every machine,
//! because it is kept.

use std::collections::BTreeMap;

/// The key of the fingerprints. It is no secret: they tell apart what differs by chance, and are no
/// proof against somebody who seeks a collision.
const KEY: [u64; 2] = [0x6d65_6d73_7765_6570, 0x696e_7665_6e74_6f72];

/// SipHash-2-4 under a fixed key, over names and values in order of the names, each led by its
/// length in bytes as 8 bytes, least significant first.
pub fn digest(stable: &BTreeMap<String, String>) -> u64 {
    let texts = || stable.iter().flat_map(|(name, value)| [name, value]);
    let mut bytes = Vec::with_capacity(texts().map(|text| 8 + text.len()).sum());
    for text in texts() {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    siphash(KEY, &bytes)
}

/// SipHash-2-4 as Aumasson and Bernstein published it: words of 8 bytes, and in the last word's
/// highest byte the length.
fn siphash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut take = |word: u64| {
        state[3] ^= word;
        round(&mut state);
        round(&mut state);
        state[0] ^= word;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        take(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    take(u64::from_le_bytes(last));
    state[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn round(state: &mut [u64; 4]) {
    let [a, b, c, d] = *state;
    let (a, c) = (a.wrapping_add(b), c.wrapping_add(d));
    let (b, d) = (b.rotate_left(13) ^ a, d.rotate_left(16) ^ c);
    let a = a.rotate_left(32);
    let (c, a) = (c.wrapping_add(b), a.wrapping_add(d));
    let (b, d) = (b.rotate_left(17) ^ c, d.rotate_left(21) ^ a);
    *state = [a, b, c.rotate_left(32), d];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_reference() {
        // Key 00 01 … 0f and input 00 01 02 …, from the reference implementation's vectors.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let input: Vec<u8> = (0..63).collect();
        for (length, expected) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
            (63, 0x958a_324c_eb06_4572),
        ] {
            assert_eq!(siphash(key, &input[..length]), expected, "{length}");
        }
    }

    #[test]
    fn fingerprints_stay_what_they_are() {
        let rows = |rows: &[(&str, &str)]| {
            let owned = rows.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
            digest(&owned.collect())
        };
        assert_eq!(rows(&[]), 0x05e4_f6ca_d529_28ba);
        assert_eq!(rows(&[("verdict", "exposed")]), 0x9781_7170_bde2_475f);
        assert_ne!(rows(&[("a", "bc")]), rows(&[("ab", "c")]));
        assert_ne!(rows(&[("a", "")]), rows(&[]));
    }
}
