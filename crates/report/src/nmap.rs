//! The layout of `nmap -oN` (nmap 7.93), so that scripts that read nmap's reports go on working.
//!
//! The endpoints of a host arrive one by one and are held until the summary, which prints them
//! grouped by host and sorted by address. A host that is absent is left out, as nmap does; times
//! are UTC.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::{
    Address, Auth, Dialogue, Finding, Hardware, Language, Record, RunRecord, StatsTable, Summary,
    Transport,
};

use crate::escape::escape_for_terminal;
use crate::flaws::{self, Flaws};
use crate::layout::{pad, truncate};
use crate::nmap_port::{self, Service};
use crate::words::{asctime, grouped, pick, ratio, unix_time};
use crate::{Report, Style, TextOptions, sample, values};

/// Endpoints held for sorting. Beyond it, what is held is printed, and a host may appear twice.
const HELD_MAX: usize = 100_000;
/// Columns of one value; a longer one is cut.
const VALUE_COLUMNS_MAX: usize = 400;

/// Holds the hosts until the summary.
pub(crate) struct NmapReport {
    language: Language,
    style: Style,
    hosts: BTreeMap<Address, Host>,
    held: usize,
    /// Addresses in the plan, as far as a count of pairs tells.
    planned_addresses: u64,
    addresses_seen: u64,
    hosts_up: u64,
    endpoints_recorded: u64,
}

#[derive(Default)]
struct Host {
    hostname: Option<String>,
    /// Whether anything was heard from it.
    up: bool,
    rtt: Option<Duration>,
    /// Its network card, if it is on our own link: address and vendor, as nmap writes them.
    card: Option<String>,
    ports: Vec<Port>,
}

struct Port {
    transport: Transport,
    number: u16,
    state: &'static str,
    service: String,
    version: String,
    /// What nmap's scripts would say, finished lines.
    script_lines: Vec<String>,
}

impl NmapReport {
    pub(crate) fn new(options: &TextOptions) -> NmapReport {
        NmapReport {
            language: options.language,
            style: options.style,
            hosts: BTreeMap::new(),
            held: 0,
            planned_addresses: 0,
            addresses_seen: 0,
            hosts_up: 0,
            endpoints_recorded: 0,
        }
    }

    fn print_held(&mut self, out: &mut Vec<u8>) {
        self.held = 0;
        for (address, host) in std::mem::take(&mut self.hosts) {
            self.addresses_seen += 1;
            self.hosts_up += u64::from(host.up);
            if !host.ports.is_empty() {
                print_host(&address, host, out);
            }
        }
    }
}

impl Report for NmapReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        self.planned_addresses = planned_addresses(run);
        let header = format!(
            "# memsweep {} scan initiated {} as: {}",
            run.tool_version,
            asctime(run.timestamp),
            command_line(run, self.style)
        );
        line(&header, out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.endpoints_recorded += 1;
        let host = self
            .hosts
            .entry(record.endpoint.address.clone())
            .or_default();
        host.up |= nmap_port::is_up(record);
        host.rtt = [host.rtt, record.evidence.rtt].into_iter().flatten().min();
        if host.hostname.is_none() {
            host.hostname = record.hostname.as_deref().map(escape_for_terminal);
        }
        if host.card.is_none() {
            host.card = record.hardware.as_ref().map(card);
        }
        if let Some(port) = port(record, self.language) {
            host.ports.push(port);
        }
        self.held += 1;
        if self.held >= HELD_MAX {
            self.print_held(out);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.print_held(out);
        for note in &summary.notes {
            let note = escape_for_terminal(note.in_language(self.language));
            line(
                &format!("# {}: {note}", pick(self.language, "Note", "注記")),
                out,
            );
        }
        if !summary.complete {
            let words = pick(
                self.language,
                "# Not complete: the run broke off before every endpoint was judged",
                "# 未完了：すべてのエンドポイントを判定する前に中断しました",
            );
            line(words, out);
        }
        let addresses = addresses(
            self.endpoints_recorded >= summary.verdicts.total(),
            self.planned_addresses,
            self.addresses_seen,
        );
        let footer = format!(
            "# memsweep done at {} -- {}",
            asctime(summary.timestamp),
            scanned(addresses, self.hosts_up, summary.duration)
        );
        line(&footer, out);
    }
}

/// How many addresses a run had: if every endpoint was recorded they are counted exactly, not
/// derived.
pub(crate) fn addresses(all_recorded: bool, planned: u64, seen: u64) -> u64 {
    if all_recorded || planned < seen {
        seen
    } else {
        planned
    }
}

/// Addresses in the plan, as far as a count of pairs tells.
pub(crate) fn planned_addresses(run: &RunRecord) -> u64 {
    let ports = u64::try_from(run.ports.len()).unwrap_or(u64::MAX).max(1);
    run.pairs.div_ceil(ports)
}

/// nmap's closing words.
pub(crate) fn scanned(addresses: u64, hosts_up: u64, duration: Duration) -> String {
    let address_word = if addresses == 1 {
        "IP address"
    } else {
        "IP addresses"
    };
    let host_word = if hosts_up == 1 { "host" } else { "hosts" };
    format!(
        "{addresses} {address_word} ({hosts_up} {host_word} up) scanned in {:.2} seconds",
        duration.as_secs_f64()
    )
}

/// The command that asks the same again.
pub(crate) fn command_line(run: &RunRecord, style: Style) -> String {
    let command = match style {
        Style::Scan => "scan",
        Style::Check => "check",
        Style::Verify => "verify",
        Style::Demo => "demo",
        Style::Find => "find",
    };
    let mut words = vec![format!("memsweep {command}")];
    if style != Style::Demo {
        words.push(format!("-p {}", joined(run.ports.iter())));
        match (run.tcp, run.udp) {
            (true, false) => words.push("--tcp".to_owned()),
            (false, true) => words.push("--udp".to_owned()),
            (true, true) | (false, false) => {}
        }
        words.extend(
            run.exclusions
                .iter()
                .map(|exclusion| format!("--exclude {exclusion}")),
        );
        words.extend(run.targets.iter().cloned());
    }
    escape_for_terminal(&words.join(" "))
}

pub(crate) fn joined(numbers: impl Iterator<Item = impl ToString>) -> String {
    numbers
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

/// One row of the table, or nothing for a host that is not there.
fn port(record: &Record, language: Language) -> Option<Port> {
    let dialogue = record.evidence.dialogue.as_deref();
    let state = nmap_port::state(record)?;
    let speaks_memcached = nmap_port::speaks_memcached(record.judgement.verdict);
    let version = dialogue
        .filter(|_| speaks_memcached)
        .map(|dialogue| match dialogue.version.value() {
            Some(version) => format!("Memcached {}", value(version)),
            None => "Memcached".to_owned(),
        })
        .unwrap_or_default();
    let mut script_lines = Vec::new();
    if let Some(dialogue) = dialogue.filter(|_| speaks_memcached) {
        script(&mut script_lines, "memcached-info", server_lines(dialogue));
    }
    if state == "open" {
        script(
            &mut script_lines,
            "memsweep",
            judgement_lines(record, language),
        );
    }
    Some(Port {
        transport: record.endpoint.transport,
        number: record.endpoint.port,
        state,
        service: Service::of(record).label(),
        version,
        script_lines,
    })
}

/// What nmap's own `memcached-info` prints, under the same names.
fn server_lines(dialogue: &Dialogue) -> Vec<String> {
    let mut lines = Vec::new();
    let mut push = |name: &str, text: Option<String>| {
        lines.extend(text.map(|text| format!("{name}: {}", value(&text))));
    };
    let stats = dialogue.stats.value();
    let settings = dialogue.settings.value();
    let from = |table: Option<&StatsTable>, name: &str| {
        table.and_then(|table| table.text(name)).map(str::to_owned)
    };
    push("Process ID", from(stats, "pid"));
    push(
        "Uptime",
        from(stats, "uptime").map(|uptime| format!("{uptime} seconds")),
    );
    let time = stats.and_then(|table| table.integer("time"));
    let time = time.and_then(|time| unix_time(i64::try_from(time).ok()?, "%Y-%m-%dT%H:%M:%S"));
    push("Server time", time);
    push(
        "Architecture",
        from(stats, "pointer_size").map(|bits| format!("{bits} bit")),
    );
    push("Used CPU (user)", from(stats, "rusage_user"));
    push("Used CPU (system)", from(stats, "rusage_system"));
    push("Current connections", from(stats, "curr_connections"));
    push("Total connections", from(stats, "total_connections"));
    push(
        "Maximum connections",
        from(settings, "maxconns").or(from(stats, "max_connections")),
    );
    push("TCP Port", from(settings, "tcpport"));
    push("UDP Port", from(settings, "udpport"));
    push("Current items", from(stats, "curr_items"));
    let authentication = match dialogue.auth {
        Auth::None => Some("no".to_owned()),
        Auth::Sasl(_) | Auth::Ascii | Auth::TlsClientCertificate => Some("yes".to_owned()),
        Auth::Unknown => None,
    };
    push("Authentication", authentication);
    lines
}

/// The verdict, its reason, and the findings with their cure.
fn judgement_lines(record: &Record, language: Language) -> Vec<String> {
    let judgement = &record.judgement;
    let mut lines = vec![
        format!("Verdict: {}", judgement.verdict),
        format!("Reason: {}", value(judgement.reason.in_language(language))),
    ];
    let measured = record
        .evidence
        .dialogue
        .as_deref()
        .map_or(&[][..], |one| &one.amplification);
    if let Some(best) = values::strongest(measured) {
        lines.push(format!(
            "Amplification: {} {} -> {} bytes, {} ({} on the wire)",
            value(&best.command),
            best.request_bytes,
            grouped(best.reply_bytes),
            ratio(Language::English, best.payload_ratio()),
            ratio(Language::English, best.wire_ratio()),
        ));
    }
    let dialogue = record.evidence.dialogue.as_deref();
    let names = dialogue.map(|dialogue| sample::lines(dialogue, language));
    let names = names.into_iter().flatten().take(1);
    lines.extend(names.map(|names| format!("Key names: {}", value(&names))));
    let of_version = Flaws::of(record, |_| true);
    let gathered = of_version.as_ref().and_then(Flaws::as_one);
    let is_alone = |finding: &&Finding| {
        let of_version = of_version.as_ref();
        of_version.is_none_or(|flaws| !flaws.hold(finding))
    };
    let alone = judgement.findings.iter().filter(is_alone);
    for finding in alone.chain(&gathered) {
        lines.push(format!(
            "{} ({}, {}): {}",
            finding.code,
            finding.severity,
            finding.confidence.as_str(),
            value(finding.title.in_language(language))
        ));
        if finding.code == flaws::CODE {
            let evidence = finding.evidence.iter();
            lines.extend(evidence.map(|line| format!("  {}", value(line.in_language(language)))));
        }
        let mut word = "Fix: ";
        for fix in finding.fix.in_language(language).lines() {
            lines.push(format!("  {word}{}", value(fix)));
            word = "  ";
        }
    }
    lines
}

/// Adds a script's output in nmap's frame: `| name: `, `|   key: value`, the last line `|_`.
fn script(lines: &mut Vec<String>, name: &str, body: Vec<String>) {
    let Some((last, before)) = body.split_last() else {
        return;
    };
    lines.push(format!("| {name}: "));
    lines.extend(before.iter().map(|text| format!("|   {text}")));
    lines.push(format!("|_  {last}"));
}

/// Foreign text, harmless and of bounded length.
fn value(text: &str) -> String {
    truncate(&escape_for_terminal(text), VALUE_COLUMNS_MAX)
}

fn print_host(address: &Address, mut host: Host, out: &mut Vec<u8>) {
    let address = escape_for_terminal(&address.to_string());
    let name = match &host.hostname {
        Some(hostname) if !same_host(hostname, &address) => format!("{hostname} ({address})"),
        Some(_) | None => address,
    };
    line(&format!("Nmap scan report for {name}"), out);
    match host.rtt {
        Some(rtt) if host.up => line(&format!("Host is up ({}s latency).", latency(rtt)), out),
        Some(_) | None if host.up => line("Host is up.", out),
        Some(_) | None => {}
    }
    line("", out);
    host.ports.sort_by_key(|port| (port.transport, port.number));
    print_table(&host.ports, out);
    if let Some(card) = &host.card {
        line(&format!("MAC Address: {card}"), out);
    }
    line("", out);
}

/// A network card in nmap's words.
fn card(hardware: &Hardware) -> String {
    let vendor = hardware.vendor.as_deref().unwrap_or("Unknown");
    format!("{} ({})", hardware.address, value(vendor))
}

/// Whether a name is only another spelling of the address.
pub(crate) fn same_host(hostname: &str, address: &str) -> bool {
    match (hostname.parse::<IpAddr>(), address.parse::<IpAddr>()) {
        (Ok(left), Ok(right)) => model::canonical_ip(left) == right,
        _ => hostname == address,
    }
}

fn print_table(ports: &[Port], out: &mut Vec<u8>) {
    let heads = ["PORT", "STATE", "SERVICE", "VERSION"];
    let cells = |port: &Port| {
        let name = format!("{}/{}", port.number, port.transport);
        [
            name,
            port.state.to_owned(),
            port.service.clone(),
            port.version.clone(),
        ]
    };
    let shown = if ports.iter().any(|port| !port.version.is_empty()) {
        4
    } else {
        3
    };
    let mut widths = heads.map(str::len);
    for port in ports {
        for (width, cell) in widths.iter_mut().zip(cells(port)) {
            *width = (*width).max(crate::layout::width(&cell));
        }
    }
    let row = |cells: &[String]| {
        let padded = cells
            .iter()
            .zip(widths)
            .take(shown)
            .map(|(cell, width)| pad(cell, width));
        padded.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    line(&row(&heads.map(str::to_owned)), out);
    for port in ports {
        line(&row(&cells(port)), out);
        for script_line in &port.script_lines {
            line(script_line, out);
        }
    }
}

/// Seconds with two significant digits, as nmap prints them.
fn latency(rtt: Duration) -> String {
    let seconds = rtt.as_secs_f64().max(0.000_001);
    let decimals = (1.0 - seconds.log10().floor()).clamp(0.0, 7.0);
    format!("{seconds:.*}", decimals as usize)
}

fn line(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_two_digits() {
        for (micros, text) in [
            (0, "0.0000010"),
            (83, "0.000083"),
            (100, "0.00010"),
            (1_234, "0.0012"),
            (340_000, "0.34"),
            (1_500_000, "1.5"),
            (12_000_000, "12"),
        ] {
            assert_eq!(latency(Duration::from_micros(micros)), text);
        }
    }
}
