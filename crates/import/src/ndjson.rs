//! memsweep's own NDJSON, line by line.

use std::collections::HashMap;

use model::{Pending, Transport, Verdict, VerdictCounts};
use serde_json::Value;

use crate::endpoint;
use crate::fields::{Fields, text};
use crate::own::{self, BYTE_ORDER_MARK, Kind};
use crate::run::{self, Plan};
use crate::{ImportError, PastEndpoint, PastFinding, PastRun};

/// A line longer than this is not read.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// Endpoints kept; the rest are counted.
pub const ENDPOINTS_MAX: usize = 1 << 22;

/// Reads a whole file.
pub fn read_ndjson(bytes: &[u8]) -> Result<PastRun, ImportError> {
    let mut reader = NdjsonReader::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        reader.feed_line(line)?;
    }
    reader.finish()
}

/// Reads a file line by line, so that it need not be in memory.
#[derive(Debug, Default)]
pub struct NdjsonReader {
    lines: u64,
    /// A line that is not JSON. It is forgiven if it was the last.
    torn: Option<ImportError>,
    plan: Option<Plan>,
    counter: u64,
    pending: Vec<Pending>,
    complete: bool,
    verdicts: VerdictCounts,
    alarms: u64,
    endpoints: Vec<PastEndpoint>,
    /// Where in `endpoints` each stands.
    places: HashMap<(String, u16, Transport), usize>,
    endpoints_left_out: u64,
}

impl NdjsonReader {
    /// A reader that has read nothing.
    pub fn new() -> NdjsonReader {
        NdjsonReader::default()
    }

    /// Reads one line, with or without its end. After an error the reader is of no more use.
    pub fn feed_line(&mut self, line: &[u8]) -> Result<(), ImportError> {
        self.lines += 1;
        if line.len() > LINE_BYTES_MAX {
            return Err(ImportError::LineTooLong {
                line: self.lines,
                bytes_max: LINE_BYTES_MAX,
            });
        }
        let line = match self.lines {
            1 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            _ => line,
        };
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        // Something follows the line that could not be read: it was not torn, it is wrong.
        if let Some(error) = self.torn.take() {
            return Err(error);
        }
        match serde_json::from_slice::<Value>(line) {
            Ok(value) => {
                let not_a_record = ImportError::NotARecord { line: self.lines };
                self.record(Fields::new(
                    self.lines,
                    value.as_object().ok_or(not_a_record)?,
                ))
            }
            Err(problem) => {
                let problem = problem.to_string();
                self.torn = Some(ImportError::NotJson {
                    line: self.lines,
                    problem,
                });
                Ok(())
            }
        }
    }

    /// What was read, once the last line is in.
    pub fn finish(self) -> Result<PastRun, ImportError> {
        let Some(plan) = self.plan else {
            // If nothing at all could be read, the reason is more help than the absence.
            return Err(self.torn.unwrap_or(ImportError::NoRunRecord));
        };
        Ok(PastRun {
            run: plan.run,
            seed: plan.seed,
            targets: plan.targets,
            exclusions: plan.exclusions,
            ports: plan.ports,
            tcp: plan.tcp,
            udp: plan.udp,
            shard: plan.shard,
            rate_pps: plan.rate_pps,
            retries: plan.retries,
            all: plan.all,
            engine_wished: plan.engine_wished,
            pairs: plan.pairs,
            fingerprint: plan.fingerprint,
            counter: self.counter,
            pending: self.pending,
            complete: self.complete,
            verdicts: self.verdicts,
            alarms: self.alarms,
            endpoints: self.endpoints,
            endpoints_left_out: self.endpoints_left_out,
        })
    }

    fn record(&mut self, fields: Fields<'_>) -> Result<(), ImportError> {
        let kind = own::kind(fields)?;
        match kind {
            Kind::Run => {
                self.plan(run::plan(fields)?)?;
                self.counter = self.counter.max(fields.integer("counter")?);
                self.complete = false;
            }
            Kind::Progress | Kind::Summary => {
                self.counter = self.counter.max(fields.integer("counter")?);
                self.pending = run::pending(fields)?;
                self.verdicts = run::verdicts(fields)?;
                // Counted as unfinished, and asked again by a run that continues this one.
                self.verdicts
                    .take_back_many(Verdict::Unfinished, run::unasked(fields)?);
                self.alarms = run::alarms(fields)?.unwrap_or(self.alarms);
                if kind == Kind::Summary {
                    self.complete = fields.flag("complete")?;
                }
            }
            Kind::Endpoint => self.endpoint(past_endpoint(fields)?),
            Kind::Finding | Kind::Unknown => {}
        }
        Ok(())
    }

    /// Takes the plan, which a continuation repeats.
    fn plan(&mut self, plan: Plan) -> Result<(), ImportError> {
        let identity = |plan: &Plan| (plan.seed, plan.fingerprint, plan.shard);
        if self
            .plan
            .as_ref()
            .is_some_and(|first| identity(first) != identity(&plan))
        {
            return Err(ImportError::AnotherPlan { line: self.lines });
        }
        self.plan = Some(plan);
        Ok(())
    }

    fn endpoint(&mut self, endpoint: PastEndpoint) {
        let key = (endpoint.address.clone(), endpoint.port, endpoint.transport);
        match self.places.get(&key) {
            Some(place) => self.endpoints[*place] = endpoint,
            None if self.endpoints.len() < ENDPOINTS_MAX => {
                self.places.insert(key, self.endpoints.len());
                self.endpoints.push(endpoint);
            }
            None => self.endpoints_left_out += 1,
        }
    }
}

fn past_endpoint(fields: Fields<'_>) -> Result<PastEndpoint, ImportError> {
    let (transport, port) = endpoint::transport_and_port(fields)?;
    let mut findings = Vec::new();
    for finding in fields.objects("findings")? {
        findings.push(PastFinding {
            code: finding.text("code")?,
            severity: finding.text("severity")?,
            title: finding.text("title")?,
        });
    }
    Ok(PastEndpoint {
        address: fields.text("address")?,
        port,
        transport,
        verdict: endpoint::verdict(fields)?,
        hostname: fields.optional("hostname", "a text", text)?,
        version: fields.optional("version", "a text", text)?,
        findings,
        reason: fields.text("reason")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"record":"run","schema":1,"run":"a","targets":["10.0.0.0/30"],"exclude":[],"ports":[11211],"tcp":true,"udp":false,"seed":7,"shard":"1/2","rate":100,"retries":3,"plan":{"pairs":4,"fingerprint":"00ff"},"counter":0,"unknown":[null]}"#;
    const ENDPOINT: &str = r#"{"record":"endpoint","schema":1,"address":"10.0.0.1","port":11211,"transport":"tcp","verdict":"closed","reason":"refused","findings":[]}"#;
    const PROGRESS: &str = r#"{"record":"progress","schema":1,"counter":2,"verdicts":{"closed":2,"later-word":1},"alarms":2}"#;
    const SUMMARY: &str =
        r#"{"record":"summary","schema":1,"counter":4,"verdicts":{"closed":4},"complete":true}"#;

    fn read(lines: &[&str]) -> Result<PastRun, ImportError> {
        read_ndjson(lines.join("\n").as_bytes())
    }

    #[track_caller]
    fn check_error(lines: &[&str], message: &str) {
        assert_eq!(read(lines).unwrap_err().to_string(), message);
    }

    #[test]
    fn a_run_is_read_whole() {
        let past = read(&[RUN, ENDPOINT, "", PROGRESS, SUMMARY, ""]).unwrap();
        assert_eq!((past.run.as_str(), past.seed, past.shard), ("a", 7, (1, 2)));
        assert_eq!(
            (past.tcp, past.udp, past.retries, past.rate_pps),
            (true, false, 3, 100)
        );
        assert_eq!((past.pairs, past.fingerprint, past.counter), (4, 255, 4));
        assert!(past.complete);
        assert_eq!(past.verdicts.of(Verdict::Closed), 4);
        assert_eq!(past.endpoints.len(), 1);
        assert_eq!(past.endpoints[0].hostname, None);
    }

    #[test]
    fn an_interrupted_run_tells_how_far_it_came() {
        let past = read(&[RUN, PROGRESS]).unwrap();
        assert_eq!((past.counter, past.complete), (2, false));
        assert_eq!((past.verdicts.total(), past.alarms), (2, 2));
    }

    #[test]
    fn pending_pairs_are_counters_and_stretches_of_them() {
        let check = |tcp: &str, udp: &str, expect: &[(u64, u64, bool, bool)]| {
            let with = format!(r#""counter":2,"pending":{{"tcp":{tcp},"udp":{udp}}}"#);
            let line = PROGRESS.replace(r#""counter":2"#, &with);
            let pending: Vec<_> = read(&[RUN, &line])
                .unwrap()
                .pending
                .iter()
                .map(|one| (one.counter, one.count, one.stream, one.datagram))
                .collect();
            assert_eq!(pending, expect, "tcp {tcp}, udp {udp}");
        };
        check("[]", "[]", &[]);
        check("[4]", "[[4,4]]", &[(4, 1, true, true)]);
        check(
            "[[2,9]]",
            "[5,[8,11]]",
            &[
                (2, 3, true, false),
                (5, 1, true, true),
                (6, 2, true, false),
                (8, 2, true, true),
                (10, 2, false, true),
            ],
        );
        // What stands there twice is asked once.
        check(
            "[[1,3],[2,5]]",
            "[]",
            &[
                (1, 1, true, false),
                (2, 2, true, false),
                (4, 2, true, false),
            ],
        );
        for wrong in [
            "[[3,2]]",
            "[[1]]",
            "[[1,2,3]]",
            "[-1]",
            "[18446744073709551615]",
        ] {
            let with = format!(r#""counter":2,"pending":{{"tcp":{wrong}}}"#);
            let line = PROGRESS.replace(r#""counter":2"#, &with);
            check_error(
                &[RUN, &line],
                "line 2: `pending` is not an object with arrays of integers and of [first, last]",
            );
        }
    }

    #[test]
    fn only_the_last_line_may_be_torn() {
        let torn = &ENDPOINT[..40];
        assert_eq!(read(&[RUN, torn]).unwrap().endpoints, []);
        assert_eq!(read(&[RUN, torn, "", " \r"]).unwrap().endpoints, []);
        let error = read(&[RUN, torn, ENDPOINT]).unwrap_err();
        assert!(
            matches!(error, ImportError::NotJson { line: 2, .. }),
            "{error}"
        );
        // A character cut in two is torn like any other.
        let mut bytes = format!("{RUN}\n{{\"record\":\"日").into_bytes();
        bytes.pop();
        assert_eq!(read_ndjson(&bytes).unwrap().endpoints, []);
    }

    #[test]
    fn what_is_unknown_is_passed_over() {
        let later = r#"{"record":"weather","schema":1,"rain":true}"#;
        assert!(read(&[RUN, later, SUMMARY]).unwrap().complete);
        let marked = format!("\u{feff}{RUN}");
        assert_eq!(read(&[&marked]).unwrap().run, "a");
    }

    #[test]
    fn an_endpoint_told_of_twice_stands_once() {
        let again = ENDPOINT.replace("closed", "exposed");
        let past = read(&[RUN, ENDPOINT, &again]).unwrap();
        assert_eq!(past.endpoints.len(), 1);
        assert_eq!(past.endpoints[0].verdict, Verdict::Exposed);
    }

    #[test]
    fn a_continuation_may_follow_in_the_same_file() {
        let second = RUN
            .replace(r#""run":"a""#, r#""run":"b""#)
            .replace(r#""counter":0"#, r#""counter":2,"resumed_from":"a""#);
        let past = read(&[RUN, PROGRESS, &second]).unwrap();
        assert_eq!(
            (past.run.as_str(), past.counter, past.complete),
            ("b", 2, false)
        );
        let other = RUN.replace("00ff", "00fe");
        check_error(
            &[RUN, &other],
            "line 2 begins a run of another plan; a file holds one run and its continuations",
        );
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        check_error(
            &[],
            "it has no run record; is it the NDJSON output of memsweep?",
        );
        check_error(
            &[ENDPOINT],
            "it has no run record; is it the NDJSON output of memsweep?",
        );
        check_error(&[RUN, "17"], "line 2 is not a record of memsweep");
        check_error(&[RUN, "{}"], "line 2 has no `record`");
        check_error(
            &[&RUN.replace(r#""seed":7"#, r#""seed":-7"#)],
            "line 1: `seed` is not an integer of 64 bits",
        );
        check_error(
            &[&RUN.replace("1/2", "3/2")],
            "line 1: `shard` is not I/N with 1 ≤ I ≤ N",
        );
        check_error(
            &[&RUN.replace("[11211]", "[65536]")],
            "line 1: `ports` is not an array of ports",
        );
        check_error(
            &[&RUN.replace("00ff", "xyz")],
            "line 1: `fingerprint` is not a number in hex",
        );
        check_error(
            &[RUN, &ENDPOINT.replace("closed", "ajar")],
            "line 2: `verdict` is not a verdict",
        );
        check_error(
            &[RUN, &ENDPOINT.replace("\"tcp\"", "\"sctp\"")],
            "line 2: `transport` is not tcp, udp or unix",
        );
        check_error(
            &[RUN, &ENDPOINT.replace("\"port\"", "\"door\"")],
            "line 2 has no `port`",
        );
        check_error(
            &[
                RUN,
                &SUMMARY.replace(r#""closed":4"#, r#""closed":18446744073709551615"#),
            ],
            "line 2: `closed` is not a number of endpoints",
        );
        check_error(
            &[RUN, &SUMMARY.replace(r#""schema":1"#, r#""schema":2"#)],
            "line 2 has schema 2; this memsweep reads up to 1",
        );
    }

    #[test]
    fn a_line_has_a_limit() {
        let mut reader = NdjsonReader::new();
        reader.feed_line(&vec![b' '; LINE_BYTES_MAX]).unwrap();
        let error = reader
            .feed_line(&vec![b' '; LINE_BYTES_MAX + 1])
            .unwrap_err();
        assert_eq!(
            error,
            ImportError::LineTooLong {
                line: 2,
                bytes_max: LINE_BYTES_MAX
            }
        );
    }

    #[test]
    fn what_is_no_json_at_all_is_said_so() {
        let error = read_ndjson(b"# Nmap 7.93 scan").unwrap_err();
        assert!(
            matches!(error, ImportError::NotJson { line: 1, .. }),
            "{error}"
        );
    }
}
