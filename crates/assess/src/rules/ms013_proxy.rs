//! MS013: a proxy opens the memcached behind it.

use model::{Confidence, Severity, Text};

use crate::context::Context;
use crate::fixes;
use crate::rule::{Bilingual, Fired, Rule};

pub(crate) const RULE: Rule = Rule {
    code: "MS013",
    name: "open-proxy",
    title: Bilingual {
        en: "a proxy opens the memcached behind it",
        ja: "プロキシが背後の memcached を公開している",
    },
    what: Bilingual {
        en: "What answers looks like nutcracker (twemproxy): it forwards commands to memcached \
             servers behind it and asks for no credentials.",
        ja: "応答の特徴が nutcracker（twemproxy）に一致します。認証なしで、背後の memcached サーバーに\
             コマンドを転送しています。",
    },
    why: Bilingual {
        en: "Closing the ports of the servers behind it is not enough: the proxy reaches them for \
             everybody. A change of their configuration does not help either.",
        ja: "背後のサーバーのポートを閉じるだけでは不十分です。プロキシを通じて誰でも到達できます。背後の\
             サーバーの設定を変えても効果はありません。",
    },
    evidence: Bilingual {
        en: "Likely: it passes a memcached version through and executes `get`, but closes the \
             connection on `stats`, which it does not forward.",
        ja: "可能性が高い（likely）: memcached のバージョンを返し `get` も実行しますが、転送しない \
             `stats` では接続を閉じます。",
    },
    fix: Bilingual {
        en: "In nutcracker.yml let the pool listen where the application runs (`listen: \
             127.0.0.1:11211`, or a unix socket) and restart nutcracker. Then check the servers \
             under `servers:` as well.",
        ja: "nutcracker.yml のプールの待ち受けをアプリケーションと同じマシンに限定し（`listen: \
             127.0.0.1:11211` または UNIX ソケット）、nutcracker を再起動します。`servers:` にある\
             サーバーも確認してください。",
    },
    references: Bilingual {
        en: "https://github.com/twitter/twemproxy",
        ja: "https://github.com/twitter/twemproxy",
    },
    since: "0.1.0",
    flaw: None,
    check,
    #[cfg(test)]
    cases: cases::CASES,
};

fn check(context: &Context<'_>) -> Option<Fired> {
    if !context.is_proxy() {
        return None;
    }
    let version = context.version_text().unwrap_or_default();
    Some(Fired {
        severity: Severity::Medium,
        confidence: Confidence::Likely,
        evidence: vec![
            Text::new(
                format!("version: {version}, passed through from a server behind it"),
                format!("version: {version}（背後のサーバーの応答を転送したもの）"),
            ),
            Text::new(
                "get of a random key was executed, but stats closed the connection",
                "ランダムなキーの get は実行されたが、stats では接続が閉じられた",
            ),
        ],
        fix: fixes::narrow_the_proxy(context),
    })
}

#[cfg(test)]
mod cases {
    use model::{Answer, Dialogue};

    use crate::rule::Cases;
    use crate::samples::{self, Sample};

    pub(super) const CASES: Cases = Cases {
        fires: &[|| Sample::tcp(samples::proxy())],
        silent: &[
            || Sample::tcp(samples::open()),
            || {
                Sample::tcp(Dialogue {
                    stats: Answer::Silent,
                    ..samples::proxy()
                })
            },
            || {
                Sample::tcp(Dialogue {
                    random_key: Answer::NotAsked,
                    ..samples::proxy()
                })
            },
        ],
    };
}
