//! `inventory`: a million endpoints that somebody else saw, imported; questions to all of them; and
//! two runs of a hundred thousand endpoints, compared.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::commands::{announce, measure, measure_and_look};
use super::dump::Folder;
use super::figures::{Board, Goal, median};
use super::measures::peak_memory_mib;

const IMPORTED: u32 = 1_000_000;
const IMPORT_S_MAX: f64 = 60.0;
const IMPORT_MIB_MAX: f64 = 300.0;
const COMPARED: u32 = 100_000;
const DIFF_S_MAX: f64 = 1.0;
const FIND_MS_MAX: f64 = 50.0;
const FIND_ROUNDS: usize = 21;
const DIFF_ROUNDS: usize = 5;

/// Questions of three terms each, as they are typed: one that picks few, one that picks many and is
/// cut, one that counts.
const QUESTIONS: [(&str, &str); 3] = [
    (
        "find-few",
        "find --limit 100 -o csv port:11211 net:10.7.0.0/16 version:..1.4.15",
    ),
    (
        "find-many",
        "find --limit 100 -o csv port:11211 transport:udp version:..1.5.6",
    ),
    (
        "find-facets",
        "find --facets version net:10.3.0.0/18 transport:udp verdict:exposed",
    ),
];

/// `inventory`.
pub(super) fn run(bench: &Bench, board: &mut Board) -> Result<()> {
    let folder = Folder::new("inventory")?;
    let place = folder.path().join("inventory.db");
    let command = |arguments: &str| {
        let mut command = bench.memsweep(arguments);
        command.env("MEMSWEEP_INVENTORY", &place);
        command
    };

    let export = folder.path().join("shodan.json");
    write_export(&export).context("failed to write what is imported")?;
    let mut import = command("import --quiet");
    import.arg(&export);
    announce(&import, 1);
    let mut peak_mib: f64 = 0.0;
    let run = measure_and_look(&mut import, &mut |pid| {
        // It may be gone already.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        peak_mib = peak_mib.max(peak_memory_mib(&status).unwrap_or_default());
    })?;
    board.figure("import", run.wall_s, "s", Goal::Below(IMPORT_S_MAX));
    board.figure(
        "import-peak-memory",
        peak_mib,
        "MiB",
        Goal::Below(IMPORT_MIB_MAX),
    );

    for (name, question) in QUESTIONS {
        let mut times_ms = Vec::new();
        announce(&command(question), FIND_ROUNDS);
        for _ in 0..FIND_ROUNDS {
            let run = measure(&mut command(question))?;
            ensure!(run.stdout.lines().count() > 1, "{question} found nothing");
            times_ms.push(run.wall_s * 1000.0);
        }
        board.figure(name, median(&times_ms), "ms", Goal::Below(FIND_MS_MAX));
    }

    let (before, after) = (
        folder.path().join("before.ndjson"),
        folder.path().join("after.ndjson"),
    );
    write_run(&before, "20260101T000000Z-000001", "1.6.18").context("failed to write a run")?;
    write_run(&after, "20260102T000000Z-000002", "1.6.19").context("failed to write a run")?;
    for path in [&before, &after] {
        let mut import = command("import --quiet");
        import.arg(path);
        announce(&import, 1);
        measure(&mut import)?;
    }
    let question = "diff 20260101T000000Z-000001 20260102T000000Z-000002 -o ndjson";
    announce(&command(question), DIFF_ROUNDS);
    let mut times_s = Vec::new();
    for _ in 0..DIFF_ROUNDS {
        let run = measure(&mut command(question))?;
        let changed = run
            .stdout
            .lines()
            .filter(|line| line.contains("1.6.19"))
            .count();
        ensure!(changed >= 100, "the comparison says {changed} changes");
        times_s.push(run.wall_s);
    }
    board.figure("diff", median(&times_s), "s", Goal::Below(DIFF_S_MAX));
    Ok(())
}

/// An export in Shodan's form: a line an endpoint, versions and transports in turn.
fn write_export(path: &Path) -> std::io::Result<()> {
    const VERSIONS: [&str; 8] = [
        "1.4.4", "1.4.13", "1.4.15", "1.4.33", "1.5.5", "1.5.6", "1.6.18", "1.6.38",
    ];
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..IMPORTED {
        let version = VERSIONS[(number % 8) as usize];
        let (transport, module) = match number / 8 % 2 {
            0 => ("tcp", "memcache"),
            _ => ("udp", "memcache-udp"),
        };
        let [_, b, c, d] = number.to_be_bytes();
        writeln!(
            file,
            "{{\"ip_str\":\"10.{b}.{c}.{d}\",\"port\":11211,\"transport\":\"{transport}\",\
             \"timestamp\":\"2026-11-20T10:00:00.000000\",\"product\":\"Memcached\",\
             \"version\":\"{version}\",\"data\":\"STAT pid {number}\\r\\nSTAT uptime 1000\\r\\n\
             STAT time 1795370000\\r\\nSTAT version {version}\\r\\nSTAT curr_connections 10\\r\\n\
             STAT curr_items {number}\\r\\nEND\\r\\n\",\
             \"_shodan\":{{\"module\":\"{module}\"}}}}"
        )?;
    }
    file.flush()
}

/// A run of this program; one endpoint of a thousand has another version in the second one.
fn write_run(path: &Path, run: &str, version: &str) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let timestamp = format!("{}-{}-{}T00:00:00Z", &run[..4], &run[4..6], &run[6..8]);
    writeln!(
        file,
        "{{\"record\":\"run\",\"schema\":1,\"run\":\"{run}\",\"timestamp\":\"{timestamp}\",\
         \"command\":\"scan\",\"tool_version\":\"0.1.0\",\"targets\":[\"172.16.0.0/15\"],\
         \"exclude\":[],\"ports\":[11211],\"tcp\":true,\"udp\":false,\"seed\":1,\"shard\":\"1/1\",\
         \"rate\":10000,\"retries\":3,\"plan\":{{\"pairs\":131072,\"fingerprint\":\"00000000000000ff\",\
         \"blocks\":[{{\"first\":\"172.16.0.0\",\"last\":\"172.17.255.255\",\"ports\":[11211]}}]}},\
         \"counter\":0,\"vantage\":{{\"engine\":\"socket\"}}}}"
    )?;
    for number in 0..COMPARED {
        let [_, b, c, d] = number.to_be_bytes();
        let version = if number % 1000 == 0 {
            version
        } else {
            "1.6.18"
        };
        writeln!(
            file,
            "{{\"record\":\"endpoint\",\"schema\":1,\"run\":\"{run}\",\"timestamp\":\"{timestamp}\",\
             \"address\":\"172.{}.{c}.{d}\",\"port\":11211,\"transport\":\"tcp\",\
             \"verdict\":\"exposed\",\"reason\":\"executed stats\",\"alarm\":true,\
             \"contact\":\"answered\",\"attempts\":1,\"version\":\"{version}\",\
             \"protocol\":\"ascii\",\"auth\":\"none\",\"executed\":[\"version\",\"stats\"],\
             \"server\":{{\"pid\":{number},\"uptime_s\":1000,\"time\":1767225600}},\
             \"settings\":{{\"tcpport\":\"11211\",\"udpport\":\"0\",\"inter\":\"NULL\"}},\
             \"findings\":[{{\"code\":\"MS001\",\"severity\":\"high\",\
             \"confidence\":\"confirmed\",\"title\":\"open without authentication\",\
             \"evidence\":[\"executed\"],\"fix\":\"listen on loopback only\"}}]}}",
            16 + b
        )?;
    }
    writeln!(
        file,
        "{{\"record\":\"summary\",\"schema\":1,\"run\":\"{run}\",\"timestamp\":\"{timestamp}\",\
         \"verdicts\":{{\"exposed\":{COMPARED}}},\"alarms\":{COMPARED},\"packets_sent\":1,\
         \"packets_received\":1,\"rejected_replies\":0,\"duration_s\":1.0,\"complete\":true,\
         \"counter\":131072,\"notes\":[]}}"
    )?;
    file.flush()
}
