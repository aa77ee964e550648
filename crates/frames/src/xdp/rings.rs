//! Memory that an AF_XDP socket shares with the kernel: the frames' memory and the rings.
//!
//! A ring is an array of a power of two entries with two counters that only grow (and wrap at 2^32):
//! the producer's and the consumer's. `producer - consumer` entries are filled, and entry `n` lies at
//! `n & (capacity - 1)`. Of the two sides one is the kernel, which reads our counter with acquire and
//! writes its own with release order, and so do we
//! (<https://docs.kernel.org/networking/af_xdp.html#rings>).

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc;

/// Mapped memory, unmapped when dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; whoever reads or writes it says why
// that is sound.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared `Mapping` gives out nothing but its address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed memory of our own, `bytes` long, at a page's start.
    pub(super) fn anonymous(bytes: usize) -> Result<Mapping, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        Mapping::map(bytes, flags, -1, 0)
    }

    /// The memory that a socket offers at this offset.
    fn of_socket(socket: BorrowedFd<'_>, bytes: usize, offset: i64) -> Result<Mapping, Errno> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        Mapping::map(bytes, flags, socket.as_raw_fd(), offset)
    }

    fn map(bytes: usize, flags: i32, descriptor: i32, offset: i64) -> Result<Mapping, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                protection,
                flags,
                descriptor,
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let start = NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Mapping { start, bytes })
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` got, and nobody uses it after its owner is gone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Which ring of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum RingKind {
    /// Frames to be sent.
    Transmit,
    /// Memory for frames to be received.
    Fill,
    /// Memory of frames that were sent.
    Completion,
}

impl RingKind {
    /// Where the ring is mapped.
    fn page_offset(self) -> i64 {
        let offset = match self {
            RingKind::Transmit => libc::XDP_PGOFF_TX_RING as u64,
            RingKind::Fill => libc::XDP_UMEM_PGOFF_FILL_RING,
            RingKind::Completion => libc::XDP_UMEM_PGOFF_COMPLETION_RING,
        };
        offset as i64
    }

    fn offsets(self, all: &libc::xdp_mmap_offsets) -> &libc::xdp_ring_offset {
        match self {
            RingKind::Transmit => &all.tx,
            RingKind::Fill => &all.fr,
            RingKind::Completion => &all.cr,
        }
    }
}

/// What both sides of a ring have. `T` is the kernel's type of its entries.
struct Ring<T> {
    /// Keeps what the pointers below point into.
    _mapping: Mapping,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    capacity: u32,
}

// SAFETY: the pointers point into the mapping that moves along, and entries are plain numbers.
unsafe impl<T: Copy + Send> Send for Ring<T> {}

impl<T: Copy> Ring<T> {
    /// `capacity` is the power of two that the socket was told.
    fn map(
        socket: BorrowedFd<'_>,
        kind: RingKind,
        offsets: &libc::xdp_mmap_offsets,
        capacity: u32,
    ) -> Result<Ring<T>, Errno> {
        let offsets = kind.offsets(offsets);
        let entries_bytes = capacity as usize * size_of::<T>();
        let bytes = offsets.desc as usize + entries_bytes;
        let mapping = Mapping::of_socket(socket, bytes, kind.page_offset())?;
        let counters_end = offsets.producer.max(offsets.consumer).max(offsets.flags) as usize;
        assert!(
            counters_end + size_of::<AtomicU32>() <= offsets.desc as usize,
            "the kernel puts the counters before the entries"
        );
        // SAFETY: every offset is inside the mapping, as just asserted; the kernel aligns them.
        let at = |offset: u64| unsafe { mapping.start().add(offset as usize) };
        Ok(Ring {
            producer: at(offsets.producer).cast(),
            consumer: at(offsets.consumer).cast(),
            flags: at(offsets.flags).cast(),
            entries: at(offsets.desc).cast(),
            capacity,
            _mapping: mapping,
        })
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: points into the mapping, and both sides treat it as an atomic number.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for the producer.
        unsafe { self.consumer.as_ref() }
    }

    fn flags(&self) -> &AtomicU32 {
        // SAFETY: as for the producer.
        unsafe { self.flags.as_ref() }
    }

    fn entry(&self, number: u32) -> *mut T {
        let place = number & (self.capacity - 1);
        // SAFETY: the mask keeps the place below the capacity that was mapped.
        unsafe { self.entries.as_ptr().add(place as usize) }
    }
}

/// A ring that we fill and the kernel empties.
pub(super) struct ProducerRing<T> {
    ring: Ring<T>,
    /// Number of the entry that is written next.
    next: u32,
}

impl<T: Copy> ProducerRing<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        kind: RingKind,
        offsets: &libc::xdp_mmap_offsets,
        capacity: u32,
    ) -> Result<ProducerRing<T>, Errno> {
        let ring = Ring::map(socket, kind, offsets, capacity)?;
        Ok(ProducerRing { ring, next: 0 })
    }

    /// Writes an entry, which the kernel sees after [`ProducerRing::publish`].
    ///
    /// # Panics
    ///
    /// If the ring is full.
    pub(super) fn push(&mut self, entry: T) {
        assert!(
            self.next.wrapping_sub(self.consumed()) < self.ring.capacity,
            "more entries than the ring holds"
        );
        // SAFETY: the entry is inside the ring, and the kernel does not read it before the
        // producer's counter has passed it.
        unsafe { self.ring.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
    }

    /// Hands everything written to the kernel.
    pub(super) fn publish(&mut self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// How many entries the kernel has not taken yet.
    pub(super) fn waiting(&self) -> u32 {
        self.next.wrapping_sub(self.consumed())
    }

    /// Whether the kernel has to be told that there is something.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.flags().load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn consumed(&self) -> u32 {
        self.ring.consumer().load(Ordering::Acquire)
    }
}

/// A ring that the kernel fills and we empty.
pub(super) struct ConsumerRing<T> {
    ring: Ring<T>,
}

impl<T: Copy> ConsumerRing<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        kind: RingKind,
        offsets: &libc::xdp_mmap_offsets,
        capacity: u32,
    ) -> Result<ConsumerRing<T>, Errno> {
        let ring = Ring::map(socket, kind, offsets, capacity)?;
        Ok(ConsumerRing { ring })
    }

    /// Takes every entry that is there.
    pub(super) fn drain(&mut self, mut take: impl FnMut(T)) {
        let produced = self.ring.producer().load(Ordering::Acquire);
        let mut next = self.ring.consumer().load(Ordering::Relaxed);
        while next != produced {
            // SAFETY: the kernel has written the entry, as the acquired counter says, and does not
            // write it again before our counter has passed it.
            take(unsafe { self.ring.entry(next).read() });
            next = next.wrapping_add(1);
        }
        self.ring.consumer().store(next, Ordering::Release);
    }
}
