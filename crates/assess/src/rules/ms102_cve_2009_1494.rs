//! MS102: CVE-2009-1494, stats malloc gives away the memory layout.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2009-1494"),
    cvss: Some(Cvss::new(2, 50)),
    introduced: None,
    fixed: UpstreamVersion::new(1, 4, 0),
    gate: Gate::Ascii,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS102",
    name: "cve-2009-1494",
    title: Bilingual {
        en: "CVE-2009-1494: stats malloc gives away the memory layout",
        ja: "CVE-2009-1494: stats malloc がメモリの内部情報を漏らす",
    },
    what: Bilingual {
        en: "`stats malloc` prints the state of the memory allocator to whoever asks. It stayed \
             when 1.2.8 took `stats maps` away.",
        ja: "`stats malloc` が、メモリアロケーターの状態を誰にでも表示します。1.2.8 で `stats \
             maps` が削除されたあとも残っていました。",
    },
    why: Bilingual {
        en: "What it tells about memory helps an attacker to use another flaw.",
        ja: "メモリの情報が、他の欠陥を悪用する助けになります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2009-1494 https://www.cve.org/CVERecord?id=CVE-2009-1494",
        ja: "CVE-2009-1494 https://www.cve.org/CVERecord?id=CVE-2009-1494",
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
        fires: &[|| open(FLAW.gate, "1.2.8")],
        silent: &[|| open(FLAW.gate, "1.4.0"), || shut(FLAW.gate, "1.2.8")],
    };
}
