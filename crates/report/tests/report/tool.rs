//! The forms of `memsweep tool`, on what real servers of every age have said. The rows of the
//! transcripts are read here in the simplest way, so that no other room is tested along.

use model::Language::{self, English, Japanese};
use model::{KeyRow, StatsTable};
use report::tool::{
    KeySummary, ToolFormat, ToolOptions, View, describe_field, explain_value, key_line, keys_head,
    summary, view, watch, watch_head, watch_line,
};
use serde_json::Value;
use testkit::transcripts::{self, Transcript};
use unicode_width::UnicodeWidthChar;

use crate::golden::check;

const TARGET: &str = "192.168.2.7:11211";
/// A quarter of an hour after the recordings of 1.6.45.
const NOW_UNIX_S: i64 = 1_795_368_528;
/// One of each age: the first with slab classes as today, and each that brought new fields.
const VERSIONS: [&str; 6] = [
    "1.2.8",
    "1.4.0",
    "1.4.15",
    "1.5.5",
    "1.6.18-debian",
    "1.6.45",
];

fn options(format: ToolFormat, language: Language, width_columns: usize) -> ToolOptions {
    ToolOptions {
        format,
        width_columns,
        color: false,
        language,
    }
}

/// The rows of a recorded answer; `None` if it is no table.
fn rows(transcript: &Transcript, case: &str) -> Option<StatsTable> {
    let exchange = transcript
        .exchange("tcp", case)
        .or_else(|| transcript.exchange("tls", case))?;
    let reply = exchange.received.as_deref()?.strip_suffix(b"END\r\n")?;
    let text = String::from_utf8_lossy(reply).into_owned();
    let row = |line: &str| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.split_terminator("\r\n").map(row).collect()
}

/// Everything that one server answered.
struct Server {
    name: String,
    stats: Option<StatsTable>,
    settings: Option<StatsTable>,
    items: Option<StatsTable>,
    slabs: Option<StatsTable>,
    conns: Option<StatsTable>,
}

impl Server {
    fn of(transcript: &Transcript) -> Server {
        Server {
            name: transcript.name.clone(),
            stats: rows(transcript, "stats"),
            settings: rows(transcript, "stats-settings"),
            items: rows(transcript, "stats-items"),
            slabs: rows(transcript, "stats-slabs"),
            conns: rows(transcript, "stats-conns"),
        }
    }

    fn by_name(name: &str) -> Server {
        Server::of(&transcripts::by_name(name))
    }

    /// All views that this server can give.
    fn views(&self) -> Vec<View<'_>> {
        let mut views = Vec::new();
        if let (Some(items), Some(slabs)) = (&self.items, &self.slabs) {
            views.push(View::Display {
                items,
                slabs,
                stats: self.stats.as_ref(),
            });
        }
        views.extend(self.stats.as_ref().map(View::Stats));
        views.extend(self.settings.as_ref().map(View::Settings));
        views.extend(self.items.as_ref().map(View::Items));
        views.extend(self.slabs.as_ref().map(View::Slabs));
        for full in [false, true] {
            views.extend(
                self.conns
                    .as_ref()
                    .map(|connections| View::Conns { connections, full }),
            );
        }
        views
    }

    fn view(&self, mode: &str) -> Option<View<'_>> {
        self.views().into_iter().find(|view| view.mode() == mode)
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn table(rows: &[(&str, &str)]) -> StatsTable {
    rows.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A view of several servers below each other.
fn of_servers(mode: &str, servers: &[&str], options: &ToolOptions) -> String {
    let mut page = String::new();
    for name in servers {
        let server = Server::by_name(name);
        if let Some(view_of_it) = server.view(mode) {
            page.push_str(&format!("== {name}\n"));
            page.push_str(&text(view(TARGET, &view_of_it, NOW_UNIX_S, options)));
        }
    }
    page
}

/// A busy server: evictions, full classes, hits, and connections from everywhere.
fn busy() -> (StatsTable, StatsTable, StatsTable, StatsTable) {
    let items = table(&[
        ("items:1:number", "8211"),
        ("items:1:age", "1047600"),
        ("items:1:mem_requested", "650000"),
        ("items:1:evicted", "0"),
        ("items:1:evicted_time", "0"),
        ("items:1:outofmemory", "0"),
        ("items:17:number", "1234567"),
        ("items:17:age", "181"),
        ("items:17:mem_requested", "4300000000"),
        ("items:17:evicted", "98765432"),
        ("items:17:evicted_time", "176"),
        ("items:17:outofmemory", "3"),
    ]);
    let slabs = table(&[
        ("1:chunk_size", "96"),
        ("1:total_pages", "1"),
        ("1:total_chunks", "10922"),
        ("1:used_chunks", "8211"),
        ("1:get_hits", "16"),
        ("17:chunk_size", "3632"),
        ("17:total_pages", "4287"),
        ("17:total_chunks", "1234567"),
        ("17:used_chunks", "1234567"),
        ("17:get_hits", "99999984"),
        ("active_slabs", "2"),
        ("total_malloced", "4496293888"),
    ]);
    let stats = table(&[
        ("pid", "812"),
        ("uptime", "1047600"),
        ("time", "1795368408"),
        ("version", "1.6.40"),
        ("curr_connections", "31"),
        ("total_connections", "91"),
        ("max_connections", "1024"),
        ("cmd_get", "107000000"),
        ("cmd_set", "2000000"),
        ("get_hits", "100000000"),
        ("get_misses", "7000000"),
        ("bytes", "4300650000"),
        ("curr_items", "1242778"),
        ("limit_maxbytes", "4503599627"),
        ("evictions", "98765432"),
        ("evicted_unfetched", "61000000"),
        ("reclaimed", "512"),
        ("bytes_read", "88000000000"),
        ("bytes_written", "912000000000"),
        ("a_field_of_tomorrow", "123456"),
    ]);
    let conns = table(&[
        ("26:addr", "tcp:0.0.0.0:11211"),
        ("26:state", "conn_listening"),
        ("26:secs_since_last_cmd", "1047600"),
        ("27:UDP", "UDP"),
        ("27:addr", "udp:0.0.0.0:11211"),
        ("27:state", "conn_read"),
        ("28:UDP", "UDP"),
        ("28:addr", "udp:0.0.0.0:11211"),
        ("28:state", "conn_read"),
        ("31:addr", "tcp:10.0.0.9:40000"),
        ("31:listen_addr", "tcp:10.0.0.7:11211"),
        ("31:state", "conn_read"),
        ("31:secs_since_last_cmd", "7"),
        ("32:addr", "tcp:10.0.0.9:40001"),
        ("32:state", "conn_read"),
        ("32:secs_since_last_cmd", "86400"),
        ("33:addr", "tcp:10.0.0.10:40001"),
        ("33:state", "conn_nread"),
        ("33:secs_since_last_cmd", "0"),
        ("34:addr", "tcp:203.0.113.5:1024"),
        ("34:state", "conn_of_tomorrow"),
        ("35:addr", "unix:/run/memcached.sock"),
        ("35:state", "conn_parse_cmd"),
        ("35:secs_since_last_cmd", "0"),
    ]);
    (items, slabs, stats, conns)
}

fn sizes() -> StatsTable {
    table(&[
        ("1024", "7"),
        ("96", "8211"),
        ("60096", "1"),
        ("160", "300"),
    ])
}

fn key(name: &[u8], expires: Option<i64>, size_bytes: u64) -> KeyRow {
    KeyRow {
        name: name.to_vec(),
        expires_unix_s: expires,
        last_access_unix_s: Some(NOW_UNIX_S - i64::try_from(size_bytes).unwrap() * 60),
        cas: Some(size_bytes * 7),
        fetched: Some(size_bytes.is_multiple_of(2)),
        class: Some(1),
        size_bytes: Some(size_bytes),
    }
}

fn keys() -> Vec<KeyRow> {
    let mut keys = vec![
        key(
            b"memc.sess.key.4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c",
            Some(NOW_UNIX_S + 1_440),
            1_302,
        ),
        key(
            b"memc.sess.key.00112233445566778899aabbccddeeff",
            Some(NOW_UNIX_S + 900),
            94,
        ),
        key(
            b":1:django.contrib.sessions.cacheq8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3",
            None,
            612,
        ),
        key(b"wp_:options:alloptions", None, 48_211),
        key(b"user:john@example.com", Some(NOW_UNIX_S - 5), 80),
        key("設定:一覧".as_bytes(), None, 71),
        key(b"bin\x00\xff\x1b[2J:7", None, 66),
        KeyRow {
            name: b"cachedump-row".to_vec(),
            size_bytes: Some(5),
            ..KeyRow::default()
        },
    ];
    for number in 0..40_u64 {
        keys.push(key(
            format!("page:{number}").as_bytes(),
            Some(NOW_UNIX_S + 60),
            100 + number,
        ));
    }
    keys
}

#[test]
fn display_of_every_age_and_width() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(ToolFormat::Table, language, 100);
        let mut page = of_servers("display", &VERSIONS, &options);
        let (items, slabs, stats, _) = busy();
        for stats in [Some(&stats), None] {
            let display = View::Display {
                items: &items,
                slabs: &slabs,
                stats,
            };
            page.push_str("== busy\n");
            page.push_str(&text(view(TARGET, &display, NOW_UNIX_S, &options)));
        }
        let nothing = table(&[]);
        let display = View::Display {
            items: &nothing,
            slabs: &nothing,
            stats: None,
        };
        page.push_str("== empty\n");
        page.push_str(&text(view(TARGET, &display, NOW_UNIX_S, &options)));
        check(&format!("tool-display-{code}-100.txt"), &page);
    }
    let narrow = options(ToolFormat::Table, English, 60);
    check(
        "tool-display-en-60.txt",
        &of_servers("display", &VERSIONS, &narrow),
    );
}

#[test]
fn statistics_and_settings_are_grouped_with_their_meaning() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(ToolFormat::Table, language, 100);
        let mut page = of_servers("stats", &["1.2.8", "1.6.45", "tls-1.6.45-Z"], &options);
        let (_, _, stats, _) = busy();
        page.push_str("== busy\n");
        page.push_str(&text(view(
            TARGET,
            &View::Stats(&stats),
            NOW_UNIX_S,
            &options,
        )));
        check(&format!("tool-stats-{code}.txt"), &page);
        let page = of_servers(
            "settings",
            &["1.4.0", "1.6.18-debian", "other-yrmcds"],
            &options,
        );
        check(&format!("tool-settings-{code}.txt"), &page);
    }
}

#[test]
fn every_field_of_every_class() {
    let options = options(ToolFormat::Table, English, 80);
    check(
        "tool-items-en-80.txt",
        &of_servers("items", &["1.2.8", "1.6.45"], &options),
    );
    check(
        "tool-slabs-en-80.txt",
        &of_servers("slabs", &["1.2.8", "1.4.15", "1.6.45"], &options),
    );
}

#[test]
fn connections_are_counted_and_named_only_on_demand() {
    let (_, _, _, conns) = busy();
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(ToolFormat::Table, language, 80);
        let mut page = of_servers("conns", &["1.4.33", "1.6.45"], &options);
        for full in [false, true] {
            let connections = View::Conns {
                connections: &conns,
                full,
            };
            page.push_str(&format!("== busy, full {full}\n"));
            page.push_str(&text(view(TARGET, &connections, NOW_UNIX_S, &options)));
        }
        check(&format!("tool-conns-{code}.txt"), &page);
    }
    for format in ToolFormat::ALL {
        let connections = View::Conns {
            connections: &conns,
            full: false,
        };
        let page = text(view(
            TARGET,
            &connections,
            NOW_UNIX_S,
            &options(format, English, 80),
        ));
        for address in ["10.0.0.9", "10.0.0.10", "203.0.113.5"] {
            assert!(!page.contains(address), "{format:?}: {page}");
        }
        assert!(page.contains("0.0.0.0:11211"), "{format:?}: {page}");
    }
}

#[test]
fn sizes_are_sorted_by_number() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(ToolFormat::Table, language, 80);
        let mut page = String::new();
        for sizes in [
            sizes(),
            table(&[("sizes_status", "disabled")]),
            table(&[
                ("sizes_status", "error"),
                ("sizes_error", "no\u{1b}[m memory"),
            ]),
            table(&[]),
        ] {
            page.push_str(&text(view(
                TARGET,
                &View::Sizes(&sizes),
                NOW_UNIX_S,
                &options,
            )));
            page.push('\n');
        }
        check(&format!("tool-sizes-{code}.txt"), &page);
    }
}

#[test]
fn memcached_tool_is_matched_byte_for_byte() {
    // These files were compared with what Debian's memcached-tool prints when a server gives it
    // the same answers; it differs in none of them.
    let options = options(ToolFormat::MemcachedTool, Japanese, 40);
    for mode in ["display", "stats", "settings"] {
        check(
            &format!("tool-classic-{mode}.txt"),
            &of_servers(mode, &VERSIONS, &options),
        );
    }
    let page = text(view(TARGET, &View::Sizes(&sizes()), NOW_UNIX_S, &options));
    check("tool-classic-sizes.txt", &page);
    // Modes that it lacks, in its shape.
    let (_, slabs, _, conns) = busy();
    let mut page = text(view(TARGET, &View::Slabs(&slabs), NOW_UNIX_S, &options));
    for full in [false, true] {
        let connections = View::Conns {
            connections: &conns,
            full,
        };
        page.push_str(&text(view(TARGET, &connections, NOW_UNIX_S, &options)));
    }
    check("tool-classic-others.txt", &page);
}

#[test]
fn json_has_typed_numbers() {
    let options = options(ToolFormat::Json, Japanese, 40);
    let server = Server::by_name("1.4.15");
    let (items, slabs, stats, conns) = busy();
    let sizes = sizes();
    let mut page = String::new();
    for one in [
        View::Display {
            items: &items,
            slabs: &slabs,
            stats: Some(&stats),
        },
        View::Stats(&stats),
        View::Slabs(&slabs),
        View::Sizes(&sizes),
        View::Conns {
            connections: &conns,
            full: true,
        },
        server.view("settings").unwrap(),
    ] {
        page.push_str(&text(view(TARGET, &one, NOW_UNIX_S, &options)));
    }
    check("tool-views.json", &page);
}

#[test]
fn keys_and_their_summary() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(ToolFormat::Table, language, 80);
        let mut page = text(keys_head(&options));
        let mut counted = KeySummary::new();
        for full in [false, true] {
            for row in keys().iter().take(10) {
                page.push_str(&text(key_line(row, NOW_UNIX_S, full, &options)));
            }
        }
        for row in keys() {
            counted.add(&row, NOW_UNIX_S);
        }
        page.push_str("== summary\n");
        page.push_str(&text(summary(&counted, &options)));
        page.push_str("== summary of nothing\n");
        page.push_str(&text(summary(&KeySummary::new(), &options)));
        check(&format!("tool-keys-{code}.txt"), &page);
    }
    let options = options(ToolFormat::Json, English, 80);
    let mut counted = KeySummary::new();
    for row in keys() {
        counted.add(&row, NOW_UNIX_S);
    }
    check("tool-summary.json", &text(summary(&counted, &options)));
}

#[test]
fn a_summary_shows_no_identifier() {
    let mut counted = KeySummary::new();
    for row in keys() {
        counted.add(&row, NOW_UNIX_S);
    }
    for format in ToolFormat::ALL {
        let page = text(summary(&counted, &options(format, English, 80)));
        for identifier in ["4f9a8", "00112", "q8w7e", "john", "example.com"] {
            assert!(!page.contains(identifier), "{format:?}: {page}");
        }
    }
}

#[test]
fn rates_are_of_the_time_between() {
    let (_, _, before, _) = busy();
    let grown: StatsTable = before
        .iter()
        .map(|(name, value)| match (name, value.parse::<u64>()) {
            ("cmd_get", Ok(number)) => (name.to_owned(), (number + 2_468).to_string()),
            ("get_hits", Ok(number)) => (name.to_owned(), (number + 2_000).to_string()),
            ("get_misses", Ok(number)) => (name.to_owned(), (number + 468).to_string()),
            ("bytes_read", Ok(number)) => (name.to_owned(), (number + 3_000_000).to_string()),
            ("uptime" | "time", Ok(number)) => (name.to_owned(), (number + 2).to_string()),
            _ => (name.to_owned(), value.to_owned()),
        })
        .collect();
    let old = Server::by_name("1.2.8").stats.unwrap();
    let reset = table(&[("pid", "812"), ("uptime", "1047700"), ("cmd_get", "1")]);
    let pairs = [
        (&before, &grown),
        (&before, &before),
        // The counters were set back.
        (&grown, &reset),
        // Another process: nothing that can be compared.
        (&grown, &old),
        (&old, &old),
    ];
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let mut page = String::new();
        for format in ToolFormat::ALL {
            let options = options(format, language, 100);
            page.push_str(&text(watch_head(&options)));
            for (before, after) in pairs {
                page.push_str(&text(watch_line(before, after, 2.0, &options)));
            }
        }
        let options = options(ToolFormat::Table, language, 100);
        for (before, after) in pairs {
            page.push_str("==\n");
            page.push_str(&text(watch(before, after, 2.0, &options)));
        }
        check(&format!("tool-watch-{code}.txt"), &page);
    }
    for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let line = text(watch_line(
            &before,
            &grown,
            seconds,
            &options(ToolFormat::Json, English, 80),
        ));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line.get("gets_per_s"), None, "{seconds}");
    }
}

#[test]
fn every_recorded_field_is_described() {
    for transcript in transcripts::all() {
        // Honeypots and forks have fields of their own.
        if transcript.name.starts_with("other-") {
            continue;
        }
        let server = Server::of(&transcript);
        let tables = [
            &server.stats,
            &server.settings,
            &server.items,
            &server.slabs,
            &server.conns,
        ];
        for (name, value) in tables.into_iter().flatten().flat_map(StatsTable::iter) {
            for language in [English, Japanese] {
                assert!(
                    describe_field(name, language).is_some(),
                    "{}: {name}",
                    transcript.name
                );
                explain_value(name, value, language);
            }
        }
    }
}

#[test]
fn no_view_acts_on_a_terminal_or_outgrows_its_page() {
    let hostile = table(&[
        ("items:1:number\u{1b}[2J", "\u{9b}31m"),
        ("\u{202e}", "a\rb\nc"),
        ("1:\u{7}", "\u{2028}"),
        ("26:addr", "tcp:\u{1b}]0;owned\u{7}"),
        ("26:state", "\u{1b}[m"),
        ("pid", "\u{e0041}"),
        ("18446744073709551616", "99999999999999999999999999"),
        ("99", "18446744073709551615"),
        ("98", "18446744073709551615"),
    ]);
    let servers: Vec<Server> = transcripts::all().iter().map(Server::of).collect();
    let evil = Server {
        name: "hostile".to_owned(),
        stats: Some(hostile.clone()),
        settings: Some(hostile.clone()),
        items: Some(hostile.clone()),
        slabs: Some(hostile.clone()),
        conns: Some(hostile.clone()),
    };
    for server in servers.iter().chain([&evil]) {
        for width in [0, 40, 60, 80, 120] {
            for one in server.views().into_iter().chain([View::Sizes(&hostile)]) {
                check_forms(&server.name, &one, width);
            }
        }
    }
}

#[track_caller]
fn check_forms(name: &str, one: &View<'_>, width: usize) {
    let mode = one.mode();
    for language in [English, Japanese] {
        let page = text(view(
            "\u{1b}[1m",
            one,
            NOW_UNIX_S,
            &options(ToolFormat::Table, language, width),
        ));
        for line in page.split('\n') {
            assert_eq!(report::escape_for_terminal(line), line, "{name} {mode}");
            assert_eq!(line.trim_end(), line, "{name} {mode}: spaces at the end");
            // Rows of names and values are never cut; the columns of the overview always fit.
            let columns: usize = line.chars().map(|one| one.width().unwrap_or(0)).sum();
            let fits = columns <= width.max(60);
            assert!(
                fits || mode != "display",
                "{name} {columns} of {width}: {line}"
            );
        }
        let mut colored = options(ToolFormat::Table, language, width);
        colored.color = true;
        let colored = text(view("\u{1b}[1m", one, NOW_UNIX_S, &colored));
        assert!(colored.contains("\u{1b}["));
        assert_eq!(without_styles(&colored), page, "{name} {mode}");
    }
    let classic = text(view(
        TARGET,
        one,
        NOW_UNIX_S,
        &options(ToolFormat::MemcachedTool, English, width),
    ));
    for line in classic.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        assert_eq!(report::escape_for_terminal(line), line, "{name} {mode}");
    }
    let json = text(view(
        TARGET,
        one,
        NOW_UNIX_S,
        &options(ToolFormat::Json, English, width),
    ));
    let object: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["mode"], mode, "{name}");
    assert!(
        !json.contains("null,") && !json.contains(": null"),
        "{name}: {json}"
    );
    for line in json.split('\n') {
        assert_eq!(report::escape_for_terminal(line), line, "{name} {mode}");
    }
}

/// Takes out complete SGR sequences.
fn without_styles(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find('m').unwrap();
        plain.push_str(&piece[end + 1..]);
    }
    plain
}
