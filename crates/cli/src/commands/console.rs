//! `tool … console`: an interactive prompt over any transport, for reading only.

use std::io::{BufRead, IsTerminal};

use engine::tool::{Server, Session, Table, ToolError};
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
        for line in std::io::stdin().lock().lines() {
            if !obey(&mut session, server, shown, &line?, options)? {
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
    let prompt = format!("{shown}> ");
    loop {
        match editor.readline(&prompt) {
            Ok(line) => {
                // A line that cannot be remembered is obeyed all the same.
                let _ = editor.add_history_entry(line.as_str());
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
            print_help();
            return Ok(true);
        }
        ["help", field] => {
            print_field(field, options);
            return Ok(true);
        }
        ["version"] => {
            let version = session.version().unwrap_or("not told");
            terminal::print_line(&report::escape_for_terminal(version));
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
            terminal::print_line(&refusal(word));
            return Ok(true);
        }
    };
    match ask(session, shown, &words, table, options) {
        Ok(()) => {}
        Err(ToolError::Link(_) | ToolError::Truncated { .. }) => {
            // Idle servers hang up, and a reply that broke off leaves the connection out of step.
            *session = Session::open(server)?;
            if let Err(error) = ask(session, shown, &words, table, options) {
                terminal::print_line(&report::escape_for_terminal(&error.to_string()));
            }
        }
        Err(ToolError::File(error)) => return Err(ToolError::File(error)),
        Err(error) => terminal::print_line(&report::escape_for_terminal(&error.to_string())),
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
            terminal::print_line(&report::escape_for_terminal(line.trim_end()));
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

fn print_help() {
    for (command, meaning) in COMMANDS {
        terminal::print_line(&format!("{command:<16} {meaning}"));
    }
}

fn print_field(field: &str, options: &ToolOptions) {
    match report::tool::describe_field(field, options.language) {
        Some(meaning) => terminal::print_line(&format!("{field}: {meaning}")),
        None => terminal::print_line(&format!("{field}: no statistic of that name is known")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_or_reads_values_is_refused_with_the_reason() {
        assert!(refusal("flush_all").contains("changes the server"));
        assert!(refusal("get").contains("reads what is stored"));
        assert!(refusal("xyzzy").contains("no such command"));
        assert!(!refusal("\x1b[31m").contains('\x1b'));
    }
}
