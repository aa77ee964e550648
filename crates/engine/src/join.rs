//! TCP and UDP of one address explain each other, so they are judged side by side.
//!
//! `stats settings` over TCP settles a UDP port that stays silent (`udpport 0`), and UDP tells what
//! the authentication of TCP hides. Both transports of a pair are asked at about the same time, so
//! the pairs that wait here for their other half are no more than the probes and interviews in
//! flight: bounded, whatever the size of the network.

use std::collections::HashMap;

use assess::Host;
use model::{Address, Evidence, Transport};
use sockets::Observation;

/// Evidence that may be judged now, with what is known of the other transport.
pub(crate) struct Joined {
    pub(crate) observation: Observation,
    pub(crate) other: Option<Evidence>,
}

impl Joined {
    /// Both transports, as the judge wants them.
    pub(crate) fn host(&self) -> Host<'_> {
        let own = Some(&self.observation.evidence);
        let other = self.other.as_ref();
        let (tcp, udp) = match self.observation.transport {
            Transport::Udp => (other, own),
            Transport::Tcp | Transport::Unix => (own, other),
        };
        let target = &self.observation.target;
        Host {
            address: target.address(),
            port: target.port(),
            tcp,
            udp,
        }
    }
}

#[derive(Default)]
struct Half {
    tcp: Option<Evidence>,
    /// UDP waits for TCP, which may settle it.
    udp_waiting: Option<Observation>,
    udp: Option<Evidence>,
}

/// The pairs of which one half is known.
#[derive(Default)]
pub(crate) struct Join {
    both_asked: bool,
    halves: HashMap<(Address, u16), Half>,
}

impl Join {
    pub(crate) fn new(both_asked: bool) -> Join {
        Join {
            both_asked,
            halves: HashMap::new(),
        }
    }

    /// Takes an observation and returns what can be judged now.
    pub(crate) fn add(&mut self, observation: Observation) -> Vec<Joined> {
        if !self.both_asked || observation.late || observation.transport == Transport::Unix {
            return vec![Joined {
                observation,
                other: None,
            }];
        }
        let key = (
            observation.target.address().clone(),
            observation.target.port(),
        );
        match observation.transport {
            Transport::Udp => self.add_udp(key, observation),
            Transport::Tcp | Transport::Unix => self.add_tcp(key, observation),
        }
    }

    /// What still waits when no more will come.
    pub(crate) fn drain(&mut self) -> Vec<Joined> {
        let halves = std::mem::take(&mut self.halves);
        let mut waiting: Vec<Joined> = halves
            .into_values()
            .filter_map(|half| {
                let observation = half.udp_waiting?;
                Some(Joined {
                    observation,
                    other: half.tcp,
                })
            })
            .collect();
        waiting.sort_by(|one, other| {
            one.observation
                .target
                .address()
                .cmp(other.observation.target.address())
        });
        waiting
    }

    fn add_tcp(&mut self, key: (Address, u16), observation: Observation) -> Vec<Joined> {
        let Some(half) = self.halves.remove(&key) else {
            let half = Half {
                tcp: Some(observation.evidence.clone()),
                ..Half::default()
            };
            self.halves.insert(key, half);
            return vec![Joined {
                observation,
                other: None,
            }];
        };
        match half.udp_waiting {
            Some(udp) => {
                let tcp = observation.evidence.clone();
                let other = Some(udp.evidence.clone());
                vec![
                    Joined { observation, other },
                    Joined {
                        observation: udp,
                        other: Some(tcp),
                    },
                ]
            }
            None => vec![Joined {
                observation,
                other: half.udp,
            }],
        }
    }

    fn add_udp(&mut self, key: (Address, u16), observation: Observation) -> Vec<Joined> {
        if let Some(half) = self.halves.remove(&key) {
            return vec![Joined {
                observation,
                other: half.tcp,
            }];
        }
        let explains =
            assess::settles_later(&observation.evidence) || observation.evidence.dialogue.is_some();
        if explains {
            let half = Half {
                udp_waiting: Some(observation),
                ..Half::default()
            };
            self.halves.insert(key, half);
            return Vec::new();
        }
        let half = Half {
            udp: Some(observation.evidence.clone()),
            ..Half::default()
        };
        self.halves.insert(key, half);
        vec![Joined {
            observation,
            other: None,
        }]
    }
}
