//! `verify`: ask again about what a run found. Is it closed now?

use std::collections::{HashMap, HashSet};
use std::path::Path;

use interview::Depth;
use model::{Address, Hostname, Transport, Verdict};
use report::Style;
use targets::{Hosts, Shard, Target, parse_ports, parse_target};

use crate::commands::job::{Manner, Wanted, prepare, run};
use crate::commands::past::read_past_run;
use crate::exit::{Exit, Failure};
use crate::flags::VerifyFlags;
use crate::terminal;

/// `memsweep verify`.
pub(crate) fn verify(flags: VerifyFlags) -> Result<Exit, Failure> {
    let ports = parse_ports(&flags.ports).map_err(Failure::usage)?;
    let mut targets: Vec<Target> = Vec::new();
    let mut typed: HashSet<String> = HashSet::new();
    let mut names: HashMap<Address, Hostname> = HashMap::new();
    let mut files = 0;
    for subject in &flags.subjects {
        let path = Path::new(subject);
        if path.is_file() {
            files += 1;
            add_found(path, &mut targets, &mut typed, &mut names)?;
        } else if path.extension().is_some_and(|word| word == "ndjson") {
            // It would be looked up as a host name, and the answer would help nobody.
            return Err(Failure::usage(format!("{subject}: no such file")));
        } else {
            targets.push(
                parse_target(subject).map_err(|error| {
                    Failure::usage(format!("{error} (and there is no such file)"))
                })?,
            );
        }
    }
    if targets.is_empty() {
        if files > 0 && !flags.output.quiet {
            terminal::say(
                "memsweep: that run found nothing exposed, so there is nothing to verify",
            );
        }
        return Ok(Exit::Done);
    }
    let wanted = Wanted {
        targets,
        exclusions: Vec::new(),
        ports,
    };
    let manner = Manner {
        tcp: true,
        udp: true,
        all: true,
        depth: Depth::Scan,
        seed: None,
        shard: Shard::ALL,
        resume: None,
    };
    let lookup = |address: &Address| names.get(address).cloned();
    let prepared = prepare(&wanted, &manner, &flags.pace, &flags.judging, &lookup)?;
    Ok(run(&prepared, Style::Verify, &flags.output, None)?.exit())
}

/// Takes the exposed endpoints of a run, each address and port once: both transports are asked,
/// because a fix often closes one and forgets the other.
fn add_found(
    path: &Path,
    targets: &mut Vec<Target>,
    known: &mut HashSet<String>,
    names: &mut HashMap<Address, Hostname>,
) -> Result<(), Failure> {
    let past = read_past_run(path)?;
    for endpoint in past
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.verdict == Verdict::Exposed)
    {
        let typed = match endpoint.transport {
            Transport::Unix => endpoint.address.clone(),
            Transport::Tcp | Transport::Udp if endpoint.address.contains(':') => {
                format!("[{}]:{}", endpoint.address, endpoint.port)
            }
            Transport::Tcp | Transport::Udp => format!("{}:{}", endpoint.address, endpoint.port),
        };
        if !known.insert(typed.clone()) {
            continue;
        }
        let target = parse_target(&typed)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        match (&target.hosts, &endpoint.hostname) {
            (Hosts::Address(address), Some(name)) => {
                names
                    .entry(address.clone())
                    .or_insert_with(|| name.as_str().into());
            }
            (Hosts::Address(_) | Hosts::Unix(_), _) => {}
            // A run writes addresses; a file that says `local` or a network is no run's.
            (Hosts::Ranges(_) | Hosts::Name(_) | Hosts::Local, _) => {
                return Err(Failure::usage(format!(
                    "{}: {:?} is no address of an endpoint",
                    path.display(),
                    endpoint.address
                )));
            }
        }
        targets.push(target);
    }
    Ok(())
}
