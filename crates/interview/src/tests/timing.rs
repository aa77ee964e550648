//! How long it takes until it is known what speaks, by kind of server: a budget that must hold.

use std::fmt::Write;
use std::time::Duration;

use model::{Ending, TlsFacts};
use sim::behaviour::{
    BindingProtocol, Demand, Genuine, GenuineConfig, Honeypot, Hostile, Misbehaviour, ProxyLike,
    Stranger,
};
use sim::{Act, Personality};

use super::driver::{Manner, Tls, play_with};
use crate::{Depth, Options};

/// The longest until it is known what speaks there.
const TRIAGE_MAX: Duration = Duration::from_secs(3);

/// A port that drops every second sentence: it answers `version` and is mute from then on.
struct VersionOnly;

impl Personality for VersionOnly {
    fn stream_bytes(&mut self, _: u64, bytes: &[u8], _: u64) -> Vec<Act> {
        match bytes {
            b"version\r\n" => vec![Act::Send(b"VERSION 1.6.18\r\n".to_vec())],
            _ => Vec::new(),
        }
    }
}

fn genuine(change: impl FnOnce(&mut GenuineConfig)) -> Box<dyn Personality> {
    let mut config = GenuineConfig::new("1.6.18");
    change(&mut config);
    Box::new(Genuine::new(config))
}

fn servers() -> Vec<(&'static str, Tls, Box<dyn Personality>)> {
    let session = || Tls::Session(TlsFacts::default());
    let strange = |stranger: Stranger| -> Box<dyn Personality> { Box::new(stranger) };
    vec![
        ("open", Tls::None, genuine(|_| {})),
        (
            "-Y",
            Tls::None,
            genuine(|config| config.demand = Demand::Ascii),
        ),
        (
            "-S",
            Tls::None,
            genuine(|config| config.demand = Demand::Sasl),
        ),
        (
            "-B binary",
            Tls::None,
            genuine(|config| config.protocol = BindingProtocol::Binary),
        ),
        ("-Z", session(), genuine(|_| {})),
        (
            "-Z -S",
            session(),
            genuine(|config| config.demand = Demand::Sasl),
        ),
        (
            "-Z, client certificate",
            Tls::DemandsCertificate,
            genuine(|_| {}),
        ),
        ("honeypot", Tls::None, Box::new(Honeypot::new(1))),
        ("proxy", Tls::None, Box::new(ProxyLike::new("1.6.18"))),
        ("version only", Tls::None, Box::new(VersionOnly)),
        ("http", Tls::None, strange(Stranger::Http)),
        ("ssh", Tls::None, strange(Stranger::Ssh)),
        ("redis", Tls::None, strange(Stranger::Redis)),
        ("echo", Tls::None, strange(Stranger::Echo)),
        ("mute", Tls::None, strange(Stranger::Mute)),
        ("close", Tls::None, strange(Stranger::CloseAtOnce)),
        ("reset", Tls::None, strange(Stranger::ResetAtOnce)),
        (
            "drip",
            Tls::None,
            Box::new(Hostile::new(Misbehaviour::Drip)),
        ),
        (
            "endless line",
            Tls::None,
            Box::new(Hostile::new(Misbehaviour::EndlessLine)),
        ),
        (
            "endless stats",
            Tls::None,
            Box::new(Hostile::new(Misbehaviour::EndlessStats)),
        ),
        (
            "value bomb",
            Tls::None,
            Box::new(Hostile::new(Misbehaviour::ValueBomb)),
        ),
    ]
}

#[test]
fn everything_is_known_within_the_triage() {
    let mut table = String::from(
        "                         near: 20 ms round trip            far: 200 ms round trip\n\
         server                   known   took ms  requests         known   took ms  requests\n",
    );
    let count = servers().len();
    for index in 0..count {
        let mut row = String::new();
        for (round_trip_ms, gap) in [(20, ""), (200, "   ")] {
            let (name, tls, mut server) = servers().swap_remove(index);
            let round_trip = Duration::from_millis(round_trip_ms);
            let manner = Manner {
                tls,
                half_trip: round_trip / 2,
                ..Manner::default()
            };
            let options = Options::new(Depth::Scan, Some(round_trip), 7);
            let played = play_with(options, &mut *server, &manner);
            assert!(
                played.known_after <= TRIAGE_MAX,
                "{name}: {:?}",
                played.known_after
            );
            assert!(
                played.took <= Duration::from_secs(10),
                "{name}: {:?}",
                played.took
            );
            if row.is_empty() {
                write!(row, "{name:24}").unwrap();
            }
            let (known, took) = (played.known_after.as_millis(), played.took.as_millis());
            let requests = played.requests.len();
            let ending = match played.dialogue.ending {
                Ending::Deadline => "deadline",
                _ => "",
            };
            write!(row, "{gap} {known:5} {took:9} {requests:9} {ending:8}").unwrap();
        }
        writeln!(table, "{}", row.trim_end()).unwrap();
    }
    assert_eq!(table, include_str!("timing.txt"), "\n{table}");
}

#[test]
fn a_sample_ends_with_the_first_silence() {
    let options = Options::new(Depth::Sample, None, 1);
    for (stranger, took_ms) in [(Stranger::Mute, 500), (Stranger::ResetAtOnce, 0)] {
        let mut server = stranger;
        let played = play_with(options, &mut server, &Manner::default());
        assert_eq!(played.took.as_millis(), took_ms, "{stranger:?}");
        assert_eq!(played.dialogue.ending, Ending::Sampled, "{stranger:?}");
    }
    let played = play_with(options, &mut *genuine(|_| {}), &Manner::default());
    assert!(
        played.dialogue.stats.value().is_some(),
        "a real server is asked in full"
    );
}
