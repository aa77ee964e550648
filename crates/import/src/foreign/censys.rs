//! Censys: hosts with their services, in the envelopes of several of its interfaces.

use std::time::SystemTime;

use model::{
    Auth, Dialogue, Endpoint, Enrichment, Evidence, Protocol, Question, StatsTable, Transport,
};

use super::json::Object;
use super::reply;
use super::sink::{Known, MEMCACHED_PORT, Sink, address, means_memcached, transport};
use crate::ImportError;

/// What an answer wraps hosts in: never deeper than this.
const ENVELOPES_MAX: usize = 4;

/// A host, or an answer that holds hosts.
pub(super) fn object(object: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    enveloped(object, ENVELOPES_MAX, sink)
}

fn enveloped(
    object: &Object<'_>,
    envelopes: usize,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    if object.contains("services") || object.contains("memcached") || envelopes == 0 {
        return host(object, sink);
    }
    for key in ["result", "resource", "host"] {
        if let Some(inner) = object.object(key)? {
            return enveloped(&inner, envelopes - 1, sink);
        }
    }
    if object.contains("hits") {
        for hit in object.objects("hits")? {
            enveloped(&hit, envelopes - 1, sink)?;
        }
        return Ok(());
    }
    host(object, sink)
}

fn host(host: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let Some(ip) = ip(host)? else {
        sink.pass_over();
        return Ok(());
    };
    let known = known(host)?;
    let updated = host.moment("last_updated_at")?;
    if host.contains("memcached") {
        return service(host, &ip, updated, &known, sink);
    }
    let mut services = host.objects("services")?;
    services.extend(host.objects("matched_services")?);
    for one in services {
        service(&one, &ip, updated, &known, sink)?;
    }
    Ok(())
}

fn ip(host: &Object<'_>) -> Result<Option<String>, ImportError> {
    if let Some(ip) = host.owned_text("ip")? {
        return Ok(Some(ip));
    }
    let Some(identifier) = host.object("host_identifier")? else {
        return Ok(None);
    };
    match identifier.owned_text("ipv4")? {
        Some(ip) => Ok(Some(ip)),
        None => identifier.owned_text("ipv6"),
    }
}

fn service(
    service: &Object<'_>,
    ip: &str,
    updated: Option<SystemTime>,
    known: &Known,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let facts = service.object("memcached")?;
    let port = service.port("port")?;
    let mut is_ours = facts.is_some() || port == Some(MEMCACHED_PORT);
    for key in ["service_name", "protocol"] {
        let name = service.text(key)?;
        is_ours |= name.is_some_and(|name| means_memcached(&name));
    }
    let word = service.text("transport_protocol")?;
    let transport = word.as_deref().map_or(Some(Transport::Tcp), transport);
    // Its record of memcached alone does not repeat the port.
    let port = port.or(facts.as_ref().map(|_| MEMCACHED_PORT));
    let (true, Some(port), Some(transport)) = (is_ours, port, transport) else {
        sink.pass_over();
        return Ok(());
    };
    let mut seen = updated;
    for key in ["observed_at", "scan_time"] {
        seen = service.moment(key)?.or(seen);
    }
    let endpoint = Endpoint::new(address(service.line(), "ip", ip)?, port, transport);
    let Some(facts) = facts else {
        sink.keep_known(seen, endpoint, reply::open(), known.clone());
        return Ok(());
    };
    if transport == Transport::Tcp && facts.flag("responds_to_udp")? == Some(true) {
        let datagrams = Endpoint::new(endpoint.address.clone(), port, Transport::Udp);
        // It says no more than that a greeting in ASCII was answered; `version` is the least.
        let evidence = reply::of_dialogue(Dialogue {
            protocol: Protocol::Ascii,
            executed: vec![Question::Version],
            auth: Auth::None,
            ..Dialogue::default()
        });
        sink.keep_known(seen, datagrams, evidence, known.clone());
    }
    sink.keep_known(seen, endpoint, of_facts(&facts)?, known.clone());
    Ok(())
}

fn of_facts(facts: &Object<'_>) -> Result<Evidence, ImportError> {
    let mut rows = StatsTable::new();
    if let Some(stats) = facts.object("stats")? {
        for (name, value) in stats.rows() {
            rows.push(name, value);
        }
    }
    let dialogue = reply::of_statistics(rows, facts.owned_text("version")?);
    Ok(reply::of_dialogue(dialogue))
}

fn known(host: &Object<'_>) -> Result<Known, ImportError> {
    let mut enrichment = Enrichment::default();
    if let Some(location) = host.object("location")? {
        enrichment.country = location.owned_text("country_code")?;
    }
    if let Some(system) = host.object("autonomous_system")? {
        enrichment.asn = system.integer("asn")?;
        enrichment.as_name = system.owned_text("name")?;
    }
    if let Some(names) = host.object("dns")?
        && let Some(reverse) = names.object("reverse_dns")?
    {
        enrichment.reverse_name = reverse.texts("names")?.into_iter().next();
    }
    Ok(Known {
        hostname: None,
        enrichment,
    })
}
