//! Programs of others that read what we write. `cargo xtask test` installs them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are installed: one folder for a user, because a clone's `target` would hold some
/// hundred megabytes once more.
pub fn folder() -> Option<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => Path::new(&std::env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("memsweep-tests"))
}

/// A program of the Python packages, such as `python3` or `check-jsonschema`.
///
/// # Panics
/// If it is not installed.
pub fn python(program: &str) -> Command {
    command(&format!("python/bin/{program}"))
}

/// A file of the npm packages, such as `@microsoft/jest-sarif/package.json`.
///
/// # Panics
/// If it is not there.
pub fn node_file(path: &str) -> PathBuf {
    existing(&format!("node/node_modules/{path}"))
}

fn command(path: &str) -> Command {
    Command::new(existing(path))
}

fn existing(path: &str) -> PathBuf {
    let path = folder()
        .map(|folder| folder.join(path))
        .filter(|path| path.exists());
    path.expect("what reads our reports is not installed; `cargo xtask test` does it")
}
