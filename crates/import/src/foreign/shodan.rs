//! Shodan: one banner an object, as `shodan download` and the search interface give them.

use model::{Answer, Endpoint, Enrichment, Transport};

use super::json::Object;
use super::reply;
use super::sink::{Known, MEMCACHED_PORT, Sink, address, means_memcached, transport};
use crate::ImportError;

/// An object: a banner, or an answer of the search interface with many of them.
pub(super) fn object(object: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    if object.contains("matches") {
        for banner in object.objects("matches")? {
            one(&banner, sink)?;
        }
        return Ok(());
    }
    one(object, sink)
}

fn one(banner: &Object<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let port = banner.port("port")?;
    if !is_memcached(banner, port)? {
        sink.pass_over();
        return Ok(());
    }
    let ip = match banner.text("ip_str")? {
        Some(ip) => Some(ip),
        None => banner.text("ipv6")?,
    };
    let word = banner.text("transport")?;
    let transport = word.as_deref().map_or(Some(Transport::Tcp), transport);
    let (Some(ip), Some(port), Some(transport)) = (ip, port, transport) else {
        sink.pass_over();
        return Ok(());
    };
    let endpoint = Endpoint::new(address(banner.line(), "ip_str", &ip)?, port, transport);
    let mut evidence = reply::of_words(&banner.text("data")?.unwrap_or_default());
    if let Some(version) = banner.owned_text("version")? {
        match &mut evidence.dialogue {
            None => evidence = reply::of_dialogue(reply::of_version(Some(version))),
            Some(dialogue) if !dialogue.version.was_asked() => {
                dialogue.version = Answer::Given(version);
            }
            Some(_) => {}
        }
    }
    let known = known(banner)?;
    sink.keep_known(banner.moment("timestamp")?, endpoint, evidence, known);
    Ok(())
}

fn is_memcached(banner: &Object<'_>, port: Option<u16>) -> Result<bool, ImportError> {
    if port == Some(MEMCACHED_PORT) {
        return Ok(true);
    }
    if banner
        .text("product")?
        .is_some_and(|product| means_memcached(&product))
    {
        return Ok(true);
    }
    let module = match banner.object("_shodan")? {
        Some(crawler) => crawler.text("module")?,
        None => None,
    };
    Ok(module.is_some_and(|module| means_memcached(&module)))
}

fn known(banner: &Object<'_>) -> Result<Known, ImportError> {
    let country = match banner.object("location")? {
        Some(location) => location.owned_text("country_code")?,
        None => None,
    };
    let asn = banner.text("asn")?;
    let digits = asn.as_deref().map(|asn| asn.trim_start_matches("AS"));
    let as_name = match banner.owned_text("isp")? {
        Some(name) => Some(name),
        None => banner.owned_text("org")?,
    };
    Ok(Known {
        hostname: None,
        enrichment: Enrichment {
            // Names that the address resolves to; nobody asked it by one of them.
            reverse_name: banner.texts("hostnames")?.into_iter().next(),
            asn: digits.and_then(|digits| digits.parse().ok()),
            as_name,
            country,
            owner: None,
            tags: Vec::new(),
        },
    })
}
