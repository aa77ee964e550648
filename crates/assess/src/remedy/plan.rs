//! From a machine to the changes that close it: which file, which commands, and what is left to be
//! done by hand.

use std::collections::BTreeMap;

use model::Text;

use super::words::{has, tokens};
use super::{
    Change, Wishes, change_of, compose, conf, has_tags, save_path, systemd, variable, wide_hosts,
};
use crate::UpstreamVersion;
use crate::local::{
    ConfigKind, Instance, Machine, Network, Options, Service, Sessions, UnitFile, compose_unit,
    manifest, memcached_conf, rc_conf, sysconfig, unit_file,
};

/// Everything that is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files that change, each once, in the order of their paths.
    pub edits: Vec<Edit>,
    /// Services that start otherwise once they are restarted.
    pub services: Vec<MendedService>,
    /// What cannot be changed here.
    pub by_hand: Vec<ByHand>,
}

/// A file that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The path as the machine knows it.
    pub path: String,
    /// The text as it is; `None`: the file is new.
    pub before: Option<String>,
    /// The text as it is to be.
    pub after: String,
}

/// A service that is mended by the edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MendedService {
    /// Its name.
    pub name: String,
    /// Its TCP port, outside of any container.
    pub port: u16,
    /// How it is restarted.
    pub restart: Restart,
    /// Whether the mended server lets only this machine in.
    pub is_local_only: bool,
}

/// How a service is restarted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restart {
    /// As a unit of systemd.
    Unit(String),
    /// By the distribution's own way: systemctl(1) or service(8).
    Service(String),
    /// By `docker compose` with this file.
    Compose(String),
}

/// Something that nobody but the reader can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// Which server.
    pub service: String,
    /// What to do, and why it is not done here.
    pub advice: Text,
}

/// Where options of a host's server are written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Variable { path: String, name: String },
    Conf { path: String },
    ExecStart,
    Environment { name: String, value: String },
}

/// The changes that close what this machine is configured to start. `read` gives the text of a
/// file of the machine; every file is read at most a few times.
pub fn plan(machine: &Machine, wishes: &Wishes, read: &dyn Fn(&str) -> Option<String>) -> Plan {
    let mut desk = Desk {
        machine,
        wishes,
        read,
        texts: BTreeMap::new(),
    };
    let mut plan = Plan::default();
    for service in &machine.services {
        if service.is_enabled == Some(false) {
            continue;
        }
        let kept = desk.texts.clone();
        match desk.mend(service) {
            Ok(Some(mended)) => {
                if !plan.services.contains(&mended) {
                    plan.services.push(mended);
                }
            }
            Ok(None) => plan.services.extend(desk.not_restarted(service)),
            Err(advice) => {
                desk.texts = kept;
                let service = service.name.clone();
                plan.by_hand.push(ByHand { service, advice });
            }
        }
    }
    desk.without_configuration(&mut plan);
    for (path, after) in desk.texts {
        let before = read(&path);
        if before.as_ref() != Some(&after) {
            plan.edits.push(Edit {
                path,
                before,
                after,
            });
        }
    }
    plan
}

struct Desk<'a> {
    machine: &'a Machine,
    wishes: &'a Wishes,
    read: &'a dyn Fn(&str) -> Option<String>,
    /// Texts as they are to be.
    texts: BTreeMap<String, String>,
}

impl Desk<'_> {
    fn text(&self, path: &str) -> Option<String> {
        self.texts.get(path).cloned().or_else(|| (self.read)(path))
    }

    fn version(&self, service: &Service) -> Option<UpstreamVersion> {
        // What runs in a container is not what is installed beside it.
        let is_own = service.published.is_none();
        let packages = self.machine.packages.iter().filter(|_| is_own);
        packages.filter_map(|package| package.upstream()).min()
    }

    fn change(&self, service: &Service) -> Option<Change> {
        let version = self.version(service);
        let options = Options::parse(&service.words, version);
        change_of(
            &options,
            version,
            self.wishes,
            self.machine.has_ipv6_loopback,
        )
    }

    fn mend(&mut self, service: &Service) -> Result<Option<MendedService>, Text> {
        match service.kind {
            ConfigKind::Compose => return self.mend_compose(service),
            ConfigKind::Kubernetes | ConfigKind::HelmValues | ConfigKind::Dockerfile => {
                return manifests(service);
            }
            _ => {}
        }
        let version = self.version(service);
        let options = Options::parse(&service.words, version);
        let Some(change) = self.change(service) else {
            return Ok(None);
        };
        if change.listen.is_some() && has_tags(&options) {
            return Err(by_hand(
                service,
                "its -l has tags (proto, tag, notls)",
                "-l にタグ（proto・tag・notls）がある",
            ));
        }
        let sources = self.sources(service, &options, &change)?;
        for (index, source) in sources.iter().enumerate() {
            self.mend_source(service, source, &change, index == 0)?;
        }
        let again = self
            .read_again(service)
            .ok_or_else(|| unreadable(service))?;
        if self.change(&again).is_some() {
            return Err(by_hand(
                service,
                "its options come from more than one place",
                "オプションが複数の場所から来ている",
            ));
        }
        self.sessions_follow(&options, &change);
        let mended = Options::parse(&again.words, version);
        Ok(Some(MendedService {
            name: service.name.clone(),
            port: mended.tcp_port,
            restart: restart_of(service),
            is_local_only: mended.breadth().is_some_and(|breadth| !breadth.is_wide()),
        }))
    }

    /// A service whose configuration is right already, while what runs was started before.
    fn not_restarted(&self, service: &Service) -> Option<MendedService> {
        let options = Options::parse(&service.words, self.version(service));
        let is_old = |instance: &&Instance| {
            let change = change_of(
                &instance.options,
                instance.version,
                self.wishes,
                self.machine.has_ipv6_loopback,
            );
            instance.network == Network::Ours
                && instance.options.tcp_port == options.tcp_port
                && change.is_some()
        };
        service.published.is_none().then_some(())?;
        self.machine.instances.iter().find(is_old)?;
        Some(MendedService {
            name: service.name.clone(),
            port: options.tcp_port,
            restart: restart_of(service),
            is_local_only: options.breadth().is_some_and(|breadth| !breadth.is_wide()),
        })
    }

    /// Where the options stand that are at fault; the first one is where the right ones go.
    fn sources(
        &self,
        service: &Service,
        options: &Options,
        change: &Change,
    ) -> Result<Vec<Source>, Text> {
        let mut found: Vec<Source> = Vec::new();
        let wanted = |letter: char| match letter {
            'l' => change.listen.is_some(),
            'U' => change.udp_off,
            _ => false,
        };
        // Those of -l first: there exactly one may stay.
        for letter in ['l', 'U'] {
            for given in options
                .given
                .iter()
                .filter(|given| given.letter == letter && wanted(letter))
            {
                let place = given.place.as_ref().ok_or_else(|| unreadable(service))?;
                let source = self.source_at(service, &place.path, place.line)?;
                if !found.contains(&source) {
                    found.push(source);
                }
            }
        }
        if found.is_empty() {
            found.push(self.source_for_new(service)?);
        }
        Ok(found)
    }

    fn source_at(&self, service: &Service, path: &str, line: u32) -> Result<Source, Text> {
        match self.kind_of(service, path) {
            ConfigKind::MemcachedConf => Ok(Source::Conf {
                path: path.to_owned(),
            }),
            ConfigKind::SystemdUnit | ConfigKind::SystemdDropIn => {
                let exec = self
                    .exec_start(service)
                    .ok_or_else(|| unreadable(service))?;
                let exec_tokens = tokens(&exec, 0..exec.len());
                if has(&exec_tokens, 'l') || has(&exec_tokens, 'U') {
                    return Ok(Source::ExecStart);
                }
                let name = variable_in(&exec).ok_or_else(|| unreadable(service))?;
                let here = |word: &&crate::local::Word| {
                    word.place
                        .as_ref()
                        .is_some_and(|place| place.path == path && place.line == line)
                };
                let words: Vec<&str> = service
                    .words
                    .iter()
                    .filter(here)
                    .map(|word| word.text.as_str())
                    .collect();
                Ok(Source::Environment {
                    name,
                    value: words.join(" "),
                })
            }
            ConfigKind::Plist => Err(by_hand(
                service,
                "property lists are not changed here",
                "プロパティリストはここでは変更しない",
            )),
            _ => {
                let text = self.text(path).ok_or_else(|| unreadable(service))?;
                let parsed = sysconfig(path, &text);
                let setting = parsed
                    .settings
                    .iter()
                    .rev()
                    .find(|setting| setting.place.line <= line);
                let name = setting.map(|setting| setting.name.clone());
                Ok(Source::Variable {
                    path: path.to_owned(),
                    name: name.ok_or_else(|| unreadable(service))?,
                })
            }
        }
    }

    /// Where options go if none of their kind is there yet.
    fn source_for_new(&self, service: &Service) -> Result<Source, Text> {
        let path = service.path.clone();
        match service.kind {
            ConfigKind::MemcachedConf => Ok(Source::Conf { path }),
            ConfigKind::Sysconfig => Ok(Source::Variable {
                path,
                name: "OPTIONS".to_owned(),
            }),
            ConfigKind::RcConf => Ok(Source::Variable {
                path,
                name: "memcached_flags".to_owned(),
            }),
            ConfigKind::SystemdUnit | ConfigKind::SystemdDropIn => {
                let exec = self
                    .exec_start(service)
                    .ok_or_else(|| unreadable(service))?;
                let beside: Vec<&String> = service
                    .files
                    .iter()
                    .filter(|path| !path.contains("/systemd/"))
                    .collect();
                if let Some(conf) = beside
                    .iter()
                    .find(|path| self.kind_of(service, path) == ConfigKind::MemcachedConf)
                {
                    return Ok(Source::Conf {
                        path: (*conf).clone(),
                    });
                }
                match (variable_in(&exec), beside.last()) {
                    (Some(name), Some(path)) => Ok(Source::Variable {
                        path: (*path).clone(),
                        name,
                    }),
                    _ => Ok(Source::ExecStart),
                }
            }
            _ => Err(by_hand(
                service,
                "this kind of file is not changed here",
                "この種類のファイルはここでは変更しない",
            )),
        }
    }

    fn kind_of(&self, service: &Service, path: &str) -> ConfigKind {
        if path == service.path && service.kind != ConfigKind::SystemdUnit {
            return service.kind;
        }
        let known = self.machine.files.iter().find(|file| file.path == path);
        match known.map(|file| file.kind) {
            Some(kind) => kind,
            None if path.contains("/systemd/") => ConfigKind::SystemdUnit,
            None if path.ends_with(".conf") => ConfigKind::MemcachedConf,
            None => ConfigKind::Sysconfig,
        }
    }

    /// The unit and its drop-ins, with the changes that are planned.
    fn unit_files(&self, service: &Service) -> Vec<UnitFile> {
        let mut paths: Vec<String> = service
            .files
            .iter()
            .filter(|path| path.contains("/systemd/"))
            .cloned()
            .collect();
        let folder = drop_in_folder(service);
        let planned = self.texts.keys().filter(|path| path.starts_with(&folder));
        for path in planned {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        paths
            .iter()
            .filter_map(|path| Some(unit_file(path, &self.text(path)?)))
            .collect()
    }

    /// The last `ExecStart`, as it is written, if it starts memcached or Debian's wrapper itself.
    fn exec_start(&self, service: &Service) -> Option<String> {
        let units = self.unit_files(service);
        let settings = units
            .iter()
            .flat_map(|unit| unit.to_config(ConfigKind::SystemdUnit).settings);
        let last = settings.rev().find(|setting| setting.name == "ExecStart")?;
        let program = last.value.split_whitespace().next()?;
        let program = program.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let name = program.rsplit('/').next()?;
        (name.starts_with("memcached") || name == "systemd-memcached-wrapper").then_some(last.value)
    }

    fn mend_source(
        &mut self,
        service: &Service,
        source: &Source,
        change: &Change,
        adds: bool,
    ) -> Result<(), Text> {
        let (path, text) = match source {
            Source::Variable { path, name } => {
                let before = self.text(path).ok_or_else(|| unreadable(service))?;
                let mended = variable(&before, name, change, adds).ok_or_else(|| {
                    by_hand(
                        service,
                        &format!(
                            "{name} in {path} is written over several lines or with expansions"
                        ),
                        &format!("{path} の {name} が複数行または変数展開で書かれている"),
                    )
                })?;
                (path.clone(), mended)
            }
            Source::Conf { path } => {
                let before = self.text(path).ok_or_else(|| unreadable(service))?;
                (path.clone(), conf(&before, change, adds))
            }
            Source::ExecStart | Source::Environment { .. } if !adds => {
                return Err(by_hand(
                    service,
                    "its options come from more than one place",
                    "オプションが複数の場所から来ている",
                ));
            }
            Source::ExecStart => {
                let exec = self
                    .exec_start(service)
                    .ok_or_else(|| unreadable(service))?;
                (self.drop_in(service)?, systemd::exec_start(&exec, change))
            }
            Source::Environment { name, value } => (
                self.drop_in(service)?,
                systemd::environment(name, value, change),
            ),
        };
        self.texts.insert(path, text);
        Ok(())
    }

    /// The path of a drop-in that counts after all others.
    fn drop_in(&self, service: &Service) -> Result<String, Text> {
        let folder = drop_in_folder(service);
        let names: Vec<&str> = service
            .files
            .iter()
            .filter(|path| path.contains(".service.d/"))
            .filter_map(|path| path.rsplit('/').next())
            .collect();
        let name = systemd::name_after(&names).ok_or_else(|| {
            by_hand(
                service,
                "a drop-in of it comes after ours",
                "既存のドロップインの方が後に読まれる",
            )
        })?;
        Ok(format!("{folder}{name}"))
    }

    /// The service as it will be.
    fn read_again(&self, service: &Service) -> Option<Service> {
        let path = &service.path;
        let mut file = match service.kind {
            ConfigKind::Sysconfig => sysconfig(path, &self.text(path)?),
            ConfigKind::MemcachedConf => memcached_conf(path, &self.text(path)?),
            ConfigKind::RcConf => rc_conf(path, &self.text(path)?),
            ConfigKind::SystemdUnit | ConfigKind::SystemdDropIn => {
                let units = self.unit_files(service);
                return compose_unit(&service.name, &units, &mut |path| self.text(path));
            }
            _ => return None,
        };
        file.services.pop()
    }

    fn mend_compose(&mut self, service: &Service) -> Result<Option<MendedService>, Text> {
        let Some(published) = &service.published else {
            let Some(_) = self.change(service) else {
                return Ok(None);
            };
            return Err(by_hand(
                service,
                "it stands in the host's own network; add \"-l 127.0.0.1 -U 0\" to its command",
                "ホストのネットワークを使っている。command に \"-l 127.0.0.1 -U 0\" を加える",
            ));
        };
        let addresses: Vec<String> = match (&self.wishes.listen[..], &self.wishes.allow[..]) {
            ([], []) => vec!["127.0.0.1".to_owned()],
            ([], _) => Vec::new(),
            (listen, _) => listen
                .iter()
                .map(|address| match address {
                    std::net::IpAddr::V4(v4) => v4.to_string(),
                    std::net::IpAddr::V6(v6) => format!("[{v6}]"),
                })
                .collect(),
        };
        let wrong = |port: &&crate::local::Published| compose::is_wrong(port, &addresses);
        let Some(first) = published.iter().find(wrong) else {
            return Ok(None);
        };
        let path = &service.path;
        let hard = || {
            by_hand(
                service,
                &format!(
                    "publish its port in {path} on 127.0.0.1 only; the file is written in a way that is not changed here"
                ),
                &format!(
                    "{path} のポートを 127.0.0.1 だけで公開する。この書き方はここでは変更できない"
                ),
            )
        };
        let text = self.text(path).ok_or_else(|| unreadable(service))?;
        // Another service of the file may have moved the lines.
        let current = of_name(&manifest(path, &text), &service.name).ok_or_else(hard)?;
        let mended = compose::ports(&text, &current, &addresses).ok_or_else(hard)?;
        let after = of_name(&manifest(path, &mended), &service.name).ok_or_else(hard)?;
        if after.iter().any(|port| compose::is_wrong(port, &addresses)) {
            return Err(hard());
        }
        self.texts.insert(path.clone(), mended);
        Ok(Some(MendedService {
            name: service.name.clone(),
            port: first.host_port.unwrap_or(first.container_port),
            restart: Restart::Compose(path.clone()),
            is_local_only: self.wishes.listen.is_empty() && self.wishes.allow.is_empty(),
        }))
    }

    /// PHP on this machine that asked the server at an address on which it will not listen.
    fn sessions_follow(&mut self, options: &Options, change: &Change) {
        let Some(listen) = &change.listen else { return };
        let Some(host) = listen.split(',').next() else {
            return;
        };
        let sessions: Vec<Sessions> = self
            .machine
            .files
            .iter()
            .flat_map(|file| file.sessions.clone())
            .collect();
        for hidden in
            wide_hosts(options).filter(|wide| !listen.split(',').any(|host| host == *wide))
        {
            let server = format!("{hidden}:{}", options.tcp_port);
            for one in sessions
                .iter()
                .filter(|one| one.servers.iter().any(|s| s.contains(&server)))
            {
                if let Some(text) = self.text(&one.place.path) {
                    let mended = save_path(&text, one.place.line, &server, host);
                    self.texts.insert(one.place.path.clone(), mended);
                }
            }
        }
    }

    /// Servers that run without any configuration that would start them.
    fn without_configuration(&self, plan: &mut Plan) {
        let configured: Vec<u16> = self
            .machine
            .services
            .iter()
            .map(|service| Options::parse(&service.words, self.version(service)).tcp_port)
            .collect();
        for instance in &self.machine.instances {
            let change = change_of(
                &instance.options,
                instance.version,
                self.wishes,
                self.machine.has_ipv6_loopback,
            );
            let is_ours = instance.network == Network::Ours;
            let Some(change) = change.filter(|_| is_ours) else {
                continue;
            };
            if configured.contains(&instance.options.tcp_port) {
                continue;
            }
            let mut options: Vec<String> = Vec::new();
            options.extend(change.listen.map(|listen| format!("-l {listen}")));
            options.extend(change.udp_off.then(|| "-U 0".to_owned()));
            let options = options.join(" ");
            plan.by_hand.push(ByHand {
                service: format!("process {}", instance.process),
                advice: Text::new(
                    format!("no configuration starts it; start it with \"{options}\" in place of the options it has"),
                    format!("起動する設定が見つからない。今のオプションの代わりに \"{options}\" を付けて起動する"),
                ),
            });
        }
    }
}

fn of_name(file: &crate::local::ConfigFile, name: &str) -> Option<Vec<crate::local::Published>> {
    file.services
        .iter()
        .find(|service| service.name == name)?
        .published
        .clone()
}

fn drop_in_folder(service: &Service) -> String {
    let unit = service.name.trim_end_matches(".service");
    format!("/etc/systemd/system/{unit}.service.d/")
}

fn restart_of(service: &Service) -> Restart {
    match service.kind {
        ConfigKind::SystemdUnit | ConfigKind::SystemdDropIn => Restart::Unit(format!(
            "{}.service",
            service.name.trim_end_matches(".service")
        )),
        _ => Restart::Service(service.name.clone()),
    }
}

/// The name of the variable that stands as a word of its own in a command line.
fn variable_in(exec: &str) -> Option<String> {
    let name = exec
        .split_whitespace()
        .rev()
        .find_map(|word| word.strip_prefix('$'))?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
}

fn manifests(service: &Service) -> Result<Option<MendedService>, Text> {
    match service.published.as_deref() {
        Some([]) => Ok(None),
        Some(_) => Err(Text::new(
            format!(
                "let only the cluster reach it: in {} a Service of type ClusterIP, no hostPort",
                service.path
            ),
            format!(
                "クラスター内からだけ届くようにする: {} の Service を ClusterIP にし、hostPort をやめる",
                service.path
            ),
        )),
        None if service.kind == ConfigKind::Dockerfile => Ok(None),
        None => Err(by_hand(
            service,
            "it stands in the host's own network",
            "ホストのネットワークを使っている",
        )),
    }
}

fn by_hand(service: &Service, why: &str, why_ja: &str) -> Text {
    let path = &service.path;
    Text::new(
        format!("{path}: {why}; change it by hand"),
        format!("{path}: {why_ja}。手作業で変更する"),
    )
}

fn unreadable(service: &Service) -> Text {
    by_hand(
        service,
        "where its options come from cannot be told",
        "オプションの出所が分からない",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{InstalledPackage, php};
    use crate::remedy::Network as Allowed;

    const UNIT: &str = "/lib/systemd/system/memcached.service";
    const OVERRIDE: &str = "/etc/systemd/system/memcached.service.d/override.conf";
    const SYSCONFIG: &str = "/etc/sysconfig/memcached";
    const RED_HAT_UNIT: &str = "[Service]\nEnvironmentFile=-/etc/sysconfig/memcached\n\
        ExecStart=/usr/bin/memcached -p ${PORT} $OPTIONS\n";

    /// A machine with these files, as the room `host` would find it.
    fn machine(files: &[(&str, &str)]) -> Machine {
        let text = |path: &str| {
            files
                .iter()
                .find(|(known, _)| *known == path)
                .map(|(_, text)| (*text).to_owned())
        };
        let mut machine = Machine {
            packages: vec![InstalledPackage {
                manager: "rpm",
                name: "memcached".to_owned(),
                version: "1.4.15-10.el7".to_owned(),
            }],
            has_ipv6_loopback: true,
            ..Machine::default()
        };
        let mut units = Vec::new();
        for (path, text) in files {
            let file = match *path {
                path if path.contains("/systemd/") => {
                    let unit = unit_file(path, text);
                    let kind = match path {
                        UNIT => ConfigKind::SystemdUnit,
                        _ => ConfigKind::SystemdDropIn,
                    };
                    units.push(unit.clone());
                    unit.to_config(kind)
                }
                path if path.contains("sysconfig") => sysconfig(path, text),
                path if path.contains("rc.conf") => rc_conf(path, text),
                path if path.contains("php") => php(path, text),
                path if path.ends_with(".yaml") => manifest(path, text),
                path => memcached_conf(path, text),
            };
            machine.files.push(file);
        }
        let unit = compose_unit("memcached.service", &units, &mut |path| text(path));
        let read: Vec<String> = unit.iter().flat_map(|unit| unit.files.clone()).collect();
        let files = machine
            .files
            .iter()
            .filter(|file| !read.contains(&file.path));
        machine
            .services
            .extend(files.flat_map(|file| file.services.clone()));
        machine.services.extend(unit);
        machine
    }

    /// The files that change, each with a line that it has afterwards; a second plan is empty.
    #[track_caller]
    fn check(files: &[(&str, &str)], wishes: &Wishes, expected: &[(&str, &str)], by_hand: usize) {
        let read = |files: &[(&str, &str)], path: &str| {
            files
                .iter()
                .find(|(known, _)| *known == path)
                .map(|(_, text)| (*text).to_owned())
        };
        let found = plan(&machine(files), wishes, &|path| read(files, path));
        let paths: Vec<&str> = found.edits.iter().map(|edit| edit.path.as_str()).collect();
        let expected_paths: Vec<&str> = expected.iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, expected_paths, "{found:#?}");
        for (edit, (_, line)) in found.edits.iter().zip(expected) {
            assert!(
                edit.after.lines().any(|found| found == *line),
                "{line}: {}",
                edit.after
            );
        }
        assert_eq!(found.by_hand.len(), by_hand, "{found:#?}");
        let mut after: Vec<(&str, &str)> = files.to_vec();
        after.retain(|(path, _)| !paths.contains(path));
        after.extend(
            found
                .edits
                .iter()
                .map(|edit| (edit.path.as_str(), edit.after.as_str())),
        );
        // systemd reads units before their drop-ins, and those by name.
        after.sort_by_key(|(path, _)| (*path != UNIT, *path));
        let again = plan(&machine(&after), wishes, &|path| read(&after, path));
        assert_eq!(again.edits, [], "again");
    }

    #[test]
    fn the_change_goes_where_the_option_stands() {
        let none = Wishes::default();
        let both = "OPTIONS=\"-l 127.0.0.1,::1 -U 0\"";
        check(
            &[(SYSCONFIG, "OPTIONS=\"\"\n")],
            &none,
            &[(SYSCONFIG, both)],
            0,
        );
        let red_hat = [
            (UNIT, RED_HAT_UNIT),
            (SYSCONFIG, "PORT=\"11211\"\nOPTIONS=\"-l 0.0.0.0\"\n"),
        ];
        check(&red_hat, &none, &[(SYSCONFIG, both)], 0);
        // The unit itself says where to listen.
        let literal = [(UNIT, "[Service]\nExecStart=/usr/bin/memcached -l 0.0.0.0\n")];
        let drop_in = "/etc/systemd/system/memcached.service.d/memsweep.conf";
        let start = "ExecStart=/usr/bin/memcached -l 127.0.0.1,::1 -U 0";
        check(&literal, &none, &[(drop_in, start)], 0);
        // A drop-in of the administrator's comes after `memsweep.conf`.
        let overridden = [
            (UNIT, "[Service]\nExecStart=/usr/bin/memcached $OPTIONS\n"),
            (
                OVERRIDE,
                "[Service]\nEnvironment=\"OPTIONS=-l 0.0.0.0 -v\"\n",
            ),
        ];
        let later = "/etc/systemd/system/memcached.service.d/zz-memsweep.conf";
        let variable = "Environment=\"OPTIONS=-l 127.0.0.1,::1 -v -U 0\"";
        check(&overridden, &none, &[(later, variable)], 0);
        // Debian's wrapper.
        let debian = [
            (
                UNIT,
                "[Service]\nExecStart=/usr/share/memcached/scripts/systemd-memcached-wrapper /etc/memcached.conf\n",
            ),
            ("/etc/memcached.conf", "-l 0.0.0.0\n"),
        ];
        check(&debian, &none, &[("/etc/memcached.conf", "-U 0")], 0);
        let freebsd = [("/etc/rc.conf", "memcached_enable=\"YES\"\n")];
        let flags = "memcached_flags=\"-l 127.0.0.1,::1 -U 0\"";
        check(&freebsd, &none, &[("/etc/rc.conf", flags)], 0);
    }

    #[test]
    fn wishes_and_followers() {
        let at = |address: &str| address.parse().unwrap();
        let listen = Wishes {
            listen: vec![at("10.0.0.7")],
            ..Wishes::default()
        };
        let files = [
            (SYSCONFIG, "OPTIONS=\"-l 10.0.0.5\"\n"),
            (
                "/etc/php.ini",
                "session.save_handler = memcached\nsession.save_path = \"10.0.0.5:11211\"\n",
            ),
        ];
        let moved = "session.save_path = \"10.0.0.7:11211\"";
        let options = "OPTIONS=\"-l 10.0.0.7 -U 0\"";
        check(
            &files,
            &listen,
            &[("/etc/php.ini", moved), (SYSCONFIG, options)],
            0,
        );
        let allow = Wishes {
            allow: vec![Allowed::parse("10.0.0.0/24").unwrap()],
            ..Wishes::default()
        };
        check(
            &files,
            &allow,
            &[(SYSCONFIG, "OPTIONS=\"-l 10.0.0.5 -U 0\"")],
            0,
        );
    }

    #[test]
    fn what_cannot_be_changed_safely_is_left_and_said() {
        let none = Wishes::default();
        for files in [
            &[(SYSCONFIG, "OPTIONS=\"$MORE\"\n")][..],
            &[(
                UNIT,
                "[Service]\nExecStart=/bin/sh -c \"exec memcached -l 0.0.0.0\"\n",
            )],
            &[("/etc/memcached.conf", "-l notls:0.0.0.0\n")],
            &[(
                "/x.yaml",
                "services:\n  cache:\n    image: memcached\n    network_mode: host\n",
            )],
            &[(
                "/x.yaml",
                "services:\n  cache:\n    image: memcached\n    ports:\n      - {target: 11211, published: 11211}\n",
            )],
        ] {
            check(files, &none, &[], 1);
        }
        // Nothing of it runs, or nobody reaches it.
        check(
            &[("/etc/rc.conf", "memcached_enable=\"NO\"\n")],
            &none,
            &[],
            0,
        );
        check(&[("/etc/memcached.conf", "-l 127.0.0.1\n")], &none, &[], 0);
    }
}
