//! `stats conns` as numbers: who is connected is personal data, how many is evidence.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use model::{AddressKind, Connections};

/// Peers are counted apart up to this many, so that a hostile list cannot fill the memory.
const DISTINCT_PEERS_MAX: usize = 65_536;

/// Counts the rows `FD:addr …` and `FD:state …` of `stats conns` as they come (memcached 1.4.18 and
/// newer, `proto_text.c` and doc/protocol.txt "Connection statistics").
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounter {
    peers: HashSet<IpAddr>,
    /// Address row of the descriptor whose state row has not come yet.
    pending: Option<(String, PeerAddress)>,
    counts: Connections,
}

#[derive(Debug)]
enum PeerAddress {
    Tcp(Option<IpAddr>),
    Udp,
    Unix,
}

impl ConnectionCounter {
    pub(crate) fn add_row(&mut self, name: &str, value: &str) {
        let Some((descriptor, field)) = name.split_once(':') else {
            return;
        };
        match field {
            "addr" => {
                self.settle(false);
                self.pending = Some((descriptor.to_owned(), peer_address(value)));
            }
            "state" => {
                let same = self
                    .pending
                    .as_ref()
                    .is_some_and(|(pending, _)| pending == descriptor);
                if same {
                    self.settle(value == "conn_listening");
                }
            }
            _ => {}
        }
    }

    pub(crate) fn finish(mut self) -> Connections {
        self.settle(false);
        for peer in &self.peers {
            match AddressKind::of(*peer) {
                AddressKind::Loopback => self.counts.loopback_peers += 1,
                AddressKind::Private | AddressKind::LinkLocal => self.counts.private_peers += 1,
                AddressKind::Other | AddressKind::NotAHost => self.counts.public_peers += 1,
            }
        }
        self.counts
    }

    fn settle(&mut self, listening: bool) {
        let Some((_, address)) = self.pending.take() else {
            return;
        };
        match address {
            _ if listening => self.counts.listening += 1,
            // memcached shows its UDP sockets as connections in state conn_read.
            PeerAddress::Udp => self.counts.listening += 1,
            PeerAddress::Unix => self.counts.unix_clients += 1,
            PeerAddress::Tcp(ip) => {
                self.counts.tcp_clients += 1;
                if let Some(ip) = ip
                    && self.peers.len() < DISTINCT_PEERS_MAX
                {
                    self.peers.insert(ip);
                }
            }
        }
    }
}

fn peer_address(value: &str) -> PeerAddress {
    if value.starts_with("unix:") {
        return PeerAddress::Unix;
    }
    if value.starts_with("udp:") || value.starts_with("udp6:") {
        return PeerAddress::Udp;
    }
    let address = value
        .strip_prefix("tcp:")
        .or_else(|| value.strip_prefix("tcp6:"))
        .and_then(|rest| rest.parse::<SocketAddr>().ok());
    PeerAddress::Tcp(address.map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_and_listeners_are_not() {
        let mut counter = ConnectionCounter::default();
        for (name, value) in [
            ("26:addr", "tcp:127.0.0.1:11211"),
            ("26:state", "conn_listening"),
            ("27:UDP", "UDP"),
            ("27:addr", "udp:127.0.0.1:11211"),
            ("27:state", "conn_read"),
            ("31:addr", "tcp:127.0.0.1:50000"),
            ("31:listen_addr", "tcp:127.0.0.1:11211"),
            ("31:state", "conn_parse_cmd"),
            ("32:addr", "tcp6:[fd00::7]:50001"),
            ("32:state", "conn_waiting"),
            ("33:addr", "tcp:10.0.0.9:40000"),
            ("33:state", "conn_waiting"),
            ("34:addr", "tcp:10.0.0.9:40001"),
            ("34:state", "conn_waiting"),
            ("35:addr", "unix:/tmp/m.sock"),
            ("35:state", "conn_waiting"),
            ("nonsense", "row"),
        ] {
            counter.add_row(name, value);
        }
        let expected = Connections {
            listening: 2,
            tcp_clients: 4,
            unix_clients: 1,
            loopback_peers: 1,
            private_peers: 2,
            public_peers: 0,
        };
        assert_eq!(counter.finish(), expected);
    }
}
