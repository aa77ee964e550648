//! MS006: the names of the keys can be listed.

use model::{Confidence, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::rule::{Bilingual, Fired, Rule};

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
        en: "Likely: the settings say `dump_enabled yes`. No dump was asked for.",
        ja: "可能性が高い（likely）: 設定が `dump_enabled yes` です。ダンプは要求していません。",
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
    context.exposed()?;
    let settings = context
        .settings()
        .filter(|settings| settings.is_on("dump_enabled"))?;
    let option = fixes::add_option(context, "-X");
    Some(Fired {
        severity: Severity::Medium,
        confidence: Confidence::Likely,
        evidence: vec![settings.line("dump_enabled", context.transport)],
        fix: Text::new(
            format!(
                "disable dumps if no tool of yours needs them: {}",
                option.en
            ),
            format!("ダンプを使うツールがなければ無効にする: {}", option.ja),
        ),
    })
}

#[cfg(test)]
mod cases {
    use crate::rule::Cases;
    use crate::samples::{self, Sample, with_setting};

    pub(super) const CASES: Cases = Cases {
        fires: &[|| Sample::tcp(with_setting(samples::open(), "dump_enabled", "yes"))],
        silent: &[
            || Sample::tcp(samples::open()),
            || Sample::tcp(samples::reflector()),
            || Sample::tcp(with_setting(samples::honeypot(), "dump_enabled", "yes")),
        ],
    };
}
