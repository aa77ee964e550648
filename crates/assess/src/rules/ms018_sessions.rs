//! MS018: sessions are stored on a server that is open.

use model::{AddressKind, Confidence, KeySample, KindCount, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::numbers::{counted, grouped};
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS018",
    name: "sessions-stored",
    title: Bilingual {
        en: "sessions are stored on an open server",
        ja: "誰でも読めるサーバーにセッションが保存されている",
    },
    what: Bilingual {
        en: "Names of keys show that applications keep sessions or login tokens (PHP, Django, Rails, \
             Laravel, Tomcat, Express, MediaWiki, Keystone) on a server that asks for no credentials. \
             It is looked for only with --sample-keys.",
        ja: "認証を要求しないサーバーに、アプリケーション（PHP、Django、Rails、Laravel、Tomcat、Express、\
             MediaWiki、Keystone）のセッションやログイントークンが保存されていることが、キー名から分かり\
             ます。--sample-keys を付けたときだけ調べます。",
    },
    why: Bilingual {
        en: "Who reads a session acts as its user, without a password. Who writes one may run code in \
             the application, where it unserialises what it finds (PHP, Python, Java). High; critical \
             on a public address, where everybody on the Internet can do it.",
        ja: "セッションを読める者は、パスワードなしでその利用者になりすませます。書き込める者は、値をデシリ\
             アライズするアプリケーション（PHP、Python、Java）で任意のコードを実行できるおそれがあります。\
             深刻度は high、インターネットから到達できるグローバルアドレスでは critical です。",
    },
    evidence: Bilingual {
        en: "Likely: names of keys that `stats cachedump` gave have the form that these frameworks use. \
             Only counts and the common beginnings of names are kept, and no value was read.",
        ja: "可能性が高い（likely）: `stats cachedump` で得たキー名が、各フレームワークの形式と一致します。\
             記録するのは件数と名前の共通部分だけで、値は読み出していません。",
    },
    fix: Bilingual {
        en: "Close the port (MS001). Then end the sessions, which may be known to others: restart \
             memcached, or empty it, and let everybody log in again. Change secrets that stood in \
             sessions. Better keep sessions apart from the cache, where access is controlled.",
        ja: "ポートを閉じます（MS001）。そのうえで、漏えいした可能性のあるセッションを無効にします。memcached \
             を再起動するか中身を空にして、全員にログインし直してもらいます。セッションに秘密情報を入れていた\
             場合はそれも変更します。セッションはキャッシュと分け、アクセス制御された場所に置くのが安全です。",
    },
    references: Bilingual {
        en: "CWE-384: Session Fixation; CWE-502: Deserialization of Untrusted Data",
        ja: "CWE-384: セッション固定化、CWE-502: 信頼できないデータのデシリアライゼーション",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    let sample = context.exposed()?.key_sample.value()?;
    let evidence: Vec<Text> = sample
        .secrets()
        .map(|count| evidence(sample, count))
        .collect();
    if evidence.is_empty() {
        return None;
    }
    let is_public = context.host.address.kind() == AddressKind::Other;
    let close = fixes::listen_on_loopback(context);
    Some(Fired {
        severity: if is_public {
            Severity::Critical
        } else {
            Severity::High
        },
        confidence: Confidence::Likely,
        evidence,
        fix: Text::new(
            format!(
                "{}; the restart ends the sessions, which others may know: everybody logs in again",
                close.en
            ),
            format!(
                "{}。漏えいした可能性のあるセッションは再起動で無効になり、利用者はログインし直すことになる",
                close.ja
            ),
        ),
    })
}

fn evidence(sample: &KeySample, count: &KindCount) -> Text {
    let pattern = count.pattern.as_deref();
    let (names, seen) = (grouped(count.names), sample.names_seen);
    let look = if count.names == 1 { "looks" } else { "look" };
    Text::new(
        format!(
            "stats cachedump: {names} of {} {look} like {}{}",
            counted(seen, "sampled name"),
            count.kind.en,
            pattern.map_or(String::new(), |pattern| format!(" ({pattern})"))
        ),
        format!(
            "stats cachedump: 取得したキー名 {} 件のうち {names} 件は「{}」とみられる{}",
            grouped(seen),
            count.kind.ja,
            pattern.map_or(String::new(), |pattern| format!("（{pattern}）"))
        ),
    )
}

#[cfg(test)]
mod cases {
    use model::{Answer, Dialogue};

    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample, key_sample};

    const SESSIONS: [&str; 4] = [
        "memc.sess.key.4f9a8b7c6d5e4f3a",
        "memc.sess.key.aaaabbbbccccdddd",
        ":1:django.contrib.sessions.cacheq8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3",
        "menu:top",
    ];

    fn with_names(dialogue: Dialogue, names: &[&str]) -> Sample {
        Sample::tcp(Dialogue {
            key_sample: Answer::Given(key_sample(names)),
            ..dialogue
        })
    }

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || with_names(samples::open(), &SESSIONS),
            || with_names(samples::open(), &["session:abc123"]),
            || with_names(samples::open_through_tls(), &SESSIONS),
            || {
                Sample::tcp(Dialogue {
                    key_sample: Answer::Truncated(key_sample(&SESSIONS)),
                    ..samples::open()
                })
            },
        ],
        silent: &[
            || Sample::tcp(samples::open()),
            || with_names(samples::open(), &["menu:top", "wp_:posts:1"]),
            || with_names(samples::open(), &[]),
            || with_names(samples::honeypot(), &SESSIONS),
        ],
    };

    #[test]
    fn evidence_counts_kinds_and_names_nobody() {
        let judgement = with_names(samples::open(), &SESSIONS).judge();
        let finding = judgement.findings.iter().find(|one| one.code == "MS018");
        let finding = finding.expect("sessions are stored");
        let lines: Vec<&str> = finding.evidence.iter().map(|line| &line.en[..]).collect();
        let expected = [
            "stats cachedump: 2 of 4 sampled names look like PHP sessions (memc.sess.key.*)",
            "stats cachedump: 1 of 4 sampled names looks like Django sessions",
        ];
        assert_eq!(lines, expected);
        assert_eq!(
            finding.evidence[0].ja,
            "stats cachedump: 取得したキー名 4 件のうち 2 件は「PHP セッション」とみられる（memc.sess.key.*）"
        );
    }

    #[test]
    fn a_public_address_makes_it_critical() {
        for (ip, expected) in [
            ("10.0.0.5", Severity::High),
            ("192.0.2.7", Severity::Critical),
            ("2001:db8::1", Severity::Critical),
        ] {
            let judgement = with_names(samples::open(), &SESSIONS).at(ip).judge();
            let finding = judgement.findings.iter().find(|one| one.code == "MS018");
            assert_eq!(finding.map(|one| one.severity), Some(expected), "{ip}");
        }
    }
}
