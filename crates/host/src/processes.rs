//! Processes of `/proc` that are memcached, and the sockets they listen on.
//!
//! A process may end while it is looked at. Before it is known to be memcached that is nobody's
//! business; afterwards it is said.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use assess::local::{
    Instance, Machine, Network, Options, PEERS_MAX, Row, RowState, Socket, Trouble, Word,
    container_of_cgroup, docker_proxy, is_memcached, network_table, unit_of_cgroup, unix_table,
};
use model::Transport;

use crate::root::{Root, is_absent, trouble};

/// Command lines are read up to here; the kernel's own limit is higher.
const COMMAND_LINE_BYTES_MAX: usize = 256 * 1024;
/// Small files of `/proc`.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// Tables of sockets.
const TABLE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// What `/proc/net/if_inet6` calls `::1`.
const IPV6_LOOPBACK: &str = "00000000000000000000000000000001";

/// The tables of one network namespace.
#[derive(Debug, Default)]
struct Tables {
    network: Vec<(Transport, Row)>,
    unix: Vec<(u64, String)>,
}

/// Finds what runs.
pub(crate) fn look(root: &Root, machine: &mut Machine) {
    let ours = root
        .link("/proc/self/ns/net")
        .or_else(|_| root.link("/proc/1/ns/net"))
        .ok();
    let interfaces = root.read("/proc/net/if_inet6", SMALL_BYTES_MAX);
    machine.has_ipv6_loopback = interfaces.is_ok_and(|(text, _)| text.contains(IPV6_LOOPBACK));
    let mut tables = BTreeMap::new();
    let names = root.names("/proc", &mut machine.troubles);
    for process in names.iter().filter_map(|name| name.parse::<u32>().ok()) {
        let Some(argv) = command_line(root, process) else {
            continue;
        };
        if let Some(published) = docker_proxy(&argv) {
            machine.published.push(published);
            continue;
        }
        let names_itself = argv.first().is_some_and(|program| is_memcached(program));
        if !names_itself && !is_called_memcached(root, process) {
            continue;
        }
        match instance(root, process, argv, ours.as_deref(), &mut tables, machine) {
            Ok(instance) => machine.instances.push(instance),
            Err(error) => machine.troubles.push(Trouble {
                path: format!("/proc/{process}"),
                what: if is_absent(&error)
                    || error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
                {
                    "the process ended while it was looked at".to_owned()
                } else {
                    trouble("", &error).what
                },
                hides: false,
            }),
        }
    }
}

fn command_line(root: &Root, process: u32) -> Option<Vec<String>> {
    let (text, _) = root
        .read(&format!("/proc/{process}/cmdline"), COMMAND_LINE_BYTES_MAX)
        .ok()?;
    let words: Vec<String> = text
        .trim_end_matches('\0')
        .split('\0')
        .map(str::to_owned)
        .collect();
    (!text.is_empty()).then_some(words)
}

/// Whether the kernel calls it memcached, whatever its command line pretends.
fn is_called_memcached(root: &Root, process: u32) -> bool {
    let name = root.read(&format!("/proc/{process}/comm"), SMALL_BYTES_MAX);
    name.is_ok_and(|(name, _)| name.trim() == "memcached")
}

fn instance(
    root: &Root,
    process: u32,
    argv: Vec<String>,
    ours: Option<&str>,
    tables: &mut BTreeMap<String, Tables>,
    machine: &mut Machine,
) -> io::Result<Instance> {
    let at = |name: &str| format!("/proc/{process}/{name}");
    let (status, _) = root.read(&at("status"), SMALL_BYTES_MAX)?;
    let cgroup = root
        .read(&at("cgroup"), SMALL_BYTES_MAX)
        .map(|(text, _)| text)
        .unwrap_or_default();
    let program = root.link(&at("exe")).ok();
    let container = container_of_cgroup(&cgroup);
    let version = machine
        .packages
        .first()
        .and_then(|package| package.upstream());
    // A package says nothing of a program that lies elsewhere, or in a container.
    let owned = program
        .as_deref()
        .is_none_or(|program| program.starts_with("/usr/bin/"));
    let version = version.filter(|_| owned && container.is_none());
    let namespace = root.link(&at("ns/net"));
    let network = match (&namespace, ours) {
        (Ok(own), Some(ours)) if own == ours => Network::Ours,
        (Ok(_), Some(_)) => Network::Own,
        _ => Network::Unknown,
    };
    let key = namespace.unwrap_or_else(|_| format!("of process {process}"));
    if !tables.contains_key(&key) {
        let read = read_tables(root, process, &mut machine.troubles);
        tables.insert(key.clone(), read);
    }
    let argv: Vec<Word> = argv.into_iter().map(Word::bare).collect();
    let mut instance = Instance {
        process,
        options: Options::parse(&argv, version),
        argv,
        program,
        user_id: user_of(&status),
        version,
        container,
        unit: unit_of_cgroup(&cgroup),
        network,
        sockets: None,
        peers: Vec::new(),
    };
    match inodes(root, process) {
        Ok(inodes) => join(&mut instance, &tables[&key], &inodes),
        Err(error) => machine.troubles.push(trouble(&at("fd"), &error)),
    }
    Ok(instance)
}

/// The effective user: the second number behind `Uid:`.
fn user_of(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn read_tables(root: &Root, process: u32, troubles: &mut Vec<Trouble>) -> Tables {
    let mut tables = Tables::default();
    for (name, transport) in [
        ("tcp", Transport::Tcp),
        ("tcp6", Transport::Tcp),
        ("udp", Transport::Udp),
        ("udp6", Transport::Udp),
    ] {
        let path = format!("/proc/{process}/net/{name}");
        if let Some(text) = root.text(&path, TABLE_BYTES_MAX, troubles) {
            let (rows, unread) = network_table(&text);
            if unread > 0 {
                let what = format!("{unread} rows that cannot be read");
                troubles.push(Trouble {
                    path,
                    what,
                    hides: true,
                });
            }
            tables
                .network
                .extend(rows.into_iter().map(|row| (transport, row)));
        }
    }
    let path = format!("/proc/{process}/net/unix");
    if let Some(text) = root.text(&path, TABLE_BYTES_MAX, troubles) {
        tables.unix = unix_table(&text);
    }
    tables
}

/// The sockets that a process holds, by their numbers.
fn inodes(root: &Root, process: u32) -> io::Result<BTreeSet<u64>> {
    let folder = format!("/proc/{process}/fd");
    let mut inodes = BTreeSet::new();
    for name in root.entries(&folder)? {
        // A descriptor may be closed by now.
        let Ok(target) = root.link(&format!("{folder}/{name}")) else {
            continue;
        };
        let number = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(inodes)
}

fn join(instance: &mut Instance, tables: &Tables, inodes: &BTreeSet<u64>) {
    let mut sockets = Vec::new();
    let mut ports = BTreeSet::new();
    for (transport, row) in &tables.network {
        if inodes.contains(&row.inode) && row.state == RowState::Listening {
            ports.insert(row.local.port());
            sockets.push(Socket::Network {
                transport: *transport,
                address: row.local,
            });
        }
    }
    let own_unix = tables
        .unix
        .iter()
        .filter(|(inode, _)| inodes.contains(inode));
    sockets.extend(own_unix.map(|(_, path)| Socket::Unix(path.clone())));
    // A worker may hold one socket several times: UDP has one for each thread.
    sockets.sort();
    sockets.dedup();
    instance.sockets = Some(sockets);
    let peers = tables.network.iter().filter(|(transport, row)| {
        *transport == Transport::Tcp
            && row.state == RowState::Connected
            && inodes.contains(&row.inode)
            && ports.contains(&row.local.port())
            && is_remote(row)
    });
    let mut peers: Vec<SocketAddr> = peers.map(|(_, row)| row.remote).collect();
    peers.sort_unstable();
    peers.dedup();
    peers.truncate(PEERS_MAX);
    instance.peers = peers;
}

/// Whether the other side is another machine: neither loopback nor our own address.
fn is_remote(row: &Row) -> bool {
    let remote = row.remote.ip().to_canonical();
    !remote.is_loopback() && remote != row.local.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// A made-up process: command line, descriptors, and its network.
    fn process(at: &Path, id: u32, argv: &str, inodes: &[u64], namespace: &str) {
        let folder = at.join(format!("proc/{id}"));
        create_dir_all(folder.join("fd")).unwrap();
        create_dir_all(folder.join("ns")).unwrap();
        create_dir_all(folder.join("net")).unwrap();
        write(folder.join("cmdline"), argv.replace(' ', "\0") + "\0").unwrap();
        write(folder.join("comm"), "memcached\n").unwrap();
        write(
            folder.join("status"),
            "Name:\tmemcached\nUid:\t100\t101\t101\t101\n",
        )
        .unwrap();
        write(
            folder.join("cgroup"),
            "0::/system.slice/memcached.service\n",
        )
        .unwrap();
        symlink("/usr/bin/memcached", folder.join("exe")).unwrap();
        symlink(namespace, folder.join("ns/net")).unwrap();
        for inode in inodes {
            symlink(
                format!("socket:[{inode}]"),
                folder.join(format!("fd/{inode}")),
            )
            .unwrap();
        }
        let row = |n: u32, local: &str, remote: &str, state: &str| {
            format!("  {n}: {local} {remote} {state} 0:0 0:0 0 0 0 {n} 1\n")
        };
        let tcp = [
            row(5, "00000000:2BCB", "00000000:0000", "0A"),
            row(6, "00000000:0016", "00000000:0000", "0A"),
            row(7, "0100000A:2BCB", "0200000A:D431", "01"),
            row(8, "0100000A:2BCB", "0100000A:D432", "01"),
        ];
        write(folder.join("net/tcp"), format!("head\n{}", tcp.concat())).unwrap();
    }

    #[test]
    fn processes_are_joined_with_their_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        process(at, 1, "init", &[], "net:[1]");
        write(at.join("proc/1/comm"), "init\n").unwrap();
        process(
            at,
            40,
            "/usr/bin/memcached -l 0.0.0.0",
            &[5, 7, 8],
            "net:[1]",
        );
        process(at, 41, "memcached", &[], "net:[2]");
        // One that ends while it is looked at: its status is gone.
        process(at, 42, "memcached", &[], "net:[1]");
        std::fs::remove_file(at.join("proc/42/status")).unwrap();
        // One that only calls itself otherwise, and one that is something else.
        process(at, 43, "renamed", &[], "net:[1]");
        create_dir_all(at.join("proc/44")).unwrap();
        write(at.join("proc/44/cmdline"), "memcached-tool\0x\0").unwrap();
        let mut machine = Machine::default();
        look(&Root::open(at).unwrap(), &mut machine);

        let found: Vec<(u32, Network)> = machine
            .instances
            .iter()
            .map(|instance| (instance.process, instance.network.clone()))
            .collect();
        assert_eq!(
            found,
            [(40, Network::Ours), (41, Network::Own), (43, Network::Ours)]
        );
        let first = &machine.instances[0];
        let address = "0.0.0.0:11211".parse().unwrap();
        let listening = Socket::Network {
            transport: Transport::Tcp,
            address,
        };
        assert_eq!(first.sockets, Some(vec![listening]));
        assert_eq!(first.peers, ["10.0.0.2:54321".parse().unwrap()]);
        assert_eq!(
            (first.user_id, first.unit.as_deref()),
            (Some(101), Some("memcached.service"))
        );
        let troubles: Vec<(&str, &str)> = machine
            .troubles
            .iter()
            .map(|trouble| (trouble.path.as_str(), trouble.what.as_str()))
            .collect();
        assert_eq!(
            troubles,
            [("/proc/42", "the process ended while it was looked at")]
        );
    }
}
