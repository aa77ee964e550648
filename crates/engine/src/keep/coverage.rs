//! Which endpoints a run asked: what tells "not there any more" from "not asked".

use std::net::IpAddr;

use model::{Address, Endpoint, PlanBlock, RunRecord, Transport};

/// What a run asked, by its own record. A run that was not finished, or that was one shard of
/// several, does not tell which of its endpoints it came to, and covers nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Covered {
    /// Ascending by the first address, disjoint.
    blocks: Vec<PlanBlock>,
    tcp: bool,
    udp: bool,
}

impl Covered {
    /// What a run asked, if it came to its end.
    pub(crate) fn of(run: &RunRecord, complete: bool) -> Covered {
        // What a run skipped because another one had done it, as when it goes on with a file whose
        // run is not kept here, it does not know either.
        let knows = complete && run.shard == (1, 1) && run.counter == 0;
        let mut blocks = if knows {
            run.blocks.clone()
        } else {
            Vec::new()
        };
        // A file may have been written by other hands.
        blocks.sort_by_key(|block| block.first);
        Covered {
            blocks,
            tcp: run.tcp,
            udp: run.udp,
        }
    }

    /// Whether anything is known to have been asked.
    pub(crate) fn is_known(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Whether this endpoint was asked.
    pub(crate) fn holds(&self, endpoint: &Endpoint) -> bool {
        let asked = match endpoint.transport {
            Transport::Tcp => self.tcp,
            Transport::Udp => self.udp,
            Transport::Unix => false,
        };
        match endpoint.address {
            Address::Ip(ip) => asked && self.holds_pair(ip, endpoint.port),
            Address::Zoned(..) | Address::Unix(_) => false,
        }
    }

    fn holds_pair(&self, ip: IpAddr, port: u16) -> bool {
        let after = self.blocks.partition_point(|block| block.first <= ip);
        self.blocks[..after]
            .last()
            .is_some_and(|block| ip <= block.last && block.ports.contains(&port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_looked_up_in_blocks_ports_and_transports() {
        let block = |first: &str, last: &str, ports: &[u16]| PlanBlock {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            ports: ports.to_vec(),
        };
        let covered = Covered {
            blocks: vec![
                block("10.0.0.0", "10.0.0.9", &[11211]),
                block("10.0.1.0", "10.0.1.255", &[11211, 11212]),
                block("fd00::", "fd00::ff", &[11211]),
            ],
            tcp: true,
            udp: false,
        };
        for (address, port, transport, expected) in [
            ("10.0.0.0", 11211, Transport::Tcp, true),
            ("10.0.0.9", 11211, Transport::Tcp, true),
            ("10.0.0.10", 11211, Transport::Tcp, false),
            ("9.255.255.255", 11211, Transport::Tcp, false),
            ("10.0.0.1", 11212, Transport::Tcp, false),
            ("10.0.1.1", 11212, Transport::Tcp, true),
            ("10.0.1.1", 11212, Transport::Udp, false),
            ("fd00::1", 11211, Transport::Tcp, true),
            ("fd00::1:0", 11211, Transport::Tcp, false),
        ] {
            let address = Address::from_ip(address.parse().unwrap());
            let endpoint = Endpoint::new(address, port, transport);
            assert_eq!(covered.holds(&endpoint), expected, "{endpoint}");
        }
    }

    #[test]
    fn who_did_not_ask_everything_covers_nothing() {
        let run = |shard, counter| RunRecord {
            run: "a".into(),
            command: "scan".to_owned(),
            source: None,
            timestamp: std::time::SystemTime::UNIX_EPOCH,
            tool_version: String::new(),
            targets: Vec::new(),
            exclusions: Vec::new(),
            ports: vec![11211],
            tcp: true,
            udp: true,
            seed: 1,
            shard,
            rate_pps: 1,
            retries: 0,
            all: false,
            engine_wished: "auto".to_owned(),
            pairs: 1,
            fingerprint: 1,
            blocks: vec![PlanBlock {
                first: "10.0.0.1".parse().unwrap(),
                last: "10.0.0.1".parse().unwrap(),
                ports: vec![11211],
            }],
            counter,
            resumed_from: None,
            vantage: model::Vantage::default(),
        };
        for (shard, counter, complete, expected) in [
            ((1, 1), 0, true, true),
            ((1, 1), 0, false, false),
            ((1, 2), 0, true, false),
            // What came before was asked by a run that may not be kept here.
            ((1, 1), 1, true, false),
        ] {
            let covered = Covered::of(&run(shard, counter), complete);
            assert_eq!(
                covered.is_known(),
                expected,
                "{shard:?} {counter} {complete}"
            );
        }
    }
}
