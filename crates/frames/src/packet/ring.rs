//! The receiving ring: memory shared with the kernel, which writes frames into it without a system
//! call for each (TPACKET_V3; Documentation/networking/packet_mmap.rst of the kernel).
//!
//! The ring is a row of blocks. The kernel fills one with frames, one behind the other, and closes
//! it when it is full or [`RETIRE_MS`] after its first frame; closing is a store to the block's
//! status word. Then the block is ours until we store the status back. So each word of a block but
//! the status is written by one side at a time, and the status is what hands the block over.

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc;

use super::socket::set_option;

/// Bytes of a block: some 400 short frames.
pub(super) const BLOCK_BYTES: usize = 1 << 16;
/// A block that has a frame is closed after this time, full or not.
const RETIRE_MS: u32 = 2;
/// Blocks are reckoned in frames of this size; in TPACKET_V3 it has no other meaning.
const FRAME_BYTES: usize = 2_048;

/// A mapped ring.
#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<u8>,
    blocks: usize,
    /// The block that the kernel closes next.
    next: usize,
}

// SAFETY: the memory belongs to this value alone, and is used through `&mut self` only.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives the socket a ring of this many blocks. Call it before the socket hears.
    pub(super) fn new(socket: &OwnedFd, blocks: usize) -> Result<Ring, Errno> {
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        set_option(socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK_BYTES as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: FRAME_BYTES as u32,
            tp_frame_nr: (BLOCK_BYTES / FRAME_BYTES * blocks) as u32,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BLOCK_BYTES * blocks,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let memory = NonNull::new(memory.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Ring {
            memory,
            blocks,
            next: 0,
        })
    }

    /// Gives every frame of every closed block to `take` and the blocks back to the kernel, once
    /// around the ring at most. Returns whether there was a block.
    pub(super) fn drain(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        for drained in 0..self.blocks {
            if !self.drain_block(take) {
                return drained > 0;
            }
            self.next = (self.next + 1) % self.blocks;
        }
        true
    }

    /// Hands on the frames of the next block, if it is closed.
    fn drain_block(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        // SAFETY: `next` is below `blocks`, so the block is inside of the mapping.
        let block = unsafe { self.memory.as_ptr().add(self.next * BLOCK_BYTES) };
        let descriptor = block.cast::<libc::tpacket_block_desc>();
        // SAFETY: the descriptor is at the beginning of the block, which is aligned to pages; the
        // union has one variant only. The status is a `u32` that both sides use atomically.
        let status = unsafe { AtomicU32::from_ptr(&raw mut (*descriptor).hdr.bh1.block_status) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        // SAFETY: as above; a closed block is written by nobody else.
        let header = unsafe { ptr::read(&raw const (*descriptor).hdr.bh1) };
        // SAFETY: the block is closed until its status is stored below, and the slice is not used
        // after that.
        let bytes = unsafe { std::slice::from_raw_parts(block, BLOCK_BYTES) };
        frames_of(bytes, &header, take);
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        true
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and no reference into it is left. Failing to
        // unmap leaves memory behind and nothing else.
        let _ = unsafe { libc::munmap(self.memory.as_ptr().cast(), BLOCK_BYTES * self.blocks) };
    }
}

/// Walks the frames of a block. What the kernel says is held against the block's bounds all the
/// same; a frame outside of them ends the walk.
fn frames_of(block: &[u8], header: &libc::tpacket_hdr_v1, take: &mut dyn FnMut(&[u8])) {
    let mut at = header.offset_to_first_pkt as usize;
    for _ in 0..header.num_pkts {
        let Some(head) = frame_head(block, at) else {
            return;
        };
        let begin = at + usize::from(head.tp_mac);
        let Some(frame) = block.get(begin..begin + head.tp_snaplen as usize) else {
            return;
        };
        take(frame);
        if head.tp_next_offset == 0 {
            return;
        }
        at += head.tp_next_offset as usize;
    }
}

fn frame_head(block: &[u8], at: usize) -> Option<libc::tpacket3_hdr> {
    let bytes = block.get(at..at + std::mem::size_of::<libc::tpacket3_hdr>())?;
    // SAFETY: the slice is as long as the header, which is plain integers, so any bytes are one.
    Some(unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) })
}
