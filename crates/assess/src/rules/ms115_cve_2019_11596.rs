//! MS115: CVE-2019-11596, lru without arguments crashes it.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2019-11596"),
    cvss: Some(Cvss::new(3, 75)),
    introduced: Some(UpstreamVersion::new(1, 4, 35)),
    fixed: UpstreamVersion::new(1, 5, 14),
    gate: Gate::Ascii,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS115",
    name: "cve-2019-11596",
    title: Bilingual {
        en: "CVE-2019-11596: lru without arguments crashes it",
        ja: "CVE-2019-11596: 引数のない lru でクラッシュ",
    },
    what: Bilingual {
        en: "`lru mode` and `lru temp_ttl` without their arguments follow a null pointer.",
        ja: "引数のない `lru mode`・`lru temp_ttl` でヌルポインターが参照されます。",
    },
    why: Bilingual {
        en: "One line ends the process, and the cache with it.",
        ja: "1 行の入力でプロセスが終了し、キャッシュも失われます。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2019-11596 https://www.cve.org/CVERecord?id=CVE-2019-11596",
        ja: "CVE-2019-11596 https://www.cve.org/CVERecord?id=CVE-2019-11596",
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
        fires: &[|| open(FLAW.gate, "1.5.13")],
        silent: &[|| open(FLAW.gate, "1.5.14"), || shut(FLAW.gate, "1.5.13")],
    };
}
