//! The whole auditor against made-up networks whose truth is known.
//!
//! The oracle is the world itself, and not a second scanner. What must hold in any weather:
//! nothing is called exposed that did not execute our command, every endpoint is judged once,
//! nothing is asked that is not permitted, and the rate is held. A seed repeats its run exactly.

mod runs;
mod truth;
mod weather;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use engine::{Event, Job, Outcome, scan};
use interview::Depth;
use model::{
    Endpoint, Pending, Record, RunRecord, Severity, Summary, Transport, Vantage, Verdict,
    VerdictCounts,
};
use sim::World;
use sim::world::{Inhabitant, Weather, populate};
use sockets::{Plan, TimeoutPolicy};
use targets::{AddressRange, Day, Order, Permit, Scope, SelectionBuilder, Shard};

/// The networks of every world: 10.3.0.0/25 and 10.3.1.0/25, less the excluded 10.3.0.64/27.
const NETWORKS: [[u8; 4]; 2] = [[10, 3, 0, 0], [10, 3, 1, 0]];
const EXCLUDED: ([u8; 4], u8) = ([10, 3, 0, 64], 27);
const PORT: u16 = 11211;
/// Hosts in a world: each kind twice.
const HOSTS: usize = Inhabitant::ALL.len() * 2;
const RATE_PPS: u64 = 2_000;

/// A world, the permit to scan it, and the job.
struct Ground {
    world: World,
    permit: Permit,
    job: Job,
    inhabitants: BTreeMap<SocketAddr, Inhabitant>,
}

/// From where an interrupted run can be continued.
#[derive(Clone, Debug)]
struct Checkpoint {
    counter: u64,
    pending: Vec<Pending>,
    verdicts: VerdictCounts,
    alarms: u64,
    /// Records that had been told by then.
    recorded: usize,
}

/// Everything that a scan told.
#[derive(Debug)]
struct Told {
    records: Vec<Record>,
    summary: Summary,
    outcome: Outcome,
    /// From where the run could have been continued, checkpoint by checkpoint.
    checkpoints: Vec<Checkpoint>,
}

impl Ground {
    fn new(seed: u64, weather: Weather) -> Ground {
        let permit = permit();
        let addresses: Vec<IpAddr> = (0..permit.pairs())
            .filter_map(|index| permit.pair(index).address().ip())
            .collect();
        let mut world = World::new(seed, weather);
        let inhabitants = populate(&mut world, seed, &addresses, HOSTS)
            .into_iter()
            .collect();
        let job = job(seed, &permit);
        Ground {
            world,
            permit,
            job,
            inhabitants,
        }
    }

    fn scan(&mut self) -> Told {
        self.scan_until(&mut |_| false)
    }

    /// Scans until the end, or until the listener wants no more.
    fn scan_until(&mut self, is_enough: &mut dyn FnMut(&Event) -> bool) -> Told {
        let stopped = AtomicBool::new(false);
        let (mut records, mut checkpoints) = (Vec::new(), Vec::new());
        let mut summary = None;
        let (outcome, error) = scan(
            &self.job,
            &self.permit,
            &mut self.world,
            &stopped,
            &mut |event| {
                if is_enough(&event) {
                    stopped.store(true, Ordering::Relaxed);
                }
                match event {
                    Event::Record(record) => records.push(*record),
                    Event::Summary(told) => summary = Some(*told),
                    Event::Checkpoint {
                        counter,
                        pending,
                        verdicts,
                        alarms,
                        ..
                    } => {
                        let recorded = records.len();
                        checkpoints.push(Checkpoint {
                            counter,
                            pending,
                            verdicts,
                            alarms,
                            recorded,
                        });
                    }
                    Event::Run(_) | Event::Progress { .. } => {}
                }
            },
        );
        assert!(error.is_none(), "a made-up network does not refuse to work");
        let summary = summary.expect("a scan ends with a summary");
        Told {
            records,
            summary,
            outcome,
            checkpoints,
        }
    }

    fn truth(&self, endpoint: &Endpoint) -> Verdict {
        self.world.truth(place_of(endpoint), endpoint.transport)
    }

    /// What is said of a record when it is wrong.
    fn describe(&self, record: &Record) -> String {
        let kind = self.inhabitants.get(&place_of(&record.endpoint));
        format!(
            "seed {}: {} is {kind:?}, judged {}: {:?}",
            self.job.run.seed, record.endpoint, record.judgement.verdict, record.evidence
        )
    }

    /// Rate, permit and order of everything that was sent.
    fn check_sent(&self) {
        let sent = self.world.sent();
        for one in sent {
            let address = model::Address::from_ip(one.to.ip());
            let permitted = self.permit.admit(&address, one.to.port()).is_some();
            assert!(permitted, "sent to {}, which nobody permitted", one.to);
        }
        let probes: Vec<Duration> = sent
            .iter()
            .filter(|one| one.is_probe)
            .map(|one| one.at)
            .collect();
        let window = Duration::from_millis(100);
        for (first, start) in probes.iter().enumerate() {
            let last = probes.partition_point(|at| *at <= *start + window);
            // The bucket holds 10 ms of traffic, and the window has two edges.
            let allowed = RATE_PPS / 10 + RATE_PPS / 100 + 2;
            assert!(
                (last - first) as u64 <= allowed,
                "{} probes in 100 ms",
                last - first
            );
        }
    }
}

fn place_of(endpoint: &Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.address.ip().expect("an IP address"), endpoint.port)
}

fn permit() -> Permit {
    let range = |network: [u8; 4], prefix_bits| {
        AddressRange::of_prefix(IpAddr::from(network), prefix_bits).expect("a network")
    };
    let mut builder = SelectionBuilder::new(vec![PORT]);
    builder.add_ranges(&NETWORKS.map(|network| range(network, 25)), None);
    let (network, prefix_bits) = EXCLUDED;
    builder.exclude(&[range(network, prefix_bits)]);
    let selection = builder.build().expect("some addresses are left");
    let today = Day::new(2026, 6, 1).expect("a day of the calendar");
    let scope = Scope::new(vec![], today);
    scope.permit(selection).expect("10.0.0.0/8 is free to scan")
}

fn job(seed: u64, permit: &Permit) -> Job {
    let order = Order::new(permit.pairs(), seed, Shard::ALL, 0);
    Job {
        run: RunRecord {
            run: "world".into(),
            timestamp: SystemTime::UNIX_EPOCH,
            tool_version: String::new(),
            targets: Vec::new(),
            exclusions: Vec::new(),
            ports: vec![PORT],
            tcp: true,
            udp: true,
            seed,
            shard: (1, 1),
            rate_pps: RATE_PPS,
            retries: 3,
            all: false,
            engine_wished: "auto".to_owned(),
            pairs: order.len(),
            fingerprint: permit.selection().fingerprint(),
            counter: 0,
            command: "scan".to_owned(),
            source: None,
            blocks: Vec::new(),
            resumed_from: None,
            vantage: Vantage::default(),
        },
        plan: Plan {
            tcp: true,
            udp: true,
            order,
            again: Vec::new(),
            rate_pps: RATE_PPS,
            retries: 3,
            timeout: TimeoutPolicy::Adaptive,
            deadline: None,
            depth: Depth::Scan,
            key_names_max: None,
            secret: seed ^ 0x5eed,
        },
        all: true,
        fail_on: Severity::Low,
        accepted: Vec::new(),
        networks: None,
        prepared_in: Duration::ZERO,
        now: || SystemTime::UNIX_EPOCH + Duration::from_secs(1_771_027_200),
        verdicts_before: VerdictCounts::default(),
        alarms_before: 0,
        notes: Vec::new(),
    }
}

/// Every endpoint of the permit has exactly one record.
fn check_once_each(ground: &Ground, told: &Told) {
    let mut seen = BTreeMap::new();
    for record in &told.records {
        *seen.entry(record.endpoint.clone()).or_insert(0) += 1;
    }
    for index in 0..ground.permit.pairs() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let endpoint = ground.permit.pair(index).endpoint(transport);
            let count = seen.remove(&endpoint);
            assert_eq!(count, Some(1), "seed {}: {endpoint}", ground.job.run.seed);
        }
    }
    assert!(seen.is_empty(), "nobody asked for {seen:?}");
    let endpoints = ground.permit.pairs() * 2;
    assert_eq!(
        told.summary.verdicts.total(),
        endpoints,
        "seed {}",
        ground.job.run.seed
    );
}

/// The verdicts of all records, as the summary must count them.
fn counted(records: &[Record]) -> VerdictCounts {
    let mut counts = VerdictCounts::default();
    records
        .iter()
        .for_each(|record| counts.add(record.judgement.verdict));
    counts
}

#[test]
fn the_ground_is_as_described() {
    let permit = permit();
    assert_eq!(permit.pairs(), 2 * 128 - 32);
    let excluded = model::Address::from_ip(IpAddr::from(Ipv4Addr::new(10, 3, 0, 70)));
    assert!(permit.admit(&excluded, PORT).is_none());
    let ground = Ground::new(1, Weather::CALM);
    assert_eq!(ground.inhabitants.len(), HOSTS);
}
