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
        if !self.both_asked || observation.transport == Transport::Unix {
            return vec![Joined {
                observation,
                other: None,
            }];
        }
        let key = (
            observation.target.address().clone(),
            observation.target.port(),
        );
        if observation.late {
            return self.add_late(&key, observation);
        }
        match observation.transport {
            Transport::Udp => self.add_udp(key, observation),
            Transport::Tcp | Transport::Unix => self.add_tcp(key, observation),
        }
    }

    /// An answer after silence. If the silence still waits for TCP, it was never judged: the answer
    /// takes its place.
    fn add_late(&mut self, key: &(Address, u16), mut observation: Observation) -> Vec<Joined> {
        let waiting = match observation.transport {
            Transport::Udp => self.halves.get_mut(key),
            // Silence over TCP waits for nobody.
            Transport::Tcp | Transport::Unix => None,
        };
        let waiting = waiting.and_then(|half| half.udp_waiting.as_mut());
        match waiting {
            Some(waiting) => {
                observation.late = false;
                *waiting = observation;
                Vec::new()
            }
            None => vec![Joined {
                observation,
                other: None,
            }],
        }
    }

    /// Whether the UDP side of this pair waits for its TCP side.
    pub(crate) fn is_waiting(&self, address: &Address, port: u16) -> bool {
        self.halves
            .get(&(address.clone(), port))
            .is_some_and(|half| half.udp_waiting.is_some())
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
        waiting.sort_by_cached_key(|joined| {
            let target = &joined.observation.target;
            (target.address().clone(), target.port())
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

#[cfg(test)]
mod tests {
    use model::{
        Answer, Auth, Contact, Dialogue, Judgement, Protocol, Question, Refusal, StatsTable,
        Verdict,
    };
    use targets::{AddressRange, Day, Permit, Scope, SelectionBuilder};

    use super::*;

    fn permit() -> Permit {
        let mut builder = SelectionBuilder::new(vec![11211, 11212]);
        let range = AddressRange::of_prefix([10, 0, 0, 0].into(), 24).unwrap();
        builder.add_ranges(&[range], None);
        let scope = Scope::new(vec![], Day::new(2026, 6, 1).unwrap());
        scope.permit(builder.build().unwrap()).unwrap()
    }

    fn observed(index: u64, transport: Transport, evidence: Evidence) -> Observation {
        Observation {
            target: permit().pair(index),
            transport,
            evidence,
            late: false,
            hardware: None,
        }
    }

    fn nothing(contact: Contact) -> Evidence {
        Evidence::without_dialogue(contact, 4, None)
    }

    fn said(dialogue: Dialogue) -> Evidence {
        Evidence {
            dialogue: Some(Box::new(dialogue)),
            ..nothing(Contact::Answered)
        }
    }

    /// An open server over TCP whose settings have this `udpport`.
    fn open_tcp(udp_port: &str) -> Evidence {
        let mut settings = StatsTable::new();
        settings.push("udpport", udp_port);
        said(Dialogue {
            protocol: Protocol::Ascii,
            auth: Auth::None,
            executed: vec![Question::Version, Question::StatsSettings],
            version: Answer::Given("1.6.18".into()),
            settings: Answer::Given(settings),
            ..Dialogue::default()
        })
    }

    fn sasl_tcp() -> Evidence {
        said(Dialogue {
            protocol: Protocol::Binary,
            auth: Auth::Sasl(vec!["PLAIN".into()]),
            version: Answer::Given("1.4.15".into()),
            ..Dialogue::default()
        })
    }

    fn open_udp() -> Evidence {
        said(Dialogue {
            protocol: Protocol::Ascii,
            auth: Auth::None,
            executed: vec![Question::Version],
            version: Answer::Given("1.4.15".into()),
            ..Dialogue::default()
        })
    }

    fn judged(joined: &Joined) -> (Transport, Judgement) {
        let transport = joined.observation.transport;
        (transport, assess::judge(&joined.host(), transport))
    }

    /// Adds observations in turn; returns what was judged, in order, at the end all that waited.
    fn play(observations: Vec<Observation>) -> Vec<(Transport, Judgement)> {
        let mut join = Join::new(true);
        let mut all = Vec::new();
        for observation in observations {
            all.extend(join.add(observation).iter().map(judged));
        }
        all.extend(join.drain().iter().map(judged));
        all
    }

    /// The verdicts over TCP and UDP, with UDP's findings, whatever came first.
    fn check(tcp: &Evidence, udp: &Evidence, expect: [Verdict; 2], finding: Option<&str>) {
        for udp_first in [false, true] {
            let mut both = vec![
                observed(0, Transport::Tcp, tcp.clone()),
                observed(0, Transport::Udp, udp.clone()),
            ];
            if udp_first {
                both.reverse();
            }
            let judged = play(both);
            assert_eq!(judged.len(), 2, "udp first: {udp_first}");
            for (transport, judgement) in judged {
                let is_udp = transport == Transport::Udp;
                let expected = expect[usize::from(is_udp)];
                assert_eq!(
                    judgement.verdict, expected,
                    "{transport}, udp first: {udp_first}"
                );
                if let Some(code) = finding.filter(|_| is_udp) {
                    let codes: Vec<&str> = judgement.findings.iter().map(|one| one.code).collect();
                    assert!(codes.contains(&code), "{codes:?}, udp first: {udp_first}");
                }
            }
        }
    }

    #[test]
    fn both_halves_explain_each_other_whichever_comes_first() {
        use Verdict::{Closed, Exposed, Filtered, Protected, Silent};
        let silent = nothing(Contact::Silent);
        let refused = nothing(Contact::Refused(Refusal::Reset));
        check(&open_tcp("0"), &silent, [Exposed, Closed], None);
        check(&open_tcp("11211"), &silent, [Exposed, Silent], None);
        check(&refused, &silent, [Closed, Silent], None);
        check(&silent, &silent, [Filtered, Silent], None);
        check(
            &sasl_tcp(),
            &open_udp(),
            [Protected, Exposed],
            Some("MS009"),
        );
        check(&refused, &open_udp(), [Closed, Exposed], None);
    }

    #[test]
    fn udp_that_is_switched_off_says_so() {
        let tcp = observed(0, Transport::Tcp, open_tcp("0"));
        let udp = observed(0, Transport::Udp, nothing(Contact::Silent));
        let judged = play(vec![udp, tcp]);
        let (_, judgement) = judged
            .iter()
            .find(|(transport, _)| *transport == Transport::Udp)
            .unwrap();
        assert_eq!(judgement.verdict, Verdict::Closed);
        assert!(
            judgement.reason.en.contains("udpport 0"),
            "{:?}",
            judgement.reason
        );
    }

    #[test]
    fn udp_waits_for_tcp_only_where_tcp_explains_it() {
        let mut join = Join::new(true);
        let refused = nothing(Contact::Refused(Refusal::Reset));
        let first = |join: &mut Join, index, evidence| {
            join.add(observed(index, Transport::Udp, evidence)).len()
        };
        assert_eq!(first(&mut join, 0, refused), 1);
        assert_eq!(first(&mut join, 1, nothing(Contact::Silent)), 0);
        assert_eq!(first(&mut join, 2, open_udp()), 0);
        // Another port of the same address is another pair.
        let other = observed(3, Transport::Tcp, open_tcp("0"));
        assert_eq!(join.add(other).len(), 1);
        let waited: Vec<_> = join
            .drain()
            .iter()
            .map(|one| one.observation.target.clone())
            .collect();
        assert_eq!(waited, [permit().pair(1), permit().pair(2)]);
        assert!(join.drain().is_empty());

        let mut alone = Join::new(false);
        let silent = observed(0, Transport::Udp, nothing(Contact::Silent));
        assert_eq!(alone.add(silent).len(), 1, "TCP is not asked");
    }

    #[test]
    fn a_late_answer_takes_the_place_of_silence_that_waits() {
        let late = Observation {
            late: true,
            ..observed(0, Transport::Udp, open_udp())
        };
        let silence = observed(0, Transport::Udp, nothing(Contact::Silent));
        let tcp = observed(0, Transport::Tcp, sasl_tcp());

        let judged = play(vec![silence.clone(), late.clone(), tcp.clone()]);
        let verdicts: Vec<_> = judged
            .iter()
            .map(|(transport, one)| (*transport, one.verdict))
            .collect();
        let expected = [
            (Transport::Tcp, Verdict::Protected),
            (Transport::Udp, Verdict::Exposed),
        ];
        assert_eq!(verdicts, expected, "once each, and together");
        assert!(judged[1].1.findings.iter().any(|one| one.code == "MS009"));

        let mut join = Join::new(true);
        join.add(tcp);
        assert_eq!(join.add(silence).len(), 1);
        let replaced = join.add(late);
        assert!(replaced[0].observation.late, "it was judged before");
    }
}
