//! The reports of a run and where they go. Every file is opened before the first packet leaves.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use engine::Event;
use model::{CapturedFrame, Record, Summary, VerifiedFinding};
use report::{Format, Report};

use crate::exit::Failure;
use crate::terminal;

/// No record is longer than this.
const TORN_LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

enum Place {
    Stdout,
    File {
        path: PathBuf,
        file: File,
        /// Whether it is the file that is being resumed from.
        continues: bool,
    },
}

struct Output {
    report: Box<dyn Report>,
    place: Place,
    /// As it was asked for.
    typed: String,
    state: State,
}

/// What became of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Alive,
    /// Its reader has left: a good end.
    Left,
    /// It could not be written.
    Failed,
}

/// All reports of a run.
pub(crate) struct Outputs {
    outputs: Vec<Output>,
    wants_frames: bool,
    buffer: Vec<u8>,
}

impl Outputs {
    /// Opens what `-o` asks for; text on stdout if nothing. A file that is being resumed from is
    /// appended to, every other file is begun anew.
    pub(crate) fn open(
        typed: &[String],
        resumed: Option<&Path>,
        writer: &dyn Fn(Format) -> Box<dyn Report>,
    ) -> Result<Outputs, Failure> {
        Outputs::open_with(typed, resumed, true, writer)
    }

    /// The same for what was seen earlier, of which there are no frames.
    pub(crate) fn of_the_past(
        typed: &[String],
        read: Option<&Path>,
        writer: &dyn Fn(Format) -> Box<dyn Report>,
    ) -> Result<Outputs, Failure> {
        for typed in typed {
            if let (Some(read), (_, Some(path))) = (read, split(typed)?)
                && same_file(read, path)
            {
                return Err(Failure::usage(format!(
                    "-o {typed}: {} is what is read; give this output another path",
                    path.display()
                )));
            }
        }
        Outputs::open_with(typed, None, false, writer)
    }

    fn open_with(
        typed: &[String],
        resumed: Option<&Path>,
        has_frames: bool,
        writer: &dyn Fn(Format) -> Box<dyn Report>,
    ) -> Result<Outputs, Failure> {
        let mut outputs = Vec::new();
        let defaults = ["text".to_owned()];
        let typed = if typed.is_empty() {
            &defaults[..]
        } else {
            typed
        };
        let mut stdout_taken = false;
        let mut wants_frames = false;
        for typed in typed {
            let (format, path) = split(typed)?;
            wants_frames |= format == Format::Pcapng;
            if format == Format::Pcapng && !has_frames {
                return Err(Failure::usage(format!(
                    "-o {typed}: frames are captured while a scan goes on, and not kept"
                )));
            }
            let place = match path {
                None if format.is_binary() && io::stdout().is_terminal() => {
                    return Err(Failure::usage(format!(
                        "-o {typed}: that is no text for a terminal; give it a path, such as \
                         -o {}=FILE",
                        format.as_str()
                    )));
                }
                None if stdout_taken => {
                    return Err(Failure::usage(format!(
                        "-o {typed}: stdout is taken by another output; give it a path, such as \
                         -o {}=FILE",
                        format.as_str()
                    )));
                }
                None => {
                    stdout_taken = true;
                    Place::Stdout
                }
                Some(path) => open_file(typed, format, path, resumed)?,
            };
            if outputs
                .iter()
                .any(|other: &Output| other.place.is_same(&place))
            {
                return Err(Failure::usage(format!(
                    "-o {typed}: {} is taken by another output; give each its own",
                    place.name()
                )));
            }
            outputs.push(Output {
                report: writer(format),
                place,
                typed: typed.clone(),
                state: State::Alive,
            });
        }
        Ok(Outputs {
            outputs,
            wants_frames,
            buffer: Vec::new(),
        })
    }

    /// Empties the files that are begun anew: when nothing can be refused any more, and not before,
    /// so that a mistake costs no old results.
    pub(crate) fn make_room(&self) -> Result<(), Failure> {
        for output in &self.outputs {
            output
                .place
                .make_room()
                .map_err(|error| cannot_write(&output.typed, &output.place.name(), &error))?;
        }
        Ok(())
    }

    /// Writes what an event amounts to, and says at once what cannot be written. False once no
    /// output is left.
    pub(crate) fn tell(&mut self, event: &Event) -> bool {
        self.write(&mut |report, buffer| event.write(report, buffer))
    }

    /// Writes what became of an earlier run's findings; the summary comes next.
    pub(crate) fn tell_verified(&mut self, summary: &Summary, findings: &[VerifiedFinding]) {
        self.write(&mut |report, buffer| report.verified(summary, findings, buffer));
    }

    /// Writes the frames that passed between us and the endpoint of a record that comes next.
    pub(crate) fn capture(&mut self, record: &Record, frames: &[CapturedFrame]) {
        self.write(&mut |report, buffer| report.capture(record, frames, buffer));
    }

    /// Whether an output wants frames.
    pub(crate) fn wants_frames(&self) -> bool {
        self.wants_frames
    }

    /// Lets every output that is alive say something, and writes it. False once none is left.
    fn write(&mut self, say: &mut dyn FnMut(&mut dyn Report, &mut Vec<u8>)) -> bool {
        for output in &mut self.outputs {
            if output.state != State::Alive {
                continue;
            }
            self.buffer.clear();
            say(output.report.as_mut(), &mut self.buffer);
            if self.buffer.is_empty() {
                continue;
            }
            match output.place.write(&self.buffer) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    output.state = State::Left;
                }
                Err(error) => {
                    output.state = State::Failed;
                    terminal::say_error(&format!("{}: {error}", output.place.name()));
                }
            }
        }
        let is_alive = |output: &Output| output.state == State::Alive;
        self.outputs.iter().any(is_alive)
    }

    /// Whether something could not be written.
    pub(crate) fn has_failed(&self) -> bool {
        let has_failed = |output: &Output| output.state == State::Failed;
        self.outputs.iter().any(has_failed)
    }

    /// Whether stdout was all there was, and its reader has left.
    pub(crate) fn was_only_stdout_and_left(&self) -> bool {
        matches!(
            &self.outputs[..],
            [Output {
                place: Place::Stdout,
                state: State::Left,
                ..
            }]
        )
    }
}

impl Place {
    /// Empties a file that is begun anew; of one that is continued, cuts what is half a line.
    fn make_room(&self) -> io::Result<()> {
        match self {
            Place::File {
                path,
                file,
                continues: true,
            } => cut_torn_line(path, file),
            // Pipes and devices hold nothing that could be emptied.
            Place::File { file, .. } if file.metadata()?.is_file() => file.set_len(0),
            Place::File { .. } | Place::Stdout => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Place::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Place::File { file, .. } => file.write_all(bytes),
        }
    }

    /// Whether two outputs would write into each other.
    fn is_same(&self, other: &Place) -> bool {
        if let (Place::File { path: one, .. }, Place::File { path: other, .. }) = (self, other)
            && one == other
        {
            return true;
        }
        match (self.identity(), other.identity()) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
    }

    /// Device and inode of what is behind it, unless it is a character device: whatever is
    /// written to one, such as /dev/null, is no file that could be spoilt.
    fn identity(&self) -> Option<(u64, u64)> {
        let metadata = match self {
            Place::File { file, .. } => file.metadata(),
            Place::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                stdout.map(File::from).and_then(|file| file.metadata())
            }
        };
        let metadata = metadata.ok()?;
        (!metadata.file_type().is_char_device()).then(|| (metadata.dev(), metadata.ino()))
    }

    fn name(&self) -> String {
        match self {
            Place::Stdout => "stdout".to_owned(),
            Place::File { path, .. } => path.display().to_string(),
        }
    }
}

/// Where the one answer of a command goes, and in which of its forms.
pub(crate) struct Destination<'a> {
    typed: &'a str,
    word: &'a str,
    path: Option<&'a Path>,
}

impl<'a> Destination<'a> {
    /// Reads the outputs that were asked for, of which there can be one at most; without any, the
    /// first form on stdout.
    pub(crate) fn only(
        typed: &'a [String],
        words: &[&'static str],
    ) -> Result<Destination<'a>, Failure> {
        let Some((typed, rest)) = typed.split_first() else {
            return Ok(Destination {
                typed: "",
                word: words.first().copied().unwrap_or_default(),
                path: None,
            });
        };
        if let Some(second) = rest.first() {
            return Err(Failure::usage(format!(
                "-o {second}: there is one answer, and it goes to -o {typed}"
            )));
        }
        let (word, path) = match typed.split_once('=') {
            Some((word, path)) => (word, Some(path)),
            None => (typed.as_str(), None),
        };
        if !words.contains(&word) {
            return Err(Failure::usage(format!(
                "-o {typed}: write one of {}",
                words.join(", ")
            )));
        }
        if path == Some("") {
            return Err(Failure::usage(format!(
                "-o {typed}: a path is missing behind the ="
            )));
        }
        let path = path.filter(|path| *path != "-").map(Path::new);
        Ok(Destination { typed, word, path })
    }

    /// The form.
    pub(crate) fn word(&self) -> &str {
        self.word
    }

    /// Whether it goes to stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        self.path.is_none()
    }

    /// Writes the answer. A reader that leaves is a good end.
    pub(crate) fn write(&self, answer: &str) -> Result<(), Failure> {
        match self.path {
            Some(path) => std::fs::write(path, answer)
                .map_err(|error| cannot_write(self.typed, &path.display().to_string(), &error)),
            None => match Place::Stdout.write(answer.as_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(Failure::Broken(anyhow::anyhow!("stdout: {error}")))
                }
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }
}

fn split(typed: &str) -> Result<(Format, Option<&Path>), Failure> {
    let (word, path) = match typed.split_once('=') {
        Some((word, path)) => (word, Some(path)),
        None => (typed, None),
    };
    let format = Format::parse(word).ok_or_else(|| {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
        Failure::usage(format!(
            "-o {typed}: no format {word:?}; write one of {}",
            known.join(", ")
        ))
    })?;
    match path {
        Some("") => Err(Failure::usage(format!(
            "-o {typed}: a path is missing behind the ="
        ))),
        Some("-") | None => Ok((format, None)),
        Some(path) => Ok((format, Some(Path::new(path)))),
    }
}

fn open_file(
    typed: &str,
    format: Format,
    path: &Path,
    resumed: Option<&Path>,
) -> Result<Place, Failure> {
    let continues = resumed.is_some_and(|resumed| same_file(resumed, path));
    if continues && format != Format::Ndjson {
        return Err(Failure::usage(format!(
            "-o {typed}: {} is the NDJSON that is being resumed; give this output another path",
            path.display()
        )));
    }
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false);
    options.append(continues);
    let file = options
        .open(path)
        .map_err(|error| cannot_write(typed, &path.display().to_string(), &error))?;
    Ok(Place::File {
        path: path.to_owned(),
        file,
        continues,
    })
}

fn cannot_write(typed: &str, name: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("-o {typed}: cannot write {name}: {error}"))
}

/// A process that was killed leaves half a line; what follows must not be glued to it.
fn cut_torn_line(path: &Path, file: &File) -> io::Result<()> {
    let mut reader = File::open(path)?;
    let length = reader.seek(SeekFrom::End(0))?;
    let mut tail = Vec::new();
    reader.seek(SeekFrom::Start(length.saturating_sub(TORN_LINE_BYTES_MAX)))?;
    reader.read_to_end(&mut tail)?;
    let whole = tail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |place| place + 1);
    file.set_len(length - (tail.len() - whole) as u64)
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_as_format_and_path() {
        let known = Format::ALL.map(Format::as_str).join(", ");
        let unknown = format!("-o yaml: no format \"yaml\"; write one of {known}");
        for (typed, expected) in [
            ("text", Ok((Format::Text, None))),
            ("ndjson=-", Ok((Format::Ndjson, None))),
            (
                "json=/tmp/a=b",
                Ok((Format::Json, Some(Path::new("/tmp/a=b")))),
            ),
            ("yaml", Err(unknown.as_str())),
            ("nmap=", Err("-o nmap=: a path is missing behind the =")),
        ] {
            let got = split(typed).map_err(|failure| failure.message());
            assert_eq!(got, expected.map_err(str::to_owned), "{typed}");
        }
    }
}
