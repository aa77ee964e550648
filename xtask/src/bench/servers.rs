//! What is scanned: real memcached, and sockets that never answer. The impostors have a file of
//! their own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::commands::announce;

/// The port that everything is about.
pub(super) const PORT: u16 = 11211;
/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(10);
/// How long to wait for one answer before asking again.
const ANSWER_WAIT: Duration = Duration::from_millis(50);
/// One `version` request as a datagram: frame (id 1, sequence 0, total 1, reserved 0), command.
const VERSION_DATAGRAM: &[u8] = b"\x00\x01\x00\x00\x00\x01\x00\x00version\r\n";

/// Over what a server can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doors {
    Both,
    Tcp,
    Udp,
}

/// A real memcached, in the foreground. Ends when dropped, and with the bench in any case.
#[derive(Debug)]
pub(super) struct Memcached {
    child: Child,
}

impl Memcached {
    /// Starts memcached with TCP and UDP open on all these addresses and returns when it answers
    /// on each of them, over both.
    pub(super) fn start(bench: &Bench, addresses: &[Ipv4Addr]) -> Result<Memcached> {
        Memcached::start_with(bench, addresses, &[])
    }

    /// The same with more arguments.
    pub(super) fn start_with(
        bench: &Bench,
        addresses: &[Ipv4Addr],
        arguments: &[&str],
    ) -> Result<Memcached> {
        Memcached::start_behind(bench, addresses, Doors::Both, arguments)
    }

    /// The same with only some doors open.
    pub(super) fn start_behind(
        bench: &Bench,
        addresses: &[Ipv4Addr],
        doors: Doors,
        arguments: &[&str],
    ) -> Result<Memcached> {
        let listen: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
        let port = PORT.to_string();
        let mut command = bench.ground.command("memcached");
        let port_if = |is_open| if is_open { port.as_str() } else { "0" };
        command
            .args(["-u", "root", "-l", &listen.join(",")])
            .args(["-p", port_if(doors != Doors::Udp)])
            .args(["-U", port_if(doors != Doors::Tcp)]);
        command.args(arguments);
        match addresses {
            [_] => announce(&command, 1),
            _ => eprintln!("    memcached on {} addresses: {doors:?}", addresses.len()),
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("failed to start memcached (package memcached)")?;
        let mut server = Memcached { child };
        server.wait_until_all_answer(addresses, doors)?;
        Ok(server)
    }

    fn wait_until_all_answer(&mut self, addresses: &[Ipv4Addr], doors: Doors) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        for address in addresses {
            let address = SocketAddr::from((*address, PORT));
            while !((doors == Doors::Udp || listens(address))
                && (doors == Doors::Tcp || answers_datagrams(address)?))
            {
                if let Some(status) = self.child.try_wait()? {
                    bail!("memcached ended with {status}");
                }
                if Instant::now() > deadline {
                    bail!("memcached does not answer on {address}");
                }
            }
        }
        Ok(())
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        // It may have ended already; there is nothing more to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listens(address: SocketAddr) -> bool {
    let is_open = TcpStream::connect_timeout(&address, ANSWER_WAIT).is_ok();
    if !is_open {
        // A refusal comes at once; asking again at once would keep a processor from the server.
        std::thread::sleep(Duration::from_millis(2));
    }
    is_open
}

fn answers_datagrams(address: SocketAddr) -> Result<bool> {
    let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    client.connect(address)?;
    client.set_read_timeout(Some(ANSWER_WAIT))?;
    Ok(client.send(VERSION_DATAGRAM).is_ok() && client.recv(&mut [0; 64]).is_ok())
}

/// UDP ports that take every datagram and never answer: bound, and never read. Once its buffer is
/// full the kernel drops what comes, without a word too.
#[derive(Debug)]
#[expect(dead_code, reason = "the sockets are held for their existence only")]
pub(super) struct SilentUdp(Vec<UdpSocket>);

impl SilentUdp {
    /// Binds this port on these addresses.
    pub(super) fn bind(addresses: &[Ipv4Addr], port: u16) -> Result<SilentUdp> {
        let bind = |address: &Ipv4Addr| UdpSocket::bind((*address, port));
        let sockets = addresses.iter().map(bind).collect::<Result<_, _>>();
        sockets
            .map(SilentUdp)
            .context("failed to bind a silent UDP port")
    }
}
