//! `scan` and `check`.

use std::num::NonZeroU32;

use interview::Depth;
use model::Transport;
use report::nagios::{self, Status, Thresholds};
use report::{Format, Style};
use targets::{Shard, Target, parse_ports, parse_shard, parse_target};

use crate::commands::job::{Kept, Manner, Prepared, Resumption, Wanted, parse_targets, prepare};
use crate::commands::past::{Past, read_past};
use crate::commands::running::{check_ready, run};
use crate::exit::{Exit, Failure};
use crate::flags::{Engine, InventoryFlags, ScanFlags};
use crate::inventory::{failure, is_file, location, open_inventory};
use crate::terminal::Lines;

/// `memsweep scan`.
pub(crate) fn scan(flags: ScanFlags) -> Result<Exit, Failure> {
    sweep(flags, Depth::Scan, Style::Scan)
}

/// `memsweep check`.
pub(crate) fn check(flags: ScanFlags) -> Result<Exit, Failure> {
    sweep(flags, Depth::Full, Style::Check)
}

/// What a scan or check comes to. As a monitoring plugin it has codes of its own, and says on stdout
/// also that it could not begin.
fn sweep(flags: ScanFlags, depth: Depth, style: Style) -> Result<Exit, Failure> {
    let is_plugin = is_plugin(&flags)?;
    match ask(flags, depth, style, is_plugin) {
        Err(failure) if is_plugin => {
            let mut lines = Lines::new();
            for line in nagios::unknown_line(&failure.message()).lines() {
                lines.add(line)?;
            }
            lines.finish()?;
            Ok(Exit::Plugin(Status::Unknown))
        }
        asked => asked,
    }
}

/// Whether the output for monitoring goes to stdout, and so decides the exit code.
fn is_plugin(flags: &ScanFlags) -> Result<bool, Failure> {
    let word = Format::Nagios.as_str();
    let outputs = &flags.output.output;
    let is_plugin = outputs
        .iter()
        .any(|typed| typed == word || typed.strip_prefix(word).is_some_and(|rest| rest == "=-"));
    if !is_plugin && (flags.warning.is_some() || flags.critical.is_some()) {
        return Err(Failure::usage(
            "--warning and --critical are for -o nagios; --fail-on SEVERITY decides the exit code \
             elsewhere",
        ));
    }
    Ok(is_plugin)
}

fn ask(flags: ScanFlags, depth: Depth, style: Style, is_plugin: bool) -> Result<Exit, Failure> {
    let (wanted, manner, resumes) = match &flags.resume {
        Some(named) => resumed(&flags, named, depth)?,
        None => {
            let (wanted, manner) = typed(&flags, depth)?;
            (wanted, manner, None)
        }
    };
    let resumed = flags.resume.as_deref().and_then(is_file);
    let kept = Kept::read(&flags.inventory, &flags.enrichment)?;
    let ready = || check_ready(&flags.output, resumed, flags.pace.interface.as_deref());
    let (pace, judging) = (&flags.pace, &flags.judging);
    let mut prepared = prepare(&wanted, &manner, pace, judging, &|_| None, &ready)?;
    if flags.dry_run {
        print_plan(&prepared, &manner)?;
        return Ok(Exit::Done);
    }
    prepared.keep(kept, resumes);
    prepared.thresholds = thresholds(&flags);
    let ended = run(&prepared, style, &flags.output, resumed)?;
    Ok(match &ended.summary {
        Some(summary) if is_plugin => Exit::Plugin(nagios::status(summary, &prepared.thresholds)),
        Some(_) | None => ended.exit(),
    })
}

fn thresholds(flags: &ScanFlags) -> Thresholds {
    let default = Thresholds::default();
    Thresholds {
        warning: flags.warning.unwrap_or(default.warning),
        critical: flags.critical.unwrap_or(default.critical),
    }
}

fn command_of(depth: Depth) -> &'static str {
    match depth {
        Depth::Scan | Depth::Sample => "scan",
        Depth::Full => "check",
    }
}

fn typed(flags: &ScanFlags, depth: Depth) -> Result<(Wanted, Manner), Failure> {
    let mut targets = parse_targets(&flags.targets, &flags.input)?;
    if !flags.from_import.is_empty() {
        targets.extend(imported(&flags.from_import, &flags.inventory)?);
    }
    if targets.is_empty() {
        return Err(Failure::usage(
            "no target; write an address or a network such as 192.168.2.0/24, or `local` for this \
             machine's private networks",
        ));
    }
    let wanted = Wanted {
        targets,
        exclusions: parse_targets(&flags.exclude, &flags.exclude_file)?,
        ports: parse_ports(&flags.ports).map_err(Failure::usage)?,
    };
    let manner = Manner {
        command: command_of(depth),
        tcp: flags.tcp || !flags.udp,
        udp: flags.udp || !flags.tcp,
        all: flags.all,
        depth,
        key_names_max: flags.sample_keys.and_then(NonZeroU32::new),
        seed: flags.seed,
        shard: parse_shard(&flags.shard).map_err(Failure::usage)?,
        resume: None,
        dry: flags.dry_run,
    };
    Ok((wanted, manner))
}

/// What others saw open.
fn imported(sources: &[String], inventory: &InventoryFlags) -> Result<Vec<Target>, Failure> {
    let mut inventory = open_inventory(inventory)?;
    let mut targets = Vec::new();
    for source in sources {
        let endpoints = inventory.endpoints_of_source(source).map_err(failure)?;
        if endpoints.is_empty() {
            return Err(Failure::usage(format!(
                "--from-import {source}: nothing that {source} saw is in the inventory; `memsweep \
                 import FILE` takes it in"
            )));
        }
        let mut typed: Vec<String> = endpoints
            .iter()
            .filter(|endpoint| endpoint.transport != Transport::Unix)
            .map(model::Endpoint::host_and_port)
            .collect();
        // Both transports are asked anyway.
        typed.dedup();
        for text in typed {
            targets.push(parse_target(&text).map_err(Failure::usage)?);
        }
    }
    Ok(targets)
}

/// Targets, order and transports of a resumed run are those of the run that it continues, and so are
/// `--all` and, unless another is given, rate, retries and engine; beside them the kept run that it
/// continues. Names of keys are sampled only if the one who resumes wishes
/// it: a file that somebody else may have written is no wish.
fn resumed(
    flags: &ScanFlags,
    named: &str,
    depth: Depth,
) -> Result<(Wanted, Manner, Option<String>), Failure> {
    let Past { run: past, kept_as } = read_past(named, location(&flags.inventory)?.as_ref())?;
    if past.complete || (past.counter >= past.pairs && past.pending.is_empty()) {
        return Err(Failure::usage(format!(
            "{named}: run {} is complete; there is nothing to continue",
            past.run
        )));
    }
    let parse_all = |texts: &[String]| -> Result<Vec<_>, Failure> {
        texts
            .iter()
            .map(|text| parse_target(text).map_err(Failure::usage))
            .collect()
    };
    let wanted = Wanted {
        targets: parse_all(&past.targets)?,
        exclusions: parse_all(&past.exclusions)?,
        ports: past.ports.clone(),
    };
    let manner = Manner {
        command: command_of(depth),
        tcp: past.tcp,
        udp: past.udp,
        all: flags.all || past.all.unwrap_or(false),
        depth,
        key_names_max: flags.sample_keys.and_then(NonZeroU32::new),
        seed: Some(past.seed),
        shard: Shard {
            index: past.shard.0,
            of: past.shard.1,
        },
        resume: Some(Resumption {
            name: named.to_owned(),
            run: past.run,
            counter: past.counter,
            pending: past.pending,
            fingerprint: past.fingerprint,
            verdicts: past.verdicts,
            alarms: past.alarms,
            rate_pps: past.rate_pps,
            retries: past.retries,
            engine: past.engine_wished.as_deref().and_then(Engine::of_word),
        }),
        dry: flags.dry_run,
    };
    Ok((wanted, manner, kept_as))
}

/// `--dry-run`: what would be sent to whom.
fn print_plan(prepared: &Prepared, manner: &Manner) -> Result<(), Failure> {
    let mut lines = Lines::new();
    let job = &prepared.job;
    let permit = &prepared.permit;
    let order = job.plan.order.clone();
    let transports = u64::from(manner.tcp) + u64::from(manner.udp);
    lines.add(&format!(
        "would ask {} address and port pairs, {} endpoints, at most {} packets/s, seed {}",
        order.remaining(),
        order.remaining() * transports,
        job.plan.rate_pps,
        job.run.seed
    ))?;
    let plan = &prepared.job.plan;
    lines.add(&format!(
        "engine: {}",
        engine::ways::likely(prepared.wish, plan, &prepared.frames, permit)
    ))?;
    if manner.tcp {
        lines.add(
            "tcp: one connection attempt, repeated to what stays silent; to what accepts: version, \
             get of a random key, stats, stats settings, stats items, stats conns, mn; binary \
             version, SASL list, noop, stat; a TLS hello",
        )?;
    }
    if let Some(names) = manner.key_names_max.filter(|_| manner.tcp) {
        lines.add(&format!(
            "tcp, to what is open: `stats cachedump` for at most {names} names of keys, which are \
             shortened before they are kept; no value is read",
        ))?;
    }
    if manner.udp {
        lines.add(
            "udp: one 17-byte `version` datagram, repeated to what stays silent; to what answers: \
             stats, stats settings",
        )?;
    }
    for link in &prepared.links {
        lines.add(&format!(
            "first, {} would be asked for its hosts of {}, by ICMPv6 echo requests to all nodes \
             (ff02::1); they would be asked as well",
            link.interface, link.range
        ))?;
    }
    // By which scope entries; nothing else is known yet.
    for note in &job.notes {
        lines.add(&note.en)?;
    }
    for (_, index) in order {
        let pair = permit.pair(index);
        let endpoint = pair.endpoint(model::Transport::Tcp);
        if !lines.add(&endpoint.host_and_port())? {
            break;
        }
    }
    lines.finish()
}
