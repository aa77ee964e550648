//! MS014: the answer came from somewhere else.

use model::{Confidence, Severity, Text};

use crate::context::Context;
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS014",
    name: "answers-from-elsewhere",
    title: Bilingual {
        en: "answers from another address or port",
        ja: "別のアドレスまたはポートから応答する",
    },
    what: Bilingual {
        en: "A UDP answer carried our request id, but came from another address or port than the \
             one asked.",
        ja: "こちらの要求 ID を含む UDP 応答が、問い合わせ先とは別のアドレスまたはポートから届きました。",
    },
    why: Bilingual {
        en: "The machine has several addresses, or something forwards the port (NAT). Whoever \
             mends only the address that was asked may mend the wrong machine.",
        ja: "マシンが複数のアドレスを持つか、ポートが転送（NAT）されています。問い合わせ先のアドレスだけを\
             見て対処すると、別のマシンを直してしまうおそれがあります。",
    },
    evidence: Bilingual {
        en: "Confirmed: the source of the datagram that carried our request id. Datagrams without \
             it never count.",
        ja: "確認済み（confirmed）: こちらの要求 ID を含むデータグラムの送信元を示します。要求 ID を含ま\
             ないものは判定に使いません。",
    },
    fix: Bilingual {
        en: "Find the machine that answered, and what forwards the port to it; make the change of \
             the other findings there.",
        ja: "応答したマシンと、そこへの転送設定を特定し、他の検出事項の対処はそのマシンで行います。",
    },
    references: Bilingual {
        en: "memcached source, doc/protocol.txt, \"UDP protocol\"",
        ja: "memcached のソース doc/protocol.txt の \"UDP protocol\"",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    let source = context.exposed()?.answered_from?;
    let asked = match context.host.address.ip() {
        Some(ip) => std::net::SocketAddr::new(ip, context.host.port).to_string(),
        None => context.host.address.to_string(),
    };
    Some(Fired {
        severity: Severity::Info,
        confidence: Confidence::Confirmed,
        evidence: vec![Text::new(
            format!("asked {asked}, answered from {source} with our request id"),
            format!("{asked} に問い合わせ、こちらの要求 ID を含む応答が {source} から届いた"),
        )],
        fix: Text::new(
            format!(
                "find the machine that answers as {source} (`ss -lunp` there) and what forwards \
                 the port to it; make the other changes there"
            ),
            format!(
                "{source} として応答したマシン（そのマシンで `ss -lunp`）と転送の設定を特定し、他の\
                 対処はそのマシンで行う"
            ),
        ),
    })
}

#[cfg(test)]
mod cases {
    use model::{Dialogue, Impression};

    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    pub(super) const CASES: Cases = Cases {
        fires: &[|| {
            let answered_from = Some("192.0.2.7:40000".parse().unwrap());
            Sample::udp(Dialogue {
                answered_from,
                ..samples::reflector()
            })
        }],
        silent: &[
            || Sample::udp(samples::reflector()),
            || {
                let impression = Some(Impression::ForeignDatagram("5678".into()));
                let answered_from = Some("192.0.2.7:40000".parse().unwrap());
                Sample::udp(Dialogue {
                    answered_from,
                    impression,
                    ..Dialogue::default()
                })
            },
        ],
    };
}
