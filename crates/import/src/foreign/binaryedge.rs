//! BinaryEdge: one event an object.

use model::{Endpoint, StatsTable, Transport};

use super::json::Object;
use super::reply;
use super::sink::{MEMCACHED_PORT, Sink, address, means_memcached, transport};
use crate::ImportError;

/// An event, or an answer of the search interface with many of them.
pub(super) fn object(object: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    if object.contains("events") && !object.contains("target") {
        for group in object.objects("events")? {
            let results = group.objects("results")?;
            if results.is_empty() {
                one(&group, sink)?;
            }
            for event in results {
                one(&event, sink)?;
            }
        }
        return Ok(());
    }
    one(object, sink)
}

fn one(event: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let (origin, target) = (event.object("origin")?, event.object("target")?);
    let Some(target) = target else {
        sink.pass_over();
        return Ok(());
    };
    let module = match &origin {
        Some(origin) => origin.text("type")?,
        None => None,
    };
    let module_is_ours = module.is_some_and(|module| means_memcached(&module));
    let port = target.port("port")?;
    let word = target.text("protocol")?;
    let transport = word.as_deref().map_or(Some(Transport::Tcp), transport);
    let is_ours = module_is_ours || port == Some(MEMCACHED_PORT);
    let (Some(ip), Some(port), Some(transport), true) =
        (target.text("ip")?, port, transport, is_ours)
    else {
        sink.pass_over();
        return Ok(());
    };
    let endpoint = Endpoint::new(address(event.line(), "ip", &ip)?, port, transport);
    let mut rows = StatsTable::new();
    if let (true, Some(result)) = (module_is_ours, event.object("result")?) {
        let data = result.object("data")?;
        for (name, value) in data.iter().flat_map(Object::rows) {
            // Whom it asked, and not what was said.
            if name != "server" {
                rows.push(name, value);
            }
        }
    }
    let evidence = if rows.is_empty() {
        reply::open()
    } else {
        reply::of_dialogue(reply::of_statistics(rows, None))
    };
    let seen = match &origin {
        Some(origin) => origin.moment("ts")?,
        None => None,
    };
    sink.keep(seen, endpoint, evidence);
    Ok(())
}
