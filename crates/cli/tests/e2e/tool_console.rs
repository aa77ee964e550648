//! `tool … console`: by a script on its standard input, and at a terminal.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};

use crate::tool_ground::{Client, Folder, run_with_input, start};

/// How long the prompt may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_script_is_obeyed_line_by_line() {
    let folder = Folder::new();
    let (address, _server) = start(&["-o", "track_sizes"]);
    Client::connect(address).set("user:1", 0, 0, b"hello");
    for (input, expected) in [
        ("help evictions\n", "evictions: Items that were still valid"),
        ("help nonsense\n", "nonsense: no statistic of that name"),
        ("help\n", "help FIELD"),
        ("version", "1.6.18"),
        ("stats\r\n", "curr_items"),
        ("explain\n", "curr_items"),
        ("stats sizes\n", "1 item"),
        ("  stats   conns  \n", "listening"),
        ("flush_all\n", "changes the server"),
        ("get user:1\n", "reads what is stored"),
        ("\u{1b}[31mred\n", "no such command"),
        ("\n\n\nquit\nstats\n", ""),
    ] {
        let command = folder.tool(&[&address.to_string(), "console"]);
        let (run, stdout) = run_with_input(&folder, command, input);
        let stdout = String::from_utf8(stdout).unwrap();
        assert_eq!((run.code, &run.stderr[..]), (Some(0), ""), "{input:?}");
        assert!(stdout.contains(expected), "{input:?}: {stdout}");
        assert_eq!(stdout.is_empty(), expected.is_empty(), "{stdout}");
        assert!(!stdout.contains(['\u{1b}', '\r']), "{stdout}");
    }
    // A script is nobody's history.
    assert!(!folder.path("state/memsweep/console-history").exists());
    assert_eq!(
        Client::connect(address).ask("get user:1\r\n"),
        "VALUE user:1 0 5"
    );
}

#[test]
fn a_reader_who_leaves_ends_the_conversation_quietly() {
    let folder = Folder::new();
    let (address, _server) = start(&[]);
    // A pipe whose reader is gone before the first word.
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    for input in [
        "help\n",
        "help evictions\n",
        "version\n",
        "xyzzy\n",
        "stats\n",
    ] {
        let mut command = folder.tool(&[&address.to_string(), "console"]);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        command.stdout(Stdio::from(writer.try_clone().unwrap()));
        let mut child = command.spawn().unwrap();
        // The input stays open: it is the output that ends it.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        let status = child.wait().unwrap();
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!((status.code(), &said[..]), (Some(0), ""), "{input}");
    }
}

/// The prompt at a terminal of its own.
struct Terminal {
    child: Child,
    master: OwnedFd,
    shown: String,
}

impl Terminal {
    fn open(folder: &Folder, address: Ipv4Addr) -> Terminal {
        let size = Winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let mut command: Command = folder.tool(&[&address.to_string(), "console"]);
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = command
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let mut terminal = Terminal {
            child,
            master: pty.master,
            shown: String::new(),
        };
        terminal.read_until(&format!("{address}:11211> "));
        terminal
    }

    fn write(&self, bytes: &[u8]) {
        nix::unistd::write(&self.master, bytes).unwrap();
    }

    /// Waits for these words, and forgets everything up to them.
    fn read_until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.find(words) {
                let rest = self.shown.split_off(at + words.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            assert!(
                Instant::now() < deadline,
                "no {words:?} in {:?}",
                self.shown
            );
            let mut polled = [PollFd::new(
                std::os::fd::AsFd::as_fd(&self.master),
                PollFlags::POLLIN,
            )];
            poll(&mut polled, PollTimeout::from(100_u16)).unwrap();
            if polled[0].any().unwrap() {
                let mut buffer = [0; 4096];
                let length = nix::unistd::read(&self.master, &mut buffer).unwrap();
                self.shown
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
    }

    /// Leaves by Ctrl-D.
    fn leave(mut self) {
        self.write(b"\x04");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn commands_are_remembered_from_one_session_to_the_next_and_nothing_else_is() {
    let folder = Folder::new();
    let (address, _server) = start(&[]);
    let history = folder.path("state/memsweep/console-history");
    let mut terminal = Terminal::open(&folder, address);
    for (typed, shown) in [
        ("s3cret-word", "no such command"),
        ("set login 0 0 16", "changes the server"),
        ("help s3cret-word", "no statistic of that name"),
        ("help curr_items", "curr_items:"),
    ] {
        terminal.write(format!("{typed}\r").as_bytes());
        terminal.read_until(shown);
        terminal.read_until("> ");
    }
    terminal.leave();
    let text = std::fs::read_to_string(&history).unwrap();
    assert_eq!(text.lines().last(), Some("help curr_items"), "{text}");
    assert!(
        !text.contains("s3cret") && !text.contains("login"),
        "{text}"
    );
    let mode = std::fs::metadata(&history).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The arrow upwards brings it back.
    let mut terminal = Terminal::open(&folder, address);
    terminal.write(b"\x1b[A\r");
    terminal.read_until("curr_items:");
    terminal.read_until("> ");
    // Tab completes commands, and the fields that `help` explains.
    terminal.write(b"help evicted_unf\t\r");
    terminal.read_until("evicted_unfetched:");
    terminal.read_until("> ");
    terminal.leave();
}
