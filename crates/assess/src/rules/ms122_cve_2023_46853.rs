//! MS122: CVE-2023-46853, a bare line feed overflows the proxy.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2023-46853"),
    cvss: Some(Cvss::new(3, 98)),
    introduced: Some(UpstreamVersion::new(1, 6, 13)),
    fixed: UpstreamVersion::new(1, 6, 22),
    gate: Gate::Proxy,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS122",
    name: "cve-2023-46853",
    title: Bilingual {
        en: "CVE-2023-46853: a bare line feed overflows the proxy",
        ja: "CVE-2023-46853: 改行文字だけの行でプロキシがオーバーフロー",
    },
    what: Bilingual {
        en: "With the built-in proxy on, a line that ends with \\n instead of \\r\\n is one byte \
             off. 1.6.13 and 1.6.14 do not say whether the proxy is on, so they are not found.",
        ja: "組み込みプロキシが有効なとき、\\r\\n ではなく \\n で終わる行の処理が 1 バイトずれます。\
             1.6.13 と 1.6.14 はプロキシが有効かどうかを示さないため、検出できません。",
    },
    why: Bilingual {
        en: "One line ends the process, and perhaps more than that.",
        ja: "1 行の入力でプロセスが終了し、それ以上の影響が出るおそれもあります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2023-46853 https://www.cve.org/CVERecord?id=CVE-2023-46853",
        ja: "CVE-2023-46853 https://www.cve.org/CVERecord?id=CVE-2023-46853",
    },
    since: "0.1.0",
    flaw: Some(FLAW),
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    flaw::check(context, &FLAW)
}

#[cfg(test)]
mod cases {
    use super::FLAW;
    use crate::flaw::cases::{open, shut};
    use crate::rule::Cases;

    pub(super) const CASES: Cases = Cases {
        fires: &[|| open(FLAW.gate, "1.6.21")],
        silent: &[|| open(FLAW.gate, "1.6.22"), || shut(FLAW.gate, "1.6.21")],
    };
}
