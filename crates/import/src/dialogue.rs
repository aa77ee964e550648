//! What a server said, out of the keys of an `endpoint` record.

use std::net::SocketAddr;

use jiff::Timestamp;
use model::{
    Amplification, Anomaly, Answer, Auth, Certificate, Connections, Dialogue, Ending, Endpoint,
    Impression, KeyKind, KeyProbe, KeySample, KindCount, MetaNoop, PatternCount, Protocol,
    Question, StatsTable, TlsFacts, Transport, Unsampled,
};
use serde_json::Value;

use crate::ImportError;
use crate::fields::Fields;

/// Bytes and datagrams of a measurement; more than any link carries during one interview, and few
/// enough to be added and multiplied without an overflow.
const MEASURED_MAX: u64 = 1 << 48;
/// The longest text that reads as a number with a fraction (see [`model::Value`]).
const DECIMAL_CHARACTERS_MAX: usize = 24;
/// Kinds, and patterns, of one sample of key names; we write at most so many.
const SAMPLE_ROWS_MAX: usize = 20;
const QUESTIONS: [Question; 11] = [
    Question::Version,
    Question::Stats,
    Question::StatsSettings,
    Question::StatsItems,
    Question::StatsConns,
    Question::RandomKey,
    Question::TwoCommands,
    Question::MetaNoop,
    Question::KeySample,
    Question::BinaryNoop,
    Question::BinaryStat,
];

/// The dialogue, if there was one: a record of one says what the server demands.
pub(crate) fn of(fields: Fields<'_>, endpoint: &Endpoint) -> Result<Option<Dialogue>, ImportError> {
    if !fields.contains("auth") {
        return Ok(None);
    }
    let outcomes = Outcomes::of(fields)?;
    let table = |question: Question, rows: Option<StatsTable>| {
        outcomes.answer(question.as_str(), rows, Some(StatsTable::new()))
    };
    // What was said is not written for the answers below, only what became of the question. Half an
    // answer stays one, and claims as little as it can.
    let unwritten = |question| outcomes.answer(question, None, Some(StatsTable::new()));
    let (protocol, tls) = protocol_and_tls(fields)?;
    Ok(Some(Dialogue {
        protocol,
        tls,
        answered_from: fields.optional("answered_from", "an address with its port", |value| {
            value.as_str()?.parse::<SocketAddr>().ok()
        })?,
        executed: executed(fields)?,
        version: outcomes.answer(
            Question::Version.as_str(),
            fields.optional_text("version")?,
            None,
        ),
        auth: auth(fields)?,
        stats: table(Question::Stats, server(fields)?),
        settings: table(Question::StatsSettings, settings(fields)?),
        items: table(Question::StatsItems, items(fields)?),
        connections: outcomes.answer(Question::StatsConns.as_str(), connections(fields)?, None),
        second_stats: unwritten("stats on a second connection"),
        repeated_stats: unwritten("stats once more"),
        random_key: outcomes.answer(Question::RandomKey.as_str(), None, Some(KeyProbe::Miss)),
        two_commands: outcomes.answer(Question::TwoCommands.as_str(), None, Some(0)),
        meta_noop: outcomes.answer(Question::MetaNoop.as_str(), meta_noop(fields)?, None),
        key_sample: outcomes.answer(Question::KeySample.as_str(), key_sample(fields)?, None),
        unsampled: fields.optional("key_sample_skipped", "a reason that is known", |value| {
            let word = value.as_str()?;
            Unsampled::ALL.into_iter().find(|why| why.as_str() == word)
        })?,
        amplification: match endpoint.transport {
            Transport::Udp => amplifications(fields, endpoint)?,
            Transport::Tcp | Transport::Unix => Vec::new(),
        },
        impression: impression(fields)?,
        anomalies: fields
            .strs("anomalies")?
            .into_iter()
            .map(|sentence| Anomaly::Other(sentence.to_owned()))
            .collect(),
        ending: ending(fields)?,
    }))
}

/// What became of the questions that got no whole answer.
struct Outcomes<'a> {
    truncated: Vec<&'a str>,
    unanswered: Vec<&'a str>,
    hung_up: Vec<&'a str>,
    refused: Vec<(&'a str, &'a str)>,
}

impl<'a> Outcomes<'a> {
    fn of(fields: Fields<'a>) -> Result<Outcomes<'a>, ImportError> {
        let refused = fields.optional("refused", "an object of texts", |value| {
            let refused = value.as_object()?.iter();
            refused
                .map(|(question, words)| Some((question.as_str(), words.as_str()?)))
                .collect()
        })?;
        Ok(Outcomes {
            truncated: fields.strs("truncated")?,
            unanswered: fields.strs("unanswered")?,
            hung_up: fields.strs("hung_up")?,
            refused: refused.unwrap_or_default(),
        })
    }

    /// The answer to a question, with what was said if that is written; `least` stands for half an
    /// answer whose content is not.
    fn answer<T>(&self, question: &str, said: Option<T>, least: Option<T>) -> Answer<T> {
        let is_truncated = self.truncated.contains(&question);
        match (said, least) {
            (Some(said), _) if is_truncated => return Answer::Truncated(said),
            (Some(said), _) => return Answer::Given(said),
            (None, Some(least)) if is_truncated => return Answer::Truncated(least),
            (None, _) => {}
        }
        let refusal = self.refused.iter().find(|(asked, _)| *asked == question);
        if let Some((_, words)) = refusal {
            Answer::Refused((*words).to_owned())
        } else if self.unanswered.contains(&question) {
            Answer::Silent
        } else if self.hung_up.contains(&question) {
            Answer::Closed
        } else {
            Answer::NotAsked
        }
    }
}

fn protocol_and_tls(fields: Fields<'_>) -> Result<(Protocol, Option<TlsFacts>), ImportError> {
    let Some(facts) = fields.optional_object("tls")? else {
        return Ok((protocol(fields, "protocol")?, None));
    };
    let certificate = match facts.optional_object("certificate")? {
        Some(shown) => Some(certificate(shown)?),
        None => None,
    };
    let tls = TlsFacts {
        version: facts.optional_text("version")?.unwrap_or_default(),
        cipher_suite: facts.optional_text("cipher_suite")?.unwrap_or_default(),
        certificate,
        client_certificate_requested: facts.flag("client_certificate_requested")?,
    };
    Ok((protocol(facts, "inner")?, Some(tls)))
}

fn protocol(fields: Fields<'_>, key: &'static str) -> Result<Protocol, ImportError> {
    let protocol = fields.optional(key, "ascii or binary", |value| match value.as_str()? {
        "ascii" => Some(Protocol::Ascii),
        "binary" => Some(Protocol::Binary),
        _ => None,
    })?;
    Ok(protocol.unwrap_or(Protocol::Unknown))
}

fn certificate(fields: Fields<'_>) -> Result<Certificate, ImportError> {
    // A date that no calendar has is not written.
    let date = |key| {
        let date = fields.optional(key, "a time in RFC 3339", |value| {
            let moment: Timestamp = value.as_str()?.parse().ok()?;
            Some(moment.as_second())
        })?;
        Ok(date.unwrap_or(i64::MIN))
    };
    Ok(Certificate {
        subject: fields.optional_text("subject")?.unwrap_or_default(),
        issuer: fields.optional_text("issuer")?.unwrap_or_default(),
        names: fields.texts("names")?,
        not_before_unix_s: date("not_before")?,
        not_after_unix_s: date("not_after")?,
        sha256: fields.optional_text("sha256")?.unwrap_or_default(),
    })
}

/// A question that a later version added is passed over.
fn executed(fields: Fields<'_>) -> Result<Vec<Question>, ImportError> {
    let question = |word: &str| QUESTIONS.into_iter().find(|one| one.as_str() == word);
    let words = fields.strs("executed")?;
    Ok(words.into_iter().filter_map(question).collect())
}

fn auth(fields: Fields<'_>) -> Result<Auth, ImportError> {
    Ok(match fields.str("auth")? {
        "unknown" => Auth::Unknown,
        "none" => Auth::None,
        "sasl" => Auth::Sasl(
            fields
                .optional_texts("sasl_mechanisms")?
                .unwrap_or_default(),
        ),
        "ascii" => Auth::Ascii,
        "tls-client-certificate" => Auth::TlsClientCertificate,
        _ => return Err(fields.wrong("auth", "what a server can demand")),
    })
}

/// The rows of `stats`, as far as they are written: `version` stands at the top of the record.
fn server(fields: Fields<'_>) -> Result<Option<StatsTable>, ImportError> {
    fields.optional("server", "an object of statistics", |value| {
        let mut table = StatsTable::new();
        for (name, value) in value.as_object()? {
            let name = if name == "uptime_s" { "uptime" } else { name };
            table.push(name, statistic(value)?);
        }
        Some(table)
    })
}

fn settings(fields: Fields<'_>) -> Result<Option<StatsTable>, ImportError> {
    fields.optional("settings", "an object of texts", |value| {
        let mut table = StatsTable::new();
        for (name, value) in value.as_object()? {
            table.push(name, value.as_str()?);
        }
        Some(table)
    })
}

fn items(fields: Fields<'_>) -> Result<Option<StatsTable>, ImportError> {
    fields.optional("items", "an object of objects of statistics", |value| {
        let mut table = StatsTable::new();
        for (class, rows) in value.as_object()? {
            for (name, value) in rows.as_object()? {
                table.push(format!("items:{class}:{name}"), statistic(value)?);
            }
        }
        Some(table)
    })
}

/// The text of a statistic, which reads as the same value again.
fn statistic(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number
            .as_u64()
            .map(|integer| integer.to_string())
            .or_else(|| number.as_f64().map(decimal)),
        _ => None,
    }
}

/// A number with a fraction, in digits with one point, as short as a server can have said it.
fn decimal(number: f64) -> String {
    let mut text = number.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    if text.len() <= DECIMAL_CHARACTERS_MAX {
        return text;
    }
    match text.strip_prefix("0.") {
        Some(fraction) => format!(".{fraction}"),
        // All its digits, and not the fewest that tell it from its neighbours: those may be more.
        None => format!("{number:.0}."),
    }
}

fn connections(fields: Fields<'_>) -> Result<Option<Connections>, ImportError> {
    let Some(fields) = fields.optional_object("connections")? else {
        return Ok(None);
    };
    Ok(Some(Connections {
        listening: fields.integer("listening")?,
        tcp_clients: fields.integer("tcp_clients")?,
        unix_clients: fields.integer("unix_clients")?,
        loopback_peers: fields.integer("loopback_peers")?,
        private_peers: fields.integer("private_peers")?,
        public_peers: fields.integer("public_peers")?,
    }))
}

/// Kinds of data that are not known here are those of a later version: they are passed over.
fn key_sample(fields: Fields<'_>) -> Result<Option<KeySample>, ImportError> {
    let Some(fields) = fields.optional_object("key_sample")? else {
        return Ok(None);
    };
    let mut kinds = Vec::new();
    for count in fields.objects("kinds")?.into_iter().take(SAMPLE_ROWS_MAX) {
        if let Some(kind) = KeyKind::named(count.str("kind")?) {
            kinds.push(KindCount {
                kind,
                names: count.integer("names")?,
                pattern: count.optional_text("pattern")?,
            });
        }
    }
    let mut patterns = Vec::new();
    for count in fields
        .objects("patterns")?
        .into_iter()
        .take(SAMPLE_ROWS_MAX)
    {
        patterns.push(PatternCount {
            pattern: count.text("pattern")?,
            names: count.integer("names")?,
        });
    }
    Ok(Some(KeySample {
        names_max: fields.integer("names_max")?,
        names_seen: fields.integer("names_seen")?,
        kinds,
        patterns,
        other_names: fields.integer("other_names")?,
    }))
}

fn meta_noop(fields: Fields<'_>) -> Result<Option<MetaNoop>, ImportError> {
    let expected = "MN, EN or not known";
    fields.optional("meta_noop", expected, |value| match value.as_str()? {
        "MN" => Some(MetaNoop::Mn),
        "EN" => Some(MetaNoop::En),
        "not known" => Some(MetaNoop::NotKnown),
        _ => None,
    })
}

fn amplifications(
    fields: Fields<'_>,
    endpoint: &Endpoint,
) -> Result<Vec<Amplification>, ImportError> {
    let ipv6 = endpoint.address.ip().is_some_and(|ip| ip.is_ipv6());
    let all = fields.objects("amplification_all")?.into_iter();
    all.map(|one| amplification(one, ipv6)).collect()
}

fn amplification(fields: Fields<'_>, ipv6: bool) -> Result<Amplification, ImportError> {
    let measured = |key| {
        fields.required(key, "what can be measured", |value| {
            value.as_u64().filter(|measured| *measured <= MEASURED_MAX)
        })
    };
    let wire_ratio = fields.optional("wire_ratio", "a number", Value::as_f64)?;
    let mut amplification = Amplification {
        command: fields.text("command")?,
        request_bytes: measured("request_bytes")?,
        reply_bytes: measured("reply_bytes")?,
        datagrams: measured("datagrams")?,
        complete: fields.flag("complete")?,
        ipv6,
    };
    // The ratio tells whose headers were counted, should they not be those of the address.
    let mut other = amplification.clone();
    other.ipv6 = !ipv6;
    if let Some(ratio) = wire_ratio {
        let distance = |one: &Amplification| (one.wire_ratio() - ratio).abs();
        if distance(&other) < distance(&amplification) {
            amplification = other;
        }
    }
    Ok(amplification)
}

fn impression(fields: Fields<'_>) -> Result<Option<Impression>, ImportError> {
    let Some(look) = fields.optional_object("looked_like")? else {
        return Ok(None);
    };
    let detail = || look.text("detail");
    let seen = match look.str("kind")? {
        "mute" => Impression::Mute,
        "reset" => Impression::Reset,
        "closed" => Impression::Closed,
        "echo" => Impression::Echo,
        "http" => Impression::Http(detail()?),
        "ssh" => Impression::Ssh(detail()?),
        "redis" => Impression::Redis(detail()?),
        "tls-failure" => Impression::TlsFailure(detail()?),
        "text" => Impression::Text(detail()?),
        "bytes" => Impression::Bytes(detail()?),
        "foreign-datagram" => Impression::ForeignDatagram(detail()?),
        // A look that a later version knows.
        _ => return Ok(None),
    };
    let inside_tls = look.optional("inside_tls", "true or false", Value::as_bool)?;
    Ok(Some(match inside_tls {
        Some(true) => Impression::InsideTls(Box::new(seen)),
        Some(false) | None => seen,
    }))
}

fn ending(fields: Fields<'_>) -> Result<Ending, ImportError> {
    let ending = fields.optional("ending", "how a dialogue can end", |value| {
        match value.as_str()? {
            "deadline" => Some(Ending::Deadline),
            "stopped" => Some(Ending::Stopped),
            "sampled" => Some(Ending::Sampled),
            _ => None,
        }
    })?;
    Ok(ending.unwrap_or(Ending::Complete))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text that reads as a fraction is written as a number, and comes back as one that
    /// reads as the same number.
    #[test]
    fn fractions_keep_their_value() {
        for text in [
            "0.008960",
            "12.500000",
            "5.",
            ".5",
            "0.0",
            "0.0000000000000000000001",
            ".00000000000000000000001",
            "99999999999999999999999.",
            "12345678901234567890123.",
            "1234567890123456789.1234",
            "0.1234567890123456789012",
            "9007199254740993.0",
        ] {
            let model::Value::Decimal(number) = model::Value::of(text) else {
                panic!("{text} is no fraction");
            };
            let json = serde_json::Value::from(number).to_string();
            let value: Value = serde_json::from_str(&json).unwrap();
            let back = statistic(&value).unwrap();
            assert_eq!(
                model::Value::of(&back),
                model::Value::Decimal(number),
                "{text}: {back}"
            );
        }
    }
}
