//! The XML of nmap, and of masscan, which writes the same elements.

use std::sync::Arc;
use std::time::SystemTime;

use model::{
    Address, Answer, Contact, Dialogue, Endpoint, Enrichment, Evidence, Question, StatsTable,
    Transport,
};

use super::markup::{Tag, Token, unescape};
use super::masscan;
use super::moments;
use super::reply;
use super::sink::{Known, MEMCACHED_PORT, Sink, address, means_memcached, transport};
use crate::ImportError;

/// Lines of a script's result that are kept.
const ELEMENTS_MAX: usize = 64;
/// The script of nmap that asks memcached.
const SCRIPT: &str = "memcached-info";

/// What has been read of the document, as far as it is still needed.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// When the scan began.
    started: Option<SystemTime>,
    host: Host,
    port: Option<Port>,
    /// Inside the result of [`SCRIPT`].
    in_script: bool,
    /// The line of the result that is being read.
    element: Option<(String, String)>,
}

#[derive(Debug, Default)]
struct Host {
    seen: Option<SystemTime>,
    address: Option<Address>,
    /// The name that was typed.
    hostname: Option<Arc<str>>,
    /// The name that the address resolves to.
    reverse_name: Option<String>,
}

#[derive(Debug, Default)]
struct Port {
    number: Option<u16>,
    transport: Option<Transport>,
    state: String,
    reason: String,
    service: String,
    product: String,
    version: String,
    extra: String,
    banner: String,
    /// What the script found, by its names.
    elements: Vec<(String, String)>,
}

impl Document {
    pub(super) fn token(
        &mut self,
        token: Token<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ImportError> {
        match token {
            Token::Start(tag) => self.start(&tag),
            Token::Text(text) => {
                if let Some((_, value)) = &mut self.element {
                    value.push_str(&unescape(text).unwrap_or_default());
                }
                Ok(())
            }
            Token::End(name) => self.end(name, sink),
        }
    }

    fn start(&mut self, tag: &Tag<'_>) -> Result<(), ImportError> {
        match tag.name {
            "nmaprun" => self.started = moment(tag, "start")?,
            "host" => {
                self.host = Host {
                    seen: moment(tag, "endtime")?.or(self.started),
                    ..Host::default()
                };
            }
            "address" => {
                let [kind, text] = read(tag, ["addrtype", "addr"])?;
                if kind != "mac" {
                    self.host.address = Some(address(tag.line, "addr", &text)?);
                }
            }
            "hostname" => {
                let [kind, name] = read(tag, ["type", "name"])?;
                match kind.as_str() {
                    "user" => self.host.hostname = Some(name.into()),
                    _ => self.host.reverse_name = Some(name),
                }
            }
            "port" => {
                let [number, word] = read(tag, ["portid", "protocol"])?;
                self.port = Some(Port {
                    number: Some(number.parse().map_err(|_| wrong(tag, "portid", "a port"))?),
                    transport: transport(&word),
                    ..Port::default()
                });
            }
            "script" => {
                let [name] = read(tag, ["id"])?;
                self.in_script = name == SCRIPT;
            }
            "elem" if self.in_script => {
                let [key] = read(tag, ["key"])?;
                self.element = Some((key, String::new()));
            }
            "state" | "service" => return self.about_port(tag),
            _ => {}
        }
        Ok(())
    }

    fn about_port(&mut self, tag: &Tag<'_>) -> Result<(), ImportError> {
        let Some(port) = &mut self.port else {
            return Ok(());
        };
        if tag.name == "state" {
            [port.state, port.reason] = read(tag, ["state", "reason"])?;
            return Ok(());
        }
        let [name, method, product, version, extra, banner] = read(
            tag,
            [
                "name",
                "method",
                "product",
                "version",
                "extrainfo",
                "banner",
            ],
        )?;
        port.service = name;
        port.banner = banner;
        // A name out of the table of ports says nothing about what listens.
        if method != "table" {
            (port.product, port.version, port.extra) = (product, version, extra);
        }
        Ok(())
    }

    fn end(&mut self, name: &str, sink: &mut Sink<'_>) -> Result<(), ImportError> {
        match name {
            "elem" => {
                let port = self.port.as_mut();
                if let (Some(element), Some(port)) = (self.element.take(), port)
                    && port.elements.len() < ELEMENTS_MAX
                {
                    port.elements.push(element);
                }
            }
            "script" => self.in_script = false,
            "port" => {
                if let Some(port) = self.port.take() {
                    self.observe(&port, sink);
                }
            }
            "host" => self.host = Host::default(),
            _ => {}
        }
        Ok(())
    }

    fn observe(&self, port: &Port, sink: &mut Sink<'_>) {
        let is_ours = port.number == Some(MEMCACHED_PORT) || means_memcached(&port.service);
        let (Some(address), Some(number), Some(transport), true) =
            (&self.host.address, port.number, port.transport, is_ours)
        else {
            return sink.pass_over();
        };
        let endpoint = Endpoint::new(address.clone(), number, transport);
        let Some(evidence) = port.evidence(&endpoint) else {
            return sink.pass_over();
        };
        let known = Known {
            hostname: self.host.hostname.clone(),
            enrichment: Enrichment {
                reverse_name: self.host.reverse_name.clone(),
                ..Enrichment::default()
            },
        };
        sink.keep_known(self.host.seen, endpoint, evidence, known);
    }
}

impl Port {
    /// What was seen; `None` if it says neither that the port is open nor that it is not.
    fn evidence(&self, endpoint: &Endpoint) -> Option<Evidence> {
        let contact = match (self.reason.as_str(), self.state.as_str()) {
            ("host-prohibited" | "admin-prohibited" | "net-prohibited" | "proto-unreach", _) => {
                Contact::Prohibited(None)
            }
            ("host-unreach" | "net-unreach", _) => Contact::Unreachable(None),
            (_, "filtered") | (_, "open|filtered") => Contact::Silent,
            (_, "closed") => return Some(reply::closed(endpoint)),
            (_, "open") => return Some(self.conversation()),
            // masscan tells of banners without a state.
            (_, "") if !self.banner.is_empty() => return Some(self.conversation()),
            _ => return None,
        };
        let is_udp = endpoint.transport == Transport::Udp;
        let is_possible = self.state != "open|filtered" || is_udp;
        is_possible.then(|| reply::of_contact(contact))
    }

    fn conversation(&self) -> Evidence {
        if !self.banner.is_empty() {
            return masscan::of_banner(&self.banner);
        }
        let mut evidence = if means_memcached(&self.product) {
            of_product(&self.version, &self.extra)
        } else {
            reply::open()
        };
        let (stats, settings) = script_tables(&self.elements);
        if stats.is_empty() {
            return evidence;
        }
        let version = evidence
            .dialogue
            .take()
            .and_then(|dialogue| dialogue.version.value().cloned());
        let mut dialogue = reply::of_statistics(stats, version);
        if !settings.is_empty() {
            dialogue.executed.push(Question::StatsSettings);
            dialogue.settings = Answer::Truncated(settings);
        }
        reply::of_dialogue(dialogue)
    }
}

/// What nmap's detection of services found by the answer to `stats`: the version, and
/// `uptime N seconds`. A server that answered with an error only was recognised without a version.
pub(super) fn of_product(version: &str, extra: &str) -> Evidence {
    if version.is_empty() {
        return reply::of_dialogue(reply::of_version(None));
    }
    let uptime = extra.split_once("uptime ").map(|(_, behind)| behind);
    let uptime = uptime.and_then(|behind| behind.split(' ').next());
    let mut rows = StatsTable::new();
    if let Some(uptime) = uptime.filter(|uptime| uptime.parse::<u64>().is_ok()) {
        rows.push("uptime", uptime);
    }
    rows.push("version", version);
    let dialogue: Dialogue = reply::of_statistics(rows, None);
    reply::of_dialogue(dialogue)
}

/// The script's result, under the server's own names: of `stats`, and of `stats settings`. Its
/// server time is left out, because versions of nmap write it in different zones.
fn script_tables(elements: &[(String, String)]) -> (StatsTable, StatsTable) {
    let (mut stats, mut settings) = (StatsTable::new(), StatsTable::new());
    for (key, value) in elements {
        let first = value.split(' ').next().unwrap_or_default();
        match key.as_str() {
            "Process ID" => stats.push("pid", value),
            "Uptime" => stats.push("uptime", first),
            "Architecture" => stats.push("pointer_size", first),
            "Used CPU (user)" => stats.push("rusage_user", value),
            "Used CPU (system)" => stats.push("rusage_system", value),
            "Current connections" => stats.push("curr_connections", value),
            "Total connections" => stats.push("total_connections", value),
            "Maximum connections" => settings.push("maxconns", value),
            "TCP Port" => settings.push("tcpport", value),
            "UDP Port" => settings.push("udpport", value),
            "Authentication" => settings.push("auth_enabled_sasl", value),
            _ => {}
        }
    }
    (stats, settings)
}

/// Some of a tag's attributes; empty if they are not there.
fn read<const N: usize>(tag: &Tag<'_>, names: [&str; N]) -> Result<[String; N], ImportError> {
    let mut attributes = tag.attributes()?;
    Ok(names.map(|name| {
        let found = attributes.iter_mut().find(|(one, _)| *one == name);
        found
            .map(|(_, value)| std::mem::take(value))
            .unwrap_or_default()
    }))
}

fn moment(tag: &Tag<'_>, name: &'static str) -> Result<Option<SystemTime>, ImportError> {
    let [text] = read(tag, [name])?;
    if text.is_empty() {
        return Ok(None);
    }
    moments::parse(&text)
        .ok_or_else(|| wrong(tag, name, "a time"))
        .map(Some)
}

fn wrong(tag: &Tag<'_>, key: &'static str, expected: &'static str) -> ImportError {
    ImportError::WrongValue {
        line: tag.line,
        key,
        expected,
    }
}
