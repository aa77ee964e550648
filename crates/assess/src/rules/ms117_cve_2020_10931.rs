//! MS117: CVE-2020-10931, the header of a binary request overflows a buffer.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2020-10931"),
    cvss: Some(Cvss::new(3, 75)),
    introduced: Some(UpstreamVersion::new(1, 6, 0)),
    fixed: UpstreamVersion::new(1, 6, 2),
    gate: Gate::Binary,
    before_login: true,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS117",
    name: "cve-2020-10931",
    title: Bilingual {
        en: "CVE-2020-10931: the header of a binary request overflows a buffer",
        ja: "CVE-2020-10931: バイナリ要求のヘッダーでバッファーオーバーフロー",
    },
    what: Bilingual {
        en: "The length of the extras in a binary header is not checked before they are copied.",
        ja: "バイナリヘッダーの拡張部の長さが、コピーする前に検査されません。",
    },
    why: Bilingual {
        en: "One request ends the process, and perhaps more than that. On servers with SASL no \
             log-in is needed.",
        ja: "1 つの要求でプロセスが終了し、それ以上の影響が出るおそれもあります。SASL を使うサー\
             バーでもログインは不要です。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2020-10931 https://www.cve.org/CVERecord?id=CVE-2020-10931",
        ja: "CVE-2020-10931 https://www.cve.org/CVERecord?id=CVE-2020-10931",
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
        fires: &[|| open(FLAW.gate, "1.6.1")],
        silent: &[|| open(FLAW.gate, "1.6.2"), || shut(FLAW.gate, "1.6.1")],
    };
}
