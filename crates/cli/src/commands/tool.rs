//! `tool`: one server, looked into by its administrator.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::tool::{
    DumpOptions, DumpTally, KeyTally, ListOptions, Server, Session, Table, ToolError, dump,
    list_keys,
};
use model::{Address, KeyRow, StatsTable};
use report::tool::{KeySummary, ToolFormat, ToolOptions, View};
use sockets::{LinkError, Security, TlsOptions};
use targets::{Hosts, Permit, SelectionBuilder, parse_target};
use wire::{Channel, Credentials};

use crate::commands::console;
use crate::configuration::read_scope;
use crate::exit::{Exit, Failure};
use crate::flags::{ToolFlags, ToolMode};
use crate::terminal;

/// A password or certificate file larger than this is a mistake.
const SECRET_BYTES_MAX: u64 = 1024 * 1024;
/// Lines of `--watch` between two heads, where it is not a terminal.
const WATCH_HEAD_EVERY: u32 = 20;
/// The password, where no file holds it.
const PASSWORD_VARIABLE: &str = "MEMSWEEP_PASSWORD";
const USER_VARIABLE: &str = "MEMSWEEP_USER";

/// `memsweep tool`.
pub(crate) fn tool(flags: ToolFlags) -> Result<Exit, Failure> {
    let options = tool_options(&flags)?;
    check_mode(&flags, &options)?;
    let (server, permit, shown) = server(&flags)?;
    let result = match flags.mode {
        ToolMode::Keys => keys(&server, &flags, &options),
        ToolMode::Dump => dump_values(&server, &permit, &flags),
        ToolMode::Console => console::run(&server, &shown, &options),
        _ => match flags.watch {
            Some(interval) => watch(&server, &flags, &options, interval),
            None => show(&server, &shown, &flags, &options),
        },
    };
    match result {
        Ok(exit) => Ok(exit),
        Err(ToolError::File(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            // Ctrl-C ends the reader of a pipe too, and may end it first.
            let is_stopped = server.stopped.load(Ordering::Relaxed);
            Ok(if is_stopped {
                Exit::Interrupted
            } else {
                Exit::Done
            })
        }
        Err(ToolError::Stopped) => Ok(Exit::Interrupted),
        Err(error) if error.is_usage() => Err(Failure::usage(format!("{shown}: {}", said(&error)))),
        Err(error) => Err(Failure::Broken(anyhow::anyhow!(
            "{shown}: {}",
            said(&error)
        ))),
    }
}

/// What a server said is in some errors, so they are escaped like everything it says.
fn said(error: &ToolError) -> String {
    let cure = match error {
        ToolError::Link(LinkError::Tls(why)) => tls_cure(why),
        _ => "",
    };
    report::escape_for_terminal(&format!("{error}{cure}"))
}

/// The option that is missing, where the TLS library's words tell.
fn tls_cure(why: &str) -> &'static str {
    if why.contains("UnknownIssuer") {
        "; name the issuer's certificate with --ca"
    } else if why.contains("not valid for name") {
        "; give the certificate's name with --server-name"
    } else if why.contains("CertificateRequired") {
        "; the server demands your certificate: give --cert and --key"
    } else {
        ""
    }
}

fn tool_options(flags: &ToolFlags) -> Result<ToolOptions, Failure> {
    let format = match flags.output.as_deref() {
        None => ToolFormat::Table,
        Some(word) => ToolFormat::parse(word).ok_or_else(|| {
            Failure::usage(format!(
                "-o {word}: no such format here; write one of text, memcached-tool, json"
            ))
        })?,
    };
    Ok(ToolOptions {
        format,
        width_columns: terminal::width_columns(),
        color: terminal::color(flags.color),
        language: terminal::language(flags.lang),
    })
}

/// An option that does nothing in a mode is a mistake of the user's, and said.
fn check_mode(flags: &ToolFlags, options: &ToolOptions) -> Result<(), Failure> {
    let listing = matches!(flags.mode, ToolMode::Keys | ToolMode::Dump);
    let refuse = |option: &str, modes: &str| {
        Err(Failure::usage(format!(
            "{option} goes with {modes}, not with {}",
            flags.mode.word()
        )))
    };
    if flags.limit.is_some() && !listing {
        return refuse("--limit", "keys and dump");
    }
    if (flags.filter.is_some() || flags.summary) && flags.mode != ToolMode::Keys {
        return refuse("--filter and --summary", "keys");
    }
    if flags.full && !matches!(flags.mode, ToolMode::Keys | ToolMode::Conns) {
        return refuse("--full", "keys and conns");
    }
    if flags.keys_only && flags.mode != ToolMode::Dump {
        return refuse("--keys-only", "dump");
    }
    if flags.watch.is_some() && !matches!(flags.mode, ToolMode::Stats | ToolMode::Display) {
        return refuse("--watch", "stats and display");
    }
    if matches!(flags.mode, ToolMode::Dump | ToolMode::Console)
        && options.format != ToolFormat::Table
    {
        return refuse("-o", "the modes that print tables");
    }
    if flags.udp && flags.tls {
        return Err(Failure::usage(
            "--udp and --tls: memcached's UDP knows no TLS",
        ));
    }
    if !flags.tls && (flags.ca.is_some() || flags.cert.is_some() || flags.insecure) {
        return Err(Failure::usage(
            "--ca, --cert, --key and --insecure go with --tls",
        ));
    }
    if flags.cert.is_some() != flags.key.is_some() {
        return Err(Failure::usage("--cert and --key go together"));
    }
    Ok(())
}

/// The one server that was named, in scope.
fn server(flags: &ToolFlags) -> Result<(Server, Permit, String), Failure> {
    let scope = read_scope(flags.scope.as_deref())?;
    let target = parse_target(&flags.target).map_err(Failure::usage)?;
    let mut builder = SelectionBuilder::new(vec![target.port.unwrap_or(11211)]);
    let mut server_name = flags.server_name.clone();
    match &target.hosts {
        Hosts::Address(address) => builder.add_address(address.clone(), target.port, None),
        Hosts::Unix(path) => {
            builder.add_address(Address::Unix(Arc::new(path.clone())), None, None);
        }
        Hosts::Name(name) => {
            let ip = sockets::resolve(name).map_err(Failure::usage)?;
            builder.add_address(Address::from_ip(ip), target.port, None);
            server_name.get_or_insert_with(|| name.clone());
        }
        Hosts::Ranges(_) | Hosts::Link { .. } | Hosts::Local => {
            return Err(Failure::usage(format!(
                "{:?}: tool looks into one server; write its address or name",
                flags.target
            )));
        }
    }
    let selection = builder.build().map_err(Failure::usage)?;
    let permit = scope.permit(selection).map_err(Failure::usage)?;
    let permitted = permit.pair(0);
    let channel = match (permitted.address(), flags.udp, flags.tls) {
        (Address::Unix(_), true, _) => {
            return Err(Failure::usage("--udp: a unix socket knows no UDP"));
        }
        (Address::Unix(_), false, _) => Channel::Unix,
        (_, true, _) => Channel::Udp,
        (_, false, true) => Channel::Tls,
        (_, false, false) => Channel::Tcp,
    };
    let security = if flags.tls {
        Security::Tls(tls_options(flags, server_name)?)
    } else {
        Security::Plain
    };
    let shown = permitted.endpoint(model::Transport::Tcp).host_and_port();
    let server = Server {
        target: permitted,
        channel,
        security,
        credentials: credentials(flags)?,
        allow_cleartext: flags.allow_cleartext,
        timeout: flags.timeout.unwrap_or(Duration::from_secs(2)),
        stopped: match flags.mode {
            // At the prompt Ctrl-C is a key, and where there is none it ends the program.
            ToolMode::Console => Arc::default(),
            _ => crate::commands::running::stop_flag(),
        },
    };
    Ok((server, permit, shown))
}

fn tls_options(flags: &ToolFlags, server_name: Option<String>) -> Result<TlsOptions, Failure> {
    let identity_pem = match (&flags.cert, &flags.key) {
        (Some(cert), Some(key)) => Some((read_small(cert)?, read_small(key)?)),
        _ => None,
    };
    Ok(TlsOptions {
        ca_pem: flags.ca.as_deref().map(read_small).transpose()?,
        identity_pem,
        insecure: flags.insecure,
        server_name,
    })
}

/// User and password: from a file or the environment, never from the command line, where every
/// user of the machine could read them.
fn credentials(flags: &ToolFlags) -> Result<Option<Credentials>, Failure> {
    let user = flags
        .user
        .clone()
        .or_else(|| std::env::var(USER_VARIABLE).ok());
    let password = match &flags.password_file {
        Some(path) => {
            let bytes = read_small(path)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| Failure::usage(format!("{}: no UTF-8 text", path.display())))?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => std::env::var(PASSWORD_VARIABLE).ok(),
    };
    match (user, password) {
        (Some(user), Some(password)) => {
            Credentials::new(user, password).map(Some).ok_or_else(|| {
                Failure::usage(
                    "the user or the password is empty, longer than 255 bytes, or holds a control \
                     character",
                )
            })
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(Failure::usage(format!(
            "a user without a password; give --password-file or {PASSWORD_VARIABLE}"
        ))),
        (None, Some(_)) => Err(Failure::usage(format!(
            "a password without a user; give --user or {USER_VARIABLE}"
        ))),
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{}: larger than 1 MiB",
            path.display()
        )));
    }
    Ok(bytes)
}

/// One table, whole or not at all.
fn show(
    server: &Server,
    shown: &str,
    flags: &ToolFlags,
    options: &ToolOptions,
) -> Result<Exit, ToolError> {
    let mut session = Session::open(server)?;
    let bytes = match flags.mode {
        ToolMode::Display => {
            let items = session.table(Table::Items)?;
            let slabs = session.table(Table::Slabs)?;
            let stats = session.table(Table::Stats)?;
            let view = View::Display {
                items: &items,
                slabs: &slabs,
                stats: Some(&stats),
            };
            report::tool::view(shown, &view, now_unix_s(), options)
        }
        mode => {
            let table = session.table(table_of(mode))?;
            report::tool::view(
                shown,
                &view_of(mode, &table, flags.full),
                now_unix_s(),
                options,
            )
        }
    };
    print(&bytes)?;
    Ok(Exit::Done)
}

fn table_of(mode: ToolMode) -> Table {
    match mode {
        ToolMode::Settings => Table::Settings,
        ToolMode::Items => Table::Items,
        ToolMode::Slabs => Table::Slabs,
        ToolMode::Sizes => Table::Sizes,
        ToolMode::Conns => Table::Conns,
        ToolMode::Display
        | ToolMode::Stats
        | ToolMode::Keys
        | ToolMode::Dump
        | ToolMode::Console => Table::Stats,
    }
}

fn view_of(mode: ToolMode, table: &StatsTable, full: bool) -> View<'_> {
    match mode {
        ToolMode::Settings => View::Settings(table),
        ToolMode::Items => View::Items(table),
        ToolMode::Slabs => View::Slabs(table),
        ToolMode::Sizes => View::Sizes(table),
        ToolMode::Conns => View::Conns {
            connections: table,
            full,
        },
        ToolMode::Display
        | ToolMode::Stats
        | ToolMode::Keys
        | ToolMode::Dump
        | ToolMode::Console => View::Stats(table),
    }
}

/// `--watch`: what changed since the last look, for ever or until Ctrl-C.
fn watch(
    server: &Server,
    flags: &ToolFlags,
    options: &ToolOptions,
    interval: Duration,
) -> Result<Exit, ToolError> {
    let stopped = &server.stopped;
    let mut session = Session::open(server)?;
    let mut before = session.table(Table::Stats)?;
    let mut at = std::time::Instant::now();
    let redraw = std::io::stdout().is_terminal();
    let mut lines: u32 = 0;
    while !stopped.load(Ordering::Relaxed) {
        let next = at + interval;
        while std::time::Instant::now() < next {
            if stopped.load(Ordering::Relaxed) {
                return Ok(Exit::Interrupted);
            }
            let left = next.saturating_duration_since(std::time::Instant::now());
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        let after = session.table(Table::Stats)?;
        let now = std::time::Instant::now();
        let seconds = (now - at).as_secs_f64();
        at = now;
        let mut bytes = Vec::new();
        if redraw && flags.mode == ToolMode::Display {
            let items = session.table(Table::Items)?;
            let slabs = session.table(Table::Slabs)?;
            let view = View::Display {
                items: &items,
                slabs: &slabs,
                stats: Some(&after),
            };
            bytes.extend_from_slice(b"\x1b[H\x1b[2J");
            bytes.extend(report::tool::view(
                &flags.target,
                &view,
                now_unix_s(),
                options,
            ));
            bytes.extend(report::tool::watch_head(options));
        } else if lines.is_multiple_of(WATCH_HEAD_EVERY) {
            bytes.extend(report::tool::watch_head(options));
        }
        bytes.extend(report::tool::watch_line(&before, &after, seconds, options));
        lines += 1;
        print(&bytes)?;
        before = after;
    }
    Ok(Exit::Interrupted)
}

fn keys(server: &Server, flags: &ToolFlags, options: &ToolOptions) -> Result<Exit, ToolError> {
    let mut session = Session::open(server)?;
    let mut spool = tempfile::tempfile()?;
    let now = now_unix_s();
    let mut summary = KeySummary::new();
    let mut out = BufWriter::new(std::io::stdout().lock());
    // The head waits for the first key, or for the end: alone it would look like an empty server.
    let mut head = Some(report::tool::keys_head(options)).filter(|_| !flags.summary);
    let mut matching: u64 = 0;
    let filter = flags.filter.as_deref().map(Glob::new);
    // With a filter, the limit counts what matches.
    let list = ListOptions {
        limit: if filter.is_none() { flags.limit } else { None },
    };
    let mut take = |key: KeyRow| -> Result<bool, ToolError> {
        if server.stopped.load(Ordering::Relaxed) {
            return Err(ToolError::Stopped);
        }
        if filter.as_ref().is_some_and(|glob| !glob.matches(&key.name)) {
            return Ok(true);
        }
        if flags.limit.is_some_and(|limit| matching >= limit) {
            return Ok(false);
        }
        matching += 1;
        if flags.summary {
            summary.add(&key, now);
        } else {
            out.write_all(&head.take().unwrap_or_default())?;
            out.write_all(&report::tool::key_line(&key, now, flags.full, options))?;
        }
        Ok(true)
    };
    let listed = list_keys(&mut session, &mut spool, list, &mut take);
    let tally: KeyTally = match listed {
        // What was found is kept, unless nothing was: then a head alone would look like no keys.
        Err(ToolError::Stopped) if matching == 0 => {
            terminal::say_error("stopped before the first key");
            return Err(ToolError::Stopped);
        }
        Err(ToolError::Stopped) => KeyTally::default(),
        listed => listed?,
    };
    // What could not be listed at all is no empty cache.
    let is_unknown = matching == 0 && tally.shortfall.is_some();
    if !is_unknown {
        out.write_all(&head.unwrap_or_default())?;
    }
    if flags.summary && !is_unknown {
        out.write_all(&report::tool::summary(&summary, options))?;
    }
    out.flush()?;
    if server.stopped.load(Ordering::Relaxed) {
        terminal::say_error(&format!("stopped after {matching} keys"));
        return Ok(Exit::Interrupted);
    }
    Ok(finish(tally.shortfall))
}

/// Says what is missing, if anything is.
fn finish(shortfall: Option<String>) -> Exit {
    match shortfall {
        Some(why) => {
            terminal::say_error(&report::escape_for_terminal(&why));
            Exit::Unfinished
        }
        None => Exit::Done,
    }
}

fn dump_values(server: &Server, permit: &Permit, flags: &ToolFlags) -> Result<Exit, ToolError> {
    let journal = Journal::begin(server, permit, flags)?;
    let mut spool = tempfile::tempfile()?;
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let options = DumpOptions {
        limit: flags.limit,
        keys_only: flags.keys_only,
    };
    let mut tally = DumpTally::default();
    let show_progress = !flags.quiet && std::io::stderr().is_terminal();
    let mut shown_at = std::time::Instant::now();
    let stopped = &server.stopped;
    let mut progress = |tally: &DumpTally| {
        if show_progress && shown_at.elapsed() > Duration::from_millis(200) {
            shown_at = std::time::Instant::now();
            let _ = write!(
                std::io::stderr().lock(),
                "\r\x1b[K{} keys, {} bytes of values",
                tally.written,
                tally.value_bytes
            );
        }
        !stopped.load(Ordering::Relaxed)
    };
    let result = dump(
        server,
        &mut spool,
        options,
        &mut out,
        &mut tally,
        &mut progress,
    );
    if show_progress {
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
    }
    // A wrong word of the user's, before anything came, needs no mark.
    let is_begun = |error: &ToolError| tally.listed > 0 || !error.is_usage();
    let is_cut = result.is_ok() && tally.is_cut;
    if is_cut || result.as_ref().is_err_and(is_begun) {
        let is_in_value = result.is_err() && tally.listed > 0 && !flags.keys_only;
        mark_incomplete(&mut out, &tally, is_in_value, is_cut);
    }
    journal.end(&tally, result.is_ok() && !is_cut)?;
    if matches!(result, Err(ToolError::Stopped)) {
        terminal::say_error(&format!("stopped after {} keys", tally.written));
    }
    result?;
    if !flags.quiet {
        let unlisted = match tally.unlisted {
            0 => String::new(),
            unlisted => format!(
                ", counted by the server and not listed (expired, or moved just then): {unlisted}"
            ),
        };
        terminal::say(&format!(
            "memsweep: keys written: {}, gone meanwhile: {}, bytes of values: {}{unlisted}",
            tally.written, tally.gone, tally.value_bytes
        ));
    }
    Ok(finish(tally.shortfall))
}

/// Marks where a dump ends that is not whole: no server takes this line, and whoever reads the file
/// sees it. That it cannot be written is no second error.
fn mark_incomplete(out: &mut dyn Write, tally: &DumpTally, is_in_value: bool, is_cut: bool) {
    let line_end = if is_in_value { "\r\n" } else { "" };
    let listing = if is_cut {
        "; the list of keys broke off"
    } else {
        ""
    };
    let _ = write!(
        out,
        "{line_end}# memsweep: incomplete, {} of {} listed keys were written{listing}\r\n",
        tally.written, tally.listed
    );
    let _ = out.flush();
}

/// Who dumped what, when, and how much: a line at the beginning and one at the end, in the user's
/// own state folder. A dump that cannot be written down is not begun.
struct Journal {
    path: PathBuf,
    line: String,
}

impl Journal {
    fn begin(server: &Server, permit: &Permit, flags: &ToolFlags) -> Result<Journal, ToolError> {
        let folder = state_folder().unwrap_or_else(|| std::env::temp_dir().join("memsweep"));
        let path = folder.join("dumps.log");
        std::fs::create_dir_all(&folder).map_err(|error| unwritable(&path, &error))?;
        let owner = permit
            .entries_used()
            .first()
            .map_or_else(|| "private network".to_owned(), |entry| entry.owner.clone());
        let user = std::env::var("USER").unwrap_or_else(|_| nix::unistd::getuid().to_string());
        let what = if flags.keys_only {
            "keys"
        } else {
            "keys and values"
        };
        let line = format!(
            "user={user:?} server={} owner={owner:?} what={what:?}",
            server
                .target
                .endpoint(model::Transport::Tcp)
                .host_and_port(),
        );
        let journal = Journal { path, line };
        journal.write("begun")?;
        Ok(journal)
    }

    fn end(self, tally: &DumpTally, whole: bool) -> Result<(), ToolError> {
        let whole = if whole { "whole" } else { "incomplete" };
        self.write(&format!(
            "keys={} bytes={} {whole}",
            tally.written, tally.value_bytes
        ))
    }

    fn write(&self, what: &str) -> Result<(), ToolError> {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let line = format!("{now} {} {what}\n", self.line);
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| unwritable(&self.path, &error))
    }
}

/// Where programs keep what they remember of a user (XDG Base Directory Specification); `None` for
/// a user without a home.
pub(crate) fn state_folder() -> Option<PathBuf> {
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))
        .map(|folder| folder.join("memsweep"))
}

fn unwritable(path: &Path, error: &std::io::Error) -> ToolError {
    let message = format!("the journal of dumps, {}: {error}", path.display());
    ToolError::File(std::io::Error::other(message))
}

/// `*` and `?` over bytes, as a shell's pattern: no special meaning of dots or slashes.
struct Glob {
    pattern: Vec<u8>,
}

impl Glob {
    fn new(pattern: &str) -> Glob {
        Glob {
            pattern: pattern.as_bytes().to_vec(),
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        let (mut at, mut of) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while of < name.len() {
            match self.pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, of));
                    at += 1;
                }
                Some(byte) if *byte == b'?' || *byte == name[of] => {
                    at += 1;
                    of += 1;
                }
                _ => match star {
                    Some((star_at, star_of)) => {
                        star = Some((star_at, star_of + 1));
                        at = star_at + 1;
                        of = star_of + 1;
                    }
                    None => return false,
                },
            }
        }
        self.pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

pub(crate) fn print(bytes: &[u8]) -> Result<(), ToolError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(())
}

pub(crate) fn now_unix_s() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("session:*", "session:abc", true),
            ("session:*", "sessions", false),
            ("*:profile", "user:7:profile", true),
            ("user:?:*", "user:77:x", false),
            ("user:??:*", "user:77:x", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
