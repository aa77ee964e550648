//! MS104: CVE-2010-1152, a line without an end uses up memory.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2010-1152"),
    cvss: Some(Cvss::new(2, 50)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 3),
    gate: Gate::Ascii,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS104",
    name: "cve-2010-1152",
    title: Bilingual {
        en: "CVE-2010-1152: a line without an end uses up memory",
        ja: "CVE-2010-1152: 終わらない行でメモリが枯渇",
    },
    what: Bilingual {
        en: "The server keeps buffering a line for as long as it does not end.",
        ja: "行が終わらない限り、サーバーは受信データをバッファーにため続けます。",
    },
    why: Bilingual {
        en: "One connection can use up the memory of the machine.",
        ja: "1 つの接続だけでマシンのメモリを使い切ることができます。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2010-1152 https://www.cve.org/CVERecord?id=CVE-2010-1152",
        ja: "CVE-2010-1152 https://www.cve.org/CVERecord?id=CVE-2010-1152",
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
        fires: &[|| open(FLAW.gate, "1.4.2")],
        silent: &[|| open(FLAW.gate, "1.4.3"), || shut(FLAW.gate, "1.4.2")],
    };
}
