//! The words for what the model names: verdicts, severities, anomalies, impressions.

use model::{
    Acceptance, Anomaly, Confidence, Finding, Hardware, Impression, Language, Severity, Text,
    Verdict,
};

use crate::escape::escape_for_terminal;
use crate::words::counted;

/// The verdict's gloss for people who do not know the word yet.
pub(crate) fn verdict_gloss(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Exposed => "無認証で応答",
        Verdict::Protected => "認証あり",
        Verdict::Decoy => "おとり",
        Verdict::Other => "memcached 以外",
        Verdict::Unfinished => "未完了",
        Verdict::Closed => "閉鎖",
        Verdict::Filtered => "フィルタ",
        Verdict::Silent => "無応答",
        Verdict::Absent => "ホストなし",
    }
}

/// The verdict in a clause, for readers of a report who never saw one.
pub(crate) fn verdict_meaning(verdict: Verdict) -> Text {
    match verdict {
        Verdict::Exposed => Text::new(
            "executes memcached commands for whoever asks, without credentials",
            "認証なしで誰の memcached コマンドにも応じる",
        ),
        Verdict::Protected => Text::new(
            "speaks memcached and demands credentials",
            "memcached として応答するが、認証を要求する",
        ),
        Verdict::Decoy => Text::new(
            "contradicts itself: a honeypot",
            "応答に矛盾がある：ハニーポット",
        ),
        Verdict::Other => Text::new(
            "something answers that is not memcached",
            "memcached ではないものが応答する",
        ),
        Verdict::Unfinished => Text::new(
            "a deadline or limit came before an answer",
            "期限または上限に達し、判定に至らなかった",
        ),
        Verdict::Closed => Text::new("refuses, or is switched off", "接続を拒否、または無効"),
        Verdict::Filtered => Text::new(
            "a packet filter stands before it",
            "パケットフィルタで遮断されている",
        ),
        Verdict::Silent => Text::new(
            "UDP without an answer: filtered, lost or switched off",
            "UDP の応答がない：フィルタ、損失、または無効",
        ),
        Verdict::Absent => Text::new("no such host", "ホストが存在しない"),
    }
}

/// The severity; in Japanese the words that CVSS uses there.
pub(crate) fn severity(severity: Severity) -> Text {
    let japanese = match severity {
        Severity::Critical => "緊急",
        Severity::High => "重要",
        Severity::Medium => "警告",
        Severity::Low => "注意",
        Severity::Info => "情報",
    };
    Text::new(severity.as_str(), japanese)
}

/// The confidence, worth saying only when it is not `confirmed`.
pub(crate) fn confidence(confidence: Confidence) -> Option<Text> {
    match confidence {
        Confidence::Possible => Some(Text::new(
            "possible: judged by the version alone",
            "可能性：バージョン番号のみによる判断",
        )),
        Confidence::Likely => Some(Text::new(
            "likely: by the server's own words",
            "推定：サーバの申告による",
        )),
        Confidence::Confirmed => None,
    }
}

/// A network card: its address, and its vendor where that is known; not yet escaped.
pub(crate) fn card(hardware: &Hardware) -> String {
    match &hardware.vendor {
        Some(vendor) => format!("{} ({vendor})", hardware.address),
        None => hardware.address.to_string(),
    }
}

/// An accepted risk, as its administrator put it.
pub(crate) fn accepted(acceptance: &Acceptance, language: Language) -> String {
    let Acceptance {
        rule,
        reason,
        until,
    } = acceptance;
    let rule = rule.as_deref();
    match language {
        Language::English => {
            let what = rule.map(|rule| format!("{rule} ")).unwrap_or_default();
            format!("{what}accepted until {until}: {reason}")
        }
        Language::Japanese => {
            let what = rule.map(|rule| format!("{rule} は")).unwrap_or_default();
            format!("{what}{until} まで許容：{reason}")
        }
    }
}

/// What a finding is, with its code, and how sure it is where that is in doubt; harmless to a
/// terminal.
pub(crate) fn finding(finding: &Finding, language: Language) -> String {
    let plain = |text: &Text| escape_for_terminal(text.in_language(language));
    let (title, code) = (plain(&finding.title), finding.code);
    let confidence = confidence(finding.confidence).map(|words| plain(&words));
    match (language, confidence) {
        (Language::English, None) => format!("{title} ({code})"),
        (Language::English, Some(confidence)) => format!("{title} ({code}; {confidence})"),
        (Language::Japanese, None) => format!("{title}（{code}）"),
        (Language::Japanese, Some(confidence)) => format!("{title}（{code}、{confidence}）"),
    }
}

/// What no correct server does, in a sentence without its full stop.
pub(crate) fn anomaly(anomaly: &Anomaly) -> Text {
    match anomaly {
        Anomaly::OverlongLine => Text::new(
            "sent a line longer than any real one; the rest of it was skipped",
            "通常ありえない長さの行を送信（残りは読み飛ばした）",
        ),
        Anomaly::ReplyLimit { bytes } => Text::new(
            format!("sent more than any real reply holds; reading stopped after {bytes} bytes"),
            format!("通常ありえない量の応答を送信（{bytes} バイトで読み取りを中止）"),
        ),
        Anomaly::UnaskedBytes { bytes } => Text::new(
            format!("sent {bytes} bytes that nothing asked for"),
            format!("要求していない {bytes} バイトを送信"),
        ),
        Anomaly::NotText => Text::new(
            "sent bytes that are not text in a text reply",
            "テキストの応答にテキストでないバイトが混在",
        ),
        Anomaly::NotANumber { name } => Text::new(
            format!("the statistic {name} should be a number and is not"),
            format!("統計値 {name} が数値でない"),
        ),
        Anomaly::TotalTooSmall { stated, received } => Text::new(
            format!(
                "announced {} and sent {received} (memcached 1.6.0 to 1.6.9 does this)",
                datagrams(u64::from(*stated))
            ),
            format!(
                "{stated} データグラムと申告し {received} 個を送信（memcached 1.6.0〜1.6.9 の癖）"
            ),
        ),
        Anomaly::DuplicateDatagrams { count } => Text::new(
            format!("{} came more than once", datagrams(*count)),
            format!("{count} 個のデータグラムが重複"),
        ),
        Anomaly::WrongRequestId { count } => Text::new(
            format!(
                "not believed for want of our request id: {}",
                datagrams(*count)
            ),
            format!("要求 ID が一致しない {count} 個のデータグラムは採用せず"),
        ),
        Anomaly::DatagramLimit { count } => Text::new(
            format!(
                "reading stopped after {} for one request",
                datagrams(*count)
            ),
            format!("1 要求に対し {count} データグラムで読み取りを中止"),
        ),
        Anomaly::Other(words) => Text::same(words),
    }
}

fn datagrams(count: u64) -> String {
    counted(Language::English, count, "datagram", "datagrams", "")
}

/// What something that is not memcached looked like: a word for programs, and its own words.
pub(crate) struct Look<'a> {
    /// `mute`, `reset`, `http` …
    pub(crate) kind: &'static str,
    /// What it said, if it said anything.
    pub(crate) detail: Option<&'a str>,
    /// Whether that was seen inside TLS.
    pub(crate) inside_tls: bool,
}

/// Takes an impression apart. TLS inside TLS is never asked for, so one layer is all there is;
/// deeper ones read as the innermost.
pub(crate) fn look(impression: &Impression) -> Look<'_> {
    let plain = |kind, detail| Look {
        kind,
        detail,
        inside_tls: false,
    };
    match impression {
        Impression::Mute => plain("mute", None),
        Impression::Reset => plain("reset", None),
        Impression::Closed => plain("closed", None),
        Impression::Echo => plain("echo", None),
        Impression::Http(line) => plain("http", Some(line)),
        Impression::Ssh(line) => plain("ssh", Some(line)),
        Impression::Redis(line) => plain("redis", Some(line)),
        Impression::TlsFailure(words) => plain("tls-failure", Some(words)),
        Impression::Text(line) => plain("text", Some(line)),
        Impression::Bytes(hex) => plain("bytes", Some(hex)),
        Impression::ForeignDatagram(words) => plain("foreign-datagram", Some(words)),
        Impression::InsideTls(inner) => Look {
            inside_tls: true,
            ..look(inner)
        },
    }
}
