//! MS123: CVE-2026-47783, the time of a log-in tells which users exist.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2026-47783"),
    cvss: Some(Cvss::new(3, 81)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 6, 42),
    gate: Gate::Sasl,
    before_login: true,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS123",
    name: "cve-2026-47783",
    title: Bilingual {
        en: "CVE-2026-47783: the time of a log-in tells which users exist",
        ja: "CVE-2026-47783: ログインの応答時間で利用者名が分かる",
    },
    what: Bilingual {
        en: "Built with --enable-sasl-pwdb, the search for a user ends at the first match. \
             Whether a server was built so cannot be seen from outside.",
        ja: "--enable-sasl-pwdb 付きのビルドでは、利用者の検索が最初の一致で終わります。そのよう\
             にビルドされたかどうかは外部からは分かりません。",
    },
    why: Bilingual {
        en: "Whoever measures the time of failed log-ins learns the names of users.",
        ja: "失敗したログインの応答時間を測ると、利用者名が分かります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2026-47783 https://www.cve.org/CVERecord?id=CVE-2026-47783",
        ja: "CVE-2026-47783 https://www.cve.org/CVERecord?id=CVE-2026-47783",
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
        fires: &[|| open(FLAW.gate, "1.6.41")],
        silent: &[|| open(FLAW.gate, "1.6.42"), || shut(FLAW.gate, "1.6.41")],
    };
}
