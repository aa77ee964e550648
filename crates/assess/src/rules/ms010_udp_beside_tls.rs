//! MS010: TLS on TCP, and the same cache in clear over UDP.

use model::{Auth, Confidence, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::numbers::commands;
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS010",
    name: "plaintext-udp-beside-tls",
    title: Bilingual {
        en: "plaintext UDP beside TLS",
        ja: "TLS と並んで平文の UDP が開いている",
    },
    what: Bilingual {
        en: "TCP is served through TLS, but the same port executes commands over UDP in clear.",
        ja: "TCP は TLS で提供していますが、同じポートの UDP では平文でコマンドが実行されます。",
    },
    why: Bilingual {
        en: "-Z covers TCP only. Over UDP there is neither encryption nor a client certificate.",
        ja: "-Z が及ぶのは TCP だけです。UDP には暗号化もクライアント証明書もありません。",
    },
    evidence: Bilingual {
        en: "Confirmed: the TLS handshake over TCP, and the commands that UDP executed.",
        ja: "確認済み（confirmed）: TCP での TLS ハンドシェイクと、UDP で実行されたコマンドを示します。",
    },
    fix: Bilingual {
        en: "Switch UDP off with -U 0 and restart.",
        ja: "-U 0 で UDP を無効にして再起動します。",
    },
    references: Bilingual {
        en: "memcached source, doc/tls.txt",
        ja: "memcached のソース doc/tls.txt",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    let dialogue = context.exposed()?;
    let tcp = context.tcp_beside_udp()?;
    let over_tcp = match (&tcp.tls, &tcp.auth) {
        (_, Auth::TlsClientCertificate) => Text::new(
            "over TCP: TLS that demands a client certificate",
            "TCP: クライアント証明書を要求する TLS",
        ),
        (Some(facts), _) => Text::new(
            format!("over TCP: {}", facts.version),
            format!("TCP: {}", facts.version),
        ),
        (None, _) => return None,
    };
    let executed = commands(&dialogue.executed);
    Some(Fired {
        severity: Severity::High,
        confidence: Confidence::Confirmed,
        evidence: vec![
            over_tcp,
            Text::new(
                format!("over UDP: executed in clear: {}", executed.en),
                format!("UDP: 平文で実行されたコマンド: {}", executed.ja),
            ),
        ],
        fix: fixes::switch_udp_off(context),
    })
}

#[cfg(test)]
mod cases {
    use model::Dialogue;

    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::udp(samples::reflector()).with_tcp(samples::open_through_tls()),
            || {
                let auth = Auth::TlsClientCertificate;
                Sample::udp(samples::reflector()).with_tcp(Dialogue {
                    auth,
                    ..<_>::default()
                })
            },
        ],
        silent: &[
            || Sample::udp(samples::reflector()).with_tcp(samples::open()),
            || Sample::udp(samples::reflector()),
            || Sample::tcp(samples::open_through_tls()),
        ],
    };
}
