//! MS103: CVE-2009-2415, integer overflow while reading a length.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2009-2415"),
    cvss: Some(Cvss::new(2, 100)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 2, 8),
    gate: Gate::Any,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS103",
    name: "cve-2009-2415",
    title: Bilingual {
        en: "CVE-2009-2415: integer overflow while reading a length",
        ja: "CVE-2009-2415: 長さの読み取りで整数オーバーフロー",
    },
    what: Bilingual {
        en: "Lengths that a client gives overflow an integer, and a buffer on the heap is written \
             past its end. 1.1.12 and 1.2.2 are named as affected; which releases between those \
             and 1.2.8 are is not certain.",
        ja: "クライアントが指定する長さで整数があふれ、ヒープ上のバッファーの外に書き込まれます。\
             影響を受けると明記されているのは 1.1.12 と 1.2.2 で、その後 1.2.8 までのどのリリース\
             が該当するかは確かではありません。",
    },
    why: Bilingual {
        en: "Whoever reaches the port may execute code as the user of the server.",
        ja: "ポートに到達できる相手が、サーバーの権限でコードを実行できるおそれがあります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2009-2415 https://www.cve.org/CVERecord?id=CVE-2009-2415",
        ja: "CVE-2009-2415 https://www.cve.org/CVERecord?id=CVE-2009-2415",
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
        fires: &[|| open(FLAW.gate, "1.2.2")],
        silent: &[|| open(FLAW.gate, "1.2.8"), || shut(FLAW.gate, "1.2.2")],
    };
}
