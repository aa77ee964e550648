//! What other tools saw: judged by the same rules, kept as a run of its own, and held against what
//! was seen from here.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use import::{Foreign, ImportError, Importer, Kind, Networks, RECOGNISE_BYTES, Tally, recognise};
use inventory::{Imported, OWN_SOURCE, Query, Reconciled, STANDINGS_MAX, Standing, Term};
use model::{
    Contact, Endpoint, Evidence, Judgement, Record, RunRecord, Severity, Summary, Text, Transport,
    Verdict, VerdictCounts,
};

use super::{FileLines, Inventory, KeepError, Recording};
use crate::Event;
use crate::accept::weigh;

/// What is said of a file that nobody here knows.
const UNKNOWN_FORM: &str = "this is no form of results that memsweep knows; it reads nmap's XML, \
                            masscan's, zmap's, zgrab2's, Shodan's, Censys's, BinaryEdge's and \
                            Shadowserver's results, and its own NDJSON";
/// Read at once.
const PIECE_BYTES: usize = 1 << 18;

/// A file that is to be taken in.
#[derive(Clone, Debug)]
pub struct File {
    /// The id of the run that it becomes.
    pub run: Arc<str>,
    /// What it is called in messages and in the list of runs.
    pub name: String,
    /// The version of this program.
    pub tool_version: String,
    /// The present.
    pub now: SystemTime,
}

/// A file while it is written into its log.
struct Writing<'a> {
    recording: Recording,
    file: &'a File,
    networks: Option<&'a Networks>,
    verdicts: VerdictCounts,
    /// How much was told about each endpoint, by its hash.
    told: HashMap<u64, u8>,
}

impl Inventory {
    /// Takes in a file; if it cannot be read to its end, nothing of it is kept.
    pub fn import(
        &mut self,
        file: &File,
        path: Option<&Path>,
        reader: &mut dyn Read,
        networks: Option<&Networks>,
    ) -> Result<Imported, KeepError> {
        let mut begin = Vec::new();
        let mut reader = reader.take(u64::MAX);
        reader
            .by_ref()
            .take(RECOGNISE_BYTES as u64)
            .read_to_end(&mut begin)
            .map_err(|error| unreadable(file, error))?;
        let recognised = recognise(&begin)
            .ok_or_else(|| KeepError::NoRun(format!("{}: {UNKNOWN_FORM}", file.name)))?;
        let Some(importer) = Importer::new(recognised) else {
            let path = path.ok_or_else(|| {
                KeepError::NoRun(
                    "-: memsweep's own NDJSON is read twice; give it as a file".to_owned(),
                )
            })?;
            return self.import_own(file, path);
        };
        let mut writing = Writing {
            recording: Recording::of_facts(&self.logs, &file.run),
            file,
            networks,
            verdicts: VerdictCounts::default(),
            told: HashMap::new(),
        };
        writing.begin(recognised.kind);
        let tally = read_all(importer, &begin, &mut reader, &mut writing, file);
        let verdicts = writing.verdicts;
        let tally = match tally {
            Ok(tally) => tally,
            Err(error) => {
                drop(writing);
                self.logs.remove(&file.run)?;
                return Err(error);
            }
        };
        writing.end();
        if let Some(failure) = writing.recording.failure() {
            let failure = failure.to_owned();
            drop(writing);
            // What is half written must not be taken in later.
            self.logs.remove(&file.run)?;
            return Err(KeepError::NoRun(failure));
        }
        writing.recording.finish()?;
        self.take_in(&file.run)?;
        Ok(Imported {
            run: Arc::clone(&file.run),
            source: recognised.kind.source().to_owned(),
            kept: tally.kept,
            passed_over: tally.passed_over,
            is_torn: tally.is_torn,
            verdicts,
            was_known: false,
            reconciled: self.reconcile(&file.run)?,
        })
    }

    /// A run of our own from elsewhere, such as another machine: its lines are its log.
    fn import_own(&mut self, file: &File, path: &Path) -> Result<Imported, KeepError> {
        let lines = FileLines(path);
        let told = super::told::Told::read(&lines)?.ok_or_else(|| {
            KeepError::NoRun(format!("{}: it holds no run of memsweep", file.name))
        })?;
        let run = Arc::clone(&told.first.run);
        let stored = told.stored(None);
        let mut tally = Imported {
            run: Arc::clone(&run),
            source: stored.source.to_string(),
            kept: stored.observations,
            passed_over: 0,
            is_torn: false,
            verdicts: stored.verdicts,
            was_known: true,
            reconciled: Reconciled::default(),
        };
        if told.first.command == "find" {
            return Err(KeepError::NoRun(format!(
                "{}: it is the answer to a search, and no run",
                file.name
            )));
        }
        // One that broke off here may have been finished elsewhere.
        if self.logs.entry(&run).is_ok() && (!stored.complete || self.store.run(&run)?.complete) {
            return Ok(tally);
        }
        // Every record is read before anything is written.
        for record in told.records(&lines)? {
            record?;
        }
        let mut log = self.logs.begin_import(&run)?;
        let copied = super::told::Lines::lines(&lines).and_then(|lines| {
            for line in lines {
                let mut line = line?;
                line.push(b'\n');
                log.append(&line);
            }
            Ok(())
        });
        let copied = match (copied, log.failure()) {
            (Ok(()), Some(failure)) => Err(KeepError::NoRun(failure.to_owned())),
            (copied, _) => copied,
        };
        match copied {
            Ok(()) => {
                log.finish()?;
            }
            Err(error) => {
                drop(log);
                self.logs.remove(&run)?;
                return Err(error);
            }
        }
        self.catch_up()?;
        tally.was_known = false;
        Ok(tally)
    }

    /// Holds what others saw open against what was seen from here last.
    fn reconcile(&mut self, run: &str) -> Result<Reconciled, KeepError> {
        let runs = self.store.runs(None)?;
        let has_own = runs.iter().any(|run| *run.source == *OWN_SOURCE);
        let view = store::View::Run(run);
        let is_open = [Verdict::Exposed, Verdict::Unfinished]
            .map(|verdict| Query::Term(Term::Verdict(verdict)));
        let query = Query::Or(is_open.into());
        // Without a run of our own there is nothing to look up for each of a million endpoints.
        let limit = (!has_own).then_some(STANDINGS_MAX as u64);
        let mut open: Vec<(Endpoint, Verdict, SystemTime)> = Vec::new();
        self.store.find(&query, view, limit, &mut |found| {
            open.push((found.endpoint, found.verdict, found.last_seen));
            ControlFlow::Continue(())
        })?;
        let mut reconciled = Reconciled::default();
        if !has_own {
            let all = self.store.count(&query, view)?;
            reconciled.never_asked = all.saturating_sub(open.len() as u64);
        }
        open.dedup_by(|later, first| later.0 == first.0);
        for (endpoint, theirs, theirs_seen) in open {
            let ours = match has_own {
                true => self.store.current_of(&endpoint, OWN_SOURCE)?,
                false => None,
            };
            let ours = ours.map(|past| (past.verdict, past.seen));
            match &ours {
                Some((Some(Verdict::Exposed), _)) => reconciled.same += 1,
                Some(_) => reconciled.differs += 1,
                None => reconciled.never_asked += 1,
            }
            let is_open_here = matches!(ours, Some((Some(Verdict::Exposed), _)));
            if !is_open_here && reconciled.named.len() < STANDINGS_MAX {
                reconciled.named.push(Standing {
                    endpoint,
                    theirs,
                    theirs_seen,
                    ours,
                });
            }
        }
        Ok(reconciled)
    }
}

fn unreadable(file: &File, source: std::io::Error) -> KeepError {
    KeepError::File {
        path: PathBuf::from(&file.name),
        source,
    }
}

fn read_all(
    mut importer: Importer,
    begin: &[u8],
    reader: &mut dyn Read,
    writing: &mut Writing<'_>,
    file: &File,
) -> Result<Tally, KeepError> {
    let content = |source: ImportError| KeepError::Content {
        path: PathBuf::from(&file.name),
        source,
    };
    importer
        .feed(begin, &mut |foreign| writing.add(foreign))
        .map_err(content)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(file, error)),
        };
        importer
            .feed(&piece[..length], &mut |foreign| writing.add(foreign))
            .map_err(content)?;
    }
    importer
        .finish(&mut |foreign| writing.add(foreign))
        .map_err(content)
}

/// The one word for what others saw.
fn verdict_of(endpoint: &Endpoint, evidence: &Evidence) -> Verdict {
    assess::verdict(&host_of(endpoint, evidence), endpoint.transport)
}

fn host_of<'a>(endpoint: &'a Endpoint, evidence: &'a Evidence) -> assess::Host<'a> {
    let (tcp, udp) = match endpoint.transport {
        Transport::Udp => (None, Some(evidence)),
        Transport::Tcp | Transport::Unix => (Some(evidence), None),
    };
    assess::Host {
        address: &endpoint.address,
        port: endpoint.port,
        tcp,
        udp,
    }
}

/// A record as it is to be read: what others saw is kept as facts alone, a tenth of the size, and
/// judged when it is looked at, by the rules of that day.
pub(crate) fn judged(mut record: Record) -> Record {
    let Some(source) = &record.source else {
        return record;
    };
    let endpoint = &record.endpoint;
    let host = host_of(endpoint, &record.evidence);
    let mut judgement = assess::judge_at(&host, endpoint.transport, record.timestamp);
    if record.evidence.dialogue.is_none() {
        // Our own sentences tell of our own probes.
        judgement.reason = match record.evidence.contact {
            Contact::Answered => only_open(source),
            _ => Text::new(
                format!("{source} saw it {}", judgement.verdict),
                format!("{source} では {} でした", judgement.verdict),
            ),
        };
    } else if judgement.verdict == Verdict::Unfinished {
        judgement.reason = Text::new(
            format!("{source} saw it answer; what it said does not tell what it is"),
            format!("{source} では応答がありましたが、その内容からは何か判別できません"),
        );
    }
    let (acceptances, alarm) = weigh(&[], endpoint, &judgement, Severity::Low);
    record.judgement = judgement;
    record.acceptances = acceptances;
    record.alarm = alarm;
    record
}

/// A port of which others say no more than that it is open.
fn only_open(source: &str) -> Text {
    Text::new(
        format!("{source} saw the port open; nobody asked whether it is memcached"),
        format!("{source} ではポートが開いていました。memcached かどうかは確かめられていません"),
    )
}

impl Writing<'_> {
    fn begin(&mut self, kind: Kind) {
        let File {
            run,
            tool_version,
            name,
            now,
            ..
        } = self.file;
        let source = kind.source();
        let run = RunRecord {
            source: Some(source.into()),
            // Imports of one source are comparable with each other, and with nothing else.
            fingerprint: inventory::digest(&[("source".to_owned(), source.to_owned())].into()),
            ..RunRecord::of_what_is_known(
                Arc::clone(run),
                "import",
                tool_version,
                name.clone(),
                *now,
            )
        };
        self.recording.tell(&Event::Run(Box::new(run)));
    }

    fn add(&mut self, foreign: Foreign) {
        // masscan tells of a banner, and later once more that the port is open.
        let mut hasher = DefaultHasher::new();
        foreign.endpoint.hash(&mut hasher);
        let endpoint = hasher.finish();
        let weight = foreign.weight();
        let told = self.told.entry(endpoint).or_default();
        if weight > 0 && weight < *told {
            return;
        }
        *told = weight;
        let verdict = verdict_of(&foreign.endpoint, &foreign.evidence);
        self.verdicts.add(verdict);
        let mut enrichment = foreign.enrichment;
        if let (Some(networks), Some(ip)) = (self.networks, foreign.endpoint.address.ip()) {
            networks.enrich(ip, &mut enrichment);
        }
        let record = Record {
            run: Arc::clone(&self.file.run),
            timestamp: foreign.seen.unwrap_or(self.file.now),
            endpoint: foreign.endpoint,
            hostname: foreign.hostname,
            hardware: None,
            evidence: foreign.evidence,
            judgement: Judgement {
                verdict,
                reason: Text::same(format!("seen by {}", foreign.source)),
                findings: Vec::new(),
                only_from_here: false,
            },
            acceptances: Vec::new(),
            alarm: false,
            source: Some(foreign.source.into()),
            enrichment,
        };
        self.recording.tell(&Event::Record(Box::new(record)));
    }

    fn end(&mut self) {
        let summary = Summary::of_what_is_known(
            Arc::clone(&self.file.run),
            self.verdicts,
            self.verdicts.of(Verdict::Exposed),
            self.file.now,
        );
        self.recording.tell(&Event::Summary(Box::new(summary)));
    }
}
