//! One file a command: what was typed becomes what is done.

pub(crate) mod audit;
mod console;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod find;
pub(crate) mod fix;
pub(crate) mod import;
mod job;
mod past;
pub(crate) mod report;
mod running;
pub(crate) mod runs;
pub(crate) mod scan;
pub(crate) mod scope;
mod selecting;
mod telling;
pub(crate) mod tool;
pub(crate) mod verify;
