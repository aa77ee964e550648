//! What a sweep may hold at once, and how many descriptors the system grants.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Pairs whose UDP probe is unanswered, at most.
pub const UDP_IN_FLIGHT_MAX: usize = 65_536;
/// Connection attempts under way, at most; fewer if descriptors are short.
pub const TCP_ATTEMPTS_MAX: usize = 16_384;
/// Interviews over TCP at once; each holds up to four descriptors.
pub const STREAM_TALKS_MAX: usize = 512;
/// Interviews over UDP at once; each holds one descriptor.
pub const DATAGRAM_TALKS_MAX: usize = 512;
/// Answering endpoints that wait for an interview before no new pair is begun.
pub const WAITING_MAX: usize = 4_096;
/// Descriptors left to the rest of the program: output files, standard streams, epoll.
const DESCRIPTORS_RESERVED: usize = 64;
/// More are not asked for: the kernel keeps some kilobytes for each socket.
const DESCRIPTORS_USEFUL: usize = 65_536;
/// Attempts that are possible however few descriptors there are.
pub(crate) const ATTEMPTS_MIN: usize = 8;

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Connection attempts.
    pub attempts: usize,
    /// Interviews over TCP.
    pub stream_talks: usize,
    /// Interviews over UDP.
    pub datagram_talks: usize,
    /// Accepted connections that wait for their interview.
    pub waiting: usize,
}

/// Raises the soft limit of descriptors to the hard one and shares out what there is.
pub fn descriptors() -> Shares {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1_024, 1_024));
    let wanted = hard.min(DESCRIPTORS_USEFUL as u64).max(soft);
    // A refusal is no error: the soft limit serves too, only slower.
    let granted = match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    };
    share(usize::try_from(granted).unwrap_or(DESCRIPTORS_USEFUL))
}

/// Half for attempts, a quarter for interviews, an eighth each for UDP interviews and the queue.
fn share(descriptors: usize) -> Shares {
    let usable = descriptors.saturating_sub(DESCRIPTORS_RESERVED);
    Shares {
        attempts: (usable / 2).clamp(ATTEMPTS_MIN, TCP_ATTEMPTS_MAX),
        stream_talks: (usable / 4 / 4).clamp(1, STREAM_TALKS_MAX),
        datagram_talks: (usable / 8).clamp(1, DATAGRAM_TALKS_MAX),
        waiting: (usable / 8).clamp(1, WAITING_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fit_into_what_was_granted() {
        for descriptors in [128, 256, 1_024, 4_096, 20_000, 1_048_576] {
            let shares = share(descriptors);
            let held =
                shares.attempts + shares.stream_talks * 4 + shares.datagram_talks + shares.waiting;
            assert!(
                held + DESCRIPTORS_RESERVED <= descriptors.max(128),
                "{descriptors}: {held}"
            );
            assert!(shares.attempts >= ATTEMPTS_MIN && shares.stream_talks >= 1);
        }
    }
}
