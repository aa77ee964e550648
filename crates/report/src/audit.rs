//! `memsweep audit`: what runs, what is configured, and what that means; as lines for people, as
//! one JSON object, and as NDJSON with one object for each server and the summary last.

use std::time::SystemTime;

use assess::local::{
    Audit, JudgedInstance, JudgedService, LocalFinding, Machine, Network, Published, Reach, Socket,
    Udp,
};
use model::{Language, Severity};
use serde_json::{Map, Value, json};

use crate::escape::{escape_for_terminal, escape_json};
use crate::values;
use crate::words::{pick, rfc3339};

/// The version of the records.
const SCHEMA: u32 = 1;

/// Lines for people.
pub fn audit_lines(machine: &Machine, audit: &Audit, language: Language) -> Vec<String> {
    let mut lines = Vec::new();
    let say = |en, ja| pick(language, en, ja).to_owned();
    lines.push(say("Running", "動作中"));
    if audit.instances.is_empty() {
        lines.push(format!("  {}", say("no memcached", "memcached なし")));
    }
    for judged in &audit.instances {
        lines.extend(instance_lines(judged, language));
    }
    lines.push(String::new());
    lines.push(say("Configured", "設定"));
    if audit.services.is_empty() {
        lines.push(format!("  {}", say("no memcached", "memcached なし")));
    }
    for judged in &audit.services {
        lines.extend(service_lines(judged, language));
    }
    for sessions in machine.files.iter().flat_map(|file| &file.sessions) {
        let servers = sessions.servers.join(", ");
        let label = pick(language, "PHP sessions", "PHP セッション");
        lines.push(format!(
            "  {label}: {} ({}) {}",
            servers, sessions.handler, sessions.place
        ));
    }
    for local in &audit.findings {
        lines.extend(finding_lines(local, language));
    }
    lines.extend(package_lines(machine, audit, language));
    if !machine.troubles.is_empty() {
        lines.push(String::new());
        lines.push(say("Could not be looked at", "確認できなかったもの"));
        for trouble in &machine.troubles {
            lines.push(format!("  {}: {}", trouble.path, trouble.what));
        }
    }
    lines.push(String::new());
    lines.push(closing(audit, language));
    lines.iter().map(|line| escape_for_terminal(line)).collect()
}

fn instance_lines(judged: &JudgedInstance, language: Language) -> Vec<String> {
    let instance = &judged.instance;
    let words: Vec<&str> = instance
        .argv
        .iter()
        .map(|word| word.text.as_str())
        .collect();
    let mut about = vec![format!(
        "{} {}",
        pick(language, "process", "プロセス"),
        instance.process
    )];
    about.extend(instance.unit.clone());
    if let Some(container) = &instance.container {
        about.push(format!(
            "{} {container}",
            pick(language, "container", "コンテナ")
        ));
    }
    if let Some(user) = instance.user_id {
        about.push(format!("uid {user}"));
    }
    let mut lines = vec![
        format!("  {}: {}", about.join(", "), words.join(" ")),
        format!(
            "    {}",
            reaches(&judged.tcp, &judged.udp, judged.auth, language)
        ),
    ];
    let sockets: Vec<String> = instance.sockets.iter().flatten().map(socket_text).collect();
    if !sockets.is_empty() {
        let label = pick(language, "listens on", "待ち受け");
        lines.push(format!("    {label} {}", sockets.join(", ")));
    }
    for local in &judged.findings {
        lines.extend(finding_lines(local, language));
    }
    lines
}

fn service_lines(judged: &JudgedService, language: Language) -> Vec<String> {
    let service = &judged.service;
    let words: Vec<&str> = service
        .words
        .iter()
        .map(|word| word.text.as_str())
        .collect();
    let state = match (judged.is_running, service.is_enabled) {
        (true, _) => pick(language, "runs", "動作中"),
        (false, Some(false)) => pick(language, "switched off", "無効"),
        (false, _) => pick(language, "does not run here", "ここでは動作していない"),
    };
    let mut lines = vec![format!(
        "  {} ({}; {state}): {}",
        service.name,
        service.files.join(", "),
        words.join(" ")
    )];
    let auth = if judged.options.demands_log_in() {
        "log-in"
    } else {
        "none"
    };
    lines.push(format!(
        "    {}",
        reaches(&judged.tcp, &judged.udp, auth, language)
    ));
    for local in &judged.findings {
        lines.extend(finding_lines(local, language));
    }
    lines
}

fn reaches(tcp: &Reach, udp: &Reach, auth: &str, language: Language) -> String {
    let word = |reach: &Reach| match reach {
        Reach::Off => pick(language, "off", "無効").to_owned(),
        Reach::Inside => pick(language, "this machine only", "この機械のみ").to_owned(),
        Reach::Apart => pick(language, "its own network only", "専用ネットワーク内のみ").to_owned(),
        Reach::Firewalled => pick(
            language,
            "stopped by the firewall",
            "ファイアウォールが遮断",
        )
        .to_owned(),
        Reach::Outside => pick(language, "reachable from outside", "外部から到達可能").to_owned(),
        Reach::Unclear(why) => format!("{} ({why})", pick(language, "unclear", "不明")),
    };
    let auth = format!("{}: {auth}", pick(language, "log-in", "認証"));
    format!("TCP: {} · UDP: {} · {auth}", word(tcp), word(udp))
}

fn finding_lines(local: &LocalFinding, language: Language) -> Vec<String> {
    let finding = &local.finding;
    let title = finding.title.in_language(language);
    let mut lines = vec![format!(
        "    {} {}: {title}",
        finding.code, finding.severity
    )];
    let evidence = finding
        .evidence
        .iter()
        .map(|text| text.in_language(language));
    lines.extend(evidence.map(|text| format!("      {text}")));
    let fix = finding.fix.in_language(language);
    lines.push(format!("      {}: {fix}", pick(language, "fix", "対策")));
    lines
}

/// The packages, and one line for each flaw; `explain` says the rest.
fn package_lines(machine: &Machine, audit: &Audit, language: Language) -> Vec<String> {
    let mut lines = Vec::new();
    for package in &machine.packages {
        lines.push(String::new());
        let label = pick(language, "Package", "パッケージ");
        lines.push(format!(
            "{label} {} {} ({})",
            package.name, package.version, package.manager
        ));
    }
    lines.extend(audit.flaws.iter().map(|flaw| {
        let title = flaw.title.in_language(language);
        format!(
            "  {} {} ({}): {title}",
            flaw.code,
            flaw.severity,
            flaw.confidence.as_str()
        )
    }));
    lines
}

fn closing(audit: &Audit, language: Language) -> String {
    let text = match (audit.is_exposed(Severity::Low), audit.is_complete) {
        (true, _) => pick(
            language,
            "Reachable from outside, or configured to be. `memsweep fix` shows the change that closes it.",
            "外部から到達可能、またはその設定です。`memsweep fix` が閉じるための変更を示します。",
        ),
        (false, true) => pick(
            language,
            "Nothing here is reachable from outside, by what runs and what is configured.",
            "動作中のものにも設定にも、外部から到達できるものはありません。",
        ),
        (false, false) => pick(
            language,
            "Nothing reachable was found, but not everything could be looked at.",
            "到達できるものは見つかりませんでしたが、すべては確認できていません。",
        ),
    };
    text.to_owned()
}

/// One JSON object over several lines.
pub fn audit_json(machine: &Machine, audit: &Audit, now: SystemTime) -> String {
    let instances: Vec<Value> = audit.instances.iter().map(instance_value).collect();
    let services: Vec<Value> = audit.services.iter().map(service_value).collect();
    let value = json!({
        "schema": SCHEMA,
        "timestamp": rfc3339(now),
        "root": machine.root,
        "instances": instances,
        "configurations": services,
        "files": files(machine),
        "sessions": sessions(machine),
        "findings": findings(&audit.findings),
        "summary": summary(machine, audit),
    });
    escape_json(&format!("{value:#}"))
}

/// NDJSON: records `instance`, `configuration`, `sessions`, and one `summary` at the end.
pub fn audit_ndjson(machine: &Machine, audit: &Audit, now: SystemTime) -> Vec<String> {
    let line = |record: &str, value: Value| {
        let mut object = Map::new();
        object.insert("record".to_owned(), json!(record));
        object.insert("schema".to_owned(), json!(SCHEMA));
        object.insert("timestamp".to_owned(), json!(rfc3339(now)));
        if let Value::Object(fields) = value {
            object.extend(fields);
        }
        escape_json(&Value::Object(object).to_string())
    };
    let mut lines = Vec::new();
    lines.extend(
        audit
            .instances
            .iter()
            .map(|judged| line("instance", instance_value(judged))),
    );
    lines.extend(
        audit
            .services
            .iter()
            .map(|judged| line("configuration", service_value(judged))),
    );
    let value = json!({ "sessions": sessions(machine), "findings": findings(&audit.findings) });
    lines.push(line("sessions", value));
    lines.push(line("summary", summary(machine, audit)));
    lines
}

fn instance_value(judged: &JudgedInstance) -> Value {
    let instance = &judged.instance;
    let argv: Vec<&str> = instance
        .argv
        .iter()
        .map(|word| word.text.as_str())
        .collect();
    let sockets = instance
        .sockets
        .as_ref()
        .map(|sockets| sockets.iter().map(socket_text).collect::<Vec<String>>());
    let peers: Vec<String> = instance.peers.iter().map(ToString::to_string).collect();
    let network = match instance.network {
        Network::Ours => "host",
        Network::Own => "own",
        Network::Unknown => "unknown",
    };
    let mut value = json!({
        "pid": instance.process,
        "argv": argv,
        "network": network,
        "tcp": judged.tcp.as_str(),
        "udp": judged.udp.as_str(),
        "auth": judged.auth,
        "remote_clients": peers,
        "findings": findings(&judged.findings),
    });
    // What is not known is absent.
    let known = [
        ("program", instance.program.clone().map(Value::from)),
        ("uid", instance.user_id.map(Value::from)),
        (
            "version",
            instance.version.map(|version| version.to_string().into()),
        ),
        ("container", instance.container.clone().map(Value::from)),
        ("unit", instance.unit.clone().map(Value::from)),
        ("sockets", sockets.map(Value::from)),
        ("configuration", judged.service.map(Value::from)),
    ];
    for (key, field) in known {
        if let Some(field) = field {
            value[key] = field;
        }
    }
    value
}

fn service_value(judged: &JudgedService) -> Value {
    let service = &judged.service;
    let words: Vec<Value> = service
        .words
        .iter()
        .map(|word| match &word.place {
            Some(place) => json!({ "word": word.text, "file": place.path, "line": place.line }),
            None => json!({ "word": word.text }),
        })
        .collect();
    let mut value = json!({
        "name": service.name,
        "kind": service.kind.as_str(),
        "path": service.path,
        "files": service.files,
        "words": words,
        "running": judged.is_running,
        "tcp": judged.tcp.as_str(),
        "udp": judged.udp.as_str(),
        "tcp_port": judged.options.tcp_port,
        "findings": findings(&judged.findings),
    });
    match judged.options.udp {
        Udp::Off => value["udp_port"] = json!(0),
        Udp::On(port) => value["udp_port"] = json!(port),
        // On before 1.5.6 only, and nobody knows the version: absent.
        Udp::OnBefore156(_) => {}
    }
    if let Some(is_enabled) = service.is_enabled {
        value["enabled"] = json!(is_enabled);
    }
    if let Some(published) = &service.published {
        value["published"] = published.iter().map(published_value).collect();
    }
    value
}

fn published_value(port: &Published) -> Value {
    let mut value = json!({
        "transport": port.transport.as_str(),
        "container_port": port.container_port,
        "by": port.by,
    });
    if let Some(address) = &port.host_address {
        value["host_address"] = json!(address);
    }
    if let Some(host_port) = port.host_port {
        value["host_port"] = json!(host_port);
    }
    if let Some(place) = &port.place {
        value["file"] = json!(place.path);
        value["line"] = json!(place.line);
    }
    value
}

fn files(machine: &Machine) -> Value {
    let files = machine.files.iter().map(|file| {
        let settings: Vec<Value> = file
            .settings
            .iter()
            .map(|setting| {
                json!({ "name": setting.name, "value": setting.value, "line": setting.place.line })
            })
            .collect();
        json!({ "path": file.path, "kind": file.kind.as_str(), "settings": settings })
    });
    files.collect()
}

fn sessions(machine: &Machine) -> Value {
    let sessions = machine
        .files
        .iter()
        .flat_map(|file| &file.sessions)
        .map(|sessions| {
            json!({
                "handler": sessions.handler,
                "servers": sessions.servers,
                "file": sessions.place.path,
                "line": sessions.place.line,
            })
        });
    sessions.collect()
}

fn findings(findings: &[LocalFinding]) -> Value {
    let findings = findings.iter().map(|local| {
        let mut value = values::finding(&local.finding);
        value["exposes"] = json!(local.exposes);
        if let Some(place) = &local.place {
            value["file"] = json!(place.path);
            value["line"] = json!(place.line);
        }
        value
    });
    findings.collect()
}

fn summary(machine: &Machine, audit: &Audit) -> Value {
    let packages: Vec<Value> = machine
        .packages
        .iter()
        .map(|package| {
            json!({ "manager": package.manager, "name": package.name, "version": package.version })
        })
        .collect();
    let troubles: Vec<Value> = machine
        .troubles
        .iter()
        .map(
            |trouble| json!({ "path": trouble.path, "what": trouble.what, "hides": trouble.hides }),
        )
        .collect();
    let mut firewall = json!({ "read": machine.firewall.unread.is_none() });
    if let Some(manager) = machine.firewall.manager {
        firewall["manager"] = json!(manager);
    }
    if let Some(why) = &machine.firewall.unread {
        firewall["why"] = json!(why);
    }
    json!({
        "root": machine.root,
        "instances": audit.instances.len(),
        "configurations": audit.services.len(),
        "reachable": audit.is_exposed(Severity::Info),
        "packages": packages,
        "flaws": audit.flaws.iter().map(values::finding).collect::<Vec<Value>>(),
        "firewall": firewall,
        "troubles": troubles,
        "complete": audit.is_complete,
    })
}

fn socket_text(socket: &Socket) -> String {
    match socket {
        Socket::Network { transport, address } => format!("{address}/{transport}"),
        Socket::Unix(path) => format!("unix:{path}"),
    }
}

#[cfg(test)]
mod tests {
    use assess::local::{audit, manifest, memcached_conf};

    use super::*;

    fn machine() -> Machine {
        let conf = memcached_conf("/etc/memcached.conf", "-l 127.0.0.1\n-U 0\n");
        let text = "services:\n  cache\u{1b}:\n    image: memcached\n";
        let quiet = manifest("/a.yaml", text);
        let text = "services:\n  cache:\n    image: memcached\n    ports: ['11211:11211']\n";
        let open = manifest("/b.yaml", text);
        let mut machine = Machine {
            root: "/".to_owned(),
            ..Machine::default()
        };
        for file in [conf, quiet, open] {
            machine.services.extend(file.services.clone());
            machine.files.push(file);
        }
        machine
    }

    #[test]
    fn lines_for_people() {
        let machine = machine();
        let audit = audit(&machine);
        let lines = audit_lines(&machine, &audit, Language::English);
        let expected = "Running
  no memcached

Configured
  memcached (/etc/memcached.conf; does not run here): /usr/bin/memcached -l 127.0.0.1 -U 0
    TCP: this machine only · UDP: off · log-in: none
  cache\\x1b (/a.yaml; does not run here): memcached
    TCP: its own network only · UDP: its own network only · log-in: none
  cache (/b.yaml; does not run here): memcached
    TCP: reachable from outside · UDP: its own network only · log-in: none
    MS203 high: Configured to be reachable from outside
      cache: memcached
      published: *:11211/tcp → 11211 (ports, /b.yaml:4)
      configured at /b.yaml:4
      fix: publish to loopback only (127.0.0.1:11211:11211), or not at all: containers of one network need no published port

Reachable from outside, or configured to be. `memsweep fix` shows the change that closes it.";
        // A name in a file is data: what would move the cursor is shown.
        assert_eq!(lines.join("\n"), expected);
        let japanese = audit_lines(&machine, &audit, Language::Japanese);
        assert_eq!(japanese.len(), lines.len());
        assert_eq!(japanese[0], "動作中");
    }

    #[test]
    fn forms_for_programs() {
        let machine = machine();
        let audit = audit(&machine);
        let lines = audit_ndjson(&machine, &audit, SystemTime::UNIX_EPOCH);
        let records: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let kinds: Vec<&str> = records
            .iter()
            .map(|record| record["record"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds,
            [
                "configuration",
                "configuration",
                "configuration",
                "sessions",
                "summary"
            ]
        );
        assert_eq!(
            records[0]["words"][1],
            json!({ "word": "-l", "file": "/etc/memcached.conf", "line": 1 })
        );
        assert_eq!(records[2]["findings"][0]["code"], "MS203");
        assert_eq!(
            (&records[2]["findings"][0]["line"], &records[4]["reachable"]),
            (&json!(4), &json!(true))
        );
        let whole: Value =
            serde_json::from_str(&audit_json(&machine, &audit, SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(whole["summary"]["complete"], true);
        assert_eq!(
            whole["configurations"][2]["published"][0]["host_port"],
            11211
        );
    }
}
