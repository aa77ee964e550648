//! `find`: search what was seen.

use std::ops::ControlFlow;
use std::time::SystemTime;

use engine::Event;
use inventory::{Facet, FacetCounts, Query};
use model::{RunRecord, Summary, VerdictCounts};
use report::{Style, TextOptions};
use store::View;

use crate::exit::{Exit, Failure};
use crate::flags::FindFlags;
use crate::inventory::{failure, open_inventory, parse_moment};
use crate::outputs::{Destination, Outputs};
use crate::terminal;

/// Values of a facet that are shown if nothing else is said; the rest is counted.
const FACET_VALUES_SHOWN_MAX: usize = 20;

/// `memsweep find`.
pub(crate) fn find(flags: &FindFlags) -> Result<Exit, Failure> {
    let now = SystemTime::now();
    let text = flags.query.join(" ");
    let query = Query::parse(&text, now).map_err(|error| Failure::Query(error.render(&text)))?;
    let at = match &flags.at {
        Some(typed) => Some(parse_moment(typed, now)?),
        None => None,
    };
    let mut inventory = open_inventory(&flags.inventory)?;
    let run = match &flags.run {
        Some(typed) => Some(inventory.run(typed).map_err(failure)?),
        None => None,
    };
    let view = match (&at, &run) {
        (Some(moment), _) => View::At(*moment),
        (None, Some(run)) => View::Run(&run.run),
        (None, None) => View::Current,
    };
    let options = TextOptions {
        width_columns: terminal::width_columns(),
        color: terminal::color(flags.output.color),
        language: terminal::language(flags.output.lang),
        style: Style::Find,
        verbose: flags.output.verbose,
    };
    if !flags.facets.is_empty() {
        let facets = Facet::parse_list(&flags.facets.join(",")).map_err(Failure::usage)?;
        let counts = inventory.facets(&query, view, &facets).map_err(failure)?;
        return print_facets(flags, &counts, &options);
    }
    let mut outputs = Outputs::of_the_past(&flags.output.output, None, &|format| {
        report::writer(format, &options)
    })?;
    outputs.make_room()?;
    outputs.tell(&Event::Run(Box::new(run_record(&text, now))));
    let mut verdicts = VerdictCounts::default();
    let mut alarms = 0;
    inventory
        .find(&query, view, flags.limit, &mut |found| {
            verdicts.add(found.record.judgement.verdict);
            alarms += u64::from(found.record.alarm);
            match outputs.tell(&Event::Record(Box::new(found.record))) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })
        .map_err(failure)?;
    outputs.tell(&Event::Summary(Box::new(summary(verdicts, alarms, now))));
    Ok(match outputs.has_failed() {
        true => Exit::Unfinished,
        false => Exit::Done,
    })
}

fn print_facets(
    flags: &FindFlags,
    counts: &[FacetCounts],
    options: &TextOptions,
) -> Result<Exit, Failure> {
    let values_max = flags
        .limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(FACET_VALUES_SHOWN_MAX);
    let destination = Destination::only(&flags.output.output, &["text", "json", "csv"])?;
    let text = match destination.word() {
        "json" => report::facets_json(counts, values_max),
        "csv" => report::facets_csv(counts, values_max),
        _ => report::facets_text(counts, values_max, options),
    };
    destination.write(&text)?;
    Ok(Exit::Done)
}

/// What formats that describe a run say of a search.
fn run_record(query: &str, now: SystemTime) -> RunRecord {
    let version = env!("CARGO_PKG_VERSION");
    RunRecord::of_what_is_known("find".into(), "find", version, query.to_owned(), now)
}

fn summary(verdicts: VerdictCounts, alarms: u64, now: SystemTime) -> Summary {
    Summary::of_what_is_known("find".into(), verdicts, alarms, now)
}
