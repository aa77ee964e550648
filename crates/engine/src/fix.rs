//! Carrying a remedy out: who is in its way, what a restart would lose, and files that change in
//! one step, with a backup beside them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use assess::local::{Instance, Machine, Network, Socket};
use assess::remedy::{Edit, Plan, Wishes, plan};
use host::{HostError, NamedFile, Root};
use model::Transport;
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use sockets::Security;
use targets::Permitted;
use wire::Channel;

use crate::tool::{Server, Session, Table, ToolError};

/// Configuration files are read up to here.
const CONFIGURATION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The kernel's list of IPv6 addresses, and what it calls `::1`.
const IPV6_INTERFACES: &str = "/proc/net/if_inet6";
const IPV6_LOOPBACK: &str = "00000000000000000000000000000001";
/// Files larger than this are no configuration.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Names and values of extended attributes; the kernel's own limit (XATTR_SIZE_MAX).
const XATTR_BYTES_MAX: usize = 64 * 1024;
/// The longest wait for a server on this machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Read and write for all, before the umask takes its part.
const NEW_FILE_MODE: u32 = 0o644;

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// Somebody else was here, or it is no UTF-8.
    #[error("{path} has changed meanwhile, or is no UTF-8; nothing of it was written")]
    Changed {
        /// The file.
        path: String,
    },
    /// A link leads out of the folder of `--root`.
    #[error("{path} is, or lies behind, a symbolic link that leads out of the root")]
    Outside {
        /// The file.
        path: String,
    },
    /// The kernel refused.
    #[error("failed to change {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the kernel says.
        source: io::Error,
    },
}

/// A machine, and what would close it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What was found.
    pub machine: Machine,
    /// What is to be done.
    pub plan: Plan,
}

/// Looks below a root and at files that were named, and plans what closes them. Nothing is written.
///
/// # Errors
/// If the root cannot be opened, or a file that was named cannot be read.
pub fn look(root: &Path, named: &[PathBuf], wishes: &Wishes) -> Result<Planned, HostError> {
    let root = Root::open(root)?;
    let mut files = Vec::new();
    for path in named {
        files.extend(NamedFile::read(path)?);
    }
    let mut machine = host::look(&root, &files);
    let text = |path: &str| root.text(path, CONFIGURATION_BYTES_MAX, &mut Vec::new());
    if !root.is_this_machine() && text("/proc/net/dev").is_none() {
        // An image has no kernel of its own to ask; it most likely starts on one like this.
        let own = fs::read_to_string(IPV6_INTERFACES).unwrap_or_default();
        machine.has_ipv6_loopback = own.contains(IPV6_LOOPBACK);
    }
    let plan = plan(&machine, wishes, &|path: &str| match files
        .iter()
        .find(|file| file.path == path)
    {
        Some(file) => Some(file.text.clone()),
        None => text(path),
    });
    Ok(Planned { machine, plan })
}

/// A file that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The file, as the machine knows it.
    pub path: String,
    /// Where the text of before is kept; `None` for a file that is new.
    pub backup: Option<String>,
}

/// The instances that a plan is about: those of this machine's own network at its ports.
pub fn instances_of<'a>(machine: &'a Machine, plan: &Plan) -> Vec<&'a Instance> {
    let ports: Vec<u16> = plan.services.iter().map(|service| service.port).collect();
    let is_meant = |instance: &&Instance| {
        instance.network == Network::Ours && ports.contains(&instance.options.tcp_port)
    };
    machine.instances.iter().filter(is_meant).collect()
}

/// Clients on other machines that are connected now, and that nothing says how to let in.
pub fn clients_in_the_way(machine: &Machine, plan: &Plan, wishes: &Wishes) -> Vec<SocketAddr> {
    if wishes.listen.iter().any(|address| !address.is_loopback()) {
        return Vec::new();
    }
    let mut clients: Vec<SocketAddr> = instances_of(machine, plan)
        .into_iter()
        .flat_map(|instance| instance.peers.iter().copied())
        .filter(|peer| !peer.ip().to_canonical().is_loopback())
        .filter(|peer| {
            !wishes
                .allow
                .iter()
                .any(|network| network.contains(peer.ip()))
        })
        .collect();
    clients.sort_unstable();
    clients.dedup();
    clients
}

/// An address at which this machine itself reaches an instance.
pub fn own_address(instance: &Instance) -> Option<SocketAddr> {
    let sockets = instance.sockets.as_deref().unwrap_or_default();
    let mut addresses: Vec<SocketAddr> = sockets
        .iter()
        .filter_map(|socket| match socket {
            Socket::Network {
                transport: Transport::Tcp,
                address,
            } => Some(*address),
            _ => None,
        })
        .map(|address| match address.ip().to_canonical() {
            IpAddr::V4(v4) if v4.is_unspecified() => ([127, 0, 0, 1], address.port()).into(),
            IpAddr::V6(v6) if v6.is_unspecified() => {
                (std::net::Ipv6Addr::LOCALHOST, address.port()).into()
            }
            ip => (ip, address.port()).into(),
        })
        .collect();
    addresses.sort_by_key(|address| (!address.ip().is_loopback(), *address));
    addresses.first().copied()
}

/// What a server holds: items and bytes, which a restart loses.
///
/// # Errors
/// Whatever keeps the server from being asked.
pub fn held(target: Permitted) -> Result<(u64, u64), ToolError> {
    let server = Server {
        target,
        channel: Channel::Tcp,
        security: Security::Plain,
        credentials: None,
        allow_cleartext: false,
        timeout: ANSWER_TIMEOUT,
        stopped: Arc::new(AtomicBool::new(false)),
    };
    let table = Session::open(&server)?.table(Table::Stats)?;
    let number = |name: &str| table.integer(name).unwrap_or(0);
    Ok((number("curr_items"), number("bytes")))
}

/// Writes every edit below a root, each in one step. The first that fails ends it; what was
/// written before stays, and is told.
pub fn apply(root: &Path, edits: &[Edit], stamp: &str) -> (Vec<Changed>, Option<FixError>) {
    let mut changed = Vec::new();
    // Everything that can be seen to fail fails before the first file is touched.
    let mut places = Vec::new();
    for edit in edits {
        match locate(root, edit).and_then(|place| check(&place, edit).map(|()| place)) {
            Ok(place) => places.push(place),
            Err(error) => return (changed, Some(error)),
        }
    }
    for (edit, place) in edits.iter().zip(places) {
        match write(&place, edit, stamp) {
            Ok(backup) => changed.push(Changed {
                path: edit.path.clone(),
                backup: backup.map(|backup| shown(root, &backup)),
            }),
            Err(source) => {
                let path = edit.path.clone();
                return (changed, Some(FixError::Io { path, source }));
            }
        }
    }
    (changed, None)
}

fn shown(root: &Path, path: &Path) -> String {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    match path.strip_prefix(&root) {
        Ok(inner) if root != Path::new("/") => format!("/{}", inner.display()),
        _ => path.display().to_string(),
    }
}

/// Where a file really is. Paths that the machine knows begin at the root; those that the user
/// typed (compose files) are taken as they are.
fn locate(root: &Path, edit: &Edit) -> Result<PathBuf, FixError> {
    let failed = |source| FixError::Io {
        path: edit.path.clone(),
        source,
    };
    let outside = || FixError::Outside {
        path: edit.path.clone(),
    };
    let root = root.canonicalize().map_err(failed)?;
    let is_machine = root == Path::new("/");
    let below = root.join(edit.path.trim_start_matches('/'));
    let is_typed =
        !edit.path.starts_with('/') || (!is_machine && edit.before.is_some() && !below.exists());
    let path = if is_typed {
        PathBuf::from(&edit.path)
    } else {
        below
    };
    if path.exists() {
        let real = path.canonicalize().map_err(failed)?;
        if !is_typed && (!real.starts_with(&root) || (!is_machine && path.is_symlink())) {
            return Err(outside());
        }
        return Ok(real);
    }
    // A new file: its folder may be new too, and must not lie behind a link that leads outside.
    let mut folder = path.parent();
    while let Some(existing) = folder {
        if existing.exists() {
            let real = existing.canonicalize().map_err(failed)?;
            return if real.starts_with(&root) {
                Ok(path)
            } else {
                Err(outside())
            };
        }
        folder = existing.parent();
    }
    Err(outside())
}

/// Whether the file still holds what the plan was made from.
fn check(path: &Path, edit: &Edit) -> Result<(), FixError> {
    let found = match read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => {
            return Err(FixError::Io {
                path: edit.path.clone(),
                source,
            });
        }
    };
    if found.as_deref() == edit.before.as_ref().map(String::as_bytes) {
        Ok(())
    } else {
        Err(FixError::Changed {
            path: edit.path.clone(),
        })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Backup first, then a new file beside the old one that takes its place in one step.
fn write(path: &Path, edit: &Edit, stamp: &str) -> io::Result<Option<PathBuf>> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // No configuration is read from names that begin with a dot and end with a date.
    let backup = folder.join(format!(".{name}.memsweep-backup-{stamp}"));
    let original = match &edit.before {
        Some(before) => {
            let original = File::open(path)?;
            put(&backup, before.as_bytes(), Some(&original))?;
            Some(original)
        }
        None => {
            fs::create_dir_all(folder)?;
            None
        }
    };
    let temporary = folder.join(format!(".{name}.memsweep-new-{}", std::process::id()));
    put(&temporary, edit.after.as_bytes(), original.as_ref())?;
    if let Err(error) = fs::rename(&temporary, path) {
        // What is left of the attempt helps nobody.
        let _ = fs::remove_file(&temporary);
        let _ = fs::remove_file(&backup);
        return Err(error);
    }
    File::open(folder)?.sync_all()?;
    Ok(original.map(|_| backup))
}

/// Writes a file that was not there, with owner, mode and attributes of another one.
fn put(path: &Path, bytes: &[u8], like: Option<&File>) -> io::Result<()> {
    // Nobody else may read it before it has the mode of the original.
    let mode = if like.is_some() { 0o600 } else { NEW_FILE_MODE };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| like.map_or(Ok(()), |like| resemble(&file, like)))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

fn resemble(file: &File, like: &File) -> io::Result<()> {
    let metadata = like.metadata()?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
        fchown(file, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
    // Labels and access lists are kept where the file system and our rights allow.
    let mut names = vec![0; XATTR_BYTES_MAX];
    let Ok(length) = flistxattr(like, &mut names) else {
        return Ok(());
    };
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; XATTR_BYTES_MAX];
        if let Ok(length) = fgetxattr(like, name, &mut value) {
            let _ = fsetxattr(file, name, &value[..length], XattrFlags::empty());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn edit(path: &str, before: Option<&str>, after: &str) -> Edit {
        Edit {
            path: path.to_owned(),
            before: before.map(str::to_owned),
            after: after.to_owned(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_changes_in_one_step_and_keeps_its_mode() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        fs::create_dir(&etc).unwrap();
        let conf = etc.join("memcached.conf");
        fs::write(&conf, "old\n").unwrap();
        fs::set_permissions(&conf, Permissions::from_mode(0o640)).unwrap();
        let edits = [
            edit("/etc/memcached.conf", Some("old\n"), "new\n"),
            edit(
                "/etc/systemd/system/memcached.service.d/memsweep.conf",
                None,
                "x\n",
            ),
        ];
        let (changed, error) = apply(root.path(), &edits, "20261122T000000Z");
        assert!(error.is_none(), "{error:?}");
        let backup = "/etc/.memcached.conf.memsweep-backup-20261122T000000Z";
        assert_eq!(changed[0].backup.as_deref(), Some(backup));
        assert_eq!(changed[1].backup, None);
        assert_eq!(fs::read_to_string(&conf).unwrap(), "new\n");
        let kept = root.path().join(&backup[1..]);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "old\n");
        for path in [&conf, &kept] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o640);
        }
        assert_eq!(
            names(&etc),
            [
                ".memcached.conf.memsweep-backup-20261122T000000Z",
                "memcached.conf",
                "systemd"
            ]
        );
    }

    #[test]
    fn nothing_is_written_over_another_change_or_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        let theirs = outside.path().join("theirs");
        fs::write(&theirs, "old").unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("first"), "old").unwrap();
        fs::write(root.path().join("moved"), "other").unwrap();
        fs::write(root.path().join("bytes"), [0xff]).unwrap();
        symlink(&theirs, root.path().join("link")).unwrap();
        symlink(outside.path(), root.path().join("folder")).unwrap();
        for bad in [
            edit("/moved", Some("old"), "new"),
            edit("/bytes", Some("\u{fffd}"), "new"),
            edit("/first", None, "new"),
            edit("/link", Some("old"), "new"),
            edit("/folder/theirs", Some("old"), "new"),
            edit("/folder/new", None, "new"),
        ] {
            let edits = [edit("/first", Some("old"), "new"), bad.clone()];
            let (changed, error) = apply(root.path(), &edits, "x");
            assert!(changed.is_empty() && error.is_some(), "{bad:?}");
        }
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "old");
        assert_eq!(names(outside.path()), ["theirs"]);
        assert_eq!(
            names(root.path()),
            ["bytes", "first", "folder", "link", "moved"]
        );
    }
}
