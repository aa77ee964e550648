//! Hosts of this machine's own links, where a network is too large to ask every address: the link is
//! asked who is there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use frames::FramesError;
use model::Address;
use sockets::{LINK_HOSTS_MAX, SocketError};
use targets::LinkPermit;
use thiserror::Error;

pub use frames::{OnLink, on_link};

/// Why a link cannot be asked.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The kernel does not tell its neighbours.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// No echo could be sent.
    #[error(transparent)]
    Sockets(#[from] SocketError),
}

/// Who is on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbours {
    /// Addresses of the permit, ascending: link-local ones name their interface.
    pub addresses: Vec<Address>,
    /// Whether there may be more of them than [`LINK_HOSTS_MAX`].
    pub truncated: bool,
}

/// The hosts of a link that answer an echo to all nodes, and those that the kernel has met before,
/// as far as the permit covers their addresses. Sends two packets; no probe leaves.
///
/// # Errors
///
/// If the link cannot be asked: one line with the mend.
pub fn neighbours(
    permit: &LinkPermit,
    source: Option<Ipv6Addr>,
    nonce: [u8; 16],
) -> Result<Neighbours, LinkError> {
    let heard = sockets::hosts_of_link(permit, source, nonce)?;
    let known = frames::known_hosts(permit.interface(), permit.range())?;
    let mut all: BTreeSet<Ipv6Addr> = heard.addresses;
    all.extend(known);
    Ok(Neighbours {
        truncated: heard.truncated || all.len() > LINK_HOSTS_MAX,
        addresses: all
            .into_iter()
            .take(LINK_HOSTS_MAX)
            .map(|ip| address_on(permit.interface(), ip))
            .collect(),
    })
}

/// A host of a link, as it is named elsewhere.
fn address_on(interface: &Arc<str>, ip: Ipv6Addr) -> Address {
    if ip.is_unicast_link_local() {
        Address::Zoned(ip, Arc::clone(interface))
    } else {
        Address::from_ip(IpAddr::V6(ip))
    }
}
