//! `demo`: a made-up network on loopback, scanned by the real scanner over real sockets.

use anyhow::Context;
use interview::Depth;
use report::Style;
use sim::DemoNetwork;
use targets::{Shard, parse_target};

use crate::commands::job::{Manner, Wanted, prepare};
use crate::commands::running::run;
use crate::exit::{Exit, Failure};
use crate::flags::{DemoFlags, Engine, JudgingFlags, PaceFlags, SeverityFlag};

/// `memsweep demo`. Exit code 0: the exposed servers are made up.
pub(crate) fn demo(flags: DemoFlags) -> Result<Exit, Failure> {
    let network = DemoNetwork::start(flags.seed)
        .context("the made-up network could not be started")
        .map_err(Failure::Broken)?;
    let names = network.names();
    let targets = network
        .targets()
        .iter()
        .map(|text| parse_target(text).map_err(Failure::usage))
        .collect::<Result<_, _>>()?;
    let wanted = Wanted {
        targets,
        exclusions: Vec::new(),
        ports: vec![network.port()],
    };
    let manner = Manner {
        command: "demo",
        tcp: true,
        udp: true,
        all: true,
        depth: Depth::Scan,
        key_names_max: None,
        seed: Some(flags.seed),
        shard: Shard::ALL,
        resume: None,
        dry: false,
    };
    let pace = PaceFlags {
        rate: None,
        adaptive: false,
        retries: Some(1),
        timeout: None,
        deadline: None,
        engine: Some(Engine::Auto),
        interface: None,
        threads: None,
    };
    let judging = JudgingFlags {
        scope: None,
        accept: None,
        fail_on: SeverityFlag::Low,
    };
    let lookup = |address: &model::Address| {
        address
            .ip()
            .and_then(|ip| names.get(&ip))
            .map(|name| name.as_str().into())
    };
    let prepared = prepare(&wanted, &manner, &pace, &judging, &lookup, &|| Ok(()))?;
    let ended = run(&prepared, Style::Demo, &flags.output, None)?;
    match ended.exit() {
        Exit::Interrupted => Ok(Exit::Interrupted),
        _ if ended.broken => Ok(Exit::Unfinished),
        _ => Ok(Exit::Done),
    }
}
