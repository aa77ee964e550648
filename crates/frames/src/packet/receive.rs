//! Hearing: one ring and one filter for each interface.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sweep::cookie::SourcePorts;
use sweep::reply::LinkLayer;

use super::filter;
use super::ring::{BLOCK_BYTES, Ring};
use super::socket::{PROTOCOL_ALL, bind, interface_error, open_socket, set_option, take_error};
use crate::engine::Receive;
use crate::survey::Interface;
use crate::{FramesError, socket_filter};

/// Bytes of all rings together, unless the least of each is more.
const RINGS_BYTES: usize = 8 << 20;
/// Blocks of one ring at least: at a low rate each is closed with few frames, and this many times
/// the retirement time may pass before one is lost.
const BLOCKS_MIN: usize = 32;

/// Hears what comes back over one interface.
pub(super) struct Receiver {
    // Before the socket, so that the mapping goes first.
    ring: Ring,
    socket: OwnedFd,
    layer: LinkLayer,
    name: String,
}

impl Receiver {
    /// Hears from now on. `interfaces`: how many share the memory.
    pub(super) fn open(
        interface: &Interface,
        ports: &SourcePorts,
        interfaces: usize,
    ) -> Result<Receiver, FramesError> {
        let name = interface.name.as_str();
        let refused = |what| move |errno| interface_error(what, name, errno);
        let socket = open_socket()?;
        let blocks = (RINGS_BYTES / BLOCK_BYTES / interfaces.max(1)).max(BLOCKS_MIN);
        let ring = Ring::new(&socket, blocks).map_err(refused("make a receiving ring"))?;
        let program = filter::program(interface.layer, ports);
        socket_filter::attach(&socket, &program).map_err(refused("attach a filter"))?;
        // Before Linux 4.20 our own frames are heard too: the check of answers knows them as none.
        let _ = set_option(
            &socket,
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            &1i32,
        );
        // Last of all: until here the socket hears nothing, so nothing passes the filter by.
        bind(&socket, interface.index, PROTOCOL_ALL).map_err(refused("bind a packet socket"))?;
        if let Some(errno) = take_error(&socket) {
            return Err(interface_error("bind a packet socket", name, errno));
        }
        Ok(Receiver {
            ring,
            socket,
            layer: interface.layer,
            name: name.to_owned(),
        })
    }

    /// Waits until a block is closed or the time is over; the error that the socket has, if any.
    fn wait(&self, wait: Duration) -> Result<(), FramesError> {
        // Rounded up, so that a short wait does not become none.
        let wait_ms = wait.as_micros().div_ceil(1_000);
        let timeout = PollTimeout::try_from(wait_ms).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(FramesError::system("wait for frames")(errno)),
        }
        let is_wrong = polled[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLERR));
        match is_wrong.then(|| take_error(&self.socket)).flatten() {
            Some(errno) => Err(interface_error("receive frames", &self.name, errno)),
            None => Ok(()),
        }
    }
}

impl Receive for Receiver {
    fn receive(
        &mut self,
        wait: Duration,
        take: &mut dyn FnMut(&[u8], LinkLayer),
    ) -> Result<(), FramesError> {
        let layer = self.layer;
        if self.ring.drain(&mut |frame| take(frame, layer)) {
            return Ok(());
        }
        let waited = self.wait(wait);
        // What was heard before something went wrong still counts.
        self.ring.drain(&mut |frame| take(frame, layer));
        waited
    }

    fn take_lost(&mut self) -> u64 {
        let mut counts = libc::tpacket_stats_v3 {
            tp_packets: 0,
            tp_drops: 0,
            tp_freeze_q_cnt: 0,
        };
        let mut bytes = std::mem::size_of_val(&counts) as libc::socklen_t;
        // SAFETY: the kernel writes at most `bytes` bytes to `counts`, and how many to `bytes`.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counts).cast(),
                &raw mut bytes,
            )
        };
        // Reading sets the kernel's counters to zero. It cannot fail for a packet socket.
        if result == 0 {
            counts.tp_drops.into()
        } else {
            0
        }
    }
}
