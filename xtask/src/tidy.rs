//! The house rules that a program can check. A rule that was said twice in review belongs here.
//!
//! Every check is a function from texts to complaints, so that each can be tested on a few lines;
//! only this file reads the repository.

mod guests;
mod rooms;
mod source;
mod text;
mod words;

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::ground::{self, Ground};
use guests::Guest;
use rooms::Member;

/// Larger files do not belong into the history of a repository that everybody clones.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file whose table of rooms is law.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// A file of the repository, tracked or about to be.
struct File {
    /// Relative to the root.
    path: String,
    size_bytes: u64,
    /// `None` if it is no text, or too large to be looked at.
    text: Option<String>,
}

/// A rule that was broken, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Complaint {
    path: String,
    /// Counted from 1; `None` if it is about the file as a whole.
    line: Option<usize>,
    message: String,
}

impl Complaint {
    fn at(path: &str, line: usize, message: impl Into<String>) -> Complaint {
        Complaint {
            path: path.to_owned(),
            line: Some(line),
            message: message.into(),
        }
    }

    fn about(path: &str, message: impl Into<String>) -> Complaint {
        Complaint {
            path: path.to_owned(),
            line: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.path, self.message),
            None => write!(formatter, "{}: {}", self.path, self.message),
        }
    }
}

/// Checks the whole repository and prints what is wrong with it.
pub(crate) fn run(ground: &Ground) -> Result<()> {
    let complaints = complaints(ground)?;
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        1 => bail!("1 house rule is broken"),
        count => bail!("{count} house rules are broken"),
    }
}

fn complaints(ground: &Ground) -> Result<Vec<Complaint>> {
    let files = files(ground)?;
    let mut complaints = Vec::new();
    for file in &files {
        if file.size_bytes > FILE_BYTES_MAX {
            let message = format!("{} bytes; the limit is {FILE_BYTES_MAX}", file.size_bytes);
            complaints.push(Complaint::about(&file.path, message));
        }
        let Some(text) = &file.text else { continue };
        complaints.extend(text::complaints(&file.path, text));
        if file.path.ends_with(".rs") {
            complaints.extend(words::complaints(&file.path, text));
        }
        if file.path.ends_with("Cargo.toml") {
            complaints.extend(guests::complaints_about_manifest(&file.path, text));
        }
    }
    let (members, guests) = packages(ground)?;
    let architecture = files
        .iter()
        .find(|file| file.path == ARCHITECTURE)
        .and_then(|file| file.text.as_deref())
        .with_context(|| format!("failed to read {ARCHITECTURE}"))?;
    complaints.extend(rooms::complaints(ARCHITECTURE, architecture, &members));
    complaints.extend(guests::complaints_about_licences(&guests));
    complaints.sort();
    Ok(complaints)
}

/// What git tracks, and what it would add; never what it ignores.
fn files(ground: &Ground) -> Result<Vec<File>> {
    // CI may have cloned as another user, which git refuses to read without this.
    let safe = "safe.directory=*";
    let options = [
        "-c",
        safe,
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let mut paths: Vec<String> = ground::output(ground.command("git").args(options))
        .context("failed to list the repository's files")?
        .split_terminator('\0')
        .map(str::to_owned)
        .collect();
    // During a merge git lists a path once for each side.
    paths.dedup();
    let read = paths.into_iter().map(|path| read(ground, path));
    read.filter_map(Result::transpose).collect()
}

/// A file's text; `None` if it was deleted, or is no ordinary file.
fn read(ground: &Ground, path: String) -> Result<Option<File>> {
    let full = ground.path(&path);
    let Ok(metadata) = full.symlink_metadata() else {
        return Ok(None);
    };
    if !metadata.is_file() {
        return Ok(None);
    }
    let size_bytes = metadata.len();
    let mut text = None;
    if size_bytes <= FILE_BYTES_MAX {
        let bytes = std::fs::read(&full).with_context(|| format!("failed to read {path}"))?;
        text = String::from_utf8(bytes)
            .ok()
            .filter(|text| !text.contains('\0'));
    }
    Ok(Some(File {
        path,
        size_bytes,
        text,
    }))
}

/// The workspace's members and its guests, as cargo sees them.
fn packages(ground: &Ground) -> Result<(Vec<Member>, Vec<Guest>)> {
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let json = ground::output(&mut ground.cargo(&arguments))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&json).context("failed to read what cargo metadata printed")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let (own, foreign): (Vec<_>, Vec<_>) = packages
        .iter()
        .partition(|package| package["source"].is_null());
    Ok((
        own.into_iter().filter_map(Member::from_metadata).collect(),
        foreign
            .into_iter()
            .filter_map(Guest::from_metadata)
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_its_own_rules() {
        let complaints = complaints(&Ground::find().unwrap()).unwrap();
        let lines: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn cargo_names_rooms_and_guests() {
        let (members, guests) = packages(&Ground::find().unwrap()).unwrap();
        assert!(members.iter().any(|member| member.name == "model"));
        assert!(members.iter().any(|member| member.name == "xtask"));
        assert!(guests.iter().any(|guest| guest.name == "anyhow"));
        assert!(guests.iter().all(|guest| guest.name != "model"));
    }
}
