//! The `memsweep` binary: flags, configuration, terminal and exit codes. It wires the hands to the
//! desk, and it alone prints.

mod commands;
mod configuration;
mod exit;
mod flags;
mod outputs;
mod progress;
mod terminal;
mod values;

use std::process::ExitCode;

use clap::Parser;

use crate::exit::{Exit, Failure};
use crate::flags::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit_of_usage(&error),
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal::say_error(&failure.message());
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Scan(flags) => commands::scan::scan(flags),
        Command::Check(flags) => commands::scan::check(flags),
        Command::Verify(flags) => commands::verify::verify(flags),
        Command::Scope(flags) => commands::scope::scope(flags),
        Command::Demo(flags) => commands::demo::demo(flags),
    }
}

/// Help and version are answers and go to stdout; anything else is a usage error.
fn exit_of_usage(error: &clap::Error) -> ExitCode {
    let is_answer = !error.use_stderr();
    // A closed pipe while printing help is a good end too.
    let _ = error.print();
    if is_answer {
        Exit::Done.into()
    } else {
        Exit::Usage.into()
    }
}
