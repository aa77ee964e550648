//! MS015: anybody can watch which keys are used.

use model::{Confidence, Protocol, Severity, Text, Transport};

use crate::UpstreamVersion;
use crate::context::Context;
use crate::fixes;
use crate::rule::{Bilingual, Fired, Rule};

/// The first release that knows `watch`.
const FIRST_WITH_WATCH: UpstreamVersion = UpstreamVersion::new(1, 4, 26);
/// The first release with -W, which switches it off.
const FIRST_WITH_SWITCH: UpstreamVersion = UpstreamVersion::new(1, 6, 0);

pub(crate) const RULE: Rule = Rule {
    code: "MS015",
    name: "watch-enabled",
    title: Bilingual {
        en: "anybody can watch which keys are used (watch)",
        ja: "使われているキーを誰でも監視できる（watch）",
    },
    what: Bilingual {
        en: "`watch` streams the server's log to the client, names of keys included, on a server \
             that asks for no credentials.",
        ja: "認証を要求しないサーバーで、`watch` によってキー名を含むログをクライアントに流せます。",
    },
    why: Bilingual {
        en: "Names of keys often hold session ids or user names; with `watch fetchers` they come as \
             they are used. Streams also cost the server memory and time.",
        ja: "キー名にはセッション ID や利用者名が含まれることが多く、`watch fetchers` では使われるたび\
             に流れてきます。また、サーバーのメモリと時間を消費します。",
    },
    evidence: Bilingual {
        en: "Possible: the version has the command (since 1.4.26), and no setting tells whether it \
             was switched off with -W (since 1.6.0). The command is never sent.",
        ja: "可能性あり（possible）: このバージョンにはコマンドがあり（1.4.26 以降）、-W（1.6.0 以降）で\
             無効にされたかどうかは設定からは分かりません。このコマンドは決して送信しません。",
    },
    fix: Bilingual {
        en: "Start memcached with -W (1.6.0 and newer), and close the port to outsiders (MS001).",
        ja: "memcached を -W 付き（1.6.0 以降）で起動し、外部からポートに到達できないようにします\
             （MS001）。",
    },
    references: Bilingual {
        en: "memcached(1), option -W\n\
             protocol.txt, \"Watchers\" https://github.com/memcached/memcached/blob/master/doc/protocol.txt",
        ja: "memcached(1) の -W オプション\n\
             protocol.txt の「Watchers」 \
             https://github.com/memcached/memcached/blob/master/doc/protocol.txt",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

/// `watch` needs a stream, and the ASCII protocol.
fn check(context: &Context<'_>) -> Option<Fired> {
    let dialogue = context.exposed()?;
    let can_ask = context.transport != Transport::Udp && dialogue.protocol == Protocol::Ascii;
    // The version is that of a server behind the proxy, which forwards no `watch`.
    if !can_ask || context.is_proxy() {
        return None;
    }
    let version = context
        .version()
        .filter(|version| *version >= FIRST_WITH_WATCH)?;
    let fix = if version >= FIRST_WITH_SWITCH {
        let option = fixes::add_option(context, "-W");
        Text::new(
            format!("disable watch if no tool of yours needs it: {}", option.en),
            format!("watch を使うツールがなければ無効にする: {}", option.ja),
        )
    } else {
        Text::new(
            "close the port to outsiders (MS001), then upgrade and start memcached with -W (1.6.0 \
             and newer)",
            "まず外部からポートに到達できないようにし（MS001）、更新したうえで -W 付きで起動する（1.6.0 \
             以降）",
        )
    };
    Some(Fired {
        severity: Severity::Low,
        confidence: Confidence::Possible,
        evidence: vec![Text::new(
            format!("version {version} has watch, unless -W switched it off"),
            format!("バージョン {version} には watch がある（-W で無効にしていない場合）"),
        )],
        fix,
    })
}

#[cfg(test)]
mod cases {
    use model::{Answer, Dialogue, Protocol};

    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    fn of_version(version: &str) -> Dialogue {
        Dialogue {
            version: Answer::Given(version.into()),
            ..samples::open()
        }
    }

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::tcp(of_version("1.6.45")),
            || Sample::tcp(of_version("1.4.26")),
            || Sample::unix(of_version("1.6.45")),
        ],
        silent: &[
            || Sample::tcp(of_version("1.4.25")),
            || Sample::tcp(of_version("yrmcds version 1.1.9")),
            || Sample::udp(of_version("1.6.45")),
            || Sample::tcp(samples::sasl()),
            || Sample::tcp(samples::proxy()),
            || {
                Sample::tcp(Dialogue {
                    protocol: Protocol::Binary,
                    ..of_version("1.6.45")
                })
            },
        ],
    };
}
