//! What was typed after the commands that look into the inventory.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use inventory::Field;

use super::{AnswerFormat, LanguageFlag, OutputFlags};

pub(crate) const FIND: &str = "\
Query, in the habit of Shodan's:
  port:11211 transport:udp version:..1.5.6      all of these
  verdict:exposed,protected                     one of these
  severity:>=high -tag:lab                      and not
  net:10.0.0.0/8 (owner:NOC* OR country:jp)     groups
  seen:<7d first:>2026-01-01 \"1.4.14 (Ubuntu)\"  times and free text

docs/query.md has every field. Without a QUERY, everything is listed. Asked is what is known now;
--at asks what was known then.

Exit codes:
  0    done
  2    usage, or the inventory cannot be read";

pub(crate) const DIFF: &str = "\
RUN is a run's id or the beginning of one (memsweep runs), or the NDJSON file of a run. Without one,
the last two runs of the same targets are compared; with one, that run and the one before it.

What always moves (counters, sizes, times) is no change, and an address that was not asked in one of
the runs is not gone.

Exit codes:
  0    nothing changed
  1    something changed
  2    usage, or the inventory cannot be read
  3    one of the runs was not finished, so what is gone cannot be told";

pub(crate) const REPORT: &str = "\
RUN is a run's id or the beginning of one (memsweep runs), or the NDJSON file of a run; without one,
the last run. Without --output, an HTML file memsweep-RUN.html is written into this folder.

Exit codes:
  0    done
  2    usage, or the inventory cannot be read";

pub(crate) const IMPORT: &str = "\
Recognised by content, also compressed by gzip: nmap's XML, masscan -oJ, -oL and -oX, zmap's CSV and
JSON, zgrab2, Shodan, Censys, BinaryEdge, Shadowserver's CSV; and memsweep's own NDJSON, as it is or
as a log of its inventory.

What others saw is kept with its source and time, judged by the same rules, and compared with what
was seen from here.

Exit codes:
  0    done
  2    usage, or a file that is not what it should be; nothing of it is kept
  3    kept, and not all of it could be read";

/// Where the inventory is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InventoryFlags {
    /// Inventory to use: a path, postgres://…, or `none` (or MEMSWEEP_INVENTORY)
    /// [default: the user's data directory]
    #[arg(long, value_name = "PLACE")]
    pub(crate) inventory: Option<String>,
}

/// What the administrator's own files say of addresses.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EnrichmentFlags {
    /// Add owner, tags, AS or country from a CSV (network,owner,tags,asn,country …) or a MaxMind
    /// database (.mmdb); repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) enrich: Vec<PathBuf>,
    /// Ask the system's resolver for the names of addresses that get a record
    #[arg(long)]
    pub(crate) resolve: bool,
}

/// Flags of `find`.
#[derive(Debug, Args)]
pub(crate) struct FindFlags {
    /// What to look for; several words are joined by spaces
    #[arg(value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// What was known at this time: 2026-01-31, 2026-01-31T12:00:00Z, or 7d ago
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// What this run saw
    #[arg(long, value_name = "RUN", conflicts_with = "at")]
    pub(crate) run: Option<String>,
    /// Count by these instead of listing, such as version,net/24
    #[arg(long, value_name = "FACETS", value_delimiter = ',')]
    pub(crate) facets: Vec<String>,
    /// At most this many
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) inventory: InventoryFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `runs`.
#[derive(Debug, Args)]
pub(crate) struct RunsFlags {
    #[command(flatten)]
    pub(crate) inventory: InventoryFlags,
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
    /// At most this many, the newest first
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: u64,
    #[command(subcommand)]
    pub(crate) action: Option<RunsAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsAction {
    /// Remove runs that are older than this, with their logs; what is known now stays known
    Prune {
        /// How far back runs are kept, such as 90d, 12w or 1y
        #[arg(long, value_name = "AGE")]
        keep: String,
    },
    /// Build the database anew from the logs of runs
    Rebuild,
}

/// Flags of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffFlags {
    /// The earlier and the later run
    #[arg(value_name = "RUN", num_args = 0..=2)]
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) inventory: InventoryFlags,
    /// text, json, ndjson or markdown; without a path (or with `-`) on stdout
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT[=PATH]",
        default_value = "text"
    )]
    pub(crate) output: String,
    /// Language of the text (default: from the locale)
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) lang: Option<LanguageFlag>,
    /// When to use colour (NO_COLOR counts too)
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: super::ColorFlag,
}

/// Flags of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportFlags {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) inventory: InventoryFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportFlags {
    /// Files of other tools (`-` = stdin)
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) inventory: InventoryFlags,
    /// Add owner, tags, AS or country from a CSV (network,owner,tags,asn,country …) or a MaxMind
    /// database (.mmdb); repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) enrich: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Lets clap see that `-tag:lab` after `find` is a term of a query and no flag, by a space before it,
/// which means nothing in a query.
pub(crate) fn with_queries_marked(
    arguments: impl Iterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    let mut is_find = false;
    arguments.enumerate().map(move |(place, argument)| {
        if place == 1 {
            is_find = argument == "find";
        }
        let is_term = argument
            .to_str()
            .and_then(|text| text.strip_prefix('-'))
            .and_then(|text| text.split_once(':'))
            .is_some_and(|(name, _)| Field::ALL.iter().any(|field| field.as_str() == name));
        if is_find && is_term {
            let mut marked = OsString::from(" ");
            marked.push(argument);
            marked
        } else {
            argument
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_with_a_minus_are_no_flags() {
        let check = |typed: &[&str], expected: &[&str]| {
            let marked = with_queries_marked(typed.iter().map(OsString::from));
            assert_eq!(marked.collect::<Vec<_>>(), expected, "{typed:?}");
        };
        check(
            &[
                "memsweep",
                "find",
                "-tag:lab",
                "-o",
                "csv",
                "-owner:noc",
                "-x:y",
            ],
            &[
                "memsweep",
                "find",
                " -tag:lab",
                "-o",
                "csv",
                " -owner:noc",
                "-x:y",
            ],
        );
        check(
            &["memsweep", "scan", "-tag:lab"],
            &["memsweep", "scan", "-tag:lab"],
        );
    }
}
