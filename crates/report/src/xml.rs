//! The layout of `nmap -oX` (nmap.dtd 1.05), for what reads nmap's XML: libnmap, python-nmap, ndiff,
//! vulnerability managers.
//!
//! Only what stays the same between two runs of an unchanged network is in it, so that ndiff is
//! quiet about it. And ndiff fails where the output of a script changed and the row of its port did
//! not. So the script's output here says nothing but what the row says too, in `version` and
//! `extrainfo`: the verdict, and the codes of what was found with their severities.
//!
//! The hosts are held back until the summary, sorted by address. What a server says is escaped as
//! for a terminal first: XML 1.0 has no spelling at all for control characters.

use std::time::SystemTime;

use model::{Address, Record, RunRecord, Summary, Transport};

use crate::escape::escape_for_terminal;
use crate::nmap::{self, same_host};
use crate::nmap_hosts::{Host, Hosts, Port};
use crate::words::asctime;
use crate::{Report, Style, TextOptions};

/// Version numbers longer than this are no upstream version, and make no CPE name.
const CPE_VERSION_BYTES_MAX: usize = 32;

/// Holds the hosts until the summary.
pub(crate) struct XmlReport {
    style: Style,
    hosts: Hosts,
    is_begun: bool,
}

impl XmlReport {
    pub(crate) fn new(options: &TextOptions) -> XmlReport {
        XmlReport {
            style: options.style,
            hosts: Hosts::default(),
            is_begun: false,
        }
    }

    fn write_held(&mut self, out: &mut Vec<u8>) {
        for (address, host) in self.hosts.take() {
            if !host.ports.is_empty() {
                write_host(&address, &host, out);
            }
        }
    }

    /// Begins a document without a run record, if none was given.
    fn begin_without_run(&mut self, out: &mut Vec<u8>) {
        if !self.is_begun {
            put(PROLOGUE, out);
            put(
                "<nmaprun scanner=\"nmap\" version=\"\" xmloutputversion=\"1.05\">\n",
                out,
            );
            put(LEVELS, out);
            self.is_begun = true;
        }
    }
}

const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE nmaprun>\n\
    <?xml-stylesheet href=\"file:///usr/share/nmap/nmap.xsl\" type=\"text/xsl\"?>\n";
const LEVELS: &str = "<verbose level=\"0\"/>\n<debugging level=\"0\"/>\n";

impl Report for XmlReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        self.hosts.run(run);
        let command = nmap::command_line(run, self.style);
        let (version, start) = (&run.tool_version, unix_s(run.timestamp));
        put(PROLOGUE, out);
        let remark = format!(
            "memsweep {version} scan initiated {} as: {command}",
            asctime(run.timestamp)
        );
        comment(&remark, out);
        put("<nmaprun", out);
        attribute("scanner", "nmap", out);
        attribute("args", &command, out);
        attribute("start", &start.to_string(), out);
        attribute("startstr", &asctime(run.timestamp), out);
        attribute("version", version, out);
        attribute("xmloutputversion", "1.05", out);
        put(">\n", out);
        let by_socket = run.vantage.engine == "socket";
        let tcp = if by_socket { "connect" } else { "syn" };
        for (asked, kind, protocol) in [(run.tcp, tcp, "tcp"), (run.udp, "udp", "udp")] {
            if asked && !run.ports.is_empty() {
                put("<scaninfo", out);
                attribute("type", kind, out);
                attribute("protocol", protocol, out);
                attribute("numservices", &run.ports.len().to_string(), out);
                attribute("services", &nmap::joined(run.ports.iter()), out);
                put("/>\n", out);
            }
        }
        put(LEVELS, out);
        self.is_begun = true;
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.begin_without_run(out);
        if self.hosts.add(record) {
            self.write_held(out);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.begin_without_run(out);
        self.write_held(out);
        if self.hosts.unix_sockets > 0 {
            let count = self.hosts.unix_sockets;
            comment(
                &format!("unix sockets, which this format has no words for: {count}"),
                out,
            );
        }
        for note in &summary.notes {
            comment(&format!("Note: {}", note.en), out);
        }
        write_runstats(summary, &self.hosts, out);
        put("</nmaprun>\n", out);
        self.is_begun = false;
    }
}

fn write_runstats(summary: &Summary, hosts: &Hosts, out: &mut Vec<u8>) {
    let (total, up) = (hosts.addresses(summary), hosts.up());
    put("<runstats><finished", out);
    attribute("time", &unix_s(summary.timestamp).to_string(), out);
    attribute("timestr", &asctime(summary.timestamp), out);
    let words = format!(
        "memsweep done at {}; {}",
        asctime(summary.timestamp),
        nmap::scanned(total, up, summary.duration)
    );
    attribute("summary", &words, out);
    let elapsed = format!("{:.2}", summary.duration.as_secs_f64());
    attribute("elapsed", &elapsed, out);
    if summary.complete {
        attribute("exit", "success", out);
    } else {
        attribute("exit", "error", out);
        let words = "the run broke off before every endpoint was judged";
        attribute("errormsg", words, out);
    }
    put("/><hosts", out);
    attribute("up", &up.to_string(), out);
    attribute("down", &total.saturating_sub(up).to_string(), out);
    attribute("total", &total.to_string(), out);
    put("/>\n</runstats>\n", out);
}

fn write_host(address: &Address, host: &Host, out: &mut Vec<u8>) {
    let (state, reason) = match host.is_up {
        // nmap's word for a host that was not asked by a ping of its own.
        true => ("up", "user-set"),
        false => ("unknown", "no-response"),
    };
    put("<host><status", out);
    attribute("state", state, out);
    attribute("reason", reason, out);
    attribute("reason_ttl", "0", out);
    put("/>\n", out);
    let spelled = address.to_string();
    let is_ipv4 = address.ip().is_some_and(|ip| ip.is_ipv4());
    put("<address", out);
    attribute("addr", &spelled, out);
    attribute("addrtype", if is_ipv4 { "ipv4" } else { "ipv6" }, out);
    put("/>\n", out);
    if let Some(card) = &host.hardware {
        put("<address", out);
        attribute("addr", &card.address.to_string(), out);
        attribute("addrtype", "mac", out);
        if let Some(vendor) = &card.vendor {
            attribute("vendor", vendor, out);
        }
        put("/>\n", out);
    }
    put("<hostnames>\n", out);
    let typed = host.hostname.as_deref();
    let typed = typed.filter(|name| !same_host(name, &spelled));
    for (name, kind) in [(typed, "user"), (host.reverse_name.as_deref(), "PTR")] {
        if let Some(name) = name {
            put("<hostname", out);
            attribute("name", name, out);
            attribute("type", kind, out);
            put("/>\n", out);
        }
    }
    put("</hostnames>\n<ports>", out);
    for ((transport, number), port) in &host.ports {
        write_port(*transport, *number, port, out);
    }
    put("</ports>\n</host>\n", out);
}

fn write_port(transport: Transport, number: u16, port: &Port, out: &mut Vec<u8>) {
    put("<port", out);
    attribute("protocol", transport.as_str(), out);
    attribute("portid", &number.to_string(), out);
    put("><state", out);
    attribute("state", port.state, out);
    attribute("reason", port.reason, out);
    attribute("reason_ttl", "0", out);
    put("/>", out);
    write_service(port, out);
    if let Some(judgement) = port.judgement() {
        write_script(port, &judgement, out);
    }
    put("</port>\n", out);
}

fn write_service(port: &Port, out: &mut Vec<u8>) {
    let service = &port.service;
    put("<service", out);
    attribute("name", service.name, out);
    if port.speaks_memcached {
        attribute("product", "Memcached", out);
    }
    if let Some(version) = &port.version {
        attribute("version", version, out);
    }
    if let Some(judgement) = port.judgement() {
        attribute("extrainfo", &judgement, out);
    }
    if service.inside_tls {
        attribute("tunnel", "ssl", out);
    }
    let (method, confidence) = match service.is_probed {
        true => ("probed", "10"),
        false => ("table", "3"),
    };
    attribute("method", method, out);
    attribute("conf", confidence, out);
    match cpe(port) {
        Some(name) => {
            put("><cpe>", out);
            put(&escape_xml(&name), out);
            put("</cpe></service>", out);
        }
        None => put("/>", out),
    }
}

/// The CPE 2.2 name, as nmap gives it; none for a decoy, which only says that it is memcached.
fn cpe(port: &Port) -> Option<String> {
    use model::Verdict::{Exposed, Protected};
    if !matches!(port.verdict, Exposed | Protected) {
        return None;
    }
    let is_plain = |version: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !version.is_empty()
            && version.len() <= CPE_VERSION_BYTES_MAX
            && version.bytes().all(allowed)
    };
    let version = port.version.as_deref().filter(is_plain);
    Some(match version {
        Some(version) => format!("cpe:/a:memcached:memcached:{version}"),
        None => "cpe:/a:memcached:memcached".to_owned(),
    })
}

/// What was found, once more, for readers of structured output.
fn write_script(port: &Port, judgement: &str, out: &mut Vec<u8>) {
    put("<script", out);
    attribute("id", "memsweep", out);
    attribute("output", judgement, out);
    put("><elem key=\"verdict\">", out);
    put(port.verdict.as_str(), out);
    put("</elem>", out);
    if !port.findings.is_empty() {
        put("\n<table key=\"findings\">", out);
        for (code, severity) in &port.findings {
            put("<table><elem key=\"code\">", out);
            put(&escape_xml(code), out);
            put("</elem><elem key=\"severity\">", out);
            put(severity.as_str(), out);
            put("</elem></table>", out);
        }
        put("</table>", out);
    }
    put("</script>", out);
}

fn attribute(name: &str, value: &str, out: &mut Vec<u8>) {
    put(&format!(" {name}=\"{}\"", escape_xml(value)), out);
}

/// A comment, in which two hyphens may not follow each other, nor one stand before the end.
fn comment(text: &str, out: &mut Vec<u8>) {
    let harmless = escape_xml(text).replace("--", "-&#45;");
    put(
        &format!("<!-- {} -->\n", harmless.replace("--", "-&#45;")),
        out,
    );
}

/// Text as XML 1.0 can hold it, in attributes and between tags. What acts on a terminal is spelled
/// out, which leaves no control character; two noncharacters remain that are forbidden, too.
fn escape_xml(text: &str) -> String {
    let shown = escape_for_terminal(text);
    let mut escaped = String::with_capacity(shown.len());
    for character in shown.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\u{fffe}' => escaped.push_str("\\u{fffe}"),
            '\u{ffff}' => escaped.push_str("\\u{ffff}"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// Seconds since the epoch; a clock before it reads as the epoch.
fn unix_s(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn put(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_left_that_xml_forbids() {
        for code in 0..=0x10_ffff {
            let Some(character) = char::from_u32(code) else {
                continue;
            };
            let is_allowed = |one: char| {
                // Char of XML 1.0, section 2.2, without the white space that attributes would lose.
                matches!(one, '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
                    && !matches!(one, '<' | '>' | '"' | '\'')
            };
            let escaped = escape_xml(&character.to_string());
            assert!(escaped.chars().all(is_allowed), "U+{code:04X}: {escaped}");
        }
        assert_eq!(escape_xml("a&<b>"), "a&amp;&lt;b&gt;");
    }

    #[test]
    fn comments_hold_no_double_hyphen() {
        for text in ["--", "---", "-----", "x --all -- y", "-->", "-"] {
            let mut out = Vec::new();
            comment(text, &mut out);
            let comment = String::from_utf8(out).unwrap();
            let inside = comment.strip_prefix("<!-- ").unwrap();
            let inside = inside.strip_suffix(" -->\n").unwrap();
            assert!(!inside.contains("--"), "{comment}");
        }
    }
}
