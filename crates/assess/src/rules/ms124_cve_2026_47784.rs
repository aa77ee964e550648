//! MS124: CVE-2026-47784, the time of a log-in tells about the password.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2026-47784"),
    cvss: Some(Cvss {
        generation: 3,
        tenths: None,
    }),
    introduced: None,
    fixed: UpstreamVersion::new(1, 6, 42),
    gate: Gate::Sasl,
    before_login: true,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS124",
    name: "cve-2026-47784",
    title: Bilingual {
        en: "CVE-2026-47784: the time of a log-in tells about the password",
        ja: "CVE-2026-47784: ログインの応答時間でパスワードが推測できる",
    },
    what: Bilingual {
        en: "Built with --enable-sasl-pwdb, passwords are compared byte by byte up to the first \
             difference. Whether a server was built so cannot be seen from outside.",
        ja: "--enable-sasl-pwdb 付きのビルドでは、パスワードの比較が最初に異なるバイトで終わりま\
             す。そのようにビルドされたかどうかは外部からは分かりません。",
    },
    why: Bilingual {
        en: "Whoever measures the time of failed log-ins may guess a password piece by piece.",
        ja: "失敗したログインの応答時間を測ると、パスワードを少しずつ推測できるおそれがあります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2026-47784 https://www.cve.org/CVERecord?id=CVE-2026-47784",
        ja: "CVE-2026-47784 https://www.cve.org/CVERecord?id=CVE-2026-47784",
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
        fires: &[|| open(FLAW.gate, "1.6.41")],
        silent: &[|| open(FLAW.gate, "1.6.42"), || shut(FLAW.gate, "1.6.41")],
    };
}
