//! The terminal: its width, its colours, its language, and the words on stderr.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use model::Language;

use crate::exit::Failure;
use crate::flags::{ColorFlag, LanguageFlag};

/// Width of text that goes to a file or a pipe.
const WIDTH_COLUMNS_DEFAULT: usize = 100;
/// Data that goes to stdout at once.
const LINES_BYTES: usize = 64 * 1024;

/// How wide stdout is.
pub(crate) fn width_columns() -> usize {
    if !std::io::stdout().is_terminal() {
        return WIDTH_COLUMNS_DEFAULT;
    }
    match terminal_size::terminal_size_of(std::io::stdout()) {
        Some((width, _)) if width.0 > 0 => usize::from(width.0),
        _ => WIDTH_COLUMNS_DEFAULT,
    }
}

/// Whether stdout is to be coloured: <https://no-color.org> and dumb terminals are respected.
pub(crate) fn color(flag: ColorFlag) -> bool {
    match flag {
        ColorFlag::Always => true,
        ColorFlag::Never => false,
        ColorFlag::Auto => {
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
            std::io::stdout().is_terminal() && !unwanted
        }
    }
}

/// The language asked for, or that of the locale (`LC_ALL`, `LC_MESSAGES`, `LANG`).
pub(crate) fn language(flag: Option<LanguageFlag>) -> Language {
    match flag {
        Some(LanguageFlag::En) => Language::English,
        Some(LanguageFlag::Ja) => Language::Japanese,
        None => language_of_locale(
            ["LC_ALL", "LC_MESSAGES", "LANG"]
                .iter()
                .filter_map(|name| std::env::var(name).ok())
                .find(|value| !value.is_empty())
                .as_deref(),
        ),
    }
}

fn language_of_locale(locale: Option<&str>) -> Language {
    match locale {
        Some(locale) if locale == "ja" || locale.starts_with("ja_") => Language::Japanese,
        _ => Language::English,
    }
}

/// Says what went wrong, in one line on stderr.
pub(crate) fn say_error(message: &str) {
    say(&format!("memsweep: {message}"));
}

/// Says a remark on stderr: one line, whatever names and paths are in it.
pub(crate) fn say(message: &str) {
    let message = report::escape_for_terminal(message);
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}

/// Lines of data for stdout, written in large pieces. A reader that leaves is a good end; any
/// other error is one.
pub(crate) struct Lines {
    stdout: BufWriter<Stdout>,
    closed: bool,
}

impl Lines {
    pub(crate) fn new() -> Lines {
        Lines {
            stdout: BufWriter::with_capacity(LINES_BYTES, std::io::stdout()),
            closed: false,
        }
    }

    /// Adds a line. False once nobody reads any more.
    pub(crate) fn add(&mut self, line: &str) -> Result<bool, Failure> {
        if !self.closed {
            let line = report::escape_for_terminal(line);
            let written = writeln!(self.stdout, "{line}");
            self.look(written)?;
        }
        Ok(!self.closed)
    }

    /// Adds a whole document, in which its writer has escaped what is foreign.
    pub(crate) fn add_document(&mut self, document: &str) -> Result<(), Failure> {
        let written = self.stdout.write_all(document.as_bytes());
        self.look(written)
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let written = self.stdout.flush();
        self.look(written)
    }

    fn look(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::Broken(anyhow::anyhow!("stdout: {error}"))),
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales() {
        for (locale, language) in [
            (None, Language::English),
            (Some("C.UTF-8"), Language::English),
            (Some("ja_JP.UTF-8"), Language::Japanese),
            (Some("ja"), Language::Japanese),
            (Some("jam"), Language::English),
        ] {
            assert_eq!(language_of_locale(locale), language, "{locale:?}");
        }
    }
}
