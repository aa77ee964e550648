//! What a certificate says, recorded and never believed.

use model::Certificate;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Names kept of one certificate; a hostile one may hold thousands.
const NAMES_MAX: usize = 32;
/// Characters kept of one name.
const NAME_CHARS_MAX: usize = 256;

/// Reads the DER form of a server's own certificate. What cannot be read is left empty; the
/// fingerprint is always there.
pub(crate) fn describe(der: &[u8], sha256: String) -> Certificate {
    let Ok((_, parsed)) = X509Certificate::from_der(der) else {
        return Certificate {
            sha256,
            ..Certificate::default()
        };
    };
    let names = parsed
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| {
            extension
                .value
                .general_names
                .iter()
                .take(NAMES_MAX)
                .map(describe_name)
                .collect()
        })
        .unwrap_or_default();
    Certificate {
        subject: shortened(&parsed.subject().to_string()),
        issuer: shortened(&parsed.issuer().to_string()),
        names,
        not_before_unix_s: parsed.validity().not_before.timestamp(),
        not_after_unix_s: parsed.validity().not_after.timestamp(),
        sha256,
    }
}

fn describe_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => shortened(name),
        GeneralName::IPAddress(octets) => match **octets {
            [a, b, c, d] => std::net::Ipv4Addr::new(a, b, c, d).to_string(),
            _ => <[u8; 16]>::try_from(*octets)
                .map(|octets| std::net::Ipv6Addr::from(octets).to_string())
                .unwrap_or_default(),
        },
        other => shortened(&other.to_string()),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect()
}
