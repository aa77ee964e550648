//! Files that the user names: compose files, Kubernetes manifests, values of charts, Dockerfiles.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use assess::local::{ConfigFile, Machine, Trouble, dockerfile, manifest};
use nix::fcntl::OFlag;

use crate::HostError;
use crate::root::read_regular;

/// Files are read up to here.
const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Files of a folder that are looked at.
const FILES_MAX: usize = 1000;

/// A file that was named, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Its path as it was typed.
    pub path: String,
    /// Its text, up to 8 MiB.
    pub text: String,
    /// Whether that is all of it.
    pub is_whole: bool,
}

impl NamedFile {
    /// Reads what a path names: a file, or a folder's `*.yaml`, `*.yml` and Dockerfiles.
    ///
    /// # Errors
    /// If it cannot be read: what was named must be there.
    pub fn read(path: &Path) -> Result<Vec<NamedFile>, HostError> {
        let failed = |source| HostError::Named {
            path: path.display().to_string(),
            source,
        };
        if !path.is_dir() {
            return Ok(vec![read(path).map_err(failed)?]);
        }
        let mut found: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)?.take(FILES_MAX) {
            let inner = entry.map_err(failed)?.path();
            let is_yaml = inner
                .extension()
                .is_some_and(|end| end == "yaml" || end == "yml");
            if inner.is_file() && (is_yaml || is_dockerfile(&inner)) {
                found.push(inner);
            }
        }
        found.sort_unstable();
        found
            .iter()
            .map(|inner| read(inner).map_err(failed))
            .collect()
    }

    /// What it says.
    pub fn parse(&self) -> ConfigFile {
        if is_dockerfile(Path::new(&self.path)) {
            dockerfile(&self.path, &self.text)
        } else {
            manifest(&self.path, &self.text)
        }
    }

    pub(crate) fn add_to(&self, machine: &mut Machine) {
        let file = self.parse();
        if !self.is_whole {
            machine.troubles.push(Trouble {
                path: self.path.clone(),
                what: format!("larger than {FILE_BYTES_MAX} bytes; the rest was not read"),
                hides: true,
            });
        }
        machine
            .troubles
            .extend(file.anomalies.iter().map(|what| Trouble {
                path: self.path.clone(),
                what: what.clone(),
                hides: true,
            }));
        machine.services.extend(file.services.iter().cloned());
        machine.files.push(file);
    }
}

fn read(path: &Path) -> std::io::Result<NamedFile> {
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let (text, is_whole) = read_regular(file, FILE_BYTES_MAX)?;
    Ok(NamedFile {
        path: path.display().to_string(),
        text,
        is_whole,
    })
}

fn is_dockerfile(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ["Dockerfile", "Containerfile"].iter().any(|known| {
        name.starts_with(known) || name.ends_with(&format!(".{}", known.to_ascii_lowercase()))
    })
}
