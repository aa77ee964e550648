//! The firewall: of this machine from its own programs, of an image from the files they load.

use assess::local::{
    Machine, Published, Ruleset, iptables_save, nft_json, published_by_nat, published_by_nft,
};

use crate::command::{Outcome, run};
use crate::root::Root;

/// Files of rules are read up to here.
const RULES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What iptables loads at the start, and whether it is of IPv6.
const SAVED: [(&str, bool); 4] = [
    ("/etc/iptables/rules.v4", false),
    ("/etc/iptables/rules.v6", true),
    ("/etc/sysconfig/iptables", false),
    ("/etc/sysconfig/ip6tables", true),
];

/// Reads the firewall.
pub(crate) fn look(root: &Root, machine: &mut Machine) {
    let ufw = root.text("/etc/ufw/ufw.conf", RULES_BYTES_MAX, &mut machine.troubles);
    let has_ufw = ufw.is_some_and(|text| {
        let enabled = text.lines().map(|line| line.trim().to_ascii_lowercase());
        enabled.into_iter().any(|line| line == "enabled=yes")
    });
    let firewalld = "/etc/systemd/system/multi-user.target.wants/firewalld.service";
    let has_firewalld = root.link(firewalld).is_ok();
    if root.is_this_machine() {
        running(root, machine);
    } else {
        saved(root, machine, has_ufw, has_firewalld);
    }
    let firewall = &mut machine.firewall;
    if has_ufw {
        firewall.manager = Some("ufw");
    } else if has_firewalld {
        firewall.manager = Some("firewalld");
    }
}

fn running(root: &Root, machine: &mut Machine) {
    let mut has_tool = false;
    let mut iptables_rules = 0;
    for (program, is_ipv6) in [("iptables-save", false), ("ip6tables-save", true)] {
        match run(program, &[]) {
            Outcome::Absent => {}
            Outcome::Done(text) => {
                has_tool = true;
                iptables_rules += text.lines().filter(|line| line.starts_with("-A ")).count();
                add_published(machine, published_by_nat(&text));
                machine
                    .firewall
                    .rulesets
                    .push(iptables_save(&text, is_ipv6));
            }
            Outcome::Failed(why) => machine.firewall.unread = Some(why),
        }
    }
    let from_iptables = iptables_rules > 0 && machine.firewall.unread.is_none();
    match run("nft", &["-j", "list", "ruleset"]) {
        Outcome::Absent => {}
        Outcome::Done(text) => match nft_json(&text, from_iptables) {
            Some(ruleset) => {
                has_tool = true;
                add_published(machine, published_by_nft(&text));
                machine.firewall.manager = manager(&ruleset, &text, from_iptables);
                machine.firewall.rulesets.push(ruleset);
            }
            None => machine.firewall.unread = Some("nft: its output cannot be read".to_owned()),
        },
        Outcome::Failed(why) => machine.firewall.unread = Some(why),
    }
    if machine.firewall.manager.is_none() && iptables_rules > 0 {
        machine.firewall.manager = Some("iptables");
    }
    if !has_tool && machine.firewall.unread.is_none() {
        let modules = root
            .read("/proc/modules", RULES_BYTES_MAX)
            .map(|(text, _)| text);
        let modules = modules.unwrap_or_default();
        let filters = ["nf_tables ", "ip_tables "];
        if modules
            .lines()
            .any(|line| filters.iter().any(|name| line.starts_with(name)))
        {
            let why = "the kernel has a firewall, and neither nft nor iptables-save is here";
            machine.firewall.unread = Some(why.to_owned());
        }
    }
}

/// Who keeps the rules of nft.
fn manager(ruleset: &Ruleset, text: &str, from_iptables: bool) -> Option<&'static str> {
    if text.contains("\"firewalld\"") {
        Some("firewalld")
    } else if *ruleset != Ruleset::default() && !from_iptables {
        Some("nftables")
    } else {
        None
    }
}

fn add_published(machine: &mut Machine, found: Vec<Published>) {
    for published in found {
        let is_known = machine.published.iter().any(|known| {
            known.transport == published.transport && known.host_port == published.host_port
        });
        if !is_known {
            machine.published.push(published);
        }
    }
}

/// The rules that an image would load. Those of nft, ufw and firewalld are programs of their own
/// kind; where they are switched on, nobody can tell without running them.
fn saved(root: &Root, machine: &mut Machine, has_ufw: bool, has_firewalld: bool) {
    for (path, is_ipv6) in SAVED {
        if let Some(text) = root.text(path, RULES_BYTES_MAX, &mut machine.troubles) {
            machine
                .firewall
                .rulesets
                .push(iptables_save(&text, is_ipv6));
            machine.firewall.manager = Some("iptables");
        }
    }
    let nftables = "/etc/systemd/system/sysinit.target.wants/nftables.service";
    let unread = [
        (has_ufw, "ufw"),
        (has_firewalld, "firewalld"),
        (root.link(nftables).is_ok(), "nftables"),
    ];
    if let Some((_, name)) = unread.into_iter().find(|(is_on, _)| *is_on) {
        let why = format!("{name} is switched on, and its rules show only where it runs");
        machine.firewall.unread = Some(why);
    }
}
