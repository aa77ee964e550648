//! MS116: CVE-2019-15026, listing connections reads past the stack.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Cvss, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: Some("CVE-2019-15026"),
    cvss: Some(Cvss::new(3, 75)),
    introduced: Some(UpstreamVersion::new(1, 4, 18)),
    fixed: UpstreamVersion::new(1, 5, 17),
    gate: Gate::UnixSocket,
    before_login: false,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS116",
    name: "cve-2019-15026",
    title: Bilingual {
        en: "CVE-2019-15026: listing connections reads past the stack",
        ja: "CVE-2019-15026: 接続一覧の表示でスタックの範囲外を読む",
    },
    what: Bilingual {
        en: "With a unix socket, `stats conns` reads past a buffer on the stack. The database \
             names 1.5.16; the same code is in every release since 1.4.18.",
        ja: "unix ソケットを使う場合、`stats conns` がスタック上のバッファーの外を読み出します。\
             データベースに記載されているのは 1.5.16 ですが、1.4.18 以降のすべてのリリースに同じ\
             コードがあります。",
    },
    why: Bilingual {
        en: "It reaches only from the same machine: a server with -s listens on no network.",
        ja: "同じマシンからしか到達できません。-s を指定したサーバーはネットワークで待ち受けない\
             ためです。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "CVE-2019-15026 https://www.cve.org/CVERecord?id=CVE-2019-15026",
        ja: "CVE-2019-15026 https://www.cve.org/CVERecord?id=CVE-2019-15026",
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
        fires: &[|| open(FLAW.gate, "1.5.16")],
        silent: &[|| open(FLAW.gate, "1.5.17"), || shut(FLAW.gate, "1.5.16")],
    };
}
