//! MS100: a release older than the newest, which mends memory errors that have no CVE.

use crate::UpstreamVersion;
use crate::context::Context;
use crate::flaw::{self, Flaw, Gate};
use crate::rule::{Bilingual, Fired, Rule};

const FLAW: Flaw = Flaw {
    cve: None,
    cvss: None,
    introduced: None,
    fixed: UpstreamVersion::new(1, 6, 45),
    gate: Gate::Any,
    before_login: true,
};

pub(crate) const RULE: Rule = Rule {
    code: "MS100",
    name: "older-than-newest",
    title: Bilingual {
        en: "older than the newest release (1.6.45)",
        ja: "最新リリース（1.6.45）より古い",
    },
    what: Bilingual {
        en: "The version is older than 1.6.45 of 9 July 2026, the newest release when this rule \
             was written. 1.6.42 to 1.6.45 mend memory errors that have no CVE: a reference \
             counter of the binary protocol that may lead to execution of code (1.6.43), a buffer \
             that a metadump overflows when its reader stops (1.6.44), crashes with -Y (1.6.42, \
             1.6.44), use of freed memory by the logger (1.6.45).",
        ja: "このルールの作成時点で最新の 1.6.45（2026 年 7 月 9 日）より古いバージョンです。\
             1.6.42 から 1.6.45 では、CVE 番号のないメモリ安全性の問題が修正されています: コード\
             実行につながるおそれのあるバイナリプロトコルの参照カウンター（1.6.43）、読み手が止ま\
             ると metadump でバッファーがあふれる問題（1.6.44）、-Y 使用時のクラッシュ（1.6.42、\
             1.6.44）、ロガーによる解放済みメモリの使用（1.6.45）。",
    },
    why: Bilingual {
        en: "The project asks for no CVE numbers itself, so lists of CVEs do not show these; \
             whoever can send commands may use them.",
        ja: "memcached プロジェクトは自ら CVE 番号を取得しないため、CVE の一覧には現れません。コ\
             マンドを送れる相手が悪用できるおそれがあります。",
    },
    evidence: flaw::EVIDENCE,
    fix: flaw::FIX,
    references: Bilingual {
        en: "Release notes of memcached https://github.com/memcached/memcached/wiki/ReleaseNotes",
        ja: "memcached のリリースノート https://github.com/memcached/memcached/wiki/ReleaseNotes",
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
        fires: &[|| open(FLAW.gate, "1.6.44")],
        silent: &[|| open(FLAW.gate, "1.6.45"), || shut(FLAW.gate, "1.6.44")],
    };
}
