//! The schema of our own NDJSON, held against everything that is written.

use std::fs;
use std::path::{Path, PathBuf};

use model::Language::English;
use model::{
    Contact, Enrichment, FindingState, IcmpError, Pending, Refusal, Text, Transport, VerdictCounts,
    VerifiedFinding,
};
use report::{Checkpoint, Format, Report, Style, log_writer, writer};
use serde_json::{Value, json};
use testkit::consumers::python;

use crate::fixture::{self, Run};
use crate::options;

fn schema_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/record.schema.json")
}

/// Every kind of record with every kind of content.
fn lines() -> Vec<Value> {
    let mut runs = vec![
        fixture::everything(),
        fixture::nothing_exposed(),
        fixture::interrupted(),
        fixture::only_here(),
    ];
    runs[0].run.resumed_from = Some("01JDA6Z8".to_owned());
    runs[1].records[0] = known_to_others();
    runs[1].records[1].evidence.contact = Contact::Failed("no route".to_owned());
    let mut out = Vec::new();
    for run in &runs {
        let options = options(Style::Scan, English, 100);
        write(writer(Format::Ndjson, &options), run, &mut out);
        write(log_writer(), run, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn known_to_others() -> model::Record {
    let mut record = fixture::closed();
    record.source = Some("shodan".into());
    record.enrichment = Enrichment {
        reverse_name: Some("cache.example".to_owned()),
        asn: Some(u32::MAX),
        as_name: Some("EXAMPLE-AS".to_owned()),
        country: Some("DE".to_owned()),
        owner: Some("Example GmbH".to_owned()),
        tags: vec!["production".to_owned()],
    };
    let icmp = IcmpError {
        from: None,
        kind: 3,
        code: 3,
    };
    record.evidence.contact = Contact::Refused(Refusal::PortUnreachable(icmp));
    record
}

fn write(mut report: Box<dyn Report>, run: &Run, out: &mut Vec<u8>) {
    report.run(&run.run, out);
    for record in &run.records {
        report.record(record, out);
    }
    let verdicts = VerdictCounts::default();
    let pending = [
        Pending {
            counter: 3,
            count: 1,
            stream: true,
            datagram: true,
        },
        Pending {
            counter: 5,
            count: 4,
            stream: false,
            datagram: true,
        },
    ];
    let checkpoint = Checkpoint {
        run: "01JDA6Z9",
        timestamp: fixture::now(),
        counter: 42,
        pending: &pending,
        verdicts: &verdicts,
        alarms: 2,
    };
    report.checkpoint(&checkpoint, out);
    let verified = VerifiedFinding {
        address: "192.168.2.10".to_owned(),
        port: 11211,
        transport: Transport::Tcp,
        code: "MS001".to_owned(),
        title: "Open".to_owned(),
        state: FindingState::Closed,
        why: Text::same("it refuses the connection"),
    };
    report.verified(&run.summary, &[verified], out);
    report.summary(&run.summary, out);
}

fn in_files(name: &str, values: &[Value]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let file = |(number, value): (usize, &Value)| {
        let path = folder.join(format!("{number}.json"));
        fs::write(&path, value.to_string()).unwrap();
        path
    };
    values.iter().enumerate().map(file).collect()
}

#[test]
fn every_line_is_valid() {
    let output = python("check-jsonschema")
        .arg("--schemafile")
        .arg(schema_file())
        .args(in_files("schema-valid", &lines()))
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{complaints}");
}

#[test]
fn what_was_never_written_is_not_valid() {
    let lines = lines();
    let endpoint = lines
        .iter()
        .find(|line| line["record"] == "endpoint")
        .unwrap();
    let changed = |key: &str, value: Value| {
        let mut line = endpoint.clone();
        line[key] = value;
        line
    };
    let wrong = [
        changed("verdict", json!("open")),
        changed("schema", json!(2)),
        changed("hostname", Value::Null),
        changed("port", json!(65_536)),
        changed("timestamp", json!("yesterday")),
        changed("findings", json!([{ "code": "MS001" }])),
        changed("amplification", json!({ "payload_ratio": -1 })),
    ];
    let output = python("check-jsonschema")
        .arg("--schemafile")
        .arg(schema_file())
        .args(in_files("schema-wrong", &wrong))
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stdout);
    for number in 0..wrong.len() {
        assert!(
            complaints.contains(&format!("schema-wrong/{number}.json::")),
            "{number}: {complaints}"
        );
    }
}

#[test]
fn every_key_is_described() {
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema_file()).unwrap()).unwrap();
    for line in lines() {
        let kind = line["record"].as_str().unwrap();
        check_keys(&schema, &schema["$defs"][kind], &line, kind);
    }
}

/// Holds every key of a value, and of what is in it, against the properties of its schema.
fn check_keys(root: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let place = format!("{place}.{key}");
                let known = schema["properties"].get(key);
                let any = schema.get("additionalProperties");
                let inner = known
                    .or(any)
                    .unwrap_or_else(|| panic!("{place} is not described"));
                let described = inner.get("description").or(inner.get("$ref"));
                assert!(
                    described.is_some() || known.is_none(),
                    "{place} has no description"
                );
                check_keys(root, inner, value, &place);
            }
        }
        Value::Array(values) => {
            for value in values {
                check_keys(root, &schema["items"], value, place);
            }
        }
        _ => {}
    }
}
