//! The block of `check`: everything an outsider learns of one server.

use assess::Score;
use model::{
    Amplification, Auth, Certificate, Connections, Dialogue, Language, MetaNoop, Protocol, Record,
    StatsTable, TlsFacts,
};

use super::page::{Ink, Label, Page};
use super::row;
use crate::escape::escape_for_terminal;
use crate::layout::{pad, pad_left, truncate, width};
use crate::words::{counted, grouped, long_duration, mebibytes, ratio, unix_time};
use crate::{TextOptions, labels, values};

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
/// Anomalies named.
const ANOMALIES_MAX: usize = 10;
/// Columns of the labels.
const LABEL_COLUMNS: usize = 13;
const LABEL_INDENT: usize = 2;

/// The block, its lines finished; `None` if nothing was said.
pub(super) fn block(record: &Record, options: &TextOptions) -> Option<String> {
    let dialogue = record.evidence.dialogue.as_deref()?;
    let mut out = Vec::new();
    let mut block = Block {
        page: Page::new(&mut out, options),
    };
    block.title(record);
    block.judgement(record);
    block.identity(dialogue);
    block.access(record, dialogue);
    if let Some(hardware) = &record.hardware {
        block.row(
            "network card",
            "MAC",
            &escape_for_terminal(&row::card(hardware)),
        );
    }
    if let Some(stats) = dialogue.stats.value() {
        block.uptime(stats);
        block.memory(stats);
        block.items(stats);
        block.hit_ratio(stats);
    }
    block.connections(dialogue.stats.value(), dialogue.connections.value());
    block.settings(dialogue.settings.value());
    block.classes(dialogue.items.value());
    block.amplification(&dialogue.amplification);
    if let Some(facts) = &dialogue.tls {
        block.tls(facts);
    }
    block.outcomes(dialogue);
    // Everything written was a String before.
    String::from_utf8(out).ok()
}

struct Block<'a> {
    page: Page<'a>,
}

impl Block<'_> {
    fn language(&self) -> Language {
        self.page.language()
    }

    /// A labelled line in the page's language.
    fn row(&mut self, en: &str, ja: &str, text: &str) {
        let label = Label {
            indent: LABEL_INDENT,
            text: self.page.pick(en, ja),
            columns: LABEL_COLUMNS,
            ink: Ink::Faint,
        };
        self.page.labelled(&label, Ink::Plain, text);
    }

    /// Parts joined by the language's comma; nothing if there are none.
    fn row_of(&mut self, en: &str, ja: &str, parts: Vec<String>) {
        if !parts.is_empty() {
            let joined = parts.join(self.page.pick(", ", "、"));
            self.row(en, ja, &joined);
        }
    }

    fn title(&mut self, record: &Record) {
        let name = row::name(record)
            .map(|name| format!("  {name}"))
            .unwrap_or_default();
        let place = escape_for_terminal(&record.endpoint.to_string());
        let title = truncate(&format!("{place}{name}"), self.page.width() - 6);
        let rest = self.page.width().min(100).saturating_sub(width(&title) + 4);
        let line = format!(
            "── {} {}",
            self.page.ink(Ink::Bold, &title),
            "─".repeat(rest)
        );
        self.page.line(&line);
    }

    fn judgement(&mut self, record: &Record) {
        let judgement = &record.judgement;
        let reason = self.page.say(&judgement.reason);
        let text = match self.language() {
            Language::English => format!("{}: {reason}", judgement.verdict),
            Language::Japanese => format!(
                "{}（{}）：{reason}",
                judgement.verdict,
                labels::verdict_gloss(judgement.verdict)
            ),
        };
        self.row("verdict", "判定", &text);
        if judgement.only_from_here {
            let words = self.page.pick(
                "seen only from this machine: no alarm",
                "このマシンからのみ到達可能：警報なし",
            );
            self.row("", "", words);
        }
        if let Some(score) = Score::of(record) {
            let (grade, debt) = (score.grade().as_str(), grouped(u64::from(score.debt)));
            let text = match self.language() {
                Language::English => format!("{grade} (debt {debt})"),
                Language::Japanese => format!("{grade}（負債点 {debt}）"),
            };
            self.row("grade", "評価", &text);
        }
        for acceptance in &record.acceptances {
            let words = escape_for_terminal(&row::accepted(acceptance, self.language()));
            self.row("accepted", "許容", &words);
        }
    }

    fn identity(&mut self, dialogue: &Dialogue) {
        let stats = dialogue.stats.value();
        let mut parts = Vec::new();
        if let Some(version) = dialogue.version.value() {
            parts.push(format!(
                "{} {}",
                self.page.pick("version", "バージョン"),
                value(version)
            ));
        }
        let mut push = |name: &str, before: &str, after: &str| {
            if let Some(text) = stats.and_then(|stats| stats.text(name)) {
                parts.push(format!("{before}{}{after}", value(text)));
            }
        };
        push("pid", "pid ", "");
        push("pointer_size", "", self.page.pick("-bit", " ビット"));
        push("libevent", "libevent ", "");
        push("threads", "", self.page.pick(" threads", " スレッド"));
        self.row_of("identity", "識別", parts);
    }

    fn access(&mut self, record: &Record, dialogue: &Dialogue) {
        let page = &self.page;
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
            parts.push(match self.language() {
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

    fn uptime(&mut self, stats: &StatsTable) {
        let Some(uptime_s) = stats.integer("uptime") else {
            return;
        };
        let long = long_duration(self.language(), uptime_s);
        let start = stats.start_time_unix_s();
        let start = start.and_then(|start| unix_time(start, "%Y-%m-%d %H:%M UTC"));
        let text = match (start, self.language()) {
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
                match self.language() {
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
                parts.push(match self.page.language() {
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
            self.page
                .pick("nobody has asked for anything yet", "まだ読み出しなし")
                .to_owned()
        } else {
            let percent = 100.0 * hits as f64 / gets as f64;
            match self.language() {
                Language::English => format!("{percent:.1}% of {} gets", grouped(gets)),
                Language::Japanese => format!("{percent:.1}%（読み出し {} 回）", grouped(gets)),
            }
        };
        self.row("hit ratio", "ヒット率", &text);
    }

    fn connections(&mut self, stats: Option<&StatsTable>, kinds: Option<&Connections>) {
        let language = self.language();
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
        let parts: Vec<String> = if self.page.verbose() {
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
        let shown = if self.page.verbose() {
            CLASSES_VERBOSE_MAX
        } else {
            CLASSES_MAX
        };
        let language = self.language();
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

    /// A small table: one request a line.
    fn amplification(&mut self, measured: &[Amplification]) {
        if measured.is_empty() {
            return;
        }
        let language = self.language();
        let pick = |en, ja| crate::words::pick(language, en, ja);
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
        let mut widths = [0; 6];
        for cells in &lines {
            for (columns, cell) in widths.iter_mut().zip(cells) {
                *columns = (*columns).max(width(cell));
            }
        }
        let label = pad(pick("amplification", "増幅"), LABEL_COLUMNS);
        let mut label = self.page.ink(Ink::Faint, &label);
        for cells in &lines {
            let numbers = cells.iter().zip(widths).skip(1);
            let numbers: String = numbers
                .map(|(cell, columns)| format!("  {}", pad_left(cell, columns)))
                .collect();
            let text = format!("{}{numbers}", pad(&cells[0], widths[0]));
            let columns = self.page.width() - (LABEL_INDENT + LABEL_COLUMNS + 2);
            let text = truncate(&text, columns);
            let indent = " ".repeat(LABEL_INDENT);
            self.page.line(&format!("{indent}{label}  {text}"));
            label = " ".repeat(LABEL_COLUMNS);
        }
        let words = self.page.pick(
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
            let words = self
                .page
                .pick("asks for a client certificate", "クライアント証明書を要求");
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
                parts.push(format!("{}{}", self.page.pick(en, ja), value(text)));
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
                self.page.pick(" inside TLS", "（TLS 内）")
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
                values::Outcome::Silent => self.page.pick("no answer", "応答なし").to_owned(),
                values::Outcome::Closed => self.page.pick("hung up", "切断").to_owned(),
                values::Outcome::Truncated => self
                    .page
                    .pick("answer cut short", "応答が途中で終了")
                    .to_owned(),
                values::Outcome::Refused(words) => {
                    format!(
                        "{}\"{}\"",
                        self.page.pick("refused, ", "拒否 "),
                        value(words)
                    )
                }
            };
            parts.push(format!("{question}{}{became}", self.page.pick(": ", "：")));
        }
        for part in parts {
            self.row("not told", "未回答", &part);
        }
        for anomaly in dialogue.anomalies.iter().take(ANOMALIES_MAX) {
            let words = self.page.say(&labels::anomaly(anomaly));
            self.row("odd", "異常", &words);
        }
        let unnamed = dialogue.anomalies.len().saturating_sub(ANOMALIES_MAX) as u64;
        if unnamed > 0 {
            let words = match self.language() {
                Language::English => format!("and {} more", grouped(unnamed)),
                Language::Japanese => format!("ほか {} 件", grouped(unnamed)),
            };
            self.row("", "", &words);
        }
    }
}

/// Foreign text, harmless and of bounded length.
fn value(text: &str) -> String {
    truncate(&escape_for_terminal(text), VALUE_COLUMNS_MAX)
}
