//! The kernel's own list of who is on this link: whom it looked for by ARP, and who never answered.
//!
//! When nobody answers ARP, Linux gives up after three seconds (three questions, one a second) and
//! tells the waiting socket by an ICMP error that it makes itself. But of those it makes only some
//! 50 at once (icmp_msgs_burst, ip-sysctl), so in a network that is mostly empty most sockets hear
//! nothing, and an address where nobody is would be taken for one behind a filter. The table of
//! neighbours, /proc/net/arp (proc(5)), says it for all of them. It knows IPv4 only; for IPv6 the
//! error is all there is.
//!
//! The same table tells the network card of everybody on the link who answered.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use model::MacAddress;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// How long the kernel asks for a neighbour (mcast_solicit times retrans_time, arp(7)), and a
/// little more.
pub(crate) const UNANSWERED_AFTER: Duration = Duration::from_millis(3_200);
/// The table is not read more often than this.
const REREAD_INTERVAL: Duration = Duration::from_millis(100);
/// Out of turn it is read at most so often in a run: for cards of hosts that answered before the
/// next reading was due.
const READS_OUT_OF_TURN_MAX: u32 = 4_096;
const TABLE: &str = "/proc/net/arp";

/// What the table said so far.
#[derive(Debug, Default)]
pub(crate) struct NeighbourTable {
    /// Entries that failed leave the table early when it is full, so they are remembered here. At
    /// most as many as there are addresses on our own links.
    unanswered: HashSet<Ipv4Addr>,
    /// Network cards of those that answered; as bounded.
    cards: HashMap<Ipv4Addr, MacAddress>,
    /// Our own links, each as network and mask; looked up once.
    links: Option<Vec<(u32, u32)>>,
    read_out_of_turn: u32,
    read_at: Option<Duration>,
}

impl NeighbourTable {
    /// Whether the kernel asked for this address on our own link and has heard nothing, so far.
    pub(crate) fn is_unanswered(&mut self, ip: IpAddr, now: Duration) -> bool {
        let IpAddr::V4(ip) = ip else {
            return false;
        };
        if !self.is_fresh(now) {
            self.read(now);
        }
        self.unanswered.contains(&ip)
    }

    /// The network card of an address on our own link that has answered.
    pub(crate) fn hardware(&mut self, ip: IpAddr, now: Duration) -> Option<MacAddress> {
        let IpAddr::V4(ip) = ip else {
            return None;
        };
        if !self.is_on_link(ip) {
            return None;
        }
        if !self.cards.contains_key(&ip) {
            if !self.is_fresh(now) {
                self.read(now);
            } else if self.read_out_of_turn < READS_OUT_OF_TURN_MAX {
                self.read_out_of_turn += 1;
                self.read(now);
            }
        }
        self.cards.get(&ip).copied()
    }

    fn is_on_link(&mut self, ip: Ipv4Addr) -> bool {
        let ip = u32::from(ip);
        let links = self.links.get_or_insert_with(own_links);
        links.iter().any(|(network, mask)| ip & mask == *network)
    }

    fn is_fresh(&self, now: Duration) -> bool {
        self.read_at.is_some_and(|at| now < at + REREAD_INTERVAL)
    }

    fn read(&mut self, now: Duration) {
        self.read_at = Some(now);
        // Without the table, the kernel's errors are all there is.
        self.learn(&std::fs::read_to_string(TABLE).unwrap_or_default());
    }

    fn learn(&mut self, table: &str) {
        for row in table.lines().skip(1) {
            let mut fields = row.split_ascii_whitespace();
            let address = fields.next().and_then(|address| address.parse().ok());
            match (address, fields.nth(1)) {
                // Without the flag ATF_COM (0x2) an entry is not complete.
                (Some(address), Some("0x0")) => {
                    self.unanswered.insert(address);
                }
                (Some(address), Some(_)) => {
                    self.unanswered.remove(&address);
                    if let Some(card) = fields.next().and_then(card) {
                        self.cards.insert(address, card);
                    }
                }
                _ => {}
            }
        }
    }
}

/// A card as the table writes it; `None` for links that have none.
fn card(text: &str) -> Option<MacAddress> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    (parts.next().is_none() && bytes != [0; 6]).then_some(MacAddress(bytes))
}

/// The IPv4 networks of this machine's interfaces, but for those on which nobody asks by ARP.
fn own_links() -> Vec<(u32, u32)> {
    let Ok(interfaces) = getifaddrs() else {
        return Vec::new();
    };
    let silent = InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_NOARP;
    interfaces
        .filter(|interface| !interface.flags.intersects(silent))
        .filter_map(|interface| {
            let address = u32::from(interface.address?.as_sockaddr_in()?.ip());
            let mask = u32::from(interface.netmask?.as_sockaddr_in()?.ip());
            Some((address & mask, mask))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_no_link_with_neighbours() {
        let mut known = NeighbourTable::default();
        let local = IpAddr::V4(Ipv4Addr::new(127, 66, 0, 1));
        assert_eq!(known.hardware(local, Duration::ZERO), None);
        assert_eq!(known.read_at, None, "the table was read");
    }

    fn after(tables: &[&str]) -> Vec<Ipv4Addr> {
        let mut known = NeighbourTable::default();
        for table in tables {
            known.learn(&format!(
                "IP address HW type Flags HW address Mask Device\n{table}"
            ));
        }
        let mut unanswered: Vec<Ipv4Addr> = known.unanswered.into_iter().collect();
        unanswered.sort();
        unanswered
    }

    #[test]
    fn entries_that_are_not_complete_are_unanswered() {
        const FAILED: &str = "\
10.92.0.2        0x1         0x2         3a:ff:31:0b:cc:01     *        here0
10.92.0.3        0x1         0x0         00:00:00:00:00:00     *        here0
10.92.0.4        0x1         0x6         3a:ff:31:0b:cc:02     *        here0
10.92.0.500      0x1         0x0         00:00:00:00:00:00     *        here0
10.92.0.5
";
        const ANSWERED: &str = "10.92.0.3 0x1 0x2 3a:ff:31:0b:cc:03 * here0\n";
        let failed = [Ipv4Addr::new(10, 92, 0, 3)];
        assert!(after(&[]).is_empty());
        assert_eq!(after(&[FAILED]), failed);
        assert_eq!(
            after(&[FAILED, ""]),
            failed,
            "it left the table, and is not there"
        );
        assert!(after(&[FAILED, ANSWERED]).is_empty(), "late, but there");
    }

    #[test]
    fn cards_are_those_of_complete_entries() {
        let mut known = NeighbourTable::default();
        known.learn(
            "IP address HW type Flags HW address Mask Device
10.92.0.2        0x1         0x2         3a:ff:31:0b:cc:01     *        here0
10.92.0.3        0x1         0x0         00:00:00:00:00:00     *        here0
10.92.0.4        0x1         0x2         00:00:00:00:00:00     *        ppp0
10.92.0.5        0x1         0x2         3a:ff:31:0b:cc        *        here0
10.92.0.6        0x1         0x2         3a:ff:31:0b:cc:01:02  *        here0
10.92.0.7        0x1         0x2
",
        );
        let expected = [(
            Ipv4Addr::new(10, 92, 0, 2),
            MacAddress([0x3a, 0xff, 0x31, 0x0b, 0xcc, 0x01]),
        )];
        assert_eq!(known.cards, HashMap::from(expected));
    }

    #[test]
    fn nobody_is_looked_for_on_loopback() {
        let mut table = NeighbourTable::default();
        for ip in ["127.0.0.1", "::1"] {
            assert!(!table.is_unanswered(ip.parse().unwrap(), Duration::ZERO));
        }
    }
}
