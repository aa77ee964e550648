//! Exit codes, and the failures that lead to them.

use std::fmt;
use std::process::ExitCode;

use engine::Outcome;
use report::nagios::Status;

/// How the process ends. One list for all commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done, and nothing exposed.
    Done,
    /// 1: something is exposed at or above the wanted severity, and not accepted.
    Exposed,
    /// 2: usage, configuration, scope or credentials; nothing was sent.
    Usage,
    /// 3: could not finish.
    Unfinished,
    /// 130: interrupted; what was found is kept.
    Interrupted,
    /// What a monitoring plugin says of a service: 0 fine, 1 warning, 2 critical, 3 unknown.
    Plugin(Status),
}

impl Exit {
    /// The code that the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Exposed => 1,
            Exit::Usage => 2,
            Exit::Unfinished => 3,
            Exit::Interrupted => 130,
            Exit::Plugin(status) => status.exit_code(),
        }
    }

    /// What a scan's outcome amounts to; interruption comes before exposure, exposure before
    /// incompleteness.
    pub(crate) fn of_outcome(outcome: Outcome) -> Exit {
        if outcome.interrupted {
            Exit::Interrupted
        } else if outcome.alarms > 0 {
            Exit::Exposed
        } else if !outcome.complete {
            Exit::Unfinished
        } else {
            Exit::Done
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's words, files or scope; exit code 2, before any packet.
    Usage(String),
    /// A query that cannot be read: three lines that point at the place; exit code 2.
    Query(String),
    /// This machine broke off the work; exit code 3.
    Broken(anyhow::Error),
}

impl Failure {
    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::Usage(message.to_string())
    }

    pub(crate) fn message(&self) -> String {
        match self {
            Failure::Usage(message) | Failure::Query(message) => message.clone(),
            Failure::Broken(error) => format!("{error:#}"),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) | Failure::Query(_) => Exit::Usage,
            Failure::Broken(_) => Exit::Unfinished,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_interrupted_exposed_unfinished_done() {
        let outcome = |alarms, complete, interrupted| Outcome {
            alarms,
            complete,
            interrupted,
        };
        for (outcome, code) in [
            (outcome(0, true, false), 0),
            (outcome(2, true, false), 1),
            (outcome(2, false, false), 1),
            (outcome(0, false, false), 3),
            (outcome(2, false, true), 130),
        ] {
            assert_eq!(Exit::of_outcome(outcome).code(), code, "{outcome:?}");
        }
    }
}
