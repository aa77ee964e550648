//! The Ansible inventory, read by PyYAML and by Ansible itself.

use std::process::Command;

use model::Language::English;
use report::{Format, Style};
use serde_json::Value;

use crate::consumers::{self, accepted_by, file, python};
use crate::fixture::{self, Run};
use crate::golden::check;
use crate::{options, render};

const PYTHON_YAML: &str = "
import json, sys, yaml
print(json.dumps(yaml.safe_load(sys.stdin.buffer.read().decode('utf-8'))))
";

fn inventory(run: &Run) -> String {
    render(Format::Ansible, &options(Style::Scan, English, 100), run)
}

#[track_caller]
fn by_yaml(run: &Run) -> Value {
    let read = accepted_by(python(PYTHON_YAML), inventory(run).as_bytes());
    serde_json::from_str(&read).unwrap()
}

fn ansible(program: &str, name: &str, run: &Run) -> Command {
    let path = file(&format!("ansible-{name}.yml"), &inventory(run));
    let home = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ansible");
    std::fs::create_dir_all(&home).unwrap();
    let mut command = testkit::consumers::python(program);
    // Nothing of the user's own configuration, and nothing written outside.
    command
        .env("ANSIBLE_HOME", &home)
        .env("ANSIBLE_LOCAL_TEMP", &home);
    command
        .env("ANSIBLE_CONFIG", file("ansible.cfg", ""))
        .env("LC_ALL", "C.UTF-8");
    command.arg("-i").arg(path);
    command
}

#[test]
fn inventory_of_a_run() {
    check("everything.yml", &inventory(&fixture::everything()));
    check("interrupted.yml", &inventory(&fixture::interrupted()));
}

#[test]
fn yaml_reads_it_whatever_servers_say() {
    for run in [
        fixture::everything(),
        fixture::nothing_exposed(),
        fixture::only_here(),
        fixture::interrupted(),
        consumers::loud_run(),
    ] {
        let read = by_yaml(&run);
        assert!(read["all"]["hosts"].is_object() && read["all"]["children"].is_object());
    }
    let loud = by_yaml(&consumers::loud_run());
    for (record, text) in consumers::loud_run()
        .records
        .iter()
        .zip(consumers::strings())
    {
        let host = &loud["all"]["hosts"][record.endpoint.address.to_string()];
        assert_eq!(host["memsweep_port"], 11211);
        let shown = report::escape_for_terminal(&text);
        let version = host["memsweep_version"].as_str().unwrap();
        if !shown.contains('{') {
            assert_eq!(version, shown);
        }
        assert!(
            !["{{", "{%", "{#"].iter().any(|open| version.contains(open)),
            "{version}"
        );
    }
}

#[test]
fn who_is_to_be_mended_and_how() {
    let read = by_yaml(&fixture::everything());
    let hosts = read["all"]["hosts"].as_object().unwrap();
    // Protected, accepted, reachable from here only, closed: nothing to mend.
    for address in ["192.168.2.11", "192.168.2.30", "127.0.0.1", "192.168.2.90"] {
        assert!(!hosts.contains_key(address), "{address}");
    }
    let host = &hosts["192.168.2.10"];
    assert_eq!(host["ansible_host"], "192.168.2.10");
    assert_eq!(host["memsweep_hostname"], "cache.example");
    let codes = |host: &Value| -> Vec<String> {
        let findings = host["memsweep_findings"].as_array().unwrap().iter();
        let place = |one: &Value| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            format!(
                "{} {} {}",
                text("code"),
                text("severity"),
                text("transport")
            )
        };
        findings.map(place).collect()
    };
    assert_eq!(
        codes(host),
        ["MS001 critical tcp", "MS031 medium tcp", "MS002 high udp"]
    );
    let fixes = host["memsweep_fix"].as_array().unwrap();
    assert_eq!(fixes.len(), 3);
    assert_eq!(
        fixes[2],
        "Switch UDP off: -U 0 in /etc/memcached.conf systemctl restart memcached"
    );
    let members = |group: &str| -> Vec<&String> {
        let group = &read["all"]["children"][group]["hosts"];
        group.as_object().unwrap().keys().collect()
    };
    assert_eq!(members("memcached_exposed").len(), hosts.len());
    assert_eq!(members("memcached_udp").len(), 6);
    assert_eq!(members("memcached_ms002"), members("memcached_udp"));
    assert_eq!(members("memcached_ms001").len(), 4);
}

#[test]
fn ansible_lists_the_same_hosts_and_groups() {
    let mut run = fixture::everything();
    let mut zoned = fixture::ipv6();
    let link_local = "fe80::1".parse().unwrap();
    zoned.endpoint.address = model::Address::Zoned(link_local, "eth0".into());
    run.records.push(zoned);
    for (name, run) in [("listed", run), ("empty", fixture::interrupted())] {
        let mut command = ansible("ansible-inventory", name, &run);
        command.arg("--list");
        let listed: Value = serde_json::from_str(&accepted_by(command, b"")).unwrap();
        let by_yaml = by_yaml(&run);
        let variables = &by_yaml["all"]["hosts"];
        assert_eq!(&listed["_meta"]["hostvars"], variables);
        for (group, members) in by_yaml["all"]["children"].as_object().unwrap() {
            let members: Vec<&String> = members["hosts"].as_object().unwrap().keys().collect();
            let listed = listed[group]["hosts"].as_array().unwrap();
            assert_eq!(listed.len(), members.len(), "{group}");
            assert!(
                members
                    .iter()
                    .all(|one| listed.contains(&Value::from(one.as_str())))
            );
        }
    }
}

#[test]
fn ansible_executes_nothing_that_a_server_says() {
    let mut run = fixture::two_servers();
    run.records = [
        "{{ 191 * 7 }}",
        "{{{ 191 * 7 }}}",
        "{% if true %}{{ 191 * 7 }}{% endif %}",
        "{{ lookup('pipe', 'expr 191 * 7') }}",
    ]
    .iter()
    .enumerate()
    .map(|(index, text)| fixture::saying(&format!("10.2.0.{}", index + 1), text))
    .collect();
    let mut command = ansible("ansible", "template", &run);
    let variable = "var=[memsweep_version,memsweep_hostname]";
    command.args(["all", "-m", "debug", "-a", variable]);
    let said = accepted_by(command, b"");
    // Each host says its own string back, and nobody has calculated.
    assert!(said.contains("{ { 191 * 7 }}"), "{said}");
    assert!(!said.contains("1337"), "{said}");
}
