//! Firewalls and SYN proxies that accept every connection and say nothing: they are one line, and
//! the real server behind them is still found.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sim::LiveServer;
use sim::behaviour::{Genuine, GenuineConfig};

use crate::program::{Run, memsweep};
use crate::records::{Records, text};
use crate::servers::TCP;

/// A sample is 3 s of patience; the rest is asked for its version at the same time.
const RUN_MAX: Duration = Duration::from_secs(9);

/// Accepts on all addresses of this machine, keeps what it accepted, and stays mute.
struct Middlebox {
    port: u16,
    stopped: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Middlebox {
    fn start() -> Middlebox {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        let worker = std::thread::spawn(move || {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                held.push(stream);
            }
        });
        Middlebox {
            port,
            stopped,
            worker: Some(worker),
        }
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // One more connection wakes it.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// A network of loopback that no other test uses: its third octet is even, for a /23.
fn network() -> [u8; 3] {
    let process = std::process::id().to_be_bytes();
    [127, 100 + process[2] % 16, process[3] & 0xfe]
}

fn scan(network: &str, port: u16) -> (Run, Records) {
    let port = port.to_string();
    // An order that asks address 77 of a /24 among the first eight.
    let run = memsweep(&[
        "scan", network, "-p", &port, "--tcp", "-o", "ndjson", "--seed", "13",
    ]);
    let records = run.records();
    (run, records)
}

#[test]
fn a_network_that_accepts_everything_is_one_line() {
    let middlebox = Middlebox::start();
    let [a, b, c] = network();
    for (target, last, count) in [
        (format!("{a}.{b}.{c}.0/24"), format!("{a}.{b}.{c}.255"), 256),
        (
            format!("{a}.{b}.{c}.0/23"),
            format!("{a}.{b}.{}.255", c + 1),
            512,
        ),
    ] {
        let (run, records) = scan(&target, middlebox.port);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.elapsed < RUN_MAX, "{target}: {:?}", run.elapsed);
        assert_eq!(records.names(), [""; 0], "{target}");
        let notes = records.notes();
        assert_eq!(notes.len(), 1, "{notes:?}");
        let stretch = format!("{a}.{b}.{c}.0-{last}: ");
        assert!(notes[0].starts_with(&stretch), "{notes:?}");
        assert!(notes[0].contains(&format!("{count} accepted")), "{notes:?}");
        assert_eq!(records.summary()["verdicts"]["other"], count);
        assert_eq!(records.summary()["complete"], true);
    }
}

/// Listeners that nobody accepts from: the kernel accepts for them, on every address but one.
#[test]
fn a_server_behind_a_middlebox_is_found() {
    let [a, b, c] = network();
    let at = |last: u8, port: u16| SocketAddr::from(([a, b + 16, c, last], port));
    let first = TcpListener::bind(at(0, 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let mut listeners = vec![first];
    for last in 1..=255 {
        if last != 77 {
            listeners.push(TcpListener::bind(at(last, port)).unwrap());
        }
    }
    let server = Genuine::new(GenuineConfig::new("1.4.15"));
    let _server = LiveServer::host(at(77, port), TCP, Box::new(server)).unwrap();
    let (run, records) = scan(&format!("{a}.{}.{c}.0/24", b + 16), port);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.elapsed < RUN_MAX, "{:?}", run.elapsed);
    assert_eq!(records.names(), [format!("{}/tcp", at(77, port))]);
    let record = records.endpoints()[0];
    assert_eq!(text(record, "verdict"), "exposed");
    assert_eq!(text(record, "version"), "1.4.15");
    assert_eq!(records.notes().len(), 1);
    assert_eq!(records.summary()["verdicts"]["other"], 255);
}
