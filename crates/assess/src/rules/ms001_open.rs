//! MS001: commands are executed without credentials.

use model::{Confidence, Severity, Text, Transport};

use crate::context::Context;
use crate::fixes;
use crate::numbers::{commands, counted, grouped};
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS001",
    name: "open-without-authentication",
    title: Bilingual {
        en: "open without authentication",
        ja: "認証なしで利用できる",
    },
    what: Bilingual {
        en: "The server executes memcached commands for anybody who can reach the port.",
        ja: "ポートに到達できる相手なら誰に対しても memcached のコマンドを実行します。",
    },
    why: Bilingual {
        en: "Whoever can read can take over sessions and copy what is cached. Whoever can read can \
             also write: applications that unserialise cached values (PHP unserialize, Python \
             pickle, Java) may then execute what was planted.",
        ja: "読み出しができれば、セッションの乗っ取りやキャッシュ内容の持ち出しが可能です。読み出せる\
             相手は書き込みもできます。キャッシュの値をデシリアライズするアプリケーション（PHP の \
             unserialize、Python の pickle、Java など）では、仕込まれた値からコードが実行される\
             おそれがあります。",
    },
    evidence: Bilingual {
        en: "Confirmed: at least one command was executed without credentials. Nothing was \
             written, and no stored value was read. Critical if the server holds items, otherwise \
             high.",
        ja: "確認済み（confirmed）: 認証なしで少なくとも 1 つのコマンドが実行されました。書き込みは\
             行わず、保存された値も読み出していません。アイテムがあれば critical、なければ high です。",
    },
    fix: Bilingual {
        en: "If only this machine uses the cache, listen on loopback: RHEL, CentOS, Fedora: \
             OPTIONS=\"-l 127.0.0.1,::1 -U 0\" in /etc/sysconfig/memcached. Debian, Ubuntu: the \
             lines \"-l 127.0.0.1\" and \"-U 0\" in /etc/memcached.conf. FreeBSD: \
             memcached_flags=\"-l 127.0.0.1 -U 0\" in rc.conf. Then restart memcached, which \
             empties the cache.\n\
             Docker: publish no port, or 127.0.0.1:11211:11211; a published port bypasses ufw and \
             the INPUT chain. Do not use -l 127.0.0.1 inside a container. Kubernetes: a ClusterIP \
             service and a NetworkPolicy.\n\
             If other machines use it, bind the internal address and let the firewall admit only \
             them: `nft add rule inet filter input tcp dport 11211 ip saddr != { 127.0.0.1, \
             10.0.0.0/24 } drop`. Authentication exists as -S (SASL, binary protocol) and, since \
             1.5.15, -Y (ASCII).",
        ja: "同じマシンからしか使わない場合はループバックだけで待ち受けます。RHEL・CentOS・Fedora: \
             /etc/sysconfig/memcached に OPTIONS=\"-l 127.0.0.1,::1 -U 0\"。Debian・Ubuntu: \
             /etc/memcached.conf に \"-l 127.0.0.1\" と \"-U 0\" の行。FreeBSD: rc.conf に \
             memcached_flags=\"-l 127.0.0.1 -U 0\"。その後 memcached を再起動します（キャッシュは\
             空になります）。\n\
             Docker: ポートを公開しないか、127.0.0.1:11211:11211 とします。公開したポートは ufw や \
             INPUT チェインを素通りします。コンテナ内で -l 127.0.0.1 を指定してはいけません。\
             Kubernetes: ClusterIP の Service と NetworkPolicy を使います。\n\
             他のマシンから使う場合は内部アドレスで待ち受け、使う相手だけをファイアウォールで許可\
             します: `nft add rule inet filter input tcp dport 11211 ip saddr != { 127.0.0.1, \
             10.0.0.0/24 } drop`。認証機能には -S（SASL、バイナリプロトコル）と、1.5.15 以降の -Y\
             （ASCII）があります。",
    },
    references: Bilingual {
        en: "CWE-306: Missing Authentication for Critical Function\n\
             JPCERT-AT-2018-0009 https://www.jpcert.or.jp/at/2018/at180009.html",
        ja: "CWE-306: 重要な機能に対する認証の欠如\n\
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
    let dialogue = context.exposed()?;
    let executed = commands(&dialogue.executed);
    let mut evidence = vec![Text::new(
        format!("executed without credentials: {}", executed.en),
        format!("認証なしで実行されたコマンド: {}", executed.ja),
    )];
    if let Some(version) = context.version_text() {
        evidence.push(Text::same(format!("version: {version}")));
    }
    let items = context.statistic("curr_items");
    if let Some(items) = items {
        let bytes = context.statistic("bytes");
        evidence.push(Text::new(
            match bytes {
                Some(bytes) => {
                    format!(
                        "readable: {} ({})",
                        counted(items, "item"),
                        counted(bytes, "byte")
                    )
                }
                None => format!("readable: {}", counted(items, "item")),
            },
            match bytes {
                Some(bytes) => format!(
                    "読み出し可能: アイテム {} 個（{} バイト）",
                    grouped(items),
                    grouped(bytes)
                ),
                None => format!("読み出し可能: アイテム {} 個", grouped(items)),
            },
        ));
    }
    let holds_items = items.is_some_and(|items| items > 0);
    Some(Fired {
        severity: if holds_items {
            Severity::Critical
        } else {
            Severity::High
        },
        confidence: Confidence::Confirmed,
        evidence,
        fix: match context.transport {
            Transport::Udp => fixes::switch_udp_off(context),
            Transport::Tcp if context.is_proxy() => fixes::narrow_the_proxy(context),
            Transport::Tcp => fixes::listen_on_loopback(context),
            Transport::Unix => fixes::narrow_the_socket(),
        },
    })
}

#[cfg(test)]
mod cases {
    use super::*;
    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::tcp(samples::open()),
            || Sample::tcp(samples::open_through_tls()),
            || Sample::udp(samples::reflector()),
            || Sample::tcp(samples::proxy()),
        ],
        silent: &[
            || Sample::tcp(samples::sasl()),
            || Sample::tcp(samples::honeypot()),
        ],
    };

    #[test]
    fn stored_items_make_it_critical() {
        let worst = |sample: Sample| sample.judge().findings[0].severity;
        assert_eq!(worst(Sample::tcp(samples::open())), Severity::Critical);
        assert_eq!(
            worst(Sample::tcp(samples::open_and_empty())),
            Severity::High
        );
        assert_eq!(worst(Sample::tcp(samples::proxy())), Severity::High);
    }

    #[test]
    fn evidence_tells_what_was_executed_and_what_is_readable() {
        let findings = Sample::tcp(samples::open()).judge().findings;
        let lines: Vec<&str> = findings[0]
            .evidence
            .iter()
            .map(|line| line.en.as_str())
            .collect();
        let expected = [
            "executed without credentials: version, stats",
            "version: 1.6.18",
            "readable: 8,123 items (1,234,567 bytes)",
        ];
        assert_eq!(lines, expected);
    }
}
