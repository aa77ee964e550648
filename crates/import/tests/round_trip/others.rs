//! What `report` writes in the shapes of other tools is recognised, and read like theirs.

use import::{Foreign, Importer, Kind, recognise};
use model::{Language, Record, Transport, Verdict};
use report::{Format, Style, TextOptions};

use crate::fixture::{self, Run};

fn render(format: Format, run: &Run) -> Vec<u8> {
    let options = TextOptions {
        width_columns: 80,
        color: false,
        language: Language::English,
        style: Style::Scan,
        verbose: false,
    };
    let mut report = report::writer(format, &options);
    let mut out = Vec::new();
    report.run(&run.run, &mut out);
    for record in &run.records {
        report.record(record, &mut out);
    }
    report.summary(&run.summary, &mut out);
    out
}

/// The endpoints in a report, with the versions they give themselves; each once.
#[track_caller]
fn read(format: Format, kind: Kind, run: &Run) -> Vec<Foreign> {
    let bytes = render(format, run);
    let recognised = recognise(&bytes).unwrap();
    assert_eq!(recognised.kind, kind);
    let mut importer = Importer::new(recognised).unwrap();
    let mut seen = Vec::new();
    importer
        .feed(&bytes, &mut |foreign| seen.push(foreign))
        .unwrap();
    importer.finish(&mut |foreign| seen.push(foreign)).unwrap();
    seen
}

fn version(dialogue: Option<&model::Dialogue>) -> Option<&str> {
    dialogue?.version.value().map(String::as_str)
}

#[track_caller]
fn check(format: Format, kind: Kind, is_in_it: fn(&Record) -> bool) {
    let mut run = fixture::everything();
    // Its version is cut and spelled out in every shape but one.
    run.records
        .retain(|record| record.hostname.as_deref() != Some(fixture::HOSTILE));
    let seen = read(format, kind, &run);
    let wanted: Vec<&Record> = run.records.iter().filter(|one| is_in_it(one)).collect();
    for record in &wanted {
        let found = seen.iter().find(|one| one.endpoint == record.endpoint);
        let found = found.unwrap_or_else(|| panic!("{format:?}: {}", record.endpoint));
        let dialogue = found.evidence.dialogue.as_deref();
        let said = version(record.evidence.dialogue.as_deref());
        assert_eq!(version(dialogue), said, "{format:?}: {}", record.endpoint);
    }
    assert!(wanted.len() >= 5);
    for found in &seen {
        let is_known = wanted.iter().any(|one| one.endpoint == found.endpoint);
        assert!(is_known, "{format:?}: {} is made up", found.endpoint);
    }
}

#[test]
fn others_shapes_are_read_like_theirs() {
    let is_there = |record: &Record| record.judgement.verdict != Verdict::Absent;
    check(Format::Xml, Kind::NmapXml, is_there);
    check(Format::Grepable, Kind::NmapGrepable, is_there);
    check(Format::Shadowserver, Kind::Shadowserver, |record| {
        record.judgement.verdict == Verdict::Exposed && record.endpoint.transport == Transport::Udp
    });
    check(Format::Zgrab2, Kind::Zgrab, |record| {
        record.endpoint.transport == Transport::Tcp
    });
}
