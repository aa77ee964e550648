//! Reads from the ring what the program heard.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sweep::reply::LinkLayer;

use super::PROCESSOR_BYTES;
use crate::FramesError;
use crate::bpf::ring::RingReader;
use crate::bpf::{Link, Mapping};
use crate::engine::Receive;

/// Records that one call reads at most, so that what else waits has its turn.
const RECORDS_PER_CALL: usize = 1 << 16;
/// Before the bytes of a record stands how many of them are the frame's.
const LENGTH_BYTES: usize = 4;

/// The hearing end of the program, on all its interfaces. They are left when this is dropped.
pub(super) struct LiveReceiver {
    ring: RingReader,
    receipts: Arc<Mapping>,
    lost_told: u64,
    _links: Vec<Link>,
}

impl LiveReceiver {
    pub(super) fn new(ring: RingReader, receipts: Arc<Mapping>, links: Vec<Link>) -> LiveReceiver {
        LiveReceiver {
            ring,
            receipts,
            lost_told: 0,
            _links: links,
        }
    }
}

impl Receive for LiveReceiver {
    fn receive(
        &mut self,
        wait: Duration,
        take: &mut dyn FnMut(&[u8], LinkLayer),
    ) -> Result<(), FramesError> {
        let mut take = |record: &[u8]| {
            let Some((length, bytes)) = record.split_first_chunk::<LENGTH_BYTES>() else {
                return;
            };
            let length = u32::from_ne_bytes(*length) as usize;
            if let Some(frame) = bytes.get(..length) {
                take(frame, LinkLayer::Ethernet);
            }
        };
        if self.ring.read(RECORDS_PER_CALL, &mut take) > 0 {
            return Ok(());
        }
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        let mut descriptors = [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(FramesError::system("waiting for answers")(errno)),
        }
        self.ring.read(RECORDS_PER_CALL, &mut take);
        Ok(())
    }

    fn take_lost(&mut self) -> u64 {
        let receipts = self.receipts.words().chunks_exact(PROCESSOR_BYTES / 8);
        let lost: u64 = receipts
            .map(|receipt| receipt[0].load(Ordering::Relaxed))
            .sum();
        let news = lost.saturating_sub(self.lost_told);
        self.lost_told = lost;
        news
    }
}
