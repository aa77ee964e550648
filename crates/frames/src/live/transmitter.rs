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
        is_both_transports: bool,
    ) -> Result<LiveTransmitter, FramesError> {
        Ok(LiveTransmitter {
            processor,
            program,
            works,
            interfaces,
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

/// The inode of this thread's network namespace.
fn network_namespace() -> Result<u64, FramesError> {
    let file = std::fs::metadata("/proc/thread-self/ns/net");
    let file = file.map_err(|error| FramesError::System {
        what: "reading the network namespace",
        reason: error.to_string(),
    })?;
    Ok(file.ino())
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
            0 => Ok(work[FRAMES].load(Ordering::Relaxed)),
            slots => Err(unsuited(format!("{slots} probes could not be worked out"))),
        }
    }
}
