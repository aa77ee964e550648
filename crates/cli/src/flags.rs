//! What was typed. Nothing is done while it is read; what it means is decided in `commands`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Styles;
use clap::{Args, Parser, Subcommand, ValueEnum};
use report::nagios::Range;

use crate::values::{parse_duration, parse_rate};

mod inventory;

use inventory::{DIFF, FIND, IMPORT, REPORT};
pub(crate) use inventory::{
    DiffFlags, EnrichmentFlags, FindFlags, ImportFlags, InventoryFlags, ReportFlags, RunsAction,
    RunsFlags, with_queries_marked,
};

/// Packets a second of a run that says nothing else.
pub(crate) const RATE_PPS_DEFAULT: u64 = 10_000;
/// Sends after the first of a run that says nothing else.
pub(crate) const RETRIES_DEFAULT: u32 = 3;
/// More threads than any network card has queues.
pub(crate) const THREADS_MAX: u32 = 64;
/// A sample of more names would tell no more, and cost the server more.
pub(crate) const SAMPLE_KEYS_MAX: u32 = 1_000;
/// More would only annoy.
pub(crate) const RETRIES_MAX: u32 = 10;

const EXIT_CODES: &str = "\
Exit codes:
  0    nothing exposed
  1    something exposed, at or above --fail-on and not accepted
  2    usage, configuration or scope; nothing was sent
  3    could not finish
  130  interrupted; what was found is kept";

const TARGETS: &str = "\
Targets:
  192.168.2.7  192.168.2.0/24  192.168.2.1-50  host.example.org  any of them with :PORT
  2001:db8::1  [2001:db8::1]:11211  fe80::1%eth0  unix:/run/memcached.sock
  fe80::/64%eth0  2001:db8:1::/64 on a link of this machine: its hosts, found by an echo to all nodes
  local        this machine's on-link private networks

Loopback, link-local and private networks may be scanned as they are. Any other address needs a
scope entry: memsweep scope add 203.0.113.0/24 --owner \"who administers it\"
";

const TOOL: &str = "\
Modes:
  display   slab classes at a glance        stats     general statistics
  settings  how the server was started      items     what each slab class holds
  slabs     how memory is cut up            sizes     how many items of which size
  conns     who is connected, counted       keys      names of keys
  dump      keys and values, as add lines   console   an interactive prompt

The password is read from --password-file or MEMSWEEP_PASSWORD, never from the command line.

Exit codes:
  0    done
  2    usage, scope, credentials, or a certificate that does not verify
  3    incomplete: not reached, refused, or not all of it could be had";

const EXPLAIN: &str = "\
Without a CODE, all rules are listed.

Exit codes:
  0    done
  2    no such rule";

const AUDIT: &str = "\
Exit codes:
  0    nothing is reachable from outside
  1    something runs, or is configured, to be reachable from outside
  2    usage, or a file that was named cannot be read
  3    not everything could be looked at; root sees more";

const FIX: &str = "\
Changes only what lets strangers in: OPTIONS of sysconfig files, lines of memcached.conf, options of
systemd units (by a drop-in), ports of compose files, rc.conf, and PHP sessions that must follow.
Commands for the firewall are printed and never carried out.

Exit codes:
  0    done, or nothing to do
  2    usage, or clients on other machines are connected: say --listen or --allow
  3    something is left to be done by hand, or a file could not be written";

/// Find, prove and close exposed memcached servers.
#[derive(Debug, Parser)]
#[command(name = "memsweep", version, about, styles = Styles::plain(), max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find memcached on hosts and networks, TCP and UDP together, and judge what is found
    #[command(after_help = format!("{TARGETS}\n{EXIT_CODES}"))]
    Scan(ScanFlags),
    /// The full interview of single servers: everything an outsider learns, with the fix
    #[command(after_help = format!("{TARGETS}\n{EXIT_CODES}"))]
    Check(ScanFlags),
    /// This machine from the inside, without network: what runs, what is configured, who reaches it
    #[command(after_help = AUDIT)]
    Audit(AuditFlags),
    /// The change that closes what is open on this machine, as a diff; --apply makes it
    #[command(after_help = FIX)]
    Fix(FixFlags),
    /// Ask again about what a run found: is it closed now?
    #[command(
        after_help = "RUN is a run of the inventory, FILE the NDJSON of an earlier run. \
        Each of its findings \
        is closed, still open, or cannot be told. Exit code 0: all closed. 1: something is still \
        open. 3: cannot be told, or could not finish."
    )]
    Verify(VerifyFlags),
    /// Search the inventory of what was seen: port:11211 transport:udp version:..1.5.6 …
    #[command(after_help = FIND)]
    Find(FindFlags),
    /// What was scanned and imported
    Runs(RunsFlags),
    /// What changed between two runs
    #[command(after_help = DIFF)]
    Diff(DiffFlags),
    /// A report of a run, as one HTML file
    #[command(after_help = REPORT)]
    Report(ReportFlags),
    /// Take in what nmap, masscan, zmap, Shodan, Censys or Shadowserver saw
    #[command(after_help = IMPORT)]
    Import(ImportFlags),
    /// Which networks this user administers: list, add, remove, check
    Scope(ScopeFlags),
    /// Look into one server: memcached-tool's modes, over TCP, UDP, a unix socket or TLS
    #[command(after_help = TOOL)]
    Tool(ToolFlags),
    /// What this machine allows each engine, and what is missing
    Doctor(DoctorFlags),
    /// A rule: what, why, evidence, fix; or how grades are made
    #[command(after_help = EXPLAIN)]
    Explain(ExplainFlags),
    /// A made-up network on loopback, scanned: the whole product seen in ten seconds
    Demo(DemoFlags),
}

/// Flags of `scan` and `check`.
#[derive(Debug, Args)]
pub(crate) struct ScanFlags {
    /// Addresses, networks, ranges, host names, unix:/path, or `local`
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Read more targets from a file, one a line (`-` = stdin)
    #[arg(short = 'i', long = "input", value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,
    /// Leave these targets out
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Leave out the targets listed in a file
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_file: Vec<PathBuf>,
    /// Ports to ask where a target names none, such as 11211,11212,12000-12003
    #[arg(short = 'p', long, value_name = "PORTS", default_value = "11211")]
    pub(crate) ports: String,
    /// Ask over TCP only (with --udp: both, as without either)
    #[arg(long)]
    pub(crate) tcp: bool,
    /// Ask over UDP only
    #[arg(long)]
    pub(crate) udp: bool,
    /// Every endpoint gets a record, also closed, filtered, silent and absent ones
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) pace: PaceFlags,
    /// Order of the probes; the same seed asks in the same order (default: random)
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..1 << 53))]
    pub(crate) seed: Option<u64>,
    /// Ask only part I of N parts that together are everything
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub(crate) shard: String,
    /// Continue an interrupted run, by its id (memsweep runs) or from its NDJSON; its targets and
    /// plan are taken from there
    #[arg(long, value_name = "RUN|FILE", conflicts_with_all =
        ["targets", "input", "exclude", "exclude_file", "seed", "shard", "ports", "tcp", "udp",
         "from_import"])]
    pub(crate) resume: Option<String>,
    /// Ask what an import saw open (nmap, shodan …); each address must be in scope; repeatable
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from_import: Vec<String>,
    /// Ask open servers for so many names of keys at most, and count what kinds of data they show
    /// (sessions, for instance); names are shortened before they are kept, values are never read,
    /// and a resumed run samples only if it is told so again
    #[arg(long, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(SAMPLE_KEYS_MAX)))]
    pub(crate) sample_keys: Option<u32>,
    /// What would be sent to whom; nothing is sent
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With -o nagios: a warning if the number of alarms is outside of this range [default: 0]
    #[arg(short = 'w', long, value_name = "RANGE", value_parser = Range::parse)]
    pub(crate) warning: Option<Range>,
    /// With -o nagios: critical if the number of alarms is outside of this range [default: 0]
    #[arg(short = 'c', long, value_name = "RANGE", value_parser = Range::parse)]
    pub(crate) critical: Option<Range>,
    #[command(flatten)]
    pub(crate) judging: JudgingFlags,
    #[command(flatten)]
    pub(crate) inventory: InventoryFlags,
    #[command(flatten)]
    pub(crate) enrichment: EnrichmentFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// How fast and how patiently to ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct PaceFlags {
    /// Packets a second at most, such as 50k, or 10Mbit of 84 bytes a packet on the wire
    /// [default: 10000]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) rate: Option<u64>,
    /// Begin slowly, and lower the rate when answers get lost; --rate is the most. For packet
    /// engines
    #[arg(long)]
    pub(crate) adaptive: bool,
    /// Sends after the first, only to what stayed silent [default: 3]
    #[arg(long, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(0..=i64::from(RETRIES_MAX)))]
    pub(crate) retries: Option<u32>,
    /// How long one probe is waited for (default: from measured round trips, 100ms to 2s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// End the whole run after this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) deadline: Option<Duration>,
    /// What moves the packets [default: auto]
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<Engine>,
    /// Send over this interface only (default: as the routes say); not with --engine socket
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Threads that send frames [default: one a CPU, at most 4]
    #[arg(long, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(THREADS_MAX)))]
    pub(crate) threads: Option<u32>,
}

/// What moves the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// The best that this machine and the targets allow
    Auto,
    /// Frames made in the kernel (XDP live frames): millions of packets a second; Linux 5.18, root
    Live,
    /// AF_XDP sockets: a million packets a second; root
    Xdp,
    /// AF_PACKET sockets: hundreds of thousands of packets a second; root or CAP_NET_RAW
    Packet,
    /// Ordinary sockets: no privileges needed
    Socket,
}

impl Engine {
    /// As it is typed.
    pub(crate) fn word(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// The one of this word.
    pub(crate) fn of_word(word: &str) -> Option<Engine> {
        Engine::from_str(word, false).ok()
    }
}

/// Whom the user may ask, and what counts as an alarm.
#[derive(Clone, Debug, Args)]
pub(crate) struct JudgingFlags {
    /// Read the scope from this file instead of the user's and /etc/memsweep/scope.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) scope: Option<PathBuf>,
    /// Accepted risks: endpoint or rule, with reason and end date (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) accept: Option<PathBuf>,
    /// The least severity that makes the exit code 1
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    pub(crate) fail_on: SeverityFlag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeverityFlag {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// Where results go and how they look.
#[derive(Clone, Debug, Args)]
pub(crate) struct OutputFlags {
    /// text, ndjson, json, nmap or pcapng (the frames behind findings; needs privileges);
    /// xml, grepable, csv, shadowserver, zgrab2, prometheus, nagios, ansible, html, markdown;
    /// sarif, defectdojo, ocsf, stix, misp, abuse (letters to the owners), parquet;
    /// repeatable; without a path (or with `-`) on stdout
    #[arg(short = 'o', long = "output", value_name = "FORMAT[=PATH]")]
    pub(crate) output: Vec<String>,
    /// Language of the text (default: from the locale)
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) lang: Option<LanguageFlag>,
    /// No progress and no remarks on stderr
    #[arg(short = 'q', long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// More evidence in the text, more remarks on stderr
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    /// When to use colour (NO_COLOR counts too)
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorFlag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LanguageFlag {
    /// English
    En,
    /// 日本語
    Ja,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorFlag {
    Auto,
    Always,
    Never,
}

/// Flags of `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditFlags {
    /// Compose files, Kubernetes manifests, Helm values, Dockerfiles, or folders of them
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Look at a mounted image or a container's file system instead of this machine
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// The least severity that makes the exit code 1
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    pub(crate) fail_on: SeverityFlag,
    /// text, ndjson, json, csv or sarif; repeatable; without a path (or with `-`) on stdout
    #[arg(short = 'o', long = "output", value_name = "FORMAT[=PATH]")]
    pub(crate) output: Vec<String>,
    /// Language of the text (default: from the locale)
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) lang: Option<LanguageFlag>,
}

/// Flags of `fix`.
#[derive(Debug, Args)]
pub(crate) struct FixFlags {
    /// Compose files, or folders of them
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Write the change, with a backup of each file beside it
    #[arg(long)]
    pub(crate) apply: bool,
    /// Restart what was changed; its cache is lost
    #[arg(long, requires = "apply")]
    pub(crate) restart: bool,
    /// Restart by this command line, given to sh, instead of systemctl, service or docker
    #[arg(long, value_name = "COMMAND", requires = "restart")]
    pub(crate) restart_command: Option<String>,
    /// Listen on this address of the machine instead of loopback; repeatable
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<IpAddr>,
    /// Keep listening, and let only this network in, by commands for the firewall; repeatable
    #[arg(long, value_name = "CIDR")]
    pub(crate) allow: Vec<String>,
    /// Mend a mounted image or a container's file system instead of this machine
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// text or json
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) output: AnswerFormat,
    /// Language of the text (default: from the locale)
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) lang: Option<LanguageFlag>,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyFlags {
    /// An earlier run by its id (memsweep runs), its NDJSON file, or targets
    #[arg(value_name = "RUN|FILE|TARGET", required = true)]
    pub(crate) subjects: Vec<String>,
    /// Ports to ask where a target names none
    #[arg(short = 'p', long, value_name = "PORTS", default_value = "11211")]
    pub(crate) ports: String,
    #[command(flatten)]
    pub(crate) pace: PaceFlags,
    #[command(flatten)]
    pub(crate) judging: JudgingFlags,
    #[command(flatten)]
    pub(crate) inventory: InventoryFlags,
    #[command(flatten)]
    pub(crate) enrichment: EnrichmentFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `scope`.
#[derive(Debug, Args)]
pub(crate) struct ScopeFlags {
    /// Use this file instead of the user's
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) scope: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) action: ScopeAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScopeAction {
    /// Print every entry with its owner, end date and file
    List,
    /// Add a network that you administer
    Add {
        /// The network, such as 203.0.113.0/24, or one address
        #[arg(value_name = "CIDR")]
        network: String,
        /// Who administers it
        #[arg(long, value_name = "NAME")]
        owner: String,
        /// The last day on which the entry counts
        #[arg(long, value_name = "YYYY-MM-DD")]
        until: Option<String>,
    },
    /// Remove a network
    Remove {
        /// The network, as it was added
        #[arg(value_name = "CIDR")]
        network: String,
    },
    /// Say whether targets may be scanned, and why
    Check {
        /// Targets, as `scan` takes them
        #[arg(value_name = "TARGET", required = true)]
        targets: Vec<String>,
    },
}

/// Flags of `tool`.
#[derive(Debug, Args)]
pub(crate) struct ToolFlags {
    /// The server: address or name with its port, or unix:/path
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// What to look at
    #[arg(
        value_name = "MODE",
        default_value = "display",
        hide_possible_values = true
    )]
    pub(crate) mode: ToolMode,
    /// Ask over UDP
    #[arg(long)]
    pub(crate) udp: bool,
    /// Ask through TLS
    #[arg(long)]
    pub(crate) tls: bool,
    /// Trust these certificates instead of the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate, for servers that demand one (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of our certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The name that the certificate must carry, if it is not the target's
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub(crate) server_name: Option<String>,
    /// Accept any certificate; no password is sent then
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Your user on that server (or MEMSWEEP_USER)
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// A file that holds your password (or MEMSWEEP_PASSWORD)
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Send the password in clear text over a network too
    #[arg(long)]
    pub(crate) allow_cleartext: bool,
    /// The longest wait for any answer (default 2s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// keys, dump: at most this many
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
    /// keys: only names that match this pattern of * and ?
    #[arg(long, value_name = "GLOB")]
    pub(crate) filter: Option<String>,
    /// keys: prefixes, counts and kinds of data instead of names
    #[arg(long)]
    pub(crate) summary: bool,
    /// keys, conns: whole names and addresses, which may be personal data
    #[arg(long)]
    pub(crate) full: bool,
    /// dump: names only
    #[arg(long)]
    pub(crate) keys_only: bool,
    /// stats, display: look again at this interval, with rates
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) watch: Option<Duration>,
    /// text, memcached-tool or json
    #[arg(short = 'o', long = "output", value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// Read the scope from this file instead of the user's and /etc/memsweep/scope.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) scope: Option<PathBuf>,
    /// Language of the text (default: from the locale)
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) lang: Option<LanguageFlag>,
    /// No progress and no remarks on stderr
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// When to use colour (NO_COLOR counts too)
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorFlag,
}

/// The modes of `tool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ToolMode {
    Display,
    Stats,
    Settings,
    Items,
    Slabs,
    Sizes,
    Conns,
    Keys,
    Dump,
    Console,
}

impl ToolMode {
    /// The word that was typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            ToolMode::Display => "display",
            ToolMode::Stats => "stats",
            ToolMode::Settings => "settings",
            ToolMode::Items => "items",
            ToolMode::Slabs => "slabs",
            ToolMode::Sizes => "sizes",
            ToolMode::Conns => "conns",
            ToolMode::Keys => "keys",
            ToolMode::Dump => "dump",
            ToolMode::Console => "console",
        }
    }
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorFlags {
    /// text or json
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) output: AnswerFormat,
    /// Language of the text (default: from the locale)
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) lang: Option<LanguageFlag>,
}

/// The forms of commands that scan nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerFormat {
    Text,
    Json,
}

/// Flags of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainFlags {
    /// A code such as MS001, a name such as udp-reflector or CVE-2016-8704, or `grade`
    #[arg(value_name = "CODE")]
    pub(crate) subject: Option<String>,
    /// text or json (which holds both languages)
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) output: AnswerFormat,
    /// Language of the text (default: from the locale)
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) lang: Option<LanguageFlag>,
}

/// Flags of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoFlags {
    /// The same seed makes the same network
    #[arg(long, value_name = "NUMBER", default_value_t = 2018)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
