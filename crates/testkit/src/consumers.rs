//! Programs of others that read what we write. `cargo xtask test` installs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
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

/// A program in the npm packages. It is made executable first, which npm leaves to scripts that are
/// not run.
///
/// # Panics
/// If it is not there.
pub fn node_program(path: &str) -> Command {
    let program = node_file(path);
    let metadata = program
        .metadata()
        .expect("an installed program can be looked at");
    let mut permissions = metadata.permissions();
    if permissions.mode() & 0o111 == 0 {
        permissions.set_mode(permissions.mode() | 0o111);
        fs::set_permissions(&program, permissions).expect("our own cache can be changed");
    }
    Command::new(program)
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
