//! One file a command: what was typed becomes what is done.

pub(crate) mod demo;
mod job;
mod past;
pub(crate) mod scan;
pub(crate) mod scope;
pub(crate) mod verify;
