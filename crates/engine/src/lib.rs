//! The use case: a plan and a permit become records.
//!
//! The desk between the hands and the doors. [`scan`] runs a [`sockets::Network`] ([`ways`] opens the
//! one that fits, or it is a simulated one), joins what TCP and UDP of one address said, has it judged, applies the accepted
//! risks, and tells everything that happens through one [`Event`] enum. It prints nothing and knows
//! no output format. The only files that it writes are those that [`fix`] mends.

mod accept;
pub mod audit;
pub mod doctor;
mod event;
pub mod fix;
mod join;
pub mod keep;
pub mod links;
mod scan;
pub mod tool;
pub mod verify;
pub mod ways;

pub use ::frames::{EngineKind, FramesError};
pub use accept::AcceptedRisk;
pub use event::{Event, Outcome};
pub use scan::{Job, scan};
