//! A record with something in every place, for tests.

use std::time::{Duration, SystemTime};

use model::{
    Address, Amplification, Answer, Auth, Confidence, Contact, Dialogue, Endpoint, Enrichment,
    Evidence, Finding, Judgement, Protocol, Record, Severity, StatsTable, Text, Transport, Verdict,
};

/// Rows as a server says them.
pub(crate) fn table(rows: &[(&str, &str)]) -> StatsTable {
    let owned = rows
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn finding(code: &'static str, severity: Severity, confidence: Confidence, title: Text) -> Finding {
    Finding {
        code,
        severity,
        confidence,
        title,
        evidence: Vec::new(),
        fix: Text::same("listen on one address"),
    }
}

/// An endpoint on 192.168.2.9.
pub(crate) fn endpoint(last: u8, transport: Transport) -> Endpoint {
    let address = Address::from_ip([192, 168, 2, last].into());
    Endpoint::new(address, 11211, transport)
}

/// A server of version 1.4.15 that answers over UDP, known to its administrator.
pub(crate) fn exposed_udp() -> Record {
    let dialogue = Dialogue {
        protocol: Protocol::Ascii,
        version: Answer::Given("1.4.15".into()),
        auth: Auth::None,
        stats: Answer::Given(table(&[
            ("pid", "1234"),
            ("time", "1000100"),
            ("uptime", "100"),
            ("curr_items", "5"),
            ("limit_maxbytes", "67108864"),
        ])),
        settings: Answer::Given(table(&[
            ("udpport", "11211"),
            ("oldest", "3"),
            ("inter", "0.0.0.0"),
        ])),
        amplification: vec![Amplification {
            command: "stats".into(),
            request_bytes: 20,
            reply_bytes: 1_000,
            datagrams: 1,
            complete: true,
            ipv6: false,
        }],
        ..Dialogue::default()
    };
    Record {
        run: "20261127T000000-1".into(),
        timestamp: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_100),
        endpoint: endpoint(9, Transport::Udp),
        hostname: Some("cache1.example.org".into()),
        hardware: None,
        evidence: Evidence {
            contact: Contact::Answered,
            attempts: 1,
            rtt: None,
            dialogue: Some(Box::new(dialogue)),
        },
        judgement: Judgement {
            verdict: Verdict::Exposed,
            reason: Text::new("answers strangers", "誰にでも応答"),
            findings: vec![
                finding(
                    "MS002",
                    Severity::High,
                    Confidence::Confirmed,
                    Text::new("a reflector", "増幅に使える"),
                ),
                finding(
                    "MS001",
                    Severity::Medium,
                    Confidence::Likely,
                    Text::new("reachable", "到達可能"),
                ),
            ],
            only_from_here: false,
        },
        acceptances: Vec::new(),
        alarm: true,
        source: None,
        enrichment: Enrichment {
            asn: Some(64_500),
            country: Some("jp".into()),
            owner: Some("NOC One".into()),
            tags: vec!["production".into(), "backup".into(), "production".into()],
            ..Enrichment::default()
        },
    }
}
