//! Containers as the kernel shows them: whose a process is, and which ports are handed on.

use model::Transport;
use serde_json::Value;

use super::manifests::Published;

/// Digits of a container's short id.
const SHORT_ID: usize = 12;
/// Digits of a whole one.
const LONG_ID: usize = 64;
/// Rules of NAT that are looked at.
const RULES_MAX: usize = 100_000;

/// The short id of the container in `/proc/ID/cgroup`: Docker, containerd, CRI-O and Podman all
/// put 64 hexadecimal digits into the path.
pub fn container_of_cgroup(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_hexdigit())
        .find(|part| part.len() == LONG_ID)
        .map(|id| id[..SHORT_ID].to_owned())
}

/// The unit of systemd in `/proc/ID/cgroup`, such as `memcached.service`.
pub fn unit_of_cgroup(text: &str) -> Option<String> {
    let mut parts = text.lines().flat_map(|line| line.split('/'));
    let unit = parts.rfind(|part| part.ends_with(".service"))?;
    Some(unit.to_owned())
}

/// The port that a `docker-proxy` hands on, from its command line.
pub fn docker_proxy(argv: &[String]) -> Option<Published> {
    let program = argv.first()?.rsplit('/').next()?;
    if program != "docker-proxy" && program != "rootlessport" {
        return None;
    }
    let value = |name: &str| {
        let at = argv
            .iter()
            .position(|word| word.trim_start_matches('-') == name)?;
        argv.get(at + 1).map(String::as_str)
    };
    Some(Published {
        transport: match value("proto")? {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return None,
        },
        host_address: value("host-ip")
            .filter(|ip| *ip != "0.0.0.0")
            .map(str::to_owned),
        host_port: Some(value("host-port")?.parse().ok()?),
        container_address: value("container-ip").map(str::to_owned),
        container_port: value("container-port")?.parse().ok()?,
        by: "docker-proxy",
        place: None,
    })
}

/// The ports that iptables' table `nat` hands on, from `iptables-save` or its IPv6 twin.
pub fn published_by_nat(text: &str) -> Vec<Published> {
    let mut in_nat = false;
    let mut found = Vec::new();
    for line in text.lines().take(RULES_MAX) {
        if let Some(table) = line.strip_prefix('*') {
            in_nat = table.trim() == "nat";
        }
        if in_nat
            && line.starts_with("-A ")
            && let Some(published) = dnat(line)
        {
            found.push(published);
        }
    }
    found
}

fn dnat(line: &str) -> Option<Published> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    // A rule for what another one already hands on from loopback publishes nothing to others.
    if value("-j")? != "DNAT" || words.contains(&"lo") {
        return None;
    }
    let (address, port) = value("--to-destination")?.rsplit_once(':')?;
    let destination = value("-d").map(|to| to.split('/').next().unwrap_or(to));
    Some(Published {
        transport: match value("-p")? {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return None,
        },
        host_address: destination.map(str::to_owned),
        host_port: Some(value("--dport")?.parse().ok()?),
        container_address: Some(address.trim_matches(['[', ']']).to_owned()),
        container_port: port.parse().ok()?,
        by: "DNAT",
        place: None,
    })
}

/// The ports that rules of nft hand on, from `nft -j list ruleset`.
pub fn published_by_nft(text: &str) -> Vec<Published> {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let objects = value["nftables"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    rules.take(RULES_MAX).filter_map(nft_dnat).collect()
}

fn nft_dnat(rule: &Value) -> Option<Published> {
    let expressions = rule["expr"].as_array()?;
    let target = expressions
        .iter()
        .find_map(|expression| expression.get("dnat"))?;
    let matches = || {
        expressions
            .iter()
            .filter_map(|expression| expression.get("match"))
    };
    let payload = |field: &str| {
        matches().find(|body| body["left"]["payload"]["field"].as_str() == Some(field))
    };
    let port = payload("dport")?;
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let host_port = number(&port["right"])?;
    let protocol = match port["left"]["payload"]["protocol"].as_str()? {
        "th" => {
            matches().find(|body| body["left"]["meta"]["key"].as_str() == Some("l4proto"))?["right"]
                .as_str()?
        }
        protocol => protocol,
    };
    Some(Published {
        transport: match protocol {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return None,
        },
        host_address: payload("daddr").and_then(|body| body["right"].as_str().map(str::to_owned)),
        host_port: Some(host_port),
        container_address: target["addr"].as_str().map(str::to_owned),
        container_port: number(&target["port"]).unwrap_or(host_port),
        by: "DNAT",
        place: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups() {
        let id = "0123456789abcdef".repeat(4);
        let cases = [
            (
                format!("0::/system.slice/docker-{id}.scope\n"),
                Some("0123456789ab"),
                None,
            ),
            (
                format!("12:cpu:/kubepods/besteffort/podx/{id}\n"),
                Some("0123456789ab"),
                None,
            ),
            (
                "0::/system.slice/memcached.service\n".to_owned(),
                None,
                Some("memcached.service"),
            ),
            (
                "0::/system.slice/system-memcached.slice/memcached@a.service\n".to_owned(),
                None,
                Some("memcached@a.service"),
            ),
            ("0::/\n".to_owned(), None, None),
        ];
        for (text, container, unit) in cases {
            assert_eq!(container_of_cgroup(&text).as_deref(), container, "{text}");
            assert_eq!(unit_of_cgroup(&text).as_deref(), unit, "{text}");
        }
    }

    #[test]
    fn ports_that_are_handed_on() {
        let argv = "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 11211 \
                    -container-ip 172.17.0.2 -container-port 11211 -use-listen-fd";
        let argv: Vec<String> = argv.split_whitespace().map(str::to_owned).collect();
        let published = docker_proxy(&argv).unwrap();
        assert_eq!(
            (published.host_address, published.host_port),
            (None, Some(11211))
        );
        assert_eq!(docker_proxy(&["memcached".to_owned()]), None);

        let nat = "*nat\n:DOCKER - [0:0]\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 11212 -j DNAT --to-destination 172.17.0.2:11211\n\
                   -A DOCKER -d 127.0.0.1/32 ! -i docker0 -p udp -m udp --dport 9 -j DNAT --to-destination 172.17.0.2:11211\n\
                   COMMIT\n*filter\n-A X -p tcp --dport 1 -j DNAT --to-destination 1.1.1.1:1\n";
        let found: Vec<String> = published_by_nat(nat)
            .iter()
            .map(|port| {
                format!(
                    "{:?} {:?} {}",
                    port.host_address, port.host_port, port.transport
                )
            })
            .collect();
        assert_eq!(
            found,
            ["None Some(11212) tcp", "Some(\"127.0.0.1\") Some(9) udp"]
        );
    }

    #[test]
    fn ports_that_nft_hands_on() {
        let rule = |protocol: &str, target: &str| {
            format!(
                "{{\"nftables\": [{{\"rule\": {{\"expr\": [{{\"match\": {{\"op\": \"==\", \"left\": {{\"payload\": \
                 {{\"protocol\": \"{protocol}\", \"field\": \"dport\"}}}}, \"right\": 9999}}}}, {{\"dnat\": {target}}}]}}}}]}}"
            )
        };
        let found = published_by_nft(&rule("tcp", "{\"addr\": \"10.88.0.2\", \"port\": 11211}"));
        let port = &found[0];
        assert_eq!(
            (port.host_port, port.container_port, port.transport),
            (Some(9999), 11211, Transport::Tcp)
        );
        assert_eq!(port.container_address.as_deref(), Some("10.88.0.2"));
        assert_eq!(published_by_nft(&rule("sctp", "{}")), []);
        assert_eq!(published_by_nft("no JSON"), []);
    }
}
