//! MS105: CVE-2011-4971, a negative body length crashes it.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2011-4971"),
    cvss: Some(Cvss::new(2, 50)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 17),
    gate: Gate::Binary,
    before_login: true,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS105",
    name: "cve-2011-4971",
    title: Bilingual {
        en: "CVE-2011-4971: a negative body length crashes it",
        ja: "CVE-2011-4971: 負のボディー長でクラッシュ",
    },
    what: Bilingual {
        en: "Binary requests whose body is shorter than their key and extras make a length \
             negative.",
        ja: "ボディーがキーと拡張部より短いバイナリ要求で、長さが負になります。",
    },
    why: Bilingual {
        en: "One request ends the process, and the cache with it. On servers with SASL no log-in \
             is needed.",
        ja: "1 つの要求でプロセスが終了し、キャッシュも失われます。SASL を使うサーバーでもログイ\
             ンは不要です。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2011-4971 https://www.cve.org/CVERecord?id=CVE-2011-4971",
        ja: "CVE-2011-4971 https://www.cve.org/CVERecord?id=CVE-2011-4971",
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
        fires: &[|| open(FLAW.gate, "1.4.16")],
        silent: &[|| open(FLAW.gate, "1.4.17"), || shut(FLAW.gate, "1.4.16")],
    };
}
