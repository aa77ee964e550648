//! Everything an outsider learns of one server, as labelled lines in the order of reading.

use assess::Score;
use model::{
    Amplification, Auth, Certificate, Connections, Dialogue, Enrichment, Language, MetaNoop,
    Protocol, Record, StatsTable, TlsFacts,
};

use crate::escape::escape_for_terminal;
use crate::layout::truncate;
use crate::words::{counted, grouped, long_duration, mebibytes, pick, ratio, unix_time};
use crate::{labels, sample, values};

/// Settings that decide who may do what, in the order they are read.
const SETTINGS_THAT_MATTER: [&str; 13] = [
    "inter",
    "tcpport",
    "udpport",
    "domain_socket",
    "maxconns",
    "auth_enabled_sasl",
    "auth_enabled_ascii",
    "ssl_enabled",
    "binding_protocol",
    "flush_enabled",
    "dump_enabled",
    "shutdown_command",
    "idle_timeout",
];
/// Columns of one value; a longer one is cut.
const VALUE_COLUMNS_MAX: usize = 300;
/// Item classes named in short, and in full.
const CLASSES_MAX: usize = 6;
const CLASSES_VERBOSE_MAX: usize = 64;
/// Rows of settings in full; real servers have fewer than a hundred.
const SETTINGS_VERBOSE_MAX: usize = 256;
/// Tags of the administrator's own that are named.
const TAGS_MAX: usize = 16;
/// Anomalies named.
const ANOMALIES_MAX: usize = 10;

/// What is known of a server, in one language. Every text is harmless to a terminal, and bounded.
pub(crate) enum Fact {
    /// A text behind a label; the label is empty where the text goes on from the fact before.
    Line(&'static str, String),
    /// What was measured over UDP: the head, then one request a row.
    Amplification(Vec<[String; 6]>),
}

/// The verdict and its reason.
pub(crate) fn verdict(record: &Record, language: Language) -> (&'static str, String) {
    let judgement = &record.judgement;
    let reason = escape_for_terminal(judgement.reason.in_language(language));
    let text = match language {
        Language::English => format!("{}: {reason}", judgement.verdict),
        Language::Japanese => format!(
            "{}（{}）：{reason}",
            judgement.verdict,
            labels::verdict_gloss(judgement.verdict)
        ),
    };
    (pick(language, "verdict", "判定"), text)
}

/// Everything else that is known; nothing if nothing was said.
pub(crate) fn facts(record: &Record, language: Language, verbose: bool) -> Vec<Fact> {
    let mut collector = Collector {
        language,
        verbose,
        facts: Vec::new(),
    };
    let Some(dialogue) = record.evidence.dialogue.as_deref() else {
        return collector.facts;
    };
    collector.judgement(record);
    collector.identity(dialogue);
    collector.access(record, dialogue);
    if let Some(hardware) = &record.hardware {
        let card = escape_for_terminal(&labels::card(hardware));
        collector.row("network card", "MAC", &card);
    }
    collector.belongs_to(&record.enrichment);
    if let Some(stats) = dialogue.stats.value() {
        collector.uptime(stats);
        collector.memory(stats);
        collector.items(stats);
        collector.hit_ratio(stats);
    }
    collector.connections(dialogue.stats.value(), dialogue.connections.value());
    collector.settings(dialogue.settings.value());
    collector.classes(dialogue.items.value());
    collector.key_sample(dialogue);
    collector.amplification(&dialogue.amplification);
    if let Some(facts) = &dialogue.tls {
        collector.tls(facts);
    }
    collector.outcomes(dialogue);
    collector.facts
}

struct Collector {
    language: Language,
    verbose: bool,
    facts: Vec<Fact>,
}

impl Collector {
    /// One of two words, in the language of the facts.
    fn pick<'a>(&self, en: &'a str, ja: &'a str) -> &'a str {
        pick(self.language, en, ja)
    }

    /// A labelled line.
    fn row(&mut self, en: &'static str, ja: &'static str, text: &str) {
        let label = pick(self.language, en, ja);
        self.facts.push(Fact::Line(label, text.to_owned()));
    }

    /// Parts joined by the language's comma; nothing if there are none.
    fn row_of(&mut self, en: &'static str, ja: &'static str, parts: Vec<String>) {
        if !parts.is_empty() {
            let joined = parts.join(self.pick(", ", "、"));
            self.row(en, ja, &joined);
        }
    }

    fn judgement(&mut self, record: &Record) {
        let judgement = &record.judgement;
        if judgement.only_from_here {
            let words = self.pick(
                "seen only from this machine: no alarm",
                "このマシンからのみ到達可能：警報なし",
            );
            self.row("", "", words);
        }
        if let Some(score) = Score::of(record) {
            let (grade, debt) = (score.grade().as_str(), grouped(u64::from(score.debt)));
            let text = match self.language {
                Language::English => format!("{grade} (debt {debt})"),
                Language::Japanese => format!("{grade}（負債点 {debt}）"),
            };
            self.row("grade", "評価", &text);
        }
        for acceptance in &record.acceptances {
            let words = escape_for_terminal(&labels::accepted(acceptance, self.language));
            self.row("accepted", "許容", &words);
        }
    }

    fn identity(&mut self, dialogue: &Dialogue) {
        let stats = dialogue.stats.value();
        let mut parts = Vec::new();
        if let Some(version) = dialogue.version.value() {
            parts.push(format!(
                "{} {}",
                self.pick("version", "バージョン"),
                value(version)
            ));
        }
        let mut push = |name: &str, before: &str, after: &str| {
            if let Some(text) = stats.and_then(|stats| stats.text(name)) {
                parts.push(format!("{before}{}{after}", value(text)));
            }
        };
        push("pid", "pid ", "");
        push("pointer_size", "", self.pick("-bit", " ビット"));
        push("libevent", "libevent ", "");
        push("threads", "", self.pick(" threads", " スレッド"));
        self.row_of("identity", "識別", parts);
    }

    fn access(&mut self, record: &Record, dialogue: &Dialogue) {
        let page = &*self;
        let mut parts = Vec::new();
        let auth = match &dialogue.auth {
            Auth::Unknown => None,
            Auth::None => Some(page.pick("no authentication", "認証なし").to_owned()),
            Auth::Sasl(mechanisms) if mechanisms.is_empty() => Some("SASL".to_owned()),
            Auth::Sasl(mechanisms) => Some(format!("SASL ({})", value(&mechanisms.join(" ")))),
            Auth::Ascii => Some(
                page.pick(
                    "user and password over ASCII",
                    "ASCII プロトコルのユーザ名とパスワード",
                )
                .to_owned(),
            ),
            Auth::TlsClientCertificate => Some(
                page.pick("TLS client certificate", "TLS クライアント証明書")
                    .to_owned(),
            ),
        };
        parts.extend(auth);
        let protocol = match dialogue.protocol {
            Protocol::Unknown => None,
            Protocol::Ascii => Some(page.pick("ASCII protocol", "ASCII プロトコル")),
            Protocol::Binary => Some(page.pick("binary protocol", "バイナリプロトコル")),
        };
        parts.extend(protocol.map(str::to_owned));
        if matches!(
            dialogue.meta_noop.value(),
            Some(MetaNoop::Mn | MetaNoop::En)
        ) {
            parts.push(page.pick("meta commands", "メタコマンド").to_owned());
        }
        if let Some(from) = dialogue.answered_from {
            parts.push(format!("{}{from}", page.pick("answers from ", "応答元 ")));
        }
        if let Some(rtt) = record.evidence.rtt {
            let milliseconds = rtt.as_secs_f64() * 1000.0;
            parts.push(match self.language {
                Language::English => format!("answered in {milliseconds:.1} ms"),
                Language::Japanese => format!("応答時間 {milliseconds:.1} ms"),
            });
        }
        self.row_of("access", "アクセス", parts);
        let executed = dialogue
            .executed
            .iter()
            .map(|question| question.as_str().to_owned());
        self.row_of("executed", "実行できた", executed.collect());
    }

    /// What the administrator's own files say of the address.
    fn belongs_to(&mut self, enrichment: &Enrichment) {
        let mut parts = Vec::new();
        let mut push = |before: &str, text: Option<&str>| {
            parts.extend(text.map(|text| format!("{before}{}", value(text))));
        };
        push("", enrichment.owner.as_deref());
        push("", enrichment.reverse_name.as_deref());
        let system = enrichment.asn.map(|asn| format!("AS{asn}"));
        push("", system.as_deref());
        push("", enrichment.as_name.as_deref());
        push("", enrichment.country.as_deref());
        for tag in enrichment.tags.iter().take(TAGS_MAX) {
            push("#", Some(tag));
        }
        self.row_of("belongs to", "所属", parts);
    }

    fn uptime(&mut self, stats: &StatsTable) {
        let Some(uptime_s) = stats.integer("uptime") else {
            return;
        };
        let long = long_duration(self.language, uptime_s);
        let start = stats.start_time_unix_s();
        let start = start.and_then(|start| unix_time(start, "%Y-%m-%d %H:%M UTC"));
        let text = match (start, self.language) {
            (Some(start), Language::English) => format!("{long}, since {start} by its own clock"),
            (Some(start), Language::Japanese) => format!("{long}（サーバの時計で {start} から）"),
            (None, _) => long,
        };
        self.row("uptime", "稼働時間", &text);
    }

    fn memory(&mut self, stats: &StatsTable) {
        let text = match (stats.integer("bytes"), stats.integer("limit_maxbytes")) {
            (Some(used), Some(limit)) if limit > 0 => {
                let percent = 100.0 * used as f64 / limit as f64;
                let (used, limit) = (mebibytes(used), mebibytes(limit));
                match self.language {
                    Language::English => format!("{used} of {limit} MiB used ({percent:.0}%)"),
                    Language::Japanese => {
                        format!("{limit} MiB 中 {used} MiB 使用（{percent:.0}%）")
                    }
                }
            }
            (Some(used), _) => format!("{} MiB", mebibytes(used)),
            (None, _) => return,
        };
        self.row("memory", "メモリ", &text);
    }

    fn items(&mut self, stats: &StatsTable) {
        let mut parts = Vec::new();
        let mut push = |name: &str, en: &str, ja: &str| {
            if let Some(count) = stats.integer(name) {
                parts.push(match self.language {
                    Language::English => format!("{} {en}", grouped(count)),
                    Language::Japanese => format!("{ja} {}", grouped(count)),
                });
            }
        };
        push("curr_items", "now", "現在");
        push("total_items", "stored since the start", "起動後の保存");
        push("evictions", "evicted", "追い出し");
        self.row_of("items", "データ件数", parts);
    }

    fn hit_ratio(&mut self, stats: &StatsTable) {
        let (Some(hits), Some(misses)) = (stats.integer("get_hits"), stats.integer("get_misses"))
        else {
            return;
        };
        let gets = hits.saturating_add(misses);
        let text = if gets == 0 {
            self.pick("nobody has asked for anything yet", "まだ読み出しなし")
                .to_owned()
        } else {
            let percent = 100.0 * hits as f64 / gets as f64;
            match self.language {
                Language::English => format!("{percent:.1}% of {} gets", grouped(gets)),
                Language::Japanese => format!("{percent:.1}%（読み出し {} 回）", grouped(gets)),
            }
        };
        self.row("hit ratio", "ヒット率", &text);
    }

    fn connections(&mut self, stats: Option<&StatsTable>, kinds: Option<&Connections>) {
        let language = self.language;
        let mut parts = Vec::new();
        let mut push = |name: &str, en: &str, ja: &str| {
            if let Some(count) = stats.and_then(|stats| stats.integer(name)) {
                parts.push(match language {
                    Language::English => format!("{} {en}", grouped(count)),
                    Language::Japanese => format!("{ja} {}", grouped(count)),
                });
            }
        };
        push("curr_connections", "now", "現在");
        push("total_connections", "since the start", "起動後の累計");
        push("max_connections", "at most", "上限");
        self.row_of("connections", "接続", parts);
        let Some(kinds) = kinds else { return };
        let count = |number: u64, en: &str, ja: &str| match language {
            Language::English => format!("{} {en}", grouped(number)),
            Language::Japanese => format!("{ja} {}", grouped(number)),
        };
        let kinds_text = vec![
            count(kinds.listening, "listening", "待ち受け"),
            count(kinds.tcp_clients, "clients over TCP", "TCP クライアント"),
            count(kinds.unix_clients, "over unix sockets", "unix ソケット"),
        ];
        self.row_of("", "", kinds_text);
        let peers = vec![
            count(kinds.loopback_peers, "on the server itself", "サーバ自身"),
            count(kinds.private_peers, "private", "プライベート"),
            count(kinds.public_peers, "public", "グローバル"),
        ];
        self.row_of("peers", "接続元", peers);
    }

    fn settings(&mut self, settings: Option<&StatsTable>) {
        let Some(settings) = settings else { return };
        let said = |(name, text): (&str, &str)| format!("{} {}", value(name), value(text));
        let parts: Vec<String> = if self.verbose {
            settings
                .iter()
                .take(SETTINGS_VERBOSE_MAX)
                .map(said)
                .collect()
        } else {
            let known = SETTINGS_THAT_MATTER.iter();
            known
                .filter_map(|name| Some(said((name, settings.text(name)?))))
                .collect()
        };
        self.row_of("settings", "設定", parts);
    }

    fn key_sample(&mut self, dialogue: &Dialogue) {
        let (mut en, mut ja) = ("key names", "キー名");
        for line in sample::lines(dialogue, self.language) {
            self.row(en, ja, &truncate(&line, VALUE_COLUMNS_MAX));
            (en, ja) = ("", "");
        }
    }

    fn classes(&mut self, items: Option<&StatsTable>) {
        let Some(items) = items else { return };
        let mut classes: Vec<(&str, u64)> = Vec::new();
        for (row, text) in items.iter() {
            let Some((class, "number")) = row
                .strip_prefix("items:")
                .and_then(|row| row.split_once(':'))
            else {
                continue;
            };
            if let Ok(number) = text.parse() {
                classes.push((class, number));
            }
        }
        // The fullest tell most.
        classes.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        let shown = if self.verbose {
            CLASSES_VERBOSE_MAX
        } else {
            CLASSES_MAX
        };
        let language = self.language;
        let mut parts: Vec<String> = classes
            .iter()
            .take(shown)
            .map(|(class, number)| {
                let items = counted(language, *number, "item", "items", "件");
                match language {
                    Language::English => format!("{items} in class {}", value(class)),
                    Language::Japanese => format!("クラス {} に {items}", value(class)),
                }
            })
            .collect();
        let rest = classes.len().saturating_sub(shown) as u64;
        if rest > 0 {
            parts.push(match language {
                Language::English => {
                    format!(
                        "and {}",
                        counted(language, rest, "more class", "more classes", "")
                    )
                }
                Language::Japanese => format!("ほか {} クラス", grouped(rest)),
            });
        }
        self.row_of("item classes", "スラブクラス", parts);
    }

    fn amplification(&mut self, measured: &[Amplification]) {
        if measured.is_empty() {
            return;
        }
        let language = self.language;
        let pick = |en, ja| pick(language, en, ja);
        let head = [
            pick("command", "コマンド"),
            pick("sent", "送信"),
            pick("received", "受信"),
            pick("datagrams", "個数"),
            pick("payload", "データ比"),
            pick("wire", "回線比"),
        ];
        let mut lines = vec![head.map(str::to_owned)];
        for one in measured {
            let received = grouped(one.reply_bytes);
            lines.push([
                value(&one.command),
                format!("{} B", grouped(one.request_bytes)),
                if one.complete {
                    format!("{received} B")
                } else {
                    format!("≥ {received} B")
                },
                grouped(one.datagrams),
                ratio(language, one.payload_ratio()),
                ratio(language, one.wire_ratio()),
            ]);
        }
        self.facts.push(Fact::Amplification(lines));
        let words = self.pick(
            "a lower bound: nothing was planted",
            "下限値：データを植え付けずに測定",
        );
        self.row("", "", words);
    }

    fn tls(&mut self, facts: &TlsFacts) {
        let mut parts = Vec::new();
        parts.extend((!facts.version.is_empty()).then(|| value(&facts.version)));
        parts.extend((!facts.cipher_suite.is_empty()).then(|| value(&facts.cipher_suite)));
        if facts.client_certificate_requested {
            let words = self.pick("asks for a client certificate", "クライアント証明書を要求");
            parts.push(words.to_owned());
        }
        self.row_of("TLS", "TLS", parts);
        if let Some(certificate) = &facts.certificate {
            self.certificate(certificate);
        }
    }

    fn certificate(&mut self, certificate: &Certificate) {
        let mut parts = Vec::new();
        let mut push = |en: &str, ja: &str, text: &str| {
            if !text.is_empty() {
                parts.push(format!("{}{}", self.pick(en, ja), value(text)));
            }
        };
        push("", "", &certificate.subject);
        push("issued by ", "発行者 ", &certificate.issuer);
        push("for ", "対象 ", &certificate.names.join(" "));
        let day = |seconds| unix_time(seconds, "%Y-%m-%d").unwrap_or_default();
        push(
            "valid from ",
            "有効期間の開始 ",
            &day(certificate.not_before_unix_s),
        );
        push("until ", "終了 ", &day(certificate.not_after_unix_s));
        push("SHA-256 ", "SHA-256 ", &certificate.sha256);
        self.row_of("certificate", "証明書", parts);
    }

    /// What was not answered, what it looked like instead, and what was odd.
    fn outcomes(&mut self, dialogue: &Dialogue) {
        if let Some(impression) = &dialogue.impression {
            let look = labels::look(impression);
            let detail = look.detail.map(|words| format!(" \"{}\"", value(words)));
            let inside = if look.inside_tls {
                self.pick(" inside TLS", "（TLS 内）")
            } else {
                ""
            };
            let text = format!("{}{inside}{}", look.kind, detail.unwrap_or_default());
            self.row("looks like", "見え方", &text);
        }
        let mut parts = Vec::new();
        for (question, outcome) in values::questions(dialogue) {
            let became = match outcome {
                values::Outcome::GivenOrNotAsked => continue,
                values::Outcome::Silent => self.pick("no answer", "応答なし").to_owned(),
                values::Outcome::Closed => self.pick("hung up", "切断").to_owned(),
                values::Outcome::Truncated => {
                    self.pick("answer cut short", "応答が途中で終了").to_owned()
                }
                values::Outcome::Refused(words) => {
                    format!("{}\"{}\"", self.pick("refused, ", "拒否 "), value(words))
                }
            };
            parts.push(format!("{question}{}{became}", self.pick(": ", "：")));
        }
        for part in parts {
            self.row("not told", "未回答", &part);
        }
        for anomaly in dialogue.anomalies.iter().take(ANOMALIES_MAX) {
            let words = escape_for_terminal(labels::anomaly(anomaly).in_language(self.language));
            self.row("odd", "異常", &words);
        }
        let unnamed = dialogue.anomalies.len().saturating_sub(ANOMALIES_MAX) as u64;
        if unnamed > 0 {
            let words = match self.language {
                Language::English => format!("and {} more", grouped(unnamed)),
                Language::Japanese => format!("ほか {} 件", grouped(unnamed)),
            };
            self.row("", "", &words);
        }
    }
}

/// Foreign text, harmless and of bounded length.
pub(crate) fn value(text: &str) -> String {
    truncate(&escape_for_terminal(text), VALUE_COLUMNS_MAX)
}
