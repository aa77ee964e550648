//! Configuration files where distributions keep them, and what they start together.

use std::collections::BTreeMap;

use assess::local::{
    ConfigFile, ConfigKind, Machine, Service, Trouble, UnitFile, compose_unit, etc_default,
    memcached_conf, php, plist, rc_conf, sysconfig, unit_file,
};

use crate::root::Root;

/// Configuration files are read up to here; the largest honest one has some kilobytes.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Files of one kind that are looked at.
const FILES_MAX: usize = 1000;
/// Where systemd looks for units, the most important folder first (systemd.unit(5)).
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Endings of copies that nobody loads.
const COPIES: [&str; 9] = [
    ".rpmnew",
    ".rpmsave",
    ".rpmorig",
    ".dpkg-dist",
    ".dpkg-old",
    ".dpkg-new",
    ".bak",
    ".orig",
    "~",
];

type Parser = fn(&str, &str) -> ConfigFile;

/// Reads all of them.
pub(crate) fn look(root: &Root, machine: &mut Machine) {
    let mut look = Look { root, machine };
    let before = look.machine.files.len();
    look.folder("/etc/sysconfig", &["memcached"], "", sysconfig);
    look.folder("/etc", &["memcached"], ".conf", memcached_conf);
    for path in [
        "/etc/rc.conf",
        "/etc/rc.conf.local",
        "/etc/rc.conf.d/memcached",
    ] {
        look.file(path, rc_conf);
    }
    for folder in [
        "/Library/LaunchDaemons",
        "/opt/homebrew/opt/memcached",
        "/usr/local/opt/memcached",
    ] {
        look.folder(
            folder,
            &["homebrew.mxcl.memcached", "memcached", "org.memcached"],
            ".plist",
            plist,
        );
    }
    look.file("/etc/default/memcached", etc_default);
    look.php();
    let services = look.units();
    let files = &look.machine.files[before..];
    let disabled = files.iter().any(|file| {
        let setting = file.setting("ENABLE_MEMCACHED");
        setting.is_some_and(|setting| setting.value.eq_ignore_ascii_case("no"))
    });
    // A file that a unit reads has its say there; one whose unit reads another has none.
    let by_themselves = files
        .iter()
        .flat_map(|file| &file.services)
        .filter(|service| {
            let unit_name = format!("{}.service", service.name);
            let decides =
                |unit: &Service| unit.name == unit_name || unit.files.contains(&service.path);
            !services.iter().any(decides)
        });
    let mut all: Vec<Service> = by_themselves.cloned().collect();
    all.extend(services);
    for service in &mut all {
        if disabled && service.kind == ConfigKind::MemcachedConf {
            service.is_enabled = Some(false);
        }
    }
    machine.services.extend(all);
}

struct Look<'look> {
    root: &'look Root,
    machine: &'look mut Machine,
}

impl Look<'_> {
    fn text(&mut self, path: &str) -> Option<String> {
        self.root
            .text(path, FILE_BYTES_MAX, &mut self.machine.troubles)
    }

    /// Reads one file, if it is there and says anything.
    fn file(&mut self, path: &str, parse: Parser) {
        let Some(text) = self.text(path) else { return };
        let file = parse(path, &text);
        self.add(file);
    }

    fn add(&mut self, file: ConfigFile) {
        self.machine
            .troubles
            .extend(file.anomalies.iter().map(|what| Trouble {
                path: file.path.clone(),
                what: what.clone(),
                hides: true,
            }));
        // Files that are not about memcached, such as most of PHP's, say nothing here.
        if !(file.settings.is_empty() && file.services.is_empty() && file.sessions.is_empty()) {
            self.machine.files.push(file);
        }
    }

    /// Reads the files of a folder that begin with one of the names and have an ending.
    fn folder(&mut self, folder: &str, begins: &[&str], end: &str, parse: Parser) {
        let names = self.root.names(folder, &mut self.machine.troubles);
        let fits = |name: &&String| {
            begins.iter().any(|begin| name.starts_with(begin))
                && name.ends_with(end)
                && !COPIES.iter().any(|copy| name.ends_with(copy))
        };
        for name in names.iter().filter(fits).take(FILES_MAX) {
            self.file(&format!("{folder}/{name}"), parse);
        }
    }

    fn php(&mut self) {
        for path in [
            "/etc/php.ini",
            "/usr/local/etc/php.ini",
            "/usr/local/lib/php.ini",
            "/etc/php-fpm.conf",
        ] {
            self.file(path, php);
        }
        for folder in ["/etc/php.d", "/usr/local/etc/php/conf.d"] {
            self.folder(folder, &[""], ".ini", php);
        }
        for folder in ["/etc/php-fpm.d", "/usr/local/etc/php-fpm.d"] {
            self.folder(folder, &[""], ".conf", php);
        }
        // Debian: a folder for each release, in it one for each way to run PHP.
        for release in self
            .root
            .names("/etc/php", &mut self.machine.troubles)
            .iter()
            .take(FILES_MAX)
        {
            let below = format!("/etc/php/{release}");
            for way in self
                .root
                .names(&below, &mut self.machine.troubles)
                .iter()
                .take(FILES_MAX)
            {
                self.file(&format!("{below}/{way}/php.ini"), php);
                self.folder(&format!("{below}/{way}/conf.d"), &[""], ".ini", php);
                self.folder(&format!("{below}/{way}/pool.d"), &[""], ".conf", php);
            }
        }
    }

    /// What units of memcached start, drop-ins and instances of templates included.
    fn units(&mut self) -> Vec<Service> {
        let mut units: BTreeMap<String, Option<bool>> = BTreeMap::new();
        for folder in UNIT_FOLDERS {
            for name in self.root.names(folder, &mut self.machine.troubles) {
                if is_unit(&name) && !name.contains("@.") {
                    units.entry(name).or_default();
                } else if name.ends_with(".wants") {
                    let wanted = format!("{folder}/{name}");
                    for unit in self.root.names(&wanted, &mut self.machine.troubles) {
                        if is_unit(&unit) {
                            units.insert(unit, Some(true));
                        }
                    }
                }
            }
        }
        let units = units.into_iter().take(FILES_MAX);
        let services = units.filter_map(|(name, is_enabled)| {
            let mut service = self.unit(&name)?;
            service.is_enabled = is_enabled;
            Some(service)
        });
        services.collect()
    }

    fn unit(&mut self, name: &str) -> Option<Service> {
        let template = name
            .split_once('@')
            .map(|(before, _)| format!("{before}@.service"));
        let names: Vec<&str> = std::iter::once(name).chain(template.as_deref()).collect();
        let main = names.iter().find_map(|name| self.first_of_folders(name))?;
        let mut files: Vec<UnitFile> = vec![main];
        files.extend(self.drop_ins(&names));
        for (index, file) in files.iter().enumerate() {
            let kind = if index == 0 {
                ConfigKind::SystemdUnit
            } else {
                ConfigKind::SystemdDropIn
            };
            let config = file.to_config(kind);
            let is_known = self
                .machine
                .files
                .iter()
                .any(|known| known.path == config.path);
            if !is_known {
                self.add(config);
            }
        }
        let root = self.root;
        let troubles = &mut self.machine.troubles;
        compose_unit(name, &files, &mut |path| {
            root.text(path, FILE_BYTES_MAX, troubles)
        })
    }

    /// The unit's file in the most important folder that has it; one that is masked is none.
    fn first_of_folders(&mut self, name: &str) -> Option<UnitFile> {
        for folder in UNIT_FOLDERS {
            let path = format!("{folder}/{name}");
            if self
                .root
                .link(&path)
                .is_ok_and(|target| target == "/dev/null")
            {
                return None;
            }
            if let Some(text) = self.text(&path) {
                return Some(unit_file(&path, &text));
            }
        }
        None
    }

    /// The drop-ins of a unit, by name; of two with one name, the more important folder's counts.
    fn drop_ins(&mut self, names: &[&str]) -> Vec<UnitFile> {
        let mut paths: BTreeMap<String, String> = BTreeMap::new();
        for folder in UNIT_FOLDERS {
            for name in names {
                let below = format!("{folder}/{name}.d");
                for file in self.root.names(&below, &mut self.machine.troubles) {
                    if file.ends_with(".conf") {
                        let path = format!("{below}/{file}");
                        paths.entry(file).or_insert(path);
                    }
                }
            }
        }
        let paths: Vec<String> = paths.into_values().take(FILES_MAX).collect();
        paths
            .iter()
            .filter_map(|path| self.text(path).map(|text| unit_file(path, &text)))
            .collect()
    }
}

fn is_unit(name: &str) -> bool {
    name.starts_with("memcached") && name.ends_with(".service")
}
