//! MS002: UDP answers anybody, so the server can be made to flood others.

use model::{Amplification, Confidence, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::numbers::{counted, grouped, strongest};
use crate::potential::Potential;
use crate::rule::{Bilingual, Fired, Rule};

/// From this payload ratio on it is critical: every server since 1.5.0 reaches it with a plain
/// `stats`, and everything that reflects that strongly is worth an attacker's while.
const CRITICAL_PAYLOAD_RATIO: f64 = 100.0;
/// The same for what a value would bring that is stored or could be: the lower end of what US-CERT
/// TA14-017A says of memcached.
const CRITICAL_POTENTIAL_RATIO: f64 = 10_000.0;

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
             IP and UDP headers too. Where settings or item classes were read, what the largest \
             value could bring is computed from them, and said to be computed. Critical from a \
             measured payload ratio of 100, or a computed one of 10,000.",
        ja: "確認済み（confirmed）: こちらの要求 ID を含む応答がありました。値を仕込んでいないため倍率は\
             下限です。payload ratio は UDP ペイロードの受信 / 送信、wire ratio は IP・UDP ヘッダーを\
             含めた値です。設定やアイテムのクラスを取得できた場合は、最大の値で得られる倍率を計算し、計算値と\
             明記します。payload ratio の実測値が 100 以上、または計算値が 10,000 以上なら critical です。",
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
    flaw: None,
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
    let measured_ratio = strongest.map_or(0.0, Amplification::payload_ratio);
    let potentials = potentials(context, measured_ratio);
    evidence.extend(potentials.iter().map(|(_, line)| line.clone()));
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
    let is_critical = strongest
        .is_some_and(|measured| measured.payload_ratio() >= CRITICAL_PAYLOAD_RATIO)
        || potentials
            .iter()
            .any(|(potential, _)| potential.payload_ratio >= CRITICAL_POTENTIAL_RATIO);
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

/// What one value could bring, by what was read over either transport: one that is stored, and the
/// largest that could be; only what is more than was measured.
fn potentials(context: &Context<'_>, measured_ratio: f64) -> Vec<(Potential, Text)> {
    let settings = context.settings();
    let table = settings.map(|settings| settings.table);
    let stored = context.items();
    let stored = stored.and_then(|items| Potential::stored(items, table));
    let stored = stored.map(|potential| {
        let (size, ratio) = (grouped(potential.value_bytes), potential.in_words());
        let line = Text::new(
            format!(
                "stats items: the largest class in use holds items of some {size} bytes; one of \
                 them would make a payload ratio of {ratio} (computed)"
            ),
            format!(
                "stats items: 使用中の最大クラスのアイテムは約 {size} バイト。1 つで payload ratio \
                 {ratio}（計算値）"
            ),
        );
        (potential, line)
    });
    let planted = table.and_then(Potential::planted);
    let planted = planted.map(|potential| {
        let (size, ratio) = (grouped(potential.value_bytes), potential.in_words());
        let line = Text::new(
            format!(
                "item_size_max {size} bytes: one planted value would make a payload ratio of up to \
                 {ratio} (computed)"
            ),
            format!(
                "item_size_max {size} バイト: 値を 1 つ仕込めば payload ratio は最大 {ratio}（計算値）"
            ),
        );
        (potential, line)
    });
    let is_more = |(potential, _): &(Potential, Text)| potential.payload_ratio > measured_ratio;
    stored.into_iter().chain(planted).filter(is_more).collect()
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
    fn what_could_be_planted_decides_too() {
        let with_limit = |bytes: &str| {
            let dialogue = samples::with_setting(samples::reflector(), "item_size_max", bytes);
            let findings = Sample::udp(dialogue).judge().findings;
            findings
                .into_iter()
                .find(|finding| finding.code == RULE.code)
                .unwrap()
        };
        assert_eq!(with_limit("1048576").severity, Severity::Critical);
        assert_eq!(with_limit("65536").severity, Severity::High);
        assert!(with_limit("65536").evidence[1].en.ends_with("(computed)"));
    }

    #[test]
    fn what_is_stored_is_told_where_it_is_more_than_was_measured() {
        let told = |requested: &str| {
            let mut dialogue = samples::reflector();
            samples::set(&mut dialogue.items, "items:5:number", "10");
            samples::set(&mut dialogue.items, "items:5:mem_requested", requested);
            let findings = Sample::udp(dialogue).judge().findings;
            let finding = findings.iter().find(|finding| finding.code == RULE.code);
            finding.unwrap().evidence[1].en.clone()
        };
        assert!(told("5000").starts_with("a lower bound"));
        let large = told("5000000");
        assert!(large.contains("500,000 bytes"), "{large}");
        assert!(large.ends_with("33,527 (computed)"), "{large}");
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
