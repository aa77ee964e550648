//! The `packet` engine: packet sockets, which every Linux has that gives us CAP_NET_RAW.
//!
//! - [`transmit`]: each sending thread has its own socket for each interface and hands the kernel
//!   batches of frames, past the queueing disciplines.
//! - [`receive`]: one [`ring`] for each interface, behind a [`filter`] that the kernel runs.
//! - [`socket`]: what both need of packet(7).
//!
//! Frames go around the firewall's output rules on this machine, as those of every packet socket.

mod filter;
mod receive;
mod ring;
pub(crate) mod socket;
mod transmit;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use sweep::schedule::Answered;
use targets::Permit;

use self::receive::Receiver;
use self::transmit::{Course, Transmitter};
use crate::FramesError;
use crate::engine::{Carrier, EngineKind, Ground, Receive, Transmit};
use crate::survey::Survey;

/// Calls are cheap; they are spread as finely as waking up a thread is worth.
const QUANTUM: Duration = Duration::from_millis(4);
/// Pairs of one call: some 60 ms of sending at full rate, so that a stop is soon noticed.
const STINT_PAIRS_MAX: u64 = 1 << 15;

/// Makes the engine ready, or says why it cannot work here.
pub(crate) fn open(
    ground: &Ground,
    _permit: &Permit,
    survey: &Survey,
    threads: u32,
) -> Result<Carrier, FramesError> {
    let receivers = receivers(ground, survey)?;
    let answered = Answered::new(ground.order.len());
    let course = Arc::new(Course::new(ground, answered.clone(), survey)?);
    let mut transmitters: Vec<Box<dyn Transmit>> = Vec::new();
    for _ in 0..threads.max(1) {
        transmitters.push(Box::new(Transmitter::open(&course, survey)?));
    }
    Ok(Carrier {
        kind: EngineKind::Packet,
        transmitters,
        receivers,
        answered,
        quantum: QUANTUM,
        stint_pairs_max: STINT_PAIRS_MAX,
    })
}

/// A receiver for each interface of the survey, for any engine that only sends in its own way. They
/// hear from now on.
pub(crate) fn receivers(
    ground: &Ground,
    survey: &Survey,
) -> Result<Vec<Box<dyn Receive>>, FramesError> {
    let mut receivers: Vec<Box<dyn Receive>> = Vec::new();
    for interface in &survey.interfaces {
        let receiver = Receiver::open(interface, &ground.ports, survey.interfaces.len())?;
        receivers.push(Box::new(receiver));
    }
    Ok(receivers)
}
