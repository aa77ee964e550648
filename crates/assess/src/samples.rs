//! Evidence for tests: real servers' dialogues in small.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{
    Address, Amplification, Answer, Auth, Certificate, Connections, Contact, Dialogue, Evidence,
    Judgement, KeyProbe, KeySample, KeyTally, MetaNoop, Protocol, Question, StatsTable, TlsFacts,
    Transport, Verdict,
};

use crate::{Host, judge, judge_at, verdict};

/// One endpoint to judge, with what was seen beside it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) address: Address,
    pub(crate) port: u16,
    pub(crate) transport: Transport,
    pub(crate) tcp: Option<Evidence>,
    pub(crate) udp: Option<Evidence>,
    pub(crate) now: Option<SystemTime>,
}

impl Sample {
    pub(crate) fn contact(transport: Transport, contact: Contact) -> Sample {
        Sample::of(transport, Evidence::without_dialogue(contact, 4, None))
    }

    pub(crate) fn tcp(dialogue: Dialogue) -> Sample {
        Sample::of(Transport::Tcp, answered(dialogue))
    }

    pub(crate) fn udp(dialogue: Dialogue) -> Sample {
        Sample::of(Transport::Udp, answered(dialogue))
    }

    pub(crate) fn unix(dialogue: Dialogue) -> Sample {
        let path = std::path::PathBuf::from("/run/memcached.sock");
        Sample {
            address: Address::Unix(path.into()),
            port: 0,
            ..Sample::of(Transport::Unix, answered(dialogue))
        }
    }

    fn of(transport: Transport, evidence: Evidence) -> Sample {
        let (tcp, udp) = match transport {
            Transport::Tcp | Transport::Unix => (Some(evidence), None),
            Transport::Udp => (None, Some(evidence)),
        };
        Sample {
            address: address("10.0.0.5"),
            port: 11211,
            transport,
            tcp,
            udp,
            now: None,
        }
    }

    /// The same, asked at this moment, in seconds since the Unix epoch.
    pub(crate) fn asked_at(self, now_unix_s: i64) -> Sample {
        let since_epoch = Duration::from_secs(now_unix_s.try_into().unwrap());
        Sample {
            now: Some(UNIX_EPOCH + since_epoch),
            ..self
        }
    }

    /// The same with this dialogue over TCP.
    pub(crate) fn with_tcp(self, dialogue: Dialogue) -> Sample {
        Sample {
            tcp: Some(answered(dialogue)),
            ..self
        }
    }

    /// The same on another address.
    pub(crate) fn at(self, ip: &str) -> Sample {
        Sample {
            address: address(ip),
            ..self
        }
    }

    pub(crate) fn host(&self) -> Host<'_> {
        Host {
            address: &self.address,
            port: self.port,
            tcp: self.tcp.as_ref(),
            udp: self.udp.as_ref(),
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        verdict(&self.host(), self.transport)
    }

    pub(crate) fn judge(&self) -> Judgement {
        match self.now {
            Some(now) => judge_at(&self.host(), self.transport, now),
            None => judge(&self.host(), self.transport),
        }
    }
}

pub(crate) fn address(ip: &str) -> Address {
    Address::from_ip(ip.parse().unwrap())
}

fn answered(dialogue: Dialogue) -> Evidence {
    Evidence {
        dialogue: Some(Box::new(dialogue)),
        ..Evidence::without_dialogue(Contact::Answered, 1, None)
    }
}

fn table(rows: &[(&str, &str)]) -> StatsTable {
    rows.iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

/// The rows of `stats` that identify a process.
pub(crate) fn stats(pid: &str, time: &str, uptime: &str) -> StatsTable {
    table(&[
        ("pid", pid),
        ("time", time),
        ("uptime", uptime),
        ("version", "1.6.18"),
    ])
}

/// Gives a row of an answer a new value, or adds it.
pub(crate) fn set(answer: &mut Answer<StatsTable>, name: &str, value: &str) {
    let rows = answer.value().cloned().unwrap_or_default();
    let others = rows.iter().filter(|(row, _)| *row != name);
    let mut changed: StatsTable = others
        .map(|(row, value)| (row.to_owned(), value.to_owned()))
        .collect();
    changed.push(name, value);
    *answer = Answer::Given(changed);
}

/// A dialogue with one setting changed.
pub(crate) fn with_setting(mut dialogue: Dialogue, name: &str, value: &str) -> Dialogue {
    set(&mut dialogue.settings, name, value);
    dialogue
}

/// Upstream 1.6.18 on an internal address, open, with every finding but openness switched off.
pub(crate) fn open() -> Dialogue {
    let mut first = stats("100", "1000", "10");
    first.push("curr_items", "8123");
    first.push("bytes", "1234567");
    Dialogue {
        protocol: Protocol::Ascii,
        executed: vec![Question::Version, Question::Stats],
        version: Answer::Given("1.6.18".into()),
        auth: Auth::None,
        second_stats: Answer::Given(stats("100", "1000", "10")),
        stats: Answer::Given(first),
        settings: Answer::Given(table(&[
            ("tcpport", "11211"),
            ("udpport", "0"),
            ("inter", "10.0.0.5"),
            ("domain_socket", "NULL"),
            ("flush_enabled", "no"),
            ("dump_enabled", "no"),
            ("shutdown_command", "no"),
        ])),
        random_key: Answer::Given(KeyProbe::Miss),
        meta_noop: Answer::Given(MetaNoop::Mn),
        ..Dialogue::default()
    }
}

/// The same, with a cache that holds nothing.
pub(crate) fn open_and_empty() -> Dialogue {
    let mut dialogue = open();
    set(&mut dialogue.stats, "curr_items", "0");
    dialogue
}

/// What a sample of these names comes to.
pub(crate) fn key_sample(names: &[&str]) -> KeySample {
    let mut tally = KeyTally::default();
    for name in names {
        tally.add(name.as_bytes());
    }
    tally.finish(50)
}

/// Upstream 1.4.15 over UDP.
pub(crate) fn reflector() -> Dialogue {
    Dialogue {
        version: Answer::Given("1.4.15".into()),
        meta_noop: Answer::NotAsked,
        settings: Answer::NotAsked,
        amplification: vec![
            amplification("version", 17, 24),
            amplification("stats", 15, 1_031),
        ],
        ..open()
    }
}

pub(crate) fn amplification(command: &str, request: u64, reply: u64) -> Amplification {
    Amplification {
        command: command.into(),
        request_bytes: request,
        reply_bytes: reply,
        datagrams: reply.div_ceil(1_400),
        complete: true,
        ipv6: false,
    }
}

pub(crate) fn open_through_tls() -> Dialogue {
    let facts = TlsFacts {
        version: "TLSv1.3".into(),
        cipher_suite: "TLS13_AES_256_GCM_SHA384".into(),
        certificate: Some(Certificate::default()),
        client_certificate_requested: false,
    };
    Dialogue {
        tls: Some(facts),
        ..open()
    }
}

/// nutcracker 0.5.0 before memcached 1.6.18.
pub(crate) fn proxy() -> Dialogue {
    Dialogue {
        executed: vec![Question::Version, Question::RandomKey],
        stats: Answer::Closed,
        second_stats: Answer::NotAsked,
        settings: Answer::Closed,
        meta_noop: Answer::Closed,
        ..open()
    }
}

/// Two servers behind one address.
pub(crate) fn load_balanced() -> Dialogue {
    Dialogue {
        stats: Answer::Given(stats("100", "1000", "10")),
        second_stats: Answer::Given(stats("2222", "1000", "500")),
        repeated_stats: Answer::Given(stats("100", "1000", "10")),
        ..open()
    }
}

/// A honeypot that rolls its numbers for each reply.
pub(crate) fn honeypot() -> Dialogue {
    Dialogue {
        repeated_stats: Answer::Closed,
        ..load_balanced()
    }
}

/// 1.6.45 with `-S`, over TCP.
pub(crate) fn sasl() -> Dialogue {
    Dialogue {
        protocol: Protocol::Binary,
        version: Answer::Given("1.6.45".into()),
        auth: Auth::Sasl(vec!["PLAIN".into(), "CRAM-MD5".into()]),
        ..Dialogue::default()
    }
}

pub(crate) fn connections() -> Connections {
    Connections {
        listening: 4,
        tcp_clients: 13,
        unix_clients: 0,
        loopback_peers: 0,
        private_peers: 3,
        public_peers: 1,
    }
}
