//! PHP sessions that are kept in memcached: `session.save_handler` and `session.save_path`.

use super::place::{ConfigFile, ConfigKind, Place, Setting};

/// Sessions that a PHP configuration sends to memcached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// `memcached` or `memcache`, as the file says.
    pub handler: String,
    /// The servers, `host:port` or a socket's path, as `session.save_path` lists them.
    pub servers: Vec<String>,
    /// Where `session.save_path` is set, or the handler where no path is.
    pub place: Place,
}

/// Reads `php.ini`, a file of `conf.d`, or a pool of php-fpm (`php_value[session.save_path] = …`).
pub fn php(path: &str, text: &str) -> ConfigFile {
    let mut file = ConfigFile::new(path, ConfigKind::Php);
    let (mut handler, mut section): (Option<Setting>, Option<Setting>) = (None, None);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        // A new pool begins: what the one before it said is complete.
        if line.starts_with('[') {
            close(&mut file, &mut handler, &mut section);
            continue;
        }
        let Some((name, value)) = assignment(line) else {
            continue;
        };
        let place = Place::new(path, u32::try_from(index + 1).unwrap_or(u32::MAX));
        let setting = Setting {
            name: name.to_owned(),
            value,
            place,
        };
        match name {
            "session.save_handler" => handler = Some(setting.clone()),
            "session.save_path" => section = Some(setting.clone()),
            _ => continue,
        }
        file.settings.push(setting);
    }
    close(&mut file, &mut handler, &mut section);
    file
}

/// Adds the sessions of one section, if they go to memcached. `php.ini` has sections that only
/// look like such ([Session]); its two settings stand in the same one.
fn close(file: &mut ConfigFile, handler: &mut Option<Setting>, path: &mut Option<Setting>) {
    let (Some(handler), path) = (handler.take(), path.take()) else {
        return;
    };
    if !matches!(handler.value.as_str(), "memcache" | "memcached") {
        return;
    }
    let servers = path
        .as_ref()
        .map(|path| servers(&path.value))
        .unwrap_or_default();
    file.sessions.push(Sessions {
        handler: handler.value,
        servers,
        place: path.map_or(handler.place, |path| path.place),
    });
}

/// `name = value`, also as a pool of php-fpm writes it; `None` for comments.
fn assignment(line: &str) -> Option<(&str, String)> {
    if line.starts_with([';', '#']) {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    let mut name = name.trim();
    for prefix in ["php_value[", "php_admin_value["] {
        if let Some(inner) = name.strip_prefix(prefix) {
            name = inner.strip_suffix(']')?;
        }
    }
    let value = value.trim();
    let quoted = ['"', '\''].iter().find_map(|quote| {
        let inner = value.strip_prefix(*quote)?;
        inner.split_once(*quote).map(|(inner, _)| inner)
    });
    let value = quoted.unwrap_or_else(|| value.split(';').next().unwrap_or_default().trim());
    Some((name, value.to_owned()))
}

/// `tcp://a:11211?weight=1, tcp://b:11211` and `a:11211,b:11211:5` and `unix:///run/x`.
fn servers(path: &str) -> Vec<String> {
    // `PERSISTENT=pool a:11211` is how the older extension names its pool.
    let path = path
        .split_whitespace()
        .filter(|word| !word.starts_with("PERSISTENT="));
    let path: Vec<&str> = path.collect();
    let path = path.join("");
    path.split(',')
        .map(|server| {
            let server = server.split('?').next().unwrap_or_default();
            let server = server.strip_prefix("tcp://").unwrap_or(server);
            server.strip_prefix("unix://").unwrap_or(server)
        })
        .filter(|server| !server.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &[&str], u32)]) {
        let file = php("/etc/php.ini", text);
        let found: Vec<(&str, Vec<&str>, u32)> = file
            .sessions
            .iter()
            .map(|sessions| {
                let servers = sessions.servers.iter().map(String::as_str).collect();
                (sessions.handler.as_str(), servers, sessions.place.line)
            })
            .collect();
        let expected: Vec<(&str, Vec<&str>, u32)> = expected
            .iter()
            .map(|(handler, servers, line)| (*handler, servers.to_vec(), *line))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn sessions_are_found_in_every_spelling() {
        check(
            "session.save_handler = files\nsession.save_path = \"/tmp\"\n",
            &[],
        );
        check("; session.save_handler = memcached\n", &[]);
        check(
            "[Session]\nsession.save_handler = memcached\n; session.save_path = \"x\"\n\
             session.save_path = \"10.0.0.5:11211,10.0.0.6:11211\"\n",
            &[("memcached", &["10.0.0.5:11211", "10.0.0.6:11211"], 4)],
        );
        check(
            "session.save_path='tcp://h:11211?persistent=1, tcp://i:1'\n\
             session.save_handler=memcache ; why\n",
            &[("memcache", &["h:11211", "i:1"], 1)],
        );
        check(
            "[www]\nphp_value[session.save_handler] = memcached\n\
             php_admin_value[session.save_path] = unix:///run/m.sock\n[other]\nuser = x\n",
            &[("memcached", &["/run/m.sock"], 3)],
        );
        check(
            "session.save_handler = memcached\n",
            &[("memcached", &[], 1)],
        );
    }
}
