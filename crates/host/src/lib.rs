//! This machine from the inside: processes, listening sockets, configuration files, packages, the
//! firewall. It reads and never writes, and it sends nothing.
//!
//! Everything is looked at below a [`Root`], so that a mounted image or a container's file system
//! is audited like the machine itself; no symbolic link leads out of it. Whatever cannot be read,
//! is too large, or vanishes while it is read, is named in the result, and the look goes on.

mod root;

mod command;
mod configuration;
mod firewall;
mod named;
mod processes;

use assess::local::{InstalledPackage, Machine, Trouble, apk_installed, dpkg_status, os_release};

pub use named::NamedFile;
pub use root::Root;

/// `os-release` is read up to here.
const OS_RELEASE_BYTES_MAX: usize = 64 * 1024;
/// Lists of packages are read up to here.
const PACKAGE_LIST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The folder of `--root`.
    #[error("cannot look into {path}: {source}")]
    Root {
        /// The folder.
        path: String,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// A file that was named.
    #[error("cannot read {path}: {source}")]
    Named {
        /// The file.
        path: String,
        /// What the kernel says.
        source: std::io::Error,
    },
}

/// Looks at everything below a root, and at files that were named.
pub fn look(root: &Root, named: &[NamedFile]) -> Machine {
    let mut machine = Machine {
        root: root.path().display().to_string(),
        ..Machine::default()
    };
    let release = ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find_map(|path| root.text(path, OS_RELEASE_BYTES_MAX, &mut machine.troubles));
    machine.distribution = release.map(|text| os_release(&text));
    machine.packages = packages(root, &mut machine.troubles);
    processes::look(root, &mut machine);
    configuration::look(root, &mut machine);
    firewall::look(root, &mut machine);
    for file in named {
        file.add_to(&mut machine);
    }
    machine
}

/// Reads one kind of list.
type ListParser = fn(&str) -> Vec<InstalledPackage>;

fn packages(root: &Root, troubles: &mut Vec<Trouble>) -> Vec<InstalledPackage> {
    let mut found = Vec::new();
    let lists: [(&str, ListParser); 2] = [
        ("/var/lib/dpkg/status", dpkg_status),
        ("/lib/apk/db/installed", apk_installed),
    ];
    for (path, read) in lists {
        if let Some(text) = root.text(path, PACKAGE_LIST_BYTES_MAX, troubles) {
            found.extend(read(&text));
        }
    }
    if found.is_empty() && root.is_this_machine() {
        found.extend(command::rpm());
    }
    found
}
