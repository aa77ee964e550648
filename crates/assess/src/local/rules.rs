//! The rules of `audit`: stable codes from MS201 on, and their texts.
//!
//! They judge what a machine says of itself and not what a server answers, so they have a list of
//! their own; when each of them fires is written in `judge`.

use crate::rule::Bilingual;

/// A rule on evidence from the inside.
#[derive(Debug)]
pub struct LocalRule {
    /// The stable code, such as `MS201`. Never reused.
    pub code: &'static str,
    /// A name for people who type.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: Bilingual,
    /// What was found, and what counts as proof.
    pub what: Bilingual,
    /// Why it matters.
    pub why: Bilingual,
    /// How to mend it.
    pub fix: Bilingual,
    /// The release that brought the rule.
    pub since: &'static str,
}

const fn both(en: &'static str, ja: &'static str) -> Bilingual {
    Bilingual { en, ja }
}

const BIND_LOOPBACK: Bilingual = both(
    "listen on loopback only (-l 127.0.0.1,::1) and switch UDP off (-U 0), or let only your own clients through the firewall; then restart",
    "ループバックだけで待ち受け（-l 127.0.0.1,::1）、UDP を無効（-U 0）にするか、ファイアウォールで自分のクライアントだけを許可し、再起動してください",
);

/// Every rule, by code.
static RULES: [LocalRule; 8] = [
    LocalRule {
        code: "MS201",
        name: "runs-reachable",
        title: both(
            "Runs reachable from outside without authentication",
            "認証なしで外部から到達できる状態で動作中",
        ),
        what: both(
            "A memcached of this machine listens on an address that other machines can ask, demands no log-in, and the firewall's rules do not stop a stranger.",
            "この機械の memcached が他の機械から到達できるアドレスで待ち受け、ログインを要求せず、ファイアウォールの規則も第三者を止めません。",
        ),
        why: both(
            "Anybody who reaches the port reads, changes and deletes what is cached.",
            "ポートに到達できる者は誰でも、キャッシュの内容を読み、変更し、削除できます。",
        ),
        fix: BIND_LOOPBACK,
        since: "0.2.0",
    },
    LocalRule {
        code: "MS202",
        name: "udp-reachable",
        title: both("UDP is reachable from outside", "UDP が外部から到達可能"),
        what: both(
            "A memcached of this machine has a UDP socket that other machines can ask. UDP knows no authentication.",
            "この機械の memcached の UDP ソケットに他の機械から到達できます。UDP に認証はありません。",
        ),
        why: both(
            "A request with a forged source makes the server send thousands of times as much to a victim.",
            "送信元を偽った要求により、サーバは数千倍のデータを被害者に送りつけます。",
        ),
        fix: both(
            "switch UDP off: -U 0; then restart",
            "UDP を無効（-U 0）にし、再起動してください",
        ),
        since: "0.2.0",
    },
    LocalRule {
        code: "MS203",
        name: "configured-reachable",
        title: both(
            "Configured to be reachable from outside",
            "外部から到達できる設定",
        ),
        what: both(
            "A configuration starts memcached so that other machines can ask it, without a log-in. It need not run now.",
            "設定は、ログインなしで他の機械から到達できるように memcached を起動します。現在動作しているとは限りません。",
        ),
        why: both(
            "It is open from its next start on.",
            "次に起動した時点で開かれます。",
        ),
        fix: BIND_LOOPBACK,
        since: "0.2.0",
    },
    LocalRule {
        code: "MS204",
        name: "not-restarted",
        title: both(
            "Changed, but not restarted",
            "設定変更後に再起動されていない",
        ),
        what: both(
            "The command line that runs is another one than the configuration says now.",
            "動作中のコマンドラインが、現在の設定と異なります。",
        ),
        why: both(
            "Memcached reads its options at the start only: a mended file closes nothing until then, and a worse one opens it then.",
            "memcached は起動時にのみオプションを読みます。設定を直しても再起動までは閉じません。",
        ),
        fix: both(
            "restart memcached; what is cached is lost",
            "memcached を再起動してください（キャッシュの内容は失われます）",
        ),
        since: "0.2.0",
    },
    LocalRule {
        code: "MS205",
        name: "published-past-the-firewall",
        title: both(
            "A container's port is published to the outside",
            "コンテナのポートが外部に公開されている",
        ),
        what: both(
            "A port of a container of memcached is handed on from every address of this host, or from one that others can ask.",
            "memcached のコンテナのポートが、このホストの全アドレス、または他から到達できるアドレスに公開されています。",
        ),
        why: both(
            "Docker hands such packets on before the rules of ufw, firewalld and the chain INPUT see them; only its chain DOCKER-USER can stop them.",
            "Docker はこのパケットを ufw、firewalld、INPUT チェーンより前に転送します。止められるのは DOCKER-USER チェーンだけです。",
        ),
        fix: both(
            "publish to loopback only (127.0.0.1:11211:11211), or not at all: containers of one network need no published port",
            "ループバックだけに公開（127.0.0.1:11211:11211）するか、公開をやめてください。同じネットワークのコンテナ間に公開は不要です",
        ),
        since: "0.2.0",
    },
    LocalRule {
        code: "MS206",
        name: "only-the-firewall",
        title: both(
            "Only the firewall keeps strangers out",
            "第三者を防ぐのはファイアウォールだけ",
        ),
        what: both(
            "A memcached listens on an address that other machines can ask; rules of the firewall stop them.",
            "memcached が他から到達できるアドレスで待ち受けており、ファイアウォールの規則だけがそれを止めています。",
        ),
        why: both(
            "One reload without the rules opens it.",
            "規則が失われれば、その時点で開かれます。",
        ),
        fix: BIND_LOOPBACK,
        since: "0.2.0",
    },
    LocalRule {
        code: "MS207",
        name: "reachable-with-log-in",
        title: both(
            "Reachable from outside, and demands a log-in",
            "外部から到達可能だがログインを要求",
        ),
        what: both(
            "A memcached that demands a log-in can be asked by other machines.",
            "ログインを要求する memcached に他の機械から到達できます。",
        ),
        why: both(
            "Without TLS the password crosses the network readable.",
            "TLS がなければ、パスワードは平文でネットワークを流れます。",
        ),
        fix: both(
            "add TLS (-Z), or let only your own clients through the firewall",
            "TLS（-Z）を加えるか、ファイアウォールで自分のクライアントだけを許可してください",
        ),
        since: "0.2.0",
    },
    LocalRule {
        code: "MS208",
        name: "sessions-on-an-open-server",
        title: both(
            "PHP sessions are kept on an open server",
            "PHP セッションが開いたサーバに保存されている",
        ),
        what: both(
            "PHP keeps its sessions in a memcached of this machine that strangers can ask.",
            "PHP が、第三者の到達できるこの機械の memcached にセッションを保存しています。",
        ),
        why: both(
            "Who reads a session takes it over; who writes one may run code where it is unserialised.",
            "セッションを読めれば乗っ取れ、書ければ復元時に任意のコードを実行できることがあります。",
        ),
        fix: BIND_LOOPBACK,
        since: "0.2.0",
    },
];

/// Every rule of `audit`, by code.
pub fn local_rules() -> &'static [LocalRule] {
    &RULES
}

/// The rule with this code, which must exist.
pub(super) fn rule(code: &str) -> &'static LocalRule {
    let found = RULES.iter().find(|rule| rule.code == code);
    found.unwrap_or(&RULES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_texts_are_there() {
        let codes: Vec<&str> = RULES.iter().map(|rule| rule.code).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
        for rule in local_rules() {
            for text in [rule.title, rule.what, rule.why, rule.fix] {
                assert!(!text.en.is_empty() && !text.ja.is_empty(), "{}", rule.code);
                assert!(!text.ja.is_ascii(), "{}", rule.code);
            }
        }
    }
}
