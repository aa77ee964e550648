//! Servers that are not real: personalities as pure machines, a host for them on loopback sockets,
//! a made-up network with ground truth for demonstration, and one on a virtual clock for tests.
//!
//! Everything a personality says is written here by hand or replayed from recordings, and never by
//! memsweep's own protocol code: so a mistake in one is not hidden by the same mistake in the other.

pub mod behaviour;
pub mod demo;
pub mod live;
pub mod world;

pub use behaviour::{Act, DatagramAct, Personality, StreamId};
pub use demo::DemoNetwork;
pub use live::{FullBacklog, Hosting, LiveServer, SilentUdp, TlsMode, UdpReply};
pub use world::World;
