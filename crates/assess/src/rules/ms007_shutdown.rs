//! MS007: anybody can stop the server.

use model::{Confidence, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS007",
    name: "shutdown-enabled",
    title: Bilingual {
        en: "anybody can stop the server (shutdown)",
        ja: "誰でもサーバーを停止できる（shutdown）",
    },
    what: Bilingual {
        en: "The `shutdown` command is enabled on a server that asks for no credentials.",
        ja: "認証を要求しないサーバーで `shutdown` コマンドが有効です。",
    },
    why: Bilingual {
        en: "One command ends the process, and every item with it.",
        ja: "たった 1 つのコマンドでプロセスが終了し、すべてのアイテムが失われます。",
    },
    evidence: Bilingual {
        en: "Likely: the settings say `shutdown_command yes` (named since 1.6.10). The command is \
             never sent.",
        ja: "可能性が高い（likely）: 設定が `shutdown_command yes` です（1.6.10 以降にある項目）。この\
             コマンドは決して送信しません。",
    },
    fix: Bilingual {
        en: "Start memcached without -A (--enable-shutdown); it is off by default.",
        ja: "memcached を -A（--enable-shutdown）なしで起動します。既定では無効です。",
    },
    references: Bilingual {
        en: "memcached(1), option -A",
        ja: "memcached(1) の -A オプション",
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
        .filter(|settings| settings.is_on("shutdown_command"))?;
    let option = fixes::remove_option("-A");
    Some(Fired {
        severity: Severity::High,
        confidence: Confidence::Likely,
        evidence: vec![settings.line("shutdown_command", context.transport)],
        fix: Text::new(
            format!("disable the shutdown command: {}", option.en),
            format!("shutdown コマンドを無効にする: {}", option.ja),
        ),
    })
}

#[cfg(test)]
mod cases {
    use crate::rule::Cases;
    use crate::samples::{self, Sample, with_setting};

    pub(super) const CASES: Cases = Cases {
        fires: &[|| Sample::tcp(with_setting(samples::open(), "shutdown_command", "yes"))],
        silent: &[
            || Sample::tcp(samples::open()),
            || Sample::tcp(with_setting(samples::honeypot(), "shutdown_command", "yes")),
        ],
    };
}
