//! MS113: CVE-2017-9951, binary requests read past the heap.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2017-9951"),
    cvss: Some(Cvss::new(3, 75)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 39),
    gate: Gate::Binary,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS113",
    name: "cve-2017-9951",
    title: Bilingual {
        en: "CVE-2017-9951: binary requests read past the heap",
        ja: "CVE-2017-9951: バイナリ要求でヒープの範囲外を読む",
    },
    what: Bilingual {
        en: "The mend of CVE-2016-8705 left lengths out: the server reads past a buffer on the \
             heap.",
        ja: "CVE-2016-8705 の修正に漏れがあり、ヒープ上のバッファーの外を読み出します。",
    },
    why: Bilingual {
        en: "One request ends the process, and the cache with it.",
        ja: "1 つの要求でプロセスが終了し、キャッシュも失われます。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2017-9951 https://www.cve.org/CVERecord?id=CVE-2017-9951",
        ja: "CVE-2017-9951 https://www.cve.org/CVERecord?id=CVE-2017-9951",
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
        fires: &[|| open(FLAW.gate, "1.4.38")],
        silent: &[|| open(FLAW.gate, "1.4.39"), || shut(FLAW.gate, "1.4.38")],
    };
}
