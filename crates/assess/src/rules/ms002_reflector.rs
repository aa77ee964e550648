//! MS002: UDP answers anybody, so the server can be made to flood others.

use model::{Amplification, Confidence, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::numbers::{counted, grouped, strongest};
use crate::rule::{Bilingual, Fired, Rule};

/// From this payload ratio on it is critical: every server since 1.5.0 reaches it with a plain
/// `stats`, and everything that reflects that strongly is worth an attacker's while.
const CRITICAL_PAYLOAD_RATIO: f64 = 100.0;

pub(crate) const RULE: Rule = Rule {
    code: "MS002",
    name: "udp-reflector",
    title: Bilingual {
        en: "UDP port can be used as a reflector",
        ja: "UDP ポートがリフレクターとして悪用可能",
    },
    what: Bilingual {
        en: "The server answers memcached requests over UDP, without credentials, and its answers \
             are many times larger than the requests.",
        ja: "認証なしで UDP の memcached 要求に応答し、応答は要求の何倍もの大きさになります。",
    },
    why: Bilingual {
        en: "The source address of a UDP request can be forged, so anybody can make this server \
             send its answers to a victim. With a value planted beforehand, 15 bytes become \
             hundreds of kilobytes: the attack of February 2018 that reached 1.7 Tbit/s.",
        ja: "UDP の送信元アドレスは詐称できるため、誰でもこのサーバーの応答を被害者に送りつけられます。\
             事前に値を仕込めば 15 バイトの要求が数百キロバイトになります。2018 年 2 月以降の攻撃は \
             1.7 Tbps に達しました。",
    },
    evidence: Bilingual {
        en: "Confirmed: an answer carried our request id. The ratio is a lower bound, because \
             nothing was planted: payload ratio is UDP payload received / sent, wire ratio counts \
             IP and UDP headers too. Critical from a payload ratio of 100.",
        ja: "確認済み（confirmed）: こちらの要求 ID を含む応答がありました。値を仕込んでいないため倍率は\
             下限です。payload ratio は UDP ペイロードの受信 / 送信、wire ratio は IP・UDP ヘッダーを\
             含めた値です。payload ratio が 100 以上なら critical です。",
    },
    fix: Bilingual {
        en: "Switch UDP off with -U 0 (the default since 1.5.6) and restart: OPTIONS in \
             /etc/sysconfig/memcached, or a line of /etc/memcached.conf. Until then drop UDP port \
             11211 at the firewall, inbound and as an outbound source port: `nft add rule inet \
             filter input udp dport 11211 drop`.",
        ja: "-U 0（1.5.6 以降の既定）で UDP を無効にして再起動します。/etc/sysconfig/memcached の \
             OPTIONS、または /etc/memcached.conf の 1 行で指定します。それまでの間はファイアウォールで \
             UDP 11211 番を、受信と、送信元ポートとしての送信の両方で遮断します: `nft add rule inet \
             filter input udp dport 11211 drop`",
    },
    references: Bilingual {
        en: "CVE-2018-1000115 https://www.cve.org/CVERecord?id=CVE-2018-1000115\n\
             US-CERT TA14-017A: UDP-Based Amplification Attacks\n\
             JPCERT-AT-2018-0009 https://www.jpcert.or.jp/at/2018/at180009.html",
        ja: "CVE-2018-1000115 https://www.cve.org/CVERecord?id=CVE-2018-1000115\n\
             US-CERT TA14-017A: UDP-Based Amplification Attacks\n\
             JPCERT-AT-2018-0009「memcached のアクセス制御に関する注意喚起」 \
             https://www.jpcert.or.jp/at/2018/at180009.html",
    },
    since: "0.1.0",
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    if context.transport != model::Transport::Udp {
        return None;
    }
    let dialogue = context.exposed()?;
    let strongest = strongest(&dialogue.amplification);
    let mut evidence = Vec::new();
    if let Some(measured) = strongest {
        evidence.push(line(measured));
    }
    evidence.push(Text::new(
        "a lower bound: nothing was planted; with a planted value up to about 51,000 is \
         documented (US-CERT TA14-017A)",
        "値を仕込んでいないため下限。値を仕込んだ場合は約 51,000 倍までの報告がある（US-CERT \
         TA14-017A）",
    ));
    evidence.push(Text::new(
        "CVE-2018-1000115: UDP was on by default from 1.2.7 to 1.5.5",
        "CVE-2018-1000115: 1.2.7 から 1.5.5 までは UDP が既定で有効",
    ));
    let is_critical =
        strongest.is_some_and(|measured| measured.payload_ratio() >= CRITICAL_PAYLOAD_RATIO);
    Some(Fired {
        severity: if is_critical {
            Severity::Critical
        } else {
            Severity::High
        },
        confidence: Confidence::Confirmed,
        evidence,
        fix: fixes::switch_udp_off(context),
    })
}

fn line(measured: &Amplification) -> Text {
    let command = &measured.command;
    let (sent, received) = (measured.request_bytes, measured.reply_bytes);
    let (payload, wire) = (measured.payload_ratio(), measured.wire_ratio());
    let cut_off = if measured.complete {
        Text::same("")
    } else {
        Text::new(
            " (the end of the answer was not seen)",
            "（応答の終わりは未確認）",
        )
    };
    Text::new(
        format!(
            "\"{command}\\r\\n\": {} out, {} back in {}, payload ratio {payload:.1}, wire ratio \
             {wire:.1}{}",
            counted(sent, "byte"),
            counted(received, "byte"),
            counted(measured.datagrams, "datagram"),
            cut_off.en
        ),
        format!(
            "\"{command}\\r\\n\": 送信 {} バイト、受信 {} バイト（データグラム {} 個）、\
             payload ratio {payload:.1}、wire ratio {wire:.1}{}",
            grouped(sent),
            grouped(received),
            grouped(measured.datagrams),
            cut_off.ja
        ),
    )
}

#[cfg(test)]
mod cases {
    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::udp(samples::reflector()),
            || Sample::udp(samples::open()),
        ],
        silent: &[
            || Sample::tcp(samples::reflector()),
            || Sample::udp(samples::honeypot()),
        ],
    };

    fn finding(reply_bytes: u64, complete: bool) -> model::Finding {
        let mut dialogue = samples::reflector();
        dialogue.amplification[1] = Amplification {
            complete,
            ..samples::amplification("stats", 15, reply_bytes)
        };
        let findings = Sample::udp(dialogue).judge().findings;
        findings
            .into_iter()
            .find(|finding| finding.code == RULE.code)
            .unwrap()
    }

    #[test]
    fn the_ratio_decides_how_bad_it_is() {
        assert_eq!(finding(1_031, true).severity, Severity::High);
        assert_eq!(finding(1_499, true).severity, Severity::High);
        assert_eq!(finding(1_500, true).severity, Severity::Critical);
        assert_eq!(finding(2_263, true).severity, Severity::Critical);
    }

    #[test]
    fn the_proof_is_in_bytes() {
        assert_eq!(
            finding(1_031, true).evidence[0].en,
            "\"stats\\r\\n\": 15 bytes out, 1,031 bytes back in 1 datagram, payload ratio 68.7, \
             wire ratio 24.6"
        );
        assert!(
            finding(1_031, false).evidence[0]
                .en
                .ends_with("was not seen)")
        );
    }
}
