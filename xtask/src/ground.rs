//! The ground that every errand stands on: the repository, and how to start programs in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Variables that `cargo run` sets for this program and that are wrong for the cargo we start:
/// build scripts watch some of them (ring's does) and would run again for nothing.
const INHERITED_PREFIXES: [&str; 5] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
];

/// Where Debian keeps `nft` and `nutcracker`; an ordinary user's PATH lacks them.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The repository.
pub(crate) struct Ground {
    root: PathBuf,
}

impl Ground {
    /// Finds the repository by what cargo tells the programs it runs.
    pub(crate) fn find() -> Result<Ground> {
        let manifest_folder = std::env::var_os("CARGO_MANIFEST_DIR")
            .context("failed to find the repository: start this as `cargo xtask`")?;
        let root = Path::new(&manifest_folder)
            .parent()
            .context("failed to find the repository: xtask has no parent folder")?;
        Ok(Ground {
            root: root.to_owned(),
        })
    }

    /// A file of the repository.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A command that runs in the repository's root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("PATH", path_with_system_folders());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if INHERITED_PREFIXES
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The cargo that runs us, with these arguments.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(program);
        command.args(arguments);
        command
    }
}

/// Runs a command whose output the developer should see; an error unless it exits with 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let status = command
        .status()
        .with_context(|| format!("failed to start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs a command for what it prints on stdout; an error unless it exits with 0.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed no UTF-8"))
}

/// The command as it would be typed, the program without its folder.
pub(crate) fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn path_with_system_folders() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    for folder in SYSTEM_FOLDERS {
        path.push(":");
        path.push(folder);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_program_without_its_folder() {
        let mut command = Command::new("/usr/bin/env");
        command.args(["false", "--quietly"]);
        assert_eq!(command_line(&command), "env false --quietly");
        let error = run(&mut command).unwrap_err().to_string();
        assert!(
            error.starts_with("`env false --quietly` ended with exit status: "),
            "{error}"
        );
    }

    #[test]
    fn children_do_not_inherit_our_package() {
        let ground = Ground::find().unwrap();
        let variables = output(&mut ground.command("env")).unwrap();
        assert!(!variables.contains("CARGO_PKG_NAME="));
        assert!(!variables.contains("CARGO_MANIFEST_DIR="));
    }
}
