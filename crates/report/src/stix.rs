//! A STIX 2.1 bundle (OASIS): what was seen of servers that strangers can use.
//!
//! Each is an `infrastructure` that consists of its address and the traffic that came from it, has
//! the vulnerabilities that findings name, and carries its findings as a `note`. Ids are made of
//! what they stand for (RFC 9562 UUIDv5; for observables as section 2.9 of STIX says), so that the
//! same run gives the same bundle. Objects of a run are that run's; identity and vulnerabilities
//! are the same in every run, and therefore always have been made at the same moment.
//!
//! The traffic is the server's answer: its source port is the server's. To which port of ours it
//! went is not known, and not made up.

use std::collections::HashSet;
use std::net::IpAddr;

use model::{Record, RunRecord, Summary, Transport};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exchange::{self, Elements, shown, shown_lines};
use crate::values::{Object, set, set_some};
use crate::words::rfc3339;
use crate::{Report, values};

/// The namespace of observables' ids (section 2.9).
const OBSERVABLES: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);
/// `TLP:AMBER` (section 7.2.1.4).
const TLP_AMBER: &str = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82";
/// When what is the same in every run was made.
const EPOCH: &str = "2026-01-01T00:00:00.000Z";
/// Objects that are remembered so that none comes twice; beyond it, some may.
const REMEMBERED_MAX: usize = 1 << 20;

/// Writes objects as they come; it remembers the ids of those that several servers share.
#[derive(Default)]
pub(crate) struct StixReport {
    begun: bool,
    objects: Elements,
    written: HashSet<Uuid>,
    /// Our own address, and the id of its object.
    source: Option<(IpAddr, String)>,
}

impl Report for StixReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        let source = run.vantage.source.as_deref();
        self.source = source
            .and_then(|source| source.parse().ok())
            .map(|ip| (ip, address_id(ip)));
        self.begin(&run.run, out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.begin(&record.run, out);
        let Some(ip) = record.endpoint.address.ip() else {
            return;
        };
        if exchange::is_open_to_others(record) {
            self.server(record, ip, out);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.begin(&summary.run, out);
        self.objects.close(2, out);
        out.extend_from_slice(b"\n}\n");
        self.begun = false;
    }
}

impl StixReport {
    fn begin(&mut self, run: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let id = exchange::id(&["bundle", run]);
        let head =
            format!("{{\n  \"type\": \"bundle\",\n  \"id\": \"bundle--{id}\",\n  \"objects\": [");
        out.extend_from_slice(head.as_bytes());
        self.objects.push(&marking(), 4, out);
        let mut identity = domain("identity", &identity_id(), EPOCH);
        // It makes itself: nobody else is known.
        identity.shift_remove("created_by_ref");
        set(&mut identity, "name", "memsweep");
        set(&mut identity, "identity_class", "system");
        self.objects.push(&identity.into(), 4, out);
    }

    /// Writes an object unless it was written before.
    fn once(&mut self, object: Object, out: &mut Vec<u8>) {
        let id = object.get("id").and_then(Value::as_str);
        let id = id.and_then(|id| id.rsplit_once("--")?.1.parse().ok());
        let known = id.is_some_and(|id| {
            let full = self.written.len() >= REMEMBERED_MAX;
            self.written.contains(&id) || (!full && !self.written.insert(id))
        });
        if !known {
            self.objects.push(&object.into(), 4, out);
        }
    }

    fn server(&mut self, record: &Record, ip: IpAddr, out: &mut Vec<u8>) {
        let time = rfc3339(record.timestamp);
        let endpoint = record.endpoint.to_string();
        let of_run = |kind: &str| id_of_run(kind, record, &endpoint);
        let observables = self.observables(record, ip, out);
        let mut observed = domain("observed-data", &of_run("observed-data"), &time);
        set(&mut observed, "first_observed", time.as_str());
        set(&mut observed, "last_observed", time.as_str());
        set(&mut observed, "number_observed", 1);
        set(&mut observed, "object_refs", observables.clone());
        self.once(observed, out);

        let infrastructure_id = of_run("infrastructure");
        self.once(infrastructure(record, &infrastructure_id, &time), out);
        for observable in &observables {
            let relation = relationship("consists-of", &infrastructure_id, observable, &time);
            self.once(relation, out);
        }
        for finding in &record.judgement.findings {
            if let Some(cve) = exchange::cve(finding) {
                let vulnerability = vulnerability(cve, finding.code);
                let id = text_of(&vulnerability, "id");
                self.once(vulnerability, out);
                self.once(relationship("has", &infrastructure_id, &id, &time), out);
            }
        }
        if !record.judgement.findings.is_empty() {
            let mut note = domain("note", &of_run("note"), &time);
            set(
                &mut note,
                "abstract",
                format!("Findings of memsweep about {endpoint}"),
            );
            set(&mut note, "content", findings_text(record));
            set(&mut note, "object_refs", json!([infrastructure_id]));
            self.once(note, out);
        }
    }

    /// The address, the traffic and the software, and their ids.
    fn observables(&mut self, record: &Record, ip: IpAddr, out: &mut Vec<u8>) -> Vec<String> {
        let address = address_object(ip);
        let address_id = address_id(ip);
        let mut ids = vec![address_id.clone()];
        self.once(address, out);
        if let Some((source, _)) = self.source {
            self.once(address_object(source), out);
        }
        let traffic = self.traffic(record, &address_id);
        ids.push(text_of(&traffic, "id"));
        self.once(traffic, out);
        if let Some(version) = exchange::version(record) {
            let named = json!({ "name": "memcached", "version": version });
            let mut software = observable("software", &named);
            set(&mut software, "name", "memcached");
            set(&mut software, "version", version);
            ids.push(text_of(&software, "id"));
            self.once(software, out);
        }
        ids
    }

    fn traffic(&self, record: &Record, address_id: &str) -> Object {
        let transport = match record.endpoint.transport {
            Transport::Udp => "udp",
            Transport::Tcp | Transport::Unix => "tcp",
        };
        let network = match record.endpoint.address.ip() {
            Some(IpAddr::V6(_)) => "ipv6",
            _ => "ipv4",
        };
        let mut named = Object::new();
        let destination = self.source.as_ref().map(|(_, id)| id.as_str());
        set_some(&mut named, "dst_ref", destination);
        set(
            &mut named,
            "protocols",
            json!([network, transport, "memcache"]),
        );
        set(&mut named, "src_port", record.endpoint.port);
        set(&mut named, "src_ref", address_id);
        let mut traffic = observable("network-traffic", &Value::Object(named.clone()));
        traffic.extend(named);
        traffic
    }
}

/// The object that marks everything here as for the recipient and those who must act.
fn marking() -> Value {
    json!({
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": TLP_AMBER,
        "created": "2017-01-20T00:00:00.000Z",
        "definition_type": "tlp",
        "name": "TLP:AMBER",
        "definition": { "tlp": "amber" },
    })
}

fn identity_id() -> String {
    format!("identity--{}", exchange::id(&["identity", "memsweep"]))
}

fn id_of_run(kind: &str, record: &Record, endpoint: &str) -> String {
    format!("{kind}--{}", exchange::id(&[kind, &record.run, endpoint]))
}

/// What every domain object and relationship has.
fn domain(kind: &str, id: &str, created: &str) -> Object {
    let mut object = Object::new();
    set(&mut object, "type", kind);
    set(&mut object, "spec_version", "2.1");
    set(&mut object, "id", id);
    set(&mut object, "created_by_ref", identity_id());
    set(&mut object, "created", created);
    set(&mut object, "modified", created);
    set(&mut object, "object_marking_refs", json!([TLP_AMBER]));
    object
}

/// What every observable has. Its id is made of the properties that name it, as JSON whose keys
/// are sorted (RFC 8785).
fn observable(kind: &str, named: &Value) -> Object {
    let id = Uuid::new_v5(&OBSERVABLES, named.to_string().as_bytes());
    let mut object = Object::new();
    set(&mut object, "type", kind);
    set(&mut object, "spec_version", "2.1");
    set(&mut object, "id", format!("{kind}--{id}"));
    object
}

fn address_object(ip: IpAddr) -> Object {
    let kind = if ip.is_ipv4() {
        "ipv4-addr"
    } else {
        "ipv6-addr"
    };
    let mut address = observable(kind, &json!({ "value": ip.to_string() }));
    set(&mut address, "value", ip.to_string());
    address
}

fn address_id(ip: IpAddr) -> String {
    text_of(&address_object(ip), "id")
}

fn text_of(object: &Object, key: &str) -> String {
    let text = object.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn infrastructure(record: &Record, id: &str, time: &str) -> Object {
    let mut object = domain("infrastructure", id, time);
    set(
        &mut object,
        "name",
        format!("memcached at {}", record.endpoint),
    );
    set(
        &mut object,
        "description",
        shown(&record.judgement.reason.en),
    );
    // Of the vocabulary's words only this one fits, and only over UDP.
    let reflects = record.endpoint.transport == Transport::Udp;
    let kind = if reflects { "amplification" } else { "unknown" };
    set(&mut object, "infrastructure_types", json!([kind]));
    set(&mut object, "first_seen", time);
    object
}

fn relationship(word: &str, source: &str, target: &str, time: &str) -> Object {
    let id = format!("relationship--{}", exchange::id(&[word, source, target]));
    let mut object = domain("relationship", &id, time);
    set(&mut object, "relationship_type", word);
    set(&mut object, "source_ref", source);
    set(&mut object, "target_ref", target);
    object
}

fn vulnerability(cve: &str, code: &str) -> Object {
    let id = format!("vulnerability--{}", exchange::id(&["vulnerability", cve]));
    let mut object = domain("vulnerability", &id, EPOCH);
    set(&mut object, "name", cve);
    let rule = assess::explain(code);
    set_some(&mut object, "description", rule.map(|rule| rule.what.en));
    let reference = json!({ "source_name": "cve", "external_id": cve });
    set(&mut object, "external_references", json!([reference]));
    object
}

/// The findings of an endpoint, in lines.
fn findings_text(record: &Record) -> String {
    let mut lines = Vec::new();
    if let Some(dialogue) = &record.evidence.dialogue
        && let Some(strongest) = values::strongest(&dialogue.amplification)
    {
        let ratio = values::payload_ratio(strongest);
        lines.push(format!("UDP payload ratio: {ratio}"));
    }
    for finding in &record.judgement.findings {
        lines.push(format!(
            "{} {} ({}): {}",
            finding.code,
            finding.severity,
            finding.confidence.as_str(),
            shown(&finding.title.en)
        ));
        lines.extend(
            exchange::evidence(finding)
                .into_iter()
                .map(|line| format!("  {line}")),
        );
        lines.push(format!("  fix: {}", shown_lines(&finding.fix.en)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `uuid.uuid5` of Python makes of the namespace and `{"value":"198.51.100.3"}`.
    #[test]
    fn observables_have_the_ids_that_others_give_them() {
        assert_eq!(
            address_id(IpAddr::from([198, 51, 100, 3])),
            "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4"
        );
    }
}
