//! MS119: CVE-2021-37519, a crafted authentication file overflows a buffer.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2021-37519"),
    cvss: Some(Cvss::new(3, 55)),
    introduced: Some(UpstreamVersion::new(1, 5, 15)),
    fixed: UpstreamVersion::new(1, 6, 10),
    gate: Gate::AuthenticationFile,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS119",
    name: "cve-2021-37519",
    title: Bilingual {
        en: "CVE-2021-37519: a crafted authentication file overflows a buffer",
        ja: "CVE-2021-37519: 細工した認証ファイルでバッファーオーバーフロー",
    },
    what: Bilingual {
        en: "The file given to -Y is read past the end of a buffer.",
        ja: "-Y に指定したファイルの読み込みで、バッファーの範囲を越えます。",
    },
    why: Bilingual {
        en: "Only somebody who may write that file can use it, so it is worth knowing and no \
             more.",
        ja: "そのファイルに書き込める人だけが悪用できるため、参考情報にとどまります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2021-37519 https://www.cve.org/CVERecord?id=CVE-2021-37519",
        ja: "CVE-2021-37519 https://www.cve.org/CVERecord?id=CVE-2021-37519",
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
        fires: &[|| open(FLAW.gate, "1.6.9")],
        silent: &[|| open(FLAW.gate, "1.6.10"), || shut(FLAW.gate, "1.6.9")],
    };
}
