//! MS006: the names of the keys can be listed.

use model::{Confidence, Severity, Text};

use crate::UpstreamVersion;
use crate::context::Context;
use crate::fixes;
use crate::numbers::{counted, grouped};
use crate::rule::{Bilingual, Fired, Rule};

/// The first release that can refuse dumps.
const FIRST_WITH_OPTION: UpstreamVersion = UpstreamVersion::new(1, 4, 34);

pub(crate) const RULE: Rule = Rule {
    code: "MS006",
    name: "dumps-enabled",
    title: Bilingual {
        en: "key names can be listed (dumps enabled)",
        ja: "キー名を列挙できる（ダンプが有効）",
    },
    what: Bilingual {
        en: "`stats cachedump` and `lru_crawler metadump` are enabled on a server that asks for no \
             credentials.",
        ja: "認証を要求しないサーバーで `stats cachedump` と `lru_crawler metadump` が有効です。",
    },
    why: Bilingual {
        en: "Whoever knows a key can read its value. Dumps give the keys away: session ids, user \
             names, mail addresses stand in them.",
        ja: "キーが分かれば値を読み出せます。ダンプではキーそのものが漏れ、そこにはセッション ID、\
             ユーザー名、メールアドレスなどが含まれます。",
    },
    evidence: Bilingual {
        en: "Likely: the settings say `dump_enabled yes`, and no dump was asked for. Confirmed: with \
             --sample-keys, `stats cachedump` listed a few names, which were counted and not kept.",
        ja: "可能性が高い（likely）: 設定が `dump_enabled yes` です。ダンプは要求していません。確認済み\
             （confirmed）: --sample-keys を付けて `stats cachedump` を送り、少数のキー名が返されました。\
             名前は数えただけで記録していません。",
    },
    fix: Bilingual {
        en: "Close the port first (MS001). Start memcached with -X (1.4.34 and newer) if no tool of \
             yours needs dumps.",
        ja: "まずポートを閉じます（MS001）。ダンプを使うツールがなければ memcached を -X 付きで起動\
             します（1.4.34 以降）。",
    },
    references: Bilingual {
        en: "memcached(1), option -X",
        ja: "memcached(1) の -X オプション",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    let dialogue = context.exposed()?;
    let settings = context
        .settings()
        .filter(|settings| settings.is_on("dump_enabled"));
    let names = dialogue.key_sample.value().map(|sample| sample.names_seen);
    let listed = names.filter(|names| *names > 0).map(|names| {
        Text::new(
            format!("stats cachedump listed {}", counted(names, "key name")),
            format!("stats cachedump でキー名 {} 件が返された", grouped(names)),
        )
    });
    let confidence = match listed {
        Some(_) => Confidence::Confirmed,
        None => Confidence::Likely,
    };
    let setting = settings.map(|settings| settings.line("dump_enabled", context.transport));
    let evidence: Vec<Text> = setting.into_iter().chain(listed).collect();
    if evidence.is_empty() {
        return None;
    }
    let knows_option = context
        .version()
        .is_none_or(|version| version >= FIRST_WITH_OPTION);
    let option = fixes::add_option(context, "-X");
    Some(Fired {
        severity: Severity::Medium,
        confidence,
        evidence,
        fix: if knows_option {
            disable(&option)
        } else {
            fixes::listen_on_loopback(context)
        },
    })
}

fn disable(option: &Text) -> Text {
    Text::new(
        format!(
            "disable dumps if no tool of yours needs them: {}",
            option.en
        ),
        format!("ダンプを使うツールがなければ無効にする: {}", option.ja),
    )
}

#[cfg(test)]
mod cases {
    use crate::rule::Cases;
    use model::{Answer, Confidence, Dialogue};

    use crate::samples::{self, Sample, key_sample, with_setting};

    /// 1.4.15, which has no such setting, after a sample of names.
    fn sampled(names: &[&str]) -> Sample {
        Sample::tcp(Dialogue {
            version: Answer::Given("1.4.15".into()),
            settings: Answer::NotAsked,
            key_sample: Answer::Given(key_sample(names)),
            ..samples::open()
        })
    }

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::tcp(with_setting(samples::open(), "dump_enabled", "yes")),
            || sampled(&["menu:top"]),
        ],
        silent: &[
            || sampled(&[]),
            || Sample::tcp(samples::open()),
            || Sample::tcp(samples::reflector()),
            || Sample::tcp(with_setting(samples::honeypot(), "dump_enabled", "yes")),
        ],
    };

    #[test]
    fn names_that_were_listed_are_proof() {
        let judgement = sampled(&["menu:top"]).judge();
        let finding = judgement.findings.iter().find(|one| one.code == "MS006");
        let finding = finding.expect("names were listed");
        assert_eq!(finding.confidence, Confidence::Confirmed);
        assert_eq!(finding.evidence[0].en, "stats cachedump listed 1 key name");
        assert!(!finding.fix.en.contains("-X"), "{}", finding.fix.en);
    }
}
