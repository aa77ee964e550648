//! A launcher of a real PostgreSQL, on a unix socket in a folder of its own and nowhere else.
//!
//! It ends as real memcached does (see [`crate::server`]): it runs in the foreground in a pid
//! namespace whose first process waits on a pipe from us, and which removes the folder after it. Its
//! System V memory is in an IPC namespace that goes with it.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where Debian puts the programs, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who owns everything if we are root, as whom the server refuses to run.
const USER: &str = "postgres";
/// How long the server may take until it answers, on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The first process of the namespace: starts the server, has it end at once when the pipe on its
/// standard input closes, and removes its folder.
const KEEPER: &str = r#"
exec 3<&0
folder=$1
shift
"$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -QUIT $server; } 2>/dev/null &
wait $server
rm -rf -- "$folder"
"#;

/// A running PostgreSQL. Ends when dropped, and when our process does.
#[derive(Debug)]
pub struct PostgresServer {
    keeper: Child,
    folder: PathBuf,
    databases: AtomicU32,
}

impl PostgresServer {
    /// Makes a database cluster, starts the server and returns when it answers.
    ///
    /// # Panics
    /// If that fails, with its own words: a test without its server has not run.
    pub fn start() -> PostgresServer {
        let folder = tempfile::Builder::new()
            .prefix("memsweep-postgres-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .expect("a scratch folder");
        if is_root() {
            let user = nix::unistd::User::from_name(USER)
                .expect("the list of users")
                .expect("the user postgres (package postgresql)");
            let owner = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            std::os::unix::fs::chown(folder.path(), owner.0, owner.1).expect("our own folder");
        }
        let data = folder.path().join("data");
        let made = as_user(&program("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username", USER, "--auth", "trust", "--encoding", "UTF8"])
            .args(["--locale", "C", "--no-sync"])
            .current_dir(folder.path())
            .output();
        succeeded("initdb", made);
        // From here on the keeper removes it.
        let folder = folder.keep();
        let keeper = keep(&folder, &data);
        let mut server = PostgresServer {
            keeper,
            folder,
            databases: AtomicU32::new(0),
        };
        server.wait_until_ready();
        server
    }

    /// The address of a new, empty database.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn fresh_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("inventory_{number}");
        let made = self.client("createdb").arg(&name).output();
        succeeded("createdb", made);
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}/{name}")
    }

    /// One of PostgreSQL's own clients, ready for more arguments.
    pub fn client(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command
            .args(["--username", USER, "--host"])
            .arg(&self.folder);
        command
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_MAX;
        loop {
            let ready = self.client("pg_isready").output().expect("pg_isready");
            if ready.status.success() {
                return;
            }
            let ended = self.keeper.try_wait().expect("our own child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "PostgreSQL does not answer ({ended:?}); it said: {}",
                std::fs::read_to_string(self.folder.join("messages")).unwrap_or_default()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn keep(folder: &Path, data: &Path) -> Child {
    let messages = File::create(folder.join("messages")).expect("a file in our folder");
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-current-user"]);
    }
    unshare
        .args(["--pid", "--ipc", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", KEEPER, "keeper"])
        .arg(folder);
    let server = as_user(&program("postgres"));
    unshare.arg(server.get_program()).args(server.get_args());
    unshare
        .arg("-D")
        .arg(data)
        .arg("-k")
        .arg(folder)
        // Only the socket; and no care for a power cut, because the folder goes with the test.
        .args(["-c", "listen_addresses="])
        .args(["-c", "fsync=off"])
        .args(["-c", "dynamic_shared_memory_type=mmap"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(messages)
        .spawn()
        .expect("failed to run unshare (package util-linux)")
}

/// A program of the newest version that is installed.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.max().expect("package postgresql");
    Path::new(VERSIONS)
        .join(newest.to_string())
        .join("bin")
        .join(name)
}

/// A program that refuses to run as root, as somebody else if we are root.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]);
    command.arg(program);
    command
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn succeeded(program: &str, output: std::io::Result<Output>) {
    let output = output.expect(program);
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_server_answers_and_leaves_nothing_behind() {
        let server = PostgresServer::start();
        let address = server.fresh_database();
        assert!(address.ends_with("/inventory_0"), "{address}");
        let answer = server
            .client("psql")
            .args(["--tuples-only", "--command", "SHOW listen_addresses"])
            .arg("inventory_0")
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "");
        assert!(answer.status.success());
        let (keeper, folder) = (server.keeper.id(), server.folder.clone());
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        drop(server);
        assert!(!Path::new(&format!("/proc/{keeper}")).exists());
        assert!(!folder.exists(), "{}", folder.display());
    }
}
