//! The files that users write: scope and accepted risks, in TOML.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use engine::AcceptedRisk;
use import::Networks;
use model::Transport;
use serde::Deserialize;
use targets::{AddressRange, Day, Hosts, Network, Scope, ScopeEntry, parse_target};

use crate::exit::Failure;
use crate::values::today;

/// Read after the user's own, so that `sudo memsweep` finds a scope too.
const SYSTEM_SCOPE: &str = "/etc/memsweep/scope.toml";
/// A configuration larger than this is a mistake.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// No database of networks is as large.
const ENRICHMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeFile {
    #[serde(default)]
    network: Vec<toml::Spanned<ScopeNetwork>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeNetwork {
    cidr: String,
    owner: String,
    until: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptFile {
    #[serde(default)]
    accept: Vec<toml::Spanned<AcceptEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptEntry {
    endpoint: Option<String>,
    rule: Option<String>,
    reason: String,
    until: toml::Value,
}

/// The user's scope file: `$XDG_CONFIG_HOME/memsweep/scope.toml` or `~/.config/memsweep/scope.toml`.
pub(crate) fn user_scope_path() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
    Some(folder.join("memsweep/scope.toml"))
}

/// Reads the scope: the one file that was named, or the user's and the system's.
pub(crate) fn read_scope(named: Option<&Path>) -> Result<Scope, Failure> {
    let mut entries = Vec::new();
    match named {
        Some(path) => entries.extend(read_scope_file(path, true)?),
        None => {
            let paths = user_scope_path()
                .into_iter()
                .chain([PathBuf::from(SYSTEM_SCOPE)]);
            for path in paths {
                entries.extend(read_scope_file(&path, false)?);
            }
        }
    }
    Ok(Scope::new(entries, today()))
}

fn read_scope_file(path: &Path, must_exist: bool) -> Result<Vec<ScopeEntry>, Failure> {
    let Some(text) = read(path, must_exist)? else {
        return Ok(Vec::new());
    };
    parse_scope(&text, &path.display().to_string()).map_err(Failure::Usage)
}

/// Reads the text of a scope file; errors are one line that names file, line and mend.
pub(crate) fn parse_scope(text: &str, source: &str) -> Result<Vec<ScopeEntry>, String> {
    let file: ScopeFile = toml::from_str(text).map_err(|error| toml_error(text, source, &error))?;
    let mut entries = Vec::new();
    for network in file.network {
        let place = place(text, source, network.span().start);
        let network = network.into_inner();
        let parsed =
            Network::parse(&network.cidr).map_err(|error| format!("{place}: cidr: {error}"))?;
        let until = network
            .until
            .as_ref()
            .map(|value| date(value, &place))
            .transpose()?;
        if network.owner.trim().is_empty() {
            return Err(format!(
                "{place}: owner is empty; write who administers {}",
                network.cidr
            ));
        }
        entries.push(ScopeEntry {
            network: parsed,
            owner: network.owner,
            until,
            source: source.to_owned(),
        });
    }
    Ok(entries)
}

/// Reads what files of the user's own say of addresses; `None` if no file is named.
pub(crate) fn read_networks(paths: &[PathBuf]) -> Result<Option<Networks>, Failure> {
    if paths.is_empty() {
        return Ok(None);
    }
    let mut networks = Networks::new();
    for path in paths {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("--enrich {}: {error}", path.display()))
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(ENRICHMENT_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| failed(&error))?;
        if bytes.len() as u64 > ENRICHMENT_BYTES_MAX {
            return Err(failed(&"larger than 1 GiB"));
        }
        networks.add(bytes).map_err(|error| failed(&error))?;
    }
    Ok(Some(networks))
}

/// Reads accepted risks; those that have ended are returned apart, to be mentioned.
pub(crate) fn read_accepted(path: &Path) -> Result<(Vec<AcceptedRisk>, Vec<String>), Failure> {
    let text = read(path, true)?.unwrap_or_default();
    parse_accepted(&text, &path.display().to_string(), today()).map_err(Failure::Usage)
}

fn parse_accepted(
    text: &str,
    source: &str,
    today: Day,
) -> Result<(Vec<AcceptedRisk>, Vec<String>), String> {
    let file: AcceptFile =
        toml::from_str(text).map_err(|error| toml_error(text, source, &error))?;
    let mut risks = Vec::new();
    let mut ended = Vec::new();
    for entry in file.accept {
        let place = place(text, source, entry.span().start);
        let entry = entry.into_inner();
        let until = date(&entry.until, &place)?;
        if entry.reason.trim().is_empty() {
            return Err(format!(
                "{place}: reason is empty; write why the risk is accepted"
            ));
        }
        if entry.endpoint.is_none() && entry.rule.is_none() {
            return Err(format!(
                "{place}: neither endpoint nor rule; write endpoint = \"10.0.0.5:11211/tcp\" or \
                 rule = \"MS004\""
            ));
        }
        if let Some(rule) = &entry.rule
            && assess::explain(rule).is_none()
        {
            return Err(format!("{place}: there is no rule {rule:?}"));
        }
        if until < today {
            ended.push(format!("{place}: accepted until {until}, which has passed"));
            continue;
        }
        risks.push(accepted_risk(entry, until, &place)?);
    }
    Ok((risks, ended))
}

fn accepted_risk(entry: AcceptEntry, until: Day, place: &str) -> Result<AcceptedRisk, String> {
    let mut risk = AcceptedRisk {
        addresses: None,
        unix: None,
        port: None,
        transport: None,
        rule: entry.rule.map(|rule| rule.to_ascii_uppercase()),
        reason: entry.reason,
        until: until.to_string(),
    };
    let Some(endpoint) = entry.endpoint else {
        return Ok(risk);
    };
    let (host, transport) = match endpoint.rsplit_once('/') {
        Some((host, "tcp")) => (host, Some(Transport::Tcp)),
        Some((host, "udp")) => (host, Some(Transport::Udp)),
        _ => (endpoint.as_str(), None),
    };
    risk.transport = transport;
    let target = parse_target(host).map_err(|error| format!("{place}: endpoint: {error}"))?;
    risk.port = target.port;
    match target.hosts {
        Hosts::Address(address) => {
            risk.addresses = address.ip().map(AddressRange::single);
        }
        Hosts::Ranges(ranges) => match ranges[..] {
            [range] => risk.addresses = Some(range),
            _ => {
                return Err(format!(
                    "{place}: endpoint: {endpoint:?} is several ranges; write one entry for each"
                ));
            }
        },
        Hosts::Unix(path) => risk.unix = Some(path),
        Hosts::Name(_) | Hosts::Local | Hosts::Link { .. } => {
            return Err(format!(
                "{place}: endpoint: {endpoint:?} is no address; an accepted risk names an address \
                 or a network"
            ));
        }
    }
    Ok(risk)
}

fn date(value: &toml::Value, place: &str) -> Result<Day, String> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Datetime(datetime) => datetime.to_string(),
        other => other.to_string(),
    };
    Day::parse(&text).map_err(|error| format!("{place}: until: {error}"))
}

pub(crate) fn read(path: &Path, must_exist: bool) -> Result<Option<String>, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    // Devices and pipes say nothing of their length: what is read is what counts.
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{}: larger than 16 MiB",
            path.display()
        )));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| {
        failed(std::io::Error::new(
            ErrorKind::InvalidData,
            "not UTF-8 text",
        ))
    })
}

/// One line: file, line, what is wrong.
fn toml_error(text: &str, source: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let message = error.message().replace('\n', "; ");
    format!("{}: {message}", place(text, source, start))
}

fn place(text: &str, source: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    format!("{source}:{}", before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_files_are_read_or_refused_in_one_line() {
        let good = "# ours\n[[network]]\ncidr = \"203.0.113.0/24\"\nowner = \"NOC\"\n\
                    until = 2999-12-31\n\n[[network]]\ncidr = \"2001:db8::/32\"\nowner = \"NOC\"\n";
        let entries = parse_scope(good, "scope.toml").unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].until, Some(Day::parse("2999-12-31").unwrap()));
        for (text, beginning) in [
            (
                "[[network]]\ncidr = \"203.0.113.0/24\"\nownr = \"x\"\n",
                "scope.toml:3: unknown field `ownr`",
            ),
            (
                "[[network]]\ncidr = \"203.0.113.0/24\"\n",
                "scope.toml:1: missing field `owner`",
            ),
            (
                "[[network]]\ncidr = \"0.0.0.0/0\"\nowner = \"x\"\n",
                "scope.toml:1: cidr: ",
            ),
            (
                "[[network]]\ncidr = \"203.0.113.0/24\"\nowner = \" \"\n",
                "scope.toml:1: owner is empty",
            ),
            (
                "[[network]]\ncidr = \"203.0.113.0/24\"\nowner = \"x\"\nuntil = \"soon\"\n",
                "scope.toml:1: until: ",
            ),
            ("networks = 3\n", "scope.toml:1: unknown field `networks`"),
            ("[[network]\n", "scope.toml:1: "),
        ] {
            let error = parse_scope(text, "scope.toml").unwrap_err();
            assert!(
                error.starts_with(beginning) && !error.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn accepted_risks_need_a_reason_and_a_day() {
        let today = Day::parse("2026-11-22").unwrap();
        let text = "[[accept]]\nendpoint = \"10.0.0.5:11211/tcp\"\nreason = \"lab\"\nuntil = 2027-01-01\n\
                    [[accept]]\nrule = \"ms004\"\nreason = \"VPN\"\nuntil = 2026-11-22\n\
                    [[accept]]\nendpoint = \"10.1.0.0/16\"\nreason = \"old\"\nuntil = 2020-01-01\n";
        let (risks, ended) = parse_accepted(text, "accept.toml", today).unwrap();
        assert_eq!(risks.len(), 2);
        assert_eq!(risks[0].transport, Some(Transport::Tcp));
        assert_eq!(risks[1].rule.as_deref(), Some("MS004"));
        assert_eq!(
            ended,
            ["accept.toml:9: accepted until 2020-01-01, which has passed"]
        );
        for (text, beginning) in [
            (
                "[[accept]]\nreason = \"x\"\nuntil = 2027-01-01\n",
                "accept.toml:1: neither endpoint",
            ),
            (
                "[[accept]]\nrule = \"MS999\"\nreason = \"x\"\nuntil = 2027-01-01\n",
                "accept.toml:1: there is no rule",
            ),
            (
                "[[accept]]\nrule = \"MS001\"\nuntil = 2027-01-01\n",
                "accept.toml:1: missing field `reason`",
            ),
            (
                "[[accept]]\nendpoint = \"10.0.0.300\"\nreason = \"x\"\nuntil = 2027-01-01\n",
                "accept.toml:1: endpoint: ",
            ),
        ] {
            let error = parse_accepted(text, "accept.toml", today).unwrap_err();
            assert!(
                error.starts_with(beginning) && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
