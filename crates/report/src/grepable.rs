//! The layout of `nmap -oG` (nmap 7.93), one line a host: `Host: ADDRESS (NAME)`, a tab, `Ports:` and
//! seven subfields a port: number, state, protocol, owner, service, RPC information, version.
//!
//! A slash ends a subfield, so that nmap writes `|` for one in a version; a comma ends a port, and
//! here becomes a semicolon, so that no server can make up ports of its host. The version says what
//! the XML says there: `Memcached 1.6.18 (exposed: MS001 critical)`.

use model::{Address, Record, RunRecord, Summary};

use crate::escape::escape_for_terminal;
use crate::nmap::{self, same_host};
use crate::nmap_hosts::{Host, Hosts, Port};
use crate::words::asctime;
use crate::{Report, Style, TextOptions};

/// Holds the hosts until the summary.
pub(crate) struct GrepableReport {
    style: Style,
    hosts: Hosts,
}

impl GrepableReport {
    pub(crate) fn new(options: &TextOptions) -> GrepableReport {
        GrepableReport {
            style: options.style,
            hosts: Hosts::default(),
        }
    }

    fn write_held(&mut self, out: &mut Vec<u8>) {
        for (address, host) in self.hosts.take() {
            if !host.ports.is_empty() {
                write_host(&address, &host, out);
            }
        }
    }
}

impl Report for GrepableReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        self.hosts.run(run);
        let header = format!(
            "# memsweep {} scan initiated {} as: {}",
            run.tool_version,
            asctime(run.timestamp),
            nmap::command_line(run, self.style)
        );
        line(&header, out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        if self.hosts.add(record) {
            self.write_held(out);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.write_held(out);
        let unix_sockets = self.hosts.unix_sockets;
        if unix_sockets > 0 {
            let words = "# unix sockets, which this format has no words for";
            line(&format!("{words}: {unix_sockets}"), out);
        }
        for note in &summary.notes {
            line(&format!("# Note: {}", escape_for_terminal(&note.en)), out);
        }
        if !summary.complete {
            let words = "# Not complete: the run broke off before every endpoint was judged";
            line(words, out);
        }
        let footer = format!(
            "# memsweep done at {} -- {}",
            asctime(summary.timestamp),
            nmap::scanned(
                self.hosts.addresses(summary),
                self.hosts.up(),
                summary.duration
            )
        );
        line(&footer, out);
    }
}

fn write_host(address: &Address, host: &Host, out: &mut Vec<u8>) {
    let address = escape_for_terminal(&address.to_string());
    let typed = host.hostname.as_deref();
    let typed = typed.filter(|name| !same_host(name, &address));
    let name = typed.or(host.reverse_name.as_deref()).unwrap_or_default();
    let head = format!("Host: {address} ({name})");
    if host.is_up {
        line(&format!("{head}\tStatus: Up"), out);
    }
    let ports: Vec<String> = host
        .ports
        .iter()
        .map(|((transport, number), port)| {
            format!(
                "{number}/{}/{transport}//{}//{}/",
                port.state,
                subfield(&port.service.label()),
                subfield(&version(port))
            )
        })
        .collect();
    line(&format!("{head}\tPorts: {}", ports.join(", ")), out);
}

/// Product, version and, in parentheses, what was found.
fn version(port: &Port) -> String {
    let product = port.speaks_memcached.then(|| "Memcached".to_owned());
    let judgement = port.judgement().map(|judgement| format!("({judgement})"));
    let parts = [product, port.version.clone(), judgement];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" ")
}

/// Text in which nothing ends a subfield or a port.
fn subfield(text: &str) -> String {
    text.replace('/', "|").replace(',', ";")
}

fn line(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}
