//! The probes in flight, and the small containers that hold them.

use std::os::fd::OwnedFd;
use std::time::Duration;

use targets::Permitted;

/// A place in a [`Slab`], valid only for the thing that was put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// How many bits of a generation fit into an epoll token.
const GENERATION_MASK: u32 = 0x000f_ffff;

/// Things with stable keys; a key of something that is gone finds nothing.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index as usize];
            entry.1 = Some(value);
            return Key {
                index,
                generation: entry.0,
            };
        }
        // A slab holds at most some 65,536 entries (see `limits`).
        let index = self.entries.len() as u32;
        self.entries.push((0, Some(value)));
        Key {
            index,
            generation: 0,
        }
    }

    pub(crate) fn find(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = self.entries.get_mut(key.index as usize)?;
        if *generation == key.generation {
            value.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, value) = self.entries.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = value.take()?;
        *generation = generation.wrapping_add(1) & GENERATION_MASK;
        self.free.push(key.index);
        Some(value)
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        (0_u32..)
            .zip(&self.entries)
            .filter(|(_, (_, value))| value.is_some())
            .map(|(index, (generation, _))| Key {
                index,
                generation: *generation,
            })
            .collect()
    }
}

/// What an epoll event belongs to, packed into its 64 bits: kind (4), connection (8), generation
/// (20), index (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A UDP socket of the sweep: family and number.
    Sweep { ipv6: bool, socket: u8 },
    /// A connection attempt.
    Attempt(Key),
    /// A connection of an interview.
    Stream(Key, u8),
    /// The socket of a UDP interview.
    Datagram(Key),
    /// A sweep that leaves leads has something new.
    Leads,
}

impl Token {
    pub(crate) fn pack(self) -> u64 {
        let (kind, sub, key) = match self {
            Token::Sweep { ipv6, socket } => (
                0,
                socket,
                Key {
                    index: u32::from(ipv6),
                    generation: 0,
                },
            ),
            Token::Attempt(key) => (1, 0, key),
            Token::Stream(key, connection) => (2, connection, key),
            Token::Datagram(key) => (3, 0, key),
            Token::Leads => (
                4,
                0,
                Key {
                    index: 0,
                    generation: 0,
                },
            ),
        };
        (kind << 60)
            | (u64::from(sub) << 52)
            | (u64::from(key.generation & GENERATION_MASK) << 32)
            | u64::from(key.index)
    }

    pub(crate) fn unpack(bits: u64) -> Token {
        let key = Key {
            index: bits as u32,
            generation: (bits >> 32) as u32 & GENERATION_MASK,
        };
        let sub = (bits >> 52) as u8;
        match bits >> 60 {
            0 => Token::Sweep {
                ipv6: key.index == 1,
                socket: sub,
            },
            1 => Token::Attempt(key),
            2 => Token::Stream(key, sub),
            3 => Token::Datagram(key),
            _ => Token::Leads,
        }
    }
}

/// A (address, port) being asked over TCP, or a unix socket.
#[derive(Debug)]
pub(crate) struct StreamProbe {
    pub(crate) target: Permitted,
    /// `None` if the endpoint was already judged silent: whatever comes is late.
    pub(crate) counter: Option<u64>,
    /// Connection attempts made.
    pub(crate) sends: u32,
    /// When the first was made.
    pub(crate) first_sent_at: Duration,
    /// Those still open: an answer to an older one is as good.
    pub(crate) attempts: Vec<Key>,
}

/// One connection attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) fd: OwnedFd,
    pub(crate) probe: Key,
    pub(crate) sent_at: Duration,
    /// Whether the peer has accepted and reset it already.
    pub(crate) was_reset: bool,
}

/// A (address, port) being asked over UDP.
#[derive(Debug)]
pub(crate) struct DatagramProbe {
    pub(crate) target: Permitted,
    /// `None` if the endpoint was already judged silent: whatever comes is late.
    pub(crate) counter: Option<u64>,
    /// Datagrams sent.
    pub(crate) sends: u32,
    pub(crate) first_sent_at: Duration,
    pub(crate) last_sent_at: Duration,
    /// The beginning of a datagram that came from there without our request id.
    pub(crate) foreign: Option<Box<[u8]>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        let key = Key {
            index: 0xffff_fffe,
            generation: 0x000f_ffff,
        };
        for token in [
            Token::Sweep {
                ipv6: false,
                socket: 3,
            },
            Token::Sweep {
                ipv6: true,
                socket: 0,
            },
            Token::Attempt(key),
            Token::Stream(key, 11),
            Token::Datagram(key),
            Token::Leads,
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }

    #[test]
    fn a_key_of_something_gone_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(first.index, second.index);
        assert!(slab.find(first).is_none());
        assert_eq!(slab.find(second), Some(&mut 'b'));
        assert_eq!(slab.len(), 1);
    }
}
