//! Everything that a scan tells its listener, in one closed list.

use std::sync::Arc;
use std::time::SystemTime;

use model::{Pending, Record, RunRecord, Summary, VerdictCounts};
use report::{Checkpoint, Report};
use sockets::Progress;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins; comes first.
    Run(Box<RunRecord>),
    /// An endpoint has been judged.
    Record(Box<Record>),
    /// A few times a second.
    Progress {
        /// How far the sweep is.
        progress: Progress,
        /// Verdicts so far.
        verdicts: VerdictCounts,
        /// Alarms so far.
        alarms: u64,
    },
    /// Every few seconds: from this counter on, an interrupted run can be continued.
    Checkpoint {
        /// The run's id.
        run: Arc<str>,
        /// When.
        timestamp: SystemTime,
        /// Every pair before it is done, but for the pending ones.
        counter: u64,
        /// Pairs before the counter that a resumed run has to ask again.
        pending: Vec<Pending>,
        /// Verdicts so far.
        verdicts: VerdictCounts,
        /// Alarms so far.
        alarms: u64,
    },
    /// The run is over; comes last.
    Summary(Box<Summary>),
}

impl Event {
    /// What a report says of it; nothing of progress, which is for terminals.
    pub fn write(&self, report: &mut dyn Report, out: &mut Vec<u8>) {
        match self {
            Event::Run(run) => report.run(run, out),
            Event::Record(record) => report.record(record, out),
            Event::Checkpoint {
                run,
                timestamp,
                counter,
                pending,
                verdicts,
                alarms,
            } => {
                let checkpoint = Checkpoint {
                    run,
                    timestamp: *timestamp,
                    counter: *counter,
                    pending,
                    verdicts,
                    alarms: *alarms,
                };
                report.checkpoint(&checkpoint, out);
            }
            Event::Summary(summary) => report.summary(summary, out),
            Event::Progress { .. } => {}
        }
    }
}

/// What decides the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Endpoints exposed at or above the wanted severity, and not accepted.
    pub alarms: u64,
    /// Whether everything was judged and nothing is `unfinished`.
    pub complete: bool,
    /// Whether the user stopped it.
    pub interrupted: bool,
}
