//! Rules of this machine about memcached that live frames would go around.
//!
//! Best effort: what `nft`, `iptables` and `tc` print is searched for port 11211, or a range with it
//! in, wherever it may concern packets that leave. A tool that is not installed has made no rules.

use std::process::{Command, Stdio};

use nix::net::if_::if_nameindex;

/// The port that the rules are searched for.
const MEMCACHED_PORT: u16 = 11211;
/// Interfaces whose filters are read at most.
const INTERFACES_MAX: usize = 16;
/// Longest rule that is told.
const RULE_CHARACTERS_MAX: usize = 120;
/// Hooks that packets of our own do not pass (nft(8), iptables(8)).
const INWARD: [&str; 4] = ["input", "forward", "prerouting", "ingress"];

/// A rule of this machine's firewall or queueing about memcached, which live frames go around.
pub(crate) fn bypassed_rules() -> Option<String> {
    if let Some(rule) = in_nftables(&printed("nft", &["list", "ruleset"])) {
        return Some(format!("nft: {rule}"));
    }
    for tool in ["iptables-save", "ip6tables-save"] {
        if let Some(rule) = in_iptables(&printed(tool, &[])) {
            return Some(format!("{tool}: {rule}"));
        }
    }
    let interfaces = if_nameindex().ok()?;
    for interface in interfaces.iter().take(INTERFACES_MAX) {
        let name = interface.name().to_string_lossy();
        for place in ["root", "egress"] {
            let filters = printed("tc", &["filter", "show", "dev", &name, place]);
            if let Some(rule) = in_filters(&filters) {
                return Some(format!("tc on {name}: {rule}"));
            }
        }
    }
    None
}

/// What a tool prints; nothing if it is not there or fails.
fn printed(tool: &str, arguments: &[&str]) -> String {
    // Where Debian keeps them; an ordinary user's PATH lacks it.
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(tool)
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

/// A rule in a chain that hangs on no inward hook: sets, and chains that others jump to, count.
fn in_nftables(ruleset: &str) -> Option<String> {
    let mut is_inward = false;
    for line in ruleset.lines().map(str::trim) {
        if line.ends_with('{') {
            is_inward = false;
        }
        let mut words = line.split_whitespace().skip_while(|word| *word != "hook");
        if let Some(hook) = words.nth(1) {
            is_inward = INWARD.contains(&hook);
        }
        if !is_inward && names_port(line) {
            return Some(shortened(line));
        }
    }
    None
}

fn in_iptables(rules: &str) -> Option<String> {
    let is_outward = |line: &&str| {
        let chain = line
            .strip_prefix("-A ")
            .and_then(|rest| rest.split(' ').next());
        chain.is_some_and(|chain| !INWARD.contains(&chain.to_ascii_lowercase().as_str()))
    };
    rules
        .lines()
        .filter(is_outward)
        .find(|line| names_port(line))
        .map(shortened)
}

/// Filters say a port in decimal (flower) or in hexadecimal (u32).
fn in_filters(filters: &str) -> Option<String> {
    let in_hexadecimal = format!("{MEMCACHED_PORT:04x}");
    let matches =
        |line: &&str| names_port(line) || line.contains("match ") && line.contains(&in_hexadecimal);
    filters.lines().map(str::trim).find(matches).map(shortened)
}

/// Whether a number of the line is memcached's port, or a range of two has it in.
fn names_port(line: &str) -> bool {
    let is_between =
        |character: char| !character.is_ascii_alphanumeric() && !"-:".contains(character);
    line.split(is_between).any(|word| {
        let mut ends = word.split(['-', ':']).map(|end| end.parse::<u16>().ok());
        match (ends.next().flatten(), ends.next(), ends.next()) {
            (Some(only), None, _) => only == MEMCACHED_PORT,
            (Some(first), Some(Some(last)), None) => (first..=last).contains(&MEMCACHED_PORT),
            _ => false,
        }
    })
}

fn shortened(line: &str) -> String {
    line.chars().take(RULE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_numbers_and_ranges() {
        for (line, expect) in [
            ("udp dport 11211 drop", true),
            ("tcp dport { 80, 11211 } drop", true),
            ("tcp dport 11000-12000 drop", true),
            ("--dport 11000:11211 -j DROP", true),
            ("tcp dport 112110 drop", false),
            ("tcp dport 11212-12000 drop", false),
            ("ip6 daddr fe80::1 drop", false),
            ("meta mark 0x11211a drop", false),
            ("", false),
        ] {
            assert_eq!(names_port(line), expect, "{line}");
        }
    }

    #[test]
    fn nftables_count_where_packets_leave() {
        let table = |hook: &str| {
            format!(
                "table inet a {{\n\tchain b {{\n\t\ttype filter hook {hook} priority filter;\n\
                 \t\tudp dport 11211 drop\n\t}}\n}}\n"
            )
        };
        for (hook, expect) in [
            ("output", Some("udp dport 11211 drop")),
            ("postrouting", Some("udp dport 11211 drop")),
            ("egress", Some("udp dport 11211 drop")),
            ("input", None),
            ("ingress", None),
        ] {
            assert_eq!(in_nftables(&table(hook)).as_deref(), expect, "{hook}");
        }
        let apart = format!("{}{}", table("input"), "chain c {\ntcp dport 11211 drop\n}");
        assert_eq!(in_nftables(&apart).as_deref(), Some("tcp dport 11211 drop"));
        assert_eq!(in_nftables(""), None);
    }

    #[test]
    fn iptables_count_but_inward() {
        let out = "-A OUTPUT -p udp -m udp --dport 11211 -j DROP";
        assert_eq!(
            in_iptables(&format!("*filter\n{out}\n")).as_deref(),
            Some(out)
        );
        let inward = "-A INPUT -p udp -m udp --dport 11211 -j DROP\n";
        assert_eq!(in_iptables(inward), None);
    }

    #[test]
    fn filters_count_in_both_spellings() {
        let of_u32 = "  match 00002bcb/0000ffff at 20\n";
        assert!(in_filters(of_u32).is_some());
        assert!(in_filters("  dst_port 11211\n").is_some());
        assert_eq!(in_filters("  dst_port 80\n"), None);
    }
}
