//! Commands for the firewall in use: only the clients that were named get through.

use super::Network;

/// Which firewall the commands are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirewallTool {
    /// nft(8), in a table of its own, so that no other rules need be known.
    Nft,
    /// iptables(8) and ip6tables(8).
    Iptables,
    /// firewall-cmd(1).
    Firewalld,
    /// ufw(8).
    Ufw,
}

/// The port that commands are for, and who may come.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// The port, as others see it.
    pub port: u16,
    /// Who may come over TCP.
    pub allow: &'a [Network],
    /// Whether TCP is closed for all others. UDP always is, for all: no client needs it.
    pub closes_tcp: bool,
    /// Whether Docker publishes it. Then the chain `DOCKER-USER` decides, because the rules of
    /// `input`, firewalld and ufw are never asked.
    pub is_published_by_docker: bool,
}

impl Gate<'_> {
    fn closed(&self) -> &'static [&'static str] {
        if self.closes_tcp {
            &["udp", "tcp"]
        } else {
            &["udp"]
        }
    }

    /// The networks of each family that may come; nobody needs to be named where TCP stays open.
    fn families(&self) -> [(bool, Vec<String>); 2] {
        [false, true].map(|is_ipv6| {
            let of = self
                .allow
                .iter()
                .filter(|network| network.is_ipv6() == is_ipv6);
            (
                is_ipv6,
                of.filter(|_| self.closes_tcp)
                    .map(Network::to_string)
                    .collect(),
            )
        })
    }
}

/// Commands that close a port.
pub fn commands(tool: FirewallTool, gate: &Gate<'_>) -> Vec<String> {
    if gate.is_published_by_docker {
        return docker(gate);
    }
    match tool {
        FirewallTool::Nft => nft(gate),
        FirewallTool::Iptables => iptables(gate),
        FirewallTool::Firewalld => firewalld(gate),
        FirewallTool::Ufw => ufw(gate),
    }
}

fn nft(gate: &Gate<'_>) -> Vec<String> {
    let port = gate.port;
    let mut commands = vec![
        "nft add table inet memsweep".to_owned(),
        "nft 'add chain inet memsweep input { type filter hook input priority -10; }'".to_owned(),
        "nft flush chain inet memsweep input".to_owned(),
        "nft add rule inet memsweep input iif lo accept".to_owned(),
    ];
    for (is_ipv6, networks) in gate.families() {
        if !networks.is_empty() {
            let word = if is_ipv6 { "ip6" } else { "ip" };
            commands.push(format!(
                "nft 'add rule inet memsweep input {word} saddr {{ {} }} tcp dport {port} accept'",
                networks.join(", ")
            ));
        }
    }
    commands.extend(
        gate.closed().iter().map(|protocol| {
            format!("nft add rule inet memsweep input {protocol} dport {port} drop")
        }),
    );
    commands
}

fn iptables(gate: &Gate<'_>) -> Vec<String> {
    let port = gate.port;
    let mut commands = Vec::new();
    for (is_ipv6, networks) in gate.families() {
        let program = if is_ipv6 { "ip6tables" } else { "iptables" };
        // Each is inserted before those above it, so the last one here is asked first.
        for protocol in gate.closed() {
            commands.push(format!(
                "{program} -I INPUT -p {protocol} --dport {port} ! -i lo -j DROP"
            ));
        }
        commands.extend(networks.iter().map(|network| {
            format!("{program} -I INPUT -p tcp --dport {port} -s {network} -j ACCEPT")
        }));
    }
    commands
}

fn docker(gate: &Gate<'_>) -> Vec<String> {
    let port = gate.port;
    let mut commands = Vec::new();
    for (is_ipv6, networks) in gate.families() {
        let program = if is_ipv6 { "ip6tables" } else { "iptables" };
        let of = |protocol: &str| {
            format!("-p {protocol} -m conntrack --ctdir ORIGINAL --ctorigdstport {port}")
        };
        for protocol in gate.closed() {
            commands.push(format!("{program} -I DOCKER-USER {} -j DROP", of(protocol)));
        }
        commands.extend(networks.iter().map(|network| {
            format!(
                "{program} -I DOCKER-USER {} -s {network} -j RETURN",
                of("tcp")
            )
        }));
    }
    commands
}

fn firewalld(gate: &Gate<'_>) -> Vec<String> {
    let port = gate.port;
    let closed = gate.closed().iter();
    let removed: Vec<String> = closed
        .map(|protocol| format!("--remove-port={port}/{protocol}"))
        .collect();
    let mut commands = vec![format!("firewall-cmd --permanent {}", removed.join(" "))];
    for network in gate.allow.iter().filter(|_| gate.closes_tcp) {
        let family = if network.is_ipv6() { "ipv6" } else { "ipv4" };
        commands.push(format!(
            "firewall-cmd --permanent --add-rich-rule='rule family=\"{family}\" source \
             address=\"{network}\" port port=\"{port}\" protocol=\"tcp\" accept'"
        ));
    }
    commands.push("firewall-cmd --reload".to_owned());
    commands
}

fn ufw(gate: &Gate<'_>) -> Vec<String> {
    let port = gate.port;
    // The first rule that fits decides; what is prepended last stands first.
    let closed = gate.closed().iter();
    let mut commands: Vec<String> = closed
        .map(|protocol| format!("ufw prepend deny {port}/{protocol}"))
        .collect();
    commands.extend(
        gate.allow
            .iter()
            .filter(|_| gate.closes_tcp)
            .map(|network| {
                format!("ufw prepend allow from {network} to any port {port} proto tcp")
            }),
    );
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_firewall_has_its_own_words() {
        let allow: Vec<Network> = ["10.0.0.0/24", "fd00::/8"]
            .map(|text| Network::parse(text).unwrap())
            .into();
        let cases = [
            (
                FirewallTool::Nft,
                false,
                "nft 'add rule inet memsweep input ip saddr { 10.0.0.0/24 } tcp dport 7 accept'",
            ),
            (
                FirewallTool::Nft,
                false,
                "nft 'add rule inet memsweep input ip6 saddr { fd00::/8 } tcp dport 7 accept'",
            ),
            (
                FirewallTool::Nft,
                false,
                "nft add rule inet memsweep input udp dport 7 drop",
            ),
            (
                FirewallTool::Iptables,
                false,
                "iptables -I INPUT -p tcp --dport 7 -s 10.0.0.0/24 -j ACCEPT",
            ),
            (
                FirewallTool::Iptables,
                false,
                "ip6tables -I INPUT -p udp --dport 7 ! -i lo -j DROP",
            ),
            (
                FirewallTool::Firewalld,
                false,
                "firewall-cmd --permanent --remove-port=7/udp --remove-port=7/tcp",
            ),
            (
                FirewallTool::Ufw,
                false,
                "ufw prepend allow from 10.0.0.0/24 to any port 7 proto tcp",
            ),
            (
                FirewallTool::Ufw,
                true,
                "iptables -I DOCKER-USER -p tcp -m conntrack --ctdir ORIGINAL --ctorigdstport 7 -j DROP",
            ),
        ];
        for (tool, docker, expected) in cases {
            let gate = Gate {
                port: 7,
                allow: &allow,
                closes_tcp: true,
                is_published_by_docker: docker,
            };
            let commands = commands(tool, &gate);
            assert!(
                commands.iter().any(|command| command == expected),
                "{commands:#?}"
            );
        }
        // Where clients come from is not known, TCP is left alone.
        let gate = Gate {
            port: 7,
            allow: &[],
            closes_tcp: false,
            is_published_by_docker: false,
        };
        for tool in [
            FirewallTool::Nft,
            FirewallTool::Iptables,
            FirewallTool::Firewalld,
            FirewallTool::Ufw,
        ] {
            let commands = commands(tool, &gate).join("\n");
            assert!(
                commands.contains("udp") && !commands.contains("tcp"),
                "{commands}"
            );
        }
    }
}
