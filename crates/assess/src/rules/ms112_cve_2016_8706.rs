//! MS112: CVE-2016-8706, integer overflow in the SASL log-in.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2016-8706"),
    cvss: Some(Cvss::new(3, 81)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 33),
    gate: Gate::Sasl,
    before_login: true,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS112",
    name: "cve-2016-8706",
    title: Bilingual {
        en: "CVE-2016-8706: integer overflow in the SASL log-in",
        ja: "CVE-2016-8706: SASL ログインで整数オーバーフロー",
    },
    what: Bilingual {
        en: "The length of a SASL log-in is not checked, and the heap is overwritten.",
        ja: "SASL のログイン要求で長さが検査されず、ヒープが上書きされます。",
    },
    why: Bilingual {
        en: "Whoever reaches the port may execute code as the user of the server, before any \
             log-in.",
        ja: "ポートに到達できる相手が、ログイン前にサーバーの権限でコードを実行できるおそれがあり\
             ます。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2016-8706 https://www.cve.org/CVERecord?id=CVE-2016-8706\n\
             TALOS-2016-0221 https://talosintelligence.com/vulnerability_reports/TALOS-2016-0221",
        ja: "CVE-2016-8706 https://www.cve.org/CVERecord?id=CVE-2016-8706\n\
             TALOS-2016-0221 https://talosintelligence.com/vulnerability_reports/TALOS-2016-0221",
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
        fires: &[|| open(FLAW.gate, "1.4.32")],
        silent: &[|| open(FLAW.gate, "1.4.33"), || shut(FLAW.gate, "1.4.32")],
    };
}
