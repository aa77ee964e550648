//! MS003: by its own settings the server listens on all addresses.

use model::{Confidence, Severity, Verdict};

use crate::binding::{self, Reach};
use crate::context::Context;
use crate::fixes;
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS003",
    name: "bound-to-all-addresses",
    title: Bilingual {
        en: "bound to all addresses",
        ja: "すべてのアドレスで待ち受けている",
    },
    what: Bilingual {
        en: "The server's own settings say that it listens on every address of its machine.",
        ja: "サーバー自身の設定によると、マシンのすべてのアドレスで待ち受けています。",
    },
    why: Bilingual {
        en: "Every network that the machine joins, now or later, reaches the cache. Only a \
             firewall stands between, if there is one. This is upstream's default in every version.",
        ja: "マシンが接続するすべてのネットワークから、現在も将来もキャッシュに到達できます。間にある\
             のはファイアウォールだけです（あれば）。これは上流のすべてのバージョンの既定です。",
    },
    evidence: Bilingual {
        en: "Likely: `inter` of `stats settings` is NULL, 0.0.0.0, :: or *. That is what the \
             server says of itself; a firewall or a container's network may still narrow it.",
        ja: "可能性が高い（likely）: `stats settings` の `inter` が NULL、0.0.0.0、::、* のいずれか\
             です。これはサーバーの自己申告であり、ファイアウォールやコンテナのネットワークが範囲を\
             狭めている場合があります。",
    },
    fix: Bilingual {
        en: "Name the addresses with -l: \"-l 127.0.0.1,::1\" if only this machine uses the cache, \
             otherwise the internal address. In a container leave it, and publish no port instead.",
        ja: "-l でアドレスを指定します。同じマシンからしか使わない場合は \"-l 127.0.0.1,::1\"、それ\
             以外は内部アドレスです。コンテナではそのままにし、代わりにポートを公開しないでください。",
    },
    references: Bilingual {
        en: "memcached(1), option -l",
        ja: "memcached(1) の -l オプション",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    if !matches!(context.verdict, Verdict::Exposed | Verdict::Protected) {
        return None;
    }
    let settings = context.settings()?;
    if binding::reach(settings.table) != Reach::Everywhere {
        return None;
    }
    Some(Fired {
        severity: Severity::Medium,
        confidence: Confidence::Likely,
        evidence: vec![settings.line("inter", context.transport)],
        fix: fixes::listen_on_loopback(context),
    })
}

#[cfg(test)]
mod cases {
    use crate::rule::Cases;
    use crate::samples::{self, Sample, with_setting};

    pub(super) const CASES: Cases = Cases {
        fires: &[
            || Sample::tcp(with_setting(samples::open(), "inter", "NULL")),
            || {
                let tcp = with_setting(samples::open(), "inter", "0.0.0.0");
                Sample::udp(samples::reflector()).with_tcp(tcp)
            },
        ],
        silent: &[
            || Sample::tcp(samples::open()),
            || Sample::tcp(samples::proxy()),
            || {
                let everywhere = with_setting(samples::open(), "inter", "NULL");
                Sample::unix(with_setting(
                    everywhere,
                    "domain_socket",
                    "/run/memcached.sock",
                ))
            },
            || Sample::tcp(with_setting(samples::honeypot(), "inter", "NULL")),
        ],
    };
}
