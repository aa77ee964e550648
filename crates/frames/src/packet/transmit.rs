//! Sending: frames are made in batches, and each batch is one system call.

use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sweep::frame::{FRAME_BYTES_MAX, Probe, emit};
use sweep::reach::Hop;
use sweep::reply::LinkLayer;
use sweep::schedule::{Answered, Stint};
use targets::Permit;

use super::socket::{
    ADDRESS_BYTES, PROTOCOL_IPV4, PROTOCOL_IPV6, bind, interface_error, link_address, open_socket,
    set_option,
};
use crate::FramesError;
use crate::engine::{Ground, Transmit};
use crate::probes::for_each_probe;
use crate::survey::{Interface, Survey};

/// Frames of one system call: enough to make its cost small beside theirs, few enough to stay in
/// the processor's nearest cache.
const BATCH_FRAMES: usize = 256;
/// What a socket may have under way, in bytes as the kernel reckons them (about 800 a frame).
const SEND_BUFFER_BYTES: libc::c_int = 8 << 20;
/// How long to wait when the interface's queue is full: a few hundred frames at 10 Gbit/s.
const CONGESTION_PAUSE: Duration = Duration::from_micros(50);
/// How long to wait for room in the socket's buffer before looking again.
const ROOM_WAIT_MS: u16 = 10;
/// An interface that takes no frame for so long takes none at all.
const CONGESTION_MAX: Duration = Duration::from_secs(1);

/// What all transmitters of an engine share.
pub(super) struct Course {
    pub(super) ground: Ground,
    pub(super) answered: Answered,
    /// For each hop of the reach the place of its interface in the survey.
    outlet_of_hop: Vec<usize>,
}

impl Course {
    /// # Errors
    ///
    /// If a hop leads over an interface that the survey does not name.
    pub(super) fn new(
        ground: &Ground,
        answered: Answered,
        survey: &Survey,
    ) -> Result<Course, FramesError> {
        let place_of = |hop: &Hop| {
            let mut interfaces = survey.interfaces.iter();
            interfaces
                .position(|interface| interface.index == hop.interface)
                .ok_or_else(|| FramesError::NoInterface {
                    name: format!("number {}", hop.interface),
                })
        };
        let outlet_of_hop = ground.reach.hops().iter().map(place_of);
        Ok(Course {
            outlet_of_hop: outlet_of_hop.collect::<Result<_, _>>()?,
            ground: ground.clone(),
            answered,
        })
    }
}

/// One sending thread's sockets and batches.
pub(super) struct Transmitter {
    course: Arc<Course>,
    outlets: Vec<Outlet>,
}

impl Transmitter {
    pub(super) fn open(course: &Arc<Course>, survey: &Survey) -> Result<Transmitter, FramesError> {
        let outlets = survey.interfaces.iter().map(Outlet::open);
        Ok(Transmitter {
            course: Arc::clone(course),
            outlets: outlets.collect::<Result<_, _>>()?,
        })
    }
}

impl Transmit for Transmitter {
    fn transmit(&mut self, permit: &Permit, stint: &Stint) -> Result<u64, FramesError> {
        let Course {
            ground,
            answered,
            outlet_of_hop,
        } = &*self.course;
        let outlets = &mut self.outlets;
        let mut sent = 0;
        for_each_probe(ground, answered, permit, stint, |probe, place, hop| {
            sent += outlets[outlet_of_hop[place]].push(ground, hop, probe)?;
            Ok(())
        })?;
        for outlet in &mut self.outlets {
            sent += outlet.flush()?;
        }
        Ok(sent)
    }
}

/// A sending socket of one interface, and the frames that wait for it.
struct Outlet {
    socket: OwnedFd,
    name: String,
    /// Where frames have no Ethernet header, the kernel is told with each what it is: the addresses
    /// for IPv4 and IPv6.
    bare: Option<[libc::sockaddr_ll; 2]>,
    frames: Box<[[u8; FRAME_BYTES_MAX]; BATCH_FRAMES]>,
    /// The length of each frame that waits.
    lengths: Vec<usize>,
}

impl Outlet {
    fn open(interface: &Interface) -> Result<Outlet, FramesError> {
        let name = interface.name.as_str();
        let socket = open_socket()?;
        // The first one needs CAP_NET_ADMIN; the second is cut to what the system allows.
        for option in [libc::SO_SNDBUFFORCE, libc::SO_SNDBUF] {
            if set_option(&socket, libc::SOL_SOCKET, option, &SEND_BUFFER_BYTES).is_ok() {
                break;
            }
        }
        // Straight to the driver, past queueing; where the kernel cannot (before 3.14), not.
        let _ = set_option(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1i32);
        bind(&socket, interface.index, 0)
            .map_err(|errno| interface_error("bind a packet socket", name, errno))?;
        let bare = match interface.layer {
            LinkLayer::Ethernet => None,
            LinkLayer::Bare => Some(
                [PROTOCOL_IPV4, PROTOCOL_IPV6]
                    .map(|protocol| link_address(interface.index, protocol)),
            ),
        };
        Ok(Outlet {
            socket,
            name: name.to_owned(),
            bare,
            frames: Box::new([[0; FRAME_BYTES_MAX]; BATCH_FRAMES]),
            lengths: Vec::with_capacity(BATCH_FRAMES),
        })
    }

    /// Adds a probe to the batch; a full batch leaves. Returns how many frames left.
    fn push(&mut self, ground: &Ground, hop: &Hop, probe: &Probe) -> Result<u64, FramesError> {
        let buffer = &mut self.frames[self.lengths.len()];
        let length = emit(probe, hop, &ground.key, &ground.ports, buffer);
        self.lengths.push(length);
        if self.lengths.len() < BATCH_FRAMES {
            return Ok(0);
        }
        self.flush()
    }

    /// Sends what waits. Returns how many frames left: all, unless there is an error.
    fn flush(&mut self) -> Result<u64, FramesError> {
        let lengths = mem::take(&mut self.lengths);
        let result = self.send_all(&lengths);
        self.lengths = lengths;
        self.lengths.clear();
        result
    }

    fn send_all(&self, lengths: &[usize]) -> Result<u64, FramesError> {
        let mut done = 0;
        let mut stuck_since: Option<Instant> = None;
        while done < lengths.len() {
            match self.send_some(done, lengths) {
                Ok(sent) => {
                    done += sent;
                    stuck_since = None;
                }
                Err(Errno::EINTR) => {}
                Err(errno @ (Errno::ENOBUFS | Errno::EAGAIN | Errno::ENOMEM)) => {
                    let since = *stuck_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > CONGESTION_MAX {
                        return Err(self.stuck());
                    }
                    self.pause(errno);
                }
                Err(errno) => return Err(interface_error("send frames", &self.name, errno)),
            }
        }
        Ok(done as u64)
    }

    /// Sends the frames from `first` on until one is refused; the reason if it is the first one.
    fn send_some(&self, first: usize, lengths: &[usize]) -> Result<usize, Errno> {
        // SAFETY: integers and pointers, for which zeros are a value.
        let mut slices: [libc::iovec; BATCH_FRAMES] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH_FRAMES] = unsafe { mem::zeroed() };
        let frames = self.frames.iter().zip(lengths).skip(first);
        let mut count = 0;
        for ((slice, message), (frame, length)) in slices.iter_mut().zip(&mut messages).zip(frames)
        {
            slice.iov_base = frame.as_ptr().cast_mut().cast();
            slice.iov_len = *length;
            message.msg_hdr.msg_iov = slice;
            message.msg_hdr.msg_iovlen = 1;
            if let Some(addresses) = &self.bare {
                let is_ipv6 = frame[0] >> 4 == 6;
                let address = &addresses[usize::from(is_ipv6)];
                message.msg_hdr.msg_name = ptr::from_ref(address).cast_mut().cast();
                message.msg_hdr.msg_namelen = ADDRESS_BYTES;
            }
            count += 1;
        }
        // SAFETY: the first `count` messages point to slices, frames and addresses that live
        // through the call; the kernel writes only the messages' own lengths.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        // Not negative any more, and at most `count`.
        Errno::result(sent).map(|sent| sent as usize)
    }

    /// Waits a little, until there may be room again.
    fn pause(&self, errno: Errno) {
        if errno == Errno::EAGAIN {
            let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
            // Whatever it says, sending is tried again.
            let _ = poll(&mut polled, PollTimeout::from(ROOM_WAIT_MS));
        } else {
            thread::sleep(CONGESTION_PAUSE);
        }
    }

    /// The interface is up and takes nothing.
    fn stuck(&self) -> FramesError {
        let name = &self.name;
        FramesError::Unsuited {
            engine: "packet",
            reason: format!(
                "interface {name} takes no frames; see that its link is there: `ip link show {name}`"
            ),
        }
    }
}

const _: () = assert!(
    BATCH_FRAMES <= 1_024,
    "sendmmsg(2) takes UIO_MAXIOV at most"
);
