//! Running the built program end to end.

use std::path::Path;
use std::process::{Command, Stdio};

/// The built `memsweep`, ready for arguments, with nothing of the developer's own environment: no
/// locale but C, no colour, no configuration of a user, no standard input.
///
/// Give it the path that cargo tells an integration test: `env!("CARGO_BIN_EXE_memsweep")`.
///
/// # Panics
/// If there is no such file.
pub fn binary(path: impl AsRef<Path>) -> Command {
    let path = path.as_ref();
    assert!(path.is_file(), "{} is not built", path.display());
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent")
        // What tests see is not kept, unless a test is about that.
        .env("MEMSWEEP_INVENTORY", "none")
        .env("LC_ALL", "C")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_our_own_environment_reaches_the_program() {
        let output = binary("/usr/bin/env").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["HOME", "LC_ALL", "MEMSWEEP_INVENTORY", "NO_COLOR", "PATH"]
        );
    }
}
