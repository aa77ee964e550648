//! What a document about a whole run is made from, gathered record by record.
//!
//! HTML and Markdown say the same in two forms, and this is what they say. However long a run is,
//! what is held stays within limits; what did not fit is counted, so that a document can say so.

mod endpoints;
mod plan;
mod plots;
mod subnets;

use assess::{Grade, Scores};
use model::{Language, Record, RunRecord, Summary, Verdict, VerifiedFinding};

use crate::advice::Advice;
use crate::text::closing::{self, Found, Sentences, Tally};
use crate::text::page::Ink;
use crate::words::{counted, pick};
use crate::{Style, TextOptions, labels, values};

pub(crate) use endpoints::{Brief, Detail, Endpoints};
pub(crate) use subnets::{Cells, Mark, Network, Subnets};

use plots::{Amplifiers, Versions};

/// Targets named in a title.
const TITLE_TARGETS_MAX: usize = 3;

/// Everything that a document says of a run.
pub(crate) struct Digest {
    pub(crate) options: TextOptions,
    pub(crate) run: Option<RunRecord>,
    pub(crate) advice: Advice,
    pub(crate) verified: Vec<VerifiedFinding>,
    pub(crate) versions: Versions,
    pub(crate) amplifiers: Amplifiers,
    pub(crate) subnets: Subnets,
    pub(crate) endpoints: Endpoints,
    tally: Tally,
    scores: Scores,
}

/// How it came out, in one line.
pub(crate) struct Headline {
    /// The letter of the network, where it has one.
    pub(crate) grade: Option<Grade>,
    /// How the sentence stands out.
    pub(crate) ink: Ink,
    /// The sentence.
    pub(crate) conclusion: String,
    /// Further sentences: the grade's, the counts, what a reader must know.
    pub(crate) rest: Vec<String>,
}

impl Digest {
    pub(crate) fn new(options: &TextOptions) -> Digest {
        Digest {
            options: options.clone(),
            run: None,
            // Shortly, because every endpoint has its own proof below.
            advice: Advice::new(false),
            verified: Vec::new(),
            versions: Versions::default(),
            amplifiers: Amplifiers::default(),
            subnets: Subnets::default(),
            endpoints: Endpoints::default(),
            tally: Tally::default(),
            scores: Scores::default(),
        }
    }

    pub(crate) fn add(&mut self, record: &Record) {
        self.advice.add(record);
        self.tally.add(record);
        self.scores.add(record);
        self.versions.add(record);
        self.amplifiers.add(record);
        self.subnets.add(record);
        self.endpoints.add(record, &self.options);
    }

    pub(crate) fn language(&self) -> Language {
        self.options.language
    }

    /// One of two words, in the document's language.
    pub(crate) fn pick<'a>(&self, en: &'a str, ja: &'a str) -> &'a str {
        pick(self.language(), en, ja)
    }

    /// Whether it is about a run, and not about what a search found.
    pub(crate) fn is_of_run(&self) -> bool {
        self.options.style != Style::Find
    }

    /// The heads of the table of endpoints: only a search tells of each when it was seen.
    pub(crate) fn endpoint_heads(&self) -> Vec<&'static str> {
        let language = self.language();
        let mut heads = vec![
            pick(language, "verdict", "判定"),
            pick(language, "endpoint", "エンドポイント"),
            pick(language, "name", "名前"),
            pick(language, "version", "バージョン"),
            pick(language, "what matters", "要点"),
        ];
        if !self.is_of_run() {
            heads.push(pick(language, "seen (UTC)", "最終確認 (UTC)"));
        }
        heads
    }

    /// The name of the document.
    pub(crate) fn heading(&self) -> &'static str {
        let language = self.language();
        match self.options.style {
            Style::Scan | Style::Check => pick(
                language,
                "Exposed memcached: report",
                "memcached 公開状況レポート",
            ),
            Style::Verify => pick(
                language,
                "Exposed memcached: asked again",
                "memcached 再確認レポート",
            ),
            Style::Demo => pick(
                language,
                "A made-up network: report",
                "架空のネットワークのレポート",
            ),
            Style::Find => pick(language, "Found in the inventory", "インベントリの検索結果"),
        }
    }

    /// What was asked, shortly; not escaped.
    pub(crate) fn subject(&self) -> Option<String> {
        let targets = &self.run.as_ref()?.targets;
        let is_told = self.options.style != Style::Demo && !targets.is_empty();
        is_told.then(|| closing::some_of(targets, TITLE_TARGETS_MAX, self.language()))
    }

    pub(crate) fn headline(&self, summary: &Summary) -> Headline {
        let found = Found {
            tally: &self.tally,
            scores: &self.scores,
            endpoints: self.endpoints.total(),
        };
        let sentences = Sentences::of(summary, self.run.as_ref(), &found, &self.options);
        let reached = self.scores.counts().total() > 0;
        let is_graded = self.is_of_run() && (reached || values::is_settled(summary));
        let (ink, conclusion) = sentences.conclusion;
        let rest = sentences.rest.into_iter().map(|(_, sentence)| sentence);
        Headline {
            grade: is_graded.then(|| self.scores.grade()),
            ink,
            conclusion,
            rest: sentences.grade.into_iter().chain(rest).collect(),
        }
    }

    /// The verdicts that occurred: word, meaning, count.
    pub(crate) fn verdicts(&self, summary: &Summary) -> Vec<(Verdict, String, u64)> {
        let present = summary.verdicts.iter().filter(|(_, count)| *count > 0);
        let meaning = |verdict| labels::verdict_meaning(verdict);
        present
            .map(|(verdict, count)| {
                let meaning = meaning(verdict).in_language(self.language()).to_owned();
                (verdict, meaning, count)
            })
            .collect()
    }

    /// How it was asked, as labels and texts; not escaped.
    pub(crate) fn plan(&self, summary: &Summary) -> Vec<(&'static str, String)> {
        plan::rows(self.run.as_ref(), summary, &self.options)
    }

    /// What of the endpoints is left out, in a sentence; `None` if nothing is.
    pub(crate) fn left_out(&self) -> Option<String> {
        let language = self.language();
        let (rest, told) = (self.endpoints.left_out(), self.endpoints.detailed_count());
        let without_details = self.endpoints.listed_count();
        let mut sentences = Vec::new();
        if without_details > 0 && told > 0 {
            sentences.push(match language {
                Language::English => format!(
                    "Details are given of the worst {}; the others stand in the table.",
                    counted(language, told, "endpoint", "endpoints", "")
                ),
                Language::Japanese => format!(
                    "詳細は深刻なものから {}まで。残りは表にのみ記載しています。",
                    counted(language, told, "", "", "件")
                ),
            });
        }
        if rest > 0 {
            sentences.push(match language {
                Language::English => format!(
                    "Left out of the table: {}. The NDJSON of the run has them all.",
                    counted(language, rest, "endpoint", "endpoints", "")
                ),
                Language::Japanese => format!(
                    "表に載せていないもの：{}。すべては実行の NDJSON にあります。",
                    counted(language, rest, "", "", "件")
                ),
            });
        }
        (!sentences.is_empty()).then(|| sentences.join(pick(language, " ", "")))
    }
}
