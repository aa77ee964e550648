//! A made-up run with every verdict, friendly servers and hostile ones. Nothing in it depends on
//! a clock or on chance.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::{
    Acceptance, Address, Amplification, Anomaly, Answer, Auth, Certificate, Confidence,
    Connections, Contact, Dialogue, Ending, Endpoint, Enrichment, Evidence, Finding, Hardware,
    IcmpError, Impression, Judgement, KeyProbe, MacAddress, MetaNoop, Pending, Protocol, Question,
    Record, Refusal, RunRecord, Severity, StatsTable, Summary, Text, TlsFacts, Transport, Vantage,
    Verdict, VerdictCounts,
};
use report::{History, HistoryPoint};

/// Everything a writer is fed.
pub(crate) struct Run {
    pub(crate) run: RunRecord,
    pub(crate) records: Vec<Record>,
    pub(crate) summary: Summary,
}

/// Strings that try to be more than data.
pub(crate) const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}gnp.exe\u{2066}\0\"</script>'\\\u{9b}31m\r\n\u{2028}日本";

/// 2026-11-22T19:24:11.042Z.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_375_451_042)
}

/// A run that found one of everything.
pub(crate) fn everything() -> Run {
    let records = vec![
        silent(),
        exposed_tcp(),
        exposed_udp(10, 151),
        exposed_udp(12, 120),
        exposed_udp(13, 90),
        exposed_udp(14, 80),
        exposed_udp(15, 70),
        exposed_udp(16, 60),
        protected(),
        tls(),
        decoy(),
        other(),
        unfinished(),
        closed(),
        filtered(),
        absent(),
        only_from_here(),
        accepted(),
        ipv6(),
        hostile(),
    ];
    let mut verdicts = VerdictCounts::default();
    for record in &records {
        verdicts.add(record.judgement.verdict);
    }
    verdicts.add_many(Verdict::Silent, 480);
    let alarms = records.iter().filter(|record| record.alarm).count() as u64;
    Run {
        run: run_record(),
        records,
        summary: Summary {
            alarms,
            notes: vec![Text::new(
                "192.0.2.0/28 accepts every connection; 4 of its addresses were sampled",
                "192.0.2.0/28 はすべての接続を受け付けるため、4 アドレスを抽出して調べました",
            )],
            rejected_replies: 7,
            ..summary(verdicts)
        },
    }
}

/// A run of a quiet network.
pub(crate) fn nothing_exposed() -> Run {
    let mut verdicts = VerdictCounts::default();
    verdicts.add(Verdict::Closed);
    verdicts.add(Verdict::Silent);
    let records = vec![closed(), silent()];
    Run {
        run: run_record(),
        records,
        summary: summary(verdicts),
    }
}

/// A run whose one endpoint is closed.
pub(crate) fn closed_now() -> Run {
    let mut verdicts = VerdictCounts::default();
    verdicts.add(Verdict::Closed);
    Run {
        run: run_record(),
        records: vec![closed()],
        summary: summary(verdicts),
    }
}

/// A run whose only server is reachable from this machine alone.
pub(crate) fn only_here() -> Run {
    let mut verdicts = VerdictCounts::default();
    verdicts.add(Verdict::Exposed);
    Run {
        run: run_record(),
        records: vec![only_from_here()],
        summary: summary(verdicts),
    }
}

/// A run that was interrupted before it found anything.
pub(crate) fn interrupted() -> Run {
    let mut verdicts = VerdictCounts::default();
    verdicts.add_many(Verdict::Silent, 100);
    let summary = Summary {
        complete: false,
        counter: 50,
        pending: vec![Pending {
            counter: 7,
            count: 1,
            stream: true,
            datagram: false,
        }],
        unasked: 2,
        ..summary(verdicts)
    };
    Run {
        run: run_record(),
        records: Vec::new(),
        summary,
    }
}

/// An ordinary small network.
pub(crate) fn small() -> Run {
    let records = vec![
        exposed_tcp(),
        exposed_udp(10, 151),
        protected(),
        closed(),
        silent(),
    ];
    let mut verdicts = VerdictCounts::default();
    for record in &records {
        verdicts.add(record.judgement.verdict);
    }
    verdicts.add_many(Verdict::Closed, 507);
    Run {
        run: run_record(),
        records,
        summary: Summary {
            alarms: 2,
            ..summary(verdicts)
        },
    }
}

/// What a search found: three endpoints, one seen by somebody else.
pub(crate) fn found() -> Run {
    let seen_by_other = Record {
        timestamp: now() - Duration::from_secs(86_400 * 3),
        source: Some("shodan".into()),
        ..exposed_udp(12, 120)
    };
    let records = vec![exposed_tcp(), seen_by_other, hostile()];
    let mut verdicts = VerdictCounts::default();
    for record in &records {
        verdicts.add(record.judgement.verdict);
    }
    Run {
        run: run_record(),
        records,
        summary: summary(verdicts),
    }
}

/// Six runs of the same targets, five days apart.
pub(crate) fn history() -> History {
    let counts = [(3, 3), (4, 4), (9, 7), (12, 10), (12, 9), (12, 10)];
    let points = (0..)
        .zip(counts)
        .map(|(number, (exposed, alarms))| HistoryPoint {
            timestamp: now() - Duration::from_secs(86_400 * 5 * (5 - number)),
            exposed,
            alarms,
            grade: Some("F".to_owned()),
        });
    History {
        points: points.collect(),
    }
}

/// Two servers, as `check` sees them.
pub(crate) fn two_servers() -> Run {
    let records = vec![exposed_tcp(), exposed_udp(10, 151), tls()];
    let mut verdicts = VerdictCounts::default();
    for record in &records {
        verdicts.add(record.judgement.verdict);
    }
    Run {
        run: run_record(),
        records,
        summary: Summary {
            alarms: 2,
            ..summary(verdicts)
        },
    }
}

pub(crate) fn run_record() -> RunRecord {
    RunRecord {
        run: "01JDA6Z9".into(),
        timestamp: now(),
        tool_version: "0.1.0".to_owned(),
        targets: vec!["192.168.2.0/24".to_owned(), "cache.example".to_owned()],
        exclusions: vec!["192.168.2.200-210".to_owned()],
        ports: vec![11211],
        tcp: true,
        udp: true,
        seed: 9_007_199_254_740_991,
        shard: (1, 1),
        rate_pps: 10_000,
        retries: 3,
        all: false,
        engine_wished: "auto".to_owned(),
        pairs: 257,
        fingerprint: 0xfedc_ba98_7654_3210,
        counter: 0,
        command: "scan".to_owned(),
        source: None,
        blocks: Vec::new(),
        resumed_from: None,
        vantage: Vantage {
            source: Some("192.168.2.5".to_owned()),
            interface: Some("eth0".to_owned()),
            engine: "socket".to_owned(),
        },
    }
}

pub(crate) fn summary(verdicts: VerdictCounts) -> Summary {
    Summary {
        run: "01JDA6Z9".into(),
        timestamp: now() + Duration::from_millis(12_345),
        verdicts,
        packets_sent: 2_030,
        packets_received: 702,
        duration: Duration::from_millis(12_345),
        complete: true,
        counter: 257,
        pending: Vec::new(),
        unasked: 0,
        notes: Vec::new(),
        alarms: 0,
        rejected_replies: 0,
    }
}

pub(crate) fn exposed_tcp() -> Record {
    let dialogue = Dialogue {
        protocol: Protocol::Ascii,
        executed: vec![Question::Version, Question::Stats, Question::StatsSettings],
        version: Answer::Given("1.6.18".to_owned()),
        auth: Auth::None,
        stats: Answer::Given(stats("1.6.18", 8_123)),
        settings: Answer::Given(table(SETTINGS)),
        items: Answer::Given(table(ITEMS)),
        connections: Answer::Given(Connections {
            listening: 6,
            tcp_clients: 4,
            unix_clients: 0,
            loopback_peers: 1,
            private_peers: 2,
            public_peers: 0,
        }),
        second_stats: Answer::Given(stats("1.6.18", 8_123)),
        random_key: Answer::Given(KeyProbe::Miss),
        two_commands: Answer::Given(2),
        meta_noop: Answer::Given(MetaNoop::Mn),
        ..Dialogue::default()
    };
    Record {
        hostname: Some("cache.example".into()),
        ..judged(
            "192.168.2.10",
            Transport::Tcp,
            answered(dialogue),
            Verdict::Exposed,
            Text::new(
                "executed stats without credentials",
                "認証なしで stats を実行しました",
            ),
            vec![open_finding(), old_finding()],
        )
    }
}

pub(crate) fn exposed_udp(last_octet: u8, factor: u64) -> Record {
    let measured = |command: &str, request_bytes, reply_bytes, datagrams| Amplification {
        command: command.to_owned(),
        request_bytes,
        reply_bytes,
        datagrams,
        complete: true,
        ipv6: false,
    };
    let dialogue = Dialogue {
        protocol: Protocol::Ascii,
        executed: vec![Question::Version, Question::Stats],
        version: Answer::Given("1.6.18".to_owned()),
        auth: Auth::None,
        stats: Answer::Given(stats("1.6.18", 8_123)),
        amplification: vec![
            measured("version", 17, 24, 1),
            measured("stats", 15, 15 * factor - 2, 2),
            Amplification {
                complete: false,
                ..measured("stats settings", 24, 1_392, 1)
            },
        ],
        anomalies: vec![Anomaly::TotalTooSmall {
            stated: 1,
            received: 2,
        }],
        ..Dialogue::default()
    };
    Record {
        hardware: Some(Hardware {
            address: MacAddress([0x00, 0x1b, 0x21, 0x0a, 0xff, last_octet]),
            vendor: Some("Intel Corporate".to_owned()),
        }),
        ..judged(
            &format!("192.168.2.{last_octet}"),
            Transport::Udp,
            answered(dialogue),
            Verdict::Exposed,
            Text::new("answered stats over UDP", "UDP で stats に応答しました"),
            vec![reflector_finding(factor)],
        )
    }
}

pub(crate) fn protected() -> Record {
    let dialogue = Dialogue {
        protocol: Protocol::Binary,
        version: Answer::Given("1.5.16".to_owned()),
        auth: Auth::Sasl(vec!["PLAIN".to_owned(), "SCRAM-SHA-256".to_owned()]),
        stats: Answer::Refused("Auth failure.".to_owned()),
        settings: Answer::Closed,
        items: Answer::Silent,
        ..Dialogue::default()
    };
    Record {
        hardware: Some(Hardware {
            address: MacAddress([0x02, 0, 0, 0, 0, 0x11]),
            vendor: Some(HOSTILE.to_owned()),
        }),
        ..judged(
            "192.168.2.11",
            Transport::Tcp,
            answered(dialogue),
            Verdict::Protected,
            Text::new(
                "demands SASL before it executes anything",
                "コマンドの実行前に SASL 認証を要求します",
            ),
            Vec::new(),
        )
    }
}

pub(crate) fn tls() -> Record {
    let dialogue = Dialogue {
        protocol: Protocol::Ascii,
        executed: vec![Question::Stats],
        version: Answer::Given("1.6.45".to_owned()),
        auth: Auth::None,
        stats: Answer::Truncated(stats("1.6.45", 0)),
        tls: Some(TlsFacts {
            version: "TLSv1.3".to_owned(),
            cipher_suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
            certificate: Some(Certificate {
                subject: "CN=cache.example".to_owned(),
                issuer: "CN=Example CA".to_owned(),
                names: vec!["cache.example".to_owned(), "10.0.0.1".to_owned()],
                not_before_unix_s: 1_790_000_000,
                not_after_unix_s: 1_800_000_000,
                sha256: "ab".repeat(32),
            }),
            client_certificate_requested: false,
        }),
        ..Dialogue::default()
    };
    judged(
        "192.168.2.20",
        Transport::Tcp,
        answered(dialogue),
        Verdict::Exposed,
        Text::new(
            "executed stats through TLS without credentials",
            "TLS 経由で、認証なしに stats を実行しました",
        ),
        vec![open_finding()],
    )
}

pub(crate) fn decoy() -> Record {
    let dialogue = Dialogue {
        protocol: Protocol::Ascii,
        version: Answer::Given("1.6.29".to_owned()),
        random_key: Answer::Given(KeyProbe::Hit),
        meta_noop: Answer::Given(MetaNoop::NotKnown),
        ..Dialogue::default()
    };
    judged(
        "192.168.2.66",
        Transport::Tcp,
        answered(dialogue),
        Verdict::Decoy,
        Text::new(
            "a random key that nobody can have stored was found: a honeypot",
            "誰も保存していない乱数のキーが存在すると応答：ハニーポットです",
        ),
        Vec::new(),
    )
}

pub(crate) fn other() -> Record {
    let dialogue = Dialogue {
        impression: Some(Impression::Http("HTTP/1.1 400 Bad Request".to_owned())),
        ..Dialogue::default()
    };
    judged(
        "192.168.2.80",
        Transport::Tcp,
        answered(dialogue),
        Verdict::Other,
        Text::new(
            "a web server: HTTP/1.1 400 Bad Request",
            "Web サーバ：HTTP/1.1 400 Bad Request",
        ),
        Vec::new(),
    )
}

pub(crate) fn unfinished() -> Record {
    let dialogue = Dialogue {
        ending: Ending::Deadline,
        ..Dialogue::default()
    };
    judged(
        "192.168.2.81",
        Transport::Tcp,
        answered(dialogue),
        Verdict::Unfinished,
        Text::new(
            "the deadline came before an answer",
            "応答の前に期限が来ました",
        ),
        Vec::new(),
    )
}

pub(crate) fn closed() -> Record {
    judged(
        "192.168.2.90",
        Transport::Tcp,
        Evidence::without_dialogue(
            Contact::Refused(Refusal::Reset),
            1,
            Some(Duration::from_micros(340)),
        ),
        Verdict::Closed,
        Text::new("refused the connection", "接続が拒否されました"),
        Vec::new(),
    )
}

/// The first server of [`two_servers`] after its UDP port was switched off.
pub(crate) fn closed_udp() -> Record {
    Record {
        hardware: exposed_udp(10, 151).hardware,
        ..judged(
            "192.168.2.10",
            Transport::Udp,
            Evidence::without_dialogue(Contact::Silent, 4, None),
            Verdict::Closed,
            Text::new("its own settings say so", "サーバ自身の設定による"),
            Vec::new(),
        )
    }
}

pub(crate) fn filtered() -> Record {
    let icmp = IcmpError {
        from: "192.168.2.1".parse().ok(),
        kind: 3,
        code: 13,
    };
    judged(
        "192.168.2.91",
        Transport::Udp,
        Evidence::without_dialogue(Contact::Prohibited(Some(icmp)), 1, None),
        Verdict::Filtered,
        Text::new(
            "192.168.2.1 says that a filter prohibits it",
            "192.168.2.1 がフィルタで禁止と通知しました",
        ),
        Vec::new(),
    )
}

pub(crate) fn silent() -> Record {
    judged(
        "192.168.2.90",
        Transport::Udp,
        Evidence::without_dialogue(Contact::Silent, 4, None),
        Verdict::Silent,
        Text::new(
            "no answer to 4 datagrams: filtered, lost or off; `ss -lnup` on the host settles it",
            "4 個のデータグラムに応答なし：フィルタ、損失、または停止。ホスト上の `ss -lnup` で確認できます",
        ),
        Vec::new(),
    )
}

pub(crate) fn absent() -> Record {
    judged(
        "192.168.2.99",
        Transport::Tcp,
        Evidence::without_dialogue(Contact::Unreachable(None), 1, None),
        Verdict::Absent,
        Text::new("no such host", "ホストが存在しません"),
        Vec::new(),
    )
}

pub(crate) fn only_from_here() -> Record {
    let finding = Finding {
        code: "MS020",
        severity: Severity::Info,
        confidence: Confidence::Confirmed,
        title: Text::new("Seen only from this machine", "このマシンからのみ到達可能"),
        evidence: vec![Text::new(
            "the address is a loopback address",
            "ループバックアドレス",
        )],
        fix: Text::same(""),
    };
    let mut record = judged(
        "127.0.0.1",
        Transport::Tcp,
        answered(Dialogue {
            protocol: Protocol::Ascii,
            executed: vec![Question::Stats],
            version: Answer::Given("1.6.18".to_owned()),
            auth: Auth::None,
            stats: Answer::Given(stats("1.6.18", 1)),
            ..Dialogue::default()
        }),
        Verdict::Exposed,
        Text::new(
            "executed stats without credentials",
            "認証なしで stats を実行しました",
        ),
        vec![finding],
    );
    record.judgement.only_from_here = true;
    record.alarm = false;
    record
}

pub(crate) fn accepted() -> Record {
    let mut record = exposed_tcp();
    record.endpoint.address = address("192.168.2.30");
    record.hostname = None;
    record.alarm = false;
    record.acceptances = vec![Acceptance {
        rule: None,
        reason: "lab machine, off by March".to_owned(),
        until: "2027-03-31".to_owned(),
    }];
    record
}

pub(crate) fn ipv6() -> Record {
    let mut record = exposed_tcp();
    record.endpoint.address = address("2001:db8:1234:5678:9abc:def0:1234:5678");
    record.hostname = Some("a-rather-long-name.of-a-cache.internal.example".into());
    record
}

/// Every string that the server chooses is hostile, and some are huge.
pub(crate) fn hostile() -> Record {
    let mut record = saying("192.168.2.13", HOSTILE);
    if let Some(dialogue) = &mut record.evidence.dialogue {
        dialogue.version = Answer::Given(format!("{HOSTILE}{}", "9".repeat(100_000)));
        if let Answer::Truncated(settings) = &mut dialogue.settings {
            settings.push("auth_enabled_ascii", "x".repeat(100_000));
        }
    }
    record
}

/// A server whose every string is this one.
pub(crate) fn saying(ip: &str, text: &str) -> Record {
    let mut stats = StatsTable::new();
    stats.push("pid", text);
    stats.push("uptime", "99999999999999999999");
    stats.push("uptime_s", "5");
    stats.push("curr_items", "18446744073709551615");
    stats.push("bytes", "-1");
    stats.push(text, text);
    stats.push("rusage_user", "0.009076");
    stats.push("empty", "");
    let mut settings = StatsTable::new();
    settings.push("inter", text);
    let mut items = StatsTable::new();
    items.push(format!("items:{text}:number"), "3");
    items.push("items::", "");
    items.push("items:1:number", text);
    let dialogue = Dialogue {
        protocol: Protocol::Ascii,
        executed: vec![Question::Stats],
        version: Answer::Given(text.to_owned()),
        auth: Auth::None,
        stats: Answer::Given(stats),
        settings: Answer::Truncated(settings),
        items: Answer::Given(items),
        connections: Answer::Refused(text.to_owned()),
        anomalies: vec![
            Anomaly::NotANumber {
                name: text.to_owned(),
            },
            Anomaly::OverlongLine,
            Anomaly::Other(text.to_owned()),
        ],
        impression: Some(Impression::InsideTls(Box::new(Impression::Text(
            text.to_owned(),
        )))),
        ..Dialogue::default()
    };
    let finding = Finding {
        evidence: vec![Text::same(format!("it said {text}"))],
        ..open_finding()
    };
    Record {
        hostname: Some(Arc::from(text)),
        ..judged(
            ip,
            Transport::Tcp,
            answered(dialogue),
            Verdict::Exposed,
            Text::same(format!("said {text}")),
            vec![finding],
        )
    }
}

pub(crate) fn open_finding() -> Finding {
    Finding {
        code: "MS001",
        severity: Severity::Critical,
        confidence: Confidence::Confirmed,
        title: Text::new(
            "Anyone who reaches the port can read, change and delete the cache",
            "ポートに到達できる誰もがキャッシュを読み書き・削除できる",
        ),
        evidence: vec![
            Text::new(
                "sent stats, got 92 rows without credentials",
                "stats を送信、認証なしで 92 行の応答",
            ),
            Text::new(
                "inter is NULL: it listens on all addresses",
                "inter が NULL：全アドレスで待ち受け",
            ),
        ],
        fix: Text::new(
            "Listen on loopback or an internal address only: -l 127.0.0.1 in /etc/memcached.conf, then systemctl restart memcached (the cache starts empty).",
            "ループバックまたは内部アドレスだけで待ち受ける：/etc/memcached.conf に -l 127.0.0.1 と書き、systemctl restart memcached を実行する（キャッシュは空になります）。",
        ),
    }
}

pub(crate) fn reflector_finding(factor: u64) -> Finding {
    Finding {
        code: "MS002",
        severity: Severity::High,
        confidence: Confidence::Confirmed,
        title: Text::new(
            "The host can be used to flood others over UDP",
            "UDP 経由で他者への大量送信（リフレクション攻撃）に悪用できる",
        ),
        evidence: vec![Text::new(
            format!("stats: 15 bytes sent, {} received", 15 * factor - 2),
            format!("stats：15 バイト送信、{} バイト受信", 15 * factor - 2),
        )],
        fix: Text::new(
            "Switch UDP off:\n  -U 0 in /etc/memcached.conf\n  systemctl restart memcached",
            "UDP を無効にする：\n  /etc/memcached.conf に -U 0\n  systemctl restart memcached",
        ),
    }
}

pub(crate) fn old_finding() -> Finding {
    Finding {
        code: "MS031",
        severity: Severity::Medium,
        confidence: Confidence::Possible,
        title: Text::new(
            "Version 1.6.18 has known memory-safety bugs",
            "バージョン 1.6.18 には既知のメモリ安全性の不具合がある",
        ),
        evidence: vec![Text::new("the server says 1.6.18", "サーバの申告は 1.6.18")],
        fix: Text::new(
            "Update the package; apt changelog memcached tells whether the fixes are in.",
            "パッケージを更新する。修正の有無は apt changelog memcached で確認できます。",
        ),
    }
}

fn judged(
    ip: &str,
    transport: Transport,
    evidence: Evidence,
    verdict: Verdict,
    reason: Text,
    findings: Vec<Finding>,
) -> Record {
    Record {
        run: "01JDA6Z9".into(),
        timestamp: now() + Duration::from_secs(1),
        endpoint: Endpoint::new(address(ip), 11211, transport),
        hostname: None,
        hardware: None,
        evidence,
        judgement: Judgement {
            verdict,
            reason,
            findings,
            only_from_here: false,
        },
        acceptances: Vec::new(),
        alarm: verdict == Verdict::Exposed,
        source: None,
        enrichment: Enrichment::default(),
    }
}

fn answered(dialogue: Dialogue) -> Evidence {
    Evidence {
        contact: Contact::Answered,
        attempts: 1,
        rtt: Some(Duration::from_micros(412)),
        dialogue: Some(Box::new(dialogue)),
    }
}

fn address(ip: &str) -> Address {
    Address::from_ip(ip.parse().unwrap())
}

fn stats(version: &str, items: u64) -> StatsTable {
    let mut table = table(STATS);
    table.push("version", version);
    table.push("curr_items", items.to_string());
    table
}

fn table(rows: &[(&str, &str)]) -> StatsTable {
    rows.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

const STATS: &[(&str, &str)] = &[
    ("pid", "4242"),
    ("uptime", "1047600"),
    ("time", "1795375451"),
    ("libevent", "2.1.12-stable"),
    ("pointer_size", "64"),
    ("rusage_user", "0.008960"),
    ("rusage_system", "12.500000"),
    ("max_connections", "1024"),
    ("curr_connections", "5"),
    ("total_connections", "12345"),
    ("get_hits", "1201000"),
    ("get_misses", "33567"),
    ("limit_maxbytes", "67108864"),
    ("threads", "4"),
    ("bytes", "12897483"),
    ("total_items", "1200300"),
    ("evictions", "0"),
];

const SETTINGS: &[(&str, &str)] = &[
    ("maxbytes", "67108864"),
    ("maxconns", "1024"),
    ("tcpport", "11211"),
    ("udpport", "11211"),
    ("inter", "NULL"),
    ("domain_socket", "NULL"),
    ("shutdown_command", "no"),
    ("binding_protocol", "auto-negotiate"),
    ("auth_enabled_sasl", "no"),
    ("auth_enabled_ascii", "no"),
    ("flush_enabled", "yes"),
    ("dump_enabled", "yes"),
    ("idle_timeout", "0"),
];

const ITEMS: &[(&str, &str)] = &[
    ("items:1:number", "8000"),
    ("items:1:age", "86400"),
    ("items:1:evicted", "0"),
    ("items:5:number", "123"),
    ("items:5:age", "60"),
    ("items:12:number", "0"),
];
