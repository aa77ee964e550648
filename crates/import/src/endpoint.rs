//! The records about one endpoint: `endpoint`, and `finding` of a run that asked again.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Acceptance, Address, Confidence, Contact, Endpoint, Enrichment, Evidence, Finding,
    FindingState, Hardware, IcmpError, Judgement, MacAddress, Record, Refusal, Severity, Text,
    Transport, Verdict, VerifiedFinding,
};
use serde_json::Value;

use crate::fields::{Fields, text};
use crate::own::RuleCode;
use crate::{ImportError, dialogue};

/// The whole `endpoint` record. Grade and debt are not read: they follow from the findings.
pub(crate) fn record(fields: Fields<'_>, rule: &RuleCode<'_>) -> Result<Record, ImportError> {
    let (transport, port) = transport_and_port(fields)?;
    let endpoint = Endpoint::new(address(fields, transport)?, port, transport);
    let japanese = fields.optional_object("ja")?;
    let english = fields.text("reason")?;
    let reason = text_of(english, japanese, "reason")?;
    let only_from_here = fields.optional("only_from_here", "true or false", Value::as_bool)?;
    Ok(Record {
        run: fields.str("run")?.into(),
        timestamp: fields.moment("timestamp")?,
        hostname: fields.optional("hostname", "a text", |value| value.as_str().map(Arc::from))?,
        hardware: hardware(fields)?,
        evidence: Evidence {
            contact: contact(fields, transport)?,
            attempts: fields.integer_of_32_bits("attempts")?,
            rtt: fields
                .optional("rtt_us", "an integer of 64 bits", Value::as_u64)?
                .map(Duration::from_micros),
            dialogue: dialogue::of(fields, &endpoint)?.map(Box::new),
        },
        endpoint,
        judgement: Judgement {
            verdict: verdict(fields)?,
            reason,
            findings: findings(fields, japanese, rule)?,
            only_from_here: only_from_here.unwrap_or(false),
        },
        acceptances: acceptances(fields)?,
        alarm: fields.flag("alarm")?,
        source: fields.optional("source", "a text", |value| value.as_str().map(Arc::from))?,
        enrichment: enrichment(fields)?,
    })
}

/// The whole `finding` record.
pub(crate) fn verified_finding(fields: Fields<'_>) -> Result<VerifiedFinding, ImportError> {
    let (transport, port) = transport_and_port(fields)?;
    let states = [
        FindingState::Closed,
        FindingState::Open,
        FindingState::Unknown,
    ];
    Ok(VerifiedFinding {
        address: fields.text("address")?,
        port,
        transport,
        code: fields.text("code")?,
        title: fields.text("title")?,
        state: fields.required("state", "open, closed or unknown", |value| {
            let word = value.as_str()?;
            states.into_iter().find(|state| state.as_str() == word)
        })?,
        why: Text::same(fields.text("why")?),
    })
}

/// Transport and port; a unix socket has port 0.
pub(crate) fn transport_and_port(fields: Fields<'_>) -> Result<(Transport, u16), ImportError> {
    let transport = fields.required("transport", "tcp, udp or unix", |value| {
        let word = value.as_str()?;
        let all = [Transport::Tcp, Transport::Udp, Transport::Unix];
        all.into_iter().find(|transport| transport.as_str() == word)
    })?;
    let read_port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    let port = match transport {
        Transport::Unix => fields.optional("port", "a port", read_port)?.unwrap_or(0),
        Transport::Tcp | Transport::Udp => fields.required("port", "a port", read_port)?,
    };
    Ok((transport, port))
}

/// The verdict.
pub(crate) fn verdict(fields: Fields<'_>) -> Result<Verdict, ImportError> {
    fields.required("verdict", "a verdict", |value| {
        Verdict::from_word(value.as_str()?)
    })
}

fn address(fields: Fields<'_>, transport: Transport) -> Result<Address, ImportError> {
    fields.required("address", "an address of this transport", |value| {
        let word = value.as_str()?;
        if transport == Transport::Unix {
            let path = word.strip_prefix("unix:")?;
            return Some(Address::Unix(Arc::new(PathBuf::from(path))));
        }
        ip_or_zoned(word)
    })
}

/// An IP address, or a link-local one with its zone.
pub(crate) fn ip_or_zoned(word: &str) -> Option<Address> {
    match word.split_once('%') {
        Some((ip, zone)) => Some(Address::Zoned(ip.parse().ok()?, zone.into())),
        None => Some(Address::from_ip(word.parse().ok()?)),
    }
}

fn hardware(fields: Fields<'_>) -> Result<Option<Hardware>, ImportError> {
    let address = fields.optional("mac", "an Ethernet address", |value| {
        let mut bytes = [0; 6];
        let mut parts = value.as_str()?.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2)?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(MacAddress(bytes))
    })?;
    let vendor = fields.optional_text("vendor")?;
    Ok(address.map(|address| Hardware { address, vendor }))
}

fn contact(fields: Fields<'_>, transport: Transport) -> Result<Contact, ImportError> {
    let icmp = match fields.optional_object("icmp")? {
        Some(icmp) => Some(icmp_error(icmp)?),
        None => None,
    };
    Ok(match fields.str("contact")? {
        "answered" => Contact::Answered,
        "refused" => Contact::Refused(match (icmp, transport) {
            (Some(icmp), _) => Refusal::PortUnreachable(icmp),
            (None, Transport::Unix) => Refusal::NoListener,
            (None, Transport::Tcp | Transport::Udp) => Refusal::Reset,
        }),
        "prohibited" => Contact::Prohibited(icmp),
        "unreachable" => Contact::Unreachable(icmp),
        "silent" => Contact::Silent,
        "unfinished" => Contact::Unfinished,
        "failed" => Contact::Failed(fields.text("failure")?),
        _ => return Err(fields.wrong("contact", "how far a probe came")),
    })
}

fn icmp_error(fields: Fields<'_>) -> Result<IcmpError, ImportError> {
    let byte = |key| fields.required(key, "a byte", |value| u8::try_from(value.as_u64()?).ok());
    Ok(IcmpError {
        from: fields.optional("from", "an IP address", |value| {
            value.as_str()?.parse::<IpAddr>().ok()
        })?,
        kind: byte("type")?,
        code: byte("code")?,
    })
}

fn findings(
    fields: Fields<'_>,
    japanese: Option<Fields<'_>>,
    rule: &RuleCode<'_>,
) -> Result<Vec<Finding>, ImportError> {
    let japanese = match japanese {
        Some(japanese) => japanese.objects("findings")?,
        None => Vec::new(),
    };
    let mut findings = Vec::new();
    for (place, one) in fields.objects("findings")?.into_iter().enumerate() {
        let Some(code) = rule(one.str("code")?) else {
            continue;
        };
        findings.push(finding(one, japanese.get(place).copied(), code)?);
    }
    Ok(findings)
}

fn finding(
    fields: Fields<'_>,
    japanese: Option<Fields<'_>>,
    code: &'static str,
) -> Result<Finding, ImportError> {
    let lines = match japanese {
        Some(japanese) => japanese.optional_texts("evidence")?.unwrap_or_default(),
        None => Vec::new(),
    };
    let mut lines = lines.into_iter();
    let evidence = fields.texts("evidence")?.into_iter().map(|line| Text {
        ja: lines.next().unwrap_or_else(|| line.clone()),
        en: line,
    });
    Ok(Finding {
        code,
        severity: fields.required("severity", "a severity", |value| {
            let word = value.as_str()?;
            Severity::ALL.into_iter().find(|one| one.as_str() == word)
        })?,
        confidence: fields.required("confidence", "a confidence", |value| {
            let word = value.as_str()?;
            [
                Confidence::Possible,
                Confidence::Likely,
                Confidence::Confirmed,
            ]
            .into_iter()
            .find(|one| one.as_str() == word)
        })?,
        title: text_of(fields.text("title")?, japanese, "title")?,
        evidence: evidence.collect(),
        fix: text_of(fields.text("fix")?, japanese, "fix")?,
    })
}

/// A sentence in both languages; in English twice, if the line has no Japanese.
fn text_of(
    english: String,
    japanese: Option<Fields<'_>>,
    key: &'static str,
) -> Result<Text, ImportError> {
    let japanese = match japanese {
        Some(japanese) => japanese.optional_text(key)?,
        None => None,
    };
    Ok(match japanese {
        Some(japanese) => Text::new(english, japanese),
        None => Text::same(english),
    })
}

fn acceptances(fields: Fields<'_>) -> Result<Vec<Acceptance>, ImportError> {
    let one = |one: Fields<'_>| {
        Ok(Acceptance {
            rule: one.optional_text("rule")?,
            reason: one.text("reason")?,
            until: one.text("until")?,
        })
    };
    fields.objects("accepted")?.into_iter().map(one).collect()
}

fn enrichment(fields: Fields<'_>) -> Result<Enrichment, ImportError> {
    Ok(Enrichment {
        reverse_name: fields.optional_text("reverse_name")?,
        asn: fields.optional("asn", "an integer of 32 bits", |value| {
            u32::try_from(value.as_u64()?).ok()
        })?,
        as_name: fields.optional_text("as_name")?,
        country: fields.optional_text("country")?,
        owner: fields.optional("owner", "a text", text)?,
        tags: fields.optional_texts("tags")?.unwrap_or_default(),
    })
}
