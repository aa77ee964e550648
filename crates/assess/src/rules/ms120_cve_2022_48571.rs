//! MS120: CVE-2022-48571, a UDP request of several datagrams crashes it.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2022-48571"),
    cvss: Some(Cvss::new(3, 75)),
    introduced: Some(UpstreamVersion::new(1, 6, 0)),
    fixed: UpstreamVersion::new(1, 6, 8),
    gate: Gate::Udp,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS120",
    name: "cve-2022-48571",
    title: Bilingual {
        en: "CVE-2022-48571: a UDP request of several datagrams crashes it",
        ja: "CVE-2022-48571: 複数データグラムの UDP 要求でクラッシュ",
    },
    what: Bilingual {
        en: "A UDP frame that announces more than one datagram follows a null pointer.",
        ja: "複数のデータグラムを示す UDP フレームで、ヌルポインターが参照されます。",
    },
    why: Bilingual {
        en: "One datagram, its sender forged perhaps, ends the process. memsweep cannot send such \
             a frame.",
        ja: "送信元を詐称した 1 つのデータグラムだけでプロセスが終了します。memsweep がそのような\
             フレームを送信することはありません。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2022-48571 https://www.cve.org/CVERecord?id=CVE-2022-48571",
        ja: "CVE-2022-48571 https://www.cve.org/CVERecord?id=CVE-2022-48571",
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
        fires: &[|| open(FLAW.gate, "1.6.7")],
        silent: &[|| open(FLAW.gate, "1.6.8"), || shut(FLAW.gate, "1.6.7")],
    };
}
