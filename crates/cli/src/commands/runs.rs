//! `runs`: what was scanned and imported, and how long it is kept.

use std::time::SystemTime;

use report::{Style, TextOptions};

use crate::exit::{Exit, Failure};
use crate::flags::{AnswerFormat, ColorFlag, RunsAction, RunsFlags};
use crate::inventory::{failure, open_inventory};
use crate::terminal::{self, Lines};

/// `memsweep runs`.
pub(crate) fn runs(flags: &RunsFlags) -> Result<Exit, Failure> {
    let mut inventory = open_inventory(&flags.inventory)?;
    match &flags.action {
        None => {
            let runs = inventory.runs(Some(flags.limit)).map_err(failure)?;
            let text = match flags.output {
                AnswerFormat::Text => report::runs_text(&runs, &options(flags)),
                AnswerFormat::Json => report::runs_json(&runs),
            };
            print(&text)?;
            Ok(Exit::Done)
        }
        Some(RunsAction::Prune { keep }) => {
            let kept = inventory::parse_retention(keep)
                .map_err(|error| Failure::usage(format!("--keep {keep}: {error}")))?;
            let before = SystemTime::now()
                .checked_sub(kept)
                .unwrap_or(SystemTime::UNIX_EPOCH);
            let pruned = inventory.prune(before).map_err(failure)?;
            let mut lines = Lines::new();
            for run in &pruned {
                lines.add(&format!("removed {}", run.run))?;
            }
            if pruned.is_empty() {
                lines.add("nothing to remove: what is older still holds what is known now")?;
            }
            lines.finish()?;
            Ok(Exit::Done)
        }
        Some(RunsAction::Rebuild) => {
            let caught = inventory.rebuild().map_err(failure)?;
            let mut lines = Lines::new();
            for run in &caught.runs {
                lines.add(&format!("took in {run}"))?;
            }
            lines.finish()?;
            for failure in &caught.failures {
                terminal::say(&format!("memsweep: {failure}"));
            }
            Ok(match caught.failures.is_empty() {
                true => Exit::Done,
                false => Exit::Unfinished,
            })
        }
    }
}

fn options(flags: &RunsFlags) -> TextOptions {
    TextOptions {
        width_columns: terminal::width_columns(),
        color: terminal::color(ColorFlag::Auto),
        language: terminal::language(flags.lang),
        style: Style::Find,
        verbose: false,
    }
}

/// Prints a text of several lines.
fn print(text: &str) -> Result<(), Failure> {
    let mut lines = Lines::new();
    for line in text.lines() {
        if !lines.add(line)? {
            break;
        }
    }
    lines.finish()
}
