//! This machine's place in the network: names, its own addresses, its private networks.

use std::net::{IpAddr, ToSocketAddrs, UdpSocket};

use model::{AddressKind, Vantage};
use nix::ifaddrs::getifaddrs;
use targets::AddressRange;

use crate::address::Peer;
use crate::plan::SocketError;

/// Networks of interfaces are scanned by `local` up to this many addresses each (a /16).
const LOCAL_ADDRESSES_MAX: u128 = 1 << 16;

/// What the kernel allows this process beyond an ordinary user's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// CAP_NET_RAW: raw frames.
    pub net_raw: bool,
    /// CAP_NET_ADMIN: programs on interfaces.
    pub net_admin: bool,
    /// CAP_BPF, or CAP_SYS_ADMIN that holds it: programs in the kernel.
    pub bpf: bool,
    /// CAP_PERFMON, or CAP_SYS_ADMIN that holds it: programs that work with pointers as `live` does.
    pub perfmon: bool,
}

/// What may keep the kernel from letting a process do what its capabilities promise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// A user namespace: outside of it, its capabilities count for nothing.
    pub user_namespace: bool,
    /// A filter of system calls (seccomp), as containers have.
    pub seccomp: bool,
    /// The mode of lockdown (kernel_lockdown(7)), if it is on.
    pub lockdown: Option<String>,
}

/// What this process is confined by, as far as the system says.
pub fn confinement() -> Confinement {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    confinement_of(
        &read("/proc/self/uid_map"),
        &read("/proc/self/status"),
        &read("/sys/kernel/security/lockdown"),
    )
}

/// Reads the map of users (user_namespaces(7): outside of any, it maps all to themselves), the row
/// `Seccomp` (proc(5): 2 is a filter), and the modes of lockdown, of which the one in brackets is on.
fn confinement_of(user_map: &str, status: &str, lockdown: &str) -> Confinement {
    let rows: Vec<&str> = user_map.split_ascii_whitespace().collect();
    let seccomp = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .is_some_and(|mode| mode.trim() == "2");
    let mode = lockdown
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(mode, _)| mode)
        .filter(|mode| *mode != "none");
    Confinement {
        user_namespace: !matches!(rows.as_slice(), [] | ["0", "0", "4294967295"]),
        seccomp,
        lockdown: mode.map(str::to_owned),
    }
}

/// The release of the kernel, such as `6.1.0-18-amd64`; `unknown` if it does not say.
pub fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .ok()
        .and_then(|name| name.release().to_str().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The effective capabilities of this process; none if the system does not say.
pub fn capabilities() -> Capabilities {
    capabilities_of(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// Reads the row `CapEff` (proc(5)); the numbers of the bits are those of linux/capability.h.
fn capabilities_of(status: &str) -> Capabilities {
    const NET_ADMIN: u64 = 1 << 12;
    const NET_RAW: u64 = 1 << 13;
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or(0);
    Capabilities {
        net_raw: effective & NET_RAW != 0,
        net_admin: effective & NET_ADMIN != 0,
        bpf: effective & (BPF | SYS_ADMIN) != 0,
        perfmon: effective & (PERFMON | SYS_ADMIN) != 0,
    }
}

/// Resolves a host name, once; the first address of the system's resolver counts.
///
/// # Errors
///
/// If the name has no address, with the resolver's reason.
pub fn resolve(name: &str) -> Result<IpAddr, SocketError> {
    let failed = |reason: String| SocketError::Resolve {
        name: name.to_owned(),
        reason,
    };
    let mut addresses = (name, 0)
        .to_socket_addrs()
        .map_err(|error| failed(error.to_string()))?;
    let first = addresses
        .next()
        .ok_or_else(|| failed("no address".to_owned()))?;
    Ok(model::canonical_ip(first.ip()))
}

/// The private IPv4 networks that this machine is on: RFC 1918, link-local ones left out, at most a
/// /16 each (of a larger one, the /16 around the own address).
pub fn local_networks() -> Vec<AddressRange> {
    let mut networks = Vec::new();
    let Ok(interfaces) = getifaddrs() else {
        return networks;
    };
    for interface in interfaces {
        let address = interface
            .address
            .as_ref()
            .and_then(|address| address.as_sockaddr_in());
        let mask = interface
            .netmask
            .as_ref()
            .and_then(|mask| mask.as_sockaddr_in());
        let (Some(address), Some(mask)) = (address, mask) else {
            continue;
        };
        let ip = address.ip();
        if AddressKind::of(IpAddr::V4(ip)) != AddressKind::Private {
            continue;
        }
        let widest = !(LOCAL_ADDRESSES_MAX as u32 - 1);
        let mask = u32::from(mask.ip()) | widest;
        let network = u32::from(ip) & mask;
        let range = AddressRange {
            first: IpAddr::V4(network.into()),
            last: IpAddr::V4((network | !mask).into()),
        };
        if !networks.contains(&range) {
            networks.push(range);
        }
    }
    networks
}

/// Whether this machine has an interface of that name.
pub fn has_interface(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

/// Where questions to this address are asked from: our own address and its interface. Nothing is
/// sent: connecting a UDP socket only looks up the route.
pub fn vantage(towards: Option<IpAddr>) -> Vantage {
    let source = towards.and_then(source_towards);
    let interface = source.and_then(interface_of);
    Vantage {
        source: source.map(|ip| ip.to_string()),
        interface,
        engine: "socket".to_owned(),
    }
}

fn source_towards(ip: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((ip, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn interface_of(ip: IpAddr) -> Option<String> {
    getifaddrs().ok()?.find_map(|interface| {
        let own = interface.address.as_ref().and_then(Peer::of_kernel)?;
        (own.ip == ip).then_some(interface.interface_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confinement_is_read_from_three_files() {
        let check = |files: [&str; 3], user_namespace, seccomp, lockdown: Option<&str>| {
            let [user_map, status, modes] = files;
            let expect = Confinement {
                user_namespace,
                seccomp,
                lockdown: lockdown.map(str::to_owned),
            };
            assert_eq!(confinement_of(user_map, status, modes), expect, "{files:?}");
        };
        const ALL: &str = "         0          0 4294967295\n";
        check(["", "", ""], false, false, None);
        check(
            [ALL, "Seccomp:\t0\n", "[none] integrity confidentiality\n"],
            false,
            false,
            None,
        );
        check(["0 1000 1\n", "", "nonsense"], true, false, None);
        check(
            [ALL, "x\nSeccomp:\t2\nSeccomp_filters:\t1\n", ""],
            false,
            true,
            None,
        );
        check(
            [ALL, "", "none [integrity] confidentiality\n"],
            false,
            false,
            Some("integrity"),
        );
    }

    #[test]
    fn capabilities_are_read_bit_by_bit() {
        let check = |status: &str, expect: [bool; 4]| {
            let Capabilities {
                net_raw,
                net_admin,
                bpf,
                perfmon,
            } = capabilities_of(status);
            assert_eq!([net_raw, net_admin, bpf, perfmon], expect, "{status}");
        };
        check("", [false; 4]);
        check("Name:\tx\nCapEff:\t0000000000000000\n", [false; 4]);
        check(
            "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000002000\n",
            [true, false, false, false],
        );
        check("CapEff:\t0000008000003000\n", [true, true, true, false]);
        check("CapEff:\t000000c000003000\n", [true, true, true, true]);
        check("CapEff:\t0000000000201000\n", [false, true, true, true]);
        check("CapEff:\tnonsense\n", [false; 4]);
    }
}
