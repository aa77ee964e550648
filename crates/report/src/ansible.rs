//! An Ansible inventory (YAML) of the hosts that have something to mend: a group of all that are
//! exposed, one of those over UDP, and one for each finding. docs/formats/ansible.md tells how to use
//! it.
//!
//! Ansible takes `{{ … }}` in an inventory for a template and executes it on the control node. So no
//! server may bring one: braces that would open one are pulled apart. Everything foreign stands
//! between double quotes, which mean the same in YAML 1.1 and 1.2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Address, Finding, Record, RunRecord, Severity, Summary, Transport, Verdict};

use crate::Report;
use crate::escape::escape_for_terminal;
use crate::layout::truncate;
use crate::words::rfc3339;

/// Hosts that are held until the summary; what comes beyond is only counted.
const HOSTS_MAX: usize = 20_000;
/// Columns of one text.
const TEXT_COLUMNS_MAX: usize = 1_000;

/// Holds the hosts until the summary.
#[derive(Default)]
pub(crate) struct AnsibleReport {
    head: String,
    hosts: BTreeMap<Address, Host>,
    endpoints_omitted: u64,
    /// Texts that hosts share: there are many hosts, and few different things to do.
    texts: BTreeSet<Arc<str>>,
}

#[derive(Default)]
struct Host {
    hostname: Option<String>,
    owner: Option<String>,
    version: Option<String>,
    ports: BTreeSet<u16>,
    is_exposed: bool,
    is_exposed_over_udp: bool,
    mends: BTreeSet<Mend>,
}

/// One finding, ordered by place, the worst first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Mend {
    port: u16,
    transport: Transport,
    severity: std::cmp::Reverse<Severity>,
    code: &'static str,
    title: Arc<str>,
    fix: Arc<str>,
}

impl Report for AnsibleReport {
    fn run(&mut self, run: &RunRecord, _out: &mut Vec<u8>) {
        self.head = format!(
            "# memsweep {}, run {} of {}: hosts with something to mend\n",
            escape_for_terminal(&run.tool_version),
            escape_for_terminal(&run.run),
            rfc3339(run.timestamp)
        );
    }

    fn record(&mut self, record: &Record, _out: &mut Vec<u8>) {
        let endpoint = &record.endpoint;
        let is_reached = matches!(
            record.judgement.verdict,
            Verdict::Exposed | Verdict::Protected
        );
        let wanted: Vec<&Finding> = record
            .judgement
            .findings
            .iter()
            .filter(|finding| is_to_mend(record, finding))
            .collect();
        if !is_reached || wanted.is_empty() || endpoint.transport == Transport::Unix {
            return;
        }
        let is_known = self.hosts.contains_key(&endpoint.address);
        if !is_known && self.hosts.len() >= HOSTS_MAX {
            self.endpoints_omitted += 1;
            return;
        }
        let mends: Vec<Mend> = wanted
            .iter()
            .map(|finding| Mend {
                port: endpoint.port,
                transport: endpoint.transport,
                severity: std::cmp::Reverse(finding.severity),
                code: finding.code,
                title: self.shared(&finding.title.en),
                fix: self.shared(&finding.fix.en),
            })
            .collect();
        let host = self.hosts.entry(endpoint.address.clone()).or_default();
        let is_exposed = record.judgement.verdict == Verdict::Exposed;
        host.is_exposed |= is_exposed;
        host.is_exposed_over_udp |= is_exposed && endpoint.transport == Transport::Udp;
        host.ports.insert(endpoint.port);
        host.mends.extend(mends);
        let dialogue = record.evidence.dialogue.as_deref();
        let version = dialogue.and_then(|dialogue| dialogue.version.value());
        let known = &record.enrichment;
        let name = record.hostname.as_deref().or(known.reverse_name.as_deref());
        for (slot, text) in [
            (&mut host.hostname, name),
            (&mut host.owner, known.owner.as_deref()),
            (&mut host.version, version.map(String::as_str)),
        ] {
            // The same of several, whatever the order in which they come.
            let new = text.map(|text| truncate(text, TEXT_COLUMNS_MAX));
            *slot = [slot.take(), new].into_iter().flatten().min();
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        put(&self.head, out);
        if !summary.complete {
            put("# Not complete: the run broke off.\n", out);
        }
        if self.endpoints_omitted > 0 {
            let words = "# Left out, because there are too many hosts: endpoints";
            put(&format!("{words} {}\n", self.endpoints_omitted), out);
        }
        put("all:\n  hosts:", out);
        if self.hosts.is_empty() {
            put(" {}", out);
        }
        put("\n", out);
        for (address, host) in &self.hosts {
            write_host(address, host, out);
        }
        self.write_groups(out);
    }
}

/// Findings that cost nothing, and risks that were accepted, are nothing to mend.
fn is_to_mend(record: &Record, finding: &Finding) -> bool {
    let accepts = |rule: Option<&str>| rule.is_none_or(|rule| rule == finding.code);
    let mut acceptances = record.acceptances.iter();
    finding.severity > Severity::Info && !acceptances.any(|one| accepts(one.rule.as_deref()))
}

impl AnsibleReport {
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = Arc::from(text);
        self.texts.insert(Arc::clone(&text));
        text
    }

    fn write_groups(&self, out: &mut Vec<u8>) {
        let mut groups: BTreeMap<String, Vec<&Address>> = BTreeMap::new();
        for (address, host) in &self.hosts {
            let of_codes = host.mends.iter();
            let of_codes = of_codes.map(|mend| format!("memcached_{}", mend.code.to_lowercase()));
            let mut names: BTreeSet<String> = of_codes.collect();
            if host.is_exposed {
                names.insert("memcached_exposed".to_owned());
            }
            if host.is_exposed_over_udp {
                names.insert("memcached_udp".to_owned());
            }
            for name in names {
                groups.entry(name).or_default().push(address);
            }
        }
        put("  children:", out);
        if groups.is_empty() {
            put(" {}", out);
        }
        put("\n", out);
        for (name, members) in groups {
            put(&format!("    {name}:\n      hosts:\n"), out);
            for address in members {
                let address = quoted(&address.to_string());
                put(&format!("        {address}: {{}}\n"), out);
            }
        }
    }
}

fn write_host(address: &Address, host: &Host, out: &mut Vec<u8>) {
    let address = quoted(&address.to_string());
    put(
        &format!("    {address}:\n      ansible_host: {address}\n"),
        out,
    );
    if let Some(port) = host.ports.first() {
        put(&format!("      memsweep_port: {port}\n"), out);
    }
    for (name, text) in [
        ("memsweep_hostname", &host.hostname),
        ("memsweep_owner", &host.owner),
        ("memsweep_version", &host.version),
    ] {
        if let Some(text) = text {
            put(&format!("      {name}: {}\n", quoted(text)), out);
        }
    }
    put("      memsweep_findings:\n", out);
    let mut fixes: Vec<&str> = Vec::new();
    for mend in &host.mends {
        let entry = format!(
            "        - code: {}\n          severity: {}\n          port: {}\n          \
             transport: {}\n          title: {}\n",
            quoted(mend.code),
            mend.severity.0,
            mend.port,
            mend.transport,
            quoted(&mend.title)
        );
        put(&entry, out);
        if !mend.fix.is_empty() && !fixes.contains(&&*mend.fix) {
            fixes.push(&mend.fix);
        }
    }
    put("      memsweep_fix:", out);
    if fixes.is_empty() {
        put(" []", out);
    }
    put("\n", out);
    for fix in fixes {
        let one_line = fix.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        put(&format!("        - {}\n", quoted(&one_line)), out);
    }
}

/// A double-quoted scalar that neither YAML nor a template engine takes for more than text.
fn quoted(text: &str) -> String {
    let shown = truncate(&escape_for_terminal(text), TEXT_COLUMNS_MAX);
    let mut quoted = String::with_capacity(shown.len() + 2);
    quoted.push('"');
    let mut characters = shown.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{fffe}' => quoted.push_str("\\uFFFE"),
            '\u{ffff}' => quoted.push_str("\\uFFFF"),
            plain => quoted.push(plain),
        }
        if character == '{' && matches!(characters.peek(), Some('{' | '%' | '#')) {
            quoted.push(' ');
        }
    }
    quoted.push('"');
    quoted
}

fn put(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_is_a_template() {
        for (text, written) in [
            ("1.6.18", "\"1.6.18\""),
            ("{{ x }}", "\"{ { x }}\""),
            ("{{{% x", "\"{ { { % x\""),
            ("{# x #}", "\"{ # x #}\""),
            ("a {b} c", "\"a {b} c\""),
            ("say \"x\"", r#""say \"x\"""#),
            ("a\nb", r#""a\\x0ab""#),
        ] {
            assert_eq!(quoted(text), written, "{text:?}");
        }
    }
}
