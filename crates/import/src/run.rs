//! The records about a run as a whole: `run`, `progress` and `summary`.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    PLAN_BLOCKS_MAX, Pending, PlanBlock, RunRecord, Summary, Text, Vantage, Verdict, VerdictCounts,
};
use serde_json::Value;

use crate::fields::Fields;
use crate::{ImportError, Progress};

/// More endpoints of one verdict than any run can have (2^28 addresses, 2^16 ports, two
/// transports); so that sums of counts stay far from the end of 64 bits.
const VERDICT_COUNT_MAX: u64 = 1 << 45;

/// What a `run` record says about the plan, which every version wrote.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) run: String,
    pub(crate) seed: u64,
    pub(crate) targets: Vec<String>,
    pub(crate) exclusions: Vec<String>,
    pub(crate) ports: Vec<u16>,
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
    pub(crate) shard: (u64, u64),
    pub(crate) rate_pps: u64,
    pub(crate) retries: u32,
    /// Older versions did not say.
    pub(crate) all: Option<bool>,
    /// Older versions did not say.
    pub(crate) engine_wished: Option<String>,
    pub(crate) pairs: u64,
    pub(crate) fingerprint: u64,
}

/// The plan of a `run` record.
pub(crate) fn plan(fields: Fields<'_>) -> Result<Plan, ImportError> {
    let ports = fields.required("ports", "an array of ports", ports)?;
    let shape = fields.object("plan")?;
    let fingerprint = shape.required("fingerprint", "a number in hex", |value| {
        u64::from_str_radix(value.as_str()?, 16).ok()
    })?;
    Ok(Plan {
        run: fields.text("run")?,
        seed: fields.integer("seed")?,
        targets: fields.texts("targets")?,
        exclusions: fields.texts("exclude")?,
        ports,
        tcp: fields.flag("tcp")?,
        udp: fields.flag("udp")?,
        shard: fields.required("shard", "I/N with 1 ≤ I ≤ N", shard)?,
        rate_pps: fields.integer("rate")?,
        retries: fields.integer_of_32_bits("retries")?,
        all: fields.optional("all", "true or false", Value::as_bool)?,
        engine_wished: fields.optional_text("engine_wished")?,
        pairs: shape.integer("pairs")?,
        fingerprint,
    })
}

fn ports(value: &Value) -> Option<Vec<u16>> {
    let ports = value.as_array()?.iter();
    ports
        .map(|port| u16::try_from(port.as_u64()?).ok())
        .collect()
}

fn shard(value: &Value) -> Option<(u64, u64)> {
    let (part, parts) = value.as_str()?.split_once('/')?;
    let (part, parts) = (part.parse().ok()?, parts.parse().ok()?);
    (1 <= part && part <= parts).then_some((part, parts))
}

/// Pairs that were begun and not ended, ascending; none if the key is missing.
pub(crate) fn pending(fields: Fields<'_>) -> Result<Vec<Pending>, ImportError> {
    let expected = "an object with arrays of integers and of [first, last]";
    let lists = fields.optional("pending", expected, |value| {
        let list = |transport: &str| -> Option<Vec<(u64, u64)>> {
            match value.get(transport) {
                Some(list) => list.as_array()?.iter().map(stretch).collect(),
                None => Some(Vec::new()),
            }
        };
        value.as_object()?;
        Some((list("tcp")?, list("udp")?))
    })?;
    let (streams, datagrams) = lists.unwrap_or_default();
    Ok(merged(&streams, &datagrams))
}

/// A counter, or the first and the last one of a stretch of them: as `first..end`.
fn stretch(value: &Value) -> Option<(u64, u64)> {
    let (first, last) = match value.as_array().map(Vec::as_slice) {
        Some([first, last]) => (first.as_u64()?, last.as_u64()?),
        Some(_) => return None,
        None => (value.as_u64()?, value.as_u64()?),
    };
    let end = last.checked_add(1)?;
    (first < end).then_some((first, end))
}

/// Cuts the stretches of both transports at each other's ends, so that every pair stands in one.
fn merged(streams: &[(u64, u64)], datagrams: &[(u64, u64)]) -> Vec<Pending> {
    // At a counter, how many stretches of each transport begin less how many end.
    let mut changes: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
    for (first, end) in streams {
        changes.entry(*first).or_default().0 += 1;
        changes.entry(*end).or_default().0 -= 1;
    }
    for (first, end) in datagrams {
        changes.entry(*first).or_default().1 += 1;
        changes.entry(*end).or_default().1 -= 1;
    }
    let mut pending: Vec<Pending> = Vec::new();
    let (mut begin, mut stream_depth, mut datagram_depth) = (0, 0, 0);
    for (at, (stream, datagram)) in changes {
        let one = Pending {
            counter: begin,
            count: at - begin,
            stream: stream_depth > 0,
            datagram: datagram_depth > 0,
        };
        if one.count > 0 && (one.stream || one.datagram) {
            pending.push(one);
        }
        begin = at;
        stream_depth += stream;
        datagram_depth += datagram;
    }
    pending
}

/// Counts by verdict; a verdict that is not known here is passed over like an unknown key.
pub(crate) fn verdicts(fields: Fields<'_>) -> Result<VerdictCounts, ImportError> {
    let fields = fields.object("verdicts")?;
    let mut counts = VerdictCounts::default();
    for verdict in Verdict::ALL {
        let count = endpoints(fields, verdict.as_str())?;
        counts.add_many(verdict, count.unwrap_or(0));
    }
    Ok(counts)
}

/// How many alarms; `None` if it is not said.
pub(crate) fn alarms(fields: Fields<'_>) -> Result<Option<u64>, ImportError> {
    endpoints(fields, "alarms")
}

/// Endpoints that only the end of the run left unfinished. No key: none.
pub(crate) fn unasked(fields: Fields<'_>) -> Result<u64, ImportError> {
    let unasked = fields.optional("unasked", "an integer of 64 bits", Value::as_u64)?;
    Ok(unasked.unwrap_or(0))
}

fn endpoints(fields: Fields<'_>, key: &'static str) -> Result<Option<u64>, ImportError> {
    fields.optional(key, "a number of endpoints", |value| {
        value.as_u64().filter(|count| *count <= VERDICT_COUNT_MAX)
    })
}

/// The whole `run` record.
pub(crate) fn run_record(fields: Fields<'_>) -> Result<RunRecord, ImportError> {
    let plan = plan(fields)?;
    let vantage = fields.object("vantage")?;
    let blocks = fields.object("plan")?.objects("blocks")?;
    if blocks.len() > PLAN_BLOCKS_MAX {
        return Err(fields.wrong("blocks", "an array of at most 4096 blocks"));
    }
    Ok(RunRecord {
        run: plan.run.into(),
        // Before there was an inventory, the command was not said.
        command: fields
            .optional_text("command")?
            .unwrap_or_else(|| "scan".to_owned()),
        source: fields.optional_text("source")?.map(Into::into),
        blocks: blocks
            .into_iter()
            .map(plan_block)
            .collect::<Result<_, _>>()?,
        timestamp: fields.moment("timestamp")?,
        tool_version: fields.text("tool_version")?,
        targets: plan.targets,
        exclusions: plan.exclusions,
        ports: plan.ports,
        tcp: plan.tcp,
        udp: plan.udp,
        seed: plan.seed,
        shard: plan.shard,
        rate_pps: plan.rate_pps,
        retries: plan.retries,
        all: plan.all.unwrap_or(false),
        engine_wished: plan.engine_wished.unwrap_or_else(|| "auto".to_owned()),
        pairs: plan.pairs,
        fingerprint: plan.fingerprint,
        counter: fields.integer("counter")?,
        resumed_from: fields.optional_text("resumed_from")?,
        vantage: Vantage {
            source: vantage.optional_text("source")?,
            interface: vantage.optional_text("interface")?,
            engine: vantage.text("engine")?,
        },
    })
}

/// Addresses that were asked on the same ports.
fn plan_block(fields: Fields<'_>) -> Result<PlanBlock, ImportError> {
    let address = |value: &Value| value.as_str()?.parse().ok();
    Ok(PlanBlock {
        first: fields.required("first", "an address", address)?,
        last: fields.required("last", "an address", address)?,
        ports: fields.required("ports", "an array of ports", ports)?,
    })
}

/// The whole `progress` record.
pub(crate) fn progress(fields: Fields<'_>) -> Result<Progress, ImportError> {
    Ok(Progress {
        run: fields.str("run")?.into(),
        timestamp: fields.moment("timestamp")?,
        counter: fields.integer("counter")?,
        pending: pending(fields)?,
        verdicts: verdicts(fields)?,
        alarms: alarms(fields)?.ok_or_else(|| fields.missing("alarms"))?,
    })
}

/// The whole `summary` record. Grades are not read: they follow from the endpoints.
pub(crate) fn summary(fields: Fields<'_>) -> Result<Summary, ImportError> {
    let japanese = match fields.optional_object("ja")? {
        Some(japanese) => japanese.optional_texts("notes")?.unwrap_or_default(),
        None => Vec::new(),
    };
    let mut japanese = japanese.into_iter();
    let notes = fields.texts("notes")?.into_iter().map(|note| Text {
        ja: japanese.next().unwrap_or_else(|| note.clone()),
        en: note,
    });
    Ok(Summary {
        run: fields.str("run")?.into(),
        timestamp: fields.moment("timestamp")?,
        verdicts: verdicts(fields)?,
        packets_sent: fields.integer("packets_sent")?,
        packets_received: fields.integer("packets_received")?,
        duration: fields.required("duration_s", "a number of seconds", |value| {
            Duration::try_from_secs_f64(value.as_f64()?).ok()
        })?,
        complete: fields.flag("complete")?,
        counter: fields.integer("counter")?,
        pending: pending(fields)?,
        unasked: unasked(fields)?,
        notes: notes.collect(),
        alarms: alarms(fields)?.ok_or_else(|| fields.missing("alarms"))?,
        rejected_replies: fields.integer("rejected_replies")?,
    })
}
