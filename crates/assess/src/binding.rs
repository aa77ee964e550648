//! Where a server listens, by its own settings.
//!
//! `stats settings` gives `inter`: the argument of `-l` as it was typed, or `NULL` without one. An
//! entry is an address or a name, with a port perhaps, and since 1.6 with words before it
//! (`notls:`, `mtls:`, `proto[ascii]:`, `tag[b]:`).

use std::net::IpAddr;

use model::{AddressKind, StatsTable, canonical_ip};

/// How far the addresses reach that a server says it listens on, from unknown to everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// The settings do not tell.
    Unknown,
    /// Loopback addresses only.
    Loopback,
    /// At least one address that other machines can ask.
    Outside,
    /// All addresses of the machine.
    Everywhere,
}

/// Names that lead to loopback by convention (RFC 6761 section 6.3, and Debian's /etc/hosts).
const LOOPBACK_NAMES: [&str; 4] = [
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
];

/// Reads `inter`. A server that was given a unix socket (`domain_socket`) listens on no address,
/// although its `inter` is `NULL` too: unknown.
pub(crate) fn reach(settings: &StatsTable) -> Reach {
    if settings
        .text("domain_socket")
        .is_some_and(|path| !is_null(path))
    {
        return Reach::Unknown;
    }
    match settings.text("inter") {
        None | Some("") => Reach::Unknown,
        Some(inter) if is_null(inter) => Reach::Everywhere,
        Some(inter) => inter
            .split(',')
            .map(of_entry)
            .max()
            .unwrap_or(Reach::Unknown),
    }
}

fn is_null(value: &str) -> bool {
    value.is_empty() || value == "NULL" || value == "(null)"
}

fn of_entry(entry: &str) -> Reach {
    let host = host_of(without_words(entry.trim()));
    if host.is_empty() {
        return Reach::Unknown;
    }
    if host == "*" {
        return Reach::Everywhere;
    }
    let Ok(ip) = host.split('%').next().unwrap_or(host).parse::<IpAddr>() else {
        let is_loopback = LOOPBACK_NAMES
            .iter()
            .any(|name| host.eq_ignore_ascii_case(name));
        return if is_loopback {
            Reach::Loopback
        } else {
            Reach::Outside
        };
    };
    if canonical_ip(ip).is_unspecified() {
        Reach::Everywhere
    } else if AddressKind::of(ip) == AddressKind::Loopback {
        Reach::Loopback
    } else {
        Reach::Outside
    }
}

/// Takes the words of 1.6 from the front of an entry.
fn without_words(entry: &str) -> &str {
    let mut rest = entry;
    // Each turn makes the text shorter.
    while let Some((word, after)) = rest.split_once(':') {
        let is_word = matches!(word, "notls" | "mtls")
            || ((word.starts_with("proto[") || word.starts_with("tag[")) && word.ends_with(']'));
        if !is_word {
            break;
        }
        rest = after;
    }
    rest
}

/// Takes the port and the brackets from an address or name.
fn host_of(entry: &str) -> &str {
    if let Some(bracketed) = entry.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or(bracketed);
    }
    // More than one colon without brackets: IPv6 without a port.
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inter_is_read_as_it_may_be_typed() {
        let cases = [
            ("NULL", Reach::Everywhere),
            ("0.0.0.0", Reach::Everywhere),
            ("::", Reach::Everywhere),
            ("[::]:11211", Reach::Everywhere),
            ("*", Reach::Everywhere),
            ("0.0.0.0:11211", Reach::Everywhere),
            ("::ffff:0.0.0.0", Reach::Everywhere),
            ("127.0.0.1,0.0.0.0", Reach::Everywhere),
            ("proto[ascii]:tag[b]:0.0.0.0:11211", Reach::Everywhere),
            ("127.0.0.1", Reach::Loopback),
            ("127.0.0.1,::1", Reach::Loopback),
            ("127.0.0.1, ::1", Reach::Loopback),
            ("127.0.0.1:11211", Reach::Loopback),
            ("[::1]:11211", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("notls:127.0.0.1:11212", Reach::Loopback),
            ("localhost", Reach::Loopback),
            ("Localhost:11211", Reach::Loopback),
            ("10.0.0.5", Reach::Outside),
            ("127.0.0.1,10.0.0.5", Reach::Outside),
            ("fe80::1%eth0", Reach::Outside),
            ("cache.example.org", Reach::Outside),
            ("", Reach::Unknown),
            (",", Reach::Unknown),
        ];
        for (inter, expected) in cases {
            let mut settings = StatsTable::new();
            settings.push("inter", inter);
            assert_eq!(reach(&settings), expected, "{inter:?}");
        }
        assert_eq!(reach(&StatsTable::new()), Reach::Unknown);
    }

    #[test]
    fn a_unix_socket_listens_on_no_address() {
        let mut settings = StatsTable::new();
        settings.push("inter", "NULL");
        settings.push("domain_socket", "/run/memcached.sock");
        assert_eq!(reach(&settings), Reach::Unknown);
    }
}
