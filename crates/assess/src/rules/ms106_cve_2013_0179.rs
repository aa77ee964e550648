//! MS106: CVE-2013-0179, logging a binary delete crashes it.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2013-0179"),
    cvss: Some(Cvss::new(2, 18)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 17),
    gate: Gate::Verbosity(2),
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS106",
    name: "cve-2013-0179",
    title: Bilingual {
        en: "CVE-2013-0179: logging a binary delete crashes it",
        ja: "CVE-2013-0179: バイナリ delete のログ出力でクラッシュ",
    },
    what: Bilingual {
        en: "With -vv the key of a binary `delete` is copied into a buffer that is too small.",
        ja: "-vv のとき、バイナリ `delete` のキーが小さすぎるバッファーにコピーされます。",
    },
    why: Bilingual {
        en: "Requests with long keys end the process while its verbose log is on.",
        ja: "詳細ログが有効な間、長いキーの要求でプロセスが終了します。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2013-0179 https://www.cve.org/CVERecord?id=CVE-2013-0179",
        ja: "CVE-2013-0179 https://www.cve.org/CVERecord?id=CVE-2013-0179",
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
