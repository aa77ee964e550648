//! zgrab2: one host an object, with what each of its modules found.

use std::sync::Arc;

use model::{Contact, Dialogue, Endpoint, Evidence, Question, StatsTable, Transport};

use super::json::Object;
use super::reply;
use super::sink::{Known, MEMCACHED_PORT, Sink, address, means_memcached};
use crate::ImportError;

/// A host.
pub(super) fn object(host: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let mut is_kept = false;
    if let Some(data) = host.object("data")? {
        for module in data.children("data")? {
            is_kept |= one(host, &module, sink)?;
        }
    }
    if !is_kept {
        sink.pass_over();
    }
    Ok(())
}

/// What a module found; whether it was the one for memcached.
fn one(host: &Object<'_>, module: &Object<'_>, sink: &mut Sink<'_>) -> Result<bool, ImportError> {
    let is_memcached = module
        .text("protocol")?
        .is_some_and(|protocol| means_memcached(&protocol));
    let ip = host.text("ip")?.filter(|ip| !ip.is_empty());
    let (Some(ip), true) = (ip, is_memcached) else {
        return Ok(false);
    };
    let port = match module.port("port")? {
        Some(port) => port,
        None => host.port("port")?.unwrap_or(MEMCACHED_PORT),
    };
    let endpoint = Endpoint::new(address(host.line(), "ip", &ip)?, port, Transport::Tcp);
    let evidence = match module.text("status")?.as_deref() {
        Some("connection-refused") => reply::closed(&endpoint),
        Some("connection-timeout") => reply::of_contact(Contact::Silent),
        _ => match module.object("result")? {
            Some(result) => of_result(&result)?,
            None => reply::open(),
        },
    };
    let known = Known {
        hostname: host
            .text("domain")?
            .filter(|name| !name.is_empty())
            .map(|name| Arc::from(&*name)),
        ..Known::default()
    };
    sink.keep_known(module.moment("timestamp")?, endpoint, evidence, known);
    Ok(true)
}

/// zgrab2 reads the first 2,000 bytes of a reply, and gives every statistic that it knows and did
/// not read as 0. So a 0 of it says nothing, and is left out.
fn of_result(result: &Object<'_>) -> Result<Evidence, ImportError> {
    let mut rows = StatsTable::new();
    if let Some(stats) = result.object("stats")? {
        for (name, value) in stats.rows() {
            let value = match &*value {
                "" | "0" | "0.0" | "false" => continue,
                "true" => "1",
                value => value,
            };
            // As it spells the server's `connection_structures`.
            let name = match name {
                "connected_structures" => "connection_structures",
                name => name,
            };
            rows.push(name, value);
        }
    }
    let version = result.owned_text("version")?;
    let version = version.map(|version| version.trim_end().to_owned());
    let mut dialogue = reply::of_statistics(rows, version);
    executed(&mut dialogue, result)?;
    Ok(if dialogue == reply::of_version(None) {
        reply::open()
    } else {
        reply::of_dialogue(dialogue)
    })
}

/// It tells in which protocols `stats` was answered.
fn executed(dialogue: &mut Dialogue, result: &Object<'_>) -> Result<(), ImportError> {
    for (key, question, protocol) in [
        ("supports_ascii", Question::Stats, model::Protocol::Ascii),
        (
            "supports_binary",
            Question::BinaryStat,
            model::Protocol::Binary,
        ),
    ] {
        if result.flag(key)? == Some(true) && !dialogue.executed.contains(&question) {
            if dialogue.executed.is_empty() {
                dialogue.protocol = protocol;
                dialogue.auth = model::Auth::None;
                dialogue.ending = model::Ending::Complete;
            }
            dialogue.executed.push(question);
        }
    }
    Ok(())
}
