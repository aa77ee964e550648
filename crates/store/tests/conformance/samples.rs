//! What the tests of the store share: made-up runs and observations.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use inventory::{FindingKey, OWN_SOURCE, Observation, RunKind, StoredRun};
use model::{Address, Confidence, Endpoint, Severity, Transport, Verdict, VerdictCounts};

/// A time in the days when these runs were made up.
pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_764_000_000 + seconds)
}

/// An endpoint 10.a.b.c:11211.
pub(crate) fn endpoint(number: u32, transport: Transport) -> Endpoint {
    let ip = Ipv4Addr::from(0x0a00_0000 + number);
    Endpoint::new(Address::from_ip(IpAddr::V4(ip)), 11211, transport)
}

/// A run of this program's own.
pub(crate) fn run(id: &str, started: SystemTime) -> StoredRun {
    let mut verdicts = VerdictCounts::default();
    verdicts.add_many(Verdict::Exposed, 3);
    verdicts.add_many(Verdict::Absent, 250);
    StoredRun {
        run: id.into(),
        kind: RunKind::Scan,
        source: OWN_SOURCE.into(),
        started,
        ended: Some(started + Duration::from_secs(5)),
        targets: vec!["10.0.0.0/8".to_owned(), "a\nb".to_owned()],
        fingerprint: "00ff".to_owned(),
        resumed_from: None,
        complete: true,
        verdicts,
        alarms: 2,
        observations: 3,
        grade: Some("F".to_owned()),
        vantage: Some("10.0.0.1 eth0 socket".to_owned()),
        log: Some(format!("{id}.ndjson.zst")),
    }
}

/// An exposed server that was seen by a run.
pub(crate) fn observation(run: &StoredRun, endpoint: Endpoint, seen: SystemTime) -> Observation {
    let finding = |code: &str, severity| FindingKey {
        code: code.to_owned(),
        severity,
        confidence: Confidence::Confirmed,
    };
    Observation {
        run: Arc::clone(&run.run),
        source: Arc::clone(&run.source),
        seen,
        text: format!("{endpoint}\nexposed\n"),
        endpoint,
        verdict: Some(Verdict::Exposed),
        alarm: true,
        hostname: Some("Cache1.example.org".to_owned()),
        version: Some("1.5.6".to_owned()),
        protocol: Some("ascii".to_owned()),
        auth: Some("none".to_owned()),
        findings: vec![
            finding("MS001", Severity::High),
            finding("MS003", Severity::Low),
        ],
        payload_ratio: None,
        asn: Some(64500),
        country: Some("JP".to_owned()),
        owner: Some("NOC One".to_owned()),
        tags: vec!["production".to_owned()],
        stable: BTreeMap::from([("version".to_owned(), "1.5.6".to_owned())]),
        process_start_unix_s: Some(1_700_000_000),
        pid: Some(u64::MAX),
    }
}

/// The line that a record of an observation would be.
pub(crate) fn document(observation: &Observation) -> String {
    format!(
        "{{\"record\":\"endpoint\",\"run\":\"{}\",\"endpoint\":\"{}\"}}",
        observation.run, observation.endpoint
    )
}

/// The observation of a large import with this number: a few thousand kinds, one in 5,000 of them
/// with an old version over UDP.
pub(crate) fn one_of_many(run: &StoredRun, number: u32) -> (Observation, String) {
    let scattered = number.wrapping_mul(0x9e37_79b1);
    let transport = if scattered.is_multiple_of(3) {
        Transport::Udp
    } else {
        Transport::Tcp
    };
    // Multiplying by an odd number and keeping the low bits visits each address once.
    let place = number.wrapping_mul(2_654_435_761) & 0x00ff_ffff;
    let mut seen = observation(
        run,
        endpoint(place, transport),
        run.started + Duration::from_millis(u64::from(number)),
    );
    let patch = (scattered >> 8) % 45;
    seen.version = Some(match (scattered >> 4) % 5_000 {
        0 => "1.4.5".to_owned(),
        _ => format!("1.6.{patch}"),
    });
    seen.verdict = Some(if scattered.is_multiple_of(7) {
        Verdict::Protected
    } else {
        Verdict::Exposed
    });
    seen.auth = Some(
        if scattered.is_multiple_of(7) {
            "sasl"
        } else {
            "none"
        }
        .to_owned(),
    );
    if (scattered >> 12).is_multiple_of(4) {
        seen.findings.clear();
    }
    seen.hostname = Some(format!("host{number}.example.org"));
    seen.payload_ratio = (transport == Transport::Udp).then(|| f64::from(scattered % 1_000));
    seen.country = Some(["JP", "DE", "US", "FR"][(scattered as usize >> 3) % 4].to_owned());
    seen.asn = Some(64_500 + (scattered >> 5) % 300);
    let endpoint = seen.endpoint.to_string();
    seen.text = format!(
        "{endpoint}\nhost{number}.example.org\nnoc one\nproduction\n{}\nexecutes stats without \
         credentials\nms001\nanyone can read, change and delete what it holds\n",
        seen.version.as_deref().unwrap_or_default()
    );
    let document = format!(
        "{{\"record\":\"endpoint\",\"schema\":1,\"run\":\"{}\",\"endpoint\":\"{endpoint}\",\
         \"reason\":\"it executes stats without credentials\",\"stats\":\"{}\"}}",
        run.run,
        "curr_connections 10 total_connections 1000 cmd_get 12345 ".repeat(10)
    );
    (seen, document)
}
