//! `dump`: a million keys written to a file, beside memcached-tool on the same server, and replayed
//! into a second one.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Bench;
use super::commands::announce;
use super::figures::{Board, Goal};
use super::measures::peak_memory_mib;
use super::servers::{Memcached, PORT};

const KEYS: u64 = 1_000_000;
const VALUE_BYTES: usize = 100;
const MEMORY_MIB_MAX: f64 = 64.0;
/// How many times as fast as memcached-tool a dump has to be.
const RATIO_MIN: f64 = 5.0;
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 64, 2, 1);
const COPY: Ipv4Addr = Ipv4Addr::new(127, 64, 2, 2);
/// Debian's package memcached ships it here.
const PEER: &str = "/usr/share/memcached/scripts/memcached-tool";
/// Room for the keys with all that a server keeps about them.
const ROOM: [&str; 2] = ["-m", "1024"];
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// Nothing here takes as long, on any machine that is worth measuring on.
const RUN_MAX: Duration = Duration::from_secs(600);

/// `dump`.
pub(super) fn run(bench: &Bench, board: &mut Board) -> Result<()> {
    let folder = Folder::new("dump")?;
    let _source = Memcached::start_with(bench, &[SOURCE], &ROOM)?;
    fill()?;

    let ours_file = folder.0.join("memsweep");
    let mut ours = bench.memsweep(&format!("tool {SOURCE} dump --quiet"));
    ours.env("XDG_STATE_HOME", folder.0.join("state"));
    let ours = into_file(&mut ours, &ours_file)?;
    board.figure("memsweep", ours.wall_s, "s", Goal::Nothing);
    let memory = Goal::Below(MEMORY_MIB_MAX);
    board.figure("peak-memory", ours.peak_mib, "MiB", memory);

    let peer_file = folder.0.join("memcached-tool");
    let mut peer = bench.ground.command("perl");
    peer.args([PEER, &format!("{SOURCE}:{PORT}"), "dump"]);
    let peer = into_file(&mut peer, &peer_file)?;
    board.figure("memcached-tool", peer.wall_s, "s", Goal::Nothing);
    let ratio = peer.wall_s / ours.wall_s;
    board.figure("ratio", ratio, "x", Goal::Between(RATIO_MIN, f64::MAX));

    let content = Content::read(&ours_file)?;
    ensure!(
        content == Content::read(&peer_file)?,
        "memcached-tool dumped something else"
    );
    board.figure(
        "keys",
        content.keys as f64,
        "keys",
        Goal::Exactly(KEYS as f64),
    );

    let _copy = Memcached::start_with(bench, &[COPY], &ROOM)?;
    let stored = replay(&ours_file)?;
    board.figure(
        "replayed",
        stored as f64,
        "keys",
        Goal::Exactly(KEYS as f64),
    );
    let copy_file = folder.0.join("copy");
    let mut again = bench.memsweep(&format!("tool {COPY} dump --quiet"));
    again.env("XDG_STATE_HOME", folder.0.join("state"));
    into_file(&mut again, &copy_file)?;
    ensure!(
        content == Content::read(&copy_file)?,
        "the copy is not what was dumped"
    );
    Ok(())
}

/// A scratch folder; gone when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new one for this benchmark.
    pub(super) fn new(benchmark: &str) -> Result<Folder> {
        let name = format!("memsweep-bench-{benchmark}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).context("failed to make a scratch folder")?;
        Ok(Folder(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over is in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn connect(address: Ipv4Addr) -> Result<TcpStream> {
    TcpStream::connect((address, PORT)).context("failed to connect to memcached")
}

/// Stores the keys, each with a value of its own.
fn fill() -> Result<()> {
    let stream = connect(SOURCE)?;
    let mut requests = BufWriter::with_capacity(1 << 20, &stream);
    for number in 0..KEYS {
        let value = format!("{number:0VALUE_BYTES$}");
        write!(
            requests,
            "set key:{number:07} {} 0 {VALUE_BYTES} noreply\r\n{value}\r\n",
            number % 7
        )?;
    }
    requests.write_all(b"version\r\n")?;
    requests.flush()?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    ensure!(line.starts_with("VERSION"), "memcached says {line:?}");
    Ok(())
}

/// What a run came to.
struct Run {
    wall_s: f64,
    peak_mib: f64,
}

/// Runs a command to its end, its output in a file.
fn into_file(command: &mut Command, path: &Path) -> Result<Run> {
    announce(command, 1);
    let file = File::create(path).context("failed to make a scratch file")?;
    let begin = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(file).spawn()?;
    let mut peak_mib: f64 = 0.0;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "it ended with {status}");
            let wall_s = begin.elapsed().as_secs_f64();
            return Ok(Run { wall_s, peak_mib });
        }
        if begin.elapsed() > RUN_MAX {
            let _ = child.kill();
            let _ = child.wait();
            bail!("no end after {} s", RUN_MAX.as_secs());
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let seen = status.ok().and_then(|status| peak_memory_mib(&status));
        peak_mib = peak_mib.max(seen.unwrap_or(0.0));
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// What a dump holds, whatever the order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    keys: u64,
    sum: u64,
}

impl Content {
    /// Reads a dump of values that are one line each.
    fn read(path: &Path) -> Result<Content> {
        let mut lines = BufReader::new(File::open(path)?).lines();
        let mut content = Content::default();
        while let Some(head) = lines.next() {
            let value = lines.next().context("a key without its value")?;
            let mut hasher = DefaultHasher::new();
            (head?, value?).hash(&mut hasher);
            content.sum = content.sum.wrapping_add(hasher.finish());
            content.keys += 1;
        }
        Ok(content)
    }
}

/// Sends a dump as `nc` would; returns how many keys were stored.
fn replay(path: &Path) -> Result<u64> {
    let stream = connect(COPY)?;
    let replies = BufReader::new(stream.try_clone()?);
    let counter = std::thread::spawn(move || {
        let stored = |line: &std::io::Result<String>| matches!(line, Ok(line) if line == "STORED");
        replies.lines().filter(stored).count() as u64
    });
    std::io::copy(&mut File::open(path)?, &mut &stream)?;
    (&stream).write_all(b"quit\r\n")?;
    counter
        .join()
        .map_err(|_| anyhow::anyhow!("the counting thread broke off"))
}
