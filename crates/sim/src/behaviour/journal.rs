//! What a server was asked, for tests that must know that nothing harmful was.

use std::sync::{Arc, Mutex, PoisonError};

/// How many requests are kept; the rest is only counted.
const REQUESTS_MAX: usize = 10_000;

/// One request as a server understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The command line, or `binary 0xNN KEY`; prefixed with `udp ` for a datagram.
    pub request: String,
    /// Whether every server of every version can take it: it changes nothing, stalls nothing and
    /// crashes nothing.
    pub is_harmless: bool,
}

/// A handle on a server's list of requests; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Vec<Heard>>>);

impl Journal {
    /// Everything heard so far, at most 10,000 requests.
    pub fn heard(&self) -> Vec<Heard> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The requests that no scanner may send.
    pub fn harmful(&self) -> Vec<String> {
        let harmful = self.heard().into_iter().filter(|heard| !heard.is_harmless);
        harmful.map(|heard| heard.request).collect()
    }

    pub(crate) fn add(&self, request: String, is_harmless: bool) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < REQUESTS_MAX {
            heard.push(Heard {
                request,
                is_harmless,
            });
        }
    }
}

/// Whether every server of every version can take this command line without harm or change.
/// Commands that no server knows are harmless.
pub(crate) fn is_harmless_line(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    match words.next().unwrap_or_default() {
        "stats" => matches!(
            (words.next(), words.next()),
            (None | Some("settings" | "items" | "slabs" | "conns"), None)
        ),
        "set" | "add" | "replace" | "append" | "prepend" | "cas" | "delete" | "incr" | "decr"
        | "touch" | "gat" | "gats" | "flush_all" | "verbosity" | "cache_memlimit" | "slabs"
        | "lru" | "lru_crawler" | "watch" | "shutdown" | "refresh_certs" | "extstore" | "ms"
        | "md" | "ma" | "mg" | "misbehave" => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_is_recognised() {
        let cases = [
            ("version", true),
            ("stats", true),
            ("stats settings", true),
            ("stats conns", true),
            ("get nobody-has-this", true),
            ("mn", true),
            ("", true),
            ("stats sizes", false),
            ("stats cachedump 1 100", false),
            ("stats items reset", false),
            ("stats reset", false),
            ("stats extstore", false),
            ("lru_crawler metadump all", false),
            ("flush_all junk", false),
            ("set a 0 0 1", false),
        ];
        for (line, is_harmless) in cases {
            assert_eq!(is_harmless_line(line), is_harmless, "{line}");
        }
    }
}
