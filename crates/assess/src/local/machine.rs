//! What was found on one machine from the inside, before anything is judged.

use std::net::SocketAddr;

use model::Transport;

use super::firewall::Firewall;
use super::manifests::Published;
use super::options::Options;
use super::place::{ConfigFile, Service, Word};
use crate::UpstreamVersion;
use crate::package::Distribution;

/// A socket that a process listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    /// A TCP socket that listens, or a UDP socket that is bound.
    Network {
        /// `tcp` or `udp`.
        transport: Transport,
        /// Where.
        address: SocketAddr,
    },
    /// A unix socket with its path.
    Unix(String),
}

/// Whose network a process stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The one that memsweep itself runs in.
    Ours,
    /// One of its own: a container's, or a namespace.
    Own,
    /// The kernel did not tell.
    Unknown,
}

/// A memcached that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The id of its process.
    pub process: u32,
    /// Its command line, program first.
    pub argv: Vec<Word>,
    /// What the command line amounts to.
    pub options: Options,
    /// The file it was started from, as the kernel tells it.
    pub program: Option<String>,
    /// The user it runs as.
    pub user_id: Option<u32>,
    /// Its release, where a package that owns the program says so.
    pub version: Option<UpstreamVersion>,
    /// The container it runs in, by its short id.
    pub container: Option<String>,
    /// The unit of systemd that started it, such as `memcached.service`.
    pub unit: Option<String>,
    /// Whose network it stands in.
    pub network: Network,
    /// What it listens on; `None` where the kernel would not say which sockets are its own.
    pub sockets: Option<Vec<Socket>>,
    /// Who is connected to its sockets from other machines, at most [`PEERS_MAX`].
    pub peers: Vec<SocketAddr>,
}

/// More clients than this are not named.
pub const PEERS_MAX: usize = 256;

/// A package that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Who keeps the list: `dpkg`, `rpm` or `apk`.
    pub manager: &'static str,
    /// Its name.
    pub name: String,
    /// Its version, release of the distribution included.
    pub version: String,
}

impl InstalledPackage {
    /// The upstream release in the version: of `1:1.6.18-1+deb12u1`, 1.6.18.
    pub fn upstream(&self) -> Option<UpstreamVersion> {
        let version = match self.version.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => rest,
            _ => self.version.as_str(),
        };
        let numbers = version
            .split(|c: char| !(c.is_ascii_digit() || c == '.'))
            .next()?;
        UpstreamVersion::parse(numbers)
    }
}

/// Something that could not be looked at, or not understood; the audit went on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file, or the command.
    pub path: String,
    /// What is wrong, English: `permission denied`.
    pub what: String,
    /// Whether the answer is incomplete without it.
    pub hides: bool,
}

/// Everything that was found on one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The folder that stands for `/`.
    pub root: String,
    /// Servers that run.
    pub instances: Vec<Instance>,
    /// Every file that was read, in the order of reading.
    pub files: Vec<ConfigFile>,
    /// Servers that are configured to run, on this machine or by the files that were given.
    pub services: Vec<Service>,
    /// Ports of containers that the kernel or docker-proxy hands on right now.
    pub published: Vec<Published>,
    /// The firewall.
    pub firewall: Firewall,
    /// Packages of memcached.
    pub packages: Vec<InstalledPackage>,
    /// Whose packages they are, by os-release(5).
    pub distribution: Option<Distribution>,
    /// Whether `::1` exists here.
    pub has_ipv6_loopback: bool,
    /// What could not be looked at.
    pub troubles: Vec<Trouble>,
}
