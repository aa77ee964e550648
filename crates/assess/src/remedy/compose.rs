//! The remedy of a compose file: ports are published on this machine's own address only, and no
//! UDP port at all. The options inside a container stay: there, `-l 127.0.0.1` would lock out the
//! other containers too.

use model::Transport;

use super::ending_of;
use crate::local::Published;

/// Mends the ports of one service. `addresses` are those on which TCP stays published, bracketed
/// where they are IPv6; empty: TCP stays as it is, and only UDP goes. `None` where the file is
/// written in a way that cannot be changed line by line.
pub(super) fn ports(text: &str, published: &[Published], addresses: &[String]) -> Option<String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let mut numbers: Vec<u32> = published
        .iter()
        .filter(|port| is_wrong(port, addresses))
        .filter_map(|port| port.place.as_ref().map(|place| place.line))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    // From the last line on, so that the numbers before it stay true.
    for number in numbers.into_iter().rev() {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        mend_line(&mut lines, index, addresses)?;
    }
    Some(lines.concat())
}

/// Whether a port is published where it must not be.
pub(super) fn is_wrong(port: &Published, addresses: &[String]) -> bool {
    if port.transport == Transport::Udp {
        return !is_loopback(port.host_address.as_deref());
    }
    let is_wanted = |host: &str| {
        addresses
            .iter()
            .any(|wanted| wanted.trim_matches(['[', ']']) == host)
    };
    !addresses.is_empty()
        && !is_loopback(port.host_address.as_deref())
        && !port.host_address.as_deref().is_some_and(is_wanted)
}

fn is_loopback(host: Option<&str>) -> bool {
    let address = host.map(|host| host.trim_matches(['[', ']']).parse());
    matches!(address, Some(Ok(address)) if std::net::IpAddr::is_loopback(&address))
}

fn mend_line(lines: &mut Vec<String>, index: usize, addresses: &[String]) -> Option<()> {
    let line = lines.get(index)?.clone();
    let indent = indent_of(&line);
    let content = line.trim();
    let Some(item) = content.strip_prefix("- ").map(str::trim_start) else {
        return flow(lines, index, addresses);
    };
    let scalar = scalar_of(item)?;
    if scalar.text.contains(':') && item.contains(": ") || item.ends_with(':') {
        return long_form(lines, index, addresses);
    }
    let ending = ending_of(&line);
    let lead = " ".repeat(indent);
    let rest = &item[scalar.length..];
    match short(&scalar.text, addresses) {
        Short::Remove => remove(lines, index, index + 1),
        Short::Keep => {}
        Short::Publish(texts) => {
            let quote = scalar.quote.map_or('"', |quote| quote);
            let new = texts.iter().enumerate().map(|(number, text)| {
                let rest = if number == 0 { rest } else { "" };
                format!("{lead}- {quote}{text}{quote}{rest}{ending}")
            });
            lines.splice(index..=index, new.collect::<Vec<String>>());
        }
    }
    Some(())
}

/// A scalar as it is written, and how many bytes it takes with its quotes.
struct Scalar {
    text: String,
    quote: Option<char>,
    length: usize,
}

fn scalar_of(item: &str) -> Option<Scalar> {
    let quote = item.chars().next().filter(|c| matches!(c, '"' | '\''));
    if let Some(quote) = quote {
        let length = item[1..].find(quote)?;
        let text = item[1..=length].to_owned();
        return Some(Scalar {
            text,
            quote: Some(quote),
            length: length + 2,
        });
    }
    let end = item.find(" #").unwrap_or(item.len());
    let text = item[..end].trim_end();
    Some(Scalar {
        text: text.to_owned(),
        quote: None,
        length: text.len(),
    })
}

enum Short {
    Keep,
    Remove,
    Publish(Vec<String>),
}

/// `[ADDRESS:][HOST:]CONTAINER[/udp]` with other addresses.
fn short(text: &str, addresses: &[String]) -> Short {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if protocol.eq_ignore_ascii_case("udp") {
        return Short::Remove;
    }
    if addresses.is_empty() {
        return Short::Keep;
    }
    // Colons inside of ${NAME:-default} and [::1] separate nothing.
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    for character in ports.chars() {
        match character {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match parts.last_mut() {
            _ if character == ':' && depth == 0 => parts.push(String::new()),
            Some(part) => part.push(character),
            None => {}
        }
    }
    let container = parts.pop().unwrap_or_default();
    let host = parts.pop().unwrap_or_default();
    let suffix = &text[ports.len()..];
    let texts = addresses
        .iter()
        .map(|address| format!("{address}:{host}:{container}{suffix}"));
    Short::Publish(texts.collect())
}

/// `ports: ["11211:11211", "11211:11211/udp"]`, on one line.
fn flow(lines: &mut [String], index: usize, addresses: &[String]) -> Option<()> {
    let line = lines.get(index)?.clone();
    let (open, close) = (line.find('[')?, line.rfind(']')?);
    if !line[..open].trim().ends_with(':') || line[open..close].contains(['{', '#']) {
        return None;
    }
    let mut items = Vec::new();
    for item in line[open + 1..close]
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let scalar = scalar_of(item)?;
        match short(&scalar.text, addresses) {
            Short::Remove => {}
            Short::Keep => items.push(item.to_owned()),
            Short::Publish(texts) => items.extend(texts.iter().map(|text| format!("\"{text}\""))),
        }
    }
    lines[index] = format!("{}{}{}", &line[..=open], items.join(", "), &line[close..]);
    Some(())
}

/// `- target: 11211` and the keys below it.
fn long_form(lines: &mut Vec<String>, index: usize, addresses: &[String]) -> Option<()> {
    let first = lines.get(index)?.clone();
    let indent = indent_of(&first);
    let end = block_end(lines, index, indent);
    let key = |line: &str| -> Option<(String, String)> {
        let (name, value) = line.trim().trim_start_matches("- ").split_once(':')?;
        let value = value.split(" #").next().unwrap_or_default();
        Some((
            name.trim().to_owned(),
            value.trim().trim_matches(['"', '\'']).to_owned(),
        ))
    };
    let of = |wanted: &str| {
        let found = lines[index..end]
            .iter()
            .position(|line| key(line).is_some_and(|(name, _)| name == wanted));
        found.map(|at| index + at)
    };
    let protocol = of("protocol").and_then(|at| key(&lines[at]));
    if protocol.is_some_and(|(_, value)| value.eq_ignore_ascii_case("udp")) {
        remove(lines, index, end);
        return Some(());
    }
    let Some(address) = addresses.first() else {
        return Some(());
    };
    if addresses.len() > 1 {
        return None;
    }
    let address = address.trim_matches(['[', ']']);
    let ending = ending_of(&first);
    let lead = indent + (first.trim_start().len() - first.trim_start()[1..].trim_start().len());
    let value = format!("host_ip: \"{address}\"{ending}");
    match of("host_ip") {
        Some(at) if at == index => lines[at] = format!("{}- {value}", " ".repeat(indent)),
        Some(at) => lines[at] = format!("{}{value}", " ".repeat(lead)),
        None => lines.insert(index + 1, format!("{}{value}", " ".repeat(lead))),
    }
    Some(())
}

/// Takes lines out, and the key above them if nothing is left below it: an empty `ports:` is
/// refused by compose.
fn remove(lines: &mut Vec<String>, from: usize, to: usize) {
    let indent = indent_of(&lines[from]);
    lines.drain(from..to);
    let Some(above) = from.checked_sub(1) else {
        return;
    };
    let is_empty = lines[above].trim() == "ports:"
        && !lines.get(from).is_some_and(|line| {
            let item = line.trim_start();
            indent_of(line) == indent && (item.starts_with("- ") || item.starts_with('#'))
        });
    if is_empty {
        lines.remove(above);
    }
}

fn block_end(lines: &[String], index: usize, indent: usize) -> usize {
    let inside = |line: &&String| line.trim().is_empty() || indent_of(line) > indent;
    let mut end = index + 1 + lines[index + 1..].iter().take_while(inside).count();
    while end > index + 1 && lines[end - 1].trim().is_empty() {
        end -= 1;
    }
    end
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::manifest;

    const LOOPBACK: &[&str] = &["127.0.0.1"];

    /// What becomes of a service's part of a file; a second time nothing changes any more.
    #[track_caller]
    fn check(part: &str, addresses: &[&str], expected: Option<&str>) {
        let whole = |part: &str| {
            format!(
                "services:\n  cache: # ours\n    image: memcached:1.6\n{part}  web:\n    image: x\n    ports:\n      - \"80:80\"\n"
            )
        };
        let addresses: Vec<String> = addresses.iter().map(|&text| text.to_owned()).collect();
        let mend = |text: &str| {
            let file = manifest("compose.yml", text);
            ports(
                text,
                file.services[0].published.as_deref().unwrap(),
                &addresses,
            )
        };
        let mended = mend(&whole(part));
        assert_eq!(mended, expected.map(whole), "{part}");
        if let Some(mended) = mended {
            assert_eq!(mend(&mended).as_ref(), Some(&mended), "again: {part}");
        }
    }

    #[test]
    fn published_on_this_machine_only() {
        let cases = [
            (
                "    ports:\n      - \"11211:11211\" # why\n",
                Some("    ports:\n      - \"127.0.0.1:11211:11211\" # why\n"),
            ),
            (
                "    ports:\n    - 11211:11211\n",
                Some("    ports:\n    - \"127.0.0.1:11211:11211\"\n"),
            ),
            (
                "    ports:\n      - '0.0.0.0:9:11211/tcp'\n",
                Some("    ports:\n      - '127.0.0.1:9:11211/tcp'\n"),
            ),
            (
                "    ports:\n      - \"11211\"\n",
                Some("    ports:\n      - \"127.0.0.1::11211\"\n"),
            ),
            (
                "    ports:\n      - \"${P:-7}:11211\"\n",
                Some("    ports:\n      - \"127.0.0.1:${P:-7}:11211\"\n"),
            ),
            (
                "    ports:\n      - \"[::]:7:11211\"\n",
                Some("    ports:\n      - \"127.0.0.1:7:11211\"\n"),
            ),
            (
                "    ports:\n      - \"127.0.0.1:7:11211\"\n",
                Some("    ports:\n      - \"127.0.0.1:7:11211\"\n"),
            ),
            (
                "    ports:\n      - \"7:11211\"\n      - \"7:11211/udp\"\n    restart: always\n",
                Some("    ports:\n      - \"127.0.0.1:7:11211\"\n    restart: always\n"),
            ),
            (
                "    ports:\n      - \"7:11211/udp\"\n    restart: always\n",
                Some("    restart: always\n"),
            ),
            (
                "    ports: [\"7:11211\", \"7:11211/udp\"] # x\n",
                Some("    ports: [\"127.0.0.1:7:11211\"] # x\n"),
            ),
            (
                "    ports:\n      - target: 11211\n        published: 7\n      - target: 11211\n        protocol: udp\n        published: 7\n",
                Some(
                    "    ports:\n      - target: 11211\n        host_ip: \"127.0.0.1\"\n        published: 7\n",
                ),
            ),
            (
                "    ports:\n      - host_ip: 0.0.0.0\n        target: 11211\n        published: 7\n",
                Some(
                    "    ports:\n      - host_ip: \"127.0.0.1\"\n        target: 11211\n        published: 7\n",
                ),
            ),
            (
                "    expose:\n      - \"11211\"\n",
                Some("    expose:\n      - \"11211\"\n"),
            ),
        ];
        for (part, expected) in cases {
            check(part, LOOPBACK, expected);
        }
    }

    #[test]
    fn other_addresses() {
        let part = "    ports:\n      - \"7:11211\" # why\n";
        check(
            part,
            &["10.0.0.5", "[fd00::5]"],
            Some("    ports:\n      - \"10.0.0.5:7:11211\" # why\n      - \"[fd00::5]:7:11211\"\n"),
        );
        let both = "    ports:\n      - \"7:11211\"\n      - \"7:11211/udp\"\n";
        check(both, &[], Some("    ports:\n      - \"7:11211\"\n"));
    }
}
