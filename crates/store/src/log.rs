//! The log of a run: its NDJSON as it was written, the truth that an index can be made of.
//!
//! While a run goes on its log is `RUN.ndjson`, and each record is given to the kernel by one
//! write before the next thing happens: a process that is killed loses at most a line that it was
//! writing. The file is locked as long as its writer lives, so that others can tell a run that goes
//! on from one that broke off. A run that ends leaves `RUN.ndjson.zst`, which is written beside it
//! and takes its name only when all of it is on the disk.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::StoreError;

/// A line longer than this is not ours.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Level of compression: records compress to a tenth at it, faster than they can be read.
const LEVEL: i32 = 3;
const PLAIN: &str = ".ndjson";
const COMPRESSED: &str = ".ndjson.zst";
/// What is being compressed and is not yet complete.
const UNFINISHED: &str = ".ndjson.zst.part";
/// Before the id of a process: what it is unpacking.
const UNPACKED: &str = ".ndjson.part-";
/// What an import is writing.
const IMPORTED: &str = ".ndjson.import";
/// How a frame of Zstandard begins (RFC 8878 section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A folder of logs.
#[derive(Clone, Debug)]
pub struct Logs {
    folder: PathBuf,
}

impl Logs {
    /// The logs in this folder, which is made when a log is begun.
    pub fn new(folder: impl Into<PathBuf>) -> Logs {
        Logs {
            folder: folder.into(),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins the log of a run, or goes on with it if it broke off.
    ///
    /// # Errors
    /// If the file cannot be made, or another process is writing it.
    pub fn begin(&self, run: &str) -> Result<RunLog, StoreError> {
        self.begin_as(run, PLAIN)
    }

    fn begin_as(&self, run: &str, ending: &str) -> Result<RunLog, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(StoreError::file("create the folder", &self.folder))?;
        let path = self.path(run, ending)?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::file("create the log", &path))?;
        let log = RunLog::of(file, path)?;
        if ending == IMPORTED {
            // An import begins anew.
            log.file
                .set_len(0)
                .map_err(StoreError::file("empty", &log.path))?;
        }
        Ok(log)
    }

    /// Goes on with the log of a run that was interrupted and compressed, or that broke off.
    ///
    /// # Errors
    /// If it cannot be unpacked, or another process is writing it.
    pub fn resume(&self, run: &str) -> Result<RunLog, StoreError> {
        let (plain, compressed) = (self.path(run, PLAIN)?, self.path(run, COMPRESSED)?);
        if compressed.is_file() && !plain.is_file() {
            let part = self.path(run, &format!("{UNPACKED}{}", std::process::id()))?;
            let failed = || StoreError::file("unpack the log into", &part);
            let unpacked = unpack(&compressed, &part)
                // Unlike a rename, a link never takes the place of what another process made.
                .and_then(|()| match std::fs::hard_link(&part, &plain) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    linked => linked,
                });
            let _ = std::fs::remove_file(&part);
            unpacked.map_err(failed())?;
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&plain)
            .map_err(StoreError::file("open the log", &plain))?;
        let log = RunLog::of(file, plain)?;
        // The plain one is the newer from now on, and readers must find it.
        match std::fs::remove_file(&compressed) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::file("remove", &compressed)(error))
            }
            _ => Ok(log),
        }
    }

    /// Begins the log of what others saw. Until it is finished it is no log of a run: what a killed
    /// import leaves is seen by nobody.
    ///
    /// # Errors
    /// If the file cannot be made, or another process is writing it.
    pub fn begin_import(&self, run: &str) -> Result<RunLog, StoreError> {
        self.begin_as(run, IMPORTED)
    }

    /// Every log, in the order of the runs' ids.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn entries(&self) -> Result<Vec<LogEntry>, StoreError> {
        let mut entries = Vec::new();
        for run in self.runs()? {
            // Between listing and looking it may have been removed.
            if let Ok(entry) = self.entry(&run) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The log of a run.
    ///
    /// # Errors
    /// If there is none.
    pub fn entry(&self, run: &str) -> Result<LogEntry, StoreError> {
        for ending in [COMPRESSED, PLAIN] {
            let path = self.path(run, ending)?;
            let Ok(file) = File::open(&path) else {
                continue;
            };
            let length = file.metadata().map(|metadata| metadata.len());
            return Ok(LogEntry {
                run: run.to_owned(),
                name: format!("{run}{ending}"),
                length_bytes: length.map_err(StoreError::file("look at the log", &path))?,
                is_alive: ending == PLAIN && lock(file).is_err(),
            });
        }
        Err(StoreError::NoSuchRun(run.to_owned()))
    }

    /// The records of a run, one a line.
    ///
    /// # Errors
    /// If there is no log of it, or it cannot be opened.
    pub fn read(&self, run: &str) -> Result<Lines, StoreError> {
        // The compressed one takes its place before the plain one goes.
        let compressed = self.path(run, COMPRESSED)?;
        match File::open(&compressed) {
            Ok(file) => return Lines::of(file, true, &compressed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::file("open the log", &compressed)(error)),
        }
        let plain = self.path(run, PLAIN)?;
        let file = File::open(&plain).map_err(StoreError::file("open the log", &plain))?;
        Lines::of(file, false, &plain)
    }

    /// The ids of all runs that have a log, in order; those that go on included.
    ///
    /// # Errors
    /// If the folder cannot be read. One that is not there holds none.
    pub fn runs(&self) -> Result<Vec<String>, StoreError> {
        let mut runs = self.with_ending(COMPRESSED)?;
        runs.extend(self.with_ending(PLAIN)?);
        runs.sort();
        runs.dedup();
        Ok(runs)
    }

    /// Removes the log of a run, unless it is being written.
    ///
    /// # Errors
    /// If it cannot be removed. One that is not there is removed already.
    pub fn remove(&self, run: &str) -> Result<(), StoreError> {
        for ending in [PLAIN, COMPRESSED, UNFINISHED, IMPORTED] {
            let path = self.path(run, ending)?;
            let removed = match File::open(&path) {
                Ok(file) => lock(file).and_then(|_held| std::fs::remove_file(&path)),
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::file("remove the log", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn with_ending(&self, ending: &str) -> Result<Vec<String>, StoreError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::file("read the folder", &self.folder)(error)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::file("read the folder", &self.folder))?;
            let name = entry.file_name();
            if let Some(run) = name.to_str().and_then(|name| name.strip_suffix(ending)) {
                runs.push(run.to_owned());
            }
        }
        Ok(runs)
    }

    /// The id of a run may come from a file: it names one file here, and none elsewhere.
    fn path(&self, run: &str, ending: &str) -> Result<PathBuf, StoreError> {
        let is_name = !run.is_empty()
            && !run.starts_with('.')
            && run
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_name {
            return Err(StoreError::NoSuchRun(run.to_owned()));
        }
        Ok(self.folder.join(format!("{run}{ending}")))
    }
}

/// A log in its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The run's id.
    pub run: String,
    /// The name of the file.
    pub name: String,
    /// Its length.
    pub length_bytes: u64,
    /// Whether a process is writing it.
    pub is_alive: bool,
}

impl LogEntry {
    /// Name and length: a log that was continued has another mark than before.
    pub fn mark(&self) -> String {
        format!("{} {}", self.name, self.length_bytes)
    }
}

/// The log of a run that goes on.
#[derive(Debug)]
pub struct RunLog {
    file: Flock<File>,
    path: PathBuf,
    failure: Option<String>,
}

impl RunLog {
    /// A log, if it is ours alone and still the one of its name.
    fn of(file: File, path: PathBuf) -> Result<RunLog, StoreError> {
        let mut file = lock(file).map_err(StoreError::file("write the log", &path))?;
        let named = std::fs::metadata(&path).map_err(StoreError::file("open the log", &path))?;
        let locked = file
            .metadata()
            .map_err(StoreError::file("open the log", &path))?;
        if (named.dev(), named.ino()) != (locked.dev(), locked.ino()) {
            let error = io::Error::other("another process has just ended it");
            return Err(StoreError::file("write the log", &path)(error));
        }
        mend_end(&mut file).map_err(StoreError::file("continue the log", &path))?;
        Ok(RunLog {
            file,
            path,
            failure: None,
        })
    }

    /// Adds one record, a line without its line feed, as [`RunLog::append`] does.
    pub fn write(&mut self, line: &str) {
        self.append(format!("{line}\n").as_bytes());
    }

    /// Adds whole lines, each with its line feed. Never an error for the run: after a failure
    /// nothing more is written, and [`RunLog::failure`] says why.
    pub fn append(&mut self, lines: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        // Usually one write; more only if the kernel took a part, as a disk that becomes full does.
        if let Err(error) = self.file.write_all(lines) {
            self.failure = Some(format!("failed to write {}: {error}", self.path.display()));
        }
    }

    /// Why the log stopped, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run has ended: compresses the log, and says the name of the file.
    ///
    /// # Errors
    /// If that fails; then the plain log stays, and is as good.
    pub fn finish(self) -> Result<String, StoreError> {
        compress(&self.path, &self.file)
    }
}

fn lock(file: File) -> io::Result<Flock<File>> {
    let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    locked.map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => {
            io::Error::new(io::ErrorKind::WouldBlock, "another process is writing it")
        }
        errno => errno.into(),
    })
}

/// Cuts off a line that was torn when its writer was killed, so that the next one begins a line.
fn mend_end(file: &mut Flock<File>) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut piece = [0; 4096];
    while end > 0 {
        let begin = end.saturating_sub(piece.len() as u64);
        let part = &mut piece[..(end - begin) as usize];
        file.read_exact_at(part, begin)?;
        if let Some(found) = part.iter().rposition(|byte| *byte == b'\n') {
            end = begin + found as u64 + 1;
            break;
        }
        end = begin;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(())
}

fn compress(plain: &Path, locked: &File) -> Result<String, StoreError> {
    let named = |ending: &str| {
        let text = plain.as_os_str().to_string_lossy();
        let stem = text.strip_suffix(IMPORTED).or(text.strip_suffix(PLAIN));
        let stem = stem.unwrap_or(&text);
        PathBuf::from(format!("{stem}{ending}"))
    };
    let (part, compressed) = (named(UNFINISHED), named(COMPRESSED));
    let failed = || StoreError::file("compress the log into", &part);
    let written = write_compressed(plain, &part);
    if let Err(error) = written {
        // What is not complete helps nobody, least of all on a full disk.
        let _ = std::fs::remove_file(&part);
        return Err(failed()(error));
    }
    std::fs::rename(&part, &compressed).map_err(failed())?;
    if let Some(folder) = compressed.parent() {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed())?;
    }
    // Held until here, so that nobody takes the plain one for a run that broke off.
    let _ = locked;
    std::fs::remove_file(plain).map_err(StoreError::file("remove", plain))?;
    let name = compressed.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

fn write_compressed(plain: &Path, part: &Path) -> io::Result<()> {
    let mut source = File::open(plain)?;
    let target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)?;
    let mut encoder = zstd::stream::write::Encoder::new(target, LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()
}

fn unpack(compressed: &Path, part: &Path) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::new(File::open(compressed)?)?;
    let mut target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)?;
    io::copy(&mut decoder, &mut target)?;
    target.sync_all()
}

/// Whether a file that begins so is compressed like a log.
pub fn is_compressed(begin: &[u8]) -> bool {
    begin.starts_with(&ZSTD_MAGIC)
}

/// What is in a file that is compressed like a log.
///
/// # Errors
/// If it cannot be begun.
pub fn decompressed<'a>(reader: impl BufRead + 'a) -> io::Result<impl Read + 'a> {
    zstd::stream::read::Decoder::with_buffer(reader)
}

/// The lines of a file that a user names, compressed like a log or not.
///
/// # Errors
/// If it cannot be opened.
pub fn read_lines(path: &Path) -> Result<Lines, StoreError> {
    let failed = || StoreError::file("open", path);
    let mut file = File::open(path).map_err(failed())?;
    let mut begin = [0; 4];
    let length = file.read(&mut begin).map_err(failed())?;
    std::io::Seek::rewind(&mut file).map_err(failed())?;
    Lines::of(file, is_compressed(&begin[..length]), path)
}

/// The lines of a log, of those that are whole: an end that was torn is passed over.
pub struct Lines {
    reader: Box<dyn BufRead + Send>,
    path: PathBuf,
    is_torn: bool,
    is_done: bool,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lines")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Lines {
    fn of(file: File, is_compressed: bool, path: &Path) -> Result<Lines, StoreError> {
        let reader: Box<dyn BufRead + Send> = if is_compressed {
            let decoder = zstd::stream::read::Decoder::new(file)
                .map_err(StoreError::file("read the log", path))?;
            Box::new(BufReader::new(decoder))
        } else {
            Box::new(BufReader::new(file))
        };
        Ok(Lines {
            reader,
            path: path.to_owned(),
            is_torn: false,
            is_done: false,
        })
    }

    /// Whether the log ended in the middle of a line, or of its compressed form. Known at its end.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            let mut line = Vec::new();
            let limit = LINE_BYTES_MAX as u64 + 1;
            let read = io::Read::by_ref(&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut line);
            match read {
                Ok(_) => {}
                // The compressed form was cut off: what came before is whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.is_torn = true;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            if line.is_empty() {
                return Ok(None);
            }
            if line.pop() != Some(b'\n') {
                if line.len() >= LINE_BYTES_MAX {
                    return Err(io::Error::other(format!(
                        "a line of more than {LINE_BYTES_MAX} bytes"
                    )));
                }
                self.is_torn = true;
                return Ok(None);
            }
            // A line that was torn, and ended by whoever went on with the log, is not UTF-8 or not
            // JSON; the former is passed over here, the latter by whoever reads JSON.
            if let Ok(line) = String::from_utf8(line) {
                return Ok(Some(line));
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<String, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self
            .next_line()
            .map_err(StoreError::file("read the log", &self.path))
            .transpose();
        self.is_done = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests;
