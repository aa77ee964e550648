//! The `live` engine: probes are made inside the kernel, and handed to the card's driver in batches
//! that never were packets of the network stack (XDP live frames, Linux 5.18).
//!
//! # One program
//!
//! `bpf/live.bpf.c` is attached to each interface, where it hears answers; a transmitter *runs* the
//! same program, over as many blank frames as its stint has slots, and each run of it fills one in.
//! A slot is a counter of the order and a transport. Permutation, cookie, checksums and bytes are
//! those of the crates `targets` and `sweep`; the tests hold the one against the other.
//!
//! # The wall
//!
//! What the program can send to is a map of segments ([`tables`]), which is the permit's blocks cut
//! by how they are reached. It is frozen before the program first runs, and everything else is a
//! number inside the program: from then on nobody, this process included, can make it ask others.
//!
//! # What it goes around
//!
//! Live frames pass no queueing discipline, no firewall and no packet tap, and a driver that cannot
//! send them drops them without a word. So [`canary`] proves that they arrive before the first probe
//! leaves, and [`rules`] looks for rules of this machine that somebody made about memcached.

mod attached;
mod canary;
mod receiver;
mod rules;
mod tables;
mod transmitter;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use nix::errno::Errno;
use sweep::reply::LinkLayer;
use sweep::schedule::Answered;
use targets::Permit;

use crate::FramesError;
use crate::bpf::object::Symbol;
use crate::bpf::ring::RingReader;
use crate::bpf::{self, Link, LoadError, Map, Mapping, Program};
use crate::engine::{Carrier, EngineKind, Ground, Transmit};
use crate::error::program;
use crate::survey::{Interface, Survey};

use receiver::LiveReceiver;
use tables::Tables;
use transmitter::LiveTransmitter;

pub(crate) use rules::bypassed_rules;

/// The engine's name in messages.
const NAME: &str = "live";
/// How programs and maps are called in the kernel: `ip link`, `bpftool` show it.
const KERNEL_NAME: &str = "memsweep_live";
/// Loopback's index in every network namespace (`LOOPBACK_IFINDEX` of include/net/flow.h). Runs
/// name it as the interface that their frames come from, because nothing of ours is attached there.
const LOOPBACK: u32 = 1;
/// Bytes that a `struct work` of bpf/generate.h takes, and a `struct receipt` of bpf/receive.h.
const PROCESSOR_BYTES: usize = 64;
/// Bytes of the ring: 95,000 short answers, which is 95 ms at a million answers a second.
const RING_BYTES: usize = 1 << 23;
/// Pairs of an order at most: two bits each are kept, 256 MiB in all.
const PAIRS_MAX: u64 = 1 << 30;
/// A run has so many slots at most; with two transports, half as many pairs.
const STINT_PAIRS_MAX: u64 = 1 << 21;
/// A run of a program that is attached costs some 20 µs, whatever it sends.
const QUANTUM: Duration = Duration::from_millis(5);

/// The compiled program; `cargo xtask bpf` makes it.
const OBJECT: &[u8] = include_bytes!("../bpf/live.bpf.o");

/// Makes the engine ready, or says why it cannot work here.
pub(crate) fn open(
    ground: &Ground,
    permit: &Permit,
    survey: &Survey,
    threads: u32,
) -> Result<Carrier, FramesError> {
    check_suited(ground, survey)?;
    let apparatus = Apparatus::load(ground, permit)?;
    let mut links = Vec::new();
    for interface in &survey.interfaces {
        links.push(apparatus.attach(interface)?);
    }
    for interface in &survey.interfaces {
        canary::prove_delivery(interface, survey, permit)?;
    }
    apparatus.into_carrier(links, &survey.interfaces, ground, threads)
}

/// Loads the program as a run over this permit would, and drops it again: it is attached to nothing
/// and never runs.
pub(crate) fn try_program(ground: &Ground, permit: &Permit) -> Result<(), FramesError> {
    check_machine()?;
    Apparatus::load(ground, permit).map(drop)
}

/// An engine that cannot work here, with the mend.
fn unsuited(reason: impl Into<String>) -> FramesError {
    FramesError::Unsuited {
        engine: NAME,
        reason: format!("{}; use --engine packet", reason.into()),
    }
}

/// What the kernel refused, in words that help.
fn refused(what: &'static str) -> impl FnOnce(Errno) -> FramesError {
    move |errno| match errno {
        Errno::EPERM | Errno::EACCES => FramesError::NotPermitted {
            engine: NAME,
            what,
            program: program(),
        },
        Errno::ENOSYS => unsuited(format!("{what}: this kernel has no BPF")),
        // The kernel's own ENOTSUPP, which no C library knows.
        Errno::UnknownErrno => unsuited(format!("{what}: this kernel is too old (Linux 5.18)")),
        errno => unsuited(format!("{what}: {}", errno.desc())),
    }
}

/// What the kernel says of the program.
fn not_loaded(error: LoadError) -> FramesError {
    match error {
        LoadError::Refused {
            errno,
            verdict: None,
        } => refused("loading a BPF program")(errno),
        // Without CAP_PERFMON the verifier allows no pointer that may come from several places.
        LoadError::Refused {
            verdict: Some(verdict),
            ..
        } if verdict.contains("!root") => unsuited(format!(
            "loading its BPF program takes cap_perfmon too; run as root, or once `sudo setcap \
             cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep {}`",
            program()
        )),
        error => unsuited(format!("loading a BPF program: {error}")),
    }
}

fn check_machine() -> Result<(), FramesError> {
    if cfg!(target_endian = "big") {
        return Err(unsuited("its program is for little-endian machines"));
    }
    Ok(())
}

/// What can be known without trying.
fn check_suited(ground: &Ground, survey: &Survey) -> Result<(), FramesError> {
    check_machine()?;
    if ground.order.len() > PAIRS_MAX {
        return Err(unsuited(format!(
            "{} address and port pairs are more than {PAIRS_MAX}",
            ground.order.len()
        )));
    }
    for interface in &survey.interfaces {
        if interface.layer != LinkLayer::Ethernet || interface.hardware.is_none() {
            let name = &interface.name;
            return Err(unsuited(format!("interface {name} has no Ethernet header")));
        }
        if interface.index == LOOPBACK {
            return Err(unsuited("frames vanish: loopback swallows live frames"));
        }
    }
    Ok(())
}

/// The program with everything that it works with.
struct Apparatus {
    program: Arc<Program>,
    works: Arc<Mapping>,
    receipts: Arc<Mapping>,
    answered: Answered,
    ring: RingReader,
}

impl Apparatus {
    fn load(ground: &Ground, permit: &Permit) -> Result<Apparatus, FramesError> {
        let tables = Tables::new(ground, permit).map_err(unsuited)?;
        let processors = bpf::possible_processors();
        let words = usize::try_from(ground.order.len().div_ceil(32).max(1))
            .map_err(|_| unsuited("too many pairs for this machine"))?;
        let make = || -> Result<_, Errno> {
            Ok((
                Map::shared(KERNEL_NAME, PROCESSOR_BYTES, processors)?,
                Map::shared(KERNEL_NAME, PROCESSOR_BYTES, processors)?,
                Map::shared(KERNEL_NAME, 8, words)?,
                Map::ring(KERNEL_NAME, RING_BYTES)?,
            ))
        };
        let ((works, work_memory), (receipts, receipt_memory), (answered, bits), ring) =
            make().map_err(refused("making BPF maps"))?;
        let filled = tables
            .fill(KERNEL_NAME)
            .map_err(refused("making BPF maps"))?;
        let mut symbols = tables.constants(ground);
        symbols.extend(filled.symbols());
        symbols.extend([
            ("works", Symbol::Map(works.as_fd())),
            ("receipts", Symbol::Map(receipts.as_fd())),
            ("answered", Symbol::Map(answered.as_fd())),
            ("ring", Symbol::Map(ring.as_fd())),
            ("RING_HALF", Symbol::Constant(RING_BYTES as u64 / 2)),
            ("RUN_INTERFACE", Symbol::Constant(u64::from(LOOPBACK))),
        ]);
        let program = Program::xdp(KERNEL_NAME, OBJECT, &symbols).map_err(not_loaded)?;
        filled.freeze().map_err(refused("freezing BPF maps"))?;
        Ok(Apparatus {
            program: Arc::new(program),
            works: Arc::new(work_memory),
            receipts: Arc::new(receipt_memory),
            answered: Answered::in_storage(Arc::new(bits)),
            ring: RingReader::new(ring, RING_BYTES).map_err(refused("mapping a BPF ring"))?,
        })
    }

    fn attach(&self, interface: &Interface) -> Result<Link, FramesError> {
        let name = &interface.name;
        let link = self
            .program
            .attach(interface.index)
            .map_err(|errno| match errno {
                Errno::EBUSY | Errno::EEXIST => {
                    let other = attached::program_on(interface.index);
                    let other = other.unwrap_or_else(|| "another program".to_owned());
                    unsuited(format!(
                        "{other} is attached to {name} (`ip link set {name} xdp off` removes it)"
                    ))
                }
                Errno::ENODEV => FramesError::NoInterface { name: name.clone() },
                errno => refused("attaching an XDP program")(errno),
            })?;
        // Some cards restart when a program is attached.
        attached::await_running(name)?;
        Ok(link)
    }

    fn into_carrier(
        self,
        links: Vec<Link>,
        interfaces: &[Interface],
        ground: &Ground,
        threads: u32,
    ) -> Result<Carrier, FramesError> {
        let names: BTreeSet<String> = interfaces
            .iter()
            .map(|interface| interface.name.clone())
            .collect();
        let names: Arc<[String]> = names.into_iter().collect();
        let drops = Arc::new(AtomicU64::new(transmitter::drops(&names)));
        let transmitters = transmitter::processors(threads)
            .map_err(FramesError::system("reading the allowed processors"))?
            .into_iter()
            .map(|processor| {
                LiveTransmitter::new(
                    processor,
                    Arc::clone(&self.program),
                    Arc::clone(&self.works),
                    Arc::clone(&names),
                    Arc::clone(&drops),
                    ground.stream && ground.datagram,
                )
                .map(|transmitter| Box::new(transmitter) as Box<dyn Transmit>)
            })
            .collect::<Result<Vec<_>, FramesError>>()?;
        let receiver = LiveReceiver::new(self.ring, self.receipts, links);
        Ok(Carrier {
            kind: EngineKind::Live,
            transmitters,
            receivers: vec![Box::new(receiver)],
            answered: self.answered,
            quantum: QUANTUM,
            stint_pairs_max: STINT_PAIRS_MAX,
        })
    }
}
