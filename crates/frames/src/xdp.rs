//! The `xdp` engine: frames are made in memory that is shared with the kernel (AF_XDP, Linux 5.4 and
//! later), without a system call, a socket buffer's bookkeeping or a queueing discipline for each.
//!
//! Only sending goes this way. What comes back is heard by the same tap as in the `packet` engine,
//! and for a reason: a frame that XDP redirects to us is never seen by the kernel, but the kernel has
//! to see a SYN-ACK to answer it with an RST. Otherwise every server that accepts would keep a
//! half-open connection for a minute. So this engine needs no program on the interface, but where the
//! card reads our memory itself: drivers want one then, and get one that lets everything pass.

mod lane;
mod pass;
mod refusal;
mod rings;
mod socket;

use std::time::Duration;

use sweep::frame;
use sweep::reply::LinkLayer;
use sweep::schedule::{Answered, Stint};
use targets::Permit;

use self::lane::Lane;
use crate::engine::{Carrier, EngineKind, Ground, Transmit};
use crate::probes::for_each_probe;
use crate::survey::Survey;
use crate::{FramesError, packet};

/// A call costs a few microseconds, so the schedule can look around often.
const QUANTUM: Duration = Duration::from_millis(5);
/// Pairs of a call: some 20 ms at the most that this engine can send.
const STINT_PAIRS_MAX: u64 = 1 << 14;

/// Makes the engine ready, or says why it cannot work here.
pub(crate) fn open(
    ground: &Ground,
    _permit: &Permit,
    survey: &Survey,
    threads: u32,
) -> Result<Carrier, FramesError> {
    let receivers = packet::receivers(ground, survey)?;
    let answered = Answered::new(ground.order.len());
    let transmitters = open_transmitters(ground, survey, threads, &answered)?;
    Ok(Carrier {
        kind: EngineKind::Xdp,
        transmitters: transmitters
            .into_iter()
            .map(|transmitter| Box::new(transmitter) as Box<dyn Transmit>)
            .collect(),
        receivers,
        answered,
        quantum: QUANTUM,
        stint_pairs_max: STINT_PAIRS_MAX,
    })
}

/// Opens a socket as for a lane, but binds it to no interface, and drops it.
pub(crate) fn try_socket() -> Result<(), FramesError> {
    lane::try_socket().map_err(|refusal| refusal.explain("AF_XDP"))
}

/// One for each thread, each with a lane over every interface.
fn open_transmitters(
    ground: &Ground,
    survey: &Survey,
    threads: u32,
    answered: &Answered,
) -> Result<Vec<Transmitter>, FramesError> {
    let threads = threads.max(1);
    let mut interfaces = Vec::new();
    let mut lanes: Vec<Vec<Lane>> = (0..threads).map(|_| Vec::new()).collect();
    for interface in &survey.interfaces {
        if interface.layer == LinkLayer::Bare {
            return Err(FramesError::Unsuited {
                engine: "xdp",
                reason: format!(
                    "{} has no Ethernet header (tun, WireGuard, PPP); use --engine packet",
                    interface.name
                ),
            });
        }
        interfaces.push(interface.index);
        let opened = lane::open_lanes(interface, threads)?;
        for (thread, lane) in lanes.iter_mut().zip(opened) {
            thread.push(lane);
        }
    }
    let lane_of_hop = ground.reach.hops().iter().map(|hop| {
        let place = interfaces.iter().position(|&index| index == hop.interface);
        place.ok_or_else(|| FramesError::Unsuited {
            engine: "xdp",
            reason: format!(
                "the interface number {} of a route is gone; scan again",
                hop.interface
            ),
        })
    });
    let lane_of_hop: Vec<usize> = lane_of_hop.collect::<Result<_, _>>()?;
    let transmitter = |lanes| Transmitter {
        ground: ground.clone(),
        answered: answered.clone(),
        lanes,
        lane_of_hop: lane_of_hop.clone(),
    };
    Ok(lanes.into_iter().map(transmitter).collect())
}

/// What one thread sends with.
struct Transmitter {
    ground: Ground,
    answered: Answered,
    lanes: Vec<Lane>,
    /// For each hop of the reach the place of its interface's lane.
    lane_of_hop: Vec<usize>,
}

impl Transmit for Transmitter {
    fn transmit(&mut self, permit: &Permit, stint: &Stint) -> Result<u64, FramesError> {
        let Transmitter {
            ground,
            answered,
            lanes,
            lane_of_hop,
        } = self;
        for_each_probe(ground, answered, permit, stint, |probe, place, hop| {
            lanes[lane_of_hop[place]]
                .send(|buffer| frame::emit(probe, hop, &ground.key, &ground.ports, buffer))
        })?;
        let mut sent = 0;
        for lane in lanes {
            lane.flush()?;
            sent += lane.take_sent();
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests;
