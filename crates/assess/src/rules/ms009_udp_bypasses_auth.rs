//! MS009: TCP demands a password, UDP does not.

use model::{Auth, Confidence, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::numbers::commands;
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS009",
    name: "udp-bypasses-authentication",
    title: Bilingual {
        en: "UDP bypasses authentication",
        ja: "UDP で認証を回避できる",
    },
    what: Bilingual {
        en: "TCP demands authentication, but the same port executes commands over UDP without it.",
        ja: "TCP では認証を要求しますが、同じポートの UDP では認証なしでコマンドが実行されます。",
    },
    why: Bilingual {
        en: "Before 1.5.20, -S guards TCP only: everything can be read and written over UDP. The \
             administrator believes that the cache is protected, and up to 1.5.5 UDP is on by \
             default.",
        ja: "1.5.20 より前の -S は TCP だけを保護し、UDP ではすべて読み書きできます。管理者は保護されて\
             いると思い込みがちで、しかも 1.5.5 までは UDP が既定で有効です。",
    },
    evidence: Bilingual {
        en: "Confirmed: the authentication that TCP demanded, and the commands that UDP executed.",
        ja: "確認済み（confirmed）: TCP が要求した認証と、UDP で実行されたコマンドを示します。",
    },
    fix: Bilingual {
        en: "Switch UDP off with -U 0 and restart, then upgrade: 1.5.20 and newer refuse to start \
             with -S and UDP together.",
        ja: "-U 0 で UDP を無効にして再起動し、その後更新します。1.5.20 以降は -S と UDP を同時に指定\
             すると起動しません。",
    },
    references: Bilingual {
        en: "memcached release notes 1.5.20 (commit e7c7a1089)\n\
             CWE-288: Authentication Bypass Using an Alternate Path or Channel",
        ja: "memcached 1.5.20 のリリースノート（コミット e7c7a1089）\n\
             CWE-288: 代替パスまたはチャネルを使用した認証回避",
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
    let demanded = match &tcp.auth {
        Auth::Sasl(_) => "SASL",
        Auth::Ascii => "ASCII",
        Auth::Unknown | Auth::None | Auth::TlsClientCertificate => return None,
    };
    if !tcp.executed.is_empty() {
        return None;
    }
    let executed = commands(&dialogue.executed);
    let option = fixes::switch_udp_off(context);
    Some(Fired {
        severity: Severity::Critical,
        confidence: Confidence::Confirmed,
        evidence: vec![
            Text::new(
                format!("over TCP: demands {demanded} authentication"),
                format!("TCP: {demanded} 認証を要求"),
            ),
            Text::new(
                format!("over UDP: executed without credentials: {}", executed.en),
                format!("UDP: 認証なしで実行されたコマンド: {}", executed.ja),
            ),
        ],
        fix: Text::new(
            format!("{}; and upgrade to 1.5.20 or newer", option.en),
            format!("{}。あわせて 1.5.20 以降に更新する", option.ja),
        ),
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
            || Sample::udp(samples::reflector()).with_tcp(samples::sasl()),
            || {
                let ascii = Dialogue {
                    auth: Auth::Ascii,
                    ..Dialogue::default()
                };
                Sample::udp(samples::reflector()).with_tcp(ascii)
            },
        ],
        silent: &[
            || Sample::udp(samples::reflector()),
            || Sample::udp(samples::reflector()).with_tcp(samples::open()),
            || Sample::tcp(samples::sasl()),
            || {
                // Offers SASL and serves without it: nothing is bypassed.
                let auth = Auth::Sasl(vec!["PLAIN".into()]);
                let tcp = Dialogue {
                    auth,
                    ..samples::open()
                };
                Sample::udp(samples::reflector()).with_tcp(tcp)
            },
        ],
    };
}
