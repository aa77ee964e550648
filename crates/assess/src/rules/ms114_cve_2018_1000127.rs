//! MS114: CVE-2018-1000127, a counter of an item overflows.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2018-1000127"),
    cvss: Some(Cvss::new(3, 75)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 37),
    gate: Gate::Any,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS114",
    name: "cve-2018-1000127",
    title: Bilingual {
        en: "CVE-2018-1000127: a counter of an item overflows",
        ja: "CVE-2018-1000127: アイテムの参照カウンターがあふれる",
    },
    what: Bilingual {
        en: "Many requests for the same item at once overflow its reference counter, and it is \
             freed while in use.",
        ja: "同じアイテムへの同時要求が多いと参照カウンターがあふれ、使用中のアイテムが解放されま\
             す。",
    },
    why: Bilingual {
        en: "Data is corrupted, or a thread never ends and the server stops answering.",
        ja: "データが壊れるか、スレッドが終わらなくなりサーバーが応答しなくなります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2018-1000127 https://www.cve.org/CVERecord?id=CVE-2018-1000127",
        ja: "CVE-2018-1000127 https://www.cve.org/CVERecord?id=CVE-2018-1000127",
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
        fires: &[|| open(FLAW.gate, "1.4.36")],
        silent: &[|| open(FLAW.gate, "1.4.37"), || shut(FLAW.gate, "1.4.36")],
    };
}
