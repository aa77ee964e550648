//! The `memsweep` binary: flags, configuration, terminal and exit codes. It wires the hands to the
//! desk, and it alone prints.

mod commands;
mod configuration;
mod exit;
mod flags;
mod inventory;
mod outputs;
mod progress;
mod terminal;
mod values;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::exit::{Exit, Failure};
use crate::flags::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(flags::with_queries_marked(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return exit_of_usage(&error),
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            match &failure {
                // The first line says what is wrong, the others show where.
                Failure::Query(lines) => {
                    for (number, line) in lines.lines().enumerate() {
                        if number == 0 {
                            terminal::say_error(line);
                        } else {
                            terminal::say(line);
                        }
                    }
                }
                Failure::Usage(_) | Failure::Broken(_) => terminal::say_error(&failure.message()),
            }
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Scan(flags) => commands::scan::scan(flags),
        Command::Check(flags) => commands::scan::check(flags),
        Command::Audit(flags) => commands::audit::audit(&flags),
        Command::Fix(flags) => commands::fix::fix(&flags),
        Command::Verify(flags) => commands::verify::verify(flags),
        Command::Scope(flags) => commands::scope::scope(flags),
        Command::Tool(flags) => commands::tool::tool(flags),
        Command::Doctor(flags) => commands::doctor::doctor(&flags),
        Command::Explain(flags) => commands::explain::explain(&flags),
        Command::Demo(flags) => commands::demo::demo(flags),
        Command::Find(flags) => commands::find::find(&flags),
        Command::Runs(flags) => commands::runs::runs(&flags),
        Command::Diff(flags) => commands::diff::diff(&flags),
        Command::Report(flags) => commands::report::report(&flags),
        Command::Import(flags) => commands::import::import(&flags),
    }
}

/// Help and version are answers and go to stdout; anything else is a usage error, and one line.
fn exit_of_usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe while printing help is a good end too.
        let _ = error.print();
        return Exit::Done.into();
    }
    match error.kind() {
        // Typed nothing: the list of commands is what helps.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
        }
        _ => terminal::say_error(&usage_line(&error.to_string())),
    }
    Exit::Usage.into()
}

/// What went wrong, and the tip if there is one, of the paragraphs that clap makes of an error.
fn usage_line(rendered: &str) -> String {
    let paragraphs = rendered.trim().split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    let wanted: Vec<String> = paragraphs
        .enumerate()
        .filter(|(number, text)| *number == 0 || text.starts_with("tip: "))
        .map(|(_, text)| text.trim_start_matches("error: ").to_owned())
        .collect();
    format!("{}; see --help", wanted.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_are_one_line() {
        let cases = [
            (
                &["memsweep", "scan", "--rate", "fast"][..],
                "invalid value 'fast' for '--rate <RATE>': \"fast\" is no rate; write packets a \
                 second such as 10000, 50k or 10Mbit; see --help",
            ),
            (
                &["memsweep", "scan", "--lang", "fr"],
                "invalid value 'fr' for '--lang <LANGUAGE>' [possible values: en, ja]; see --help",
            ),
            (
                &["memsweep", "scan", "--retires", "1"],
                "unexpected argument '--retires' found; tip: a similar argument exists: \
                 '--retries'; see --help",
            ),
            (
                &["memsweep", "scope", "add", "10.0.0.0/8"],
                "the following required arguments were not provided: --owner <NAME>; see --help",
            ),
        ];
        for (arguments, expected) in cases {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(usage_line(&error.to_string()), expected);
        }
    }
}
