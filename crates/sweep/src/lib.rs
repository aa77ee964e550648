//! The stateless sweep as a machine: which probe leaves when, what its bytes are, and what an
//! answer proves. No clock, no socket: `now`, the secret and the frames are arguments.
//!
//! - [`reach`]: over which interface and to which neighbour an address is reached.
//! - [`cookie`]: what makes a probe ours, so that an answer can be checked without remembering it.
//! - [`frame`]: the bytes of a probe.
//! - [`reply`]: the bytes of what comes back, and what they prove.
//! - [`schedule`]: windows and rounds; deduplication; when to ask again, and when it is over.
//! - [`governor`]: the adaptive rate, lowered when answers get lost.
//! - [`strays`]: answers from another address than the asked one.
//! - [`pace`]: the packet rate, held in every window of 100 ms.

pub mod cookie;
pub mod frame;
pub mod governor;
pub mod pace;
pub mod reach;
pub mod reply;
pub mod schedule;
pub mod strays;

#[cfg(test)]
mod tests;
