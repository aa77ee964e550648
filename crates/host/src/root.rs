//! The folder that stands for `/`, and reading below it without ever leaving it.
//!
//! Below a folder other than `/`, openat2(2) resolves every path as if that folder were the root:
//! absolute links, `..` and links in links stay inside. Kernels before 5.6 do not have it, and on
//! those only `/` itself is looked at. Only regular files are read: a FIFO or a device in an
//! image's place of a configuration file is named, and nobody waits for it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use assess::local::Trouble;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};

use crate::HostError;

/// Entries of one folder that are looked at.
const NAMES_MAX: usize = 200_000;

/// The folder that stands for `/`.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    folder: OwnedFd,
    is_this_machine: bool,
}

impl Root {
    /// Opens a root.
    ///
    /// # Errors
    /// If it is no folder, or may not be opened.
    pub fn open(path: &Path) -> Result<Root, HostError> {
        let failed = |source| HostError::Root {
            path: path.display().to_string(),
            source,
        };
        let canonical = path.canonicalize().map_err(failed)?;
        let folder = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_DIRECTORY.bits())
            .open(&canonical)
            .map_err(failed)?;
        let is_this_machine = canonical == Path::new("/");
        let root = Root {
            path: canonical,
            folder: folder.into(),
            is_this_machine,
        };
        if !is_this_machine {
            // So that an old kernel is told of once, and not for every file.
            root.descriptor("/", OFlag::O_PATH).map_err(failed)?;
        }
        Ok(root)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the running machine's own `/`.
    pub fn is_this_machine(&self) -> bool {
        self.is_this_machine
    }

    /// The text of a regular file, up to `bytes_max`; what is no UTF-8 is replaced. `None` where
    /// there is no such file; whatever else is in the way goes to `troubles`.
    pub fn text(
        &self,
        path: &str,
        bytes_max: usize,
        troubles: &mut Vec<Trouble>,
    ) -> Option<String> {
        match self.read(path, bytes_max) {
            Ok((text, is_whole)) => {
                if !is_whole {
                    let what = format!("larger than {bytes_max} bytes; the rest was not read");
                    troubles.push(Trouble {
                        path: path.to_owned(),
                        what,
                        hides: true,
                    });
                }
                Some(text)
            }
            Err(error) if is_absent(&error) => None,
            Err(error) => {
                troubles.push(trouble(path, &error));
                None
            }
        }
    }

    /// The bytes of a file as text, and whether it is all of it.
    pub(crate) fn read(&self, path: &str, bytes_max: usize) -> io::Result<(String, bool)> {
        let descriptor = self.descriptor(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
        read_regular(File::from(descriptor), bytes_max)
    }

    /// The names in a folder, sorted. Empty where there is no such folder.
    pub(crate) fn names(&self, path: &str, troubles: &mut Vec<Trouble>) -> Vec<String> {
        match self.entries(path) {
            Ok(names) => names,
            Err(error) if is_absent(&error) => Vec::new(),
            Err(error) => {
                troubles.push(trouble(path, &error));
                Vec::new()
            }
        }
    }

    /// The names in a folder, sorted.
    pub(crate) fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = self.descriptor(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        // The descriptor is our own: reading it by its number cannot lead elsewhere.
        let listing = std::fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
        let mut names = Vec::new();
        for entry in listing.take(NAMES_MAX) {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Where a symbolic link points, as its text; it is not followed.
    pub(crate) fn link(&self, path: &str) -> io::Result<String> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = if folder.is_empty() { "/" } else { folder };
        let folder = self.descriptor(folder, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        Ok(readlinkat(&folder, name)?.to_string_lossy().into_owned())
    }

    fn descriptor(&self, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let mut flags = flags | OFlag::O_CLOEXEC;
        if !flags.contains(OFlag::O_PATH) {
            flags |= OFlag::O_NOCTTY;
        }
        if self.is_this_machine {
            let mode = nix::sys::stat::Mode::empty();
            return Ok(nix::fcntl::open(path, flags, mode)?);
        }
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags).resolve(resolve);
        Ok(openat2(&self.folder, path, how)?)
    }
}

/// Reads a file that is a regular one, up to a limit.
pub(crate) fn read_regular(file: File, bytes_max: usize) -> io::Result<(String, bool)> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "no regular file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let is_whole = bytes.len() <= bytes_max;
    bytes.truncate(bytes_max);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), is_whole))
}

/// Whether an error only says that there is nothing.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A trouble that hides something.
pub(crate) fn trouble(path: &str, error: &io::Error) -> Trouble {
    let what = match error.kind() {
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    Trouble {
        path: path.to_owned(),
        what,
        hides: true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_leads_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        std::fs::create_dir(at.join("etc")).unwrap();
        std::fs::write(at.join("etc/inside"), "inside").unwrap();
        symlink(outside.path().join("secret"), at.join("etc/absolute")).unwrap();
        symlink(
            format!("../../../..{}/secret", outside.path().display()),
            at.join("etc/dots"),
        )
        .unwrap();
        symlink(outside.path(), at.join("etc/folder")).unwrap();
        symlink("/etc/inside", at.join("etc/own")).unwrap();
        symlink("loop", at.join("etc/loop")).unwrap();
        let root = Root::open(at).unwrap();
        let mut troubles = Vec::new();
        let mut text = |path: &str| root.text(path, 100, &mut troubles);
        assert_eq!(text("/etc/absolute"), None);
        assert_eq!(text("/etc/dots"), None);
        assert_eq!(text("/etc/folder/secret"), None);
        assert_eq!(text("/../../etc/inside").as_deref(), Some("inside"));
        // An absolute link is one of the image, as the image means it.
        assert_eq!(text("/etc/own").as_deref(), Some("inside"));
        assert_eq!(text("/etc/loop"), None);
        assert_eq!(troubles.len(), 1, "{troubles:?}");
    }

    #[test]
    fn what_is_no_file_or_too_large_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        nix::unistd::mkfifo(&at.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(at.join("large"), [b'x'; 200]).unwrap();
        std::fs::write(at.join("bytes"), [0xff, b'a']).unwrap();
        let root = Root::open(at).unwrap();
        let mut troubles = Vec::new();
        assert_eq!(root.text("/fifo", 100, &mut troubles), None);
        assert_eq!(root.text("/large", 100, &mut troubles).unwrap().len(), 100);
        assert_eq!(
            root.text("/bytes", 100, &mut troubles).unwrap(),
            "\u{fffd}a"
        );
        assert_eq!(root.text("/none", 100, &mut troubles), None);
        let found: Vec<(&str, &str)> = troubles
            .iter()
            .map(|trouble| (trouble.path.as_str(), trouble.what.as_str()))
            .collect();
        let large = "larger than 100 bytes; the rest was not read";
        assert_eq!(found, [("/fifo", "no regular file"), ("/large", large)]);
        assert!(Root::open(&at.join("none")).is_err() && Root::open(&at.join("large")).is_err());
    }
}
