//! The verdict table: from how far the probes came, and what was said, to one of nine words.

use model::{Address, Auth, Contact, Dialogue, Ending, Evidence, Transport, Verdict};

use crate::decoy;

/// Both transports of one address and port.
///
/// They are judged one at a time but seen together: what TCP says about `udpport` explains a
/// silent UDP port, and a UDP answer weighs more where TCP demands a password.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// The address that was asked.
    pub address: &'a Address,
    /// The port that was asked; 0 for a unix socket.
    pub port: u16,
    /// What was seen over TCP, or over a unix socket; `None` if that was not asked, or is not
    /// known yet.
    pub tcp: Option<&'a Evidence>,
    /// What was seen over UDP; `None` if that was not asked, or is not known yet.
    pub udp: Option<&'a Evidence>,
}

impl<'a> Host<'a> {
    /// The evidence of one transport.
    pub(crate) fn evidence(&self, transport: Transport) -> Option<&'a Evidence> {
        match transport {
            Transport::Tcp | Transport::Unix => self.tcp,
            Transport::Udp => self.udp,
        }
    }

    /// What was said over one transport, if it answered.
    pub(crate) fn dialogue(&self, transport: Transport) -> Option<&'a Dialogue> {
        let evidence = self.evidence(transport)?;
        match evidence.contact {
            Contact::Answered => evidence.dialogue.as_deref(),
            _ => None,
        }
    }

    /// The `udpport` of the settings that were read over TCP.
    pub(crate) fn udp_port_by_settings(&self) -> Option<u64> {
        self.dialogue(Transport::Tcp)?
            .settings
            .value()?
            .integer("udpport")
    }
}

/// The verdict of one endpoint. Allocates nothing.
///
/// Evidence that is missing reads as [`Verdict::Unfinished`].
pub fn verdict(host: &Host<'_>, transport: Transport) -> Verdict {
    let Some(evidence) = host.evidence(transport) else {
        return Verdict::Unfinished;
    };
    match evidence.contact {
        Contact::Refused(_) => Verdict::Closed,
        Contact::Prohibited(_) => Verdict::Filtered,
        Contact::Unreachable(_) => Verdict::Absent,
        Contact::Unfinished | Contact::Failed(_) => Verdict::Unfinished,
        Contact::Silent => of_silence(host, transport),
        // Accepted, but not one word was exchanged or kept: nothing was found out.
        Contact::Answered => evidence
            .dialogue
            .as_deref()
            .map_or(Verdict::Unfinished, of_dialogue),
    }
}

/// Whether the verdict of this UDP evidence may still change with the TCP evidence of the same
/// host: a silent port becomes `closed` when `udpport 0` is read over TCP.
pub fn settles_later(evidence: &Evidence) -> bool {
    matches!(evidence.contact, Contact::Silent)
}

fn of_silence(host: &Host<'_>, transport: Transport) -> Verdict {
    match transport {
        Transport::Tcp => Verdict::Filtered,
        Transport::Udp if host.udp_port_by_settings() == Some(0) => Verdict::Closed,
        Transport::Udp => Verdict::Silent,
        // No packet filter sits before a unix socket; its backlog is full, and time ran out.
        Transport::Unix => Verdict::Unfinished,
    }
}

fn of_dialogue(dialogue: &Dialogue) -> Verdict {
    if decoy::contradiction(dialogue).is_some() {
        return Verdict::Decoy;
    }
    if !dialogue.executed.is_empty() {
        return Verdict::Exposed;
    }
    match dialogue.auth {
        Auth::Sasl(_) | Auth::Ascii | Auth::TlsClientCertificate => return Verdict::Protected,
        Auth::Unknown | Auth::None => {}
    }
    match dialogue.ending {
        // Cut off before it looked like anything: neither memcached nor something else.
        Ending::Deadline | Ending::Stopped if dialogue.impression.is_none() => Verdict::Unfinished,
        Ending::Complete | Ending::Deadline | Ending::Stopped | Ending::Sampled => Verdict::Other,
    }
}

#[cfg(test)]
mod tests {
    use model::{Answer, IcmpError, Impression, KeyProbe, MetaNoop, Protocol, Question, Refusal};

    use super::*;
    use crate::samples::{self, Sample};

    const ICMP: IcmpError = IcmpError {
        from: None,
        kind: 3,
        code: 13,
    };

    fn contact(transport: Transport, contact: Contact) -> Verdict {
        Sample::contact(transport, contact).verdict()
    }

    #[test]
    fn every_contact_has_its_verdict() {
        use Transport::{Tcp, Udp, Unix};
        let cases = [
            (Tcp, Contact::Refused(Refusal::Reset), Verdict::Closed),
            (
                Tcp,
                Contact::Refused(Refusal::PortUnreachable(ICMP)),
                Verdict::Closed,
            ),
            (Tcp, Contact::Silent, Verdict::Filtered),
            (Tcp, Contact::Prohibited(Some(ICMP)), Verdict::Filtered),
            (Tcp, Contact::Prohibited(None), Verdict::Filtered),
            (Tcp, Contact::Unreachable(Some(ICMP)), Verdict::Absent),
            (Tcp, Contact::Unreachable(None), Verdict::Absent),
            (Tcp, Contact::Unfinished, Verdict::Unfinished),
            (
                Tcp,
                Contact::Failed("too many open files".into()),
                Verdict::Unfinished,
            ),
            (Tcp, Contact::Answered, Verdict::Unfinished),
            (
                Udp,
                Contact::Refused(Refusal::PortUnreachable(ICMP)),
                Verdict::Closed,
            ),
            (Udp, Contact::Prohibited(Some(ICMP)), Verdict::Filtered),
            (Udp, Contact::Prohibited(None), Verdict::Filtered),
            (Udp, Contact::Unreachable(Some(ICMP)), Verdict::Absent),
            (Udp, Contact::Silent, Verdict::Silent),
            (Udp, Contact::Unfinished, Verdict::Unfinished),
            (
                Udp,
                Contact::Failed("no buffer space".into()),
                Verdict::Unfinished,
            ),
            (Udp, Contact::Answered, Verdict::Unfinished),
            (Unix, Contact::Refused(Refusal::NoListener), Verdict::Closed),
            (Unix, Contact::Silent, Verdict::Unfinished),
        ];
        for (transport, seen, expected) in cases {
            assert_eq!(
                contact(transport, seen.clone()),
                expected,
                "{transport} {seen:?}"
            );
        }
    }

    #[test]
    fn what_was_not_asked_is_unfinished() {
        let address = samples::address("192.0.2.1");
        let host = Host {
            address: &address,
            port: 11211,
            tcp: None,
            udp: None,
        };
        for transport in [Transport::Tcp, Transport::Udp, Transport::Unix] {
            assert_eq!(verdict(&host, transport), Verdict::Unfinished);
        }
    }

    #[test]
    fn silent_udp_is_closed_only_by_its_own_settings() {
        let silent = || Sample::contact(Transport::Udp, Contact::Silent);
        let with_port = |port: &str| {
            let mut dialogue = samples::open();
            samples::set(&mut dialogue.settings, "udpport", port);
            silent().with_tcp(dialogue).verdict()
        };
        assert_eq!(with_port("0"), Verdict::Closed);
        assert_eq!(with_port("11211"), Verdict::Silent);
        assert_eq!(with_port("off"), Verdict::Silent);

        let mut unread = samples::open();
        unread.settings = Answer::Closed;
        assert_eq!(silent().with_tcp(unread).verdict(), Verdict::Silent);
    }

    #[test]
    fn only_silence_settles_later() {
        let cases = [
            (Contact::Silent, true),
            (Contact::Answered, false),
            (Contact::Refused(Refusal::PortUnreachable(ICMP)), false),
            (Contact::Unfinished, false),
        ];
        for (contact, expected) in cases {
            let evidence = Evidence::without_dialogue(contact, 4, None);
            assert_eq!(settles_later(&evidence), expected, "{evidence:?}");
        }
    }

    #[test]
    fn every_dialogue_has_its_verdict() {
        let nothing = Dialogue::default;
        let auth = |auth: Auth| Dialogue { auth, ..nothing() };
        let ended = |ending: Ending| Dialogue {
            ending,
            ..nothing()
        };
        let version_only = Dialogue {
            executed: vec![Question::Version],
            ..nothing()
        };
        let binary_version = Dialogue {
            protocol: Protocol::Binary,
            version: Answer::Given("1.6.45".into()),
            ..nothing()
        };
        let cases = [
            ("genuine", samples::open(), Verdict::Exposed),
            ("version only", version_only.clone(), Verdict::Exposed),
            (
                "sampled, answered",
                Dialogue {
                    ending: Ending::Sampled,
                    ..version_only.clone()
                },
                Verdict::Exposed,
            ),
            (
                "executed before the deadline",
                Dialogue {
                    ending: Ending::Deadline,
                    ..version_only.clone()
                },
                Verdict::Exposed,
            ),
            (
                "executed although it offers SASL",
                Dialogue {
                    auth: Auth::Sasl(vec![]),
                    ..version_only.clone()
                },
                Verdict::Exposed,
            ),
            ("through TLS", samples::open_through_tls(), Verdict::Exposed),
            (
                "SASL",
                auth(Auth::Sasl(vec!["PLAIN".into()])),
                Verdict::Protected,
            ),
            ("ASCII", auth(Auth::Ascii), Verdict::Protected),
            (
                "client certificate",
                auth(Auth::TlsClientCertificate),
                Verdict::Protected,
            ),
            (
                "SASL, then the deadline",
                Dialogue {
                    ending: Ending::Deadline,
                    ..auth(Auth::Sasl(vec![]))
                },
                Verdict::Protected,
            ),
            ("deadline", ended(Ending::Deadline), Verdict::Unfinished),
            ("stopped", ended(Ending::Stopped), Verdict::Unfinished),
            (
                "binary VERSION, then the deadline",
                Dialogue {
                    ending: Ending::Deadline,
                    ..binary_version.clone()
                },
                Verdict::Unfinished,
            ),
            (
                "deadline, but it looked like something",
                Dialogue {
                    impression: Some(Impression::Echo),
                    ..ended(Ending::Deadline)
                },
                Verdict::Other,
            ),
            (
                "binary VERSION and nothing else",
                binary_version,
                Verdict::Other,
            ),
            ("sampled", ended(Ending::Sampled), Verdict::Other),
            ("nothing", nothing(), Verdict::Other),
            (
                "mute",
                Dialogue {
                    impression: Some(Impression::Mute),
                    ..nothing()
                },
                Verdict::Other,
            ),
            (
                "random key hits",
                Dialogue {
                    random_key: Answer::Given(KeyProbe::Hit),
                    ..samples::open()
                },
                Verdict::Decoy,
            ),
            (
                "1.6 without mn",
                Dialogue {
                    meta_noop: Answer::Given(MetaNoop::NotKnown),
                    ..samples::open()
                },
                Verdict::Decoy,
            ),
            ("proxy", samples::proxy(), Verdict::Exposed),
        ];
        for (name, dialogue, expected) in cases {
            assert_eq!(Sample::tcp(dialogue).verdict(), expected, "{name}");
        }
    }

    #[test]
    fn udp_counts_only_with_our_request_id() {
        let strange_source = Dialogue {
            answered_from: Some("192.0.2.7:40000".parse().unwrap()),
            ..samples::open()
        };
        assert_eq!(Sample::udp(strange_source).verdict(), Verdict::Exposed);
        let foreign = Dialogue {
            impression: Some(Impression::ForeignDatagram("5678".into())),
            ..Dialogue::default()
        };
        assert_eq!(Sample::udp(foreign).verdict(), Verdict::Other);
    }
}
