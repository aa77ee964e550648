//! The log of a run, written while it goes on.
//!
//! It comes before everything else that is done with a run, and nothing that goes wrong with it
//! stops the run: it is said once, and the run goes on unrecorded.

use model::{Summary, VerifiedFinding};
use report::Report;
use store::{Logs, RunLog, StoreError};

use crate::Event;

/// A run that is being recorded.
pub struct Recording {
    /// The log; `None` if it could not be begun.
    log: Option<RunLog>,
    writer: Box<dyn Report>,
    buffer: Vec<u8>,
    failure: Option<String>,
    run: String,
}

impl Recording {
    /// Begins the log of a run.
    pub fn begin(logs: &Logs, run: &str) -> Recording {
        Recording::of(run, logs.begin(run), report::log_writer())
    }

    /// Goes on with the log of a run that was interrupted, or whose process was killed.
    pub fn resume(logs: &Logs, run: &str) -> Recording {
        Recording::of(run, logs.resume(run), report::log_writer())
    }

    /// Begins the log of what others saw: facts, in no language.
    pub(crate) fn of_facts(logs: &Logs, run: &str) -> Recording {
        Recording::of(run, logs.begin_import(run), report::facts_writer())
    }

    fn of(run: &str, log: Result<RunLog, StoreError>, writer: Box<dyn Report>) -> Recording {
        let (log, failure) = match log {
            Ok(log) => (Some(log), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Recording {
            log,
            writer,
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
        if let Some(log) = &mut self.log
            && !self.buffer.is_empty()
        {
            log.append(&self.buffer);
        }
    }

    /// What went wrong, if anything did.
    pub fn failure(&self) -> Option<&str> {
        let of_log = self.log.as_ref().and_then(RunLog::failure);
        self.failure.as_deref().or(of_log)
    }

    /// Ends the log; whether there is one to be taken in.
    ///
    /// # Errors
    /// If it could not be compressed; what it holds is there all the same.
    pub fn finish(self) -> Result<bool, StoreError> {
        match self.log {
            Some(log) => log.finish().map(|_| true),
            None => Ok(false),
        }
    }
}
