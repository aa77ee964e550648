//! Where something was written: file, line, and what kind of file it is.

use super::manifests::Published;
use super::sessions::Sessions;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The path as the audited machine knows it: below its own root.
    pub path: String,
    /// The line, counted from 1.
    pub line: u32,
}

impl Place {
    /// A line of a file.
    pub fn new(path: impl Into<String>, line: u32) -> Place {
        Place {
            path: path.into(),
            line,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.path, self.line)
    }
}

/// One word of a command line, and where it was written. A word of a running process has no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word, with quotes and escapes taken off.
    pub text: String,
    /// Where it was written.
    pub place: Option<Place>,
}

impl Word {
    /// A word of a file.
    pub fn at(text: impl Into<String>, place: &Place) -> Word {
        Word {
            text: text.into(),
            place: Some(place.clone()),
        }
    }

    /// A word that was read from a running process.
    pub fn bare(text: impl Into<String>) -> Word {
        Word {
            text: text.into(),
            place: None,
        }
    }
}

/// The kinds of file that say how memcached is started, published or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigKind {
    /// `/etc/sysconfig/memcached`: PORT, USER, MAXCONN, CACHESIZE, OPTIONS (Red Hat).
    Sysconfig,
    /// `/etc/memcached.conf`: one option a line (Debian).
    MemcachedConf,
    /// `/etc/default/memcached`: `ENABLE_MEMCACHED` (Debian).
    EtcDefault,
    /// A unit of systemd.
    SystemdUnit,
    /// A file in a unit's folder `NAME.service.d`.
    SystemdDropIn,
    /// `/etc/rc.conf` of FreeBSD.
    RcConf,
    /// A property list of launchd, as Homebrew installs it.
    Plist,
    /// A recipe of a container image.
    Dockerfile,
    /// A compose file.
    Compose,
    /// Kubernetes manifests.
    Kubernetes,
    /// Values of a Helm chart.
    HelmValues,
    /// `php.ini`, a file of its `conf.d`, or a pool of php-fpm.
    Php,
}

impl ConfigKind {
    /// The word used in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            ConfigKind::Sysconfig => "sysconfig",
            ConfigKind::MemcachedConf => "memcached.conf",
            ConfigKind::EtcDefault => "default",
            ConfigKind::SystemdUnit => "systemd-unit",
            ConfigKind::SystemdDropIn => "systemd-drop-in",
            ConfigKind::RcConf => "rc.conf",
            ConfigKind::Plist => "plist",
            ConfigKind::Dockerfile => "dockerfile",
            ConfigKind::Compose => "compose",
            ConfigKind::Kubernetes => "kubernetes",
            ConfigKind::HelmValues => "helm-values",
            ConfigKind::Php => "php",
        }
    }
}

/// A variable or key that is no option of memcached by itself: `OPTIONS`, `PORT`,
/// `ENABLE_MEMCACHED`, `memcached_flags`, `session.save_path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name as the file spells it.
    pub name: String,
    /// The value with quotes taken off.
    pub value: String,
    /// Where its assignment begins.
    pub place: Place,
}

/// What one file says. For systemd, a file says only its part; what the unit and its drop-ins
/// amount to is a [`Service`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// The path as the audited machine knows it.
    pub path: String,
    /// What kind of file it is.
    pub kind: ConfigKind,
    /// Assignments and keys, in the order of the file. Later ones win.
    pub settings: Vec<Setting>,
    /// Command lines of memcached that this file starts by itself, or feeds to whoever starts it:
    /// for a sysconfig file the words that the distribution's unit makes of it, program included.
    pub services: Vec<Service>,
    /// PHP sessions that are kept in memcached.
    pub sessions: Vec<Sessions>,
    /// What could not be understood: one sentence each, English, with its line.
    pub anomalies: Vec<String>,
}

impl ConfigFile {
    /// A file of which nothing is known yet.
    pub fn new(path: impl Into<String>, kind: ConfigKind) -> ConfigFile {
        ConfigFile {
            path: path.into(),
            kind,
            settings: Vec::new(),
            services: Vec::new(),
            sessions: Vec::new(),
            anomalies: Vec::new(),
        }
    }

    /// The last assignment of this name.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings
            .iter()
            .rev()
            .find(|setting| setting.name == name)
    }
}

/// One memcached that a configuration would start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// A name for people: the unit, the compose service, the Kubernetes object.
    pub name: String,
    /// The kind of file that decides.
    pub kind: ConfigKind,
    /// The file that starts it.
    pub path: String,
    /// Every file that had a say, in the order in which they were read.
    pub files: Vec<String>,
    /// The whole command line, program first; each word with its place where it has one.
    pub words: Vec<Word>,
    /// How the outside comes to it: `None` where it stands in this machine's own network, a list
    /// (perhaps empty) where it stands in one of its own.
    pub published: Option<Vec<Published>>,
    /// Whether it is switched on, where the files say so.
    pub is_enabled: Option<bool>,
}
