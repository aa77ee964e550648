//! MS004: everything crosses the network in clear.

use model::{Auth, Confidence, Severity, Text, Transport, Verdict};

use crate::context::Context;
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS004",
    name: "cleartext",
    title: Bilingual {
        en: "no encryption",
        ja: "通信が暗号化されていない",
    },
    what: Bilingual {
        en: "The server speaks memcached over TCP without TLS to other machines.",
        ja: "他のマシンに対し、TLS なしの TCP で memcached を提供しています。",
    },
    why: Bilingual {
        en: "Whoever can watch the network reads cached values and sessions, and can change them. \
             With -Y, and with SASL PLAIN, the password crosses the network in clear as well, so \
             that the authentication protects little.",
        ja: "通信経路を観察できる者は、キャッシュの値やセッションを読み取り、改ざんできます。-Y や SASL \
             PLAIN ではパスワードも平文で流れるため、認証の効果は限られます。",
    },
    evidence: Bilingual {
        en: "Confirmed: the server answered in plain TCP from an address that is not loopback. \
             Medium if a password is sent in clear, otherwise low.",
        ja: "確認済み（confirmed）: ループバック以外のアドレスから平文の TCP で応答がありました。パス\
             ワードが平文で流れるなら medium、それ以外は low です。",
    },
    fix: Bilingual {
        en: "Keep the traffic on one machine or in one trusted network, or encrypt it: -Z with \
             `-o ssl_chain_cert=FILE,ssl_key=FILE` (1.5.13 and newer, built with --enable-tls), or \
             a tunnel (WireGuard, stunnel). With -Z also set -U 0: UDP stays in clear.",
        ja: "通信を 1 台のマシンか信頼できる 1 つのネットワークの中に留めるか、暗号化します。-Z と \
             `-o ssl_chain_cert=FILE,ssl_key=FILE`（1.5.13 以降、--enable-tls でのビルド）か、トンネル\
             （WireGuard、stunnel）を使います。-Z でも UDP は平文のままなので -U 0 も指定します。",
    },
    references: Bilingual {
        en: "CWE-319: Cleartext Transmission of Sensitive Information\n\
             memcached source, doc/tls.txt",
        ja: "CWE-319: 重要な情報の平文での送信\n\
             memcached のソース doc/tls.txt",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    let dialogue = context.dialogue()?;
    let applies = context.transport == Transport::Tcp
        && matches!(context.verdict, Verdict::Exposed | Verdict::Protected)
        && dialogue.tls.is_none()
        && dialogue.auth != Auth::TlsClientCertificate
        && !context.is_loopback();
    if !applies {
        return None;
    }
    let mut evidence = vec![Text::new(
        format!("{} answered over TCP without TLS", context.host.address),
        format!("{} が TLS なしの TCP で応答した", context.host.address),
    )];
    let password = password_in_clear(&dialogue.auth);
    let severity = if password.is_some() {
        Severity::Medium
    } else {
        Severity::Low
    };
    evidence.extend(password);
    Some(Fired {
        severity,
        confidence: Confidence::Confirmed,
        evidence,
        fix: Text::new(
            "encrypt it with -Z -o ssl_chain_cert=FILE,ssl_key=FILE (1.5.13 and newer, built with \
             --enable-tls) or a tunnel, or keep the traffic inside one trusted network",
            "-Z -o ssl_chain_cert=FILE,ssl_key=FILE（1.5.13 以降、--enable-tls でのビルド）か\
             トンネルで暗号化する。または通信を信頼できる 1 つのネットワークの中に留める",
        ),
    })
}

/// The evidence that a client's password is readable on the way, if it is.
fn password_in_clear(auth: &Auth) -> Option<Text> {
    match auth {
        Auth::Ascii => Some(Text::new(
            "ASCII authentication sends user and password in clear",
            "ASCII 認証ではユーザー名とパスワードが平文で送られる",
        )),
        Auth::Sasl(mechanisms)
            if mechanisms
                .iter()
                .any(|mechanism| mechanism.eq_ignore_ascii_case("PLAIN")) =>
        {
            Some(Text::new(
                "SASL mechanism PLAIN sends user and password in clear",
                "SASL の PLAIN 機構ではユーザー名とパスワードが平文で送られる",
            ))
        }
        Auth::Sasl(_) | Auth::Unknown | Auth::None | Auth::TlsClientCertificate => None,
    }
}

#[cfg(test)]
mod cases {
    use model::Dialogue;

    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::tcp(samples::open()),
            || Sample::tcp(samples::sasl()),
        ],
        silent: &[
            || Sample::tcp(samples::open_through_tls()),
            || Sample::tcp(samples::open()).at("127.0.0.1"),
            || Sample::unix(samples::open()),
            || Sample::udp(samples::reflector()),
        ],
    };

    #[test]
    fn a_password_in_clear_is_worse() {
        let severity = |auth: Auth| {
            let dialogue = Dialogue {
                auth,
                ..samples::sasl()
            };
            let findings = Sample::tcp(dialogue).judge().findings;
            findings
                .into_iter()
                .find(|finding| finding.code == RULE.code)
                .unwrap()
                .severity
        };
        assert_eq!(severity(Auth::Ascii), Severity::Medium);
        assert_eq!(severity(Auth::Sasl(vec!["PLAIN".into()])), Severity::Medium);
        assert_eq!(severity(Auth::Sasl(vec!["CRAM-MD5".into()])), Severity::Low);
    }
}
