//! `report`: a run, told again for people who were not there.

use std::path::Path;

use engine::Event;
use engine::keep::{Inventory, replay_file};
use report::{Format, History, HistoryPoint, Style, TextOptions};

use crate::exit::{Exit, Failure};
use crate::flags::ReportFlags;
use crate::inventory::{failure, is_file, open_inventory};
use crate::outputs::Outputs;
use crate::terminal;

/// `memsweep report`.
pub(crate) fn report(flags: &ReportFlags) -> Result<Exit, Failure> {
    let options = TextOptions {
        width_columns: terminal::width_columns(),
        color: terminal::color(flags.output.color),
        language: terminal::language(flags.output.lang),
        style: Style::Scan,
        verbose: flags.output.verbose,
    };
    if let Some(path) = flags.run.as_deref().and_then(is_file) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let history = History::default();
        return write(
            flags,
            &options,
            &history,
            (&name, Some(path)),
            &mut |listener| replay_file(path, listener),
        );
    }
    let mut inventory = open_inventory(&flags.inventory)?;
    let run = match &flags.run {
        Some(typed) => inventory.run(typed),
        None => inventory.last_run(),
    }
    .map_err(failure)?;
    let history = history(&mut inventory, &run)?;
    write(
        flags,
        &options,
        &history,
        (&run.run, None),
        &mut |listener| inventory.replay(&run.run, listener),
    )
}

/// Something that tells a run again.
type Telling<'a> = &'a mut dyn FnMut(&mut dyn FnMut(Event)) -> Result<(), engine::keep::KeepError>;

fn write(
    flags: &ReportFlags,
    options: &TextOptions,
    history: &History,
    (name, read): (&str, Option<&Path>),
    tell: Telling<'_>,
) -> Result<Exit, Failure> {
    let default = format!("html=memsweep-{name}.html");
    let typed = match flags.output.output.is_empty() {
        true => std::slice::from_ref(&default),
        false => &flags.output.output[..],
    };
    let mut outputs = Outputs::of_the_past(typed, read, &|format| match format {
        Format::Html => report::html_writer(options, history),
        Format::Markdown => report::markdown_writer(options, history),
        other => report::writer(other, options),
    })?;
    // All of it is read before anything is written, so that a mistake costs no old report.
    tell(&mut |_| {}).map_err(failure)?;
    outputs.make_room()?;
    tell(&mut |event| {
        outputs.tell(&event);
    })
    .map_err(failure)?;
    if flags.output.output.is_empty() && !flags.output.quiet {
        let path = Path::new(&default["html=".len()..]);
        terminal::say(&format!("memsweep: wrote {}", path.display()));
    }
    Ok(match outputs.has_failed() {
        true => Exit::Unfinished,
        false => Exit::Done,
    })
}

/// How exposed the same targets were, run by run.
fn history(inventory: &mut Inventory, run: &inventory::StoredRun) -> Result<History, Failure> {
    let runs = inventory.runs(None).map_err(failure)?;
    let same = runs
        .iter()
        .filter(|other| other.fingerprint == run.fingerprint && other.started <= run.started);
    Ok(History {
        points: same.map(HistoryPoint::from).collect(),
    })
}
