//! Results of earlier runs, ours and other tools', read back: bytes in, values out.
//!
//! memsweep's own NDJSON is read in two ways. [`NdjsonReader`] gathers what `--resume` and `verify`
//! need of a whole file. [`read_line`] gives one record, whole, as it was before it was written.
//! Unknown keys and unknown kinds of records are passed over, so that a file of a later version can
//! be read as long as its schema is known. The last line of a file may be torn, because a machine
//! may have gone down while it was written; anything else that is wrong is an error that names its
//! line.
//!
//! What nmap, masscan, zmap, zgrab2, Shodan, Censys, BinaryEdge and Shadowserver saw comes out of an
//! [`Importer`] as [`Foreign`], in the words of [`model::Evidence`]. [`Networks`] tells from the
//! user's own files whose an address is.

mod error;
mod fields;

mod dialogue;
mod endpoint;
mod ndjson;
mod own;
mod run;

mod foreign;
mod networks;

use model::{Pending, Transport, Verdict, VerdictCounts};

pub use error::ImportError;
pub use foreign::{Foreign, Importer, Kind, RECOGNISE_BYTES, Recognised, Tally, recognise};
pub use ndjson::{ENDPOINTS_MAX, LINE_BYTES_MAX, NdjsonReader, read_ndjson};
pub use networks::Networks;
pub use own::{
    Line, Progress, RuleCode, grade_of_summary, read_endpoint, read_line, read_run, read_summary,
};

/// What a file says about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRun {
    /// The run's id; that of the last one, if the file holds a run and its continuations.
    pub run: String,
    /// Order of the probes.
    pub seed: u64,
    /// Targets as typed.
    pub targets: Vec<String>,
    /// Exclusions as typed.
    pub exclusions: Vec<String>,
    /// Ports asked where a target names none.
    pub ports: Vec<u16>,
    /// Whether TCP was asked.
    pub tcp: bool,
    /// Whether UDP was asked.
    pub udp: bool,
    /// Which part of the targets, as (I, N) of `--shard I/N`, with 1 ≤ I ≤ N.
    pub shard: (u64, u64),
    /// Packets a second.
    pub rate_pps: u64,
    /// Sends after the first.
    pub retries: u32,
    /// Whether every endpoint got a record; `None` in files of versions that did not say.
    pub all: Option<bool>,
    /// What was asked to move the packets; `None` in files of versions that did not say.
    pub engine_wished: Option<String>,
    /// How many (address, port) pairs the plan holds, in this shard.
    pub pairs: u64,
    /// A fingerprint of the set of targets.
    pub fingerprint: u64,
    /// Every pair before this counter is done, but for the pending ones.
    pub counter: u64,
    /// Pairs before the counter that were begun and not ended.
    pub pending: Vec<Pending>,
    /// Whether the run came to its end and judged everything.
    pub complete: bool,
    /// How many endpoints got each verdict, by the last record that says so; zero if none does.
    pub verdicts: VerdictCounts,
    /// How many alarms, by the last record that says so; zero if none does.
    pub alarms: u64,
    /// The endpoints, in the order of the file; one that is told of twice stands once, as last told.
    pub endpoints: Vec<PastEndpoint>,
    /// Endpoints beyond [`ENDPOINTS_MAX`], counted and not kept.
    pub endpoints_left_out: u64,
}

/// What a file says about an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEndpoint {
    /// The address as written: an IP address, one with its zone, or `unix:` and a path.
    pub address: String,
    /// The port; 0 for a unix socket.
    pub port: u16,
    /// How it was spoken to.
    pub transport: Transport,
    /// What it was.
    pub verdict: Verdict,
    /// The name it was asked by.
    pub hostname: Option<String>,
    /// The version it gave itself.
    pub version: Option<String>,
    /// The rules that fired.
    pub findings: Vec<PastFinding>,
    /// Why the verdict.
    pub reason: String,
}

/// A rule that fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastFinding {
    /// The rule's code.
    pub code: String,
    /// How bad it was, by its word.
    pub severity: String,
    /// What it is, in a few words.
    pub title: String,
}
