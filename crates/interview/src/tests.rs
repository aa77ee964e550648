//! Tests of the whole room: both machines against recorded, made-up and hostile servers, on a
//! virtual clock.

mod datagrams;
mod driver;
mod hostile;
mod samples;
mod timing;
mod transcripts;
mod triage;
