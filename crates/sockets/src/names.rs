//! Names of addresses, asked of this system's resolver: /etc/hosts, DNS, whatever it is told to use.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long one name is waited for.
const WAIT: Duration = Duration::from_secs(2);
/// So many names in a row that did not come in time, and no more are asked for: the resolver is not
/// answering, and a run must not wait for each of its records.
const LATE_IN_A_ROW_MAX: u32 = 3;
/// Addresses that are remembered; beyond that they are asked again.
const REMEMBERED_MAX: usize = 65_536;
/// The longest name of DNS, as text (RFC 1035 section 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// Looks up names of addresses, each once.
#[derive(Debug, Default)]
pub struct ReverseNames {
    known: HashMap<IpAddr, Option<String>>,
    late_in_a_row: u32,
}

impl ReverseNames {
    /// Nothing is known yet.
    pub fn new() -> ReverseNames {
        ReverseNames::default()
    }

    /// The name of an address; `None` if it has none, or if the resolver does not say within two
    /// seconds. Blocks that long at most.
    pub fn of(&mut self, ip: IpAddr) -> Option<String> {
        self.of_by(ip, &ask)
    }

    /// Whether the resolver did not answer so often that it is asked no more.
    pub fn has_given_up(&self) -> bool {
        self.late_in_a_row >= LATE_IN_A_ROW_MAX
    }

    fn of_by(
        &mut self,
        ip: IpAddr,
        ask: &dyn Fn(IpAddr) -> Result<Option<String>, Late>,
    ) -> Option<String> {
        if let Some(known) = self.known.get(&ip) {
            return known.clone();
        }
        if self.has_given_up() {
            return None;
        }
        let name = match ask(ip) {
            Ok(name) => {
                self.late_in_a_row = 0;
                name.filter(|name| is_name(name))
            }
            Err(Late) => {
                self.late_in_a_row += 1;
                None
            }
        };
        if self.known.len() < REMEMBERED_MAX {
            self.known.insert(ip, name.clone());
        }
        name
    }
}

/// The resolver did not say in time.
struct Late;

/// The system's call has no timeout of its own, so a thread waits for it; if it comes too late,
/// nobody hears it.
fn ask(ip: IpAddr) -> Result<Option<String>, Late> {
    let (answer, answered) = mpsc::channel();
    let asked = thread::Builder::new()
        .name("reverse-name".to_owned())
        .spawn(move || {
            // Whoever asked may have gone on.
            let _ = answer.send(dns_lookup::lookup_addr(&ip).ok());
        });
    match asked {
        Ok(_) => answered.recv_timeout(WAIT).map_err(|_| Late),
        // No thread to be had: as if nobody knew.
        Err(_) => Ok(None),
    }
}

/// The system gives back the address itself where it knows no name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn names_are_asked_for_once_and_addresses_are_no_names() {
        let asked = Cell::new(0);
        let ask = |ip: IpAddr| {
            asked.set(asked.get() + 1);
            Ok(Some(match ip {
                IpAddr::V4(ip) if ip.octets()[3] == 1 => "cache1.example.org".to_owned(),
                other => other.to_string(),
            }))
        };
        let mut names = ReverseNames::new();
        let of = |names: &mut ReverseNames, ip: &str| names.of_by(ip.parse().unwrap(), &ask);
        for _ in 0..2 {
            assert_eq!(
                of(&mut names, "10.0.0.1").as_deref(),
                Some("cache1.example.org")
            );
            assert_eq!(of(&mut names, "10.0.0.2"), None);
            assert_eq!(of(&mut names, "fd00::1"), None);
        }
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn a_resolver_that_does_not_answer_is_asked_no_more() {
        let asked = Cell::new(0);
        let late = |_: IpAddr| {
            asked.set(asked.get() + 1);
            Err(Late)
        };
        let mut names = ReverseNames::new();
        for last in 0..10_u8 {
            assert_eq!(names.of_by(IpAddr::from([10, 0, 0, last]), &late), None);
        }
        assert_eq!(asked.get(), LATE_IN_A_ROW_MAX);
        assert!(names.has_given_up());
    }
}
