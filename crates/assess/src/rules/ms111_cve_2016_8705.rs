//! MS111: CVE-2016-8705, integer overflow in set, add and replace.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2016-8705"),
    cvss: Some(Cvss::new(3, 98)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 33),
    gate: Gate::Binary,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS111",
    name: "cve-2016-8705",
    title: Bilingual {
        en: "CVE-2016-8705: integer overflow in set, add and replace",
        ja: "CVE-2016-8705: set・add・replace で整数オーバーフロー",
    },
    what: Bilingual {
        en: "The length of a binary update is not checked, and the heap is overwritten.",
        ja: "バイナリの更新コマンドで長さが検査されず、ヒープが上書きされます。",
    },
    why: Bilingual {
        en: "Whoever can send commands may execute code as the user of the server.",
        ja: "コマンドを送れる相手が、サーバーの権限でコードを実行できるおそれがあります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2016-8705 https://www.cve.org/CVERecord?id=CVE-2016-8705\n\
             TALOS-2016-0220 https://talosintelligence.com/vulnerability_reports/TALOS-2016-0220",
        ja: "CVE-2016-8705 https://www.cve.org/CVERecord?id=CVE-2016-8705\n\
             TALOS-2016-0220 https://talosintelligence.com/vulnerability_reports/TALOS-2016-0220",
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
