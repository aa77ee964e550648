//! `diff`: what changed between two runs.

use engine::keep::{Compared, Side};
use report::{ComparedRuns, Style, TextOptions};

use crate::exit::{Exit, Failure};
use crate::flags::DiffFlags;
use crate::inventory::{failure, is_file, open_inventory};
use crate::outputs::Destination;
use crate::terminal;

/// `memsweep diff`.
pub(crate) fn diff(flags: &DiffFlags) -> Result<Exit, Failure> {
    let typed = std::slice::from_ref(&flags.output);
    let destination = Destination::only(typed, &["text", "json", "ndjson", "markdown"])?;
    let mut inventory = open_inventory(&flags.inventory)?;
    let mut named = Vec::new();
    for typed in &flags.runs {
        named.push(match is_file(typed) {
            Some(path) => Side::File(path.to_owned()),
            None => Side::Kept(Box::new(inventory.run(typed).map_err(failure)?)),
        });
    }
    let (before, after) = inventory.sides(named).map_err(failure)?;
    let compared = inventory.compare(&before, &after).map_err(failure)?;
    let runs = ComparedRuns {
        before: &compared.before,
        after: &compared.after,
    };
    let options = TextOptions {
        width_columns: terminal::width_columns(),
        color: destination.is_stdout() && terminal::color(flags.color),
        language: terminal::language(flags.lang),
        style: Style::Find,
        verbose: false,
    };
    let difference = &compared.difference;
    let text = match destination.word() {
        "json" => report::diff_json(&runs, difference),
        "ndjson" => report::diff_ndjson(&runs, difference),
        "markdown" => report::diff_markdown(&runs, difference, options.language),
        _ => report::diff_text(&runs, difference, &options),
    };
    destination.write(&text)?;
    Ok(exit_of(&compared))
}

/// Something changed; or nothing that is known, and not everything is known.
fn exit_of(compared: &Compared) -> Exit {
    if !compared.difference.is_empty() {
        Exit::Exposed
    } else if compared.difference.unknown.is_empty() {
        Exit::Done
    } else {
        Exit::Unfinished
    }
}
