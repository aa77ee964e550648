//! masscan: its list (`-oL`) and its JSON (`-oJ`, `-oD`). Its XML is read together with nmap's.

use std::time::SystemTime;

use model::{Endpoint, Evidence, StatsTable};

use super::json::Object;
use super::moments;
use super::reply;
use super::sink::{MEMCACHED_PORT, Sink, address, means_memcached, transport};
use crate::ImportError;

const LIST_LINE: &str = "a line of masscan's list";

/// A line of the list: `open tcp 11211 192.0.2.1 1700000000`, or
/// `banner tcp 11211 192.0.2.1 1700000000 memcached uptime=…`.
pub(super) fn list_line(line: u64, text: &[u8], sink: &mut Sink<'_>) -> Result<(), ImportError> {
    if text.is_empty() || text.starts_with(b"#") {
        return Ok(());
    }
    let wrong = || ImportError::NotSuchALine {
        line,
        expected: LIST_LINE,
    };
    let text = String::from_utf8_lossy(text);
    let mut words = text.splitn(7, ' ');
    let mut next = || words.next().ok_or_else(wrong);
    let (kind, transport_word, port, ip, time) = (next()?, next()?, next()?, next()?, next()?);
    if !matches!(kind, "open" | "closed" | "banner") {
        return Err(wrong());
    }
    let port: u16 = port.parse().map_err(|_| wrong_port(line))?;
    let service = words.next().unwrap_or_default();
    let Some(transport) =
        transport(transport_word).filter(|_| port == MEMCACHED_PORT || means_memcached(service))
    else {
        sink.pass_over();
        return Ok(());
    };
    let seen = Some(moments::parse(time).ok_or(ImportError::WrongValue {
        line,
        key: "timestamp",
        expected: "a time",
    })?);
    let endpoint = Endpoint::new(address(line, "ip", ip)?, port, transport);
    let evidence = match kind {
        "closed" => reply::closed(&endpoint),
        "banner" => of_banner(words.next().unwrap_or_default()),
        _ => reply::open(),
    };
    sink.keep(seen, endpoint, evidence);
    Ok(())
}

fn wrong_port(line: u64) -> ImportError {
    ImportError::WrongValue {
        line,
        key: "port",
        expected: "a port",
    }
}

/// A banner of masscan: three of the statistics, as `name=value`; or words as they came.
pub(super) fn of_banner(banner: &str) -> Evidence {
    let (banner, mismatch) = match banner.strip_suffix("IP-MISMATCH") {
        Some(banner) => (banner.trim_end(), true),
        None => (banner, false),
    };
    let rows: StatsTable = banner
        .split(' ')
        .filter_map(|word| word.split_once('='))
        .filter(|(name, _)| matches!(*name, "uptime" | "time" | "version"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut evidence = if rows.is_empty() {
        reply::of_words(banner)
    } else {
        reply::of_dialogue(reply::of_statistics(rows, None))
    };
    if mismatch {
        reply::note(
            &mut evidence,
            "masscan: the reply fits another address's cookie",
        );
    }
    evidence
}

/// An object of `-oJ`, which holds ports, or of `-oD`, which is one.
pub(super) fn object(object: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let Some(ip) = object.text("ip")? else {
        // `{"finished": 1}` of old versions.
        return Ok(());
    };
    let seen = object.moment("timestamp")?;
    if object.contains("rec_type") {
        return one(object, object.object("data")?.as_ref(), &ip, seen, sink);
    }
    for port in object.objects("ports")? {
        let service = port.object("service")?;
        one(&port, service.as_ref(), &ip, seen, sink)?;
    }
    Ok(())
}

/// `place` has port and transport, `said` what is there.
fn one(
    place: &Object<'_>,
    said: Option<&Object<'_>>,
    ip: &str,
    seen: Option<SystemTime>,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let said_text = |key| said.map_or(Ok(None), |said| said.text(key));
    let service = match said_text("service_name")? {
        Some(name) => Some(name),
        None => said_text("name")?,
    };
    let port = place.port("port")?;
    let transport = place.text("proto")?.and_then(|word| transport(&word));
    let is_ours =
        port == Some(MEMCACHED_PORT) || service.is_some_and(|name| means_memcached(&name));
    let (Some(port), Some(transport), true) = (port, transport, is_ours) else {
        sink.pass_over();
        return Ok(());
    };
    let endpoint = Endpoint::new(address(place.line(), "ip", ip)?, port, transport);
    let status = match said_text("status")? {
        Some(status) => Some(status),
        None => place.text("status")?,
    };
    let evidence = match (said_text("banner")?, status.as_deref()) {
        (Some(banner), _) => of_banner(&banner),
        (None, Some("closed")) => reply::closed(&endpoint),
        (None, _) => reply::open(),
    };
    sink.keep(seen, endpoint, evidence);
    Ok(())
}

/// What old versions of masscan write last. It is no JSON.
pub(super) const FINISHED: &[&[u8]] = &[b"{finished: 1}", b"{finished:1}"];

#[cfg(test)]
mod tests {
    use model::{Answer, Question};

    use super::*;

    #[test]
    fn a_banner_holds_three_statistics_or_words() {
        let evidence = of_banner("uptime=5 time=1700000000 version=1.6.18");
        let dialogue = evidence.dialogue.unwrap();
        assert_eq!(dialogue.executed, [Question::Stats]);
        assert_eq!(dialogue.version, Answer::Given("1.6.18".to_owned()));
        assert_eq!(of_banner(""), reply::open());
    }
}
