//! The few programs of this machine that are asked, none of which changes anything.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assess::local::InstalledPackage;

/// Where the system keeps its programs; the user's own PATH is not asked.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
/// Output beyond this is not read.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A program that takes longer is ended.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How a program went.
pub(crate) enum Outcome {
    /// There is no such program.
    Absent,
    /// Its output.
    Done(String),
    /// Why it has none, English.
    Failed(String),
}

/// Runs a program without input, and reads what it says within limits.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Outcome {
    let Some(path) = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
    else {
        return Outcome::Absent;
    };
    let child = Command::new(path)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", FOLDERS.join(":"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let output = child.stdout.take();
    let errors = child.stderr.take();
    let deadline = Instant::now() + PATIENCE;
    std::thread::scope(|scope| {
        let output = scope.spawn(|| read(output));
        let errors = scope.spawn(|| read(errors));
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                _ => {
                    // It is our own child; once it is gone, its pipes end.
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
            }
        };
        let output = output.join().unwrap_or_default();
        let errors = errors.join().unwrap_or_default();
        match status {
            Some(status) if status.success() => Outcome::Done(output),
            Some(_) => {
                let line = errors.lines().find(|line| !line.trim().is_empty());
                Outcome::Failed(format!("{program}: {}", line.unwrap_or("it failed").trim()))
            }
            None => Outcome::Failed(format!("{program}: it took too long")),
        }
    })
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is as good as it gets.
        let _ = pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The package of memcached, where rpm keeps the list.
pub(crate) fn rpm() -> Option<InstalledPackage> {
    let format = "%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n";
    let Outcome::Done(text) = run("rpm", &["-q", "--qf", format, "memcached"]) else {
        return None;
    };
    let version = text.lines().next()?.trim();
    Some(InstalledPackage {
        manager: "rpm",
        name: "memcached".to_owned(),
        version: version.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart() {
        assert!(matches!(run("no-such-program", &[]), Outcome::Absent));
        assert!(matches!(run("echo", &["x"]), Outcome::Done(text) if text == "x\n"));
        let Outcome::Failed(why) = run("cat", &["/no/such/file"]) else {
            panic!("it should fail");
        };
        assert!(why.contains("No such file"), "{why}");
    }
}
