//! MS118: CVE-2020-22570, a meta command crashes it.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2020-22570"),
    cvss: Some(Cvss::new(3, 75)),
    introduced: Some(UpstreamVersion::new(1, 6, 0)),
    fixed: UpstreamVersion::new(1, 6, 3),
    gate: Gate::Ascii,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS118",
    name: "cve-2020-22570",
    title: Bilingual {
        en: "CVE-2020-22570: a meta command crashes it",
        ja: "CVE-2020-22570: メタコマンドでクラッシュ",
    },
    what: Bilingual {
        en: "A meta command with bad flags makes the server print an error text that was never \
             set.",
        ja: "不正なフラグを付けたメタコマンドで、設定されていないエラー文が参照されます。",
    },
    why: Bilingual {
        en: "One line ends the process, and the cache with it.",
        ja: "1 行の入力でプロセスが終了し、キャッシュも失われます。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2020-22570 https://www.cve.org/CVERecord?id=CVE-2020-22570",
        ja: "CVE-2020-22570 https://www.cve.org/CVERecord?id=CVE-2020-22570",
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
        fires: &[|| open(FLAW.gate, "1.6.2")],
        silent: &[|| open(FLAW.gate, "1.6.3"), || shut(FLAW.gate, "1.6.2")],
    };
}
