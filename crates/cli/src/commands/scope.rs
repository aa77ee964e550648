//! `scope`: which networks this user administers.

use std::path::{Path, PathBuf};

use targets::{Day, Network, Scope};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::commands::job::{Wanted, parse_targets};
use crate::commands::selecting::choose;
use crate::configuration::{parse_scope, read, read_scope, user_scope_path};
use crate::exit::{Exit, Failure};
use crate::flags::{ScopeAction, ScopeFlags};
use crate::terminal::{self, Lines};

/// `memsweep scope`.
pub(crate) fn scope(flags: ScopeFlags) -> Result<Exit, Failure> {
    match &flags.action {
        ScopeAction::List => list(flags.scope.as_deref()),
        ScopeAction::Add {
            network,
            owner,
            until,
        } => add(&file_to_write(&flags)?, network, owner, until.as_deref()),
        ScopeAction::Remove { network } => remove(&file_to_write(&flags)?, network),
        ScopeAction::Check { targets } => check(flags.scope.as_deref(), targets),
    }
}

fn file_to_write(flags: &ScopeFlags) -> Result<PathBuf, Failure> {
    flags.scope.clone().or_else(user_scope_path).ok_or_else(|| {
        Failure::usage("neither HOME nor XDG_CONFIG_HOME is set; name the file with --scope FILE")
    })
}

fn list(named: Option<&Path>) -> Result<Exit, Failure> {
    let scope = read_scope(named)?;
    let mut lines = Lines::new();
    for entry in scope.entries() {
        let until = entry
            .until
            .map(|until| format!(" until {until}"))
            .unwrap_or_default();
        let owner = report::escape_for_terminal(&entry.owner);
        lines.add(&format!(
            "{}  {owner}{until}  ({})",
            entry.network, entry.source
        ))?;
    }
    lines.finish()?;
    if scope.entries().is_empty() {
        terminal::say(
            "memsweep: no entry yet; loopback, link-local and private networks need none. \
             Add one with: memsweep scope add CIDR --owner \"…\"",
        );
    }
    Ok(Exit::Done)
}

fn add(path: &Path, network: &str, owner: &str, until: Option<&str>) -> Result<Exit, Failure> {
    let network = Network::parse(network).map_err(Failure::usage)?;
    let until = until.map(Day::parse).transpose().map_err(Failure::usage)?;
    if owner.trim().is_empty() {
        return Err(Failure::usage(
            "--owner is empty; write who administers the network",
        ));
    }
    let text = read(path, false)?.unwrap_or_default();
    let source = path.display().to_string();
    let known = parse_scope(&text, &source).map_err(Failure::Usage)?;
    if known.iter().any(|entry| entry.network == network) {
        return Err(Failure::usage(format!("{network} is in {source} already")));
    }
    let mut document = parse_document(&text, &source)?;
    let tables = document
        .entry("network")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(|| Failure::usage(format!("{source}: network is no list of tables")))?;
    let mut table = Table::new();
    table["cidr"] = value(network.to_string());
    table["owner"] = value(owner);
    if let Some(until) = until {
        table["until"] = value(until.to_string());
    }
    tables.push(table);
    write(path, &document.to_string())?;
    print(&format!("{network} added to {source}"))?;
    Ok(Exit::Done)
}

fn remove(path: &Path, network: &str) -> Result<Exit, Failure> {
    let network = Network::parse(network).map_err(Failure::usage)?;
    let source = path.display().to_string();
    let text = read(path, true)?.unwrap_or_default();
    // Checks the whole file, so that the edit below can trust its shape.
    parse_scope(&text, &source).map_err(Failure::Usage)?;
    let mut document = parse_document(&text, &source)?;
    let Some(tables) = document
        .get_mut("network")
        .and_then(Item::as_array_of_tables_mut)
    else {
        return Err(Failure::usage(format!("{network} is not in {source}")));
    };
    let before = tables.len();
    tables.retain(|table| {
        let cidr = table.get("cidr").and_then(Item::as_str).unwrap_or_default();
        Network::parse(cidr).ok() != Some(network)
    });
    if tables.len() == before {
        return Err(Failure::usage(format!("{network} is not in {source}")));
    }
    write(path, &document.to_string())?;
    print(&format!("{network} removed from {source}"))?;
    Ok(Exit::Done)
}

fn check(named: Option<&Path>, typed: &[String]) -> Result<Exit, Failure> {
    let scope: Scope = read_scope(named)?;
    let mut refused = None;
    let mut lines = Lines::new();
    for text in typed {
        let targets = parse_targets(std::slice::from_ref(text), &[])?;
        let wanted = Wanted {
            targets,
            exclusions: Vec::new(),
            ports: vec![11211],
        };
        match choose(&wanted, &|_| None)?.entries(&scope)? {
            Ok(entries) if entries.is_empty() => {
                lines.add(&format!("{text}: may be scanned (private network)"))?;
            }
            Ok(entries) => {
                for entry in entries {
                    lines.add(&format!(
                        "{text}: may be scanned, by {} ({}, {})",
                        entry.network,
                        report::escape_for_terminal(&entry.owner),
                        entry.source
                    ))?;
                }
            }
            Err(error) => {
                lines.add(&format!("{text}: {error}"))?;
                refused = Some(());
            }
        }
    }
    lines.finish()?;
    Ok(if refused.is_some() {
        Exit::Usage
    } else {
        Exit::Done
    })
}

fn print(line: &str) -> Result<(), Failure> {
    let mut lines = Lines::new();
    lines.add(line)?;
    lines.finish()
}

fn parse_document(text: &str, source: &str) -> Result<DocumentMut, Failure> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        Failure::usage(format!("{source}: {}", error.message()))
    })
}

/// Writes beside the file and renames, so that a full disk leaves the old one whole. A file that
/// is there keeps its permissions; of a symbolic link, what it leads to is written.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::usage(format!("cannot write {}: {error}", path.display()));
    let path = match path.canonicalize() {
        Ok(existing) => existing,
        Err(_) => path.to_owned(),
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text).map_err(failed)?;
    if let Ok(metadata) = path.metadata() {
        std::fs::set_permissions(&beside, metadata.permissions()).map_err(failed)?;
    }
    std::fs::rename(&beside, &path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_linked_scope_file_stays_a_link_and_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, "new").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}
