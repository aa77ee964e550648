//! The changes that findings ask for, worded for the server at hand.
//!
//! A running memcached cannot close or move its listeners: each of these needs a restart, which
//! empties the cache. That is said, because sessions may live there.

use model::Text;

use crate::UpstreamVersion;
use crate::context::Context;

/// The oldest release for which a comma-separated list after `-l` is known to work.
const FIRST_WITH_ADDRESS_LIST: UpstreamVersion = UpstreamVersion::new(1, 4, 15);
/// The first release that opens no UDP port unless told to.
const FIRST_WITHOUT_UDP: UpstreamVersion = UpstreamVersion::new(1, 5, 6);

/// Listen on loopback only, over TCP and not over UDP.
pub(crate) fn listen_on_loopback(context: &Context<'_>) -> Text {
    if is_foreign(context) {
        return narrow_by_firewall(context);
    }
    let knows_lists = context
        .version()
        .is_none_or(|version| version >= FIRST_WITH_ADDRESS_LIST);
    let addresses = if knows_lists {
        "127.0.0.1,::1"
    } else {
        "127.0.0.1"
    };
    let debian = Text::new(
        "the lines \"-l 127.0.0.1\" and \"-U 0\" in /etc/memcached.conf",
        "/etc/memcached.conf に \"-l 127.0.0.1\" と \"-U 0\" の行を書く",
    );
    let place = if is_debian(context) {
        debian
    } else {
        Text::new(
            format!(
                "OPTIONS=\"-l {addresses} -U 0\" in /etc/sysconfig/memcached (Debian, Ubuntu: {})",
                debian.en
            ),
            format!(
                "/etc/sysconfig/memcached に OPTIONS=\"-l {addresses} -U 0\" と書く\
                 （Debian・Ubuntu: {}）",
                debian.ja
            ),
        )
    };
    let port = context.host.port;
    Text::new(
        format!(
            "listen on loopback only: {}, then `systemctl restart memcached` (empties the cache); \
             in Docker publish no port, or only 127.0.0.1:{port}:11211",
            place.en
        ),
        format!(
            "ループバックだけで待ち受ける: {}。その後 `systemctl restart memcached`\
             （キャッシュは空になる）。Docker ではポートを公開しないか、127.0.0.1:{port}:11211 だけに\
             する",
            place.ja
        ),
    )
}

/// Let nutcracker (twemproxy) listen on loopback only.
pub(crate) fn narrow_the_proxy(context: &Context<'_>) -> Text {
    let port = context.host.port;
    Text::new(
        format!(
            "in nutcracker.yml set `listen: 127.0.0.1:{port}` and restart nutcracker; then check \
             the servers behind it"
        ),
        format!(
            "nutcracker.yml に `listen: 127.0.0.1:{port}` と書いて nutcracker を再起動する。続けて\
             背後のサーバーも確認する"
        ),
    )
}

/// Let only the application's users open the unix socket.
pub(crate) fn narrow_the_socket() -> Text {
    Text::new(
        "let only the application open the socket: start memcached with -a 0660, in a directory \
         that only the application's group may enter",
        "ソケットを開けるのをアプリケーションだけにする: memcached を -a 0660 付きで起動し、アプリ\
         ケーションのグループだけが入れるディレクトリに置く",
    )
}

/// For servers of other projects, whose configuration is not known here.
fn narrow_by_firewall(context: &Context<'_>) -> Text {
    let rule = format!(
        "nft add rule inet filter input tcp dport {} ip saddr != {{ 127.0.0.1, 10.0.0.0/24 }} drop",
        context.host.port
    );
    Text::new(
        format!(
            "let it listen on loopback in its own configuration, or let the firewall admit only \
             its clients (here 10.0.0.0/24): `{rule}`"
        ),
        format!(
            "サーバー自身の設定でループバックだけで待ち受けるようにするか、利用するクライアント（例: \
             10.0.0.0/24）だけをファイアウォールで許可する: `{rule}`"
        ),
    )
}

/// Switch UDP off.
pub(crate) fn switch_udp_off(context: &Context<'_>) -> Text {
    let option = add_option(context, "-U 0");
    let port = context.host.port;
    let remark = match context.version() {
        Some(version) if version >= FIRST_WITHOUT_UDP => Text::new(
            " instead of the -U that switches it on (off is the default since 1.5.6)",
            "。UDP を有効にしている -U は取り除く（1.5.6 以降の既定は無効）",
        ),
        _ => Text::same(""),
    };
    Text::new(
        format!(
            "switch UDP off: {}{}; until then drop it: `nft add rule inet filter input udp dport \
             {port} drop`",
            option.en, remark.en
        ),
        format!(
            "UDP を無効にする: {}{}。それまでの間は `nft add rule inet filter input udp dport \
             {port} drop` で遮断する",
            option.ja, remark.ja
        ),
    )
}

/// Start memcached with one more option.
pub(crate) fn add_option(context: &Context<'_>, option: &str) -> Text {
    if is_debian(context) {
        return Text::new(
            format!(
                "the line \"{option}\" in /etc/memcached.conf, then `systemctl restart memcached` \
                 (empties the cache)"
            ),
            format!(
                "/etc/memcached.conf に \"{option}\" の行を加え、`systemctl restart memcached`\
                 （キャッシュは空になる）"
            ),
        );
    }
    Text::new(
        format!(
            "add \"{option}\" to OPTIONS in /etc/sysconfig/memcached (Debian, Ubuntu: as a line of \
             /etc/memcached.conf; Docker: to the command), then `systemctl restart memcached` \
             (empties the cache)"
        ),
        format!(
            "/etc/sysconfig/memcached の OPTIONS に \"{option}\" を加え（Debian・Ubuntu: \
             /etc/memcached.conf の 1 行として、Docker: 起動コマンドに）、`systemctl restart \
             memcached`（キャッシュは空になる）"
        ),
    )
}

/// Start memcached without an option.
pub(crate) fn remove_option(option: &str) -> Text {
    Text::new(
        format!(
            "remove \"{option}\" from OPTIONS in /etc/sysconfig/memcached (Debian, Ubuntu: from \
             /etc/memcached.conf; Docker: from the command), then `systemctl restart memcached` \
             (empties the cache)"
        ),
        format!(
            "/etc/sysconfig/memcached の OPTIONS から \"{option}\" を取り除き（Debian・Ubuntu: \
             /etc/memcached.conf から、Docker: 起動コマンドから）、`systemctl restart memcached`\
             （キャッシュは空になる）"
        ),
    )
}

/// Whether it gives itself a version that upstream would not print.
fn is_foreign(context: &Context<'_>) -> bool {
    context.version_text().is_some() && context.version().is_none()
}

/// Ubuntu's packages say so in the version string; Debian's do not.
fn is_debian(context: &Context<'_>) -> bool {
    context
        .version_text()
        .is_some_and(|text| text.contains("Ubuntu") || text.contains("Debian"))
}

#[cfg(test)]
mod tests {
    use model::{Answer, Transport};

    use crate::samples::{self, Sample};

    fn fix_of(version: &str, code: &str, transport: Transport) -> String {
        let mut dialogue = samples::open();
        dialogue.version = Answer::Given(version.into());
        let sample = match transport {
            Transport::Udp => Sample::udp(dialogue),
            Transport::Tcp | Transport::Unix => Sample::tcp(dialogue),
        };
        let findings = sample.judge().findings;
        findings
            .into_iter()
            .find(|finding| finding.code == code)
            .unwrap()
            .fix
            .en
    }

    #[test]
    fn the_fix_fits_the_version() {
        let cases = [
            (
                "1.4.15",
                "MS001",
                Transport::Tcp,
                "OPTIONS=\"-l 127.0.0.1,::1 -U 0\"",
                true,
            ),
            (
                "1.4.4",
                "MS001",
                Transport::Tcp,
                "OPTIONS=\"-l 127.0.0.1 -U 0\"",
                true,
            ),
            (
                "1.4.14 (Ubuntu)",
                "MS001",
                Transport::Tcp,
                "/etc/memcached.conf",
                true,
            ),
            (
                "1.4.14 (Ubuntu)",
                "MS001",
                Transport::Tcp,
                "sysconfig",
                false,
            ),
            (
                "1.6.18",
                "MS001",
                Transport::Tcp,
                "127.0.0.1:11211:11211",
                true,
            ),
            (
                "yrmcds version 1.1.9",
                "MS001",
                Transport::Tcp,
                "sysconfig",
                false,
            ),
            (
                "yrmcds version 1.1.9",
                "MS001",
                Transport::Tcp,
                "tcp dport 11211",
                true,
            ),
            ("1.4.15", "MS002", Transport::Udp, "-U 0", true),
            (
                "1.4.15",
                "MS002",
                Transport::Udp,
                "default since 1.5.6",
                false,
            ),
            (
                "1.6.18",
                "MS002",
                Transport::Udp,
                "default since 1.5.6",
                true,
            ),
        ];
        for (version, code, transport, part, expected) in cases {
            let fix = fix_of(version, code, transport);
            assert_eq!(fix.contains(part), expected, "{version} {code}: {fix}");
        }
    }
}
