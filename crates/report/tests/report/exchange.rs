//! The formats of other programs, read by those programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use assess::local::{Machine, audit, manifest, memcached_conf};
use model::Language::{English, Japanese};
use model::{
    Address, Confidence, Endpoint, Enrichment, Finding, Record, Severity, Text, Transport,
};
use report::{Format, Style, audit_sarif, writer};
use serde_json::Value;
use testkit::consumers::{node_file, node_program, python};

use crate::fixture::{self, HOSTILE, Run};
use crate::golden::{check, shorten};
use crate::{options, render, render_bytes};

/// Everything, servers that somebody owns, flaws with a number, and addresses of every kind.
fn everything() -> Run {
    let mut run = fixture::everything();
    run.records.extend([
        owned("192.0.2.7", Some("Example GmbH")),
        owned("192.0.2.5", Some("Example GmbH")),
        owned("198.51.100.1", Some(HOSTILE)),
        flawed(),
        on_a_socket(),
        on_a_link(),
    ]);
    run
}

pub(crate) fn runs() -> [(Run, &'static str); 4] {
    [
        (everything(), "everything"),
        (fixture::nothing_exposed(), "nothing-exposed"),
        (fixture::only_here(), "only-here"),
        (fixture::interrupted(), "interrupted"),
    ]
}

fn owned(ip: &str, owner: Option<&str>) -> Record {
    let mut record = fixture::exposed_udp(10, 51_000);
    record.endpoint.address = Address::from_ip(ip.parse().unwrap());
    record.enrichment = Enrichment {
        reverse_name: Some(format!("host-{ip}.example")),
        asn: Some(64_500),
        as_name: Some("EXAMPLE-AS".to_owned()),
        country: Some("DE".to_owned()),
        owner: owner.map(str::to_owned),
        tags: vec!["production".to_owned(), HOSTILE.to_owned()],
    };
    record
}

/// A finding of a rule on versions, beside one on behaviour.
fn flawed() -> Record {
    let mut record = fixture::exposed_tcp();
    record.endpoint.address = Address::from_ip("192.168.2.40".parse().unwrap());
    record.source = Some("shodan".into());
    record.judgement.findings.push(Finding {
        code: "MS121",
        severity: Severity::High,
        confidence: Confidence::Possible,
        title: Text::same("CVE-2023-46852: many spaces in a multiget overflow the proxy"),
        evidence: vec![Text::same("the server says 1.6.18, and [that](0) is {0}")],
        fix: Text::same("Upgrade."),
    });
    record
}

fn on_a_socket() -> Record {
    let mut record = fixture::exposed_tcp();
    let path = std::sync::Arc::new(PathBuf::from("/run/mem cached/日本.sock"));
    record.endpoint = Endpoint::new(Address::Unix(path), 0, Transport::Unix);
    record
}

fn on_a_link() -> Record {
    let mut record = fixture::exposed_tcp();
    let address = Address::Zoned("fe80::1".parse().unwrap(), "eth0".into());
    record.endpoint = Endpoint::new(address, 11211, Transport::Tcp);
    record
}

/// The report in a file of its own.
pub(crate) fn written(format: Format, run: &Run, name: &str) -> PathBuf {
    let bytes = render_bytes(format, &options(Style::Scan, English, 100), run);
    file(&format!("{name}.{}", format.as_str()), &bytes)
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// What a program prints; it must be content.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stdout}{stderr}");
    stdout
}

/// What a script of ours beside these tests prints, as JSON.
#[track_caller]
pub(crate) fn script(name: &str, files: &[&Path]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/consumers")
        .join(name);
    let text = output(python("python3").arg(script).args(files));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn texts_are_as_kept() {
    let options = options(Style::Scan, English, 100);
    for (run, name) in [
        (everything(), "everything"),
        (fixture::nothing_exposed(), "nothing-exposed"),
    ] {
        for (format, file) in [
            (Format::Sarif, "sarif.json"),
            (Format::DefectDojo, "defectdojo.json"),
            (Format::Ocsf, "ocsf.ndjson"),
            (Format::Stix, "stix.json"),
            (Format::Misp, "misp.json"),
        ] {
            let text = render(format, &options, &run);
            check(&format!("{name}.{file}"), &shorten(&text));
        }
    }
}

#[test]
fn letters_are_as_kept() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Scan, language, 100);
        for (run, name) in [
            (everything(), "everything"),
            (fixture::nothing_exposed(), "nothing-exposed"),
        ] {
            let text = render(Format::Abuse, &options, &run);
            check(&format!("{name}-{code}.abuse.txt"), &text);
        }
    }
}

#[test]
fn what_is_not_ndjson_is_one_document_even_of_an_empty_run() {
    for format in [
        Format::Sarif,
        Format::DefectDojo,
        Format::Stix,
        Format::Misp,
    ] {
        for (run, name) in runs() {
            let options = options(Style::Scan, Japanese, 100);
            let text = render(format, &options, &run);
            let parsed: Result<Value, _> = serde_json::from_str(&text);
            assert!(parsed.is_ok(), "{format:?} of {name}");
            assert!(text.ends_with("}\n"), "{format:?}");
        }
        // Without a run record too.
        let mut report = writer(format, &options(Style::Scan, English, 100));
        let mut out = Vec::new();
        report.summary(&fixture::interrupted().summary, &mut out);
        assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{format:?}");
    }
}

#[test]
fn no_text_of_a_server_grows_a_report() {
    for format in [
        Format::Sarif,
        Format::DefectDojo,
        Format::Ocsf,
        Format::Stix,
        Format::Misp,
        Format::Abuse,
    ] {
        let mut run = fixture::nothing_exposed();
        run.records = vec![fixture::hostile()];
        let text = render(format, &options(Style::Scan, English, 100), &run);
        assert!(!text.contains(&"9".repeat(5_000)), "{format:?}");
    }
}

/// The log of an audit that found something with a line, and something without.
fn audited(name: &str) -> PathBuf {
    let text = "services:\n  cache:\n    image: memcached\n    ports: ['11211:11211']\n";
    let compose = manifest("deploy/compose.yaml", text);
    let open = memcached_conf("/etc/memcached.conf", "-l 0.0.0.0\n");
    let mut machine = Machine {
        root: "/mnt/image".to_owned(),
        ..Machine::default()
    };
    for file in [compose, open] {
        machine.services.extend(file.services.clone());
        machine.files.push(file);
    }
    let log = audit_sarif(
        &machine,
        &audit(&machine),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_771_027_200),
        "0.1.0",
    );
    assert!(log.contains("compose.yaml") && log.contains("memcached.conf"));
    file(&format!("{name}.sarif"), log.as_bytes())
}

#[test]
fn sarif_is_valid_by_its_schema() {
    let mut files = runs()
        .map(|(run, name)| written(Format::Sarif, &run, name))
        .to_vec();
    files.push(audited("audited"));
    // The schema's own expressions are not those of Python.
    output(
        python("check-jsonschema")
            .args([
                "--disable-formats",
                "regex",
                "--regex-variant",
                "nonunicode",
            ])
            .arg("--schemafile")
            .arg(node_file(
                "@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json",
            ))
            .args(files),
    );
}

#[test]
fn sarif_is_valid_by_its_makers() {
    let mut files = runs()
        .map(|(run, name)| written(Format::Sarif, &run, &format!("{name}-makers")))
        .to_vec();
    files.push(audited("audited-makers"));
    // One of its rules would fetch every address that is mentioned.
    let configuration = file(
        "multitool.json",
        br#"{ "SARIF2006.UrisShouldBeReachable.Options": { "RuleEnabled": "Disabled" } }"#,
    );
    let verdicts = Path::new(env!("CARGO_TARGET_TMPDIR")).join("multitool.verdicts.json");
    output(
        node_program("@microsoft/sarif-multitool-linux/Sarif.Multitool")
            .env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1")
            .env(
                "DOTNET_BUNDLE_EXTRACT_BASE_DIR",
                env!("CARGO_TARGET_TMPDIR"),
            )
            .arg("validate")
            .args(&files)
            .arg("--config")
            .arg(configuration)
            .args(["--level", "Error;Warning", "--log", "ForceOverwrite"])
            .arg("--output")
            .arg(&verdicts),
    );
    let verdicts: Value = serde_json::from_str(&fs::read_to_string(&verdicts).unwrap()).unwrap();
    let complaints = verdicts["runs"][0]["results"].as_array().unwrap();
    let complaints: Vec<&str> = complaints
        .iter()
        .map(|one| one["ruleId"].as_str().unwrap())
        .collect();
    // An address where to read about the tool: there is none yet.
    assert_eq!(complaints, ["SARIF2005"; 5], "{verdicts:#}");
}

#[test]
fn sarif_is_summed_up_by_others() {
    let path = written(Format::Sarif, &everything(), "summary");
    let text = output(python("sarif").arg("summary").arg(&path));
    let report: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let results = report["runs"][0]["results"].as_array().unwrap();
    for level in ["error", "warning", "note"] {
        let count = results.iter().filter(|one| one["level"] == level).count();
        assert!(
            text.contains(&format!("{level}: {count}")),
            "{level} {count}: {text}"
        );
    }
}

#[test]
fn fingerprints_stay_from_run_to_run() {
    let fingerprints = |run: &Run| -> Vec<String> {
        let text = render(Format::Sarif, &options(Style::Scan, English, 100), run);
        let report: Value = serde_json::from_str(&text).unwrap();
        let results = report["runs"][0]["results"].as_array().unwrap().clone();
        results
            .iter()
            .map(|one| one["partialFingerprints"].to_string())
            .collect()
    };
    let mut later = everything();
    for record in &mut later.records {
        record.run = "another".into();
        record.timestamp += std::time::Duration::from_secs(86_400);
    }
    let all = fingerprints(&everything());
    assert_eq!(all, fingerprints(&later));
    let different: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}

/// Those of the keys that the importer knows which we use, with what each may be.
const DEFECTDOJO_KEYS: &[(&str, &str)] = &[
    ("title", "string"),
    ("severity", "severity"),
    ("date", "string"),
    ("description", "string"),
    ("mitigation", "string"),
    ("impact", "string"),
    ("references", "string"),
    ("cwe", "integer"),
    ("vulnerability_ids", "strings"),
    ("cvssv3_score", "number"),
    ("unique_id_from_tool", "string"),
    ("vuln_id_from_tool", "string"),
    ("service", "string"),
    ("component_name", "string"),
    ("component_version", "string"),
    ("dynamic_finding", "boolean"),
    ("static_finding", "boolean"),
    ("active", "boolean"),
    ("verified", "boolean"),
    ("risk_accepted", "boolean"),
    ("fix_available", "boolean"),
    ("tags", "strings"),
    ("endpoints", "endpoints"),
];

#[test]
fn defectdojo_knows_every_key() {
    let of_type = |value: &Value, kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "strings" => value.as_array().unwrap().iter().all(Value::is_string),
        "severity" => {
            ["Info", "Low", "Medium", "High", "Critical"].contains(&value.as_str().unwrap())
        }
        "endpoints" => value.as_array().unwrap().iter().all(|endpoint| {
            let keys: Vec<&String> = endpoint.as_object().unwrap().keys().collect();
            keys == ["protocol", "host", "port"] && endpoint["port"].is_u64()
        }),
        _ => panic!("{kind}"),
    };
    for (run, name) in runs() {
        let text = render(
            Format::DefectDojo,
            &options(Style::Scan, English, 100),
            &run,
        );
        let report: Value = serde_json::from_str(&text).unwrap();
        for key in report.as_object().unwrap().keys() {
            let known = [
                "name",
                "type",
                "version",
                "description",
                "dynamic_tool",
                "static_tool",
                "findings",
            ];
            assert!(known.contains(&key.as_str()), "{key}");
        }
        let findings = report["findings"].as_array().unwrap();
        let count: usize = run
            .records
            .iter()
            .map(|one| one.judgement.findings.len())
            .sum();
        assert_eq!(findings.len(), count, "{name}");
        for finding in findings {
            for required in ["title", "severity", "description"] {
                assert!(
                    finding[required]
                        .as_str()
                        .is_some_and(|text| !text.is_empty())
                );
            }
            assert!(finding["title"].as_str().unwrap().chars().count() <= 500);
            for (key, value) in finding.as_object().unwrap() {
                let known = DEFECTDOJO_KEYS.iter().find(|(name, _)| name == key);
                assert!(
                    known.is_some_and(|(_, kind)| of_type(value, kind)),
                    "{key}: {value}"
                );
            }
        }
    }
}

#[test]
fn what_a_server_says_is_no_markdown() {
    let mut run = fixture::nothing_exposed();
    let mut record = fixture::hostile();
    record.judgement.findings[0].evidence = vec![Text::same("<img src=x>\n# head\n![x](y)")];
    run.records = vec![record];
    let text = render(
        Format::DefectDojo,
        &options(Style::Scan, English, 100),
        &run,
    );
    let report: Value = serde_json::from_str(&text).unwrap();
    let description = report["findings"][0]["description"].as_str().unwrap();
    let facts = description.split_once("\n\n").unwrap().1;
    assert!(facts.contains("<img") && facts.lines().all(|line| line.starts_with("    ")));
}

#[test]
fn ocsf_events_are_valid() {
    let files = runs().map(|(run, name)| written(Format::Ocsf, &run, name));
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let seen = script("ocsf.py", &files);
    for ((run, name), seen) in runs().iter().zip(seen.as_array().unwrap()) {
        assert_eq!(seen["scan_activity"], 2, "{name}");
        let findings = run.records.iter().flat_map(|one| &one.judgement.findings);
        let flaws = findings.clone().filter(|one| one.code == "MS121").count();
        let others = findings.count() - flaws;
        let count = |class: &str| seen[class].as_u64().unwrap_or(0);
        assert_eq!(count("vulnerability_finding"), flaws as u64, "{name}");
        assert_eq!(count("compliance_finding"), others as u64, "{name}");
    }
}

#[test]
fn stix_bundles_are_valid() {
    let files = runs().map(|(run, name)| {
        let bundle = render_bytes(Format::Stix, &options(Style::Scan, English, 100), &run);
        // It reads no other extension.
        file(&format!("{name}.stix.json"), &bundle)
    });
    // Ids that follow from what they name are UUIDv5 everywhere (103), and to which of our ports an
    // answer came is not known (301).
    let report = output(
        python("stix2_validator")
            .args([
                "--version",
                "2.1",
                "--strict",
                "--enforce-refs",
                "-d",
                "103,301",
            ])
            .args(files),
    );
    assert_eq!(report.matches("STIX JSON: Valid").count(), 4, "{report}");
}

#[test]
fn a_stix_bundle_is_the_same_every_time_and_holds_nothing_twice() {
    let render = || {
        render(
            Format::Stix,
            &options(Style::Scan, English, 100),
            &everything(),
        )
    };
    assert_eq!(render(), render());
    let bundle: Value = serde_json::from_str(&render()).unwrap();
    let objects = bundle["objects"].as_array().unwrap();
    let ids: std::collections::BTreeSet<&str> = objects
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), objects.len());
    let of_type = |kind| objects.iter().filter(|one| one["type"] == kind).count();
    // Eleven of the fixture, and five of ours; loopback and the unix socket stay at home.
    assert_eq!(of_type("infrastructure"), 16);
    assert_eq!(of_type("vulnerability"), 1);
}

#[test]
fn misp_reads_its_events() {
    for (run, name) in runs() {
        let path = written(Format::Misp, &run, name);
        let read = script("misp.py", &[&path]);
        assert_eq!(read["tags"], serde_json::json!(["memsweep", "tlp:amber"]));
        let servers = read["servers"].as_array().unwrap();
        if name == "everything" {
            assert_eq!(servers.len(), 16);
            assert_eq!(servers[0], "192.168.2.10:11211/tcp");
            assert_eq!(read["flaws"], serde_json::json!(["CVE-2023-46852"]));
        } else {
            assert!(servers.is_empty());
        }
    }
}

#[test]
fn letters_fit_a_mail() {
    for language in [English, Japanese] {
        for (run, name) in runs() {
            let text = render(Format::Abuse, &options(Style::Scan, language, 200), &run);
            crate::laws::check_lines(&text, 72);
            for line in text.lines() {
                assert!(line.len() <= 998, "RFC 5322 section 2.1.1: {line}");
                // Neither acts on a mailbox file nor on SMTP.
                assert!(!line.starts_with("From ") && line != ".", "{line}");
            }
            let letters = text.matches("Subject: ").count();
            // No owner, one with two servers, and one whose name is hostile.
            assert_eq!(letters, if name == "everything" { 3 } else { 0 }, "{name}");
        }
    }
}

#[test]
fn letters_name_only_what_strangers_can_use() {
    let text = render(
        Format::Abuse,
        &options(Style::Scan, English, 100),
        &everything(),
    );
    for address in [
        "192.168.2.11:",
        "192.168.2.66:",
        "192.168.2.90:",
        "127.0.0.1:",
        "192.168.2.30:",
    ] {
        assert!(!text.contains(address), "{address}");
    }
    assert!(text.contains("  192.168.2.40:11211/tcp") && text.contains("seen by shodan"));
}

#[test]
fn letters_say_what_they_leave_out() {
    let mut report = writer(Format::Abuse, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    for number in 0..50_007_u32 {
        let mut record = fixture::exposed_udp(10, 3);
        record.endpoint.address =
            Address::from_ip(std::net::Ipv4Addr::from(0x0a00_0000 + number).into());
        report.record(&record, &mut out);
        assert!(out.is_empty());
    }
    report.summary(&fixture::nothing_exposed().summary, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("7 further endpoints"));
    assert_eq!(text.matches("/udp\n").count(), 50_000);
}
