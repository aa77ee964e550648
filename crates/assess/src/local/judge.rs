//! From what was found on a machine to what it means: who reaches which server, and findings.

use std::net::IpAddr;

use model::{Confidence, Finding, Severity, Text, Transport};

use super::firewall::Inbound;
use super::machine::{InstalledPackage, Instance, Machine, Network, Socket};
use super::manifests::Published;
use super::options::{Breadth, Options};
use super::place::{ConfigKind, Place, Service};
use super::rules::rule;
use crate::package::{Distribution, Package, settle};

/// Who reaches a server over one transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The transport is off.
    Off,
    /// Only this machine.
    Inside,
    /// Only the network of its own that it stands in: of its containers, or of a namespace.
    Apart,
    /// Others could ask its address, but the firewall stops them.
    Firewalled,
    /// Nobody can tell; why, English. It counts as outside.
    Unclear(String),
    /// Anybody who reaches this machine.
    Outside,
}

impl Reach {
    /// The word used in outputs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Reach::Off => "off",
            Reach::Inside => "inside",
            Reach::Apart => "apart",
            Reach::Firewalled => "firewalled",
            Reach::Unclear(_) => "unclear",
            Reach::Outside => "outside",
        }
    }

    /// Whether a stranger comes through, in doubt too.
    pub fn is_outside(&self) -> bool {
        matches!(self, Reach::Unclear(_) | Reach::Outside)
    }

    fn rank(&self) -> u8 {
        match self {
            Reach::Off => 0,
            Reach::Inside => 1,
            Reach::Apart => 2,
            Reach::Firewalled => 3,
            Reach::Unclear(_) => 4,
            Reach::Outside => 5,
        }
    }

    fn widest(reaches: impl Iterator<Item = Reach>) -> Reach {
        reaches.max_by_key(Reach::rank).unwrap_or(Reach::Off)
    }
}

/// A finding of `audit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFinding {
    /// The finding.
    pub finding: Finding,
    /// Whether it says that something is, or will be, reachable from outside: only this makes the
    /// exit code 1.
    pub exposes: bool,
    /// The line that is to be changed, where one is known.
    pub place: Option<Place>,
}

/// A server that runs, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedInstance {
    /// What was found.
    pub instance: Instance,
    /// Over TCP.
    pub tcp: Reach,
    /// Over UDP.
    pub udp: Reach,
    /// `none`, `sasl`, `ascii` or `tls-client-certificate`.
    pub auth: &'static str,
    /// The configuration that started it, by its index in [`Machine::services`].
    pub service: Option<usize>,
    /// The findings, worst first.
    pub findings: Vec<LocalFinding>,
}

/// A server that is configured, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedService {
    /// What was found.
    pub service: Service,
    /// What its command line amounts to.
    pub options: Options,
    /// Over TCP, once it runs.
    pub tcp: Reach,
    /// Over UDP, once it runs.
    pub udp: Reach,
    /// Whether it runs now, with these options or others.
    pub is_running: bool,
    /// The findings, worst first.
    pub findings: Vec<LocalFinding>,
}

/// A machine, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Servers that run.
    pub instances: Vec<JudgedInstance>,
    /// Servers that are configured.
    pub services: Vec<JudgedService>,
    /// Findings about neither: sessions.
    pub findings: Vec<LocalFinding>,
    /// Flaws of the installed packages that their vendors have not mended, or not said.
    pub flaws: Vec<Finding>,
    /// Whether everything that mattered could be looked at.
    pub is_complete: bool,
}

impl Audit {
    /// Every finding.
    pub fn all_findings(&self) -> impl Iterator<Item = &LocalFinding> {
        let of_instances = self.instances.iter().flat_map(|judged| &judged.findings);
        let of_services = self.services.iter().flat_map(|judged| &judged.findings);
        of_instances.chain(of_services).chain(&self.findings)
    }

    /// Whether something is reachable from outside, or will be, at or above a severity.
    pub fn is_exposed(&self, at_least: Severity) -> bool {
        self.all_findings()
            .any(|local| local.exposes && local.finding.severity >= at_least)
    }
}

/// Judges a machine.
pub fn audit(machine: &Machine) -> Audit {
    let version = machine
        .packages
        .first()
        .and_then(|package| package.upstream());
    let options: Vec<Options> = machine
        .services
        .iter()
        .map(|service| {
            // What a container runs is no package of this machine.
            let version = version.filter(|_| service.published.is_none());
            Options::parse(&service.words, version)
        })
        .collect();
    let mut instances: Vec<JudgedInstance> = machine
        .instances
        .iter()
        .map(|instance| judge_instance(machine, instance, &options))
        .collect();
    let services = machine.services.iter().enumerate().map(|(index, service)| {
        let running = instances
            .iter()
            .find(|judged| judged.service == Some(index));
        judge_service(machine, service, options[index].clone(), running)
    });
    let services: Vec<JudgedService> = services.collect();
    let findings = sessions(machine, &instances);
    for judged in &mut instances {
        judged
            .findings
            .sort_by_key(|local| std::cmp::Reverse(local.finding.severity));
    }
    let is_unclear = instances.iter().any(|judged| {
        // A namespace that no container runtime made: who reaches it shows only from within.
        let is_strange = judged.instance.container.is_none();
        [&judged.tcp, &judged.udp]
            .into_iter()
            .any(|reach| match reach {
                Reach::Unclear(_) => true,
                Reach::Apart => is_strange,
                Reach::Off | Reach::Inside | Reach::Firewalled | Reach::Outside => false,
            })
    });
    Audit {
        is_complete: !is_unclear && !machine.troubles.iter().any(|trouble| trouble.hides),
        instances,
        services,
        findings,
        flaws: machine
            .packages
            .iter()
            .flat_map(|package| flaws(machine, package))
            .collect(),
    }
}

fn judge_instance(
    machine: &Machine,
    instance: &Instance,
    configured: &[Options],
) -> JudgedInstance {
    let tcp = reach_of_instance(machine, instance, Transport::Tcp);
    let udp = reach_of_instance(machine, instance, Transport::Udp);
    let auth = auth_of(&instance.options);
    let service = service_of(machine, instance, configured);
    let who = Text::new(
        format!("process {}: {}", instance.process, line_of(instance)),
        format!("プロセス {}: {}", instance.process, line_of(instance)),
    );
    let proof = |transport| {
        let mut proof = vec![who.clone()];
        proof.extend(doors(machine, instance, transport));
        proof
    };
    let changed = service.and_then(|index| {
        not_restarted(
            &instance.options,
            &configured[index],
            &machine.services[index],
        )
    });
    // The line that decides, unless what runs was started from another one.
    let place = service
        .filter(|_| changed.is_none())
        .and_then(|index| decisive_place(&machine.services[index], &configured[index]));
    let mut findings = Vec::new();
    let is_container = instance.network == Network::Own;
    if tcp.is_outside() {
        let code = match (is_container, auth) {
            (_, "sasl" | "ascii" | "tls-client-certificate") => "MS207",
            (true, _) => "MS205",
            (false, _) => "MS201",
        };
        let severity = match (code, instance.options.tls) {
            ("MS207", true) => Severity::Info,
            ("MS207", false) => Severity::Low,
            _ => Severity::Critical,
        };
        findings.push(finding(
            code,
            severity,
            &tcp,
            proof(Transport::Tcp),
            place.clone(),
        ));
    }
    if udp.is_outside() {
        findings.push(finding(
            "MS202",
            Severity::High,
            &udp,
            proof(Transport::Udp),
            place.clone(),
        ));
    }
    if tcp == Reach::Firewalled || udp == Reach::Firewalled {
        let mut only = finding(
            "MS206",
            Severity::Info,
            &Reach::Firewalled,
            proof(Transport::Tcp),
            place,
        );
        only.exposes = false;
        findings.push(only);
    }
    findings.extend(changed);
    JudgedInstance {
        instance: instance.clone(),
        tcp,
        udp,
        auth,
        service,
        findings,
    }
}

fn auth_of(options: &Options) -> &'static str {
    if options.sasl {
        "sasl"
    } else if options.auth_file.is_some() {
        "ascii"
    } else if options.tls && options.tls_client_certificate {
        "tls-client-certificate"
    } else {
        "none"
    }
}

fn line_of(instance: &Instance) -> String {
    let words: Vec<&str> = instance
        .argv
        .iter()
        .map(|word| word.text.as_str())
        .collect();
    words.join(" ")
}

/// The addresses it listens on over a transport: from the kernel, or else as its options say.
fn addresses(instance: &Instance, transport: Transport) -> Vec<(Breadth, u16, bool)> {
    let Some(sockets) = &instance.sockets else {
        return configured_addresses(&instance.options, transport);
    };
    let found = sockets.iter().filter_map(|socket| match socket {
        Socket::Network {
            transport: own,
            address,
        } if *own == transport => Some((
            Breadth::of_address(address.ip()),
            address.port(),
            address.is_ipv6(),
        )),
        Socket::Network { .. } | Socket::Unix(_) => None,
    });
    found.collect()
}

fn configured_addresses(options: &Options, transport: Transport) -> Vec<(Breadth, u16, bool)> {
    let port = match transport {
        Transport::Tcp => Some(options.tcp_port).filter(|port| *port != 0),
        Transport::Udp => options.udp.port(),
        Transport::Unix => None,
    };
    let Some(port) = port.filter(|_| options.unix_socket.is_none()) else {
        return Vec::new();
    };
    if options.listeners.is_empty() {
        return vec![
            (Breadth::Everywhere, port, false),
            (Breadth::Everywhere, port, true),
        ];
    }
    let listeners = options.listeners.iter().map(|listener| {
        let is_ipv6 = listener
            .host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_ipv6());
        (
            Breadth::of(&listener.host),
            listener.port.unwrap_or(port),
            is_ipv6,
        )
    });
    listeners.collect()
}

fn reach_of_instance(machine: &Machine, instance: &Instance, transport: Transport) -> Reach {
    let addresses = addresses(instance, transport);
    if instance.network == Network::Own {
        let published = published_for(machine, &addresses, transport);
        let handed_on = published
            .into_iter()
            .map(|port| reach_of_published(machine, port));
        return Reach::widest(handed_on.chain(within_its_network(&addresses)));
    }
    Reach::widest(
        addresses
            .into_iter()
            .map(|door| reach_of_address(machine, door, transport)),
    )
}

/// Who reaches a server in a network of its own, as long as nothing is handed on to it.
fn within_its_network(addresses: &[(Breadth, u16, bool)]) -> impl Iterator<Item = Reach> {
    addresses.iter().map(|(breadth, _, _)| match breadth {
        Breadth::ThisMachine => Reach::Inside,
        Breadth::Unknown | Breadth::OneAddress | Breadth::Everywhere => Reach::Apart,
    })
}

fn reach_of_address(
    machine: &Machine,
    (breadth, port, is_ipv6): (Breadth, u16, bool),
    transport: Transport,
) -> Reach {
    match breadth {
        Breadth::ThisMachine => Reach::Inside,
        Breadth::Unknown => Reach::Unclear("it listens on a host name".to_owned()),
        Breadth::OneAddress | Breadth::Everywhere => {
            through(machine.firewall.inbound(transport, port, is_ipv6))
        }
    }
}

fn through(inbound: Inbound) -> Reach {
    match inbound {
        Inbound::Open => Reach::Outside,
        Inbound::Blocked => Reach::Firewalled,
        Inbound::Unclear(why) => Reach::Unclear(why),
    }
}

fn published_for<'machine>(
    machine: &'machine Machine,
    addresses: &[(Breadth, u16, bool)],
    transport: Transport,
) -> Vec<&'machine Published> {
    let fits = |port: &&Published| {
        port.transport == transport
            && addresses.iter().any(|(breadth, own, _)| {
                *own == port.container_port && *breadth != Breadth::ThisMachine
            })
    };
    machine.published.iter().filter(fits).collect()
}

/// Who reaches a port that is handed on to a container.
fn reach_of_published(machine: &Machine, port: &Published) -> Reach {
    let address = port.host_address.as_deref().unwrap_or_default();
    if Breadth::of(address) == Breadth::ThisMachine {
        return Reach::Inside;
    }
    if matches!(port.by, "LoadBalancer" | "NodePort" | "externalIPs") {
        return Reach::Outside;
    }
    let host_port = port.host_port.unwrap_or(port.container_port);
    through(
        machine
            .firewall
            .docker_user(port.transport, host_port, address.contains(':')),
    )
}

/// The doors that prove a finding: one line for each.
fn doors(machine: &Machine, instance: &Instance, transport: Transport) -> Vec<Text> {
    let mut doors = Vec::new();
    match &instance.sockets {
        Some(sockets) => {
            for socket in sockets {
                if let Socket::Network {
                    transport: own,
                    address,
                } = socket
                    && *own == transport
                {
                    doors.push(Text::new(
                        format!("listens on {address}/{transport}"),
                        format!("{address}/{transport} で待ち受け"),
                    ));
                }
            }
        }
        None => doors.push(Text::new(
            "its sockets could not be read; the command line decides",
            "ソケットを読めないため、コマンドラインで判断",
        )),
    }
    if instance.network == Network::Own {
        let addresses = addresses(instance, transport);
        let published = published_for(machine, &addresses, transport);
        doors.extend(published.into_iter().map(text_of_published));
    }
    doors
}

fn text_of_published(port: &Published) -> Text {
    let address = port.host_address.as_deref().unwrap_or("*");
    let host_port = port
        .host_port
        .map_or("?".to_owned(), |port| port.to_string());
    let by = port
        .place
        .as_ref()
        .map_or(port.by.to_owned(), |place| format!("{}, {place}", port.by));
    let line = format!(
        "{address}:{host_port}/{} → {} ({by})",
        port.transport, port.container_port
    );
    Text::new(format!("published: {line}"), format!("公開: {line}"))
}

fn finding(
    code: &str,
    severity: Severity,
    reach: &Reach,
    mut evidence: Vec<Text>,
    place: Option<Place>,
) -> LocalFinding {
    let rule = rule(code);
    if let Some(place) = &place {
        evidence.push(Text::new(
            format!("configured at {place}"),
            format!("設定箇所: {place}"),
        ));
    }
    let mut confidence = Confidence::Confirmed;
    if let Reach::Unclear(why) = reach {
        confidence = Confidence::Likely;
        evidence.push(Text::new(
            format!("whether strangers get through is unclear: {why}"),
            format!("第三者が到達できるかは不明: {why}"),
        ));
    }
    LocalFinding {
        finding: Finding {
            code: rule.code,
            severity,
            confidence,
            title: rule.title.to_text(),
            evidence,
            fix: rule.fix.to_text(),
        },
        exposes: true,
        place,
    }
}

/// The configuration that started a server: by its unit, by its port, or because there is but one.
fn service_of(machine: &Machine, instance: &Instance, options: &[Options]) -> Option<usize> {
    if instance.network == Network::Own {
        return None;
    }
    let local: Vec<usize> = (0..machine.services.len())
        .filter(|index| starts_here(&machine.services[*index]))
        .collect();
    let by_unit = |index: &&usize| {
        let name = machine.services[**index].name.as_str();
        let unit = instance.unit.as_deref();
        unit.is_some_and(|unit| unit == name || unit.strip_suffix(".service") == Some(name))
    };
    // What another unit started is not this one's.
    let may_be = |index: &usize| {
        instance.unit.is_none() || machine.services[*index].kind != ConfigKind::SystemdUnit
    };
    let by_port =
        |index: &&usize| may_be(index) && options[**index].tcp_port == instance.options.tcp_port;
    let only = (local.len() == 1 && machine.instances.len() == 1)
        .then(|| local.first().filter(|index| may_be(index)))
        .flatten();
    local
        .iter()
        .find(by_unit)
        .or_else(|| local.iter().find(by_port))
        .or(only)
        .copied()
}

/// Whether a configuration starts its server as a process of this machine.
fn starts_here(service: &Service) -> bool {
    match service.kind {
        ConfigKind::Sysconfig
        | ConfigKind::MemcachedConf
        | ConfigKind::EtcDefault
        | ConfigKind::SystemdUnit
        | ConfigKind::SystemdDropIn
        | ConfigKind::RcConf
        | ConfigKind::Plist => true,
        ConfigKind::Dockerfile
        | ConfigKind::Compose
        | ConfigKind::Kubernetes
        | ConfigKind::HelmValues
        | ConfigKind::Php => false,
    }
}

/// The options that decide who reaches a server, as one comparable text each.
fn deciding(options: &Options) -> [(&'static str, String); 6] {
    let mut hosts: Vec<String> = options
        .listeners
        .iter()
        .map(|listener| match listener.port {
            Some(port) => format!("{}:{port}", listener.host),
            None => listener.host.clone(),
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    let flag = |on: bool| if on { "on" } else { "off" }.to_owned();
    [
        (
            "-l",
            if hosts.is_empty() {
                "*".to_owned()
            } else {
                hosts.join(",")
            },
        ),
        ("-p", options.tcp_port.to_string()),
        ("-U", options.udp.port().unwrap_or(0).to_string()),
        ("-s", options.unix_socket.clone().unwrap_or_default()),
        ("-S/-Y", flag(options.demands_log_in())),
        ("-Z", flag(options.tls)),
    ]
}

fn not_restarted(
    running: &Options,
    configured: &Options,
    service: &Service,
) -> Option<LocalFinding> {
    let differences: Vec<Text> = deciding(running)
        .into_iter()
        .zip(deciding(configured))
        .filter(|(running, configured)| running != configured)
        .map(|((name, running), (_, configured))| {
            Text::new(
                format!("{name}: runs with {running}, configured is {configured}"),
                format!("{name}: 動作中は {running}、設定は {configured}"),
            )
        })
        .collect();
    if differences.is_empty() {
        return None;
    }
    let place = decisive_place(service, configured);
    let mut local = finding(
        "MS204",
        Severity::Medium,
        &Reach::Inside,
        differences,
        place,
    );
    local.exposes = false;
    Some(local)
}

/// The line that decides who reaches a server: of its last `-l`, else of any of its words, else
/// the first of the file that starts it.
fn decisive_place(service: &Service, options: &Options) -> Option<Place> {
    let listen = options.last('l').and_then(|given| given.place.clone());
    let any = service
        .words
        .iter()
        .rev()
        .find_map(|word| word.place.clone());
    listen
        .or(any)
        .or_else(|| Some(Place::new(&service.path, 1)))
}

fn judge_service(
    machine: &Machine,
    service: &Service,
    options: Options,
    running: Option<&JudgedInstance>,
) -> JudgedService {
    let tcp = reach_of_service(machine, service, &options, Transport::Tcp);
    let udp = reach_of_service(machine, service, &options, Transport::Udp);
    let mut findings = Vec::new();
    let is_off = service.is_enabled == Some(false);
    let says_so_already = |transport_reach: &Reach, of: fn(&JudgedInstance) -> &Reach| {
        running.is_some_and(|judged| of(judged).rank() >= transport_reach.rank())
    };
    let tcp_is_news = tcp.is_outside() && !says_so_already(&tcp, |judged| &judged.tcp);
    let udp_is_news = udp.is_outside() && !says_so_already(&udp, |judged| &judged.udp);
    if tcp_is_news || udp_is_news {
        let wide = if tcp_is_news { &tcp } else { &udp };
        let published: Vec<Text> = service
            .published
            .iter()
            .flatten()
            .map(text_of_published)
            .collect();
        let words: Vec<&str> = service
            .words
            .iter()
            .map(|word| word.text.as_str())
            .collect();
        let mut evidence = vec![Text::same(format!("{}: {}", service.name, words.join(" ")))];
        evidence.extend(published);
        let published_at = service
            .published
            .iter()
            .flatten()
            .find_map(|port| port.place.clone());
        let place = published_at.or_else(|| decisive_place(service, &options));
        let severity = match (options.demands_log_in() && !udp_is_news, is_off) {
            (true, _) => Severity::Low,
            (false, true) => Severity::Info,
            (false, false) => Severity::High,
        };
        let mut local = finding("MS203", severity, wide, evidence, place);
        local.exposes = !is_off;
        local.finding.fix = fix_of(service);
        findings.push(local);
    }
    JudgedService {
        service: service.clone(),
        options,
        tcp,
        udp,
        is_running: running.is_some(),
        findings,
    }
}

/// How to close a configuration. Inside of a container, loopback would shut everybody out.
fn fix_of(service: &Service) -> Text {
    match (service.kind, &service.published) {
        (ConfigKind::Kubernetes | ConfigKind::HelmValues, _) => Text::new(
            "a Service of type ClusterIP, no hostPort and no hostNetwork; and a NetworkPolicy that lets only your own pods in",
            "Service は ClusterIP とし、hostPort と hostNetwork を使わず、NetworkPolicy で自分の Pod だけを許可してください",
        ),
        (_, Some(_)) => rule("MS205").fix.to_text(),
        (_, None) => rule("MS203").fix.to_text(),
    }
}

fn reach_of_service(
    machine: &Machine,
    service: &Service,
    options: &Options,
    transport: Transport,
) -> Reach {
    let addresses = configured_addresses(options, transport);
    let Some(published) = &service.published else {
        let doors = addresses.into_iter();
        return Reach::widest(doors.map(|door| reach_of_address(machine, door, transport)));
    };
    let handed_on = published
        .iter()
        .filter(|port| port.transport == transport)
        .filter(|port| {
            // A port that nobody listens on inside leads nowhere.
            addresses.iter().any(|(breadth, own, _)| {
                *own == port.container_port && *breadth != Breadth::ThisMachine
            })
        })
        .map(|port| reach_of_published(machine, port));
    Reach::widest(handed_on.chain(within_its_network(&addresses)))
}

/// PHP sessions on a server of this machine that strangers reach.
fn sessions(machine: &Machine, instances: &[JudgedInstance]) -> Vec<LocalFinding> {
    let mut findings = Vec::new();
    for sessions in machine.files.iter().flat_map(|file| &file.sessions) {
        for server in &sessions.servers {
            let open = instances.iter().find(|judged| {
                judged.tcp.is_outside() && judged.auth == "none" && is_at(server, &judged.instance)
            });
            let Some(open) = open else { continue };
            let evidence = vec![Text::same(format!(
                "session.save_handler = {}, session.save_path: {server} (process {})",
                sessions.handler, open.instance.process
            ))];
            let place = Some(sessions.place.clone());
            findings.push(finding(
                "MS208",
                Severity::Critical,
                &open.tcp,
                evidence,
                place,
            ));
        }
    }
    findings
}

/// The flaws of upstream's release that the package may have: confirmed where its vendor's fix is
/// newer, gone where it is not, and possible where nobody knows.
fn flaws(machine: &Machine, installed: &InstalledPackage) -> Vec<Finding> {
    let package = Package {
        distribution: machine.distribution.unwrap_or(Distribution::Other),
        name: installed.name.clone(),
        version: installed.version.clone(),
    };
    let Some(upstream) = installed.upstream() else {
        return Vec::new();
    };
    let found = crate::rules().iter().filter_map(|rule| {
        let flaw = rule.flaw.as_ref().filter(|flaw| flaw.affects(upstream))?;
        let range = flaw.range();
        let finding = Finding {
            code: rule.code,
            severity: flaw.cvss.map_or(Severity::Medium, crate::Cvss::severity),
            confidence: Confidence::Possible,
            title: rule.title.to_text(),
            evidence: vec![Text::new(
                format!("upstream has it {}", range.en),
                format!("上流では {}", range.ja),
            )],
            fix: rule.fix.to_text(),
        };
        settle(finding, &package)
    });
    found.collect()
}

/// Whether `host:port` of a session path is this server: the port is its own, and the host is
/// loopback, or an address that it listens on.
fn is_at(server: &str, instance: &Instance) -> bool {
    // A weight may follow the port: `host:11211:5`.
    let mut parts = server.split(':');
    let (host, port) = (parts.next().unwrap_or_default(), parts.next());
    let port = port.map_or(Some(super::options::PORT_DEFAULT), |port| port.parse().ok());
    let doors = addresses(instance, Transport::Tcp);
    let is_port = doors.iter().any(|(_, own, _)| Some(*own) == port);
    let listens_there = instance.sockets.iter().flatten().any(|socket| {
        matches!(socket, Socket::Network { address, .. } if address.ip().to_string() == host)
    });
    is_port && (Breadth::of(host) == Breadth::ThisMachine || listens_there)
}

#[cfg(test)]
mod tests {
    use super::super::firewall::iptables_save;
    use super::super::{Word, manifest, memcached_conf, php};
    use super::*;

    fn instance(line: &str, sockets: &[&str]) -> Instance {
        let argv: Vec<Word> = line.split_whitespace().map(Word::bare).collect();
        let sockets = sockets.iter().map(|text| {
            let (transport, address) = text.split_once(' ').unwrap();
            let transport = if transport == "tcp" {
                Transport::Tcp
            } else {
                Transport::Udp
            };
            Socket::Network {
                transport,
                address: address.parse().unwrap(),
            }
        });
        Instance {
            process: 7,
            options: Options::parse(&argv, None),
            argv,
            program: None,
            user_id: Some(0),
            version: None,
            container: None,
            unit: None,
            network: Network::Ours,
            sockets: Some(sockets.collect()),
            peers: Vec::new(),
        }
    }

    fn machine(instance: Instance) -> Machine {
        Machine {
            instances: vec![instance],
            ..Machine::default()
        }
    }

    #[track_caller]
    fn check(machine: &Machine, tcp: &str, udp: &str, codes: &[&str]) {
        let audit = audit(machine);
        let judged = &audit.instances[0];
        assert_eq!((judged.tcp.as_str(), judged.udp.as_str()), (tcp, udp));
        let found: Vec<&str> = audit
            .all_findings()
            .map(|local| local.finding.code)
            .collect();
        assert_eq!(found, codes);
    }

    #[test]
    fn who_reaches_what_runs() {
        let everywhere = ["tcp 0.0.0.0:11211", "tcp [::]:11211"];
        check(
            &machine(instance("memcached", &everywhere)),
            "outside",
            "off",
            &["MS201"],
        );
        check(
            &machine(instance(
                "memcached -l 127.0.0.1",
                &["tcp 127.0.0.1:11211", "udp [::1]:11211"],
            )),
            "inside",
            "inside",
            &[],
        );
        check(
            &machine(instance(
                "memcached",
                &["tcp 10.0.0.1:11211", "udp 10.0.0.1:11211"],
            )),
            "outside",
            "outside",
            &["MS201", "MS202"],
        );
        check(
            &machine(instance("memcached -S", &everywhere)),
            "outside",
            "off",
            &["MS207"],
        );
        check(
            &machine(instance("memcached -s /run/x", &[])),
            "off",
            "off",
            &[],
        );
        // Sockets that could not be read: the command line decides, and its default is unknown.
        let mut blind = instance("memcached", &[]);
        blind.sockets = None;
        check(&machine(blind), "outside", "outside", &["MS201", "MS202"]);
    }

    #[test]
    fn the_firewall_has_its_say() {
        let mut closed = machine(instance("memcached", &["tcp 0.0.0.0:11211"]));
        closed.firewall.rulesets =
            vec![iptables_save("*filter\n:INPUT DROP [0:0]\nCOMMIT\n", false)];
        check(&closed, "firewalled", "off", &["MS206"]);
        assert!(!audit(&closed).is_exposed(Severity::Info) && audit(&closed).is_complete);
        // IPv6 has rules of its own.
        let mut half = machine(instance(
            "memcached",
            &["tcp 0.0.0.0:11211", "tcp [::]:11211"],
        ));
        half.firewall = closed.firewall.clone();
        check(&half, "outside", "off", &["MS201"]);
        let mut unread = machine(instance("memcached", &["tcp 0.0.0.0:11211"]));
        unread.firewall.unread = Some("permission denied".to_owned());
        check(&unread, "unclear", "off", &["MS201"]);
        let judged = audit(&unread);
        assert!(judged.is_exposed(Severity::Critical) && !judged.is_complete);
        assert_eq!(
            judged.instances[0].findings[0].finding.confidence,
            Confidence::Likely
        );
    }

    #[test]
    fn containers_are_reached_by_what_is_published() {
        let mut container = instance("memcached", &["tcp 0.0.0.0:11211", "tcp [::]:11211"]);
        container.network = Network::Own;
        let mut host = machine(container);
        check(&host, "apart", "off", &[]);
        assert!(
            !audit(&host).is_complete,
            "a namespace of which nothing is known"
        );
        host.instances[0].container = Some("0123456789ab".to_owned());
        assert!(audit(&host).is_complete);
        host.published = vec![Published {
            transport: Transport::Tcp,
            host_address: None,
            host_port: Some(9999),
            container_address: Some("172.17.0.2".to_owned()),
            container_port: 11211,
            by: "docker-proxy",
            place: None,
        }];
        // A firewall that drops everything (ufw) is passed by.
        host.firewall.rulesets = vec![iptables_save("*filter\n:INPUT DROP [0:0]\n", false)];
        check(&host, "outside", "off", &["MS205"]);
        host.published[0].host_address = Some("127.0.0.1".to_owned());
        check(&host, "apart", "off", &[]);
    }

    #[test]
    fn what_runs_is_held_against_what_is_configured() {
        let configured = |text: &str, line: &str, sockets: &[&str]| {
            let file = memcached_conf("/etc/memcached.conf", text);
            let mut machine = machine(instance(line, sockets));
            machine.services.clone_from(&file.services);
            machine.files = vec![file];
            machine
        };
        let loopback = ["tcp 127.0.0.1:11211"];
        let same = configured(
            "-l 127.0.0.1\n-U 0\n",
            "memcached -l 127.0.0.1 -U 0",
            &loopback,
        );
        check(&same, "inside", "off", &[]);
        let mended = configured(
            "-l 127.0.0.1\n-U 0\n",
            "memcached -U 0",
            &["tcp 0.0.0.0:11211"],
        );
        check(&mended, "outside", "off", &["MS201", "MS204"]);
        let findings = &audit(&mended).instances[0].findings;
        assert_eq!(
            findings[0].place, None,
            "what runs was not started from that line"
        );
        assert_eq!(
            findings[1].place,
            Some(Place::new("/etc/memcached.conf", 1))
        );
        // Worse after the next start.
        let worse = configured(
            "-U 0\n-l 0.0.0.0\n",
            "memcached -l 127.0.0.1 -U 0",
            &loopback,
        );
        check(&worse, "inside", "off", &["MS204", "MS203"]);
        assert!(audit(&worse).is_exposed(Severity::High));
    }

    #[test]
    fn compose_files_are_judged_without_a_process() {
        let judge = |ports: &str| {
            let text = format!("services:\n  cache:\n    image: memcached\n    ports: [{ports}]\n");
            let file = manifest("/compose.yaml", &text);
            let machine = Machine {
                services: file.services.clone(),
                files: vec![file],
                ..Machine::default()
            };
            let audit = audit(&machine);
            let codes: Vec<&str> = audit
                .all_findings()
                .map(|local| local.finding.code)
                .collect();
            (audit.services[0].tcp.as_str(), codes)
        };
        assert_eq!(judge("'11211:11211'"), ("outside", vec!["MS203"]));
        assert_eq!(judge("'127.0.0.1:11211:11211'"), ("apart", vec![]));
        assert_eq!(judge(""), ("apart", vec![]));
        // Nobody listens on that port inside.
        assert_eq!(judge("'11211:80'"), ("apart", vec![]));
    }

    #[test]
    fn the_vendors_release_decides_about_flaws() {
        let flaws = |version: &str| {
            let package = InstalledPackage {
                manager: "rpm",
                name: "memcached".to_owned(),
                version: version.to_owned(),
            };
            let machine = Machine {
                packages: vec![package],
                distribution: Some(Distribution::EnterpriseLinux(7)),
                ..Machine::default()
            };
            let of_2016 = |flaw: &Finding| flaw.code == "MS110";
            audit(&machine)
                .flaws
                .iter()
                .find(|flaw| of_2016(flaw))
                .map(|flaw| flaw.confidence)
        };
        assert_eq!(flaws("1.4.15-10.el7"), Some(Confidence::Confirmed));
        assert_eq!(flaws("1.4.15-10.el7_3.1"), None);
        assert_eq!(flaws("nonsense"), None);
    }

    #[test]
    fn sessions_on_an_open_server_are_named() {
        let text = "session.save_handler = memcached\nsession.save_path = \"127.0.0.1:11211,10.9.9.9:11211\"\n";
        let mut open = machine(instance("memcached", &["tcp 0.0.0.0:11211"]));
        open.files = vec![php("/etc/php.ini", text)];
        check(&open, "outside", "off", &["MS201", "MS208"]);
        let mut closed = machine(instance("memcached", &["tcp 127.0.0.1:11211"]));
        closed.files = open.files.clone();
        check(&closed, "inside", "off", &[]);
    }
}
