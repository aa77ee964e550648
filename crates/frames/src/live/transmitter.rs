//! Runs the program: one thread on one processor, which has a `struct work` of its own.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sweep::schedule::Stint;
use targets::Permit;

use super::tables::FRAME_BYTES;
use super::{LOOPBACK, PROCESSOR_BYTES, attached, unsuited};
use crate::FramesError;
use crate::bpf::{Mapping, Program};
use crate::engine::Transmit;

/// Frames of a batch: what the kernel hands to the driver at once.
const BATCH_FRAMES: u32 = 64;

// Words of a `struct work` of bpf/generate.h.
const NEXT: usize = 0;
const END: usize = 1;
const FRAMES: usize = 2;
const FAILED: usize = 3;

/// A thread's end of the program.
pub(super) struct LiveTransmitter {
    processor: usize,
    program: Arc<Program>,
    works: Arc<Mapping>,
    /// Of the interfaces that probes leave by.
    interfaces: Arc<[String]>,
    /// What the interfaces have dropped in all, as somebody read it last.
    drops: Arc<AtomicU64>,
    dropped: u64,
    slots_per_pair: u64,
    /// The inode of the network namespace in which interfaces have the numbers that the program
    /// knows.
    namespace: u64,
    pinned: Option<ThreadId>,
}

/// The processors of at most `threads` threads: as many as this process may use.
pub(super) fn processors(threads: u32) -> Result<Vec<usize>, Errno> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count())
        .filter(|processor| allowed.is_set(*processor).unwrap_or(false))
        .take(threads.max(1) as usize)
        .collect())
}

impl LiveTransmitter {
    /// For this thread's network namespace, whichever thread sends later.
    pub(super) fn new(
        processor: usize,
        program: Arc<Program>,
        works: Arc<Mapping>,
        interfaces: Arc<[String]>,
        drops: Arc<AtomicU64>,
        is_both_transports: bool,
    ) -> Result<LiveTransmitter, FramesError> {
        Ok(LiveTransmitter {
            processor,
            program,
            works,
            interfaces,
            drops,
            dropped: 0,
            slots_per_pair: if is_both_transports { 2 } else { 1 },
            namespace: network_namespace()?,
            pinned: None,
        })
    }

    /// The program finds its work by the processor that it runs on.
    fn pin(&mut self) -> Result<(), FramesError> {
        let thread = thread::current().id();
        if self.pinned == Some(thread) {
            return Ok(());
        }
        if network_namespace()? != self.namespace {
            return Err(FramesError::System {
                what: "sending live frames",
                reason: "this thread is in another network namespace".to_owned(),
            });
        }
        let mut only = CpuSet::new();
        only.set(self.processor)
            .and_then(|()| sched_setaffinity(Pid::from_raw(0), &only))
            .map_err(FramesError::system("binding a thread to its processor"))?;
        self.pinned = Some(thread);
        Ok(())
    }

    fn work(&self) -> &[AtomicU64] {
        let words = PROCESSOR_BYTES / 8;
        &self.works.words()[self.processor * words..][..words]
    }

    /// Runs until the work is done; signals interrupt a run and do no harm.
    fn run(&self) -> Result<(), FramesError> {
        let work = self.work();
        let end = work[END].load(Ordering::Relaxed);
        loop {
            let next = work[NEXT].load(Ordering::Relaxed);
            if next >= end {
                return Ok(());
            }
            let slots = u32::try_from(end - next).unwrap_or(u32::MAX);
            let frame = [0; FRAME_BYTES];
            match self.program.run_live(&frame, LOOPBACK, slots, BATCH_FRAMES) {
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => {
                    return Err(FramesError::System {
                        what: "sending live frames",
                        reason: errno.desc().to_owned(),
                    });
                }
                Ok(()) if work[NEXT].load(Ordering::Relaxed) == next => {
                    return Err(FramesError::System {
                        what: "sending live frames",
                        reason: "the program did not run on its processor".to_owned(),
                    });
                }
                Ok(()) => {}
            }
        }
    }
}

/// How many frames these interfaces have dropped when they were to send them (proc_net(5),
/// /proc/net/dev); 0 if that cannot be read.
pub(super) fn drops(interfaces: &[String]) -> u64 {
    let Ok(table) = std::fs::read_to_string("/proc/thread-self/net/dev") else {
        return 0;
    };
    drops_in(&table, interfaces)
}

fn drops_in(table: &str, interfaces: &[String]) -> u64 {
    /// Columns of received traffic, and of sent traffic those before `drop`.
    const BEFORE: usize = 8 + 3;
    let of_line = |line: &str| -> Option<u64> {
        let (name, columns) = line.split_once(':')?;
        let is_ours = interfaces.iter().any(|ours| ours == name.trim());
        let dropped = columns.split_whitespace().nth(BEFORE)?;
        is_ours.then(|| dropped.parse().ok())?
    };
    table.lines().filter_map(of_line).sum()
}

/// The inode of this thread's network namespace.
fn network_namespace() -> Result<u64, FramesError> {
    let file = std::fs::metadata("/proc/thread-self/ns/net");
    let file = file.map_err(|error| FramesError::System {
        what: "reading the network namespace",
        reason: error.to_string(),
    })?;
    Ok(file.ino())
}

impl LiveTransmitter {
    /// Of frames that were made, how many the interfaces have not dropped: live frames that find a
    /// full queue vanish, and only a counter tells. The other thread's drops may be among them; each
    /// is counted once.
    fn without_dropped(&mut self, frames: u64) -> u64 {
        let drops = drops(&self.interfaces);
        let before = self.drops.swap(drops, Ordering::Relaxed);
        let dropped = drops.saturating_sub(before).min(frames);
        self.dropped += dropped;
        frames - dropped
    }
}

impl Transmit for LiveTransmitter {
    /// The permit is in the program's frozen maps: see [`super::tables`].
    fn transmit(&mut self, _permit: &Permit, stint: &Stint) -> Result<u64, FramesError> {
        self.pin()?;
        let work = self.work();
        work[NEXT].store(stint.from * self.slots_per_pair, Ordering::Relaxed);
        work[END].store(stint.to * self.slots_per_pair, Ordering::Relaxed);
        work[FRAMES].store(0, Ordering::Relaxed);
        work[FAILED].store(0, Ordering::Relaxed);
        let ran = self.run();
        // Whoever runs the program on this processor from now on makes no frame.
        work[END].store(0, Ordering::Relaxed);
        ran?;
        // Frames to an interface that is down vanish without a word.
        for interface in self.interfaces.iter() {
            attached::check_up(interface)?;
        }
        match work[FAILED].load(Ordering::Relaxed) {
            0 => Ok(self.without_dropped(work[FRAMES].load(Ordering::Relaxed))),
            slots => Err(unsuited(format!("{slots} probes could not be worked out"))),
        }
    }

    fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_of_the_right_column_and_interface() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs \
             drop fifo colls carrier compressed\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
             \u{20}  v0:21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36\n  v01: 0 0 0 0 0 0 0 0 0 0 0 \
             99 0 0 0 0\n";
        let named = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        assert_eq!(drops_in(table, &named(&["v0"])), 32);
        assert_eq!(drops_in(table, &named(&["v0", "lo"])), 44);
        assert_eq!(drops_in(table, &named(&["eth0"])), 0);
        assert_eq!(drops_in("", &named(&["v0"])), 0);
    }
}
