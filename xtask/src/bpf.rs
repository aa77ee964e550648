//! The programs that run in the kernel: their sources, and the objects made of them, stand side by
//! side in the repository, so that `cargo build` needs no compiler but Rust's. Here is the recipe,
//! and the proof that the objects are what it makes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::ground::{self, Ground};

/// A folder of sources and objects.
struct Folder {
    path: &'static str,
    /// Whether its objects describe their own maps, for a loader that is not ours (`ip link`).
    describes_itself: bool,
}

const FOLDERS: [Folder; 2] = [
    Folder {
        path: "crates/frames/bpf",
        describes_itself: false,
    },
    Folder {
        path: "crates/testkit/bpf",
        describes_itself: true,
    },
];
const SOURCE_SUFFIX: &str = ".bpf.c";
const OBJECT_SUFFIX: &str = ".bpf.o";
/// Debian 12's, because other versions make other bytes.
const COMPILER: &str = "clang-14";
/// Takes away the names of jump targets.
const STRIPPER: &str = "llvm-strip-14";
/// Version 3 of the instruction set came with Linux 5.1. Neither the compiler's name nor hints for a
/// linker go into the object.
const COMPILER_OPTIONS: [&str; 10] = [
    "-target",
    "bpfel",
    "-mcpu=v3",
    "-O2",
    "-ffreestanding",
    "-fno-ident",
    "-fno-addrsig",
    "-Wall",
    "-Wextra",
    "-Werror",
];

/// What to do with the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Make them anew.
    Make,
    /// Complain if they are not what the recipe makes.
    Check,
}

/// Makes or checks every object.
pub(crate) fn run(ground: &Ground, task: Task) -> Result<()> {
    let mut stale = Vec::new();
    for folder in &FOLDERS {
        for source in sources(ground, folder)? {
            let made = make(ground, folder, &source)?;
            let object = source.replace(SOURCE_SUFFIX, OBJECT_SUFFIX);
            let object = format!("{}/{object}", folder.path);
            let path = ground.path(&object);
            if std::fs::read(&path).is_ok_and(|committed| committed == made) {
                continue;
            }
            match task {
                Task::Make => {
                    std::fs::write(&path, made)
                        .with_context(|| format!("failed to write {object}"))?;
                    eprintln!("{object}: made anew");
                }
                Task::Check => stale.push(object),
            }
        }
    }
    if !stale.is_empty() {
        bail!(
            "not what `cargo xtask bpf` makes of the sources: {}",
            stale.join(", ")
        );
    }
    Ok(())
}

/// The names of the sources, sorted.
fn sources(ground: &Ground, folder: &Folder) -> Result<Vec<String>> {
    let folder = std::fs::read_dir(ground.path(folder.path))
        .with_context(|| format!("failed to read {}", folder.path))?;
    let mut names = Vec::new();
    for entry in folder {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(SOURCE_SUFFIX) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The object that the recipe makes of a source.
fn make(ground: &Ground, folder: &Folder, source: &str) -> Result<Vec<u8>> {
    let scratch = Scratch::new(source);
    // From inside the folder, so that no path of this machine gets into the object.
    let path = ground.path(folder.path);
    let mut compile = command_in(ground, COMPILER, &path);
    compile
        .args(COMPILER_OPTIONS)
        .args(["-c", source, "-o"])
        .arg(&scratch.0);
    if folder.describes_itself {
        let mut no_path = OsString::from("-fdebug-prefix-map=");
        no_path.push(&path);
        no_path.push("=.");
        compile.arg("-g").arg(no_path);
    }
    run_tool(&mut compile)?;
    let mut strip = command_in(ground, STRIPPER, &path);
    run_tool(strip.arg("--strip-unneeded").arg(&scratch.0))?;
    std::fs::read(&scratch.0).with_context(|| format!("failed to read what {COMPILER} made"))
}

fn command_in(ground: &Ground, program: &str, folder: &Path) -> Command {
    let mut command = ground.command(program);
    command.current_dir(folder);
    command
}

fn run_tool(command: &mut Command) -> Result<()> {
    ground::run(command)
        .context("programs for the kernel need `apt-get install clang-14 llvm-14` of Debian 12")
}

/// A file of ours in the system's scratch folder, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(source: &str) -> Scratch {
        let name = format!("memsweep-{}-{source}.o", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_its_object_and_every_object_its_source() {
        let ground = Ground::find().unwrap();
        for folder in &FOLDERS {
            check(&ground, folder);
        }
    }

    fn check(ground: &Ground, folder: &Folder) {
        let sources = sources(ground, folder).unwrap();
        assert!(!sources.is_empty(), "{}", folder.path);
        let files = std::fs::read_dir(ground.path(folder.path)).unwrap();
        let mut objects: Vec<String> = files
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(OBJECT_SUFFIX))
            .map(|name| name.replace(OBJECT_SUFFIX, SOURCE_SUFFIX))
            .collect();
        objects.sort();
        assert_eq!(objects, sources);
    }
}
