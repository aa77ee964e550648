//! What a file says about a run that is to be continued or verified.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use import::{PastEndpoint, PastFinding, PastRun, read_ndjson};
use model::{
    Address, Answer, Auth, Confidence, Contact, Dialogue, Endpoint, Enrichment, Evidence, Finding,
    Hardware, Judgement, Language, MacAddress, Pending, Record, RunRecord, Severity, StatsTable,
    Summary, Text, Transport, Vantage, Verdict, VerdictCounts,
};
use proptest::prelude::*;
use report::{Checkpoint, Format, Report, Style, TextOptions, writer};

const HOSTILE: &str = "\u{1b}[2J\u{202e}\0\"\\\u{9b}\r\n\u{2028}日本\u{e0041}";

fn ndjson() -> Box<dyn Report> {
    let options = TextOptions {
        width_columns: 100,
        color: false,
        language: Language::English,
        style: Style::Scan,
        verbose: false,
    };
    writer(Format::Ndjson, &options)
}

fn run() -> RunRecord {
    RunRecord {
        run: "01JDA6Z9".into(),
        timestamp: SystemTime::UNIX_EPOCH,
        tool_version: "0.1.0".to_owned(),
        targets: vec!["192.168.2.0/24".to_owned(), HOSTILE.to_owned()],
        exclusions: vec!["192.168.2.7".to_owned()],
        ports: vec![11211, 65_535],
        tcp: true,
        udp: true,
        seed: u64::MAX,
        shard: (2, 3),
        rate_pps: 10_000,
        retries: 3,
        all: true,
        engine_wished: "packet".to_owned(),
        pairs: 512,
        fingerprint: u64::MAX - 1,
        counter: 5,
        command: "scan".to_owned(),
        source: None,
        blocks: Vec::new(),
        resumed_from: Some("01JDA000".to_owned()),
        vantage: Vantage {
            source: None,
            interface: None,
            engine: "socket".to_owned(),
        },
    }
}

fn record(address: Address, port: u16, transport: Transport, verdict: Verdict) -> Record {
    let mut stats = StatsTable::new();
    stats.push(HOSTILE, HOSTILE);
    stats.push("pid", "1");
    let dialogue = Dialogue {
        version: Answer::Given(HOSTILE.to_owned()),
        auth: Auth::None,
        stats: Answer::Given(stats),
        ..Dialogue::default()
    };
    let answered = verdict == Verdict::Exposed;
    let finding = Finding {
        code: "MS001",
        severity: Severity::High,
        confidence: Confidence::Confirmed,
        title: Text::new("Open", "開放"),
        evidence: vec![Text::same(HOSTILE)],
        fix: Text::same("close it"),
    };
    Record {
        run: "01JDA6Z9".into(),
        timestamp: SystemTime::UNIX_EPOCH,
        endpoint: Endpoint::new(address, port, transport),
        hostname: answered.then(|| Arc::from(HOSTILE)),
        hardware: answered.then(|| Hardware {
            address: MacAddress([0x52, 0x54, 0, 1, 2, 3]),
            vendor: Some(HOSTILE.to_owned()),
        }),
        evidence: Evidence {
            contact: if answered {
                Contact::Answered
            } else {
                Contact::Silent
            },
            attempts: 1,
            rtt: None,
            dialogue: answered.then(|| Box::new(dialogue)),
        },
        judgement: Judgement {
            verdict,
            reason: Text::new(format!("because {HOSTILE}"), "理由"),
            findings: if answered { vec![finding] } else { Vec::new() },
            only_from_here: false,
        },
        acceptances: Vec::new(),
        alarm: answered,
        source: None,
        enrichment: Enrichment::default(),
    }
}

fn records() -> Vec<Record> {
    let ip = |text: &str| Address::from_ip(text.parse().unwrap());
    let zoned = Address::Zoned("fe80::1".parse().unwrap(), "eth0".into());
    let unix = Address::Unix(Arc::new(PathBuf::from("/run/memcached.sock")));
    let mut records = vec![
        record(zoned, 11211, Transport::Udp, Verdict::Exposed),
        record(unix, 0, Transport::Unix, Verdict::Exposed),
    ];
    for (number, verdict) in Verdict::ALL.into_iter().enumerate() {
        let address = ip(&format!("192.168.2.{number}"));
        records.push(record(address, 11211, Transport::Tcp, verdict));
    }
    records
}

fn counts(records: &[Record]) -> VerdictCounts {
    let mut verdicts = VerdictCounts::default();
    for record in records {
        verdicts.add(record.judgement.verdict);
    }
    verdicts
}

fn file(records: &[Record]) -> Vec<u8> {
    let mut report = ndjson();
    let mut out = Vec::new();
    report.run(&run(), &mut out);
    for record in records {
        report.record(record, &mut out);
    }
    let progress = VerdictCounts::default();
    let checkpoint = Checkpoint {
        run: "01JDA6Z9",
        timestamp: SystemTime::UNIX_EPOCH,
        counter: 100,
        pending: &[],
        verdicts: &progress,
        alarms: 0,
    };
    report.checkpoint(&checkpoint, &mut out);
    let summary = Summary {
        run: "01JDA6Z9".into(),
        timestamp: SystemTime::UNIX_EPOCH,
        verdicts: counts(records),
        packets_sent: 1,
        packets_received: 2,
        duration: Duration::from_secs(3),
        complete: true,
        counter: 512,
        pending: pending(),
        unasked: 0,
        notes: vec![Text::same(HOSTILE)],
        alarms: 0,
        rejected_replies: 0,
    };
    report.summary(&summary, &mut out);
    out
}

/// Pairs over one transport or both, and stretches of them that touch.
fn pending() -> Vec<Pending> {
    [
        (3, 1, true, false),
        (9, 1, false, true),
        (11, 1, true, true),
        (20, 5, true, true),
        (25, 100, true, false),
        (125, 2, false, true),
    ]
    .map(|(counter, count, stream, datagram)| Pending {
        counter,
        count,
        stream,
        datagram,
    })
    .into()
}

/// What must come back.
fn expected(records: &[Record]) -> PastRun {
    let run = run();
    let endpoint = |record: &Record| PastEndpoint {
        address: record.endpoint.address.to_string(),
        port: record.endpoint.port,
        transport: record.endpoint.transport,
        verdict: record.judgement.verdict,
        hostname: record.hostname.as_deref().map(str::to_owned),
        version: record
            .evidence
            .dialogue
            .as_ref()
            .and_then(|dialogue| dialogue.version.value().cloned()),
        findings: record
            .judgement
            .findings
            .iter()
            .map(|finding| PastFinding {
                code: finding.code.to_owned(),
                severity: finding.severity.to_string(),
                title: finding.title.en.clone(),
            })
            .collect(),
        reason: record.judgement.reason.en.clone(),
    };
    PastRun {
        run: run.run.to_string(),
        seed: run.seed,
        targets: run.targets,
        exclusions: run.exclusions,
        ports: run.ports,
        tcp: run.tcp,
        udp: run.udp,
        shard: run.shard,
        rate_pps: run.rate_pps,
        retries: run.retries,
        all: Some(run.all),
        engine_wished: Some(run.engine_wished),
        pairs: run.pairs,
        fingerprint: run.fingerprint,
        counter: 512,
        pending: pending(),
        complete: true,
        verdicts: counts(records),
        alarms: 0,
        endpoints: records.iter().map(endpoint).collect(),
        endpoints_left_out: 0,
    }
}

#[test]
fn what_is_written_is_read_back() {
    let records = records();
    assert_eq!(read_ndjson(&file(&records)).unwrap(), expected(&records));
}

#[test]
fn a_file_cut_anywhere_behind_its_first_line_is_read_as_far_as_it_goes() {
    let records = records();
    let bytes = file(&records);
    let whole = expected(&records);
    let first_line_bytes = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    for cut in first_line_bytes..bytes.len() {
        let past = read_ndjson(&bytes[..cut]).unwrap();
        let lines = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
        // The last line counts even without its end, once its closing brace is there.
        let endpoints = past.endpoints.len();
        let ended = usize::from(bytes[cut] == b'\n');
        assert_eq!(
            endpoints,
            (lines + ended).saturating_sub(1).min(records.len()),
            "{cut}"
        );
        assert_eq!(past.endpoints, whole.endpoints[..endpoints]);
        assert!(past.counter == 5 || past.counter == 100 || past.complete);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_ndjson(&bytes);
    }

    #[test]
    fn any_damage_is_read_or_refused(at in 0_usize..4_000, byte in any::<u8>()) {
        let records = records();
        let mut bytes = file(&records[..3]);
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(past) = read_ndjson(&bytes) {
            prop_assert!(past.endpoints.len() <= 4);
        }
    }
}
