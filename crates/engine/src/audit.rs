//! The use case of `audit`: this machine, or an image of one, from the inside and without network.

use std::path::{Path, PathBuf};

use assess::local::{Audit, Machine, audit as judge};
use host::{HostError, NamedFile, Root};

/// What was found, and what it means.
#[derive(Debug)]
pub struct Audited {
    /// What was found.
    pub machine: Machine,
    /// What it means.
    pub audit: Audit,
}

/// Looks below a root, and at files that were named, and judges what is there.
///
/// # Errors
/// If the root cannot be opened, or a file that was named cannot be read. Whatever else is in the
/// way is a trouble of the machine.
pub fn audit(root: &Path, named: &[PathBuf]) -> Result<Audited, HostError> {
    let root = Root::open(root)?;
    let mut files = Vec::new();
    for path in named {
        files.extend(NamedFile::read(path)?);
    }
    let machine = host::look(&root, &files);
    let audit = judge(&machine);
    Ok(Audited { machine, audit })
}
