//! MS107: CVE-2013-7239, a wrong password logs in.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2013-7239"),
    cvss: Some(Cvss::new(2, 48)),
    introduced: Some(UpstreamVersion::new(1, 4, 3)),
    fixed: UpstreamVersion::new(1, 4, 17),
    gate: Gate::Sasl,
    before_login: true,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS107",
    name: "cve-2013-7239",
    title: Bilingual {
        en: "CVE-2013-7239: a wrong password logs in",
        ja: "CVE-2013-7239: 誤ったパスワードでログインできる",
    },
    what: Bilingual {
        en: "After a failed SASL log-in the connection counts as logged in for the next request.",
        ja: "SASL のログインに失敗した接続が、次の要求からログイン済みとして扱われます。",
    },
    why: Bilingual {
        en: "The password protects nothing. Whether it works is not tried: that would be an \
             attack.",
        ja: "パスワードによる保護が働きません。実際に試すことは攻撃にあたるため行いません。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2013-7239 https://www.cve.org/CVERecord?id=CVE-2013-7239",
        ja: "CVE-2013-7239 https://www.cve.org/CVERecord?id=CVE-2013-7239",
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
