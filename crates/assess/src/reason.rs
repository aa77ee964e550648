//! Why the verdict is what it is, in one sentence for a tired administrator.
//!
//! What a server said stands here verbatim; escaping is done where a text is printed.

use model::{
    Auth, Contact, Dialogue, Ending, Evidence, IcmpError, Impression, Protocol, Refusal, Text,
    Transport, Verdict,
};

use crate::context::Context;
use crate::decoy::{self, Contradiction};
use crate::numbers::{commands, counted, grouped};

/// The reason for the verdict of a context.
pub(crate) fn of(context: &Context<'_>) -> Text {
    let Some(evidence) = context.host.evidence(context.transport) else {
        return Text::new("not asked", "問い合わせていない");
    };
    match &evidence.contact {
        Contact::Refused(refusal) => of_refusal(*refusal),
        Contact::Prohibited(icmp) => of_prohibition(*icmp, context.transport),
        Contact::Unreachable(icmp) => of_unreachable(*icmp, context.transport),
        Contact::Silent => of_silence(context, evidence),
        Contact::Unfinished => Text::new(
            "the run ended before an answer was known",
            "応答を確かめる前に実行が終了した",
        ),
        Contact::Failed(words) => Text::new(
            format!("this machine could not ask: {words}"),
            format!("このマシンから問い合わせできなかった: {words}"),
        ),
        Contact::Answered => match evidence.dialogue.as_deref() {
            Some(dialogue) => of_dialogue(context, dialogue),
            None => Text::new(
                "accepted, but the run ended before a word was exchanged",
                "接続は受け付けたが、対話の前に実行が終了した",
            ),
        },
    }
}

fn of_refusal(refusal: Refusal) -> Text {
    match refusal {
        Refusal::Reset => Text::new("refused: TCP RST", "拒否: TCP RST"),
        Refusal::PortUnreachable(icmp) => {
            let from = sender(icmp);
            Text::new(
                format!("refused: ICMP port unreachable{}", from.en),
                format!("拒否: ICMP ポート到達不能{}", from.ja),
            )
        }
        Refusal::NoListener => Text::new(
            "refused: nobody listens on the unix socket",
            "拒否: UNIX ソケットを待ち受けているプロセスがない",
        ),
    }
}

fn of_prohibition(icmp: Option<IcmpError>, transport: Transport) -> Text {
    match (icmp, transport) {
        (Some(icmp), _) => {
            let from = sender(icmp);
            let (kind, code) = (icmp.kind, icmp.code);
            Text::new(
                format!(
                    "a filter forbids it: ICMP type {kind} code {code}{}",
                    from.en
                ),
                format!(
                    "フィルタが禁止している: ICMP タイプ {kind} コード {code}{}",
                    from.ja
                ),
            )
        }
        (None, Transport::Unix) => Text::new(
            "permission to the unix socket denied",
            "UNIX ソケットへのアクセス権がない",
        ),
        (None, Transport::Tcp | Transport::Udp) => Text::new(
            "forbidden by this machine's own firewall",
            "このマシン自身のファイアウォールが禁止している",
        ),
    }
}

fn of_unreachable(icmp: Option<IcmpError>, transport: Transport) -> Text {
    match icmp {
        None if transport == Transport::Unix => {
            Text::new("no such socket", "そのようなソケットはない")
        }
        Some(icmp) => {
            let from = sender(icmp);
            let (kind, code) = (icmp.kind, icmp.code);
            Text::new(
                format!(
                    "no such host: ICMP type {kind} code {code} (unreachable){}",
                    from.en
                ),
                format!(
                    "ホストがない: ICMP タイプ {kind} コード {code}（到達不能）{}",
                    from.ja
                ),
            )
        }
        None => Text::new(
            "no such host: no neighbour answered (ARP or NDP), or there is no route from here",
            "ホストがない: ARP・NDP に応答がないか、ここからの経路がない",
        ),
    }
}

fn sender(icmp: IcmpError) -> Text {
    match icmp.from {
        Some(address) => Text::new(format!(" from {address}"), format!("（送信元 {address}）")),
        None => Text::same(""),
    }
}

fn of_silence(context: &Context<'_>, evidence: &Evidence) -> Text {
    let attempts = u64::from(evidence.attempts);
    match context.transport {
        Transport::Tcp => Text::new(
            format!(
                "no answer to {}: filtered",
                counted(attempts, "connection attempt")
            ),
            format!("接続要求（SYN）{attempts} 回に応答なし: フィルタされている"),
        ),
        Transport::Unix => Text::new(
            "the unix socket exists, but did not accept a connection in time",
            "UNIX ソケットはあるが、時間内に接続を受け付けなかった",
        ),
        Transport::Udp => of_udp_silence(context, attempts),
    }
}

fn of_udp_silence(context: &Context<'_>, attempts: u64) -> Text {
    if context.verdict == Verdict::Closed {
        return Text::new(
            "switched off by its own settings (udpport 0, read over TCP)",
            "サーバー自身の設定で無効になっている（TCP で取得した udpport が 0）",
        );
    }
    let probes = counted(attempts, "probe");
    match context.host.udp_port_by_settings() {
        Some(port) if port == u64::from(context.host.port) => Text::new(
            format!(
                "no answer to {probes}, although its settings (read over TCP) say udpport {port}: \
                 filtered or lost; `ss -lun` on the host settles it"
            ),
            format!(
                "プローブ {attempts} 回に応答なし。ただし TCP で取得した設定は udpport {port}: \
                 フィルタまたは損失。ホスト上の `ss -lun` で確定できる"
            ),
        ),
        Some(port) => Text::new(
            format!(
                "no answer to {probes}: its settings (read over TCP) say udpport {port}, so ask \
                 that port"
            ),
            format!(
                "プローブ {attempts} 回に応答なし: TCP で取得した設定は udpport {port} なので、\
                 そのポートを調べること"
            ),
        ),
        None => Text::new(
            format!(
                "no answer to {probes}: filtered, lost, or off; `stats settings` over TCP or \
                 `ss -lun` on the host settles it"
            ),
            format!(
                "プローブ {attempts} 回に応答なし: フィルタ、損失、無効のいずれか。TCP の \
                 `stats settings` か、ホスト上の `ss -lun` で確定できる"
            ),
        ),
    }
}

fn of_dialogue(context: &Context<'_>, dialogue: &Dialogue) -> Text {
    match context.verdict {
        Verdict::Exposed => of_exposed(context, dialogue),
        Verdict::Protected => of_protected(context, dialogue),
        Verdict::Decoy => decoy::contradiction(dialogue).map_or_else(
            || Text::new("contradicts itself", "応答が矛盾している"),
            |contradiction| of_contradiction(context, contradiction),
        ),
        Verdict::Unfinished => of_cut_off(dialogue),
        Verdict::Other
        | Verdict::Closed
        | Verdict::Filtered
        | Verdict::Silent
        | Verdict::Absent => of_other(context, dialogue),
    }
}

fn of_exposed(context: &Context<'_>, dialogue: &Dialogue) -> Text {
    let list = commands(&dialogue.executed);
    let tls = match &dialogue.tls {
        Some(facts) if facts.version.is_empty() => Text::new(" through TLS", "TLS 越しに"),
        Some(facts) => Text::new(
            format!(" through TLS ({})", facts.version),
            format!("TLS（{}）越しに", facts.version),
        ),
        None => Text::same(""),
    };
    let mut en = format!(
        "executes commands without credentials{} ({})",
        tls.en, list.en
    );
    let mut ja = format!("{}認証なしでコマンドを実行する（{}）", tls.ja, list.ja);

    let proxied = context.is_proxy();
    let version = context.version_text();
    if proxied {
        let behind = version.unwrap_or_default();
        en = format!("looks like a proxy (nutcracker) in front of memcached {behind}; {en}");
        ja = format!("memcached {behind} の前段のプロキシ（nutcracker）とみられ、{ja}");
    }
    let items = context.statistic("curr_items");
    let facts_en = [
        version.filter(|_| !proxied).map(str::to_owned),
        items.map(|items| counted(items, "item")),
    ];
    let facts_ja = [
        version.filter(|_| !proxied).map(str::to_owned),
        items.map(|items| format!("アイテム {} 個", grouped(items))),
    ];
    append(
        &mut en,
        ": ",
        &facts_en
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
    );
    append(
        &mut ja,
        ": ",
        &facts_ja
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("、"),
    );

    if let Some(source) = dialogue.answered_from {
        en.push_str(&format!(
            "; the answer came from {source}, not from where it was asked"
        ));
        ja.push_str(&format!(
            "。応答は問い合わせ先とは異なる {source} から届いた"
        ));
    }
    if decoy::is_several_servers(dialogue) {
        en.push_str("; several servers share the address (a load balancer)");
        ja.push_str("。複数のサーバーが 1 つのアドレスを共有している（ロードバランサー）");
    }
    Text::new(en, ja)
}

fn append(sentence: &mut String, separator: &str, tail: &str) {
    if !tail.is_empty() {
        sentence.push_str(separator);
        sentence.push_str(tail);
    }
}

fn of_protected(context: &Context<'_>, dialogue: &Dialogue) -> Text {
    let (mut en, mut ja) = match &dialogue.auth {
        Auth::Sasl(mechanisms) if mechanisms.is_empty() => (
            "demands SASL authentication".to_owned(),
            "SASL 認証を要求する".to_owned(),
        ),
        Auth::Sasl(mechanisms) => (
            format!("demands SASL authentication ({})", mechanisms.join(", ")),
            format!("SASL 認証を要求する（{}）", mechanisms.join("、")),
        ),
        Auth::TlsClientCertificate => (
            "demands a TLS client certificate; what is behind it was not seen".to_owned(),
            "TLS クライアント証明書を要求する。その先のサービスは確認していない".to_owned(),
        ),
        Auth::Ascii | Auth::Unknown | Auth::None => (
            "demands a user and password (ASCII authentication)".to_owned(),
            "ユーザー名とパスワードを要求する（ASCII 認証）".to_owned(),
        ),
    };
    if let Some(version) = dialogue.version.value() {
        append(&mut en, ": ", version);
        append(&mut ja, ": ", version);
    }
    if context.is_tls() && dialogue.auth != Auth::TlsClientCertificate {
        en.push_str("; through TLS");
        ja.push_str("。TLS を使用");
    }
    Text::new(en, ja)
}

/// Why it is a decoy; the finding MS011 says the same.
pub(crate) fn of_contradiction(context: &Context<'_>, contradiction: Contradiction) -> Text {
    match contradiction {
        Contradiction::RandomKeyHit => Text::new(
            "contradicts itself: it returned a value for a random key that nobody can have stored",
            "矛盾がある: 誰も保存していないはずのランダムなキーに値を返した",
        ),
        Contradiction::PidMoved { first, second } => Text::new(
            format!("contradicts itself: its pid was {first}, and {second} a moment later"),
            format!("矛盾がある: pid が {first} から直後に {second} に変わった"),
        ),
        Contradiction::StartTimeMoved {
            first_unix_s,
            second_unix_s,
        } => {
            let seconds = grouped(first_unix_s.abs_diff(second_unix_s));
            Text::new(
                format!(
                    "contradicts itself: its start time (time - uptime) moved by {seconds} s \
                     between two asks"
                ),
                format!(
                    "矛盾がある: 起動時刻（time - uptime）が 2 回の問い合わせの間に {seconds} 秒\
                     ずれた"
                ),
            )
        }
        Contradiction::LacksMetaNoop(version) => {
            let claimed = context
                .dialogue()
                .and_then(|dialogue| dialogue.version.value().cloned())
                .unwrap_or_else(|| version.to_string());
            Text::new(
                format!(
                    "contradicts itself: it claims version {claimed} and does not know `mn`, \
                     which every server since 1.6.0 does"
                ),
                format!(
                    "矛盾がある: バージョン {claimed} を名乗りながら、1.6.0 以降のすべてのサーバーに\
                     ある `mn` を知らない"
                ),
            )
        }
    }
}

fn of_cut_off(dialogue: &Dialogue) -> Text {
    let cause = match dialogue.ending {
        Ending::Stopped => Text::new("the run was stopped", "実行が中断された"),
        Ending::Complete | Ending::Deadline | Ending::Sampled => {
            Text::new("the time for one endpoint was up", "制限時間に達した")
        }
    };
    match (dialogue.protocol, dialogue.version.value()) {
        (Protocol::Unknown, None) => Text::new(
            format!("accepted, but {} before anything was understood", cause.en),
            format!("接続は受け付けたが、何も判明しないうちに{}", cause.ja),
        ),
        (protocol, version) => {
            let (protocol, version) = (protocol.as_str(), spaced(version));
            Text::new(
                format!(
                    "speaks memcached ({protocol}{version}), but {} then",
                    cause.en
                ),
                format!(
                    "memcached として応答したが（{protocol}{version}）、そこで{}",
                    cause.ja
                ),
            )
        }
    }
}

fn spaced(version: Option<&String>) -> String {
    version
        .map(|version| format!(", {version}"))
        .unwrap_or_default()
}

fn of_other(context: &Context<'_>, dialogue: &Dialogue) -> Text {
    if let Some(impression) = &dialogue.impression {
        let looked_like = of_impression(impression);
        if dialogue.ending == Ending::Sampled {
            return Text::new(
                format!(
                    "its network accepts every connection; sampled: {}",
                    looked_like.en
                ),
                format!(
                    "ネットワーク全体がすべての接続を受け付ける。抜き取り結果: {}",
                    looked_like.ja
                ),
            );
        }
        return Text::new(
            format!("not memcached: {}", looked_like.en),
            format!("memcached ではない: {}", looked_like.ja),
        );
    }
    if dialogue.ending == Ending::Sampled {
        return Text::new(
            "its network accepts every connection; sampled, and no memcached answered",
            "ネットワーク全体がすべての接続を受け付ける。抜き取りでは memcached の応答なし",
        );
    }
    if dialogue.protocol == Protocol::Unknown && dialogue.version.value().is_none() {
        let transport = context.transport.as_str().to_uppercase();
        return Text::new(
            format!("something answers on {transport}, but not as memcached"),
            format!("{transport} で応答はあるが、memcached ではない"),
        );
    }
    let (protocol, version) = (dialogue.protocol.as_str(), spaced(dialogue.version.value()));
    Text::new(
        format!(
            "answers like memcached ({protocol}{version}), but executed nothing and asked for no \
             credentials"
        ),
        format!(
            "memcached のように応答したが（{protocol}{version}）、コマンドの実行も認証の要求も\
             なかった"
        ),
    )
}

fn of_impression(impression: &Impression) -> Text {
    match impression {
        Impression::Mute => Text::new(
            "it accepts and never sends a byte",
            "接続を受け付けるが、1 バイトも送ってこない",
        ),
        Impression::Reset => Text::new(
            "it accepts and resets without a byte",
            "接続を受け付けるが、1 バイトも送らずにリセットする",
        ),
        Impression::Closed => Text::new(
            "it accepts and closes without a byte",
            "接続を受け付けるが、1 バイトも送らずに閉じる",
        ),
        Impression::Echo => Text::new(
            "it sends our own bytes back",
            "送ったバイト列をそのまま返してくる",
        ),
        Impression::Http(line) => Text::new(
            format!("a web server ({line})"),
            format!("Web サーバー（{line}）"),
        ),
        Impression::Ssh(banner) => Text::new(
            format!("an SSH server ({banner})"),
            format!("SSH サーバー（{banner}）"),
        ),
        Impression::Redis(line) => Text::new(
            format!("Redis or a relative ({line})"),
            format!("Redis またはその派生（{line}）"),
        ),
        Impression::InsideTls(inner) => {
            let inner = of_impression(inner);
            Text::new(
                format!("inside TLS, {}", inner.en),
                format!("TLS の内側: {}", inner.ja),
            )
        }
        Impression::TlsFailure(words) => Text::new(
            format!("TLS whose handshake failed ({words})"),
            format!("TLS のハンドシェイクに失敗（{words}）"),
        ),
        Impression::Text(line) => Text::new(
            format!("it sends text ({line})"),
            format!("テキストを送ってくる（{line}）"),
        ),
        Impression::Bytes(hex) => Text::new(
            format!("it sends bytes that are no text ({hex})"),
            format!("テキストではないバイト列を送ってくる（{hex}）"),
        ),
        Impression::ForeignDatagram(words) => Text::new(
            format!("it sends datagrams that do not carry our request id ({words})"),
            format!("こちらの要求 ID を含まないデータグラムを送ってくる（{words}）"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use model::{Answer, Language};

    use super::*;
    use crate::samples::{self, Sample};

    fn check(sample: Sample, en: &str, ja: &str) {
        let reason = sample.judge().reason;
        assert_eq!(reason.in_language(Language::English), en);
        assert_eq!(reason.in_language(Language::Japanese), ja);
    }

    fn icmp(kind: u8, code: u8) -> IcmpError {
        IcmpError {
            from: Some("192.0.2.254".parse().unwrap()),
            kind,
            code,
        }
    }

    #[test]
    fn an_exposed_server_is_named_with_what_it_holds() {
        check(
            Sample::tcp(samples::open()),
            "executes commands without credentials (version, stats): 1.6.18, 8,123 items",
            "認証なしでコマンドを実行する（version、stats）: 1.6.18、アイテム 8,123 個",
        );
        check(
            Sample::tcp(samples::open_through_tls()),
            "executes commands without credentials through TLS (TLSv1.3) (version, stats): \
             1.6.18, 8,123 items",
            "TLS（TLSv1.3）越しに認証なしでコマンドを実行する（version、stats）: 1.6.18、\
             アイテム 8,123 個",
        );
        check(
            Sample::tcp(samples::proxy()),
            "looks like a proxy (nutcracker) in front of memcached 1.6.18; executes commands \
             without credentials (version, get of a random key)",
            "memcached 1.6.18 の前段のプロキシ（nutcracker）とみられ、認証なしでコマンドを実行する\
             （version、ランダムなキーの get）",
        );
    }

    #[test]
    fn an_odd_source_and_a_balancer_are_named() {
        let mut dialogue = samples::open();
        dialogue.answered_from = Some("192.0.2.7:40000".parse().unwrap());
        check(
            Sample::udp(dialogue),
            "executes commands without credentials (version, stats): 1.6.18, 8,123 items; the \
             answer came from 192.0.2.7:40000, not from where it was asked",
            "認証なしでコマンドを実行する（version、stats）: 1.6.18、アイテム 8,123 個。応答は\
             問い合わせ先とは異なる 192.0.2.7:40000 から届いた",
        );
        check(
            Sample::tcp(samples::load_balanced()),
            "executes commands without credentials (version, stats): 1.6.18; several servers \
             share the address (a load balancer)",
            "認証なしでコマンドを実行する（version、stats）: 1.6.18。複数のサーバーが 1 つの\
             アドレスを共有している（ロードバランサー）",
        );
    }

    #[test]
    fn contacts_say_what_came_back() {
        let reset = Contact::Refused(Refusal::Reset);
        check(
            Sample::contact(Transport::Tcp, reset),
            "refused: TCP RST",
            "拒否: TCP RST",
        );
        check(
            Sample::contact(
                Transport::Udp,
                Contact::Refused(Refusal::PortUnreachable(icmp(3, 3))),
            ),
            "refused: ICMP port unreachable from 192.0.2.254",
            "拒否: ICMP ポート到達不能（送信元 192.0.2.254）",
        );
        check(
            Sample::contact(Transport::Tcp, Contact::Silent),
            "no answer to 4 connection attempts: filtered",
            "接続要求（SYN）4 回に応答なし: フィルタされている",
        );
        check(
            Sample::contact(Transport::Tcp, Contact::Prohibited(Some(icmp(3, 13)))),
            "a filter forbids it: ICMP type 3 code 13 from 192.0.2.254",
            "フィルタが禁止している: ICMP タイプ 3 コード 13（送信元 192.0.2.254）",
        );
    }

    #[test]
    fn silent_udp_says_how_to_settle_it() {
        let silent = || Sample::contact(Transport::Udp, Contact::Silent);
        let with_port = |port: &str| {
            let mut dialogue = samples::open();
            samples::set(&mut dialogue.settings, "udpport", port);
            silent().with_tcp(dialogue)
        };
        check(
            silent(),
            "no answer to 4 probes: filtered, lost, or off; `stats settings` over TCP or \
             `ss -lun` on the host settles it",
            "プローブ 4 回に応答なし: フィルタ、損失、無効のいずれか。TCP の `stats settings` か、\
             ホスト上の `ss -lun` で確定できる",
        );
        check(
            with_port("0"),
            "switched off by its own settings (udpport 0, read over TCP)",
            "サーバー自身の設定で無効になっている（TCP で取得した udpport が 0）",
        );
        check(
            with_port("11211"),
            "no answer to 4 probes, although its settings (read over TCP) say udpport 11211: \
             filtered or lost; `ss -lun` on the host settles it",
            "プローブ 4 回に応答なし。ただし TCP で取得した設定は udpport 11211: フィルタまたは\
             損失。ホスト上の `ss -lun` で確定できる",
        );
        check(
            with_port("11311"),
            "no answer to 4 probes: its settings (read over TCP) say udpport 11311, so ask that \
             port",
            "プローブ 4 回に応答なし: TCP で取得した設定は udpport 11311 なので、そのポートを\
             調べること",
        );
    }

    #[test]
    fn protected_names_the_way_in() {
        check(
            Sample::tcp(samples::sasl()),
            "demands SASL authentication (PLAIN, CRAM-MD5): 1.6.45",
            "SASL 認証を要求する（PLAIN、CRAM-MD5）: 1.6.45",
        );
        let certificate = Dialogue {
            auth: Auth::TlsClientCertificate,
            ..Dialogue::default()
        };
        check(
            Sample::tcp(certificate),
            "demands a TLS client certificate; what is behind it was not seen",
            "TLS クライアント証明書を要求する。その先のサービスは確認していない",
        );
    }

    #[test]
    fn other_says_what_it_looked_like() {
        let web = Impression::Http("HTTP/1.1 400 Bad Request".into());
        let looked_like = |impression| Dialogue {
            impression: Some(impression),
            ..<_>::default()
        };
        check(
            Sample::tcp(looked_like(Impression::InsideTls(Box::new(web)))),
            "not memcached: inside TLS, a web server (HTTP/1.1 400 Bad Request)",
            "memcached ではない: TLS の内側: Web サーバー（HTTP/1.1 400 Bad Request）",
        );
        check(
            Sample::tcp(Dialogue {
                ending: Ending::Sampled,
                ..looked_like(Impression::Mute)
            }),
            "its network accepts every connection; sampled: it accepts and never sends a byte",
            "ネットワーク全体がすべての接続を受け付ける。抜き取り結果: 接続を受け付けるが、\
             1 バイトも送ってこない",
        );
    }

    #[test]
    fn what_was_cut_off_keeps_what_was_seen() {
        let cut = Dialogue {
            ending: Ending::Deadline,
            ..Dialogue::default()
        };
        check(
            Sample::tcp(cut.clone()),
            "accepted, but the time for one endpoint was up before anything was understood",
            "接続は受け付けたが、何も判明しないうちに制限時間に達した",
        );
        check(
            Sample::tcp(Dialogue {
                protocol: Protocol::Binary,
                version: Answer::Given("1.6.45".into()),
                ..cut
            }),
            "speaks memcached (binary, 1.6.45), but the time for one endpoint was up then",
            "memcached として応答したが（binary, 1.6.45）、そこで制限時間に達した",
        );
    }
}
