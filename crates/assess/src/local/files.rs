//! Configuration files of distributions: Red Hat's sysconfig, Debian's memcached.conf and
//! `/etc/default`, FreeBSD's rc.conf, and the property lists of launchd.

use super::place::{ConfigFile, ConfigKind, Place, Service, Setting, Word};
use super::shell::{assignments, split_value};

/// More words than this are no command line.
const WORDS_MAX: usize = 4096;

/// `/etc/sysconfig/memcached`. The service in it is what Red Hat's unit makes of the variables:
/// `memcached -p ${PORT} -u ${USER} -m ${CACHESIZE} -c ${MAXCONN} $OPTIONS`.
pub fn sysconfig(path: &str, text: &str) -> ConfigFile {
    let mut file = ConfigFile::new(path, ConfigKind::Sysconfig);
    (file.settings, file.anomalies) = assignments(path, text);
    let mut words = vec![Word::bare("memcached")];
    for (name, option) in [
        ("PORT", "-p"),
        ("USER", "-u"),
        ("CACHESIZE", "-m"),
        ("MAXCONN", "-c"),
    ] {
        if let Some(setting) = file
            .setting(name)
            .filter(|setting| !setting.value.is_empty())
        {
            words.push(Word::at(option, &setting.place));
            words.push(Word::at(&setting.value, &setting.place));
        }
    }
    if let Some(options) = file.setting("OPTIONS") {
        let split = split_value(&options.value).into_iter().take(WORDS_MAX);
        words.extend(split.map(|word| Word::at(word, &options.place)));
    }
    let name = name_of(path, "memcached.", "memcached@");
    add_service(&mut file, name, words, None);
    file
}

/// `/etc/memcached.conf`, one option a line, as Debian's wrapper reads it: comments are cut, lines
/// of `-d` and `-h` and lines that are no option are dropped, the rest is split at blanks.
pub fn memcached_conf(path: &str, text: &str) -> ConfigFile {
    let mut file = ConfigFile::new(path, ConfigKind::MemcachedConf);
    let mut words = vec![Word::bare("/usr/bin/memcached")];
    for (index, line) in text.lines().enumerate() {
        let line = without_comment(line).trim();
        if !line.starts_with('-') || line.starts_with("-d") || line.starts_with("-h") {
            continue;
        }
        let place = Place::new(path, u32::try_from(index + 1).unwrap_or(u32::MAX));
        if words.len() >= WORDS_MAX {
            file.anomalies
                .push(format!("line {}: more than {WORDS_MAX} words", place.line));
            break;
        }
        let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        file.settings.push(Setting {
            name: name.to_owned(),
            value: value.trim().to_owned(),
            place: place.clone(),
        });
        let shell_words = line.split_whitespace().map(unquoted);
        words.extend(shell_words.map(|word| Word::at(word, &place)));
    }
    let name = name_of(path, "memcached_", "memcached@");
    add_service(&mut file, name, words, None);
    file
}

/// `/etc/default/memcached`: it starts nothing, but may say that nothing is to be started.
pub fn etc_default(path: &str, text: &str) -> ConfigFile {
    let mut file = ConfigFile::new(path, ConfigKind::EtcDefault);
    (file.settings, file.anomalies) = assignments(path, text);
    file
}

/// `/etc/rc.conf`: FreeBSD's script starts `memcached -d -u nobody ${memcached_flags}`.
pub fn rc_conf(path: &str, text: &str) -> ConfigFile {
    let mut file = ConfigFile::new(path, ConfigKind::RcConf);
    let (settings, anomalies) = assignments(path, text);
    let ours = settings
        .into_iter()
        .filter(|setting| setting.name.starts_with("memcached_"));
    file.settings = ours.collect();
    file.anomalies = anomalies;
    let enabled = file.setting("memcached_enable").map(|setting| {
        let value = setting.value.to_ascii_lowercase();
        matches!(value.as_str(), "yes" | "true" | "on" | "1")
    });
    if file.settings.is_empty() {
        return file;
    }
    let mut words = vec![Word::bare("memcached"), Word::bare("-d")];
    if let Some(user) = file.setting("memcached_user") {
        words.extend([Word::bare("-u"), Word::at(&user.value, &user.place)]);
    } else {
        words.extend([Word::bare("-u"), Word::bare("nobody")]);
    }
    if let Some(flags) = file.setting("memcached_flags") {
        let split = split_value(&flags.value).into_iter().take(WORDS_MAX);
        words.extend(split.map(|word| Word::at(word, &flags.place)));
    }
    add_service(
        &mut file,
        "memcached".to_owned(),
        words,
        Some(enabled.unwrap_or(false)),
    );
    file
}

/// A property list of launchd: the strings below the key `ProgramArguments`.
pub fn plist(path: &str, text: &str) -> ConfigFile {
    let mut file = ConfigFile::new(path, ConfigKind::Plist);
    if text.starts_with("bplist") {
        file.anomalies
            .push("a binary property list is not read".to_owned());
        return file;
    }
    let Some(key) = text.find("<key>ProgramArguments</key>") else {
        file.anomalies.push("no ProgramArguments".to_owned());
        return file;
    };
    let end = text[key..]
        .find("</array>")
        .map_or(text.len(), |end| key + end);
    let mut words = Vec::new();
    let mut at = key;
    while let Some(open) = text[at..end].find("<string>") {
        let begin = at + open + "<string>".len();
        let Some(length) = text[begin..end].find("</string>") else {
            file.anomalies.push("a <string> is never closed".to_owned());
            break;
        };
        let before = text[..begin].bytes().filter(|byte| *byte == b'\n').count();
        let place = Place::new(path, u32::try_from(before + 1).unwrap_or(u32::MAX));
        words.push(Word::at(
            without_entities(&text[begin..begin + length]),
            &place,
        ));
        at = begin + length;
        if words.len() == WORDS_MAX {
            file.anomalies.push(format!("more than {WORDS_MAX} words"));
            break;
        }
    }
    let is_memcached = words.first().is_some_and(|word| is_memcached(&word.text));
    if is_memcached {
        add_service(&mut file, "memcached".to_owned(), words, None);
    }
    file
}

/// Whether a program's path names memcached itself: `memcached`, `/opt/memcached-1.4.15`, and not
/// `memcached-tool` or `memcached_exporter`.
pub fn is_memcached(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    let Some(rest) = name.strip_prefix("memcached") else {
        return false;
    };
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    rest == "debug"
        || rest
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn add_service(file: &mut ConfigFile, name: String, words: Vec<Word>, is_enabled: Option<bool>) {
    file.services.push(Service {
        name,
        kind: file.kind,
        path: file.path.clone(),
        files: vec![file.path.clone()],
        words,
        published: None,
        is_enabled,
    });
}

/// `memcached`, or the name of a further instance that the file's name holds.
fn name_of(path: &str, prefix: &str, unit: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let instance = file
        .strip_prefix(prefix)
        .map(|rest| rest.trim_end_matches(".conf"));
    match instance {
        Some(instance) if !instance.is_empty() && instance != "conf" => format!("{unit}{instance}"),
        _ => "memcached".to_owned(),
    }
}

/// What the wrapper leaves of a line: everything from a `#` on is cut that no backslash protects.
fn without_comment(line: &str) -> &str {
    let mut before = None;
    for (index, character) in line.char_indices() {
        if character == '#' && before != Some('\\') {
            return &line[..index];
        }
        before = Some(character);
    }
    line
}

fn unquoted(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '"' | '\'')).collect()
}

fn without_entities(text: &str) -> String {
    let text = text.trim();
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &ConfigFile, expected: &[(&str, u32)]) {
        let words: Vec<(&str, u32)> = file.services[0]
            .words
            .iter()
            .map(|word| {
                (
                    word.text.as_str(),
                    word.place.as_ref().map_or(0, |place| place.line),
                )
            })
            .collect();
        assert_eq!(words, expected);
    }

    #[test]
    fn red_hat() {
        let text = "PORT=\"11211\"\nUSER=\"memcached\"\nMAXCONN=\"1024\"\nCACHESIZE=\"64\"\n\
                    OPTIONS=\"-l 0.0.0.0 -vv\"\n";
        let file = sysconfig("/etc/sysconfig/memcached", text);
        check(
            &file,
            &[
                ("memcached", 0),
                ("-p", 1),
                ("11211", 1),
                ("-u", 2),
                ("memcached", 2),
                ("-m", 4),
                ("64", 4),
                ("-c", 3),
                ("1024", 3),
                ("-l", 5),
                ("0.0.0.0", 5),
                ("-vv", 5),
            ],
        );
        let other = sysconfig("/etc/sysconfig/memcached.11212", "");
        assert_eq!(other.services[0].name, "memcached@11212");
    }

    #[test]
    fn debian() {
        let text =
            "# -l 1.2.3.4\n-d\nlogfile /x\n-m 64 # why\n -p 11211\r\n--listen \"0.0.0.0\"\n-h\n";
        check(
            &memcached_conf("/etc/memcached.conf", text),
            &[
                ("/usr/bin/memcached", 0),
                ("-m", 4),
                ("64", 4),
                ("-p", 5),
                ("11211", 5),
                ("--listen", 6),
                ("0.0.0.0", 6),
            ],
        );
        let other = memcached_conf("/etc/memcached_sessions.conf", "");
        assert_eq!(other.services[0].name, "memcached@sessions");
    }

    #[test]
    fn freebsd() {
        let text =
            "sshd_enable=\"YES\"\nmemcached_enable=\"YES\"\nmemcached_flags=\"-l 0.0.0.0\"\n";
        let file = rc_conf("/etc/rc.conf", text);
        assert_eq!(file.services[0].is_enabled, Some(true));
        assert_eq!(file.settings.len(), 2);
        check(
            &file,
            &[
                ("memcached", 0),
                ("-d", 0),
                ("-u", 0),
                ("nobody", 0),
                ("-l", 3),
                ("0.0.0.0", 3),
            ],
        );
        assert_eq!(rc_conf("/etc/rc.conf", "a=1\n").services, []);
    }

    #[test]
    fn launchd() {
        let text = "<plist>\n<dict>\n<key>ProgramArguments</key>\n<array>\n\
                    <string>/opt/homebrew/opt/memcached/bin/memcached</string>\n\
                    <string>-l</string>\n<string>a&amp;b</string>\n</array>\n\
                    <string>no</string></dict></plist>";
        check(
            &plist("/x.plist", text),
            &[
                ("/opt/homebrew/opt/memcached/bin/memcached", 5),
                ("-l", 6),
                ("a&b", 7),
            ],
        );
        for (text, anomaly) in [
            ("bplist00", "a binary property list is not read"),
            ("<plist/>", "no ProgramArguments"),
            (
                "<key>ProgramArguments</key><array><string>",
                "a <string> is never closed",
            ),
        ] {
            let file = plist("/x.plist", text);
            assert_eq!(
                (file.anomalies, file.services.len()),
                (vec![anomaly.to_owned()], 0)
            );
        }
    }

    #[test]
    fn programs_that_are_memcached() {
        for (program, expected) in [
            ("memcached", true),
            ("/usr/local/bin/memcached", true),
            ("/opt/memcached-1.4.15", true),
            ("memcached-debug", true),
            ("memcached-tool", false),
            ("memcached_exporter", false),
            ("python3", false),
        ] {
            assert_eq!(is_memcached(program), expected, "{program}");
        }
    }

    #[test]
    fn huge_files_end() {
        let file = memcached_conf("/etc/memcached.conf", &"-v\n".repeat(100_000));
        assert_eq!(file.services[0].words.len(), WORDS_MAX);
        assert_eq!(file.anomalies.len(), 1);
    }
}
