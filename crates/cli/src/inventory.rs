//! Where the inventory is, and opening it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use engine::keep::{Inventory, KeepError};
use store::{Location, Logs, open};

use crate::exit::Failure;
use crate::flags::InventoryFlags;
use crate::terminal;

/// Names a place, like `--inventory`.
const VARIABLE: &str = "MEMSWEEP_INVENTORY";
/// The word for keeping nothing.
const NOWHERE: &str = "none";

/// Where the inventory is; `None` if nothing is to be kept.
pub(crate) fn location(flags: &InventoryFlags) -> Result<Option<Location>, Failure> {
    let (name, named) = match &flags.inventory {
        Some(named) => ("--inventory", Some(named.clone())),
        None => (VARIABLE, of_environment()?),
    };
    let Some(named) = named else {
        return Ok(data_folder().map(|data| Location::in_data_folder(&data)));
    };
    if named == NOWHERE {
        return Ok(None);
    }
    if named.is_empty() {
        return Err(Failure::usage(format!(
            "{name}: it is empty; write a path, postgres://… or `none`"
        )));
    }
    let lower = named.to_ascii_lowercase();
    let is_server = ["postgres:", "postgresql:"]
        .iter()
        .any(|word| lower.starts_with(word));
    if !is_server && !lower.contains("://") {
        return Ok(Some(Location::new(&named, Path::new(""))));
    }
    let (scheme, rest) = named.split_once("://").unwrap_or((&named, ""));
    if !is_server || rest.is_empty() {
        // Without what follows: it may hold a password.
        return Err(Failure::usage(format!(
            "{name}: {:?} begins no address; write postgres://USER@HOST/DATABASE, or a path",
            scheme.split(':').next().unwrap_or_default()
        )));
    }
    let data = data_folder().ok_or_else(|| {
        Failure::usage(format!(
            "{name}: the logs of runs need a folder of yours; set HOME or XDG_DATA_HOME"
        ))
    })?;
    let url = format!("{}://{rest}", scheme.to_ascii_lowercase());
    let logs = data.join("memsweep/postgres.runs");
    Ok(Some(Location::new(&url, &logs)))
}

/// What the variable names; one that is empty is as good as none.
fn of_environment() -> Result<Option<String>, Failure> {
    match std::env::var(VARIABLE) {
        Ok(named) => Ok(Some(named).filter(|named| !named.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::usage(format!(
            "{VARIABLE}: it is no UTF-8, and so no place that this program can name"
        ))),
    }
}

/// The user's folder for data: `$XDG_DATA_HOME` or `~/.local/share`.
fn data_folder() -> Option<PathBuf> {
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| {
            let home = PathBuf::from(std::env::var_os("HOME")?);
            home.is_absolute().then(|| home.join(".local/share"))
        })
}

/// Opens the inventory for a command that cannot do without, with every run in it that was kept.
pub(crate) fn open_inventory(flags: &InventoryFlags) -> Result<Inventory, Failure> {
    let location = location(flags)?.ok_or_else(|| {
        Failure::usage(format!(
            "there is no inventory; name one with --inventory PATH or {VARIABLE}"
        ))
    })?;
    let mut inventory = open_at(&location)?;
    let caught = inventory.catch_up().map_err(failure)?;
    for failure in &caught.failures {
        terminal::say(&format!(
            "memsweep: not taken into the inventory: {failure}"
        ));
    }
    Ok(inventory)
}

/// Opens the inventory at a place, and looks for nothing in it yet.
pub(crate) fn open_at(location: &Location) -> Result<Inventory, Failure> {
    let store = open(location).map_err(Failure::usage)?;
    Ok(Inventory::new(store, Logs::new(location.logs())))
}

/// What the inventory refuses is for the user to mend.
pub(crate) fn failure(error: KeepError) -> Failure {
    Failure::usage(error)
}

/// A run by what was typed: the path of a file, or an id.
pub(crate) fn is_file(typed: &str) -> Option<&Path> {
    let path = Path::new(typed);
    path.is_file().then_some(path)
}

/// A moment as users type it: a date, a time, or how long ago, such as `7d`.
pub(crate) fn parse_moment(typed: &str, now: SystemTime) -> Result<SystemTime, Failure> {
    let text = typed.trim();
    let ago = text.strip_suffix("ago").map_or(text, str::trim_end);
    if let Ok(span) = inventory::parse_span(ago) {
        return now
            .checked_sub(span)
            .ok_or_else(|| Failure::usage(format!("{typed:?}: that is before all time")));
    }
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date = text.parse::<jiff::civil::Date>().ok()?;
        // The end of that day: what was known on it.
        let next = date
            .tomorrow()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?;
        Some(next.timestamp())
    });
    timestamp.map(SystemTime::from).ok_or_else(|| {
        Failure::usage(format!(
            "{typed:?} is no time; write 2026-01-31, 2026-01-31T12:00:00Z or 7d"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_dates_times_and_ages() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_375_451);
        for (typed, expected) in [
            ("7d", Some(1_795_375_451 - 7 * 86_400)),
            ("36h ago", Some(1_795_375_451 - 36 * 3_600)),
            ("1970-01-02", Some(2 * 86_400)),
            ("1970-01-02T00:00:10Z", Some(86_410)),
            ("1970-01-02T01:00:10+01:00", Some(86_410)),
            ("yesterday", None),
            ("", None),
        ] {
            let read = parse_moment(typed, now).ok();
            let expected = expected.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
            assert_eq!(read, expected, "{typed}");
        }
    }
}
