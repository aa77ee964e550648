//! `verify`: ask again about what a run found. Is it closed now?

use std::collections::{HashMap, HashSet};
use std::path::Path;

use engine::verify::{Question, Tally, Verifier};
use import::{PastEndpoint, PastRun};
use interview::Depth;
use model::{Address, Hostname, Transport, Verdict};
use report::Style;
use targets::{Hosts, Shard, Target, parse_ports, parse_target};

use crate::commands::job::{Kept, Manner, Wanted, prepare, severity};
use crate::commands::past::{looks_like_run, read_past};
use crate::commands::running::run_verifying;
use crate::exit::{Exit, Failure};
use crate::flags::VerifyFlags;
use crate::inventory::location;
use crate::terminal;

/// `memsweep verify`.
pub(crate) fn verify(flags: VerifyFlags) -> Result<Exit, Failure> {
    let ports = parse_ports(&flags.ports).map_err(Failure::usage)?;
    let mut targets: Vec<Target> = Vec::new();
    let mut typed: HashSet<String> = HashSet::new();
    let mut names: HashMap<Address, Hostname> = HashMap::new();
    let mut questions: Vec<Question> = Vec::new();
    let mut files = 0;
    let place = location(&flags.inventory)?;
    for subject in &flags.subjects {
        let path = Path::new(subject);
        if path.is_file() || looks_like_run(subject) {
            files += 1;
            let past = read_past(subject, place.as_ref())?.run;
            add_found(
                subject,
                &past,
                &mut targets,
                &mut typed,
                &mut names,
                &mut questions,
            )?;
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
        command: "verify",
        tcp: true,
        udp: true,
        all: true,
        depth: Depth::Scan,
        key_names_max: None,
        seed: None,
        shard: Shard::ALL,
        resume: None,
        dry: false,
    };
    let lookup = |address: &Address| names.get(address).cloned();
    let mut prepared = prepare(
        &wanted,
        &manner,
        &flags.pace,
        &flags.judging,
        &lookup,
        &|| Ok(()),
    )?;
    prepared.keep(Kept::read(&flags.inventory, &flags.enrichment)?, None);
    let mut verifier = Verifier::new(questions);
    let ended = run_verifying(
        &prepared,
        Style::Verify,
        &flags.output,
        None,
        Some(&mut verifier),
    )?;
    let tally = verifier.tally(severity(flags.judging.fail_on));
    Ok(exit_of(ended.exit(), tally))
}

/// An endpoint that is open for other reasons than before is still open.
fn exit_of(exit: Exit, tally: Tally) -> Exit {
    match exit {
        Exit::Done | Exit::Unfinished if tally.open > 0 => Exit::Exposed,
        Exit::Done if tally.unknown > 0 => Exit::Unfinished,
        exit => exit,
    }
}

/// The findings of an endpoint, each once, whatever files it comes from.
fn add_questions(endpoint: &PastEndpoint, questions: &mut Vec<Question>) {
    for finding in &endpoint.findings {
        let question = Question {
            address: endpoint.address.clone(),
            port: endpoint.port,
            transport: endpoint.transport,
            code: finding.code.clone(),
            title: finding.title.clone(),
        };
        if !questions.contains(&question) {
            questions.push(question);
        }
    }
}

/// Takes the endpoints of a run that were exposed or had findings, each address and port once: both transports are asked,
/// because a fix often closes one and forgets the other.
fn add_found(
    name: &str,
    past: &PastRun,
    targets: &mut Vec<Target>,
    known: &mut HashSet<String>,
    names: &mut HashMap<Address, Hostname>,
    questions: &mut Vec<Question>,
) -> Result<(), Failure> {
    for endpoint in past
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.verdict == Verdict::Exposed || !endpoint.findings.is_empty())
    {
        add_questions(endpoint, questions);
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
        let target =
            parse_target(&typed).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        match (&target.hosts, &endpoint.hostname) {
            (Hosts::Address(address), Some(name)) => {
                names
                    .entry(address.clone())
                    .or_insert_with(|| name.as_str().into());
            }
            (Hosts::Address(_) | Hosts::Unix(_), _) => {}
            // A run writes addresses; a file that says `local` or a network is no run's.
            (Hosts::Ranges(_) | Hosts::Link { .. } | Hosts::Name(_) | Hosts::Local, _) => {
                return Err(Failure::usage(format!(
                    "{name}: {:?} is no address of an endpoint",
                    endpoint.address
                )));
            }
        }
        targets.push(target);
    }
    Ok(())
}
