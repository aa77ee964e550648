//! What loss costs, and what retries buy: recall as a table, the same on every machine.

use std::fmt::Write;

use model::Verdict;
use sim::world::Weather;

use crate::{Ground, check_once_each};

/// Worlds for each cell of the table.
const SEEDS: u64 = 4;

/// Of the exposed endpoints, how many were found, in permille.
fn recall_permille(loss_permille: u64, retries: u32) -> u64 {
    let (mut exposed, mut found) = (0, 0);
    for seed in 0..SEEDS {
        let weather = Weather {
            loss_permille,
            ..Weather::CALM
        };
        let mut ground = Ground::new(seed, weather);
        ground.job.plan.retries = retries;
        let told = ground.scan();
        check_once_each(&ground, &told);
        for record in &told.records {
            let truth = ground.truth(&record.endpoint);
            let is_exposed = truth == Verdict::Exposed;
            let is_found = record.judgement.verdict == Verdict::Exposed;
            // A decoy executes commands, too: what gives it away may be lost.
            let is_fair = is_exposed || truth == Verdict::Decoy;
            assert!(is_fair || !is_found, "{}", ground.describe(record));
            exposed += u64::from(is_exposed);
            found += u64::from(is_exposed && is_found);
        }
    }
    found * 1_000 / exposed
}

#[test]
fn recall_by_loss_and_retries() {
    let mut table = String::from("recall, permille      retries 0    1    3\n");
    for loss_permille in [0, 10, 50, 100, 200] {
        write!(table, "loss {:4} permille each way", loss_permille).unwrap();
        for retries in [0, 1, 3] {
            let recall = recall_permille(loss_permille, retries);
            // A probe is answered if neither it nor its answer is lost.
            let lost = 1.0 - (1.0 - loss_permille as f64 / 1_000.0).powi(2);
            let expected = 1_000.0 * (1.0 - lost.powi(retries as i32 + 1));
            assert!(
                loss_permille > 0 || recall == 1_000,
                "nothing is lost, and found {recall}"
            );
            assert!(
                recall as f64 >= expected - 120.0,
                "{loss_permille} {retries}: {recall} < {expected}"
            );
            write!(table, " {recall:4}").unwrap();
        }
        table.push('\n');
    }
    assert_eq!(table, include_str!("recall.txt"), "\n{table}");
}
