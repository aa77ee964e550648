//! Whether the kernel lets this process have what an engine works with, found out by asking for it.
//!
//! Capabilities and the kernel's version promise; a container's seccomp filter, a user namespace or
//! lockdown may still refuse. So the sockets are opened and the program is loaded as in a scan, and
//! then all of it is dropped. Nothing is bound or attached to an interface, and the program has
//! nobody whom it may ask: no packet can leave.

use std::net::{IpAddr, Ipv4Addr};

use model::MacAddress;
use sweep::cookie::{CookieKey, SOURCE_PORTS, SourcePorts};
use sweep::reach::{Framing, Hop, Reach, Stretch, Way};
use targets::{AddressRange, Day, Order, Permit, Scope, SelectionBuilder, Shard};

use crate::engine::{EngineKind, Ground};
use crate::packet::socket::open_socket;
use crate::{FramesError, live, xdp};

/// Asks the kernel for what an engine works with, and gives it back. Nothing is sent.
///
/// # Errors
///
/// What was refused.
pub fn try_engine(kind: EngineKind) -> Result<(), FramesError> {
    // Every engine hears by a packet socket.
    open_socket()?;
    match kind {
        EngineKind::Packet => Ok(()),
        EngineKind::Xdp => xdp::try_socket(),
        EngineKind::Live => {
            let permit = nobody()?;
            live::try_program(&ground(&permit), &permit)
        }
    }
}

/// A permit for an address of this machine, which no hop leads to.
fn nobody() -> Result<Permit, FramesError> {
    let failed = |reason: String| FramesError::System {
        what: "trying the engine",
        reason,
    };
    let mut selection = SelectionBuilder::new(vec![1]);
    selection.add_address(model::Address::from_ip(LOOPBACK), None, None);
    let selection = selection
        .build()
        .map_err(|error| failed(error.to_string()))?;
    // Loopback is free to ask on any day.
    let day = Day::new(2000, 1, 1).map_err(|error| failed(error.to_string()))?;
    Scope::new(Vec::new(), day)
        .permit(selection)
        .map_err(|error| failed(error.to_string()))
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a run over that permit would work with. Its hop gives frames their form; nothing is reached
/// by it.
fn ground(permit: &Permit) -> Ground {
    let stretch = Stretch {
        range: AddressRange::single(LOOPBACK),
        way: Way::Sockets,
    };
    let hop = Hop {
        interface: 0,
        framing: Framing::Ethernet {
            source: MacAddress([0; 6]),
            destination: MacAddress([0; 6]),
        },
        source: LOOPBACK,
    };
    Ground {
        order: Order::new(permit.pairs(), 0, Shard::ALL, 0),
        stream: true,
        datagram: true,
        reach: Reach::new(vec![stretch], vec![hop]),
        key: CookieKey([0; 2]),
        ports: SourcePorts([0; SOURCE_PORTS]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Lab, become_nobody, inside};

    const KINDS: [EngineKind; 3] = [EngineKind::Live, EngineKind::Xdp, EngineKind::Packet];

    #[test]
    fn whoever_may_have_it_gets_it_and_nothing_leaves() {
        let lab = Lab::new();
        let counters = || lab.near.run("cat /proc/net/dev");
        let before = counters();
        for kind in KINDS {
            assert_eq!(inside(&lab.near, || try_engine(kind)), Ok(()), "{kind}");
        }
        assert_eq!(counters(), before);
        let links = lab.near.run("ip link show near0");
        assert!(!links.contains("xdp"), "nothing is attached: {links}");
    }

    #[test]
    fn whoever_may_not_is_told_what_was_refused() {
        for kind in KINDS {
            let tried = inside(&Lab::new().near, || {
                become_nobody();
                try_engine(kind)
            });
            let refused = matches!(tried, Err(FramesError::NotPermitted { .. }));
            assert!(refused, "{kind}: {tried:?}");
        }
    }
}
