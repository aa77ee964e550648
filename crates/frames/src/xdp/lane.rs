//! One sending thread's way out of one interface: a socket, its ring, and frames of its own.
//!
//! Threads that share a queue of the interface share its memory and the ring by which the kernel
//! gives frames back, because the kernel has only one of each for a queue; each thread fills a ring
//! of its own, from its own part of the memory.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use sweep::frame::FRAME_BYTES_MAX;

use super::pass;
use super::refusal::{Refusal, Step};
use super::rings::{ConsumerRing, Mapping, ProducerRing, RingKind};
use super::socket::{self, CHUNK_BYTES, Control, Mode};
use crate::FramesError;
use crate::bpf::Link;
use crate::survey::Interface;

/// Frames that a lane may have under way.
const SLOTS: u32 = 2048;
/// Room of each frame. It divides [`CHUNK_BYTES`], for no frame may cross the end of a chunk.
const SLOT_BYTES: usize = 128;
/// Memory of one lane's frames.
const LANE_BYTES: usize = SLOTS as usize * SLOT_BYTES;
/// Frames that are handed to the kernel at a time: few enough to be still in the processor's cache
/// when the kernel reads them.
const BATCH: u32 = 256;
/// Without copying, a card puts what it receives on the queue into memory of ours too, before the
/// kernel gets it: this many pieces of it.
const RECEIVE_CHUNKS: u32 = 2048;
/// Memory of frames under way that the kernel accounts for, where it copies them.
const SEND_BUFFER_BYTES: i32 = 8 << 20;
/// If not one frame leaves for this long, none will.
const STALL_MAX: Duration = Duration::from_secs(2);
/// Between two looks whether a full card has room again.
const STALL_STEP: Duration = Duration::from_micros(50);
/// Frames that the interface drops one after the other before we ask whether its link is up.
const DROPS_IN_A_ROW_MAX: u32 = 64;
/// A pause after that if it is up.
const DROPS_PAUSE: Duration = Duration::from_millis(1);
/// An interface that started anew with its program is waited for this long.
const LINK_WAIT_MAX: Duration = Duration::from_secs(5);
/// So long the kernel may hold a queue after its last socket was closed.
const LEAVING_MAX: Duration = Duration::from_secs(1);
/// Between two looks at either.
const LINK_STEP: Duration = Duration::from_millis(10);

const _: () = assert!(SLOT_BYTES >= FRAME_BYTES_MAX, "a frame fits its slot");
const _: () = assert!(CHUNK_BYTES.is_multiple_of(SLOT_BYTES), "slots tile chunks");
const _: () = assert!(LANE_BYTES.is_multiple_of(CHUNK_BYTES), "chunks tile lanes");
const _: () = assert!(SLOTS.is_power_of_two(), "a ring's capacity");

/// Opens a lane over this interface for each of `threads` threads: without copying where the driver
/// can, or else with it.
///
/// # Errors
///
/// If AF_XDP does not work here; the message has the mend.
pub(super) fn open_lanes(interface: &Interface, threads: u32) -> Result<Vec<Lane>, FramesError> {
    let mut leaving = None;
    match open_in(interface, threads, Mode::ZeroCopy) {
        Ok(lanes) => return Ok(lanes),
        // The sockets were bound already, and the kernel takes its time to forget them.
        Err(refusal) if refusal.was_bound() => leaving = Some(Instant::now()),
        Err(_) => {}
    }
    loop {
        let refusal = match open_in(interface, threads, Mode::Copy) {
            Ok(lanes) => return Ok(lanes),
            Err(refusal) => refusal,
        };
        let is_leaving = leaving.is_some_and(|since| since.elapsed() < LEAVING_MAX);
        if refusal.errno != Errno::EBUSY || !is_leaving {
            return Err(refusal.explain(&interface.name));
        }
        thread::sleep(LINK_STEP);
    }
}

/// What a lane needs of the kernel, except an interface.
pub(super) fn try_socket() -> Result<(), Refusal> {
    let memory = Mapping::anonymous(LANE_BYTES).map_err(Step::Memory.refused())?;
    let socket = open_socket()?;
    register(&socket, &memory).map_err(Step::Memory.refused())?;
    transmit_ring(&socket).map(drop)
}

/// A socket that is ready to send.
pub(super) struct Lane {
    interface: String,
    socket: OwnedFd,
    ring: ProducerRing<libc::xdp_desc>,
    queue: Arc<Queue>,
    /// Which part of the queue's memory is ours.
    member: usize,
    mode: Mode,
    /// Where in the memory there is room for a frame. Taken from the end: what came back last is
    /// still in the processor's cache.
    free: Vec<u32>,
    /// Frames in the ring that the kernel does not know of yet.
    unpublished: u32,
    sent: u64,
    drops_in_a_row: u32,
}

impl Lane {
    /// Lets `write` make a frame and sends it, at the latest with [`Lane::flush`]. `write` returns
    /// the frame's length in bytes.
    ///
    /// # Errors
    ///
    /// If the interface cannot send any more. That it is busy is waited out.
    pub(super) fn send(
        &mut self,
        write: impl FnOnce(&mut [u8; FRAME_BYTES_MAX]) -> usize,
    ) -> Result<(), FramesError> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.wait_for_slot()?,
        };
        // SAFETY: slots are inside the memory. This one is ours alone: it is in no other lane's
        // part, and the kernel has given it back or never had it.
        let buffer = unsafe {
            let start = self.queue.memory.start().add(slot as usize);
            &mut *start.as_ptr().cast::<[u8; FRAME_BYTES_MAX]>()
        };
        let bytes = write(buffer);
        assert!(bytes <= FRAME_BYTES_MAX, "a frame of {bytes} bytes");
        // Never full: the ring has as many entries as there are slots.
        self.ring.push(libc::xdp_desc {
            addr: u64::from(slot),
            len: bytes as u32,
            options: 0,
        });
        self.sent += 1;
        self.unpublished += 1;
        if self.unpublished == BATCH {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Waits until everything has left.
    ///
    /// # Errors
    ///
    /// As for [`Lane::send`].
    pub(super) fn flush(&mut self) -> Result<(), FramesError> {
        self.ring.publish();
        self.unpublished = 0;
        let mut stall = Stall::default();
        loop {
            let waiting = self.ring.waiting();
            if waiting == 0 {
                return Ok(());
            }
            self.kick(waiting)?;
            // A full ring of frames that came back would hold the kernel up.
            self.queue.collect(self.member, &mut self.free);
            if self.ring.waiting() < waiting {
                stall = Stall::default();
            } else {
                stall.wait(&self.interface)?;
            }
        }
    }

    /// How many frames left since the last call.
    pub(super) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// Hands the batch to the kernel; where the kernel copies, it has left then.
    fn hand_over(&mut self) -> Result<(), FramesError> {
        if self.mode == Mode::Copy {
            return self.flush();
        }
        self.ring.publish();
        self.unpublished = 0;
        self.kick(self.ring.waiting())
    }

    fn wait_for_slot(&mut self) -> Result<u32, FramesError> {
        self.hand_over()?;
        let mut stall = Stall::default();
        loop {
            self.queue.collect(self.member, &mut self.free);
            if let Some(slot) = self.free.pop() {
                return Ok(slot);
            }
            self.kick(self.ring.waiting())?;
            stall.wait(&self.interface)?;
        }
    }

    /// Tells the kernel to send, if it wants to be told. `waiting` frames were in the ring before.
    fn kick(&mut self, waiting: u32) -> Result<(), FramesError> {
        if self.mode == Mode::ZeroCopy && !self.ring.needs_wakeup() {
            return Ok(());
        }
        match socket::kick(&self.socket) {
            // Sent as much as it may in one call, or as much as the card has room for.
            Ok(()) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR) => {
                self.drops_in_a_row = 0;
                Ok(())
            }
            // The interface dropped one frame, which is gone; those before it have left.
            Err(Errno::EBUSY) => {
                self.sent = self.sent.saturating_sub(1);
                let alone = waiting.saturating_sub(self.ring.waiting()) <= 1;
                self.drops_in_a_row = if alone { self.drops_in_a_row + 1 } else { 0 };
                self.look_at_link()
            }
            Err(Errno::ENETDOWN) => Err(FramesError::InterfaceDown {
                name: self.interface.clone(),
            }),
            Err(Errno::ENXIO | Errno::ENODEV) => Err(FramesError::NoInterface {
                name: self.interface.clone(),
            }),
            Err(errno) => Err(FramesError::Unsuited {
                engine: "xdp",
                reason: format!(
                    "sending over {}: {}; use --engine packet",
                    self.interface,
                    errno.desc()
                ),
            }),
        }
    }

    /// Whether frames are dropped because the link is down.
    fn look_at_link(&mut self) -> Result<(), FramesError> {
        if self.drops_in_a_row < DROPS_IN_A_ROW_MAX {
            return Ok(());
        }
        self.drops_in_a_row = 0;
        match self.queue.control.is_running(&self.interface) {
            None => Err(FramesError::NoInterface {
                name: self.interface.clone(),
            }),
            Some(false) => Err(FramesError::Unsuited {
                engine: "xdp",
                reason: format!(
                    "the link of {} is down; `ip link show {0}` tells whether it has a carrier",
                    self.interface
                ),
            }),
            Some(true) => {
                thread::sleep(DROPS_PAUSE);
                Ok(())
            }
        }
    }
}

/// Waiting for something that may never come.
#[derive(Default)]
struct Stall {
    since: Option<Instant>,
}

impl Stall {
    fn wait(&mut self, interface: &str) -> Result<(), FramesError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < STALL_MAX {
            thread::sleep(STALL_STEP);
            return Ok(());
        }
        Err(FramesError::Unsuited {
            engine: "xdp",
            reason: format!(
                "{interface} has sent nothing for {} s; use --engine packet",
                STALL_MAX.as_secs()
            ),
        })
    }
}

/// What the lanes over one queue share.
struct Queue {
    memory: Mapping,
    completions: Mutex<Completions>,
    control: Arc<Control>,
    /// Without copying: the program on the interface.
    _program: Option<Arc<Link>>,
}

/// Frames that the kernel has given back.
struct Completions {
    ring: ConsumerRing<u64>,
    /// For each lane the places that another lane found for it.
    found: Vec<Vec<u32>>,
}

impl Queue {
    /// Adds to `free` what came back of this member's frames.
    fn collect(&self, member: usize, free: &mut Vec<u32>) {
        let mut completions = self
            .completions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Completions { ring, found } = &mut *completions;
        ring.drain(|address| {
            let owner = address as usize / LANE_BYTES;
            let place = address as u32;
            if owner == member {
                free.push(place);
            } else if let Some(others) = found.get_mut(owner) {
                others.push(place);
            }
        });
        free.append(&mut found[member]);
    }
}

/// Opens all lanes over an interface in one mode, spread over the queues that it sends by.
fn open_in(interface: &Interface, threads: u32, mode: Mode) -> Result<Vec<Lane>, Refusal> {
    let control = Arc::new(Control::open().map_err(Step::Socket.refused())?);
    let queues = control.transmit_queues(&interface.name).min(threads);
    let mut sockets = Vec::new();
    for queue in 0..queues {
        let members = (queue..threads).step_by(queues as usize).count();
        sockets.push(QueueSockets::open(interface, queue, members, mode)?);
    }
    // Only now, because an interface may start anew when it gets a program, which is for nothing
    // where its driver cannot send without copying.
    let program = match mode {
        Mode::Copy => None,
        Mode::ZeroCopy => {
            let link = pass::attach(interface.index).map_err(Step::Program.refused())?;
            wait_for_link(&control, &interface.name);
            Some(Arc::new(link))
        }
    };
    let mut lanes = Vec::new();
    for queue in sockets {
        lanes.extend(queue.into_lanes(&interface.name, mode, program.as_ref(), &control)?);
    }
    Ok(lanes)
}

/// Some cards restart when they get a program. If this one is not back in time, the first frame tells.
fn wait_for_link(control: &Control, interface: &str) {
    let since = Instant::now();
    while control.is_running(interface) == Some(false) && since.elapsed() < LINK_WAIT_MAX {
        thread::sleep(LINK_STEP);
    }
}

/// The bound sockets of one queue.
struct QueueSockets {
    memory: Mapping,
    completions: ConsumerRing<u64>,
    members: Vec<(OwnedFd, ProducerRing<libc::xdp_desc>)>,
}

impl QueueSockets {
    fn open(
        interface: &Interface,
        queue: u32,
        members: usize,
        mode: Mode,
    ) -> Result<QueueSockets, Refusal> {
        let receive_chunks = match mode {
            Mode::Copy => 0,
            Mode::ZeroCopy => RECEIVE_CHUNKS,
        };
        let frames_bytes = members * LANE_BYTES;
        let memory = Mapping::anonymous(frames_bytes + receive_chunks as usize * CHUNK_BYTES)
            .map_err(Step::Memory.refused())?;
        let first = open_socket()?;
        register(&first, &memory).map_err(Step::Memory.refused())?;
        let completions_max = (SLOTS * members as u32).next_power_of_two();
        for (option, capacity) in [
            (libc::XDP_UMEM_FILL_RING, RECEIVE_CHUNKS),
            (libc::XDP_UMEM_COMPLETION_RING, completions_max),
        ] {
            socket::make_ring(&first, option, capacity).map_err(Step::Rings.refused())?;
        }
        let offsets = offsets_of(&first)?;
        let completions = ConsumerRing::map(
            first.as_fd(),
            RingKind::Completion,
            &offsets,
            completions_max,
        )
        .map_err(Step::Rings.refused())?;
        let mut fill = ProducerRing::map(first.as_fd(), RingKind::Fill, &offsets, RECEIVE_CHUNKS)
            .map_err(Step::Rings.refused())?;
        for chunk in 0..receive_chunks as usize {
            fill.push((frames_bytes + chunk * CHUNK_BYTES) as u64);
        }
        fill.publish();
        let ring = transmit_ring(&first)?;
        socket::bind(&first, interface.index, queue, mode).map_err(Step::Bind(queue).refused())?;
        let mut all = vec![(first, ring)];
        while all.len() < members {
            let beside = open_socket()?;
            let ring = transmit_ring(&beside)?;
            socket::bind_beside(&beside, interface.index, queue, all[0].0.as_fd())
                .map_err(Step::Bind(queue).refused())?;
            all.push((beside, ring));
        }
        Ok(QueueSockets {
            memory,
            completions,
            members: all,
        })
    }

    fn into_lanes(
        self,
        interface: &str,
        mode: Mode,
        program: Option<&Arc<Link>>,
        control: &Arc<Control>,
    ) -> Result<Vec<Lane>, Refusal> {
        let queue = Arc::new(Queue {
            memory: self.memory,
            completions: Mutex::new(Completions {
                ring: self.completions,
                found: vec![Vec::new(); self.members.len()],
            }),
            control: Arc::clone(control),
            _program: program.cloned(),
        });
        let mut lanes = Vec::new();
        for (member, (socket, ring)) in self.members.into_iter().enumerate() {
            if mode == Mode::ZeroCopy {
                // The rings are empty: this only asks whether the driver is ready for them.
                socket::kick(&socket).map_err(Step::Wakeup.refused())?;
            }
            let slots =
                (0..SLOTS).map(|slot| (member * LANE_BYTES) as u32 + slot * SLOT_BYTES as u32);
            lanes.push(Lane {
                interface: interface.to_owned(),
                socket,
                ring,
                queue: Arc::clone(&queue),
                member,
                mode,
                free: slots.collect(),
                unpublished: 0,
                sent: 0,
                drops_in_a_row: 0,
            });
        }
        Ok(lanes)
    }
}

fn open_socket() -> Result<OwnedFd, Refusal> {
    let opened = socket::open().map_err(Step::Socket.refused())?;
    socket::widen(&opened, SEND_BUFFER_BYTES, BATCH);
    Ok(opened)
}

fn transmit_ring(socket: &OwnedFd) -> Result<ProducerRing<libc::xdp_desc>, Refusal> {
    socket::make_ring(socket, libc::XDP_TX_RING, SLOTS).map_err(Step::Rings.refused())?;
    let offsets = offsets_of(socket)?;
    ProducerRing::map(socket.as_fd(), RingKind::Transmit, &offsets, SLOTS)
        .map_err(Step::Rings.refused())
}

fn offsets_of(socket: &OwnedFd) -> Result<libc::xdp_mmap_offsets, Refusal> {
    let offsets = socket::ring_offsets(socket).map_err(Step::Rings.refused())?;
    offsets.ok_or(Refusal {
        step: Step::Age,
        errno: Errno::ENOPROTOOPT,
    })
}

/// Registers the memory; if too little may be locked, asks for more once.
fn register(socket: &OwnedFd, memory: &Mapping) -> Result<(), Errno> {
    match socket::register_memory(socket, memory) {
        Err(Errno::ENOBUFS) => {
            let limit = Resource::RLIMIT_MEMLOCK;
            if setrlimit(limit, RLIM_INFINITY, RLIM_INFINITY).is_err() {
                let (_, hard) = getrlimit(limit)?;
                setrlimit(limit, hard, hard)?;
            }
            socket::register_memory(socket, memory)
        }
        other => other,
    }
}
