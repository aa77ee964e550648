//! MS121: CVE-2023-46852, many spaces in a multiget overflow the proxy.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2023-46852"),
    cvss: Some(Cvss::new(3, 75)),
    introduced: Some(UpstreamVersion::new(1, 6, 13)),
    fixed: UpstreamVersion::new(1, 6, 22),
    gate: Gate::Proxy,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS121",
    name: "cve-2023-46852",
    title: Bilingual {
        en: "CVE-2023-46852: many spaces in a multiget overflow the proxy",
        ja: "CVE-2023-46852: multiget の空白でプロキシがオーバーフロー",
    },
    what: Bilingual {
        en: "With the built-in proxy on, a `get` of many keys with many spaces between them \
             overflows a buffer. 1.6.13 and 1.6.14 do not say whether the proxy is on, so they \
             are not found.",
        ja: "組み込みプロキシが有効なとき、多数の空白を含む複数キーの `get` でバッファーがあふれ\
             ます。1.6.13 と 1.6.14 はプロキシが有効かどうかを示さないため、検出できません。",
    },
    why: Bilingual {
        en: "One line ends the process.",
        ja: "1 行の入力でプロセスが終了します。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2023-46852 https://www.cve.org/CVERecord?id=CVE-2023-46852",
        ja: "CVE-2023-46852 https://www.cve.org/CVERecord?id=CVE-2023-46852",
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
