//! Firewalls: do the rules let a stranger from outside in to a port of this machine?
//!
//! The question is asked of one packet: the first of a new connection (or a datagram), that comes
//! in over an interface other than loopback, from an address that no rule names, to a port of this
//! machine. It walks the chains of the hooks `prerouting` and `input` as the kernel would walk it. A match that
//! depends on what is not known (which interface, which address of ours) is taken both ways; if
//! the two ways end differently, nobody can tell without more, and that is the answer.

use std::collections::BTreeMap;

use model::Transport;
use serde_json::Value;

/// Rules that one question looks at, over all ways it is taken.
const STEPS_MAX: u32 = 100_000;
/// Jumps inside of jumps; the kernel allows 16 (NFT_JUMP_STACK_SIZE).
const JUMPS_MAX: u32 = 20;

/// The answer of a firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A stranger gets through.
    Open,
    /// A stranger is stopped.
    Blocked,
    /// The rules do not tell, and why, English.
    Unclear(String),
}

impl Inbound {
    /// Both must let it through.
    fn and(self, other: Inbound) -> Inbound {
        match (self, other) {
            (Inbound::Blocked, _) | (_, Inbound::Blocked) => Inbound::Blocked,
            (Inbound::Unclear(why), _) | (_, Inbound::Unclear(why)) => Inbound::Unclear(why),
            (Inbound::Open, Inbound::Open) => Inbound::Open,
        }
    }
}

/// The firewall of a machine: every set of rules that a packet has to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firewall {
    /// The sets of rules that were read.
    pub rulesets: Vec<Ruleset>,
    /// Why the rules are not known, or not all of them, English.
    pub unread: Option<String>,
    /// Who manages them: `ufw`, `firewalld`, `nftables`, `iptables`; for commands that mend.
    pub manager: Option<&'static str>,
}

impl Firewall {
    /// Whether a stranger gets to this port over IPv4 or IPv6.
    pub fn inbound(&self, transport: Transport, port: u16, is_ipv6: bool) -> Inbound {
        let before = self.ask("prerouting", transport, port, is_ipv6);
        let seen = before.and(self.ask("input", transport, port, is_ipv6));
        match (&self.unread, seen) {
            (_, Inbound::Blocked) => Inbound::Blocked,
            (Some(why), _) => Inbound::Unclear(why.clone()),
            (None, seen) => seen,
        }
    }

    /// Whether the chain that Docker keeps for the administrator stops what is published at this
    /// port; all other rules of `input` and `ufw` are passed by.
    pub fn docker_user(&self, transport: Transport, host_port: u16, is_ipv6: bool) -> Inbound {
        let mut answer = Inbound::Open;
        for ruleset in &self.rulesets {
            for (key, _) in ruleset
                .chains
                .iter()
                .filter(|(key, _)| key.1 == "DOCKER-USER")
            {
                let packet = Packet {
                    transport,
                    port: host_port,
                    is_ipv6,
                };
                let end = ruleset.walk(key, &packet, 0, &mut STEPS_MAX.clone());
                answer = answer.and(match end {
                    End::Dropped => Inbound::Blocked,
                    End::Unclear(why) => Inbound::Unclear(why),
                    End::Accepted | End::Returned => Inbound::Open,
                });
            }
        }
        match (&self.unread, answer) {
            (Some(why), Inbound::Open) => Inbound::Unclear(why.clone()),
            (_, answer) => answer,
        }
    }

    fn ask(&self, hook: &str, transport: Transport, port: u16, is_ipv6: bool) -> Inbound {
        let packet = Packet {
            transport,
            port,
            is_ipv6,
        };
        let answers = self
            .rulesets
            .iter()
            .map(|ruleset| ruleset.ask(hook, &packet));
        answers.fold(Inbound::Open, Inbound::and)
    }
}

struct Packet {
    transport: Transport,
    port: u16,
    is_ipv6: bool,
}

/// The name of a table with its family, and of a chain in it.
type ChainKey = (String, String);

/// One set of rules: all tables of nft, or of one iptables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    chains: BTreeMap<ChainKey, Chain>,
    /// Named sets of ports, by table and name.
    sets: BTreeMap<ChainKey, Vec<Value>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chain {
    /// `ip`, `ip6`, `inet`.
    family: String,
    /// The hook of a base chain.
    hook: Option<String>,
    drops_by_policy: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    matches: Vec<Match>,
    verdict: Option<Action>,
}

/// Whether a packet fits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Match {
    /// Known: it does, or it does not.
    Known(bool),
    /// Only packets of this transport.
    Transport(Transport, bool),
    /// Only these ports.
    Port(Vec<(u16, u16)>, bool),
    /// Only this transport, and of it only these ports.
    PortOf(Transport, Vec<(u16, u16)>, bool),
    /// Only this family.
    Family(bool, bool),
    /// It depends on what is not known here.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Accepted,
    Dropped,
    Returned,
    Unclear(String),
}

impl Ruleset {
    fn ask(&self, hook: &str, packet: &Packet) -> Inbound {
        let mut answer = Inbound::Open;
        for (key, chain) in &self.chains {
            let fits = match chain.family.as_str() {
                "ip" => !packet.is_ipv6,
                "ip6" => packet.is_ipv6,
                "inet" => true,
                _ => false,
            };
            if !fits || chain.hook.as_deref() != Some(hook) {
                continue;
            }
            let end = self.walk(key, packet, 0, &mut STEPS_MAX.clone());
            answer = answer.and(match end {
                End::Returned if chain.drops_by_policy => Inbound::Blocked,
                End::Accepted | End::Returned => Inbound::Open,
                End::Dropped => Inbound::Blocked,
                End::Unclear(why) => Inbound::Unclear(why),
            });
        }
        answer
    }

    fn walk(&self, key: &ChainKey, packet: &Packet, jumps: u32, steps: &mut u32) -> End {
        let Some(chain) = self.chains.get(key) else {
            return End::Unclear(format!("the chain {} is not there", key.1));
        };
        if jumps > JUMPS_MAX {
            return End::Unclear("the rules jump in circles".to_owned());
        }
        // Where a rule may or may not apply, its end is kept and must agree with the real one.
        let mut doubt: Option<(End, String)> = None;
        for rule in &chain.rules {
            if *steps == 0 {
                return End::Unclear("too many rules".to_owned());
            }
            *steps -= 1;
            let (applies, why) = rule.applies(packet);
            if applies == Some(false) {
                continue;
            }
            let end = match &rule.verdict {
                None => continue,
                Some(Action::Accept) => End::Accepted,
                Some(Action::Drop) => End::Dropped,
                Some(Action::Return) => End::Returned,
                Some(Action::Unknown(what)) => End::Unclear(what.clone()),
                Some(Action::Jump(target) | Action::Goto(target)) => {
                    let target_key = (key.0.clone(), target.clone());
                    let inner = self.walk(&target_key, packet, jumps + 1, steps);
                    let is_goto = matches!(rule.verdict, Some(Action::Goto(_)));
                    if inner == End::Returned && !is_goto {
                        continue;
                    }
                    inner
                }
            };
            if applies == Some(true) {
                return agree(doubt, end);
            }
            match &doubt {
                None => doubt = Some((end, why)),
                Some((other, _)) if *other == end => {}
                Some((_, why)) => return End::Unclear(why.clone()),
            }
        }
        match (doubt, chain.drops_by_policy) {
            // A policy that drops ends like a rule that does.
            (Some((End::Dropped, _)), true) if jumps == 0 => End::Dropped,
            (doubt, drops) if jumps == 0 && !drops && chain.hook.is_some() => {
                agree(doubt, End::Accepted)
            }
            (doubt, _) => agree(doubt, End::Returned),
        }
    }
}

fn agree(doubt: Option<(End, String)>, end: End) -> End {
    match doubt {
        None => end,
        Some((other, _)) if other == end => end,
        Some((_, why)) => End::Unclear(why),
    }
}

impl Rule {
    /// Whether it applies; if that is not known, why.
    fn applies(&self, packet: &Packet) -> (Option<bool>, String) {
        let mut unknown = None;
        for condition in &self.matches {
            match condition.fits(packet) {
                Ok(true) => {}
                Ok(false) => return (Some(false), String::new()),
                Err(why) => unknown = unknown.or(Some(why)),
            }
        }
        match unknown {
            None => (Some(true), String::new()),
            Some(why) => (None, why),
        }
    }
}

impl Match {
    fn fits(&self, packet: &Packet) -> Result<bool, String> {
        match self {
            Match::Known(fits) => Ok(*fits),
            Match::Transport(transport, is) => Ok((packet.transport == *transport) == *is),
            Match::Family(is_ipv6, is) => Ok((packet.is_ipv6 == *is_ipv6) == *is),
            Match::Port(ranges, is) => Ok(within(ranges, packet.port) == *is),
            Match::PortOf(transport, ranges, is) => {
                Ok(packet.transport == *transport && within(ranges, packet.port) == *is)
            }
            Match::Unknown(why) => Err(why.clone()),
        }
    }
}

/// Reads `nft -j list ruleset`. `None` if it is no such thing. Tables that iptables' own programs
/// keep are left out where `skip_iptables` says that they are read from there.
pub fn nft_json(text: &str, skip_iptables: bool) -> Option<Ruleset> {
    let value: Value = serde_json::from_str(text).ok()?;
    let objects = value.get("nftables")?.as_array()?;
    let mut ruleset = Ruleset::default();
    let is_skipped = |object: &Value| {
        let family = object["family"].as_str().unwrap_or_default();
        let table = object["table"].as_str().unwrap_or_default();
        skip_iptables
            && matches!(family, "ip" | "ip6")
            && matches!(table, "filter" | "nat" | "mangle" | "raw" | "security")
    };
    for object in objects {
        if let Some(chain) = object.get("chain").filter(|chain| !is_skipped(chain)) {
            let entry = ruleset.chains.entry(key_of(chain, "name")).or_default();
            entry.family = chain["family"].as_str().unwrap_or_default().to_owned();
            entry.hook = chain["hook"].as_str().map(str::to_owned);
            if chain["type"].as_str() == Some("nat") {
                entry.hook = None;
            }
            entry.drops_by_policy = chain["policy"].as_str() == Some("drop");
        } else if let Some(set) = object.get("set") {
            let elements = set["elem"].as_array().cloned().unwrap_or_default();
            ruleset.sets.insert(key_of(set, "name"), elements);
        }
    }
    for object in objects {
        if let Some(rule) = object.get("rule").filter(|rule| !is_skipped(rule)) {
            let key = key_of(rule, "chain");
            let table = key.0.clone();
            let expressions = rule["expr"].as_array().cloned().unwrap_or_default();
            let read = nft_rule(&expressions, &table, &ruleset.sets);
            if let Some(chain) = ruleset.chains.get_mut(&key) {
                chain.rules.extend(read);
            }
        }
    }
    Some(ruleset)
}

fn key_of(object: &Value, name: &str) -> ChainKey {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    (
        format!("{} {}", text("family"), text("table")),
        text(name).to_owned(),
    )
}

/// A rule of nft; a map of verdicts becomes one rule for each of its entries.
fn nft_rule(
    expressions: &[Value],
    table: &str,
    sets: &BTreeMap<ChainKey, Vec<Value>>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut matches = Vec::new();
    for expression in expressions {
        let Some((kind, body)) = expression
            .as_object()
            .and_then(|object| object.iter().next())
        else {
            continue;
        };
        let verdict = match kind.as_str() {
            "match" => {
                matches.push(nft_match(body, table, sets));
                continue;
            }
            "accept" => Action::Accept,
            "drop" | "reject" => Action::Drop,
            "return" => Action::Return,
            "jump" => Action::Jump(target_of(body)),
            "goto" => Action::Goto(target_of(body)),
            "queue" => Action::Unknown("a rule hands packets to a program".to_owned()),
            "vmap" => {
                rules.extend(nft_map(body, &matches, table, sets));
                return rules;
            }
            "xt" => {
                matches.push(Match::Unknown(
                    "a rule uses an extension of iptables".to_owned(),
                ));
                continue;
            }
            "limit" => {
                // A limit is passed by the first packet; strangers who wait pass always.
                let over = body["inv"].as_bool() == Some(true);
                matches.push(Match::Known(!over));
                continue;
            }
            // Counters, logs, marks and comments let every packet go on.
            _ => continue,
        };
        rules.push(Rule {
            matches,
            verdict: Some(verdict),
        });
        return rules;
    }
    rules
}

fn target_of(body: &Value) -> String {
    body["target"].as_str().unwrap_or_default().to_owned()
}

fn nft_map(
    body: &Value,
    matches: &[Match],
    table: &str,
    sets: &BTreeMap<ChainKey, Vec<Value>>,
) -> Vec<Rule> {
    let pairs = body["data"]["set"].as_array().cloned();
    let Some(pairs) = pairs else {
        let mut matches = matches.to_vec();
        matches.push(Match::Unknown("a rule looks up a named map".to_owned()));
        let verdict = Some(Action::Unknown("a rule looks up a named map".to_owned()));
        return vec![Rule { matches, verdict }];
    };
    let rules = pairs.iter().flat_map(|pair| {
        let condition = serde_json::json!({
            "op": "==", "left": body["key"].clone(), "right": pair[0].clone(),
        });
        let mut expressions = vec![serde_json::json!({ "match": condition })];
        expressions.push(pair[1].clone());
        let mut inner = nft_rule(&expressions, table, sets);
        for rule in &mut inner {
            rule.matches.splice(0..0, matches.iter().cloned());
        }
        inner
    });
    rules.collect()
}

fn nft_match(body: &Value, table: &str, sets: &BTreeMap<ChainKey, Vec<Value>>) -> Match {
    let is = body["op"].as_str() != Some("!=");
    let (left, right) = (&body["left"], &body["right"]);
    let payload = &left["payload"];
    let protocol = payload["protocol"].as_str();
    let words = |value: &Value| -> Vec<String> {
        elements(value, table, sets)
            .iter()
            .map(element_text)
            .collect()
    };
    match (
        protocol,
        payload["field"].as_str(),
        left["meta"]["key"].as_str(),
    ) {
        (Some(layer), Some("dport"), _) => {
            let ports = elements(right, table, sets)
                .iter()
                .filter_map(port_range)
                .collect();
            match transport_word(layer) {
                // The rule holds only for its own transport: nft adds that match by itself.
                Some(transport) => Match::PortOf(transport, ports, is),
                None if layer == "th" => Match::Port(ports, is),
                None => Match::Known(false),
            }
        }
        (Some("ip" | "ip6"), Some("saddr"), _) => {
            let everyone = words(right).iter().any(|word| word.ends_with("/0"));
            Match::Known(everyone == is)
        }
        (Some("ip" | "ip6"), Some("protocol" | "nexthdr"), _) | (_, _, Some("l4proto")) => {
            transport_match(&words(right), is)
        }
        (_, _, Some("iif" | "iifname")) => interface_match(&words(right), is),
        (_, _, Some("nfproto")) => {
            Match::Family(words(right).iter().any(|word| word == "ipv6"), is)
        }
        (_, _, Some("pkttype")) => {
            Match::Known(words(right).iter().any(|word| word == "host") == is)
        }
        _ if left["fib"]["result"].as_str() == Some("type") => {
            // The packet is for this machine.
            Match::Known(words(right).iter().any(|word| word == "local") == is)
        }
        // A stranger has a route back: no rule against forged sources holds.
        _ if left.get("fib").is_some() => Match::Known(!is),
        _ if left["ct"]["key"].as_str() == Some("state") => {
            Match::Known(words(right).iter().any(|word| word == "new") == is)
        }
        _ if left["ct"]["key"].as_str() == Some("status") => {
            // Only what is handed on to a container has such a status.
            Match::Known(!is)
        }
        (Some("icmp" | "icmpv6" | "icmp6"), _, _) => Match::Known(false),
        (Some("tcp"), Some("flags"), _) => Match::Unknown("a rule looks at TCP flags".to_owned()),
        _ => Match::Unknown(format!("a rule matches {}", described(left))),
    }
}

fn within(ranges: &[(u16, u16)], port: u16) -> bool {
    ranges
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&port))
}

fn described(left: &Value) -> String {
    let mut text = left.to_string();
    text.truncate(
        text.char_indices()
            .nth(80)
            .map_or(text.len(), |(index, _)| index),
    );
    text
}

/// The single values of the right side of a match: of a set, anonymous or named, its elements.
fn elements(value: &Value, table: &str, sets: &BTreeMap<ChainKey, Vec<Value>>) -> Vec<Value> {
    if let Some(set) = value.get("set").and_then(Value::as_array) {
        return set.clone();
    }
    if let Some(name) = value.as_str().and_then(|text| text.strip_prefix('@')) {
        return sets
            .get(&(table.to_owned(), name.to_owned()))
            .cloned()
            .unwrap_or_default();
    }
    match value.as_array() {
        Some(list) => list.clone(),
        None => vec![value.clone()],
    }
}

fn element_text(value: &Value) -> String {
    let value = value
        .get("elem")
        .map_or(value, |element| element.get("val").unwrap_or(element));
    if let Some(prefix) = value.get("prefix") {
        let address = prefix["addr"].as_str().unwrap_or_default();
        return format!("{address}/{}", prefix["len"]);
    }
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn port_range(value: &Value) -> Option<(u16, u16)> {
    let value = value
        .get("elem")
        .map_or(value, |element| element.get("val").unwrap_or(element));
    let port = |value: &Value| -> Option<u16> {
        match value.as_str() {
            Some("memcache") => Some(11211),
            Some(text) => text.parse().ok(),
            None => value.as_u64()?.try_into().ok(),
        }
    };
    match value.get("range").and_then(Value::as_array) {
        Some(range) => Some((port(range.first()?)?, port(range.get(1)?)?)),
        None => port(value).map(|port| (port, port)),
    }
}

fn transport_word(word: &str) -> Option<Transport> {
    match word {
        "tcp" | "6" => Some(Transport::Tcp),
        "udp" | "17" => Some(Transport::Udp),
        _ => None,
    }
}

fn transport_match(words: &[String], is: bool) -> Match {
    let named: Vec<Transport> = words
        .iter()
        .filter_map(|word| transport_word(word))
        .collect();
    match named[..] {
        [] => Match::Known(!is),
        [one] => Match::Transport(one, is),
        _ => Match::Known(is),
    }
}

/// The packet comes in over any interface but loopback; which one, nobody knows.
fn interface_match(words: &[String], is: bool) -> Match {
    if words.iter().all(|word| word == "lo") {
        Match::Known(!is)
    } else {
        Match::Unknown(format!(
            "a rule holds for the interface {} only",
            words.join(", ")
        ))
    }
}

/// Reads what `iptables-save` or `ip6tables-save` writes, or a file of that form.
pub fn iptables_save(text: &str, is_ipv6: bool) -> Ruleset {
    let family = if is_ipv6 { "ip6" } else { "ip" };
    let mut ruleset = Ruleset::default();
    let mut table = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = format!("{family} {}", name.trim());
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let (name, policy) = (words.next().unwrap_or_default(), words.next());
            let is_filter = !table.ends_with(" nat");
            ruleset.chains.insert(
                (table.clone(), name.to_owned()),
                Chain {
                    family: family.to_owned(),
                    hook: hook_of(name).filter(|_| is_filter).map(str::to_owned),
                    drops_by_policy: policy == Some("DROP"),
                    rules: Vec::new(),
                },
            );
        } else if line.starts_with("-A ") {
            let words = quoted_words(line);
            let chain = words.get(1).cloned().unwrap_or_default();
            if let Some(chain) = ruleset.chains.get_mut(&(table.clone(), chain)) {
                chain
                    .rules
                    .push(iptables_rule(words.get(2..).unwrap_or_default()));
            }
        }
    }
    ruleset
}

/// The hook of a built-in chain that packets to this machine pass.
fn hook_of(chain: &str) -> Option<&'static str> {
    match chain {
        "INPUT" => Some("input"),
        "PREROUTING" => Some("prerouting"),
        _ => None,
    }
}

fn quoted_words(line: &str) -> Vec<String> {
    let characters = super::shell::placed(line, 1);
    let words = super::shell::words(&characters, super::shell::Dialect::Systemd);
    words.into_iter().map(|word| word.text).collect()
}

fn iptables_rule(words: &[String]) -> Rule {
    let (mut matches, mut verdict) = (Vec::new(), None);
    let mut is = true;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "!" {
            is = false;
            continue;
        }
        let mut value = || rest.next().cloned().unwrap_or_default();
        match word.as_str() {
            "-p" | "--protocol" => {
                let protocol = value();
                if protocol != "all" {
                    matches.push(transport_match(&[protocol], is));
                }
            }
            "-i" | "--in-interface" => matches.push(interface_match(&[value()], is)),
            "-s" | "--source" => matches.push(Match::Known(value().ends_with("/0") == is)),
            "--dport" | "--dports" | "--destination-port" => {
                let ports = value();
                matches.push(Match::Port(
                    ports.split(',').filter_map(iptables_ports).collect(),
                    is,
                ));
            }
            "--state" | "--ctstate" => {
                matches.push(Match::Known(
                    value().split(',').any(|state| state == "NEW") == is,
                ));
            }
            "--dst-type" => matches.push(Match::Known((value() == "LOCAL") == is)),
            "-m" | "--match" | "--comment" => {
                value();
            }
            "-j" | "--jump" => verdict = iptables_action(&value()),
            "-g" | "--goto" => verdict = Some(Action::Goto(value())),
            "--ctorigdstport" => {
                matches.push(Match::Port(
                    iptables_ports(&value()).into_iter().collect(),
                    is,
                ));
            }
            "--reject-with" | "--log-prefix" | "--log-level" | "--limit" | "--limit-burst" => {
                value();
            }
            other => {
                matches.push(Match::Unknown(format!("a rule matches {other}")));
                continue;
            }
        }
        is = true;
    }
    Rule { matches, verdict }
}

fn iptables_action(target: &str) -> Option<Action> {
    match target {
        "ACCEPT" => Some(Action::Accept),
        "DROP" | "REJECT" => Some(Action::Drop),
        "RETURN" => Some(Action::Return),
        "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "AUDIT" | "TCPMSS" | "CT" => None,
        "NFQUEUE" | "QUEUE" => Some(Action::Unknown(
            "a rule hands packets to a program".to_owned(),
        )),
        chain => Some(Action::Jump(chain.to_owned())),
    }
}

fn iptables_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for TCP 11211 over IPv4.
    fn ask(ruleset: Ruleset) -> Inbound {
        let firewall = Firewall {
            rulesets: vec![ruleset],
            ..Firewall::default()
        };
        firewall.inbound(Transport::Tcp, 11211, false)
    }

    fn iptables(rules: &str) -> Inbound {
        ask(iptables_save(&format!("*filter\n{rules}COMMIT\n"), false))
    }

    #[test]
    fn rules_of_iptables() {
        let unclear = |why: &str| Inbound::Unclear(why.to_owned());
        let cases = [
            (":INPUT ACCEPT [0:0]\n", Inbound::Open),
            (":INPUT DROP [0:0]\n", Inbound::Blocked),
            (
                ":INPUT DROP\n-A INPUT -p tcp -m tcp --dport 11211 -j ACCEPT\n",
                Inbound::Open,
            ),
            (
                ":INPUT DROP\n-A INPUT -p udp -m udp --dport 11211 -j ACCEPT\n",
                Inbound::Blocked,
            ),
            (
                ":INPUT DROP\n-A INPUT -s 10.0.0.0/8 -p tcp --dport 11211 -j ACCEPT\n",
                Inbound::Blocked,
            ),
            (
                ":INPUT ACCEPT\n-A INPUT ! -s 10.0.0.0/8 -p tcp --dport 11211 -j DROP\n",
                Inbound::Blocked,
            ),
            (
                ":INPUT ACCEPT\n-A INPUT ! -i lo -p tcp --dport 11211 -j DROP\n",
                Inbound::Blocked,
            ),
            (
                ":INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n\
                 -A INPUT -p tcp -m multiport --dports 22,11000:12000 -m comment --comment \"a b\" -j ACCEPT\n",
                Inbound::Open,
            ),
            (
                ":INPUT ACCEPT\n:X - [0:0]\n-A INPUT -j X\n-A X -p tcp --dport 1 -j RETURN\n-A X -j REJECT --reject-with icmp-port-unreachable\n",
                Inbound::Blocked,
            ),
            (
                ":INPUT DROP\n-A INPUT -i eth0 -p tcp --dport 11211 -j ACCEPT\n",
                unclear("a rule holds for the interface eth0 only"),
            ),
            // Whichever interface: both ways end the same.
            (
                ":INPUT DROP\n-A INPUT -i eth0 -j ACCEPT\n-A INPUT -p tcp -j ACCEPT\n",
                Inbound::Open,
            ),
            (
                ":INPUT ACCEPT\n:X -\n-A INPUT -j X\n-A X -j X\n",
                unclear("the rules jump in circles"),
            ),
            (
                ":INPUT ACCEPT\n-A INPUT -j NOWHERE\n",
                unclear("the chain NOWHERE is not there"),
            ),
            (
                ":INPUT ACCEPT\n-A INPUT -j NFQUEUE\n",
                unclear("a rule hands packets to a program"),
            ),
            ("", Inbound::Open),
            (
                ":PREROUTING ACCEPT\n-A PREROUTING -p tcp -m tcp --dport 11211 -j DROP\n",
                Inbound::Blocked,
            ),
            // A line that was cut off.
            (":INPUT ACCEPT\n-A \n-A INPUT\n", Inbound::Open),
        ];
        for (rules, expected) in cases {
            assert_eq!(iptables(rules), expected, "{rules}");
        }
    }

    fn nft(rules: &str) -> Inbound {
        let text = format!(
            "{{\"nftables\": [{{\"metainfo\": {{}}}}, {{\"chain\": {{\"family\": \"inet\", \"table\": \"f\", \
             \"name\": \"input\", \"type\": \"filter\", \"hook\": \"input\", \"policy\": \"accept\"}}}}, {rules}]}}"
        );
        ask(nft_json(&text, false).unwrap())
    }

    fn nft_rule_text(expressions: &str) -> String {
        format!(
            "{{\"rule\": {{\"family\": \"inet\", \"table\": \"f\", \"chain\": \"input\", \"expr\": [{expressions}]}}}}"
        )
    }

    #[test]
    fn rules_of_nft() {
        let dport = |right: &str| {
            format!(
                "{{\"match\": {{\"op\": \"==\", \"left\": {{\"payload\": {{\"protocol\": \"tcp\", \"field\": \"dport\"}}}}, \"right\": {right}}}}}"
            )
        };
        let drop = "{\"drop\": null}";
        let established = "{\"match\": {\"op\": \"in\", \"left\": {\"ct\": {\"key\": \"state\"}}, \"right\": [\"established\", \"related\"]}}";
        let map = "{\"vmap\": {\"key\": {\"meta\": {\"key\": \"iifname\"}}, \"data\": {\"set\": [[\"lo\", {\"accept\": null}]]}}}";
        let cases = [
            (
                nft_rule_text(&format!("{}, {drop}", dport("11211"))),
                Inbound::Blocked,
            ),
            (
                nft_rule_text(&format!("{}, {drop}", dport("11212"))),
                Inbound::Open,
            ),
            (
                nft_rule_text(&format!(
                    "{}, {drop}",
                    dport("{\"set\": [22, {\"range\": [11000, 12000]}]}")
                )),
                Inbound::Blocked,
            ),
            (
                nft_rule_text(&format!("{established}, {drop}")),
                Inbound::Open,
            ),
            (
                format!(
                    "{}, {}",
                    nft_rule_text(map),
                    nft_rule_text("{\"counter\": null}, {\"reject\": null}")
                ),
                Inbound::Blocked,
            ),
        ];
        for (rules, expected) in cases {
            assert_eq!(nft(&rules), expected, "{rules}");
        }
        assert_eq!(nft_json("{}", false), None);
        assert_eq!(nft_json("[", false), None);
    }

    #[test]
    fn docker_passes_by_ufw_but_not_its_own_chain() {
        let rules = "*filter\n:INPUT DROP\n:DOCKER-USER - [0:0]\n";
        let ask = |user: &str| {
            let ruleset = iptables_save(&format!("{rules}{user}"), false);
            let firewall = Firewall {
                rulesets: vec![ruleset],
                ..Firewall::default()
            };
            let inside = firewall.inbound(Transport::Tcp, 11211, false);
            (inside, firewall.docker_user(Transport::Tcp, 11211, false))
        };
        assert_eq!(
            ask("-A DOCKER-USER -j RETURN\n"),
            (Inbound::Blocked, Inbound::Open)
        );
        let own = "-A DOCKER-USER -p tcp -m conntrack --ctorigdstport 11211 -j DROP\n";
        assert_eq!(ask(own), (Inbound::Blocked, Inbound::Blocked));
    }

    #[test]
    fn what_was_not_read_is_not_open() {
        let firewall = Firewall {
            unread: Some("permission denied".to_owned()),
            ..Firewall::default()
        };
        assert_eq!(
            firewall.inbound(Transport::Udp, 11211, true),
            Inbound::Unclear("permission denied".to_owned())
        );
    }
}
