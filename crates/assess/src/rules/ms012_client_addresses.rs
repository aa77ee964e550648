//! MS012: the server tells who its clients are.

use model::{Confidence, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::numbers::{counted, grouped};
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS012",
    name: "client-addresses-readable",
    title: Bilingual {
        en: "client addresses are readable (stats conns)",
        ja: "クライアントのアドレスを読み出せる（stats conns）",
    },
    what: Bilingual {
        en: "`stats conns` (1.4.18 and newer) lists the address and port of every client.",
        ja: "`stats conns`（1.4.18 以降）が全クライアントのアドレスとポートを返します。",
    },
    why: Bilingual {
        en: "It draws a map of the application servers inside, for whoever comes next.",
        ja: "内部のアプリケーションサーバーの配置を、次の侵入者に教えることになります。",
    },
    evidence: Bilingual {
        en: "Confirmed: the list was given. Only counts are kept; addresses are personal data.",
        ja: "確認済み（confirmed）: 一覧が返されました。アドレスは個人データにあたるため、件数だけを記録\
             します。",
    },
    fix: Bilingual {
        en: "There is no switch for it: close the port to outsiders (MS001).",
        ja: "個別に無効化する手段はありません。外部からポートに到達できないようにします（MS001）。",
    },
    references: Bilingual {
        en: "memcached source, doc/protocol.txt, \"Connection statistics\"",
        ja: "memcached のソース doc/protocol.txt の \"Connection statistics\"",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    let seen = context.exposed()?.connections.value()?;
    let (local, private, public) = (seen.loopback_peers, seen.private_peers, seen.public_peers);
    Some(Fired {
        severity: Severity::Low,
        confidence: Confidence::Confirmed,
        evidence: vec![Text::new(
            format!(
                "stats conns: {} (ours included); client addresses: {} on the server itself, {} in \
                 private networks, {} elsewhere",
                counted(seen.tcp_clients, "TCP connection"),
                grouped(local),
                grouped(private),
                grouped(public)
            ),
            format!(
                "stats conns: TCP 接続 {} 本（memsweep 自身を含む）。接続元アドレス数は、サーバー自身 \
                 {}、プライベートネットワーク {}、その他 {}",
                grouped(seen.tcp_clients),
                grouped(local),
                grouped(private),
                grouped(public)
            ),
        )],
        fix: fixes::listen_on_loopback(context),
    })
}

#[cfg(test)]
mod cases {
    use model::{Answer, Dialogue};

    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    fn listing(connections: Answer<model::Connections>) -> Sample {
        Sample::tcp(Dialogue {
            connections,
            ..samples::open()
        })
    }

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || listing(Answer::Given(samples::connections())),
            || listing(Answer::Truncated(samples::connections())),
        ],
        silent: &[
            || listing(Answer::NotAsked),
            || listing(Answer::Refused("ERROR".into())),
            || {
                let connections = Answer::Given(samples::connections());
                Sample::tcp(Dialogue {
                    connections,
                    ..samples::honeypot()
                })
            },
        ],
    };
}
