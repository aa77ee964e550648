//! The table: one endpoint a row, what matters about it in the last column.

use model::{Auth, Dialogue, Endpoint, Language, Record, Transport, Verdict, canonical_ip};

use super::details;
use super::page::{Ink, Page};
use crate::escape::escape_for_terminal;
use crate::layout::{pad, truncate, width, wrap};
use crate::words::{counted, minute, pick, ratio};
use crate::{Style, TextOptions, labels, values};

/// Columns of the mark of alarms.
const MARK_COLUMNS: usize = 2;
/// Columns between two columns.
const GAP_COLUMNS: usize = 2;
/// Columns that a name and a version are cut to: the most generous that fits is taken. Without a
/// column of its own, a name stands before what matters.
const NAME_AND_VERSION_COLUMNS: [(usize, usize); 4] = [(28, 16), (20, 10), (12, 8), (0, 8)];
/// An endpoint wider than this takes a second line; it fits every IPv4 address with its port.
const PLACE_COLUMNS_MAX: usize = 30;
/// When and by whom it was seen, where that has a column.
const SEEN_COLUMNS_MAX: usize = 32;
/// Columns that a version is cut to on a second line.
const VERSION_COLUMNS_MAX: usize = 16;
/// What matters needs this many columns; with less it gets a line of its own.
const MATTER_COLUMNS_MIN: usize = 30;

/// An endpoint, ready to be printed.
pub(super) struct Row {
    alarm: bool,
    verdict: Verdict,
    endpoint: Endpoint,
    /// The verdict, or what `verify` says in its place.
    word: String,
    place: String,
    name: String,
    version: String,
    /// When it was seen, and by whom; a search tells it.
    seen: String,
    matter: String,
    /// The block of everything learnt, if the style asks for it.
    pub(super) details: Option<String>,
}

impl Row {
    pub(super) fn of(record: &Record, options: &TextOptions) -> Row {
        let dialogue = record.evidence.dialogue.as_deref();
        let version = dialogue.and_then(|dialogue| dialogue.version.value());
        Row {
            alarm: record.alarm,
            verdict: record.judgement.verdict,
            word: word(record.judgement.verdict, options).to_owned(),
            place: escape_for_terminal(&record.endpoint.to_string()),
            name: name(record).unwrap_or_default(),
            version: version
                .map(|version| escape_for_terminal(version))
                .unwrap_or_default(),
            seen: seen(record, options),
            matter: escape_for_terminal(&matter(record, options)),
            details: (options.style == Style::Check)
                .then(|| details::block(record, options))
                .flatten(),
            endpoint: record.endpoint.clone(),
        }
    }

    /// Alarms first, then by verdict, then by address.
    pub(super) fn order(&self) -> impl Ord + '_ {
        (!self.alarm, self.verdict, &self.endpoint)
    }
}

/// How the columns of a table lie.
pub(super) struct Columns {
    word: usize,
    place: usize,
    name: usize,
    version: usize,
    seen: usize,
    /// Columns of what matters; `None` if it stands on a line of its own.
    matter: Option<usize>,
    /// Whether a row may take several lines.
    several_lines: bool,
}

impl Columns {
    /// Columns for these rows.
    pub(super) fn fitting(rows: &[Row], options: &TextOptions, several_lines: bool) -> Columns {
        let heads = Heads::of(options.language);
        let widest = |cell: fn(&Row) -> &str, head: &str, columns_max: usize| {
            let cells = rows.iter().map(|row| width(cell(row)));
            let widest = cells
                .filter(|columns| (1..=columns_max).contains(columns))
                .max();
            widest.map_or(0, |columns| columns.max(width(head)))
        };
        let word = widest(|row| &row.word, heads.word, usize::MAX);
        let place = widest(|row| &row.place, heads.place, PLACE_COLUMNS_MAX);
        let name = widest(|row| &row.name, heads.name, usize::MAX);
        let version = widest(|row| &row.version, heads.version, usize::MAX);
        let mut columns = Columns {
            word,
            place,
            name: 0,
            version: 0,
            seen: widest(|row| &row.seen, heads.seen, SEEN_COLUMNS_MAX),
            matter: None,
            several_lines,
        };
        for (name_max, version_max) in NAME_AND_VERSION_COLUMNS {
            columns.name = name.min(name_max);
            columns.version = version.min(version_max);
            let rest = options.width_columns.saturating_sub(columns.matter_start());
            if place > 0 && rest >= MATTER_COLUMNS_MIN {
                columns.matter = Some(rest);
                break;
            }
        }
        columns
    }

    pub(super) fn print_head(&self, page: &mut Page<'_>) {
        if self.matter.is_none() {
            return;
        }
        let heads = Heads::of(page.language());
        let line = self.cells([
            heads.word,
            heads.place,
            heads.name,
            heads.version,
            heads.seen,
        ]) + heads.matter;
        let line = page.ink(Ink::Faint, &format!("{}{line}", " ".repeat(MARK_COLUMNS)));
        page.line(&line);
    }

    pub(super) fn print(&self, row: &Row, page: &mut Page<'_>) {
        let fits = width(&row.word) <= self.word
            && width(&row.place) <= self.place
            && width(&row.seen) <= self.seen;
        match self.matter {
            Some(columns) if fits => self.print_wide(row, columns, page),
            Some(_) | None => self.print_narrow(row, page),
        }
    }

    /// Where the last column begins.
    fn matter_start(&self) -> usize {
        let filled = self.widths().into_iter();
        let filled = filled.filter(|columns| *columns > 0);
        MARK_COLUMNS + filled.map(|columns| columns + GAP_COLUMNS).sum::<usize>()
    }

    /// All columns but the last.
    fn widths(&self) -> [usize; 5] {
        [self.word, self.place, self.name, self.version, self.seen]
    }

    fn cells(&self, texts: [&str; 5]) -> String {
        let gap = " ".repeat(GAP_COLUMNS);
        texts
            .into_iter()
            .zip(self.widths())
            .filter(|(_, columns)| *columns > 0)
            .map(|(cell, columns)| pad(&truncate(cell, columns), columns) + &gap)
            .collect()
    }

    fn print_wide(&self, row: &Row, columns: usize, page: &mut Page<'_>) {
        let ink = Ink::of_verdict(row.verdict, row.alarm);
        let cells = self.cells([&row.word, &row.place, &row.name, &row.version, &row.seen]);
        // The word is the first cell: it alone is coloured.
        let (word, rest) = cells.split_at(row.word.len());
        let lines = if self.name > 0 || row.name.is_empty() {
            self.matter_lines(&row.matter, columns)
        } else {
            let name = truncate(&row.name, MATTER_COLUMNS_MIN - 2);
            let matter = format!("{name}{}{}", page.pick(": ", "："), row.matter);
            self.matter_lines(&matter, columns)
        };
        let mark = page.ink(ink, &mark(row.alarm));
        let first = format!("{mark}{}{rest}{}", page.ink(ink, word), lines[0]);
        page.line(&first);
        for line in &lines[1..] {
            page.line(&format!("{}{line}", " ".repeat(self.matter_start())));
        }
    }

    fn print_narrow(&self, row: &Row, page: &mut Page<'_>) {
        let ink = Ink::of_verdict(row.verdict, row.alarm);
        let mark = page.ink(ink, &mark(row.alarm));
        let word = page.ink(ink, &pad(&row.word, self.word));
        let indent = MARK_COLUMNS + self.word + GAP_COLUMNS;
        let columns = page.width().saturating_sub(indent);
        let place = [row.place.as_str(), row.name.as_str()].join("  ");
        let places = wrap(place.trim_end(), columns);
        page.line(&format!(
            "{mark}{word}{}{}",
            " ".repeat(GAP_COLUMNS),
            places[0]
        ));
        let version = truncate(&row.version, VERSION_COLUMNS_MAX);
        let matter = if version.is_empty() {
            row.matter.clone()
        } else {
            format!("{version}{}{}", page.pick(": ", "："), row.matter)
        };
        let seen = (!row.seen.is_empty()).then(|| {
            let words = format!("{}{}", page.pick("seen ", "確認 "), row.seen);
            truncate(&words, columns)
        });
        for line in places[1..]
            .iter()
            .chain(&seen)
            .chain(&self.matter_lines(&matter, columns))
        {
            page.line(&format!("{}{line}", " ".repeat(indent)));
        }
    }

    /// What matters, whole or cut; at least one line.
    fn matter_lines(&self, matter: &str, columns: usize) -> Vec<String> {
        if self.several_lines {
            wrap(matter, columns)
        } else {
            vec![truncate(matter, columns)]
        }
    }
}

/// The heads of the columns.
struct Heads {
    word: &'static str,
    place: &'static str,
    name: &'static str,
    version: &'static str,
    seen: &'static str,
    matter: &'static str,
}

impl Heads {
    fn of(language: Language) -> Heads {
        match language {
            Language::English => Heads {
                word: "verdict",
                place: "endpoint",
                name: "name",
                version: "version",
                seen: "seen (UTC)",
                matter: "what matters",
            },
            Language::Japanese => Heads {
                word: "判定",
                place: "エンドポイント",
                name: "名前",
                version: "版",
                seen: "最終確認 (UTC)",
                matter: "要点",
            },
        }
    }
}

/// The mark that makes alarms stand out without colour.
fn mark(alarm: bool) -> String {
    pad(if alarm { "!" } else { "" }, MARK_COLUMNS)
}

/// The verdict's word; for `verify`, what became of the endpoint.
fn word(verdict: Verdict, options: &TextOptions) -> &'static str {
    if options.style != Style::Verify {
        return verdict.as_str();
    }
    let pick = |en, ja| pick(options.language, en, ja);
    match verdict {
        Verdict::Exposed => pick("still open", "まだ開いている"),
        Verdict::Protected
        | Verdict::Other
        | Verdict::Closed
        | Verdict::Filtered
        | Verdict::Absent => pick("closed", "閉じた"),
        Verdict::Silent => pick("no answer", "応答なし"),
        Verdict::Unfinished => pick("unfinished", "未完了"),
        Verdict::Decoy => pick("decoy", "おとり"),
    }
}

/// When a search's endpoint was seen last, and who saw it if this program did not.
fn seen(record: &Record, options: &TextOptions) -> String {
    if options.style != Style::Find {
        return String::new();
    }
    let time = minute(record.timestamp);
    match record.source.as_deref() {
        Some(source) => format!("{time} {}", escape_for_terminal(source)),
        None => time,
    }
}

/// The name it was asked by, unless that is only the address again.
pub(crate) fn name(record: &Record) -> Option<String> {
    let name = record.hostname.as_deref()?;
    let is_address = match (name.parse(), record.endpoint.address.ip()) {
        (Ok(typed), Some(ip)) => canonical_ip(typed) == ip,
        _ => name == record.endpoint.address.to_string(),
    };
    (!is_address).then(|| escape_for_terminal(name))
}

/// What matters about an endpoint, in one clause; not yet escaped.
pub(crate) fn matter(record: &Record, options: &TextOptions) -> String {
    let language = options.language;
    let judgement = &record.judgement;
    let mut clauses = Vec::new();
    clauses.extend(
        record
            .acceptances
            .iter()
            .map(|one| labels::accepted(one, language)),
    );
    let reason = judgement.reason.in_language(language);
    match (judgement.verdict, record.evidence.dialogue.as_deref()) {
        (Verdict::Exposed, Some(dialogue)) if is_open(dialogue) => {
            clauses.push(openness(dialogue, record.endpoint.transport, language));
        }
        // `verify` calls all of these closed; which of them it is stands here.
        (
            verdict @ (Verdict::Protected | Verdict::Other | Verdict::Filtered | Verdict::Absent),
            _,
        ) if options.style == Style::Verify => {
            clauses.push(format!("{verdict}{}{reason}", pick(language, ": ", "：")));
        }
        _ => clauses.push(reason.to_owned()),
    }
    // Behind what was found, because a line may be cut; the missing mark says it too.
    if judgement.only_from_here && judgement.verdict == Verdict::Exposed {
        clauses.push(
            pick(
                language,
                "seen only from this machine: no alarm",
                "このマシンからのみ到達可能：警報なし",
            )
            .to_owned(),
        );
    }
    // `check` has a line of its own for it.
    if options.verbose && options.style != Style::Check {
        clauses.extend(record.hardware.as_ref().map(labels::card));
    }
    clauses.join(pick(language, "; ", "／"))
}

/// Whether the server was seen to serve without credentials.
fn is_open(dialogue: &Dialogue) -> bool {
    dialogue.auth == Auth::None || !dialogue.executed.is_empty()
}

/// What an exposed server gives away: how far it can be turned on others, and what can be read.
fn openness(dialogue: &Dialogue, transport: Transport, language: Language) -> String {
    let pick = |en, ja| pick(language, en, ja);
    let mut parts = Vec::new();
    let strongest = values::strongest(&dialogue.amplification)
        .filter(|best| transport == Transport::Udp && best.payload_ratio() >= 1.0);
    match strongest {
        Some(best) => {
            let at_least = if best.complete {
                ""
            } else {
                pick("at least ", "少なくとも ")
            };
            let payload = ratio(language, best.payload_ratio());
            let wire = ratio(language, best.wire_ratio());
            parts.push(match language {
                Language::English => {
                    format!("reflector: {at_least}{payload} ({wire} on the wire)")
                }
                Language::Japanese => {
                    format!("リフレクタ：{at_least}{payload}（回線上 {wire}）")
                }
            });
        }
        None => parts.push(pick("no authentication", "認証なし").to_owned()),
    }
    if let Some(from) = dialogue.answered_from {
        parts.push(format!("{}{from}", pick("answers from ", "応答元 ")));
    }
    if dialogue.tls.is_some() {
        parts.push(pick("through TLS", "TLS 経由").to_owned());
    }
    match dialogue
        .stats
        .value()
        .and_then(|stats| stats.integer("curr_items"))
    {
        Some(0) => parts.push(pick("cache is empty", "キャッシュは空").to_owned()),
        Some(items) => parts.push(counted(language, items, "item", "items", "件のデータ")),
        None => {}
    }
    parts.join(pick(", ", "、"))
}
