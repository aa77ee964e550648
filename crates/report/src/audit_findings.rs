//! What `audit` found, a finding at a time: as SARIF for code scanning, with file and line, and as
//! CSV with a row each.

use std::time::SystemTime;

use assess::local::{Audit, JudgedInstance, JudgedService, LocalFinding, Machine, Place};
use model::Finding;
use serde_json::{Value, json};

use crate::csv::{lines_as_one, write_row};
use crate::escape::escape_json;
use crate::exchange::{self, percent_encoded, shown, shown_lines};
use crate::sarif::{self, FINGERPRINT, KnownRules};
use crate::values::{Object, set, set_some};
use crate::words::rfc3339;

/// Where the packages of a manager are listed.
const PACKAGE_LISTS: [(&str, &str); 3] = [
    ("dpkg", "/var/lib/dpkg/status"),
    ("rpm", "/var/lib/rpm"),
    ("apk", "/lib/apk/db/installed"),
];

/// The name of the audited root in a log.
const ROOT: &str = "ROOT";

/// A finding, and what it is about.
struct Row<'a> {
    /// `instance`, `configuration`, `sessions` or `package`.
    kind: &'static str,
    /// The thing's name.
    name: String,
    /// What tells it from others of its kind, also when it was started again.
    about: String,
    finding: &'a Finding,
    exposes: bool,
    /// The line that is to be changed, or else the file that says most.
    place: Option<Place>,
}

/// Every finding, instances first.
fn rows<'a>(machine: &Machine, audit: &'a Audit) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for judged in &audit.instances {
        let name = format!("process {}", judged.instance.process);
        let place = place_of_instance(judged, audit);
        let instance = &judged.instance;
        let mut about = vec![
            instance.unit.as_deref().unwrap_or_default(),
            instance.container.as_deref().unwrap_or_default(),
        ];
        about.extend(instance.argv.iter().map(|word| word.text.as_str()));
        let mut of_instance = rows_of("instance", &name, &judged.findings, Some(place));
        for row in &mut of_instance {
            row.about = about.join(" ");
        }
        rows.extend(of_instance);
    }
    for judged in &audit.services {
        let place = Place::new(&judged.service.path, 1);
        let name = &judged.service.name;
        rows.extend(rows_of(
            "configuration",
            name,
            &judged.findings,
            Some(place),
        ));
    }
    let mut of_sessions = rows_of("sessions", "sessions", &audit.findings, None);
    for row in &mut of_sessions {
        // Which of the servers; the process behind it is another one after each restart.
        let evidence = row.finding.evidence.first().map_or("", |text| &text.en);
        let server = evidence
            .split_once(" (process ")
            .map_or(evidence, |(server, _)| server);
        row.about = server.to_owned();
    }
    rows.extend(of_sessions);
    let package = machine.packages.first();
    for flaw in &audit.flaws {
        rows.push(Row {
            kind: "package",
            about: package.map_or_else(String::new, |one| one.name.clone()),
            name: package.map_or_else(String::new, |one| format!("{} {}", one.name, one.version)),
            finding: flaw,
            exposes: false,
            place: package.and_then(|one| {
                let mut lists = PACKAGE_LISTS.iter();
                let list = lists.find(|(manager, _)| *manager == one.manager)?;
                Some(Place::new(list.1, 1))
            }),
        });
    }
    rows
}

fn rows_of<'a>(
    kind: &'static str,
    name: &str,
    findings: &'a [LocalFinding],
    otherwise: Option<Place>,
) -> Vec<Row<'a>> {
    let row = |local: &'a LocalFinding| Row {
        kind,
        name: name.to_owned(),
        about: name.to_owned(),
        finding: &local.finding,
        exposes: local.exposes,
        place: local.place.clone().or_else(|| otherwise.clone()),
    };
    findings.iter().map(row).collect()
}

/// What started it, or what it is.
fn place_of_instance(judged: &JudgedInstance, audit: &Audit) -> Place {
    let service: Option<&JudgedService> =
        judged.service.and_then(|index| audit.services.get(index));
    match service {
        Some(service) => Place::new(&service.service.path, 1),
        None => Place::new(format!("/proc/{}/cmdline", judged.instance.process), 1),
    }
}

/// One SARIF log (2.1.0, OASIS) with a result for each finding.
pub fn audit_sarif(
    machine: &Machine,
    audit: &Audit,
    now: SystemTime,
    tool_version: &str,
) -> String {
    let mut rules = KnownRules::all();
    let rows = rows(machine, audit);
    let results: Vec<Value> = rows
        .iter()
        .map(|row| result(row, &machine.root, rules.index_of(row.finding)))
        .collect();
    let troubles: Vec<Value> = machine
        .troubles
        .iter()
        .map(|trouble| {
            let text = format!("{}: {}", shown(&trouble.path), shown(&trouble.what));
            json!({ "level": "warning", "message": { "text": sarif::message(&text) } })
        })
        .collect();
    let mut log = json!({
        "$schema": sarif::SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": rules.driver(Some(tool_version)) },
            "invocations": [{
                "endTimeUtc": rfc3339(now),
                "executionSuccessful": audit.is_complete,
                "toolExecutionNotifications": troubles,
            }],
            "automationDetails": { "id": "memsweep/audit/" },
            "columnKind": "utf16CodeUnits",
            "results": results,
            "properties": { "root": shown(&machine.root), "complete": audit.is_complete },
        }],
    });
    if machine.root != "/" {
        let folder = format!("{}/", machine.root.trim_end_matches('/'));
        log["runs"][0]["originalUriBaseIds"] = json!({ ROOT: { "uri": file_uri(&folder), "description": { "text": "The audited root." } } });
    }
    escape_json(&format!("{log:#}\n"))
}

fn result(row: &Row<'_>, root: &str, index: usize) -> Value {
    let finding = row.finding;
    let name = shown(&row.name);
    let mut location = json!({
        "logicalLocations": [{
            "name": name,
            "fullyQualifiedName": format!("{}/{name}", row.kind),
            "kind": "resource",
        }],
    });
    if let Some(place) = &row.place {
        location["physicalLocation"] = json!({
            "artifactLocation": artifact(&place.path, root),
            "region": { "startLine": place.line.max(1) },
        });
    }
    // The line is left out: it moves with every edit above it.
    let path = row.place.as_ref().map_or("", |place| place.path.as_str());
    // A process has another number after each restart.
    let path = if path.starts_with("/proc/") { "" } else { path };
    let fingerprint = exchange::id(&["audit", finding.code, row.kind, path, &row.about]);
    let mut properties = Object::new();
    set(&mut properties, "severity", finding.severity.as_str());
    set(&mut properties, "confidence", finding.confidence.as_str());
    set(&mut properties, "exposes", row.exposes);
    set(&mut properties, "fix", shown_lines(&finding.fix.en));
    set_some(&mut properties, "cve", exchange::cve(finding));
    json!({
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": sarif::level(finding.severity),
        "message": { "text": sarif::told(&row.name, finding) },
        "locations": [location],
        "partialFingerprints": { FINGERPRINT: fingerprint.to_string() },
        "properties": properties,
    })
}

/// A file of the audited machine: where another root is looked at, below that one.
fn artifact(path: &str, root: &str) -> Value {
    match path.strip_prefix('/') {
        Some(below) if root != "/" => json!({ "uri": percent_encoded(below), "uriBaseId": ROOT }),
        _ => json!({ "uri": file_uri(path) }),
    }
}

/// An absolute path as a `file:` URI; a relative one stays relative, as repositories want it.
fn file_uri(path: &str) -> String {
    let encoded = percent_encoded(path);
    match encoded.strip_prefix('/') {
        Some(_) => format!("file://{encoded}"),
        None => encoded,
    }
}

/// A row a finding (RFC 4180), with the columns in the first line.
pub fn audit_csv(machine: &Machine, audit: &Audit) -> String {
    let mut out = Vec::new();
    let columns = [
        "root",
        "kind",
        "name",
        "code",
        "severity",
        "confidence",
        "exposes",
        "file",
        "line",
        "title",
        "evidence",
        "fix",
    ];
    write_row(columns.map(str::to_owned).into_iter(), &mut out);
    for row in rows(machine, audit) {
        let finding = row.finding;
        let place = row.place.as_ref();
        let cells = [
            machine.root.clone(),
            row.kind.to_owned(),
            row.name.clone(),
            finding.code.to_owned(),
            finding.severity.to_string(),
            finding.confidence.as_str().to_owned(),
            row.exposes.to_string(),
            place.map_or_else(String::new, |place| place.path.clone()),
            place.map_or_else(String::new, |place| place.line.to_string()),
            finding.title.en.clone(),
            exchange::evidence(finding).join("; "),
            lines_as_one(&finding.fix.en),
        ];
        write_row(cells.into_iter(), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use assess::local::{Instance, Network, Options, Socket, Word, audit, manifest};
    use model::Transport;

    use super::*;

    fn machine() -> Machine {
        let text = "services:\n  ca,che\u{1b}:\n    image: memcached\n    ports: ['11211:11211']\n";
        let file = manifest("deploy/a b.yaml", text);
        Machine {
            root: "/".to_owned(),
            services: file.services.clone(),
            files: vec![file],
            ..Machine::default()
        }
    }

    #[test]
    fn a_finding_has_its_file_and_line() {
        let machine = machine();
        let log = audit_sarif(&machine, &audit(&machine), SystemTime::UNIX_EPOCH, "0.1.0");
        assert!(log.ends_with("}\n") && !log.contains('\u{1b}'), "{log}");
        let log: Value = serde_json::from_str(&log).unwrap();
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        let [result] = &results[..] else {
            panic!("{results:?}");
        };
        assert_eq!(
            (&result["ruleId"], &result["level"]),
            (&json!("MS203"), &json!("error"))
        );
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], "MS203");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "deploy/a%20b.yaml");
        assert_eq!(place["region"]["startLine"], 4);
        assert_eq!(result["properties"]["exposes"], true);
        assert_eq!(
            file_uri("/etc/memcached.conf"),
            "file:///etc/memcached.conf"
        );
    }

    /// The fingerprints of servers that were started by hand.
    fn fingerprints(servers: &[(u32, &str)]) -> Vec<String> {
        let server = |(process, port): &(u32, &str)| {
            let argv: Vec<Word> = ["memcached", "-l", "0.0.0.0", "-p", port]
                .map(Word::bare)
                .to_vec();
            Instance {
                process: *process,
                options: Options::parse(&argv, None),
                argv,
                program: None,
                user_id: None,
                version: None,
                container: None,
                unit: None,
                network: Network::Ours,
                sockets: Some(vec![Socket::Network {
                    transport: Transport::Tcp,
                    address: format!("0.0.0.0:{port}").parse().unwrap(),
                }]),
                peers: Vec::new(),
            }
        };
        let machine = Machine {
            root: "/".to_owned(),
            instances: servers.iter().map(server).collect(),
            ..Machine::default()
        };
        let log = audit_sarif(&machine, &audit(&machine), SystemTime::UNIX_EPOCH, "0.1.0");
        let log: Value = serde_json::from_str(&log).unwrap();
        let results = log["runs"][0]["results"].as_array().unwrap();
        let open = results.iter().filter(|one| one["ruleId"] == "MS201");
        open.map(|one| one["partialFingerprints"].to_string())
            .collect()
    }

    #[test]
    fn a_restart_changes_no_fingerprint_and_two_servers_have_two() {
        let before = fingerprints(&[(100, "11211")]);
        assert_eq!(before.len(), 1);
        assert_eq!(before, fingerprints(&[(200, "11211")]));
        let two = fingerprints(&[(100, "11211"), (101, "11212")]);
        assert_eq!(two[0], before[0]);
        assert_ne!(two[0], two[1]);
    }

    #[test]
    fn another_root_has_its_own_files() {
        assert_eq!(
            artifact("/etc/a b.conf", "/mnt/image"),
            json!({ "uri": "etc/a%20b.conf", "uriBaseId": "ROOT" })
        );
        assert_eq!(artifact("a.yaml", "/mnt/image"), json!({ "uri": "a.yaml" }));
        let mut machine = machine();
        machine.root = "/mnt/image".to_owned();
        let log = audit_sarif(&machine, &audit(&machine), SystemTime::UNIX_EPOCH, "0.1.0");
        let log: Value = serde_json::from_str(&log).unwrap();
        let base = &log["runs"][0]["originalUriBaseIds"]["ROOT"]["uri"];
        assert_eq!(base, "file:///mnt/image/");
    }

    #[test]
    fn a_row_a_finding() {
        let machine = machine();
        let text = audit_csv(&machine, &audit(&machine));
        let rows: Vec<&str> = text.split_terminator("\r\n").collect();
        let [columns, row] = rows[..] else {
            panic!("{text}");
        };
        assert!(
            columns.starts_with("root,kind,name,code,severity"),
            "{columns}"
        );
        assert!(
            row.starts_with(
                "/,configuration,\"ca,che\\x1b\",MS203,high,confirmed,true,\"deploy/a b.yaml\",4,"
            ),
            "{row}"
        );
    }
}
