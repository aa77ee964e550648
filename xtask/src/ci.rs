//! All of CI as one list of steps, the same on every desk.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::arguments::Options;
use crate::ground::{self, Ground};
use crate::{bpf, consumers, packages, tidy};

/// One step of CI.
pub(crate) struct Step {
    /// The name that `--only` takes.
    pub(crate) name: &'static str,
    /// What it does, for the line that announces it.
    about: &'static str,
    action: fn(&Ground) -> Result<Outcome>,
}

/// How a step that did not fail came out.
enum Outcome {
    Done,
    /// There was nothing to run it with; why, and what would help.
    Skipped(&'static str),
}

/// The steps, cheap ones first, so that a slip is told of early.
pub(crate) const STEPS: [Step; 7] = [
    Step {
        name: "install",
        about: "system packages the tests need",
        action: install,
    },
    Step {
        name: "fmt",
        about: "cargo fmt --all --check",
        action: format,
    },
    Step {
        name: "clippy",
        about: "cargo clippy, warnings are errors",
        action: clippy,
    },
    Step {
        name: "tidy",
        about: "the house rules",
        action: check_house_rules,
    },
    Step {
        name: "bpf",
        about: "the programs for the kernel are what their recipe makes",
        action: check_programs,
    },
    Step {
        name: "build",
        about: "the release binary that users run",
        action: build,
    },
    Step {
        name: "test",
        about: "cargo test, all packages",
        action: test,
    },
];

/// Runs the steps that the options leave, and stops at the first that fails.
pub(crate) fn run(ground: &Ground, options: &Options) -> Result<()> {
    let begin = Instant::now();
    for step in STEPS.iter().filter(|step| is_wanted(step.name, options)) {
        eprintln!("==> {}: {}", step.name, step.about);
        let step_begin = Instant::now();
        let outcome = (step.action)(ground);
        let seconds = in_seconds(step_begin.elapsed());
        match outcome.with_context(|| format!("step `{}` failed after {seconds}", step.name))? {
            Outcome::Done => eprintln!("==> {}: passed in {seconds}", step.name),
            Outcome::Skipped(why) => eprintln!("==> {}: skipped, {why}", step.name),
        }
    }
    eprintln!("==> all passed in {}", in_seconds(begin.elapsed()));
    Ok(())
}

fn is_wanted(name: &str, options: &Options) -> bool {
    match &options.only {
        Some(only) => only == name,
        None => !(options.no_install && name == "install"),
    }
}

fn in_seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn install(ground: &Ground) -> Result<Outcome> {
    packages::install_missing(ground)?;
    consumers::install_missing(ground)?;
    Ok(Outcome::Done)
}

fn format(ground: &Ground) -> Result<Outcome> {
    // rustup's minimal profile comes without rustfmt, and how a line is wrapped breaks nothing.
    if ground::output(&mut ground.cargo(&["fmt", "--version"])).is_err() {
        return Ok(Outcome::Skipped(
            "rustfmt is not here (`rustup component add rustfmt`)",
        ));
    }
    cargo(ground, &["fmt", "--all", "--check"])
}

fn clippy(ground: &Ground) -> Result<Outcome> {
    cargo(
        ground,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    )
}

fn check_house_rules(ground: &Ground) -> Result<Outcome> {
    tidy::run(ground)?;
    Ok(Outcome::Done)
}

fn check_programs(ground: &Ground) -> Result<Outcome> {
    bpf::run(ground, bpf::Task::Check)?;
    Ok(Outcome::Done)
}

fn build(ground: &Ground) -> Result<Outcome> {
    // Before the tests, because those that run the program as users do take this binary.
    cargo(ground, &["build", "--release", "--locked"])
}

/// The seed of generated cases, unless PROPTEST_RNG_SEED names another: what is tested here is the
/// same on every machine, and a failure repeats. Who searches for new ones sets another seed, and
/// more PROPTEST_CASES.
const GENERATED_CASES_SEED: &str = "20261122";

fn test(ground: &Ground) -> Result<Outcome> {
    let mut command = ground.cargo(&["test", "--workspace", "--locked"]);
    let name = "PROPTEST_RNG_SEED";
    command.env(
        name,
        std::env::var_os(name).unwrap_or(GENERATED_CASES_SEED.into()),
    );
    ground::run(&mut command)?;
    Ok(Outcome::Done)
}

fn cargo(ground: &Ground, arguments: &[&str]) -> Result<Outcome> {
    ground::run(&mut ground.cargo(arguments))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &Options, expect: &[&str]) {
        let names: Vec<&str> = STEPS
            .iter()
            .map(|step| step.name)
            .filter(|name| is_wanted(name, options))
            .collect();
        assert_eq!(names, expect, "{options:?}");
    }

    #[test]
    fn options_choose_the_steps() {
        let all = Options::default();
        check(
            &all,
            &["install", "fmt", "clippy", "tidy", "bpf", "build", "test"],
        );
        let no_install = Options {
            only: None,
            no_install: true,
        };
        check(
            &no_install,
            &["fmt", "clippy", "tidy", "bpf", "build", "test"],
        );
        let only = Options {
            only: Some("tidy".to_owned()),
            no_install: true,
        };
        check(&only, &["tidy"]);
    }
}
