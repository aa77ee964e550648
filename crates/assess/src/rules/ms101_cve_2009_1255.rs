//! MS101: CVE-2009-1255, stats maps gives away the memory layout.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2009-1255"),
    cvss: Some(Cvss::new(2, 50)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 2, 8),
    gate: Gate::Ascii,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS101",
    name: "cve-2009-1255",
    title: Bilingual {
        en: "CVE-2009-1255: stats maps gives away the memory layout",
        ja: "CVE-2009-1255: stats maps がメモリ配置を漏らす",
    },
    what: Bilingual {
        en: "`stats maps` prints the memory map of the process to whoever asks.",
        ja: "`stats maps` が、プロセスのメモリマップを誰にでも表示します。",
    },
    why: Bilingual {
        en: "The addresses undo address space randomization, so that another flaw becomes easier \
             to use.",
        ja: "アドレス空間のランダム化が無意味になり、他の欠陥を悪用しやすくなります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2009-1255 https://www.cve.org/CVERecord?id=CVE-2009-1255",
        ja: "CVE-2009-1255 https://www.cve.org/CVERecord?id=CVE-2009-1255",
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
        fires: &[|| open(FLAW.gate, "1.2.7")],
        silent: &[|| open(FLAW.gate, "1.2.8"), || shut(FLAW.gate, "1.2.7")],
    };
}
