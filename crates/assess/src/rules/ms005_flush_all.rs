//! MS005: anybody can empty the cache with one command.

use model::{Confidence, Severity, Text};

use crate::UpstreamVersion;
use crate::context::Context;
use crate::fixes;
use crate::rule::{Bilingual, Fired, Rule};

/// The first release with -F, and with `flush_enabled` among its settings.
const FIRST_WITH_SWITCH: UpstreamVersion = UpstreamVersion::new(1, 4, 17);

pub(crate) const RULE: Rule = Rule {
    code: "MS005",
    name: "flush-all-enabled",
    title: Bilingual {
        en: "anybody can empty the cache (flush_all)",
        ja: "誰でもキャッシュを空にできる（flush_all）",
    },
    what: Bilingual {
        en: "`flush_all` is enabled on a server that asks for no credentials.",
        ja: "認証を要求しないサーバーで `flush_all` が有効です。",
    },
    why: Bilingual {
        en: "One command logs out every user whose session lives in the cache, and puts the whole \
             load on the database behind it.",
        ja: "たった 1 つのコマンドで、セッションをキャッシュに置く利用者は全員ログアウトし、背後の\
             データベースに全負荷がかかります。",
    },
    evidence: Bilingual {
        en: "Likely: the settings say `flush_enabled yes`. Possible: the settings do not name it \
             and the version is older than 1.4.17, which has no switch for it. The command is \
             never sent: old versions execute it even with a malformed argument.",
        ja: "可能性が高い（likely）: 設定が `flush_enabled yes` です。可能性あり（possible）: 設定に項目が\
             なく、無効化の手段がない 1.4.17 より前のバージョンです。古いバージョンは引数が不正でも\
             実行してしまうため、このコマンドは決して送信しません。",
    },
    fix: Bilingual {
        en: "Close the port first (MS001). If applications do not need `flush_all`, start \
             memcached with -F (1.4.17 and newer).",
        ja: "まずポートを閉じます（MS001）。アプリケーションが `flush_all` を必要としないなら、memcached \
             を -F 付きで起動します（1.4.17 以降）。",
    },
    references: Bilingual {
        en: "memcached(1), option -F",
        ja: "memcached(1) の -F オプション",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    context.exposed()?;
    let settings = context.settings();
    match settings {
        Some(settings) if settings.is_on("flush_enabled") => {
            let option = fixes::add_option(context, "-F");
            Some(Fired {
                severity: Severity::Medium,
                confidence: Confidence::Likely,
                evidence: vec![settings.line("flush_enabled", context.transport)],
                fix: Text::new(
                    format!(
                        "disable flush_all if no application needs it: {}",
                        option.en
                    ),
                    format!(
                        "flush_all を使うアプリケーションがなければ無効にする: {}",
                        option.ja
                    ),
                ),
            })
        }
        // Named and off: nothing to find, whatever the version says.
        Some(settings) if settings.text("flush_enabled").is_some() => None,
        _ => by_version(context),
    }
}

fn by_version(context: &Context<'_>) -> Option<Fired> {
    // The version is that of a server behind the proxy, which forwards no `flush_all`.
    if context.is_proxy() {
        return None;
    }
    let version = context
        .version()
        .filter(|version| *version < FIRST_WITH_SWITCH)?;
    Some(Fired {
        severity: Severity::Low,
        confidence: Confidence::Possible,
        evidence: vec![Text::new(
            format!("version {version}: flush_all cannot be disabled before {FIRST_WITH_SWITCH}"),
            format!(
                "バージョン {version}: {FIRST_WITH_SWITCH} より前は flush_all を無効にできない"
            ),
        )],
        fix: Text::new(
            "close the port to outsiders (MS001), then upgrade and start memcached with -F (1.4.17 \
             and newer)",
            "まず外部からポートに到達できないようにし（MS001）、更新したうえで -F 付きで起動する（1.4.17 \
             以降）",
        ),
    })
}

#[cfg(test)]
mod cases {
    use model::Answer;

    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample, with_setting};

    fn old(version: &str) -> Sample {
        let mut dialogue = samples::reflector();
        dialogue.version = Answer::Given(version.into());
        Sample::tcp(dialogue)
    }

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::tcp(with_setting(samples::open(), "flush_enabled", "yes")),
            || old("1.4.15"),
        ],
        silent: &[
            || Sample::tcp(samples::open()),
            || old("1.4.17"),
            || old("0.0.1"),
            || {
                let version = Answer::Given("1.4.15".into());
                Sample::tcp(model::Dialogue {
                    version,
                    ..samples::proxy()
                })
            },
            || old("yrmcds version 1.1.9"),
            || Sample::tcp(with_setting(samples::honeypot(), "flush_enabled", "yes")),
        ],
    };

    #[test]
    fn a_version_alone_is_only_possible() {
        let findings = old("1.4.15").judge().findings;
        let finding = findings
            .iter()
            .find(|finding| finding.code == RULE.code)
            .unwrap();
        assert_eq!(finding.confidence, Confidence::Possible);
        assert_eq!(finding.severity, Severity::Low);
    }
}
