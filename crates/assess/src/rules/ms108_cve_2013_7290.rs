//! MS108: CVE-2013-7290, logging a key reads past it.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2013-7290"),
    cvss: Some(Cvss::new(2, 18)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 17),
    gate: Gate::Verbosity(1),
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS108",
    name: "cve-2013-7290",
    title: Bilingual {
        en: "CVE-2013-7290: logging a key reads past it",
        ja: "CVE-2013-7290: キーのログ出力で範囲外を読む",
    },
    what: Bilingual {
        en: "In verbose mode keys are logged as if a zero byte ended them, which none does.",
        ja: "詳細モードで、キーが終端文字で終わるものとしてログに出力されますが、実際には終端があ\
             りません。",
    },
    why: Bilingual {
        en: "Requests for certain keys end the process while its verbose log is on.",
        ja: "詳細ログが有効な間、特定のキーへの要求でプロセスが終了します。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2013-7290 https://www.cve.org/CVERecord?id=CVE-2013-7290",
        ja: "CVE-2013-7290 https://www.cve.org/CVERecord?id=CVE-2013-7290",
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
