//! The log of a run, written while it goes on.
//!
//! It comes before everything else that is done with a run, and nothing that goes wrong with it
//! stops the run: it is said once, and the run goes on unrecorded.

use model::{Summary, VerifiedFinding};
use report::Report;
use store::{LogFolder, RunLog};

use crate::Event;

/// A run that is being recorded.
pub struct Recording {
    /// The log; `None` once it could not be written.
    log: Option<RunLog>,
    writer: Box<dyn Report>,
    buffer: Vec<u8>,
    failure: Option<String>,
    run: String,
}

impl Recording {
    /// Begins the log of a run.
    pub fn begin(folder: &LogFolder, run: &str) -> Recording {
        Recording::of(run, folder.begin(run))
    }

    /// Continues the log of a run that was interrupted.
    pub fn resume(folder: &LogFolder, run: &str) -> Recording {
        Recording::of(run, folder.resume(run))
    }

    fn of(run: &str, log: Result<RunLog, store::StoreError>) -> Recording {
        let (log, failure) = match log {
            Ok(log) => (Some(log), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Recording {
            log,
            writer: report::log_writer(),
            buffer: Vec::new(),
            failure,
            run: run.to_owned(),
        }
    }

    /// The id of the run whose log this is.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Writes what an event amounts to.
    pub fn tell(&mut self, event: &Event) {
        self.buffer.clear();
        event.write(self.writer.as_mut(), &mut self.buffer);
        self.append();
    }

    /// Writes what became of an earlier run's findings; the summary comes next.
    pub fn tell_verified(&mut self, summary: &Summary, findings: &[VerifiedFinding]) {
        self.buffer.clear();
        self.writer.verified(summary, findings, &mut self.buffer);
        self.append();
    }

    fn append(&mut self) {
        let Some(log) = &mut self.log else { return };
        if self.buffer.is_empty() {
            return;
        }
        if let Err(error) = log.append(&self.buffer) {
            self.failure = Some(error.to_string());
            self.log = None;
        }
    }

    /// What went wrong, once.
    pub fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    /// Ends the log; whether there is one to be taken in.
    pub fn finish(self) -> Result<bool, store::StoreError> {
        match self.log {
            Some(log) => log.finish().map(|()| true),
            None => Ok(false),
        }
    }
}
