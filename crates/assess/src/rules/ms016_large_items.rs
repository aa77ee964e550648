//! MS016: over UDP, large values can be planted and fetched.

use model::{Confidence, Severity, Text, Transport};

use crate::context::Context;
use crate::fixes;
use crate::numbers::grouped;
use crate::potential::Potential;
use crate::rule::{Bilingual, Fired, Rule};

/// `item_size_max` of a server that was not told otherwise, in bytes.
const DEFAULT_BYTES: u64 = 1 << 20;

pub(crate) const RULE: Rule = Rule {
    code: "MS016",
    name: "large-items-over-udp",
    title: Bilingual {
        en: "large values can be fetched over UDP",
        ja: "大きな値を UDP で取り出せる",
    },
    what: Bilingual {
        en: "UDP is on, and items may be as large as the default of 1 MiB, or larger.",
        ja: "UDP が有効で、アイテムの上限が既定値の 1 MiB 以上です。",
    },
    why: Bilingual {
        en: "The size of one item limits how much a single forged request can throw at a victim: at \
             1 MiB some 70,000 times its own size.",
        ja: "詐称した 1 つの要求が被害者に送りつける量は、アイテムの大きさで決まります。1 MiB なら要求の\
             約 70,000 倍です。",
    },
    evidence: Bilingual {
        en: "Likely: UDP answered, and the settings give `item_size_max` (named since 1.4.2). The \
             ratio is computed from it and not measured, because nothing is ever written. High \
             above 1 MiB, otherwise medium.",
        ja: "可能性が高い（likely）: UDP で応答があり、設定に `item_size_max`（1.4.2 以降にある項目）が\
             あります。倍率はそこから計算した値で、実測ではありません（書き込みは一切行いません）。1 MiB \
             を超えれば high、それ以外は medium です。",
    },
    fix: Bilingual {
        en: "Switch UDP off with -U 0. Where UDP has to stay, lower the limit with -I to what the \
             application needs, and let the firewall admit only its machines.",
        ja: "-U 0 で UDP を無効にします。UDP が必要な場合は -I で上限をアプリケーションに必要な大きさまで\
             下げ、利用するマシンだけをファイアウォールで許可します。",
    },
    references: Bilingual {
        en: "memcached(1), options -I and -U\n\
             US-CERT TA14-017A: UDP-Based Amplification Attacks",
        ja: "memcached(1) の -I・-U オプション\n\
             US-CERT TA14-017A: UDP-Based Amplification Attacks",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    if context.transport != Transport::Udp {
        return None;
    }
    context.exposed()?;
    let settings = context.settings()?;
    let planted = Potential::planted(settings.table)?;
    if planted.value_bytes < DEFAULT_BYTES {
        return None;
    }
    let size = grouped(planted.value_bytes);
    let ratio = planted.in_words();
    Some(Fired {
        severity: if planted.value_bytes > DEFAULT_BYTES {
            Severity::High
        } else {
            Severity::Medium
        },
        confidence: Confidence::Likely,
        evidence: vec![
            settings.line("item_size_max", context.transport),
            Text::new(
                format!("one value of {size} bytes: payload ratio {ratio} (computed)"),
                format!("{size} バイトの値 1 つで payload ratio {ratio}（計算値）"),
            ),
        ],
        fix: fixes::switch_udp_off(context),
    })
}

#[cfg(test)]
mod cases {
    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample, with_setting};

    fn with_limit(bytes: &str) -> Sample {
        Sample::udp(with_setting(samples::reflector(), "item_size_max", bytes))
    }

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || with_limit("1048576"),
            || with_limit("134217728"),
            || {
                // Read over TCP, beside it.
                let beside = with_setting(samples::open(), "item_size_max", "1048576");
                Sample::udp(samples::reflector()).with_tcp(beside)
            },
        ],
        silent: &[
            || with_limit("524288"),
            || with_limit("much"),
            || Sample::udp(samples::reflector()),
            || Sample::tcp(with_setting(samples::open(), "item_size_max", "1048576")),
        ],
    };

    #[test]
    fn more_than_the_default_is_worse() {
        let severity = |bytes| {
            let findings = with_limit(bytes).judge().findings;
            let finding = findings.iter().find(|finding| finding.code == RULE.code);
            finding.map(|finding| finding.severity)
        };
        assert_eq!(severity("1048576"), Some(Severity::Medium));
        assert_eq!(severity("1048577"), Some(Severity::High));
    }
}
