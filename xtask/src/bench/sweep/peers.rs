//! The peers: how they are called, and the heartbeat that one of them needs.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::lab::{GATEWAY, GATEWAY_HARDWARE, SCANNER, SCANNER_INTERFACE};

use super::super::Bench;
use super::arena::Arena;

/// What must be installed to be beaten; Debian's packages have the same names.
const PROGRAMS: [&str; 3] = ["zmap", "masscan", "nmap"];
/// Where Debian puts programs.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/bin", "/usr/local/bin"];
/// What we ask over UDP, a framed `version`, in hexadecimal.
const VERSION_DATAGRAM: &str = "000100000001000076657273696f6e0d0a";

/// Whether every peer is here.
pub(super) fn check(_bench: &Bench) -> Result<()> {
    let is_here = |program: &&&str| {
        !FOLDERS
            .iter()
            .any(|folder| Path::new(folder).join(program).is_file())
    };
    let missing: Vec<&str> = PROGRAMS.iter().filter(is_here).copied().collect();
    ensure!(
        missing.is_empty(),
        "peers are missing: apt-get install {}",
        missing.join(" ")
    );
    Ok(())
}

impl Arena<'_> {
    /// zmap with our hardware addresses, so that it asks nobody, and without the configuration
    /// file that Debian's version refuses to read.
    pub(super) fn zmap(&self, arguments: &str) -> Command {
        self.peer(
            "zmap",
            &format!(
                "-C /dev/null -i {SCANNER_INTERFACE} -S {SCANNER} -G {GATEWAY_HARDWARE} -q -v 1 \
                 --max-sendto-failures=-1 -p 11211 {arguments}"
            ),
        )
    }

    /// zmap asking memcached over UDP.
    pub(super) fn zmap_udp(&self, arguments: &str) -> Command {
        self.zmap(&format!(
            "-M udp --probe-args=hex:{VERSION_DATAGRAM} {arguments}"
        ))
    }

    /// masscan with the same.
    pub(super) fn masscan(&self, arguments: &str) -> Command {
        let hardware = GATEWAY_HARDWARE.replace(':', "-");
        let mut command = self.peer(
            "masscan",
            &format!(
                "-e {SCANNER_INTERFACE} --source-ip {SCANNER} --router-mac {hardware} {arguments}"
            ),
        );
        // Its progress, ten times a second, cannot be switched off.
        command.stderr(Stdio::null());
        command
    }
}

/// A datagram from the gateway now and then: masscan ends only when it hears something.
pub(super) struct Heartbeat {
    is_stopped: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts it.
    pub(super) fn start(arena: &Arena) -> Result<Heartbeat> {
        let socket = arena.lab.target.inside(|| UdpSocket::bind((GATEWAY, 0)));
        let socket = socket.context("failed to open a socket of the gateway's")?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_stopped);
        let worker = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                // The discard port (RFC 863); the refusal that comes back is of no interest.
                let _ = socket.send_to(b"beat", (SCANNER, 9));
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Ok(Heartbeat {
            is_stopped,
            worker: Some(worker),
        })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
