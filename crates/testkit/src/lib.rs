//! What tests share: recorded replies of real servers, launchers of real memcached and PostgreSQL,
//! network namespaces, a lab of two of them with millions of made-up hosts, and a clean way to run
//! the built program. A dev-dependency of rooms; xtask measures in the same lab.
//!
//! Whatever is started here ends with the test, also when the test panics or its process is
//! killed: every helper process holds one end of a pipe whose other end is ours.

pub mod consumers;
pub mod counter;
pub mod lab;
pub mod namespace;
pub mod postgres;
pub mod program;
pub mod server;
pub mod transcripts;

pub use counter::Counter;
pub use lab::Lab;
pub use model::Transport;
pub use namespace::Namespace;
pub use postgres::PostgresServer;
pub use program::binary;
pub use server::{MemcachedServer, fresh_loopback};
pub use transcripts::{Exchange, Transcript};
