//! `stats conns`: who is connected is personal data, how many and in which state is not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use model::{Language, StatsTable};

use super::classic::peer_word;
use super::grid::{self, Column};
use super::print_nothing;
use super::units::short_duration;
use crate::escape::escape_for_terminal;
use crate::text::page::Page;
use crate::words::{grouped, pick};

/// One socket of the server.
#[derive(Clone, Debug, Default)]
pub(super) struct Socket<'a> {
    /// The server's number of it.
    pub(super) descriptor: &'a str,
    /// The far end; of a listening socket, its own address.
    pub(super) address: Option<&'a str>,
    /// `conn_listening`, `conn_read` …
    pub(super) state: Option<&'a str>,
    /// Seconds since its last command began.
    pub(super) idle_s: Option<u64>,
}

/// Whom a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Peer {
    /// An address.
    Ip(IpAddr),
    /// A process on the same machine.
    Unix,
    /// What the server says of it is no address.
    Unknown,
}

/// The connections of one kind of peer, or of one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    /// Open connections.
    pub(super) connections: u64,
    /// Different addresses.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Of the connection that was silent longest.
    pub(super) idle_s_max: Option<u64>,
}

impl Share {
    fn add(&mut self, peer: Peer, socket: &Socket<'_>) {
        self.connections += 1;
        if let Peer::Ip(ip) = peer {
            self.addresses.insert(ip);
        }
        self.idle_s_max = self.idle_s_max.max(socket.idle_s);
    }
}

impl<'a> Socket<'a> {
    /// Whether it is the server's own door. memcached shows its idle UDP sockets as connections in
    /// `conn_read`.
    pub(super) fn is_listening(&self) -> bool {
        self.state == Some("conn_listening")
            || self
                .address
                .is_some_and(|address| address.starts_with("udp"))
    }

    /// Whose connection it is.
    pub(super) fn peer(&self) -> Peer {
        let Some(address) = self.address else {
            return Peer::Unknown;
        };
        // A client of a unix socket has no name; some builds print `<AF 1>` for it.
        if address.starts_with("unix:") || address.ends_with("<AF 1>") {
            return Peer::Unix;
        }
        address
            .split_once(':')
            .and_then(|(_, place)| place.parse::<SocketAddr>().ok())
            .map_or(Peer::Unknown, |place| Peer::Ip(place.ip().to_canonical()))
    }
}

/// Gathers the rows `NUMBER:field` by socket, in the order of their numbers.
pub(super) fn sockets(table: &StatsTable) -> Vec<Socket<'_>> {
    let mut sockets: BTreeMap<u64, Socket<'_>> = BTreeMap::new();
    for (name, value) in table.iter() {
        let Some((descriptor, field)) = name.split_once(':') else {
            continue;
        };
        let Ok(number) = descriptor.parse() else {
            continue;
        };
        let socket = sockets.entry(number).or_default();
        socket.descriptor = descriptor;
        match field {
            "addr" => socket.address = Some(value),
            "state" => socket.state = Some(value),
            "secs_since_last_cmd" => socket.idle_s = value.parse().ok(),
            _ => {}
        }
    }
    sockets.into_values().collect()
}

/// Sockets by state.
pub(super) fn states<'a>(sockets: &[Socket<'a>]) -> BTreeMap<&'a str, u64> {
    let mut states = BTreeMap::new();
    for state in sockets.iter().filter_map(|socket| socket.state) {
        *states.entry(state).or_default() += 1;
    }
    states
}

/// Connections by kind of peer.
pub(super) fn peers(sockets: &[Socket<'_>]) -> BTreeMap<&'static str, Share> {
    let mut shares: BTreeMap<&'static str, Share> = BTreeMap::new();
    for socket in sockets.iter().filter(|socket| !socket.is_listening()) {
        let peer = socket.peer();
        shares
            .entry(peer_word(&peer))
            .or_default()
            .add(peer, socket);
    }
    shares
}

/// The server's rows; unless everything is to be shown, the addresses of peers are replaced by
/// their kind.
pub(super) fn masked(table: &StatsTable, full: bool) -> Vec<(String, String)> {
    let words: BTreeMap<&str, &'static str> = sockets(table)
        .iter()
        .filter(|socket| !socket.is_listening())
        .map(|socket| (socket.descriptor, peer_word(&socket.peer())))
        .collect();
    let value_shown = |name: &str, value: &str| {
        let word = name
            .strip_suffix(":addr")
            .filter(|_| !full)
            .and_then(|descriptor| words.get(descriptor));
        word.map_or_else(|| value.to_owned(), |word| (*word).to_owned())
    };
    table
        .iter()
        .map(|(name, value)| (name.to_owned(), value_shown(name, value)))
        .collect()
}

/// Prints the doors, the states, and the peers: by kind, or each.
pub(super) fn print(table: &StatsTable, full: bool, page: &mut Page<'_>) {
    let sockets = sockets(table);
    if sockets.is_empty() {
        print_nothing(
            "The server names no connection.",
            "接続は 1 つも報告されていません。",
            page,
        );
        return;
    }
    print_doors(&sockets, page);
    print_states(&sockets, page);
    if full {
        print_each_peer(&sockets, page);
    } else {
        print_kinds(&sockets, page);
    }
}

fn print_doors(sockets: &[Socket<'_>], page: &mut Page<'_>) {
    let mut doors: BTreeMap<&str, u64> = BTreeMap::new();
    for socket in sockets.iter().filter(|socket| socket.is_listening()) {
        *doors.entry(socket.address.unwrap_or("?")).or_default() += 1;
    }
    if doors.is_empty() {
        return;
    }
    page.heading(page.pick("listening", "待ち受け"));
    let cells = |cell: fn((&&str, &u64)) -> String| doors.iter().map(cell).collect();
    grid::print(
        vec![
            Column::left(
                page.pick("address", "アドレス"),
                cells(|(address, _)| escape_for_terminal(address)),
            ),
            Column::right(
                page.pick("sockets", "ソケット数"),
                0,
                cells(|(_, count)| grouped(*count)),
            ),
        ],
        2,
        page,
    );
}

fn print_states(sockets: &[Socket<'_>], page: &mut Page<'_>) {
    let states = states(sockets);
    if states.is_empty() {
        return;
    }
    let language = page.language();
    page.heading(page.pick("sockets by state", "状態別のソケット数"));
    let names: Vec<&str> = states.keys().copied().collect();
    let meaning = |state: &&str| {
        state_meaning(state, language)
            .unwrap_or_default()
            .to_owned()
    };
    grid::print(
        vec![
            Column::left(
                page.pick("state", "状態"),
                names.iter().map(|name| escape_for_terminal(name)).collect(),
            ),
            Column::right(
                page.pick("sockets", "ソケット数"),
                0,
                states.values().map(|count| grouped(*count)).collect(),
            ),
            Column::left(
                page.pick("meaning", "意味"),
                names.iter().map(meaning).collect(),
            ),
        ],
        2,
        page,
    );
}

fn print_kinds(sockets: &[Socket<'_>], page: &mut Page<'_>) {
    let kinds = peers(sockets);
    if kinds.is_empty() {
        return;
    }
    let language = page.language();
    page.heading(page.pick("connections by peer", "接続元の種類"));
    let words = kinds
        .keys()
        .map(|kind| kind_words(kind, language).to_owned());
    let shares: Vec<&Share> = kinds.values().collect();
    let mut columns = share_columns(words.collect(), &shares, page);
    let addresses = |share: &&Share| match share.addresses.len() {
        0 => String::new(),
        count => grouped(count as u64),
    };
    columns.push(Column::right(
        page.pick("addresses", "アドレス数"),
        0,
        shares.iter().map(addresses).collect(),
    ));
    grid::print(columns, 2, page);
}

fn print_each_peer(sockets: &[Socket<'_>], page: &mut Page<'_>) {
    let mut each: BTreeMap<Peer, Share> = BTreeMap::new();
    for socket in sockets.iter().filter(|socket| !socket.is_listening()) {
        let peer = socket.peer();
        each.entry(peer).or_default().add(peer, socket);
    }
    if each.is_empty() {
        return;
    }
    let language = page.language();
    let mut rows: Vec<(Peer, Share)> = each.into_iter().collect();
    rows.sort_by_key(|(_, share)| std::cmp::Reverse(share.connections));
    page.heading(page.pick("connections by peer", "接続元別の接続数"));
    let names = rows.iter().map(|(peer, _)| match peer {
        Peer::Ip(ip) => ip.to_string(),
        Peer::Unix | Peer::Unknown => kind_words(peer_word(peer), language).to_owned(),
    });
    let shares: Vec<&Share> = rows.iter().map(|(_, share)| share).collect();
    let columns = share_columns(names.collect(), &shares, page);
    grid::print(columns, 2, page);
}

fn share_columns(names: Vec<String>, shares: &[&Share], page: &Page<'_>) -> Vec<Column> {
    let language = page.language();
    let idle = |share: &&Share| {
        share
            .idle_s_max
            .map(|seconds| short_duration(language, seconds))
            .unwrap_or_default()
    };
    vec![
        Column::left(page.pick("peer", "接続元"), names),
        Column::right(
            page.pick("connections", "接続数"),
            0,
            shares
                .iter()
                .map(|share| grouped(share.connections))
                .collect(),
        ),
        Column::right(
            page.pick("longest idle", "最長アイドル"),
            0,
            shares.iter().map(idle).collect(),
        ),
    ]
}

fn kind_words(kind: &str, language: Language) -> &str {
    match kind {
        "loopback" => pick(
            language,
            "this machine (loopback)",
            "同じマシン（ループバック）",
        ),
        "private" => pick(language, "private networks", "プライベートネットワーク"),
        "public" => pick(language, "public networks", "インターネット側"),
        "unix" => pick(language, "unix socket", "UNIX ソケット"),
        _ => pick(language, "unknown", "不明"),
    }
}

/// What a state means, after doc/protocol.txt, "Connection statistics".
fn state_meaning(state: &str, language: Language) -> Option<&'static str> {
    let (en, ja) = match state {
        "conn_closing" => ("being closed", "切断処理中"),
        "conn_listening" => ("waits for connections", "接続待ち"),
        "conn_mwrite" => ("writes a long answer", "長い応答を送信中"),
        "conn_new_cmd" => ("gets ready for the next command", "次のコマンドの準備中"),
        "conn_nread" => ("reads the data of a command", "コマンドのデータを受信中"),
        "conn_parse_cmd" => ("works on a command", "コマンドを処理中"),
        "conn_read" => (
            "waits for a command, or reads it",
            "コマンド待ち、または受信中",
        ),
        "conn_swallow" => (
            "discards the rest of a bad command",
            "不正なコマンドの残りを破棄中",
        ),
        "conn_waiting" => ("waits for the rest of a command", "コマンドの続きを待機中"),
        "conn_write" => ("writes a short answer", "短い応答を送信中"),
        "conn_watch" => ("receives the server's log", "サーバのログを受信中"),
        "conn_io_queue" => (
            "waits for storage or a backend",
            "ストレージまたはバックエンド待ち",
        ),
        _ => return None,
    };
    Some(pick(language, en, ja))
}

/// The kind of an address, for tests of the words above.
#[cfg(test)]
fn kind_of(address: &str) -> &'static str {
    let socket = Socket {
        address: Some(address),
        ..Socket::default()
    };
    peer_word(&socket.peer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_told_apart_by_network() {
        for (address, word) in [
            ("tcp:127.0.0.1:50000", "loopback"),
            ("tcp6:[::1]:50000", "loopback"),
            ("tcp6:[::ffff:10.0.0.9]:50000", "private"),
            ("tcp6:[fd00::7]:1", "private"),
            ("tcp:169.254.1.1:1", "private"),
            ("tcp:203.0.113.5:40000", "public"),
            ("unix:/run/m.sock", "unix"),
            ("unix:<AF 1>", "unix"),
            ("<null>", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(kind_of(address), word, "{address}");
        }
    }
}
