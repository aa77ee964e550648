//! Letters to those who administer exposed servers: one for each owner that the administrator's
//! files know, and one for everything without an owner. To be read, completed and sent by a person.
//!
//! Header fields are folded and lines broken at 72 columns (RFC 5322 section 2.1.1 wants 78
//! characters at most). Nothing is held back but what is printed: who was seen where and when.

use std::collections::BTreeMap;

use model::{Endpoint, Language, Record, RunRecord, Summary, Text, Transport};

use crate::exchange::{self, shown};
use crate::layout::wrap;
use crate::words::{grouped, pick, ratio, second};
use crate::{Report, TextOptions, values};

/// Columns of a line.
const COLUMNS: usize = 72;
/// Endpoints held for sorting; the others are counted, and the letters say so.
const HELD_MAX: usize = 50_000;
/// Columns of an owner's or a host's name.
const NAME_CHARACTERS_MAX: usize = 120;

/// Holds what was seen until the summary, by owner.
pub(crate) struct AbuseReport {
    language: Language,
    run: String,
    /// From where the questions came.
    source: Option<String>,
    letters: BTreeMap<Option<String>, Vec<Seen>>,
    held: usize,
    left_out: u64,
}

/// One exposed endpoint.
struct Seen {
    endpoint: Endpoint,
    name: Option<String>,
    /// When, and what it said.
    facts: String,
    reason: String,
    /// The strongest answer over UDP, for each byte that was sent.
    payload_ratio: Option<f64>,
    /// Whether this program saw it, and not another whose results were imported.
    is_ours: bool,
}

impl AbuseReport {
    pub(crate) fn new(options: &TextOptions) -> AbuseReport {
        AbuseReport {
            language: options.language,
            run: String::new(),
            source: None,
            letters: BTreeMap::new(),
            held: 0,
            left_out: 0,
        }
    }
}

impl Report for AbuseReport {
    fn run(&mut self, run: &RunRecord, _out: &mut Vec<u8>) {
        self.source = run.vantage.source.as_deref().map(shown);
    }

    fn record(&mut self, record: &Record, _out: &mut Vec<u8>) {
        let is_accepted = record.acceptances.iter().any(|one| one.rule.is_none());
        if !exchange::is_open_to_others(record) || is_accepted {
            return;
        }
        if self.held == HELD_MAX {
            self.left_out += 1;
            return;
        }
        self.held += 1;
        let owner = record.enrichment.owner.as_deref().map(short);
        let seen = seen(record, self.language);
        self.letters.entry(owner).or_default().push(seen);
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.run = shown(&summary.run);
        let letters = std::mem::take(&mut self.letters);
        let mut page = Page::default();
        if letters.is_empty() {
            page.text(&say(self.language, &nothing_to_tell()));
        }
        for (index, (owner, mut all)) in letters.into_iter().enumerate() {
            if index > 0 {
                page.blank();
                page.line("=".repeat(COLUMNS));
                page.blank();
            }
            all.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
            self.letter(owner.as_deref(), &all, &mut page);
        }
        out.extend_from_slice(page.text.as_bytes());
    }
}

impl AbuseReport {
    fn letter(&self, owner: Option<&str>, all: &[Seen], page: &mut Page) {
        let language = self.language;
        let strongest = all
            .iter()
            .filter_map(|one| one.payload_ratio)
            .reduce(f64::max);
        let say = |text: &Text| text.in_language(language).to_owned();
        page.field("To", &say(&recipient(owner)));
        page.field("Subject", &say(&subject(all)));
        page.blank();
        page.text(&say(&Text::new("Hello,", "ご担当者様")));
        page.blank();
        page.text(&say(&opening(owner)));

        page.heading(pick(language, "What was seen", "確認した内容"));
        for one in all {
            page.item("  ", &shown(&one.endpoint.to_string()));
            if let Some(name) = &one.name {
                page.item("    ", name);
            }
            page.item("    ", &one.facts);
            page.item("    ", &one.reason);
        }
        if self.left_out > 0 {
            page.blank();
            page.text(&say(&left_out(self.left_out)));
        }

        page.heading(pick(language, "Why it matters", "問題点"));
        for reason in reasons(language, strongest) {
            page.point("- ", &say(&reason));
        }

        page.heading(pick(language, "What to change", "対処のお願い"));
        let changes = changes(strongest.is_some());
        for (index, (change, option)) in changes.iter().enumerate() {
            page.point(&format!("{}. ", index + 1), &say(change));
            if let Some(option) = option {
                page.item("     ", option);
            }
        }

        if all.iter().any(|one| one.is_ours) {
            page.heading(pick(language, "How it was seen", "確認の方法"));
            page.text(&say(&method(self.source.as_deref())));
        }
        page.blank();
        page.text(&say(&closing()));
        page.blank();
        for placeholder in signature() {
            page.text(&say(&placeholder));
        }
        page.text(&say(&Text::new(
            format!("Reference: {}", self.run),
            format!("参照番号: {}", self.run),
        )));
    }
}

fn seen(record: &Record, language: Language) -> Seen {
    let dialogue = record.evidence.dialogue.as_ref();
    let strongest = dialogue.and_then(|dialogue| values::strongest(&dialogue.amplification));
    let payload_ratio = strongest
        .filter(|_| record.endpoint.transport == Transport::Udp)
        .map(|strongest| strongest.payload_ratio())
        .filter(|ratio| *ratio >= 1.0);
    let mut facts = vec![second(record.timestamp)];
    if let Some(version) = exchange::version(record) {
        let version = short(&version);
        facts.push(format!(
            "{} {version}",
            pick(language, "version", "バージョン")
        ));
    }
    if let Some(factor) = payload_ratio {
        let factor = ratio(language, factor);
        facts.push(match language {
            Language::English => format!("its answer is {factor} the size of the request"),
            Language::Japanese => format!("応答量は要求の {factor}"),
        });
    }
    if let Some(source) = record.source.as_deref().map(short) {
        facts.push(match language {
            Language::English => format!("seen by {source}"),
            Language::Japanese => format!("{source} による観測"),
        });
    }
    let known = &record.enrichment;
    if let Some(number) = known.asn {
        let name = known.as_name.as_deref().map(short).unwrap_or_default();
        facts.push(format!("AS{number} {name}").trim_end().to_owned());
    }
    Seen {
        endpoint: record.endpoint.clone(),
        name: exchange::host_name(record).map(|name| short(&name)),
        facts: facts.join(pick(language, ", ", "、")),
        reason: shown(record.judgement.reason.in_language(language)),
        payload_ratio,
        is_ours: record.source.is_none(),
    }
}

/// A name, safe to show and short enough for a line or two.
fn short(name: &str) -> String {
    crate::layout::truncate(&shown(name), NAME_CHARACTERS_MAX)
}

fn say(language: Language, text: &Text) -> String {
    text.in_language(language).to_owned()
}

fn nothing_to_tell() -> Text {
    Text::new(
        "No server that strangers can use was seen: there is nobody to write to.",
        "第三者が利用できるサーバーは見つかりませんでした。連絡すべき相手はいません。",
    )
}

fn recipient(owner: Option<&str>) -> Text {
    match owner {
        Some(owner) => Text::new(
            format!("[abuse or technical contact of {owner}]"),
            format!("[{owner} の abuse 窓口または技術連絡担当者]"),
        ),
        None => Text::new(
            "[abuse contact of the network; whois ADDRESS names it]",
            "[当該ネットワークの abuse 窓口。whois アドレス で確認]",
        ),
    }
}

fn subject(all: &[Seen]) -> Text {
    let first = all.first().map(|one| shown(&one.endpoint.host_and_port()));
    let first = first.unwrap_or_default();
    match all.len() {
        0 | 1 => Text::new(
            format!("memcached open to strangers: {first}"),
            format!("【ご確認のお願い】第三者が利用可能な memcached: {first}"),
        ),
        count => {
            let more = grouped(count as u64 - 1);
            Text::new(
                format!("memcached open to strangers: {first} and {more} more"),
                format!("【ご確認のお願い】第三者が利用可能な memcached: {first} ほか {more} 件"),
            )
        }
    }
}

fn opening(owner: Option<&str>) -> Text {
    let (whose_en, whose_ja) = match owner {
        Some(owner) => (
            format!("To our knowledge they are administered by {owner}."),
            format!("{owner} 様の管理下にあると認識しており、"),
        ),
        None => (
            "We believe that you administer them, or know who does.".to_owned(),
            "貴組織の管理下にあるか、管理者をご存じと思われるため、".to_owned(),
        ),
    };
    Text::new(
        format!(
            "The memcached servers below serve anybody who can reach them, without a password. \
             {whose_en} Please close them; what to change is said below."
        ),
        format!(
            "下記の memcached サーバーが、到達できる誰に対しても認証なしで応答することを確認しました。\
             {whose_ja}ご連絡いたします。下記をご参照のうえ、ご対処をお願いいたします。"
        ),
    )
}

fn left_out(count: u64) -> Text {
    let count = grouped(count);
    Text::new(
        format!("{count} further endpoints of this run are not named in these letters."),
        format!("このほか、今回の調査で見つかった {count} 件はこれらの文面に記載していません。"),
    )
}

fn reasons(language: Language, strongest: Option<f64>) -> Vec<Text> {
    let mut reasons = vec![Text::new(
        "Anybody can read what is stored there, change it and delete it: sessions, personal data, \
         pages that your applications trust.",
        "保存されている内容（セッション、個人情報、アプリケーションが信頼するデータなど）を誰でも閲覧・\
         変更・削除できます。",
    )];
    if let Some(strongest) = strongest {
        let factor = ratio(language, strongest);
        reasons.push(Text::new(
            format!(
                "Over UDP the server can be made to flood others: an attacker forges the sender, \
                 and the answer, up to {factor} the size of the request as measured, goes to the \
                 victim. With larger stored items it becomes far more (CVE-2018-1000115)."
            ),
            format!(
                "UDP で応答するため、送信元を詐称した要求により第三者への大量送信（リフレクション攻撃）に\
                 悪用されます。測定では要求の最大 {factor}の応答が返りました。大きなデータが保存されて\
                 いる場合はさらに増大します（CVE-2018-1000115）。"
            ),
        ));
    }
    reasons
}

/// What to do, each with the option that does it.
fn changes(over_udp: bool) -> Vec<(Text, Option<&'static str>)> {
    let mut changes = vec![(
        Text::new(
            "Let memcached listen on loopback or an internal address only, and restart it; the \
             cache starts empty. Its options are in /etc/memcached.conf (Debian, Ubuntu) or \
             /etc/sysconfig/memcached (Red Hat):",
            "待ち受けをループバックまたは内部アドレスに限定し、再起動してください（キャッシュは空になりま\
             す）。起動オプションは /etc/memcached.conf（Debian・Ubuntu）または \
             /etc/sysconfig/memcached（Red Hat 系）にあります。",
        ),
        Some("-l 127.0.0.1"),
    )];
    if over_udp {
        let text = Text::new(
            "Switch UDP off, as it is by default since memcached 1.5.6:",
            "UDP を無効にしてください（1.5.6 以降では既定で無効です）。",
        );
        changes.push((text, Some("-U 0")));
    }
    let firewall = Text::new(
        "Where other machines need it, let only these reach the port, by a firewall in front of \
         the host. Ports that containers publish pass by the firewall of the host itself.",
        "他のマシンから利用する場合は、ホストの手前のファイアウォールで接続元を限定してください。コンテナが\
         公開するポートは、ホスト自身のファイアウォールを素通りすることがあります。",
    );
    changes.push((firewall, None));
    let leaked = Text::new(
        "Consider what was stored as known to others: end sessions, change secrets.",
        "保存されていた内容は漏えいした可能性があるものとして扱い、セッションの破棄や認証情報の変更をご検討\
         ください。",
    );
    changes.push((leaked, None));
    changes
}

fn method(source: Option<&str>) -> Text {
    let (from_en, from_ja) = match source {
        Some(source) => (
            format!(" They came from {source}."),
            format!("送信元は {source} です。"),
        ),
        None => (String::new(), String::new()),
    };
    Text::new(
        format!(
            "memsweep asked with ordinary, harmless commands of memcached, such as version and \
             stats. Nothing was stored, changed or deleted.{from_en}"
        ),
        format!(
            "memsweep により、version や stats など memcached の通常の無害なコマンドだけで確認しました。\
             データの保存・変更・削除は一切行っていません。{from_ja}"
        ),
    )
}

fn closing() -> Text {
    Text::new(
        "Please tell us once it is closed, or if you are the wrong people to ask.",
        "対処が完了しましたら、また、宛先が適切でない場合も、ご一報いただければ幸いです。",
    )
}

fn signature() -> [Text; 3] {
    [
        Text::new("[your name]", "[氏名]"),
        Text::new("[your organisation]", "[組織名]"),
        Text::new("[e-mail address, telephone]", "[メールアドレス・電話番号]"),
    ]
}

/// Lines of at most [`COLUMNS`] columns.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn text(&mut self, text: &str) {
        self.item("", text);
    }

    /// Every line begins alike.
    fn item(&mut self, begin: &str, text: &str) {
        for line in wrap(text, COLUMNS - begin.len()) {
            self.line(format!("{begin}{line}"));
        }
    }

    /// The first line begins with a mark, the others with as many spaces.
    fn point(&mut self, mark: &str, text: &str) {
        let spaces = " ".repeat(mark.len());
        for (index, line) in wrap(text, COLUMNS - mark.len()).iter().enumerate() {
            let begin = if index == 0 { mark } else { &spaces };
            self.line(format!("{begin}{line}"));
        }
    }

    /// A header field, folded (RFC 5322 section 2.2.3).
    fn field(&mut self, name: &str, value: &str) {
        let value = format!("{name}: {value}");
        for (index, line) in wrap(&value, COLUMNS - 1).iter().enumerate() {
            let begin = if index == 0 { "" } else { " " };
            self.line(format!("{begin}{line}"));
        }
    }

    fn heading(&mut self, heading: &str) {
        self.blank();
        self.line(heading);
        self.blank();
    }
}
