//! MS008: open, but as far as seen only to this machine.

use model::{Confidence, Severity, Text, Transport};

use crate::context::Context;
use crate::rule::{Bilingual, Fired, Rule};

/// Its code, which the order of findings needs too.
pub(crate) const CODE: &str = "MS008";

pub(crate) const RULE: Rule = Rule {
    code: CODE,
    name: "seen-only-from-this-machine",
    title: Bilingual {
        en: "seen only from this machine",
        ja: "このマシンからのみ確認",
    },
    what: Bilingual {
        en: "The server was asked over loopback or a unix socket, and its settings do not say that \
             it is bound more widely.",
        ja: "ループバックまたは UNIX ソケット経由で確認しました。それより広い範囲で待ち受けていると\
             いう設定は見当たりません。",
    },
    why: Bilingual {
        en: "This is how memcached is meant to be run: it is no alarm. The other findings of this \
             endpoint are shown as info, because they would matter if the port were opened. Every \
             user and container of this machine can still read and write the cache.",
        ja: "これは memcached の本来の使い方であり、警告ではありません。このエンドポイントの他の検出事項\
             は、ポートが公開された場合に問題となるため、info として表示します。なお、このマシンの\
             利用者やコンテナはキャッシュを読み書きできます。",
    },
    evidence: Bilingual {
        en: "Likely: the address asked, and the server's `inter` if its settings were read.",
        ja: "可能性が高い（likely）: 問い合わせたアドレスと、設定を取得できた場合はサーバーの `inter` \
             に基づきます。",
    },
    fix: Bilingual {
        en: "Nothing to change. To be sure, ask from another machine, or look at `ss -lntu` here.",
        ja: "変更は不要です。念のため、別のマシンから確認するか、このマシンで `ss -lntu` を確認して\
             ください。",
    },
    references: Bilingual {
        en: "memcached(1), options -l and -s",
        ja: "memcached(1) の -l、-s オプション",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    context.exposed()?;
    if !context.only_from_here {
        return None;
    }
    let address = &context.host.address;
    let mut evidence = vec![Text::new(
        format!("asked at {address}, which only this machine can reach"),
        format!("このマシンからのみ到達できる {address} で確認"),
    )];
    let settings = context
        .settings()
        .filter(|settings| settings.text("inter").is_some());
    match (context.transport, settings) {
        (Transport::Unix, _) => {}
        (_, Some(settings)) => evidence.push(settings.line("inter", context.transport)),
        (_, None) => evidence.push(Text::new(
            "its settings were not read: whether it is bound to other addresses is not known",
            "設定を取得できなかったため、他のアドレスでも待ち受けているかどうかは不明",
        )),
    }
    Some(Fired {
        severity: Severity::Info,
        confidence: Confidence::Likely,
        evidence,
        fix: Text::new(
            "nothing to change; to be sure, look at `ss -lntu` here or ask from another machine",
            "変更は不要。念のため、このマシンで `ss -lntu` を見るか、別のマシンから確認する",
        ),
    })
}

#[cfg(test)]
mod cases {
    use model::{Answer, Dialogue};

    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample, with_setting};

    fn bound_to(inter: &str) -> Sample {
        Sample::tcp(with_setting(samples::open(), "inter", inter)).at("127.0.0.1")
    }

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || bound_to("127.0.0.1"),
            || bound_to("127.0.0.1,::1").at("::1"),
            || {
                Sample::tcp(Dialogue {
                    settings: Answer::Closed,
                    ..samples::open()
                })
                .at("127.0.0.9")
            },
            || Sample::unix(with_setting(samples::open(), "inter", "NULL")),
        ],
        silent: &[
            || bound_to("127.0.0.1").at("10.0.0.5"),
            || bound_to("NULL"),
            || bound_to("0.0.0.0"),
            || bound_to("*"),
            || bound_to("::").at("::1"),
            || bound_to("127.0.0.1,10.0.0.5"),
            || Sample::tcp(samples::sasl()).at("127.0.0.1"),
        ],
    };

    #[test]
    fn it_comes_first_and_calms_the_rest() {
        let dialogue = with_setting(samples::open(), "inter", "127.0.0.1");
        let dialogue = with_setting(dialogue, "shutdown_command", "yes");
        let judgement = Sample::tcp(dialogue).at("127.0.0.1").judge();
        assert!(judgement.only_from_here);
        let codes: Vec<_> = judgement
            .findings
            .iter()
            .map(|finding| finding.code)
            .collect();
        assert_eq!(codes, ["MS008", "MS001", "MS007", "MS015", "MS100"]);
        for finding in &judgement.findings {
            assert_eq!(finding.severity, Severity::Info, "{}", finding.code);
            assert!(!finding.evidence.is_empty(), "{}", finding.code);
        }
    }

    #[test]
    fn settings_read_over_tcp_count_for_udp_too() {
        let everywhere = with_setting(samples::open(), "inter", "NULL");
        let udp = || Sample::udp(samples::reflector()).at("127.0.0.1");
        assert!(!udp().with_tcp(everywhere).judge().only_from_here);
        assert!(udp().judge().only_from_here);
    }
}
