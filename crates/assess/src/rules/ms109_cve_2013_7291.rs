//! MS109: CVE-2013-7291, logging a request reads past its key.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2013-7291"),
    cvss: Some(Cvss::new(2, 18)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 17),
    gate: Gate::Verbosity(1),
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS109",
    name: "cve-2013-7291",
    title: Bilingual {
        en: "CVE-2013-7291: logging a request reads past its key",
        ja: "CVE-2013-7291: 要求のログ出力でキーの範囲外を読む",
    },
    what: Bilingual {
        en: "In verbose mode further places log keys without a limit; found when CVE-2013-0179 \
             was mended.",
        ja: "詳細モードで、ほかの箇所でもキーが長さの制限なくログに出力されます。CVE-2013-0179 の\
             修正時に見つかりました。",
    },
    why: Bilingual {
        en: "Requests for certain keys end the process while its verbose log is on.",
        ja: "詳細ログが有効な間、特定のキーへの要求でプロセスが終了します。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2013-7291 https://www.cve.org/CVERecord?id=CVE-2013-7291",
        ja: "CVE-2013-7291 https://www.cve.org/CVERecord?id=CVE-2013-7291",
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
