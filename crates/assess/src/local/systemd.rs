//! Units of systemd: what a unit, its drop-ins and its environment files start together.
//!
//! Rules of systemd.syntax(7), systemd.unit(5) and systemd.exec(5): drop-ins follow the unit in
//! the order of their names, an empty `ExecStart=` forgets what came before, a list of
//! `Environment=` grows until an empty one, environment files count more than `Environment=`,
//! `$NAME` as a word of its own is split at blanks, `${NAME}` is not.

use super::files::{is_memcached, memcached_conf};
use super::place::{ConfigFile, ConfigKind, Place, Service, Setting, Word};
use super::shell::{Dialect, Placed, assignments, placed, split_value, words};

/// Lines of a unit beyond this are not read.
const LINES_MAX: usize = 10_000;
/// Words that variables may grow a command line to.
const WORDS_MAX: usize = 4096;
/// Debian's file, where its wrapper is given no other.
const WRAPPER_CONF: &str = "/etc/memcached.conf";

/// A unit or drop-in, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    /// The path as the audited machine knows it.
    pub path: String,
    /// Assignments of `[Service]`.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    value: Vec<Placed>,
    line: u32,
}

impl Entry {
    fn text(&self) -> String {
        let text: String = self.value.iter().map(|(character, _)| *character).collect();
        text.replace("\\\n", " ").trim().to_owned()
    }
}

/// Reads a unit or drop-in.
pub fn unit_file(path: &str, text: &str) -> UnitFile {
    let mut entries = Vec::new();
    let mut in_service = false;
    let mut lines = text.lines().take(LINES_MAX).zip(1_u32..);
    while let Some((line, number)) = lines.next() {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            in_service = trimmed == "[Service]";
            continue;
        }
        if !in_service || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let Some((key, value)) = trimmed.split_once('=') else {
            continue;
        };
        let mut value = value.trim_start().to_owned();
        let mut value_placed = Vec::new();
        let mut at = number;
        loop {
            let goes_on = value.ends_with('\\');
            value_placed.extend(placed(&value, at));
            if !goes_on {
                break;
            }
            value_placed.push(('\n', at));
            let next = lines.find(|(next, _)| !next.trim_start().starts_with(['#', ';']));
            let Some((next, next_number)) = next else {
                break;
            };
            (value, at) = (next.trim_end().to_owned(), next_number);
        }
        entries.push(Entry {
            key: key.trim().to_owned(),
            value: value_placed,
            line: number,
        });
    }
    UnitFile {
        path: path.to_owned(),
        entries,
    }
}

/// The file as outputs name it: its assignments that decide how memcached starts.
impl UnitFile {
    /// The file with the settings that matter.
    pub fn to_config(&self, kind: ConfigKind) -> ConfigFile {
        let mut file = ConfigFile::new(&self.path, kind);
        let matters = |entry: &&Entry| {
            matches!(
                entry.key.as_str(),
                "ExecStart" | "Environment" | "EnvironmentFile"
            )
        };
        file.settings = self
            .entries
            .iter()
            .filter(matters)
            .map(|entry| Setting {
                name: entry.key.clone(),
                value: entry.text(),
                place: Place::new(&self.path, entry.line),
            })
            .collect();
        file
    }
}

/// What a unit starts: the unit's own file first, then its drop-ins in the order in which systemd
/// reads them. `read` gives the text of an environment file, or of Debian's configuration, if it
/// is there. `None` if no `ExecStart` starts memcached.
pub fn compose_unit(
    name: &str,
    unit: &[UnitFile],
    read: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<Service> {
    let main = unit.first()?;
    let mut files: Vec<String> = unit.iter().map(|file| file.path.clone()).collect();
    let environment = environment(unit, &mut files, read);
    let starts = list(unit, "ExecStart");
    let mut found = None;
    for (path, entry) in starts {
        let words = expand(path, entry, name, &environment);
        if let Some(words) = memcached_of(words, &mut files, read) {
            found = Some(words);
        }
    }
    Some(Service {
        name: name.to_owned(),
        kind: ConfigKind::SystemdUnit,
        path: main.path.clone(),
        files,
        words: found?,
        published: None,
        is_enabled: None,
    })
}

/// The entries of a key that is a list: an empty one forgets those before it.
fn list<'unit>(unit: &'unit [UnitFile], key: &str) -> Vec<(&'unit str, &'unit Entry)> {
    let mut found = Vec::new();
    for file in unit {
        for entry in file.entries.iter().filter(|entry| entry.key == key) {
            if entry.text().is_empty() {
                found.clear();
            } else {
                found.push((file.path.as_str(), entry));
            }
        }
    }
    found
}

/// The variables that the unit's command lines see; later ones win.
fn environment(
    unit: &[UnitFile],
    files: &mut Vec<String>,
    read: &mut dyn FnMut(&str) -> Option<String>,
) -> Vec<Setting> {
    let mut variables = Vec::new();
    for (path, entry) in list(unit, "Environment") {
        for word in words(&entry.value, Dialect::Systemd) {
            if let Some((name, value)) = word.text.split_once('=') {
                variables.push(Setting {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    place: Place::new(path, word.line),
                });
            }
        }
    }
    for (_, entry) in list(unit, "EnvironmentFile") {
        let path = entry.text();
        let path = path.trim_start_matches('-').trim_matches('"');
        if let Some(text) = read(path) {
            files.push(path.to_owned());
            variables.extend(assignments(path, &text).0);
        }
    }
    variables
}

/// The words of an `ExecStart`, with its variables and specifiers put in.
fn expand(path: &str, entry: &Entry, unit: &str, environment: &[Setting]) -> Vec<Word> {
    let variable = |name: &str| {
        environment
            .iter()
            .rev()
            .find(|setting| setting.name == name)
    };
    let mut expanded = Vec::new();
    for word in words(&entry.value, Dialect::Systemd) {
        let place = Place::new(path, word.line);
        let whole = word.text.strip_prefix('$').filter(|name| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !word.is_quoted && !name.is_empty() && name.chars().all(is_name)
        });
        if let Some(name) = whole {
            if let Some(setting) = variable(name) {
                let split = split_value(&setting.value);
                expanded.extend(split.into_iter().map(|word| Word::at(word, &setting.place)));
            }
        } else {
            let (text, from) = substitute(&word.text, unit, &variable);
            expanded.push(Word::at(text, &from.unwrap_or(place)));
        }
        if expanded.len() >= WORDS_MAX {
            break;
        }
    }
    expanded.truncate(WORDS_MAX);
    if let Some(program) = expanded.first_mut() {
        // Prefixes that change how, and not what, is started.
        program.text = program
            .text
            .trim_start_matches(['@', '-', ':', '+', '!', '|'])
            .to_owned();
    }
    expanded
}

/// Puts `${NAME}`, `$$`, `%i` and `%%` in; the place of the last variable goes along.
fn substitute<'environment>(
    text: &str,
    unit: &str,
    variable: &dyn Fn(&str) -> Option<&'environment Setting>,
) -> (String, Option<Place>) {
    let instance = unit
        .split_once('@')
        .map(|(_, rest)| rest.trim_end_matches(".service"))
        .unwrap_or_default();
    let (mut result, mut from) = (String::new(), None);
    let mut rest = text;
    while let Some(at) = rest.find(['$', '%']) {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        let braced = rest
            .strip_prefix("${")
            .and_then(|inner| inner.split_once('}'));
        if let Some((name, after)) = braced {
            if let Some(setting) = variable(name) {
                result.push_str(&setting.value);
                from = Some(setting.place.clone());
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix("$$").or(rest.strip_prefix("%%")) {
            result.push_str(&rest[..1]);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("%i").or(rest.strip_prefix("%I")) {
            result.push_str(instance);
            rest = after;
        } else {
            result.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    result.push_str(rest);
    (result, from)
}

/// The command line of memcached in what a unit starts: itself, or what a shell or Debian's
/// wrapper makes of its arguments.
fn memcached_of(
    start: Vec<Word>,
    files: &mut Vec<String>,
    read: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<Vec<Word>> {
    let program = start.first()?.text.clone();
    let program = program.rsplit('/').next().unwrap_or_default();
    if is_memcached(program) {
        return Some(start);
    }
    if program == "systemd-memcached-wrapper" || program == "start-memcached" {
        let conf = start.get(1).map_or(WRAPPER_CONF, |word| word.text.as_str());
        let text = read(conf)?;
        files.push(conf.to_owned());
        let mut conf = memcached_conf(conf, &text);
        return conf.services.pop().map(|service| service.words);
    }
    // `sh -c "exec memcached …"`, `env A=b memcached …`, `nice memcached …`.
    let mut inner = Vec::new();
    for word in start.into_iter().skip(1) {
        if word.text.contains(char::is_whitespace) {
            let place = word.place.clone();
            let split = words(&placed(&word.text, 1), Dialect::Shell);
            inner.extend(split.into_iter().map(|split| Word {
                text: split.text,
                place: place.clone(),
            }));
        } else {
            inner.push(word);
        }
    }
    let begin = inner.iter().position(|word| is_memcached(&word.text))?;
    Some(inner.split_off(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED_HAT: &str = "[Unit]\nDescription=x\n\n[Service]\nEnvironmentFile=-/etc/sysconfig/memcached\n\
        ExecStart=/usr/bin/memcached -p ${PORT} -u ${USER} \\\n  -m ${CACHESIZE} $OPTIONS\n";
    const SYSCONFIG: &str =
        "PORT=\"11211\"\nUSER=\"memcached\"\nCACHESIZE=\"64\"\nOPTIONS=\"-l 0.0.0.0 -U 0\"\n";

    #[track_caller]
    fn check(unit: &[(&str, &str)], others: &[(&str, &str)], expected: Option<&str>) {
        let unit: Vec<UnitFile> = unit
            .iter()
            .map(|(path, text)| unit_file(path, text))
            .collect();
        let mut read = |path: &str| {
            let found = others.iter().find(|(known, _)| *known == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        let service = compose_unit("memcached@x.service", &unit, &mut read);
        let found = service.map(|service| {
            let words = service.words.iter().map(|word| {
                let place = word.place.as_ref().map_or("-".to_owned(), Place::to_string);
                format!("{} {}", word.text, place)
            });
            words.collect::<Vec<String>>().join("; ")
        });
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn units_drop_ins_and_environment_together() {
        check(
            &[("/u", RED_HAT)],
            &[("/etc/sysconfig/memcached", SYSCONFIG)],
            Some(
                "/usr/bin/memcached /u:6; -p /u:6; 11211 /etc/sysconfig/memcached:1; -u /u:6; \
                 memcached /etc/sysconfig/memcached:2; -m /u:7; 64 /etc/sysconfig/memcached:3; \
                 -l /etc/sysconfig/memcached:4; 0.0.0.0 /etc/sysconfig/memcached:4; \
                 -U /etc/sysconfig/memcached:4; 0 /etc/sysconfig/memcached:4",
            ),
        );
        // A drop-in without a reset would be a second command; with it, it is the only one.
        let drop_in = "[Service]\nExecStart=\nExecStart=/usr/bin/memcached -l %i $$x\n";
        check(
            &[("/u", RED_HAT), ("/u.d/a.conf", drop_in)],
            &[],
            Some(
                "/usr/bin/memcached /u.d/a.conf:3; -l /u.d/a.conf:3; x /u.d/a.conf:3; $x /u.d/a.conf:3",
            ),
        );
        // Environment= of a drop-in, and the file that counts more.
        let environment = "[Service]\nEnvironment=OPTIONS=\"-l 1.1.1.1\"\n";
        check(
            &[
                ("/u", RED_HAT),
                ("/d", "[Service]\nEnvironment='OPTIONS=-l 127.0.0.1'\n"),
            ],
            &[],
            Some(
                "/usr/bin/memcached /u:6; -p /u:6;  /u:6; -u /u:6;  /u:6; -m /u:7;  /u:7; \
                 -l /d:2; 127.0.0.1 /d:2",
            ),
        );
        check(
            &[("/u", RED_HAT), ("/d", environment)],
            &[(
                "/etc/sysconfig/memcached",
                "PORT=1\nUSER=u\nCACHESIZE=2\nOPTIONS=-vv\n",
            )],
            Some(
                "/usr/bin/memcached /u:6; -p /u:6; 1 /etc/sysconfig/memcached:1; -u /u:6; \
                 u /etc/sysconfig/memcached:2; -m /u:7; 2 /etc/sysconfig/memcached:3; \
                 -vv /etc/sysconfig/memcached:4",
            ),
        );
    }

    #[test]
    fn wrappers_and_shells() {
        let wrapper = "[Service]\nExecStart=/usr/share/memcached/scripts/systemd-memcached-wrapper /etc/memcached.conf\n";
        check(
            &[("/u", wrapper)],
            &[("/etc/memcached.conf", "-l 127.0.0.1\n")],
            Some("/usr/bin/memcached -; -l /etc/memcached.conf:1; 127.0.0.1 /etc/memcached.conf:1"),
        );
        check(&[("/u", wrapper)], &[], None);
        check(
            &[(
                "/u",
                "[Service]\nExecStart=-/bin/sh -c 'exec memcached -l ::1'\n",
            )],
            &[],
            Some("memcached /u:2; -l /u:2; ::1 /u:2"),
        );
        check(
            &[("/u", "[Service]\nExecStart=/usr/bin/redis\n")],
            &[],
            None,
        );
        check(
            &[("/u", "[Install]\nExecStart=/usr/bin/memcached\n")],
            &[],
            None,
        );
        check(&[], &[], None);
    }
}
