//! The program end to end: the real binary against real servers, recorded ones and hostile ones.
//!
//! Every test starts its own servers, on loopback addresses that no other test uses or in network
//! namespaces of its own, so that all of them can run at once.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod audit;
mod certificate;
mod program;
mod records;
mod servers;
mod tool_ground;

mod capture;
mod engines;
mod explain;
mod fix;
mod hostile;
mod input;
mod inventory;
mod lab;
mod links;
mod middlebox;
mod pace;
mod real;
mod running;
mod safety;
mod samples;
mod tool;
mod tool_beside;
mod tool_console;
mod tool_credentials;
mod tool_dump;
mod tool_hostile;
mod tool_protocols;
mod tool_slow;
mod transcripts;
mod verdicts;
