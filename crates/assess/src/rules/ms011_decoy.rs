//! MS011: the server contradicts itself, as honeypots do.

use model::{Confidence, Severity, Text, Verdict};

use crate::context::Context;
use crate::decoy::{self, Contradiction};
use crate::reason;
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS011",
    name: "decoy",
    title: Bilingual {
        en: "contradicts itself: a honeypot",
        ja: "応答が矛盾している: ハニーポット",
    },
    what: Bilingual {
        en: "The server said something that no real server can say.",
        ja: "本物のサーバーではあり得ない応答がありました。",
    },
    why: Bilingual {
        en: "It is most likely a honeypot and holds nobody's data. If you did not set it up, \
             somebody else did, on an address of yours.",
        ja: "ハニーポットの可能性が高く、誰のデータも入っていません。心当たりがなければ、管理対象の\
             アドレスに他の誰かが設置したことになります。",
    },
    evidence: Bilingual {
        en: "Confirmed: a random key returned a value, or pid or start time moved between two asks \
             (and again on the first connection, so that it is no load balancer). Likely: it \
             claims an upstream version since 1.6.0 and does not know `mn`.",
        ja: "確認済み（confirmed）: ランダムなキーが値を返したか、pid または起動時刻が 2 回の問い合わせで\
             変わりました（最初の接続で再確認しており、ロードバランサーではありません）。可能性が高い\
             （likely）: 1.6.0 以降のバージョンを名乗りながら `mn` を知りません。",
    },
    fix: Bilingual {
        en: "If it is yours, nothing to change. Otherwise find out who runs it.",
        ja: "自分で設置したものなら変更は不要です。そうでなければ、誰が動かしているか調べてください。",
    },
    references: Bilingual {
        en: "memcached source, doc/protocol.txt",
        ja: "memcached のソース doc/protocol.txt",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    if context.verdict != Verdict::Decoy {
        return None;
    }
    let contradiction = decoy::contradiction(context.dialogue()?)?;
    let confidence = match contradiction {
        Contradiction::RandomKeyHit
        | Contradiction::PidMoved { .. }
        | Contradiction::StartTimeMoved { .. } => Confidence::Confirmed,
        Contradiction::LacksMetaNoop(_) => Confidence::Likely,
    };
    Some(Fired {
        severity: Severity::Info,
        confidence,
        evidence: vec![reason::of_contradiction(context, contradiction)],
        fix: Text::new(
            "nothing to change if it is your honeypot; otherwise find out who runs it",
            "自分のハニーポットなら変更は不要。そうでなければ、誰が動かしているか調べる",
        ),
    })
}

#[cfg(test)]
mod cases {
    use model::{Answer, Dialogue, KeyProbe, MetaNoop};

    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::tcp(samples::honeypot()),
            || {
                let random_key = Answer::Given(KeyProbe::Hit);
                Sample::tcp(Dialogue {
                    random_key,
                    ..samples::open()
                })
            },
            || {
                let meta_noop = Answer::Given(MetaNoop::NotKnown);
                Sample::tcp(Dialogue {
                    meta_noop,
                    ..samples::open()
                })
            },
        ],
        silent: &[
            || Sample::tcp(samples::open()),
            || Sample::tcp(samples::load_balanced()),
        ],
    };

    #[test]
    fn a_decoy_has_no_other_finding() {
        for sample in RULE.cases.fires {
            let findings = sample().judge().findings;
            let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
            assert_eq!(codes, [RULE.code]);
        }
    }
}
