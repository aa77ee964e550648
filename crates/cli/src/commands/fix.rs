//! `fix`: the change that closes what is open on this machine.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::SystemTime;

use assess::local::{Breadth, Instance, Machine, Options};
use assess::remedy::{FirewallTool, Gate, Network, Plan, Restart, Wishes, firewall_commands};
use engine::fix::{Planned, apply, clients_in_the_way, held, instances_of, look, own_address};
use model::{Address, Text};
use report::{FixReport, fix_json, fix_text};
use targets::SelectionBuilder;

use crate::configuration::read_scope;
use crate::exit::{Exit, Failure};
use crate::flags::{AnswerFormat, FixFlags};
use crate::terminal;

/// Clients that are named; the others are counted.
const CLIENTS_NAMED_MAX: usize = 5;
/// Where systemd says that it runs (sd_booted(3)).
const SYSTEMD_RUNS: &str = "run/systemd/system";

/// `memsweep fix`.
pub(crate) fn fix(flags: &FixFlags) -> Result<Exit, Failure> {
    let wishes = wishes(flags)?;
    let is_here = flags
        .root
        .canonicalize()
        .is_ok_and(|root| root.parent().is_none());
    if flags.restart && !is_here && flags.restart_command.is_none() {
        return Err(Failure::usage(
            "--restart: nothing of --root runs here; say how with --restart-command",
        ));
    }
    let Planned { machine, plan } =
        look(&flags.root, &flags.paths, &wishes).map_err(Failure::usage)?;
    let in_the_way = clients_in_the_way(&machine, &plan, &wishes);
    let cuts_off = flags.restart || !plan.edits.is_empty();
    if flags.apply && cuts_off && !in_the_way.is_empty() {
        return Err(Failure::usage(refusal(&in_the_way)));
    }
    let mut report = FixReport {
        firewall: firewall(&machine, &plan, &wishes),
        restarts: restarts(flags, &plan),
        losses: losses(&machine, &plan),
        edits: plan.edits,
        by_hand: plan.by_hand,
        ..FixReport::default()
    };
    if !in_the_way.is_empty() {
        terminal::say(&format!(
            "memsweep: --apply would refuse: {}",
            refusal(&in_the_way)
        ));
    }
    for trouble in machine.troubles.iter().filter(|trouble| trouble.hides) {
        terminal::say(&format!("memsweep: {}: {}", trouble.path, trouble.what));
    }
    let is_done = !flags.apply || carry_out(flags, &mut report);
    print(flags, &report)?;
    Ok(if is_done && report.by_hand.is_empty() {
        Exit::Done
    } else {
        Exit::Unfinished
    })
}

fn wishes(flags: &FixFlags) -> Result<Wishes, Failure> {
    let networks = flags.allow.iter().map(|text| {
        Network::parse(text).ok_or_else(|| {
            Failure::usage(format!(
                "--allow {text}: write a network such as 10.0.0.0/24"
            ))
        })
    });
    if let Some(address) = flags.listen.iter().find(|address| address.is_unspecified()) {
        return Err(Failure::usage(format!(
            "--listen {address}: that is everywhere, as before"
        )));
    }
    Ok(Wishes {
        listen: flags.listen.clone(),
        allow: networks.collect::<Result<Vec<Network>, Failure>>()?,
    })
}

fn refusal(clients: &[SocketAddr]) -> String {
    let names: Vec<String> = clients
        .iter()
        .take(CLIENTS_NAMED_MAX)
        .map(|client| client.to_string())
        .collect();
    let more = clients.len().saturating_sub(CLIENTS_NAMED_MAX);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "clients on other machines are connected: {}{more}; say how they get through, by --listen \
         ADDRESS or --allow CIDR",
        names.join(", ")
    )
}

/// Writes and restarts. False if something was left undone, which is said.
fn carry_out(flags: &FixFlags, report: &mut FixReport) -> bool {
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let (changed, error) = apply(&flags.root, &report.edits, &stamp);
    let written = changed
        .into_iter()
        .map(|changed| (changed.path, changed.backup));
    report.written = Some(written.collect());
    if let Some(error) = error {
        terminal::say_error(&error.to_string());
        return false;
    }
    if !flags.restart || report.restarts.is_empty() {
        return true;
    }
    for command in &report.restarts {
        let status = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdin(std::process::Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                terminal::say_error(&format!("{command}: {status}"));
                return false;
            }
            Err(error) => {
                terminal::say_error(&format!("{command}: {error}"));
                return false;
            }
        }
    }
    report.is_restarted = true;
    true
}

/// How everything that changes is restarted, each once.
fn restarts(flags: &FixFlags, plan: &Plan) -> Vec<String> {
    if plan.services.is_empty() {
        return Vec::new();
    }
    if let Some(command) = &flags.restart_command {
        return vec![command.clone()];
    }
    let has_systemd = flags.root.join(SYSTEMD_RUNS).exists();
    let ways: BTreeSet<&Restart> = plan
        .services
        .iter()
        .map(|service| &service.restart)
        .collect();
    let mut commands = Vec::new();
    if plan
        .edits
        .iter()
        .any(|edit| edit.path.starts_with("/etc/systemd/"))
    {
        commands.push("systemctl daemon-reload".to_owned());
    }
    commands.extend(ways.into_iter().map(|way| match way {
        Restart::Unit(unit) => format!("systemctl restart {}", quoted(unit)),
        Restart::Service(name) if has_systemd => format!("systemctl restart {}", quoted(name)),
        Restart::Service(name) => format!("service {} restart", quoted(name)),
        Restart::Compose(path) => format!("docker compose -f {} up -d", quoted(path)),
    }));
    commands
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Commands for the firewall in use, for every port that changes. They matter most where the
/// server itself stays open for some; elsewhere they are a second wall.
fn firewall(machine: &Machine, plan: &Plan, wishes: &Wishes) -> Vec<String> {
    let tool = match machine.firewall.manager {
        Some("ufw") => FirewallTool::Ufw,
        Some("firewalld") => FirewallTool::Firewalld,
        Some("iptables") => FirewallTool::Iptables,
        _ => FirewallTool::Nft,
    };
    let mut ports: BTreeSet<(u16, bool)> = plan
        .services
        .iter()
        .map(|service| (service.port, matches!(service.restart, Restart::Compose(_))))
        .collect();
    if ports.is_empty() && !wishes.allow.is_empty() {
        // The configuration stays as it is, and the firewall is the whole remedy.
        let hosts = machine
            .services
            .iter()
            .filter(|service| service.published.is_none())
            .map(|service| Options::parse(&service.words, None));
        let wide = hosts.filter(|options| options.breadth().is_some_and(Breadth::is_wide));
        ports.extend(wide.map(|options| (options.tcp_port, false)));
    }
    let mut commands: Vec<String> = Vec::new();
    for (port, is_published_by_docker) in ports {
        let gate = Gate {
            port,
            allow: &wishes.allow,
            closes_tcp: wishes.listen.is_empty() || !wishes.allow.is_empty(),
            is_published_by_docker,
        };
        for command in firewall_commands(tool, &gate) {
            // The table and its chain are made once, and emptied once.
            if !commands.contains(&command) {
                commands.push(command);
            }
        }
    }
    commands
}

/// What each server holds that a restart loses.
fn losses(machine: &Machine, plan: &Plan) -> Vec<Text> {
    instances_of(machine, plan).into_iter().map(loss).collect()
}

fn loss(instance: &Instance) -> Text {
    let process = instance.process;
    match ask(instance) {
        Ok((items, bytes)) => Text::new(
            format!("process {process}: {items} items, {bytes} bytes"),
            format!("プロセス {process}: {items} 件、{bytes} バイト"),
        ),
        Err(why) => Text::new(
            format!("process {process}: all it holds; how much cannot be told: {why}"),
            format!("プロセス {process}: 保持している全データ（量は不明: {why}）"),
        ),
    }
}

fn ask(instance: &Instance) -> Result<(u64, u64), String> {
    let address = own_address(instance).ok_or("its TCP sockets are not known")?;
    let scope = read_scope(None).map_err(|failure| failure.message())?;
    let mut builder = SelectionBuilder::new(vec![address.port()]);
    builder.add_address(Address::from_ip(address.ip()), Some(address.port()), None);
    let selection = builder.build().map_err(|error| error.to_string())?;
    let permit = scope.permit(selection).map_err(|error| error.to_string())?;
    held(permit.pair(0)).map_err(|error| error.to_string())
}

fn print(flags: &FixFlags, report: &FixReport) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let text = match flags.output {
        AnswerFormat::Json => fix_json(report) + "\n",
        AnswerFormat::Text => {
            fix_text(report, terminal::language(flags.lang), stdout.is_terminal())
        }
    };
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Broken(anyhow::anyhow!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("memcached@11212.service"), "memcached@11212.service");
        assert_eq!(quoted("/srv/a b/it's.yml"), r"'/srv/a b/it'\''s.yml'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_refusal_names_the_clients() {
        let clients: Vec<SocketAddr> = (1..8)
            .map(|last| SocketAddr::from(([10, 0, 0, last], 40_000)))
            .collect();
        let words = refusal(&clients);
        assert!(
            words.contains("10.0.0.1:40000") && words.contains("and 2 more"),
            "{words}"
        );
    }
}
