//! `tool … console`: an interactive prompt over any transport, for reading only.

use std::fs::DirBuilder;
use std::io::{BufRead, IsTerminal, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use engine::tool::{Server, Session, Table, ToolError};
use model::Language;
use report::tool::{ToolOptions, View};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use crate::exit::Exit;
use crate::terminal;

/// The longest line that is taken from a pipe at once; no command is nearly as long.
const LINE_BYTES_MAX: u64 = 4 * 1024;

/// What can be typed.
const COMMANDS: [(&str, &str); 12] = [
    ("version", "the version that the server gives itself"),
    ("stats", "general statistics, with values decoded"),
    ("stats settings", "how it was started"),
    ("stats items", "what each slab class holds"),
    ("stats slabs", "how memory is cut up"),
    ("stats sizes", "how many items of which size"),
    ("stats conns", "who is connected, counted"),
    ("display", "slab classes as a table"),
    ("explain", "stats, each field with its meaning"),
    (
        "help",
        "this list; `help FIELD` explains a field, such as `help evictions`",
    ),
    ("quit", "leave (Ctrl-D too)"),
    ("exit", "leave"),
];

/// What would change the server, and is refused with the reason.
const CHANGING: [&str; 24] = [
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "delete",
    "incr",
    "decr",
    "touch",
    "gat",
    "gats",
    "flush_all",
    "cache_memlimit",
    "verbosity",
    "shutdown",
    "slabs",
    "lru",
    "watch",
    "refresh_certs",
    "ms",
    "md",
    "ma",
    "misbehave",
];
/// What would read values, or take long on some versions.
const VALUES: [&str; 6] = ["get", "gets", "mg", "me", "lru_crawler", "mgdump"];

/// Reads commands until the end, from a terminal or from a pipe.
pub(crate) fn run(server: &Server, shown: &str, options: &ToolOptions) -> Result<Exit, ToolError> {
    let mut session = Session::open(server)?;
    if !std::io::stdin().is_terminal() {
        let mut stdin = std::io::stdin().lock();
        while let Some(line) = next_line(&mut stdin)? {
            if !obey(&mut session, server, shown, &line, options)? {
                break;
            }
        }
        return Ok(Exit::Done);
    }
    terminal::say(&format!(
        "memcached {} at {shown}, over {}; `help` lists the commands",
        report::escape_for_terminal(session.version().unwrap_or("of unknown version")),
        session.protocol()
    ));
    let mut editor: Editor<Words, DefaultHistory> =
        Editor::new().map_err(|error| ToolError::File(std::io::Error::other(error)))?;
    editor.set_helper(Some(Words));
    // What cannot be remembered is obeyed all the same.
    let history = history_path();
    if let Some(path) = &history {
        let _ = editor.load_history(path);
    }
    let prompt = format!("{shown}> ");
    loop {
        match editor.readline(&prompt) {
            Ok(line) => {
                if is_memorable(&line)
                    && editor.add_history_entry(line.trim()).is_ok_and(|new| new)
                    && let Some(path) = &history
                {
                    let _ = editor.append_history(path);
                }
                if !obey(&mut session, server, shown, &line, options)? {
                    return Ok(Exit::Done);
                }
            }
            Err(ReadlineError::Eof) => return Ok(Exit::Done),
            Err(ReadlineError::Interrupted) => {}
            Err(error) => return Err(ToolError::File(std::io::Error::other(error))),
        }
    }
}

/// The next line of a pipe, or what fits of one.
fn next_line(input: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()))
}

/// Where commands are remembered from one session to the next; `None` if nowhere.
fn history_path() -> Option<PathBuf> {
    let folder = crate::commands::tool::state_folder()?;
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("console-history"))
}

/// Only commands of this prompt are remembered. Whatever else is typed or pasted here, a password
/// meant for another window say, leaves no trace.
fn is_memorable(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let typed = words.join(" ");
    let is_command = COMMANDS.iter().any(|(command, _)| *command == typed);
    let is_field = |name: &&str| report::tool::describe_field(name, Language::English).is_some();
    is_command || matches!(&words[..], ["help", field] if is_field(field))
}

/// Does what a line says; false to leave. What goes wrong is said and ends nothing, but for a lost
/// connection, which is opened anew.
fn obey<'a>(
    session: &mut Session<'a>,
    server: &'a Server,
    shown: &str,
    line: &str,
    options: &ToolOptions,
) -> Result<bool, ToolError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let table = match words[..] {
        [] => return Ok(true),
        ["quit" | "exit"] => return Ok(false),
        ["help"] => {
            print_help()?;
            return Ok(true);
        }
        ["help", field] => {
            print_field(field, options)?;
            return Ok(true);
        }
        ["version"] => {
            let version = session.version().unwrap_or("not told");
            print_line(version)?;
            return Ok(true);
        }
        ["stats"] | ["explain"] => Table::Stats,
        ["stats", "settings"] => Table::Settings,
        ["stats", "items"] => Table::Items,
        ["stats", "slabs"] => Table::Slabs,
        ["stats", "sizes"] => Table::Sizes,
        ["stats", "conns"] => Table::Conns,
        ["display"] => Table::Items,
        [word, ..] => {
            print_line(&refusal(word))?;
            return Ok(true);
        }
    };
    match ask(session, shown, &words, table, options) {
        Ok(()) => {}
        Err(ToolError::Link(_) | ToolError::Truncated { .. }) => {
            // Idle servers hang up, and a reply that broke off leaves the connection out of step.
            *session = Session::open(server)?;
            match ask(session, shown, &words, table, options) {
                Ok(()) => {}
                Err(ToolError::File(error)) => return Err(ToolError::File(error)),
                Err(error) => print_line(&error.to_string())?,
            }
        }
        Err(ToolError::File(error)) => return Err(ToolError::File(error)),
        Err(error) => print_line(&error.to_string())?,
    }
    Ok(true)
}

fn ask(
    session: &mut Session<'_>,
    shown: &str,
    words: &[&str],
    table: Table,
    options: &ToolOptions,
) -> Result<(), ToolError> {
    let rows = session.table(table)?;
    let now = crate::commands::tool::now_unix_s();
    if words == ["explain"] {
        for (name, value) in rows.iter() {
            let meaning = report::tool::describe_field(name, options.language).unwrap_or("");
            let decoded = report::tool::explain_value(name, value, options.language);
            let line = format!("{name:<28} {decoded:<24} {meaning}");
            print_line(line.trim_end())?;
        }
        return Ok(());
    }
    let view = match table {
        Table::Stats => View::Stats(&rows),
        Table::Settings => View::Settings(&rows),
        Table::Slabs => View::Slabs(&rows),
        Table::Sizes => View::Sizes(&rows),
        Table::Conns => View::Conns {
            connections: &rows,
            full: false,
        },
        Table::Items if words == ["display"] => {
            let slabs = session.table(Table::Slabs)?;
            let view = View::Display {
                items: &rows,
                slabs: &slabs,
                stats: None,
            };
            return crate::commands::tool::print(&report::tool::view(shown, &view, now, options));
        }
        Table::Items => View::Items(&rows),
    };
    crate::commands::tool::print(&report::tool::view(shown, &view, now, options))
}

/// A line of the conversation, escaped. That nobody reads it any more ends the conversation.
fn print_line(line: &str) -> Result<(), ToolError> {
    let line = format!("{}\n", report::escape_for_terminal(line));
    crate::commands::tool::print(line.as_bytes())
}

fn print_help() -> Result<(), ToolError> {
    for (command, meaning) in COMMANDS {
        print_line(&format!("{command:<16} {meaning}"))?;
    }
    Ok(())
}

fn print_field(field: &str, options: &ToolOptions) -> Result<(), ToolError> {
    match report::tool::describe_field(field, options.language) {
        Some(meaning) => print_line(&format!("{field}: {meaning}")),
        None => print_line(&format!("{field}: no statistic of that name is known")),
    }
}

fn refusal(word: &str) -> String {
    let shown = report::escape_for_terminal(word);
    if CHANGING.contains(&word) {
        format!("{shown}: refused, because it changes the server; this prompt only reads")
    } else if VALUES.contains(&word) {
        format!(
            "{shown}: refused, because it reads what is stored; the modes `keys` and `dump` do, \
             and write down that they did"
        )
    } else {
        format!("{shown}: no such command; `help` lists them")
    }
}

/// Completes commands and fields.
struct Words;

impl Helper for Words {}
impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..at];
        if let Some(name) = typed.strip_prefix("help ") {
            return Ok(("help ".len(), fields(name)));
        }
        let pairs = COMMANDS
            .iter()
            .filter(|(command, _)| command.starts_with(typed))
            .map(|(command, meaning)| Pair {
                display: format!("{command}  ({meaning})"),
                replacement: (*command).to_owned(),
            })
            .collect();
        Ok((0, pairs))
    }
}

/// The fields whose names begin like this.
fn fields(beginning: &str) -> Vec<Pair> {
    report::tool::field_names()
        .filter(|name| name.starts_with(beginning))
        .map(|name| Pair {
            display: name.to_owned(),
            replacement: name.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_are_remembered() {
        for (line, expected) in [
            ("stats", true),
            ("  stats   settings ", true),
            ("help evictions", true),
            ("help s3cret-word", false),
            ("s3cret-word", false),
            ("set user 0 0 6", false),
            ("stats s3cret-word", false),
            ("", false),
        ] {
            assert_eq!(is_memorable(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_pipe_is_read_in_lines_of_bounded_length() {
        let long = "x".repeat(2 * LINE_BYTES_MAX as usize);
        let text = format!("stats\n{long}\nquit");
        let mut input = text.as_bytes();
        let mut lengths = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lengths.push(line.len());
        }
        let half = LINE_BYTES_MAX as usize;
        assert_eq!(lengths, [6, half, half, 1, 4]);
    }

    #[test]
    fn the_fields_that_help_explains_are_completed() {
        let names: Vec<String> = fields("evict")
            .into_iter()
            .map(|pair| pair.replacement)
            .collect();
        assert!(names.contains(&"evictions".to_owned()), "{names:?}");
        for name in names {
            assert!(is_memorable(&format!("help {name}")), "{name}");
        }
    }

    #[test]
    fn what_changes_or_reads_values_is_refused_with_the_reason() {
        assert!(refusal("flush_all").contains("changes the server"));
        assert!(refusal("get").contains("reads what is stored"));
        assert!(refusal("xyzzy").contains("no such command"));
        assert!(!refusal("\x1b[31m").contains('\x1b'));
    }
}
