//! A few names of keys, asked of an open server whose user wishes for them: `stats cachedump` of the
//! classes that hold items, each for a small number of names.
//!
//! A metadump would name keys of every version since 1.4.31, but it cannot be bounded: it lists all,
//! and whoever stops reading makes versions before 1.6.44 write beyond a buffer. So it is never asked
//! for here. A cachedump costs the server some microseconds. Since 1.5.0 it names only what was not
//! used lately, so it can name nothing although there are items; that is told as it is.
//!
//! Names go into a [`KeyTally`] one by one, which forgets them. Nothing else here keeps what came.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use model::{Answer, Dialogue, KeyProbe, KeySample, KeyTally, Protocol, StatsTable, Unsampled};
use wire::{
    CACHEDUMP_CLASS_MAX, CACHEDUMP_KEYS_MAX, CacheDumpDecoder, CacheDumpEvent, CacheDumpRequest,
    Channel, Clearance, Risky, ServerVersion, Wish,
};

/// Classes asked, those with most items: each takes a round trip.
const CLASSES_MAX: usize = 16;
/// Bytes of one row with the longest name (250) and the longest numbers, and some more.
const ROW_BYTES_MAX: u64 = 512;
/// Bytes of everything that is no row.
const OTHER_BYTES_MAX: u64 = 4_096;

/// Asks for names, class by class, and counts them.
pub(crate) struct Sampler {
    channel: Channel,
    version: ServerVersion,
    names_max: u64,
    /// Classes still to be asked, with the items they hold; the next one last.
    classes: Vec<(u32, u64)>,
    /// Names that were asked of the class under way, and have not come.
    open: u32,
    decoder: CacheDumpDecoder,
    tally: KeyTally,
    bytes: u64,
    /// Whether one class was answered to its end.
    has_answered: bool,
    refused: Option<String>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More of the reply.
    Wait,
    /// Send this.
    Ask(Vec<u8>),
    /// Every class was answered, or the server refused.
    Done,
    /// The server says more than it was asked for.
    Overrun,
}

/// Why a sample ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing came in time.
    Silent,
    /// The server hung up.
    Closed,
    /// It said more than it was asked for.
    Overrun,
}

impl Sampler {
    /// Decides from everything that was said before whether names may be asked for, and of which
    /// classes.
    pub(crate) fn plan(
        dialogue: &Dialogue,
        names_max: NonZeroU32,
        channel: Channel,
    ) -> Result<Sampler, Unsampled> {
        if dialogue.protocol == Protocol::Binary {
            return Err(Unsampled::NotAscii);
        }
        if is_contradictory(dialogue) {
            return Err(Unsampled::Contradictory);
        }
        let version = version_of(dialogue).ok_or(Unsampled::UnknownVersion)?;
        let names_max = names_max.get().min(CACHEDUMP_KEYS_MAX);
        let classes = classes(dialogue, names_max as usize);
        if classes.is_empty() {
            return Err(Unsampled::NoItems);
        }
        Ok(Sampler {
            channel,
            version,
            names_max: u64::from(names_max),
            classes,
            open: 0,
            decoder: CacheDumpDecoder::new(),
            tally: KeyTally::default(),
            bytes: 0,
            has_answered: false,
            refused: None,
        })
    }

    /// The request for the next class; `None` if there is none, or it may not be asked.
    pub(crate) fn next_request(&mut self) -> Option<Vec<u8>> {
        let left = self.names_max.saturating_sub(self.tally.names());
        if left == 0 {
            return None;
        }
        // What small classes leave over goes to the larger ones behind them.
        let share = (left / self.classes.len().max(1) as u64).max(1);
        let (class, items) = self.classes.pop()?;
        self.open = u32::try_from(share.min(items)).unwrap_or(CACHEDUMP_KEYS_MAX);
        let wish = Wish::FewKeyNames;
        let clearance =
            Clearance::mint(Risky::CacheDump, self.channel, Some(&self.version), wish).ok()?;
        let request = CacheDumpRequest::new(clearance, class, self.open)?;
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        Some(bytes)
    }

    /// Takes what came of the class under way.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Step {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.names_max * ROW_BYTES_MAX + OTHER_BYTES_MAX {
            return Step::Overrun;
        }
        self.decoder.feed(bytes);
        while let Some(event) = self.decoder.next_event() {
            match event {
                CacheDumpEvent::Key(_) if self.open == 0 => return Step::Overrun,
                CacheDumpEvent::Key(key) => {
                    self.open -= 1;
                    self.tally.add(&key.name);
                }
                CacheDumpEvent::End => {
                    self.has_answered = true;
                    return self.next_request().map_or(Step::Done, Step::Ask);
                }
                CacheDumpEvent::Refused(said) => {
                    self.refused = Some(quotable(said));
                    return Step::Done;
                }
            }
        }
        Step::Wait
    }

    /// Whether the command was executed, as far as was heard.
    pub(crate) fn was_executed(&self) -> bool {
        self.has_answered || self.tally.names() > 0
    }

    /// What came of it.
    pub(crate) fn into_answer(self, cut: Option<Cut>) -> Answer<KeySample> {
        let was_executed = self.was_executed();
        let sample = self.tally.finish(self.names_max);
        match (self.refused, cut) {
            (Some(said), _) if !was_executed => Answer::Refused(said),
            (None, None) => Answer::Given(sample),
            (None, Some(Cut::Silent)) if !was_executed => Answer::Silent,
            (None, Some(Cut::Closed)) if !was_executed => Answer::Closed,
            _ => Answer::Truncated(sample),
        }
    }
}

/// A refusal in the server's own words, but not a line that could be a listing in another form, whose
/// words could be somebody's.
fn quotable(said: String) -> String {
    let is_error = ["ERROR", "CLIENT_ERROR ", "SERVER_ERROR "]
        .iter()
        .any(|word| said.starts_with(word));
    if is_error {
        said
    } else {
        "a line that is no listing".to_owned()
    }
}

/// What the server says its version is, if it is one of memcached's.
fn version_of(dialogue: &Dialogue) -> Option<ServerVersion> {
    let told = dialogue.version.value().map(String::as_str);
    let stated = || dialogue.stats.value()?.text("version");
    ServerVersion::parse(told.or_else(stated)?)
}

/// Classes that hold items: those of most, at most so many; the one of fewest last.
fn classes(dialogue: &Dialogue, most: usize) -> Vec<(u32, u64)> {
    let rows = dialogue
        .items
        .value()
        .into_iter()
        .flat_map(StatsTable::iter);
    let counted: BTreeMap<u32, u64> = rows
        .filter_map(|(name, value)| {
            let class = name.strip_prefix("items:")?.strip_suffix(":number")?;
            Some((class.parse().ok()?, value.parse().ok()?))
        })
        .filter(|(class, items)| (1..=CACHEDUMP_CLASS_MAX).contains(class) && *items > 0)
        .collect();
    let mut classes: Vec<(u32, u64)> = counted.into_iter().collect();
    classes.sort_by_key(|(_, items)| std::cmp::Reverse(*items));
    classes.truncate(most.min(CLASSES_MAX));
    classes
}

/// Whether it behaves as no real server does. Two servers behind one address differ as well, but each
/// of them agrees with itself.
fn is_contradictory(dialogue: &Dialogue) -> bool {
    let differ = |other: &Answer<StatsTable>| {
        let tables = dialogue.stats.value().zip(other.value());
        tables.is_some_and(|(first, other)| contradict(first, other))
    };
    let agrees_with_itself =
        dialogue.repeated_stats.value().is_some() && !differ(&dialogue.repeated_stats);
    let hit = dialogue.random_key.value() == Some(&KeyProbe::Hit);
    hit || (differ(&dialogue.second_stats) && !agrees_with_itself)
}

/// Whether two tables of `stats` are those of two processes.
pub(crate) fn contradict(first: &StatsTable, second: &StatsTable) -> bool {
    let pids = first.text("pid").zip(second.text("pid"));
    let starts = first.start_time_unix_s().zip(second.start_time_unix_s());
    pids.is_some_and(|(one, other)| one != other)
        || starts.is_some_and(|(one, other)| one.abs_diff(other) > 1)
}
