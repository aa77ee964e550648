//! `doctor`: what this machine allows each engine, and what is missing.

use std::path::PathBuf;

use engine::doctor::{Machine, diagnose};

use crate::exit::{Exit, Failure};
use crate::flags::{AnswerFormat, DoctorFlags};
use crate::terminal::{self, Lines};

/// `memsweep doctor`. Nothing is sent.
pub(crate) fn doctor(flags: &DoctorFlags) -> Result<Exit, Failure> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("memsweep"));
    let machine = Machine {
        kernel: sockets::kernel_release(),
        capabilities: sockets::capabilities(),
        confinement: sockets::confinement(),
        program: program.display().to_string(),
    };
    let diagnosis = diagnose(&machine, &frames::try_engine);
    let mut lines = Lines::new();
    match flags.output {
        AnswerFormat::Text => {
            for line in report::diagnosis_lines(&diagnosis, terminal::language(flags.lang)) {
                lines.add(&line)?;
            }
        }
        AnswerFormat::Json => {
            lines.add(&report::diagnosis_json(&diagnosis))?;
        }
    }
    lines.finish()?;
    Ok(Exit::Done)
}
