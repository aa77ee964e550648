//! How many SYNs a second arrive at the far end, where an XDP program drops them.
//!
//! The rate is the slope of the far interface's counter between a tenth and nine tenths of what a
//! run sent: starting up and waiting for answers is nobody's sending.

use std::process::Command;

use anyhow::{Result, bail};

use super::super::commands::announce;
use super::super::figures::{Board, Goal, median};
use super::arena::{Arena, FULL_RATE};
use super::peers::Heartbeat;

/// What is swept: for so long that starting does not count, however fast somebody is.
const NETWORK: &str = "10.0.0.0/8";
/// The same for a sender that would take a quarter of a minute.
const NETWORK_OF_SLOW_ONES: &str = "10.64.0.0/10";
/// Shares of a run's frames between which the slope is taken.
const STRETCH: (f64, f64) = (0.1, 0.9);

/// Who sends.
#[derive(Clone, Copy)]
struct Sender {
    name: &'static str,
    kind: Kind,
    threads: u32,
    /// Times the rate of its best rival, at least.
    goal: f64,
}

#[derive(Clone, Copy)]
enum Kind {
    Zmap,
    Masscan,
    Engine(&'static str),
}

const SENDERS: [Sender; 9] = [
    sender("zmap-1", Kind::Zmap, 1, 0.0),
    sender("zmap-2", Kind::Zmap, 2, 0.0),
    sender("masscan", Kind::Masscan, 1, 0.0),
    sender("live-1", Kind::Engine("live"), 1, 10.0),
    sender("live-2", Kind::Engine("live"), 2, 12.0),
    sender("xdp-1", Kind::Engine("xdp"), 1, 1.6),
    sender("xdp-2", Kind::Engine("xdp"), 2, 2.5),
    sender("packet-1", Kind::Engine("packet"), 1, 1.2),
    sender("packet-2", Kind::Engine("packet"), 2, 1.8),
];

const fn sender(name: &'static str, kind: Kind, threads: u32, goal: f64) -> Sender {
    Sender {
        name,
        kind,
        threads,
        goal,
    }
}

impl Sender {
    fn command(&self, arena: &Arena) -> Command {
        let threads = self.threads;
        match self.kind {
            Kind::Zmap => arena.zmap(&format!(
                "-B 14G -t 3 -c 1 -o /dev/null -T {threads} {NETWORK}"
            )),
            Kind::Masscan => arena.masscan(&format!(
                "-p11211 --wait 0 --rate {FULL_RATE} {NETWORK_OF_SLOW_ONES}"
            )),
            Kind::Engine(engine) => {
                let network = if engine == "live" {
                    NETWORK
                } else {
                    NETWORK_OF_SLOW_ONES
                };
                arena.scan(&format!(
                    "--tcp --engine {engine} --threads {threads} --rate {FULL_RATE} --retries 0 \
                     --deadline 8s {network}"
                ))
            }
        }
    }
}

/// `rate`.
pub(super) fn run(arena: &Arena, board: &mut Board) -> Result<()> {
    arena.lab.sink();
    let _heartbeat = Heartbeat::start(arena)?;
    for sender in SENDERS {
        announce(&sender.command(arena), arena.rounds());
    }
    let mut rates = vec![Vec::new(); SENDERS.len()];
    let mut costs = vec![Vec::new(); SENDERS.len()];
    for _ in 0..arena.rounds() {
        for (place, sender) in SENDERS.iter().enumerate() {
            let (rate, cost) = match measure(arena, sender) {
                Ok(figures) => figures,
                Err(error) => {
                    eprintln!("    {}: {error:#}", sender.name);
                    (0.0, 0.0)
                }
            };
            eprintln!("    {}: {rate:.0} packets/s", sender.name);
            rates[place].push(rate);
            costs[place].push(cost);
        }
    }
    for (place, sender) in SENDERS.iter().enumerate() {
        let name = |what: &str| format!("rate.{}{what}", sender.name);
        board.figure(&name(""), median(&rates[place]), "packets/s", Goal::Nothing);
        board.figure(
            &name("-cpu"),
            median(&costs[place]),
            "ns/packet",
            Goal::Nothing,
        );
        if let Kind::Engine(_) = sender.kind {
            let rivals = rivals(sender.threads, sender.goal >= 10.0);
            let ratios = ratios(&rates, place, &rivals);
            let goal = Goal::AtLeast(sender.goal);
            board.figure(&name("-ratio"), median(&ratios), "x", goal);
        }
    }
    Ok(())
}

/// The places of those whose best a sender is held against: zmap with as many threads or fewer; and
/// masscan, which has one, for who claims to beat both.
fn rivals(threads: u32, with_masscan: bool) -> Vec<usize> {
    let is_rival = |sender: &Sender| match sender.kind {
        Kind::Zmap => sender.threads <= threads,
        Kind::Masscan => with_masscan,
        Kind::Engine(_) => false,
    };
    (0..SENDERS.len())
        .filter(|place| is_rival(&SENDERS[*place]))
        .collect()
}

/// Round by round, the sender's rate in units of its best rival's.
fn ratios(rates: &[Vec<f64>], place: usize, rivals: &[usize]) -> Vec<f64> {
    let rounds = rates[place].iter().enumerate();
    rounds
        .map(|(round, rate)| {
            let best = rivals.iter().map(|rival| rates[*rival][round]);
            rate / best.fold(f64::MIN_POSITIVE, f64::max)
        })
        .collect()
}

/// Packets a second, and nanoseconds of processor time for each.
fn measure(arena: &Arena, sender: &Sender) -> Result<(f64, f64)> {
    let before = arena.lab.received_frames();
    let seen = arena.watch(&mut sender.command(arena))?;
    let frames = arena.lab.received_frames() - before;
    let Some(rate) = seen.frames.slope(STRETCH.0, STRETCH.1) else {
        bail!("{frames} packets arrived, too few to measure");
    };
    Ok((rate, seen.cpu_s * 1e9 / frames.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_held_against_the_right_rivals() {
        let names = |threads, with_masscan| -> Vec<&str> {
            let places = rivals(threads, with_masscan);
            places.iter().map(|place| SENDERS[*place].name).collect()
        };
        assert_eq!(names(1, true), ["zmap-1", "masscan"]);
        assert_eq!(names(2, false), ["zmap-1", "zmap-2"]);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rates = [vec![2.0, 4.0], vec![3.0, 1.0], vec![9.0, 8.0]];
        assert_eq!(ratios(&rates, 2, &[0, 1]), [3.0, 2.0]);
    }
}
