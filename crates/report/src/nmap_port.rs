//! One port in nmap's words: what the three layouts of nmap have in common.

use model::{Contact, Record, Refusal, Transport, Verdict};

use crate::labels;

/// The port of memcached in nmap's table of services.
const MEMCACHE_PORT: u16 = 11211;

/// Whether a host is there, as far as nmap would say "up": something was heard from it.
pub(crate) fn is_up(record: &Record) -> bool {
    matches!(
        record.evidence.contact,
        Contact::Answered | Contact::Refused(_)
    )
}

/// Whether memcached is what was spoken there.
pub(crate) fn speaks_memcached(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Exposed | Verdict::Protected | Verdict::Decoy
    )
}

/// The state of a port; `None` for a host that is not there.
pub(crate) fn state(record: &Record) -> Option<&'static str> {
    let answered = record.evidence.contact == Contact::Answered;
    match record.judgement.verdict {
        Verdict::Exposed | Verdict::Protected | Verdict::Decoy | Verdict::Other => Some("open"),
        Verdict::Closed => Some("closed"),
        Verdict::Filtered => Some("filtered"),
        Verdict::Silent => Some("open|filtered"),
        Verdict::Unfinished if answered => Some("open"),
        Verdict::Unfinished => Some("unknown"),
        Verdict::Absent => None,
    }
}

/// Why it has this state, by a word of nmap's list of reasons.
pub(crate) fn reason(record: &Record) -> &'static str {
    let is_closed = record.judgement.verdict == Verdict::Closed;
    match (&record.evidence.contact, record.endpoint.transport) {
        (Contact::Answered, Transport::Udp) => "udp-response",
        (Contact::Answered, Transport::Tcp | Transport::Unix) => "syn-ack",
        (Contact::Refused(Refusal::Reset), _) => "reset",
        (Contact::Refused(Refusal::PortUnreachable(_)), _) => "port-unreach",
        (Contact::Refused(Refusal::NoListener), _) => "conn-refused",
        (Contact::Prohibited(_), _) => "admin-prohibited",
        (Contact::Unreachable(_), _) => "host-unreach",
        // Settled by what the server itself says of its settings, not by a packet.
        (Contact::Silent, _) if is_closed => "script-set",
        (Contact::Silent, _) => "no-response",
        (Contact::Unfinished | Contact::Failed(_), _) => "unknown-response",
    }
}

/// What nmap would call the service.
pub(crate) struct Service {
    /// Its name, such as `memcached`.
    pub(crate) name: &'static str,
    /// Whether it was spoken inside TLS.
    pub(crate) inside_tls: bool,
    /// Whether what it said gave the name, and not the port alone.
    pub(crate) is_probed: bool,
    /// Whether it said something that is nothing known.
    pub(crate) is_doubtful: bool,
}

impl Service {
    /// The name of this record's service: `memcached` where it was spoken, what it looked like
    /// otherwise, and `memcache`, nmap's name of the port, where only the port suggests it.
    pub(crate) fn of(record: &Record) -> Service {
        let by_port = if record.endpoint.port == MEMCACHE_PORT {
            "memcache"
        } else {
            "unknown"
        };
        let service = |name, inside_tls, is_probed| Service {
            name,
            inside_tls,
            is_probed,
            is_doubtful: false,
        };
        let dialogue = record.evidence.dialogue.as_deref();
        if speaks_memcached(record.judgement.verdict) {
            let inside_tls = dialogue.is_some_and(|dialogue| dialogue.tls.is_some());
            return service("memcached", inside_tls, true);
        }
        let looks = dialogue.and_then(|dialogue| dialogue.impression.as_ref());
        match looks.map(labels::look) {
            None => service(by_port, false, false),
            Some(look) => match (look.kind, look.inside_tls) {
                ("http" | "ssh" | "redis" | "echo", inside_tls) => {
                    service(look.kind, inside_tls, true)
                }
                (_, true) => service("unknown", true, false),
                (_, false) => Service {
                    is_doubtful: by_port == "memcache",
                    ..service(by_port, false, false)
                },
            },
        }
    }

    /// As nmap writes it in a table: `ssl/` before it if that is what it is in, a question mark
    /// behind a name that only the port suggests.
    pub(crate) fn label(&self) -> String {
        let tunnel = if self.inside_tls { "ssl/" } else { "" };
        let doubt = if self.is_doubtful { "?" } else { "" };
        format!("{tunnel}{}{doubt}", self.name)
    }
}
