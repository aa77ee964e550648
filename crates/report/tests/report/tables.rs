//! Tables: CSV, read back by Python's csv; Shadowserver's columns; zgrab2's objects.

use model::Language::English;
use report::{Format, Style};
use serde_json::Value;

use crate::consumers::{self, accepted_by, python};
use crate::fixture::{self, Run};
use crate::golden::check;
use crate::{options, render};

/// Rows as Python's csv reads them, strictly.
const PYTHON_CSV: &str = "
import csv, io, json, sys
text = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8', newline='')
print(json.dumps(list(csv.DictReader(text, strict=True))))
";

fn in_format(format: Format, run: &Run) -> String {
    render(format, &options(Style::Scan, English, 100), run)
}

#[track_caller]
fn rows(text: &str) -> Vec<Value> {
    let read = accepted_by(python(PYTHON_CSV), text.as_bytes());
    let Value::Array(rows) = serde_json::from_str(&read).unwrap() else {
        panic!("no rows: {read}");
    };
    for row in &rows {
        let row = row.as_object().unwrap();
        // A row with too few cells has nulls, one with too many a list.
        assert!(row.values().all(Value::is_string), "{row:?}");
    }
    rows
}

#[test]
fn tables_of_a_run() {
    for (format, name) in [
        (Format::Csv, "csv"),
        (Format::Shadowserver, "shadowserver.csv"),
        (Format::Zgrab2, "zgrab2.ndjson"),
    ] {
        for (run, run_name) in [
            (fixture::everything(), "everything"),
            (fixture::interrupted(), "interrupted"),
        ] {
            let text = in_format(format, &run).replace(&"9".repeat(100_000), "(100000 nines)");
            check(&format!("{run_name}.{name}"), &text);
        }
    }
}

#[test]
fn csv_has_every_flat_key_of_the_ndjson() {
    let run = fixture::everything();
    let table = rows(&in_format(Format::Csv, &run));
    let lines = in_format(Format::Ndjson, &run);
    let records = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let records: Vec<Value> = records
        .filter(|record: &Value| record["record"] == "endpoint")
        .collect();
    assert_eq!(table.len(), records.len());
    for (row, record) in table.iter().zip(&records) {
        for (key, value) in record.as_object().unwrap() {
            let text = match value {
                Value::String(text) => report::escape_for_terminal(text),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => continue,
            };
            if !["record", "schema"].contains(&key.as_str()) {
                assert_eq!(row[key], text, "{key}");
            }
        }
        let codes = record["findings"].as_array().unwrap().iter();
        let codes: Vec<&str> = codes.map(|one| one["code"].as_str().unwrap()).collect();
        assert_eq!(row["findings"], codes.join(" "));
    }
    let udp = table
        .iter()
        .find(|row| row["transport"] == "udp" && row["alarm"] == "true");
    assert_eq!(udp.unwrap()["amplification_payload_ratio"], "150.87");
    let refused = table.iter().find(|row| row["verdict"] == "closed").unwrap();
    assert_eq!(refused["version"], "", "unknown is empty");
}

#[test]
fn no_cell_is_a_formula_whatever_servers_say() {
    for format in [Format::Csv, Format::Shadowserver] {
        let mut run = consumers::loud_run();
        if format == Format::Shadowserver {
            for record in &mut run.records {
                record.endpoint.transport = model::Transport::Udp;
            }
        }
        let text = in_format(format, &run);
        assert!(text.split("\r\n").all(|line| !line.contains(['\r', '\n'])));
        let table = rows(&text);
        assert_eq!(table.len(), run.records.len());
        for (row, said) in table.iter().zip(consumers::strings()) {
            for cell in row.as_object().unwrap().values() {
                let cell = cell.as_str().unwrap();
                assert!(
                    !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                    "{cell}"
                );
            }
            let shown = report::escape_for_terminal(&said);
            let version = row["version"].as_str().unwrap();
            assert_eq!(
                version.strip_prefix('\'').unwrap_or(version),
                shown.strip_prefix('\'').unwrap_or(&shown)
            );
        }
    }
}

#[test]
fn shadowserver_has_its_columns_and_its_ratio() {
    let text = in_format(Format::Shadowserver, &fixture::everything());
    assert_eq!(
        text.lines().next().unwrap(),
        "timestamp,ip,protocol,port,hostname,tag,version,asn,geo,region,city,naics,sic,pid,\
         pointer_size,uptime,time,curr_connections,total_connections,sector,response_size,\
         amplification"
    );
    let table = rows(&text);
    assert!(table.iter().all(|row| row["protocol"] == "udp"));
    assert_eq!(table.len(), 6);
    // As in its published samples: 1144 bytes are 81.71, 442 are 31.57.
    for (bytes, ratio) in [(1_144, "81.71"), (1_053, "75.21"), (442, "31.57")] {
        let mut run = fixture::two_servers();
        let dialogue = run.records[1].evidence.dialogue.as_mut().unwrap();
        dialogue.amplification[1].reply_bytes = bytes;
        let row = &rows(&in_format(Format::Shadowserver, &run))[0];
        assert_eq!(row["response_size"], bytes.to_string());
        assert_eq!(row["amplification"], ratio);
        assert_eq!(row["timestamp"], "2026-11-22 19:24:12");
        assert_eq!(row["time"], "2026-11-22 19:24:11");
        assert_eq!(row["pid"], "4242");
    }
}

#[test]
fn zgrab2_has_its_types() {
    for run in [fixture::everything(), consumers::loud_run()] {
        let text = in_format(Format::Zgrab2, &run);
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let over_tcp = |record: &&model::Record| record.endpoint.transport.as_str() == "tcp";
        assert_eq!(lines.len(), run.records.iter().filter(over_tcp).count());
        for line in &lines {
            let response = &line["data"]["memcached"];
            assert!(line["ip"].is_string());
            assert_eq!(response["protocol"], "memcached");
            assert_eq!(
                response["error"].is_string(),
                response["status"] != "success"
            );
            for (name, value) in response["result"]["stats"]
                .as_object()
                .into_iter()
                .flatten()
            {
                match name.as_str() {
                    "accepting_conns" => assert!(value.is_boolean(), "{name}"),
                    "rusage_user" | "rusage_system" => assert!(value.is_f64(), "{name}"),
                    _ => assert!(value.is_u64(), "{name}"),
                }
            }
        }
    }
    let mut run = fixture::two_servers();
    let dialogue = run.records[0].evidence.dialogue.as_mut().unwrap();
    let model::Answer::Given(stats) = &mut dialogue.stats else {
        panic!("the fixture has statistics");
    };
    stats.push("connection_structures", "6");
    stats.push("accepting_conns", "1");
    stats.push("hash_is_expanding", "maybe");
    stats.push("made_up", "1");
    let text = in_format(Format::Zgrab2, &run);
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let result = &first["data"]["memcached"]["result"];
    assert_eq!(first["domain"], "cache.example");
    assert_eq!(result["version"], "1.6.18");
    assert_eq!(result["libevent_version"], "2.1.12-stable");
    assert_eq!(result["supports_ascii"], true);
    assert_eq!(result.get("supports_binary"), None);
    assert_eq!(result["stats"]["connected_structures"], 6);
    assert_eq!(result["stats"]["accepting_conns"], true);
    assert_eq!(result["stats"].get("hash_is_expanding"), None);
    assert_eq!(result["stats"].get("made_up"), None);
}
