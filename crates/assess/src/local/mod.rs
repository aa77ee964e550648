//! Evidence from the inside: what command lines, files and tables of this machine say of memcached.
//!
//! Everything here takes text and gives values; who reads the files is the room `host`. Nothing
//! fails: what a file says that cannot be understood becomes one of its anomalies. Every option
//! keeps its [`Place`], so that whoever mends it changes the right line.

mod place;

mod options;
mod shell;

mod dockerfile;
mod files;
mod manifests;
mod sessions;
mod systemd;
mod yaml;

mod containers;
mod firewall;
mod packages;
mod sockets;

mod machine;

mod judge;
mod rules;

#[cfg(test)]
mod laws;

pub use containers::{
    container_of_cgroup, docker_proxy, published_by_nat, published_by_nft, unit_of_cgroup,
};
pub use dockerfile::dockerfile;
pub use files::{etc_default, is_memcached, memcached_conf, plist, rc_conf, sysconfig};
pub use firewall::{Firewall, Inbound, Ruleset, iptables_save, nft_json};
pub use judge::{Audit, JudgedInstance, JudgedService, LocalFinding, Reach, audit};
pub use machine::{InstalledPackage, Instance, Machine, Network, PEERS_MAX, Socket, Trouble};
pub use manifests::{Published, manifest};
pub use options::{Breadth, Given, Listener, Options, PORT_DEFAULT, UDP_OFF_SINCE, Udp};
pub use packages::{apk_installed, dpkg_status, os_release};
pub use place::{ConfigFile, ConfigKind, Place, Service, Setting, Word};
pub use rules::{LocalRule, local_rules};
pub use sessions::{Sessions, php};
pub use sockets::{Row, RowState, network_table, unix_table};
pub use systemd::{UnitFile, compose_unit, unit_file};
