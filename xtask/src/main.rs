//! Project chores: `cargo xtask test` is all of CI, `cargo xtask tidy` checks the house rules,
//! `cargo xtask bench` measures.
#![expect(
    clippy::print_stderr,
    reason = "talking to the developer is what this program is for"
)]

mod arguments;
mod bench;
mod bpf;
mod ci;
mod consumers;
mod ground;
mod packages;
mod picture;
mod rules;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::{Errand, USAGE};
use crate::ground::Ground;

/// The command line made no sense; the same code as memsweep's own.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let errand = match arguments::parse(&typed) {
        Ok(errand) => errand,
        Err(error) => {
            eprintln!("xtask: {error:#}\n\n{USAGE}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(&errand) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(errand: &Errand) -> Result<()> {
    match errand {
        Errand::Help => {
            eprintln!("{USAGE}");
            Ok(())
        }
        Errand::Test(options) => ci::run(&Ground::find()?, options),
        Errand::Picture => picture::run(&Ground::find()?),
        Errand::Rules => rules::run(&Ground::find()?),
        Errand::Bpf(task) => bpf::run(&Ground::find()?, *task),
        Errand::Tidy => tidy::run(&Ground::find()?),
        Errand::Bench(options) => bench::run(&Ground::find()?, options),
        Errand::BenchInside(memsweep, options) => {
            bench::run_inside(Ground::find()?, memsweep, options)
        }
    }
}
