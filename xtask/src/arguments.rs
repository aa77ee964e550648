//! What was typed after `cargo xtask`, and what it means. Nothing is done while parsing.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::bench::{self, BENCHMARKS, ROWS};
use crate::bpf;
use crate::ci::STEPS;

/// The help text.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask test [--only STEP] [--no-install]
       cargo xtask tidy
       cargo xtask bpf [--check]
       cargo xtask bench NAME|all [--skip-slow-peers]
       cargo xtask bench sweep [--only ROW] [--rounds N] [--skip-slow-peers]
       cargo xtask picture
       cargo xtask rules

test   everything CI does, in this order: install, fmt, clippy, tidy, bpf, build, test
         --only STEP    just this step
         --no-install   leave the system's packages alone
tidy   the house rules: rooms and edges, banned words, licences, text files
bpf    makes the programs that run in the kernel anew from crates/frames/bpf
         --check        only says whether they are what the recipe makes
bench  speed, memory and exactness, on loopback in a namespace of its own; figures on stdout
         NAME: startup, one-server, precision, pace, sixtyfive-thousand, silent-udp, dump, inventory, sweep
         all: without sweep, which takes root, zmap, masscan, nmap and half an hour
         --skip-slow-peers   leave out nmap where it takes minutes
         --only ROW          just this row: rate, recall, servers, pace, memory, nmap
         --rounds N          how often a row is measured (5)
picture  the picture of README, from what `memsweep demo` really prints
rules  docs/rules and docs/grades.md, from the rules themselves";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Print the help text.
    Help,
    /// Run CI.
    Test(Options),
    /// Check the house rules.
    Tidy,
    /// Make the programs that run in the kernel, or check them.
    Bpf(bpf::Task),
    /// Measure.
    Bench(bench::Options),
    /// Draw the picture of README.
    Picture,
    /// Write the documents of the rules.
    Rules,
    /// What `bench` starts inside its namespaces, with the memsweep to measure.
    BenchInside(PathBuf, bench::Options),
}

/// Options of `test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The one step to run; all if `None`.
    pub(crate) only: Option<String>,
    /// Whether to leave the system's packages alone.
    pub(crate) no_install: bool,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(typed: &[String]) -> Result<Errand> {
    let Some((errand, rest)) = typed.split_first() else {
        return Ok(Errand::Help);
    };
    match (errand.as_str(), rest) {
        ("help" | "--help" | "-h", _) => Ok(Errand::Help),
        ("tidy", []) => Ok(Errand::Tidy),
        ("tidy", [extra, ..]) => bail!("tidy takes no argument, but got `{extra}`"),
        ("bpf", []) => Ok(Errand::Bpf(bpf::Task::Make)),
        ("bpf", [option]) if option == "--check" => Ok(Errand::Bpf(bpf::Task::Check)),
        ("bpf", [extra, ..]) => bail!("bpf takes nothing but --check, but got `{extra}`"),
        ("picture", []) => Ok(Errand::Picture),
        ("rules", []) => Ok(Errand::Rules),
        ("test", options) => parse_options(options).map(Errand::Test),
        ("bench", options) => parse_bench_options(options).map(Errand::Bench),
        ("bench-inside", [memsweep, options @ ..]) => {
            let options = parse_bench_options(options)?;
            Ok(Errand::BenchInside(memsweep.into(), options))
        }
        (other, _) => bail!("no errand is called `{other}`"),
    }
}

fn parse_options(typed: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut words = typed.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--no-install" => options.no_install = true,
            "--only" => {
                let Some(step) = words.next() else {
                    bail!("--only needs the name of a step")
                };
                if !STEPS.iter().any(|known| known.name == step) {
                    bail!("no step is called `{step}`");
                }
                options.only = Some(step.clone());
            }
            other => bail!("test has no option `{other}`"),
        }
    }
    if options.no_install && options.only.as_deref() == Some("install") {
        bail!("--only install and --no-install leave nothing to do");
    }
    Ok(options)
}

fn parse_bench_options(typed: &[String]) -> Result<bench::Options> {
    let (mut name, mut row, mut rounds, mut skip_slow_peers) = (None, None, None, false);
    let mut words = typed.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--skip-slow-peers" => skip_slow_peers = true,
            "--only" => match words.next() {
                None => bail!("--only needs the name of a row"),
                Some(name) if ROWS.iter().any(|known| known.name == name) => {
                    row = Some(name.clone());
                }
                Some(name) => bail!("no row is called `{name}`"),
            },
            "--rounds" => match words.next().map(|number| number.parse()) {
                Some(Ok(number)) if number > 0 => rounds = Some(number),
                _ => bail!("--rounds needs a number above 0"),
            },
            option if option.starts_with('-') => bail!("bench has no option `{option}`"),
            extra if name.is_some() => bail!("bench takes one name, but got `{extra}` too"),
            _ => name = Some(word.clone()),
        }
    }
    let only = match name {
        None => bail!("bench needs the name of a benchmark, or `all`"),
        Some(all) if all == "all" => None,
        Some(name) if BENCHMARKS.iter().any(|known| known.name == name) => Some(name),
        Some(name) => bail!("no benchmark is called `{name}`"),
    };
    if (row.is_some() || rounds.is_some()) && only.as_deref() != Some("sweep") {
        bail!("--only and --rounds are of `bench sweep`");
    }
    Ok(bench::Options {
        only,
        skip_slow_peers,
        row,
        rounds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expect: Result<Errand, &str>) {
        let words: Vec<String> = typed.split_whitespace().map(str::to_owned).collect();
        let result = parse(&words).map_err(|error| error.to_string());
        assert_eq!(result, expect.map_err(str::to_owned), "{typed}");
    }

    #[test]
    fn command_lines_mean_what_they_say() {
        check("", Ok(Errand::Help));
        check("--help", Ok(Errand::Help));
        check("tidy", Ok(Errand::Tidy));
        check("bpf", Ok(Errand::Bpf(bpf::Task::Make)));
        check("bpf --check", Ok(Errand::Bpf(bpf::Task::Check)));
        check("test", Ok(Errand::Test(Options::default())));
        let only = Some("clippy".to_owned());
        check(
            "test --only clippy --no-install",
            Ok(Errand::Test(Options {
                only,
                no_install: true,
            })),
        );
    }

    #[test]
    fn benchmarks_are_chosen_by_name() {
        let options = |only: Option<&str>, skip_slow_peers| bench::Options {
            only: only.map(str::to_owned),
            skip_slow_peers,
            row: None,
            rounds: None,
        };
        check("bench all", Ok(Errand::Bench(options(None, false))));
        check(
            "bench --skip-slow-peers pace",
            Ok(Errand::Bench(options(Some("pace"), true))),
        );
        check(
            "bench-inside target/memsweep all",
            Ok(Errand::BenchInside(
                "target/memsweep".into(),
                options(None, false),
            )),
        );
        check(
            "bench sweep --rounds 1 --only recall",
            Ok(Errand::Bench(bench::Options {
                row: Some("recall".to_owned()),
                rounds: Some(1),
                ..options(Some("sweep"), false)
            })),
        );
        check("bench sweep --only", Err("--only needs the name of a row"));
        check("bench sweep --only lunch", Err("no row is called `lunch`"));
        check(
            "bench sweep --rounds 0",
            Err("--rounds needs a number above 0"),
        );
        check(
            "bench pace --rounds 3",
            Err("--only and --rounds are of `bench sweep`"),
        );
        check(
            "bench",
            Err("bench needs the name of a benchmark, or `all`"),
        );
        check("bench lunch", Err("no benchmark is called `lunch`"));
        check("bench --fast", Err("bench has no option `--fast`"));
        check(
            "bench pace startup",
            Err("bench takes one name, but got `startup` too"),
        );
    }

    #[test]
    fn nonsense_is_named() {
        check("tidy up", Err("tidy takes no argument, but got `up`"));
        check("bpf up", Err("bpf takes nothing but --check, but got `up`"));
        check("dance", Err("no errand is called `dance`"));
        check("test --only", Err("--only needs the name of a step"));
        check("test --only lunch", Err("no step is called `lunch`"));
        check("test --fast", Err("test has no option `--fast`"));
        check(
            "test --only install --no-install",
            Err("--only install and --no-install leave nothing to do"),
        );
    }

    #[test]
    fn the_help_lists_every_step_and_benchmark_in_order() {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        assert!(USAGE.contains(&names.join(", ")));
        let names: Vec<&str> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
        assert!(USAGE.contains(&names.join(", ")));
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        assert!(USAGE.contains(&names.join(", ")));
    }
}
