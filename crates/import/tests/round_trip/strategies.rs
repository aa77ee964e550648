//! Records, runs and summaries of every shape.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::{
    Acceptance, Address, Amplification, Anomaly, Answer, Auth, Certificate, Confidence,
    Connections, Contact, Dialogue, Ending, Endpoint, Enrichment, Evidence, Finding, Hardware,
    IcmpError, Impression, Judgement, KeyProbe, KeySample, KeyTally, MacAddress, MetaNoop, Pending,
    PlanBlock, Protocol, Question, Record, Refusal, RunRecord, Severity, StatsTable, Summary, Text,
    TlsFacts, Transport, Unsampled, Vantage, Verdict, VerdictCounts,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        "\\PC{0,8}",
        any::<String>().prop_map(|text| text.chars().take(6).collect()),
        Just(crate::fixture::HOSTILE.to_owned()),
        Just(String::new()),
    ]
}

fn shared_text() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Arc::from)
}

fn sentence() -> impl Strategy<Value = Text> {
    (text(), text()).prop_map(|(en, ja)| Text::new(en, ja))
}

/// Any moment from the year 1 to the year 9999, in milliseconds.
fn moment() -> impl Strategy<Value = SystemTime> {
    (-62_000_000_000_000_i64..253_000_000_000_000).prop_map(|ms| {
        let distance = Duration::from_millis(ms.unsigned_abs());
        if ms < 0 {
            SystemTime::UNIX_EPOCH - distance
        } else {
            SystemTime::UNIX_EPOCH + distance
        }
    })
}

fn endpoint() -> BoxedStrategy<Endpoint> {
    let ip = any::<IpAddr>().prop_map(Address::from_ip);
    let zoned = (any::<Ipv6Addr>(), "[a-z0-9%]{1,8}")
        .prop_map(|(ip, zone)| Address::Zoned(ip, zone.into()));
    let unix = text().prop_map(|path| Address::Unix(Arc::new(PathBuf::from(path))));
    prop_oneof![
        (
            prop_oneof![ip, zoned],
            any::<u16>(),
            select(vec![Transport::Tcp, Transport::Udp])
        )
            .prop_map(|(address, port, transport)| Endpoint::new(address, port, transport)),
        unix.prop_map(|address| Endpoint::new(address, 0, Transport::Unix)),
    ]
    .boxed()
}

fn icmp() -> impl Strategy<Value = IcmpError> {
    (option::of(any::<IpAddr>()), any::<u8>(), any::<u8>())
        .prop_map(|(from, kind, code)| IcmpError { from, kind, code })
}

fn contact() -> impl Strategy<Value = Contact> {
    prop_oneof![
        Just(Contact::Answered),
        Just(Contact::Refused(Refusal::Reset)),
        Just(Contact::Refused(Refusal::NoListener)),
        icmp().prop_map(|icmp| Contact::Refused(Refusal::PortUnreachable(icmp))),
        option::of(icmp()).prop_map(Contact::Prohibited),
        option::of(icmp()).prop_map(Contact::Unreachable),
        Just(Contact::Silent),
        Just(Contact::Unfinished),
        text().prop_map(Contact::Failed),
    ]
}

fn answer<T: std::fmt::Debug + Clone + 'static>(
    value: impl Strategy<Value = T> + Clone + 'static,
) -> BoxedStrategy<Answer<T>> {
    prop_oneof![
        Just(Answer::NotAsked),
        Just(Answer::Silent),
        Just(Answer::Closed),
        text().prop_map(Answer::Refused),
        value.clone().prop_map(Answer::Truncated),
        value.prop_map(Answer::Given),
    ]
    .boxed()
}

fn table(name: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = StatsTable> + Clone {
    let value = prop_oneof![
        text(),
        any::<u64>().prop_map(|number| number.to_string()),
        "[0-9]{0,23}[.][0-9]{0,23}".prop_map(|number| number.chars().take(25).collect()),
    ];
    vec((name, value), 0..6).prop_map(StatsTable::from_iter)
}

fn statistics() -> BoxedStrategy<StatsTable> {
    table(prop_oneof![
        text(),
        select(vec!["uptime", "uptime_s", "version", "pid"]).prop_map(str::to_owned),
    ])
    .boxed()
}

fn items() -> BoxedStrategy<StatsTable> {
    table(prop_oneof!["items:[0-2]?:[a:]{0,2}", text()]).boxed()
}

fn connections() -> BoxedStrategy<Connections> {
    any::<[u64; 6]>()
        .prop_map(|counts| Connections {
            listening: counts[0],
            tcp_clients: counts[1],
            unix_clients: counts[2],
            loopback_peers: counts[3],
            private_peers: counts[4],
            public_peers: counts[5],
        })
        .boxed()
}

fn tls() -> BoxedStrategy<TlsFacts> {
    let date = prop_oneof![
        -62_000_000_000_i64..253_000_000_000,
        Just(i64::MIN),
        Just(i64::MAX)
    ];
    let certificate = (
        text(),
        text(),
        vec(text(), 0..3),
        date.clone(),
        date,
        text(),
    )
        .prop_map(
            |(subject, issuer, names, not_before_unix_s, not_after_unix_s, sha256)| Certificate {
                subject,
                issuer,
                names,
                not_before_unix_s,
                not_after_unix_s,
                sha256,
            },
        );
    (text(), text(), option::of(certificate), any::<bool>())
        .prop_map(
            |(version, cipher_suite, certificate, client_certificate_requested)| TlsFacts {
                version,
                cipher_suite,
                certificate,
                client_certificate_requested,
            },
        )
        .boxed()
}

fn amplification() -> BoxedStrategy<Amplification> {
    let bytes = prop_oneof![Just(0), 0_u64..100_000, 0..(1_u64 << 48)];
    (
        text(),
        bytes.clone(),
        bytes.clone(),
        bytes,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(command, request_bytes, reply_bytes, datagrams, complete, ipv6)| Amplification {
                command,
                request_bytes,
                reply_bytes,
                datagrams,
                complete,
                ipv6,
            },
        )
        .boxed()
}

fn impression() -> BoxedStrategy<Impression> {
    let plain = prop_oneof![
        Just(Impression::Mute),
        Just(Impression::Reset),
        Just(Impression::Closed),
        Just(Impression::Echo),
        text().prop_map(Impression::Http),
        text().prop_map(Impression::Ssh),
        text().prop_map(Impression::Redis),
        text().prop_map(Impression::TlsFailure),
        text().prop_map(Impression::Text),
        text().prop_map(Impression::Bytes),
        text().prop_map(Impression::ForeignDatagram),
    ];
    (plain, 0..3)
        .prop_map(|(plain, layers)| {
            (0..layers).fold(plain, |inner, _| Impression::InsideTls(Box::new(inner)))
        })
        .boxed()
}

fn anomaly() -> BoxedStrategy<Anomaly> {
    prop_oneof![
        Just(Anomaly::OverlongLine),
        any::<u64>().prop_map(|bytes| Anomaly::ReplyLimit { bytes }),
        any::<u64>().prop_map(|count| Anomaly::WrongRequestId { count }),
        text().prop_map(|name| Anomaly::NotANumber { name }),
        text().prop_map(Anomaly::Other),
    ]
    .boxed()
}

fn auth() -> impl Strategy<Value = Auth> {
    prop_oneof![
        Just(Auth::Unknown),
        Just(Auth::None),
        vec(text(), 0..3).prop_map(Auth::Sasl),
        Just(Auth::Ascii),
        Just(Auth::TlsClientCertificate),
    ]
}

fn questions() -> impl Strategy<Value = Vec<Question>> {
    let all = vec![
        Question::Version,
        Question::Stats,
        Question::StatsSettings,
        Question::StatsItems,
        Question::StatsConns,
        Question::RandomKey,
        Question::TwoCommands,
        Question::MetaNoop,
        Question::BinaryNoop,
        Question::BinaryStat,
    ];
    vec(select(all), 0..4)
}

/// What names of a few kinds come to, others among them.
fn key_sample() -> BoxedStrategy<KeySample> {
    let beginnings = select(vec![
        "memc.sess.key.",
        "session:",
        "menu:",
        "",
        "\u{1b}[2J:",
    ]);
    (vec((beginnings, "[a-z]{1,9}"), 0..9), 1..1_000_u64)
        .prop_map(|(names, names_max)| {
            let mut tally = KeyTally::default();
            for (beginning, rest) in names {
                tally.add(format!("{beginning}{rest}").as_bytes());
            }
            tally.finish(names_max)
        })
        .boxed()
}

fn dialogue() -> BoxedStrategy<Dialogue> {
    let protocols = vec![Protocol::Unknown, Protocol::Ascii, Protocol::Binary];
    let endings = vec![
        Ending::Complete,
        Ending::Deadline,
        Ending::Stopped,
        Ending::Sampled,
    ];
    let probes = select(vec![KeyProbe::Miss, KeyProbe::Hit]);
    let noops = select(vec![MetaNoop::Mn, MetaNoop::En, MetaNoop::NotKnown]);
    (
        (
            select(protocols),
            option::of(tls()),
            option::of(any::<SocketAddr>()),
            questions(),
            answer(text()),
            auth(),
            answer(statistics()),
            answer(table(text())),
            answer(items()),
        ),
        (
            answer(connections()),
            answer(statistics()),
            answer(statistics()),
            answer(probes),
            answer(any::<u32>()),
            answer(noops),
            vec(amplification(), 0..3),
            option::of(impression()),
            vec(anomaly(), 0..3),
            select(endings),
        ),
        (
            answer(key_sample()),
            option::of(select(Unsampled::ALL.to_vec())),
        ),
    )
        .prop_map(|(first, second, sampled)| Dialogue {
            protocol: first.0,
            tls: first.1,
            answered_from: first.2,
            executed: first.3,
            version: first.4,
            auth: first.5,
            stats: first.6,
            settings: first.7,
            items: first.8,
            connections: second.0,
            second_stats: second.1,
            repeated_stats: second.2,
            random_key: second.3,
            two_commands: second.4,
            meta_noop: second.5,
            key_sample: sampled.0,
            unsampled: sampled.1,
            amplification: second.6,
            impression: second.7,
            anomalies: second.8,
            ending: second.9,
        })
        .boxed()
}

fn finding() -> BoxedStrategy<Finding> {
    let confidences = vec![
        Confidence::Possible,
        Confidence::Likely,
        Confidence::Confirmed,
    ];
    (
        select(vec!["MS001", "MS002", "MS999"]),
        select(Severity::ALL.to_vec()),
        select(confidences),
        sentence(),
        vec(sentence(), 0..3),
        sentence(),
    )
        .prop_map(
            |(code, severity, confidence, title, evidence, fix)| Finding {
                code,
                severity,
                confidence,
                title,
                evidence,
                fix,
            },
        )
        .boxed()
}

fn acceptance() -> impl Strategy<Value = Acceptance> {
    (option::of(text()), text(), text()).prop_map(|(rule, reason, until)| Acceptance {
        rule,
        reason,
        until,
    })
}

fn enrichment() -> BoxedStrategy<Enrichment> {
    let maybe = || option::of(text());
    (
        maybe(),
        option::of(any::<u32>()),
        maybe(),
        maybe(),
        maybe(),
        vec(text(), 0..3),
    )
        .prop_map(
            |(reverse_name, asn, as_name, country, owner, tags)| Enrichment {
                reverse_name,
                asn,
                as_name,
                country,
                owner,
                tags,
            },
        )
        .boxed()
}

fn evidence() -> BoxedStrategy<Evidence> {
    (
        contact(),
        any::<u32>(),
        option::of(any::<u64>().prop_map(Duration::from_micros)),
        option::of(dialogue().prop_map(Box::new)),
    )
        .prop_map(|(contact, attempts, rtt, dialogue)| Evidence {
            contact,
            attempts,
            rtt,
            dialogue,
        })
        .boxed()
}

fn judgement() -> BoxedStrategy<Judgement> {
    (
        select(Verdict::ALL.to_vec()),
        sentence(),
        vec(finding(), 0..3),
        any::<bool>(),
    )
        .prop_map(|(verdict, reason, findings, only_from_here)| Judgement {
            verdict,
            reason,
            findings,
            only_from_here,
        })
        .boxed()
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    let hardware = (any::<[u8; 6]>(), option::of(text())).prop_map(|(address, vendor)| Hardware {
        address: MacAddress(address),
        vendor,
    });
    (
        shared_text(),
        moment(),
        endpoint(),
        option::of(shared_text()),
        option::of(hardware),
        evidence(),
        judgement(),
        vec(acceptance(), 0..2),
        any::<bool>(),
        option::of(shared_text()),
        enrichment(),
    )
        .prop_map(
            |(
                run,
                timestamp,
                endpoint,
                hostname,
                hardware,
                evidence,
                judgement,
                acceptances,
                alarm,
                source,
                enrichment,
            )| Record {
                run,
                timestamp,
                endpoint,
                hostname,
                hardware,
                evidence,
                judgement,
                acceptances,
                alarm,
                source,
                enrichment,
            },
        )
}

pub(crate) fn run_record() -> impl Strategy<Value = RunRecord> {
    let shard = (1_u64.., 1_u64..).prop_map(|(one, other)| (one.min(other), one.max(other)));
    let maybe = || option::of(text());
    (
        (
            shared_text(),
            moment(),
            text(),
            vec(text(), 0..3),
            vec(text(), 0..3),
            (text(), option::of(shared_text()), vec(plan_block(), 0..3)),
        ),
        (
            vec(any::<u16>(), 0..3),
            any::<[bool; 2]>(),
            any::<[u64; 5]>(),
        ),
        (shard, any::<u32>(), maybe(), maybe(), maybe(), text()),
    )
        .prop_map(|(first, second, third)| RunRecord {
            run: first.0,
            timestamp: first.1,
            tool_version: first.2,
            targets: first.3,
            exclusions: first.4,
            ports: second.0,
            tcp: second.1[0],
            udp: second.1[1],
            seed: second.2[0],
            shard: third.0,
            rate_pps: second.2[1],
            retries: third.1,
            all: second.1[0],
            engine_wished: third.5.clone(),
            pairs: second.2[2],
            fingerprint: second.2[3],
            counter: second.2[4],
            command: first.5.0,
            source: first.5.1,
            blocks: first.5.2,
            resumed_from: third.2,
            vantage: Vantage {
                source: third.3,
                interface: third.4,
                engine: third.5,
            },
        })
}

fn plan_block() -> impl Strategy<Value = PlanBlock> {
    (any::<IpAddr>(), any::<IpAddr>(), vec(any::<u16>(), 0..3))
        .prop_map(|(first, last, ports)| PlanBlock { first, last, ports })
}

/// Stretches in the order of the run, apart or touching.
fn pending() -> impl Strategy<Value = Vec<Pending>> {
    let one = (
        0_u64..3,
        1_u64..5,
        select(vec![(true, false), (false, true), (true, true)]),
    );
    vec(one, 0..6).prop_map(|stretches| {
        let mut at = 0;
        let mut pending = Vec::new();
        for (gap, count, (stream, datagram)) in stretches {
            let counter = at + gap;
            at = counter + count;
            pending.push(Pending {
                counter,
                count,
                stream,
                datagram,
            });
        }
        pending
    })
}

pub(crate) fn summary() -> impl Strategy<Value = Summary> {
    let verdicts = any::<[u32; 9]>().prop_map(|counts| {
        let mut verdicts = VerdictCounts::default();
        for (verdict, count) in Verdict::ALL.into_iter().zip(counts) {
            verdicts.add_many(verdict, u64::from(count));
        }
        verdicts
    });
    let duration = (any::<u32>(), 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanoseconds)| Duration::new(u64::from(seconds), nanoseconds));
    (
        (shared_text(), moment(), verdicts, duration, pending()),
        (
            any::<[u64; 5]>(),
            any::<u32>(),
            any::<bool>(),
            vec(sentence(), 0..3),
        ),
    )
        .prop_map(|(first, second)| Summary {
            run: first.0,
            timestamp: first.1,
            verdicts: first.2,
            packets_sent: second.0[0],
            packets_received: second.0[1],
            duration: first.3,
            complete: second.2,
            counter: second.0[2],
            pending: first.4,
            unasked: second.0[3],
            notes: second.3,
            alarms: u64::from(second.1),
            rejected_replies: second.0[4],
        })
}
