//! Windows and rounds: in which order probes leave, what was answered, when to ask again and when
//! it is over.
//!
//! # Why windows
//!
//! Whoever stays silent is asked again, because packets get lost. To do that for a /8 at its very
//! end would mean to remember for how long each pair has been silent, and to tell nothing until
//! then. So the order is cut into *windows* of some pairs each. A window is sent to in *rounds*:
//! all of its pairs, a wait, those that are still silent, a longer wait, and so on. When its last
//! round is over, it is *finished*: what is known of its pairs can be told, and its memory freed.
//!
//! # Never idle
//!
//! While a window waits, others are sent to: up to eight are open at once. An older window's round
//! that is due goes first, then the window that is being sent to for the first time, then a new
//! one.
//!
//! ```text
//! time ->
//! window 0   send 1 ....wait.... 2 ....wait.... 3 ...
//! window 1          send 1 ....wait..  2 ....wait.... 3
//! window 2                 send 1        ....wait....  2
//! ```
//!
//! # How long a wait is
//!
//! The retransmission timeout of RFC 6298, from the round-trip times of those that answered their
//! first probe, between 100 ms and 2 s; 0.8 s until there is one. Each round waits twice as long as
//! the one before, at most 2 s, and the last one at least 0.5 s, so that a busy server has its say.
//! A wait does not end while answers of its window keep coming: 100 ms must pass without one, as
//! long as that takes no more than 2 s in all. A window of which nobody is silent any more is over
//! at once.
//!
//! # What is remembered
//!
//! For each pair of an open window one byte: what is known over TCP in its lower half, over UDP in
//! its upper half. For each pair of the run two bits in [`Answered`]: whether anything more is to
//! be sent there. Nothing else; so the first answer of an endpoint is told from all later ones
//! without error, until the end of the run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Contact, IcmpError, Refusal};

/// Windows that are open at once.
pub const OPEN_WINDOWS_MAX: usize = 8;
/// The wait until a round-trip time was measured.
pub const WAIT_INITIAL: Duration = Duration::from_millis(800);
/// A wait is never shorter.
pub const WAIT_MIN: Duration = Duration::from_millis(100);
/// A wait is never longer, not even while answers keep coming.
pub const WAIT_MAX: Duration = Duration::from_secs(2);
/// The wait after the last round is never shorter.
pub const LAST_WAIT_MIN: Duration = Duration::from_millis(500);
/// A wait does not end before it has been quiet for so long.
pub const QUIET: Duration = Duration::from_millis(100);

/// Sends of a first round that are remembered for each window, to know when a pair was sent to.
const BATCHES_MAX: usize = 4096;
/// Sends that follow each other within this time are remembered as one.
const BATCH_TIME: Duration = Duration::from_millis(2);
/// Pairs whose bits stand in one word of [`Answered`].
const PAIRS_PER_WORD: u64 = 32;

/// One bit for each endpoint of the order: bit `counter * 2 + 0` for TCP, `+ 1` for UDP, in words
/// of 64 bits from the lowest bit on. Set once nothing more is to be sent there. The storage may be
/// shared with the kernel.
#[derive(Clone)]
pub struct Answered {
    words: Arc<dyn AsRef<[AtomicU64]> + Send + Sync>,
}

impl Answered {
    /// In ordinary memory, for `pairs` pairs.
    pub fn new(pairs: u64) -> Answered {
        let words: Vec<AtomicU64> = (0..pairs.div_ceil(PAIRS_PER_WORD))
            .map(|_| AtomicU64::new(0))
            .collect();
        Answered {
            words: Arc::new(words),
        }
    }

    /// In storage that somebody else made: at least `pairs.div_ceil(32)` words, all zero.
    pub fn in_storage(words: Arc<dyn AsRef<[AtomicU64]> + Send + Sync>) -> Answered {
        Answered { words }
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        (*self.words).as_ref()
    }

    /// Whether nothing more is to be sent there; true beyond the last word.
    #[inline]
    pub fn is_set(&self, counter: u64, stream: bool) -> bool {
        let (word, mask) = place(counter, stream);
        self.words()
            .get(word)
            .is_none_or(|word| word.load(Ordering::Relaxed) & mask != 0)
    }

    /// Sets the bit; true if it was not set before, and there is such a bit.
    #[inline]
    pub fn set(&self, counter: u64, stream: bool) -> bool {
        let (word, mask) = place(counter, stream);
        self.words()
            .get(word)
            .is_some_and(|word| word.fetch_or(mask, Ordering::Relaxed) & mask == 0)
    }
}

/// Where an endpoint's bit is.
fn place(counter: u64, stream: bool) -> (usize, u64) {
    let word = usize::try_from(counter / PAIRS_PER_WORD).unwrap_or(usize::MAX);
    let bit = counter % PAIRS_PER_WORD * 2 + u64::from(!stream);
    (word, 1 << bit)
}

/// How long a round waits for its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// From measured round-trip times (RFC 6298), 0.8 s until measured, 100 ms at least, 2 s at most.
    Adaptive,
    /// Always this long.
    Fixed(Duration),
}

/// What a schedule is made for.
#[derive(Clone, Debug)]
pub struct ScheduleOptions {
    /// Pairs of the order, done ones included.
    pub pairs: u64,
    /// The first counter that is not done.
    pub counter: u64,
    /// Sends to what stays silent: 1 and the retries.
    pub rounds: u32,
    /// Ask over TCP.
    pub stream: bool,
    /// Ask over UDP.
    pub datagram: bool,
    /// Pairs of a window.
    pub window_pairs: u64,
    /// How long a round waits.
    pub patience: Patience,
}

impl ScheduleOptions {
    fn asks(&self, stream: bool) -> bool {
        if stream { self.stream } else { self.datagram }
    }

    /// The state of a pair that is to be asked.
    fn fresh_state(&self) -> u8 {
        let half = |asked: bool| if asked { SILENT } else { ELSEWHERE };
        half(self.stream) | half(self.datagram) << 4
    }
}

/// Pairs to be sent to now, by their counters: over every transport of the run whose bit in
/// [`Answered`] is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stint {
    /// The first counter.
    pub from: u64,
    /// The counter behind the last one.
    pub to: u64,
    /// Which send this is, from 0.
    pub round: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send, at most this.
    Send(Stint),
    /// Nothing before this time (since the start), unless an answer comes.
    Wait(Duration),
    /// All windows are done; [`Schedule::take_finished`] has the last ones.
    Done,
}

/// What an answer means for the one who handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The first from this endpoint, in time. The schedule has noted it.
    First {
        /// After how many sends, at least 1.
        attempts: u32,
        /// Time from the send to the answer, if only one send can be meant.
        rtt: Option<Duration>,
    },
    /// The first from this endpoint, whose window was finished already: it has been counted as
    /// silent.
    Late,
    /// It has answered before, or was never to be asked.
    Known,
}

/// What is known of an endpoint when its window is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing came.
    Silent,
    /// This came (an RST or an ICMP error); who sent the ICMP error is not kept.
    Contact(Contact),
    /// Handed on when it answered, or not to be asked: not to be counted here.
    Elsewhere,
}

/// A window whose every round is over.
#[derive(Debug)]
pub struct Finished {
    /// The first counter.
    pub from: u64,
    /// The counter behind the last one.
    pub to: u64,
    /// Empty if nothing of the window was to be asked.
    states: Vec<u8>,
    attempts: u32,
    contacts: Contacts,
}

impl Finished {
    /// What is known of this pair, over TCP or UDP. `counter` is in `from..to`.
    #[inline]
    pub fn outcome(&self, counter: u64, stream: bool) -> Outcome {
        let state = self.states.get((counter - self.from) as usize);
        match state.map_or(ELSEWHERE, |state| half(*state, stream)) {
            SILENT => Outcome::Silent,
            ELSEWHERE => Outcome::Elsewhere,
            code => self
                .contacts
                .of_code(code)
                .map_or(Outcome::Elsewhere, Outcome::Contact),
        }
    }

    /// How many sends a silent endpoint of this window got.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// Counters that are open when a run stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRange {
    /// The first counter.
    pub from: u64,
    /// The counter behind the last one.
    pub to: u64,
    /// Whether TCP is still to be asked.
    pub stream: bool,
    /// Whether UDP is still to be asked.
    pub datagram: bool,
}

/// The machine.
pub struct Schedule {
    options: ScheduleOptions,
    answered: Answered,
    /// Ascending.
    open: Vec<Window>,
    /// Over and not taken yet; ascending.
    finished: VecDeque<Finished>,
    /// Where the next window begins.
    frontier: u64,
    contacts: Contacts,
    round_trip: Option<RoundTrip>,
    heard_after_sends: Vec<u64>,
}

impl Schedule {
    /// A machine that begins with the pair at `options.counter`. Bits of `answered` that are set
    /// already belong to endpoints that are not to be asked; their outcome is
    /// [`Outcome::Elsewhere`]. There is at least one round, and one pair to a window.
    pub fn new(mut options: ScheduleOptions, answered: Answered) -> Schedule {
        options.rounds = options.rounds.max(1);
        options.window_pairs = options.window_pairs.max(1);
        Schedule {
            frontier: options.counter.min(options.pairs),
            heard_after_sends: vec![0; options.rounds as usize],
            options,
            answered,
            open: Vec::with_capacity(OPEN_WINDOWS_MAX),
            finished: VecDeque::new(),
            contacts: Contacts::default(),
            round_trip: None,
        }
    }

    /// How many pairs the windows have that are opened from now on; at least 1.
    pub fn set_window_pairs(&mut self, window_pairs: u64) {
        self.options.window_pairs = window_pairs.max(1);
    }

    /// What to do now.
    pub fn next(&mut self, now: Duration) -> Next {
        loop {
            let mut until: Option<Duration> = None;
            let mut place = 0;
            while let Some(window) = self.open.get_mut(place) {
                let wait = Waits {
                    patience: self.options.patience,
                    timeout: self.round_trip.map(RoundTrip::timeout),
                    rounds: self.options.rounds,
                };
                match window.step(now, &wait) {
                    Step::Send(stint) => return Next::Send(stint),
                    Step::Wait(at) => {
                        until = Some(until.map_or(at, |until| until.min(at)));
                        place += 1;
                    }
                    Step::Over => self.finish(place),
                }
            }
            if self.open.len() < OPEN_WINDOWS_MAX && self.frontier < self.options.pairs {
                self.open_window();
                continue;
            }
            return until.map_or(Next::Done, Next::Wait);
        }
    }

    /// The pairs of `stint.from..done_to` have been sent to, between the two times. `done_to` may be
    /// less than `stint.to`: the rest comes again.
    pub fn sent(&mut self, stint: &Stint, done_to: u64, from: Duration, until: Duration) {
        assert!(done_to >= stint.from, "sent backwards");
        assert!(done_to <= stint.to, "sent more than the stint");
        // A window is closed while its stint is under way if the last silent one of it answers.
        let window = self.open.iter_mut().find(|window| window.holds(stint.from));
        let Some(window) = window.filter(|window| window.round == stint.round) else {
            return;
        };
        window.issued_at = None;
        if done_to == stint.from {
            return;
        }
        window.position = window.position.max(done_to);
        window.sent_until = window.sent_until.max(until);
        if stint.round == 0 {
            window.batches.push(Batch {
                from: stint.from,
                to: done_to,
                began: from,
                ended: until.max(from),
            });
            window.begun_to = window.begun_to.max(window.position);
        }
    }

    /// An endpoint answered. With [`Freshness::First`] it is not asked again. A `contact` (an RST or
    /// an ICMP error) is what [`Finished::outcome`] says later, unless [`Schedule::hand_on`] is
    /// called. Answers to a stint may come before [`Schedule::sent`] is told of it.
    pub fn answered(
        &mut self,
        counter: u64,
        stream: bool,
        contact: Option<&Contact>,
        now: Duration,
    ) -> Freshness {
        let is_begun = (self.options.counter..self.frontier).contains(&counter);
        if !is_begun || !self.options.asks(stream) || self.answered.is_set(counter, stream) {
            return Freshness::Known;
        }
        let Some(place) = self.open.iter().position(|window| window.holds(counter)) else {
            self.answered.set(counter, stream);
            return Freshness::Late;
        };
        let window = &mut self.open[place];
        let Some(attempts) = window.attempts_of(counter) else {
            return Freshness::Known;
        };
        let code = contact.map_or(ELSEWHERE, |contact| self.contacts.code_of(contact));
        self.answered.set(counter, stream);
        window.note(counter, stream, code);
        window.heard_at = Some(window.heard_at.map_or(now, |heard_at| heard_at.max(now)));
        window.begun_to = window.begun_to.max(counter + 1);
        let rtt = (attempts == 1)
            .then(|| window.sent_at(counter, now))
            .flatten()
            .map(|sent_at| now.saturating_sub(sent_at));
        // A router says that a host is unreachable after it has asked for it in vain, not at once.
        let measures = !matches!(contact, Some(Contact::Unreachable(_)));
        if let Some(rtt) = rtt.filter(|_| measures) {
            self.round_trip = Some(RoundTrip::updated(self.round_trip, rtt));
        }
        let place_of_attempts = attempts as usize - 1;
        if let Some(heard) = self.heard_after_sends.get_mut(place_of_attempts) {
            *heard += 1;
        }
        if window.silent == 0 {
            self.finish(place);
        }
        Freshness::First { attempts, rtt }
    }

    /// Whether an endpoint has been asked, is silent so far, and is not given up yet.
    pub fn is_waited_for(&self, counter: u64, stream: bool) -> bool {
        let window = self.open.iter().find(|window| window.holds(counter));
        self.options.asks(stream)
            && window.is_some_and(|window| window.attempts_of(counter).is_some())
            && !self.answered.is_set(counter, stream)
    }

    /// Somebody else asks this endpoint from now on, or has told of it: no more is sent there, and
    /// it is not counted here.
    pub fn hand_on(&mut self, counter: u64, stream: bool) {
        self.answered.set(counter, stream);
        let open = self.open.iter().position(|window| window.holds(counter));
        if let Some(place) = open {
            let window = &mut self.open[place];
            window.note(counter, stream, ELSEWHERE);
            if window.silent == 0 {
                self.finish(place);
            }
            return;
        }
        let place = self.finished.partition_point(|over| over.to <= counter);
        if let Some(over) = self.finished.get_mut(place)
            && let Some(steps) = counter.checked_sub(over.from)
            && let Some(state) = over.states.get_mut(steps as usize)
        {
            *state = with_half(*state, stream, ELSEWHERE);
        }
    }

    /// The oldest window that is over.
    pub fn take_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// Every pair before this counter has been begun.
    pub fn counter(&self) -> u64 {
        // Only the newest window can be in its first round and not at its end.
        match self.open.last() {
            Some(window) if window.to == self.frontier && window.is_in_first_send() => {
                window.begun_to
            }
            _ => self.frontier,
        }
    }

    /// Gives up what is still open: every window, finished or not, for the answers that it has got.
    /// [`Outcome::Silent`] then means: still to be asked, see [`Schedule::open_ranges`].
    pub fn abandon(&mut self) -> Vec<Finished> {
        while !self.open.is_empty() {
            self.finish(0);
        }
        self.finished.drain(..).collect()
    }

    /// Pairs before [`Schedule::counter`] that are in windows not yet taken as finished, and have
    /// neither been answered nor handed on, joined to ranges. With `untold`, also those whose RST or
    /// ICMP error only their finished window will tell of.
    pub fn open_ranges(&self, untold: bool) -> Vec<OpenRange> {
        let is_open = |code: u8| code == SILENT || (untold && code != ELSEWHERE);
        let counter = self.counter();
        let finished = self.finished.iter().map(|over| (over.from, &over.states));
        let open = self.open.iter().map(|window| (window.from, &window.states));
        let mut windows: Vec<(u64, &Vec<u8>)> = finished.chain(open).collect();
        windows.sort_unstable_by_key(|(from, _)| *from);
        let mut ranges: Vec<OpenRange> = Vec::new();
        for (from, states) in windows {
            for (counter, state) in (from..counter).zip(states) {
                let one = OpenRange {
                    from: counter,
                    to: counter + 1,
                    stream: is_open(half(*state, true)),
                    datagram: is_open(half(*state, false)),
                };
                if !one.stream && !one.datagram {
                    continue;
                }
                match ranges.last_mut() {
                    Some(last) if last.is_continued_by(&one) => last.to = one.to,
                    _ => ranges.push(one),
                }
            }
        }
        ranges
    }

    /// Endpoints by the number of sends after which they were first heard (the first number: after
    /// one send); the share that needed more than one tells the loss.
    pub fn heard_after_sends(&self) -> &[u64] {
        &self.heard_after_sends
    }

    /// The measured round-trip time, smoothed.
    pub fn smoothed_rtt(&self) -> Option<Duration> {
        self.round_trip
            .map(|trip| Duration::from_secs_f64(trip.smoothed_s))
    }

    fn open_window(&mut self) {
        let from = self.frontier;
        let to = self.options.pairs.min(from + self.options.window_pairs);
        self.frontier = to;
        let asked = u64::from(self.options.stream) + u64::from(self.options.datagram);
        let set = self.count_set(from, to);
        if set == (to - from) * asked {
            self.push_finished(Finished {
                from,
                to,
                states: Vec::new(),
                attempts: 0,
                contacts: self.contacts.clone(),
            });
            return;
        }
        let mut window = Window {
            from,
            to,
            states: vec![self.options.fresh_state(); (to - from) as usize],
            silent: (to - from) * asked,
            round: 0,
            position: from,
            end: to,
            begun_to: from,
            issued_at: None,
            sent_until: Duration::ZERO,
            heard_at: None,
            batches: Batches::default(),
        };
        if set > 0 {
            self.note_set(&mut window);
        }
        window.trim_end();
        self.open.push(window);
    }

    /// Bits set from `from` to `to`, over the transports of the run.
    fn count_set(&self, from: u64, to: u64) -> u64 {
        let mut asked_bits = 0;
        for (asked, bits) in [
            (self.options.stream, 0x5555_5555_5555_5555),
            (self.options.datagram, 0xaaaa_aaaa_aaaa_aaaa),
        ] {
            asked_bits |= if asked { bits } else { 0 };
        }
        words_between(from, to)
            .map(|(word, mask)| u64::from((self.word(word) & mask & asked_bits).count_ones()))
            .sum()
    }

    /// Notes the bits that are set already.
    fn note_set(&self, window: &mut Window) {
        for (word, mask) in words_between(window.from, window.to) {
            let mut bits = self.word(word) & mask;
            while bits != 0 {
                let bit = u64::from(bits.trailing_zeros());
                bits &= bits - 1;
                let counter = word * PAIRS_PER_WORD + bit / 2;
                window.note(counter, bit.is_multiple_of(2), ELSEWHERE);
            }
        }
    }

    fn word(&self, word: u64) -> u64 {
        usize::try_from(word)
            .ok()
            .and_then(|word| self.answered.words().get(word))
            .map_or(u64::MAX, |word| word.load(Ordering::Relaxed))
    }

    fn finish(&mut self, place: usize) {
        let window = self.open.remove(place);
        self.push_finished(Finished {
            from: window.from,
            to: window.to,
            states: window.states,
            attempts: window.round + 1,
            contacts: self.contacts.clone(),
        });
    }

    fn push_finished(&mut self, over: Finished) {
        let place = self
            .finished
            .partition_point(|other| other.from < over.from);
        self.finished.insert(place, over);
    }
}

impl OpenRange {
    fn is_continued_by(&self, next: &OpenRange) -> bool {
        self.to == next.from && self.stream == next.stream && self.datagram == next.datagram
    }
}

/// A window that is being asked.
struct Window {
    from: u64,
    to: u64,
    states: Vec<u8>,
    /// How many endpoints are silent so far.
    silent: u64,
    round: u32,
    /// Every pair of the round before this has been sent to.
    position: u64,
    /// Behind the last pair of the round that is to be sent to.
    end: u64,
    /// Every pair before this has been sent to at least once, or is being sent to.
    begun_to: u64,
    /// When the stint that is under way was handed out.
    issued_at: Option<Duration>,
    sent_until: Duration,
    heard_at: Option<Duration>,
    /// The sends of the first round.
    batches: Batches,
}

/// What a window is about to do.
enum Step {
    Send(Stint),
    Wait(Duration),
    Over,
}

impl Window {
    fn holds(&self, counter: u64) -> bool {
        (self.from..self.to).contains(&counter)
    }

    fn step(&mut self, now: Duration, waits: &Waits) -> Step {
        if self.silent == 0 {
            return Step::Over;
        }
        self.skip_answered();
        if self.position >= self.end {
            let over_at = self.over_at(waits);
            if now < over_at {
                return Step::Wait(over_at);
            }
            if self.round + 1 >= waits.rounds {
                return Step::Over;
            }
            self.round += 1;
            self.position = self.from;
            self.issued_at = None;
            self.trim_end();
            self.skip_answered();
        }
        self.issued_at = Some(now);
        Step::Send(Stint {
            from: self.position,
            to: self.end,
            round: self.round,
        })
    }

    /// When the wait after this round is over.
    fn over_at(&self, waits: &Waits) -> Duration {
        let timeout = match waits.patience {
            Patience::Fixed(wait) => return self.sent_until + wait,
            Patience::Adaptive => waits.timeout.unwrap_or(WAIT_INITIAL),
        };
        let doubled = timeout
            .saturating_mul(1 << self.round.min(16))
            .min(WAIT_MAX);
        let is_last = self.round + 1 >= waits.rounds;
        let wait = if is_last {
            doubled.max(LAST_WAIT_MIN)
        } else {
            doubled
        };
        let quiet_at = self.heard_at.map_or(Duration::ZERO, |at| at + QUIET);
        (self.sent_until + wait).max(quiet_at.min(self.sent_until + WAIT_MAX))
    }

    /// Moves over pairs of which nothing is silent.
    fn skip_answered(&mut self) {
        let begin = (self.position - self.from) as usize;
        let end = (self.end - self.from) as usize;
        let silent = self
            .states
            .get(begin..end)
            .and_then(|states| states.iter().position(|state| has_silent(*state)));
        self.position = silent.map_or(self.end, |steps| self.position + steps as u64);
        self.begun_to = self.begun_to.max(self.position);
    }

    /// Ends the round behind the last pair of which something is silent.
    fn trim_end(&mut self) {
        let last = self.states.iter().rposition(|state| has_silent(*state));
        self.end = last.map_or(self.from, |steps| self.from + steps as u64 + 1);
    }

    fn is_in_first_send(&self) -> bool {
        self.round == 0 && self.position < self.end
    }

    /// Notes what is known of an endpoint.
    fn note(&mut self, counter: u64, stream: bool, code: u8) {
        let state = &mut self.states[(counter - self.from) as usize];
        if half(*state, stream) == SILENT && code != SILENT {
            self.silent -= 1;
        }
        *state = with_half(*state, stream, code);
    }

    /// How many probes a silent pair of this window has got; `None` if it has got none. A stint that
    /// is under way counts as sent.
    fn attempts_of(&self, counter: u64) -> Option<u32> {
        let sent_to = match self.issued_at {
            Some(_) => self.end,
            None => self.position,
        };
        let attempts = self.round + u32::from(counter < sent_to);
        (attempts > 0).then_some(attempts)
    }

    /// When a pair was sent to in the first round; not after `now`.
    fn sent_at(&self, counter: u64, now: Duration) -> Option<Duration> {
        let sent_at = match self.batches.of(counter) {
            Some(batch) => batch.sent_at(counter, now),
            // Its stint is under way.
            None => self.issued_at?,
        };
        Some(sent_at.min(now))
    }
}

/// What decides about the length of a wait.
struct Waits {
    patience: Patience,
    /// The retransmission timeout, once it is measured.
    timeout: Option<Duration>,
    rounds: u32,
}

/// Pairs that were sent to one after the other between two times.
#[derive(Clone, Copy, Debug)]
struct Batch {
    from: u64,
    to: u64,
    began: Duration,
    ended: Duration,
}

impl Batch {
    /// When a pair was sent to, as if all took equally long; the beginning, if that is after `now`.
    fn sent_at(&self, counter: u64, now: Duration) -> Duration {
        let pairs = (self.to - self.from).max(1);
        let share = (counter - self.from) as f64 / pairs as f64;
        let sent_at = self.began + (self.ended - self.began).mul_f64(share);
        if sent_at <= now { sent_at } else { self.began }
    }
}

/// The sends of a round, ascending and few: neighbours are joined, the more the longer a round is.
#[derive(Debug, Default)]
struct Batches {
    batches: Vec<Batch>,
}

impl Batches {
    fn push(&mut self, batch: Batch) {
        if let Some(last) = self.batches.last_mut()
            && last.to == batch.from
            && batch.ended.saturating_sub(last.began) <= BATCH_TIME
        {
            last.to = batch.to;
            last.ended = last.ended.max(batch.ended);
            return;
        }
        if self.batches.len() == BATCHES_MAX {
            self.join_neighbours();
        }
        self.batches.push(batch);
    }

    fn of(&self, counter: u64) -> Option<&Batch> {
        let place = self.batches.partition_point(|batch| batch.to <= counter);
        self.batches
            .get(place)
            .filter(|batch| batch.from <= counter)
    }

    fn join_neighbours(&mut self) {
        self.batches = self
            .batches
            .chunks(2)
            .map(|chunk| Batch {
                to: chunk[chunk.len() - 1].to,
                ended: chunk[chunk.len() - 1].ended.max(chunk[0].began),
                ..chunk[0]
            })
            .collect();
    }
}

/// Smoothed round-trip time and its variation (RFC 6298 section 2), in seconds.
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    smoothed_s: f64,
    variation_s: f64,
}

impl RoundTrip {
    fn updated(before: Option<RoundTrip>, sample: Duration) -> RoundTrip {
        let sample_s = sample.as_secs_f64();
        let Some(mut trip) = before else {
            return RoundTrip {
                smoothed_s: sample_s,
                variation_s: sample_s / 2.0,
            };
        };
        trip.variation_s += 0.25 * ((trip.smoothed_s - sample_s).abs() - trip.variation_s);
        trip.smoothed_s += 0.125 * (sample_s - trip.smoothed_s);
        trip
    }

    fn timeout(self) -> Duration {
        Duration::from_secs_f64(self.smoothed_s + 4.0 * self.variation_s).clamp(WAIT_MIN, WAIT_MAX)
    }
}

/// Nothing came so far.
const SILENT: u8 = 0;
/// Handed on, or not to be asked.
const ELSEWHERE: u8 = 1;
/// A RST.
const RESET: u8 = 2;
/// Prohibited, by which ICMP error is not kept.
const PROHIBITED: u8 = 3;
/// Unreachable, by which ICMP error is not kept.
const UNREACHABLE: u8 = 4;
/// From here on the codes are places in [`Contacts`].
const KEPT: u8 = 5;
/// How many different ICMP errors are kept word by word; those that come later lose their numbers.
const CONTACTS_MAX: usize = 16 - KEPT as usize;

fn half(state: u8, stream: bool) -> u8 {
    if stream { state & 0x0f } else { state >> 4 }
}

fn with_half(state: u8, stream: bool, code: u8) -> u8 {
    if stream {
        state & 0xf0 | code
    } else {
        state & 0x0f | code << 4
    }
}

fn has_silent(state: u8) -> bool {
    half(state, true) == SILENT || half(state, false) == SILENT
}

/// The ICMP errors that came, so that half a byte tells which one it was.
#[derive(Clone, Debug, Default)]
struct Contacts {
    kept: Vec<Contact>,
}

impl Contacts {
    /// The code of what came. Whatever is no RST and no ICMP error is not counted here.
    fn code_of(&mut self, contact: &Contact) -> u8 {
        let (kept, otherwise) = match contact {
            Contact::Refused(Refusal::PortUnreachable(icmp)) => {
                let kept = Contact::Refused(Refusal::PortUnreachable(without_sender(icmp)));
                (kept, RESET)
            }
            Contact::Prohibited(Some(icmp)) => {
                (Contact::Prohibited(Some(without_sender(icmp))), PROHIBITED)
            }
            Contact::Unreachable(Some(icmp)) => (
                Contact::Unreachable(Some(without_sender(icmp))),
                UNREACHABLE,
            ),
            Contact::Refused(_) => return RESET,
            Contact::Prohibited(None) => return PROHIBITED,
            Contact::Unreachable(None) => return UNREACHABLE,
            Contact::Answered | Contact::Silent | Contact::Unfinished | Contact::Failed(_) => {
                return ELSEWHERE;
            }
        };
        if let Some(place) = self.kept.iter().position(|other| *other == kept) {
            return KEPT + place as u8;
        }
        if self.kept.len() == CONTACTS_MAX {
            return otherwise;
        }
        self.kept.push(kept);
        KEPT + self.kept.len() as u8 - 1
    }

    fn of_code(&self, code: u8) -> Option<Contact> {
        match code {
            RESET => Some(Contact::Refused(Refusal::Reset)),
            PROHIBITED => Some(Contact::Prohibited(None)),
            UNREACHABLE => Some(Contact::Unreachable(None)),
            code => self.kept.get(usize::from(code.checked_sub(KEPT)?)).cloned(),
        }
    }
}

fn without_sender(icmp: &IcmpError) -> IcmpError {
    IcmpError {
        from: None,
        ..*icmp
    }
}

/// The words that hold the bits of these pairs, with a mask of those bits.
fn words_between(from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
    let words = from / PAIRS_PER_WORD..to.div_ceil(PAIRS_PER_WORD);
    words.map(move |word| {
        let first = word * PAIRS_PER_WORD;
        let skipped = from.saturating_sub(first) * 2;
        let beyond = (first + PAIRS_PER_WORD).saturating_sub(to) * 2;
        (word, u64::MAX << skipped & u64::MAX >> beyond)
    })
}
