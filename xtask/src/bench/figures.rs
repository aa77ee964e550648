//! The board that figures are written on, and the goals they are held against.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what this errand is asked for"
)]

use std::fmt;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// Measured only.
    Nothing,
    /// Less than this.
    Below(f64),
    /// This and nothing else.
    Exactly(f64),
    /// This or more.
    AtLeast(f64),
    /// From the first to the second, both included.
    Between(f64, f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Goal::Nothing => true,
            Goal::Below(limit) => value < limit,
            Goal::Exactly(wanted) => value == wanted,
            Goal::AtLeast(least) => value >= least,
            Goal::Between(least, most) => (least..=most).contains(&value),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::Nothing => formatter.write_str("none"),
            Goal::Below(limit) => write!(formatter, "below {limit}"),
            Goal::Exactly(wanted) => write!(formatter, "exactly {wanted}"),
            Goal::AtLeast(least) => write!(formatter, "at least {least}"),
            Goal::Between(least, most) => write!(formatter, "{least} to {most}"),
        }
    }
}

/// Prints figures as they come and remembers which missed their goals.
#[derive(Debug, Default)]
pub(super) struct Board {
    benchmark: &'static str,
    missed: Vec<String>,
}

impl Board {
    /// The figures that follow belong to this benchmark.
    pub(super) fn begin(&mut self, benchmark: &'static str) {
        self.benchmark = benchmark;
    }

    /// Prints one figure.
    pub(super) fn figure(&mut self, name: &str, value: f64, unit: &str, goal: Goal) {
        let line = format!("{}.{name}: {} {unit}", self.benchmark, shown(value));
        println!("{line}");
        if !goal.is_met(value) {
            self.missed.push(format!("{line} (goal: {goal})"));
        }
    }

    /// Figures that missed their goals, each with its goal.
    pub(super) fn missed(&self) -> &[String] {
        &self.missed
    }
}

/// The middle value; of an even number the mean of the two in the middle; 0 of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// With as many digits as mean something.
fn shown(value: f64) -> String {
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let cases: [(&[f64], f64); 5] = [
            (&[], 0.0),
            (&[3.0], 3.0),
            (&[9.0, 1.0, 2.0], 2.0),
            (&[4.0, 1.0, 2.0, 100.0], 3.0),
            (&[5.0, 5.0, 5.0, 1.0, 9.0], 5.0),
        ];
        for (values, expect) in cases {
            assert_eq!(median(values), expect, "{values:?}");
        }
    }

    #[test]
    fn numbers_keep_the_digits_that_mean_something() {
        let cases = [
            (0.0, "0"),
            (128.0, "128"),
            (104.13, "104"),
            (1.517_9, "1.52"),
            (0.004_26, "0.0043"),
        ];
        for (value, expect) in cases {
            assert_eq!(shown(value), expect);
        }
    }

    #[test]
    fn goals_have_edges() {
        let cases = [
            (Goal::Nothing, 1e9, true),
            (Goal::Below(1.0), 0.99, true),
            (Goal::Below(1.0), 1.0, false),
            (Goal::Exactly(128.0), 128.0, true),
            (Goal::Exactly(128.0), 127.0, false),
            (Goal::Between(950.0, 1_020.0), 1_020.0, true),
            (Goal::Between(950.0, 1_020.0), 949.0, false),
            (Goal::Below(1.0), f64::NAN, false),
            (Goal::AtLeast(10.0), 10.0, true),
            (Goal::AtLeast(10.0), 9.99, false),
        ];
        for (goal, value, expect) in cases {
            assert_eq!(goal.is_met(value), expect, "{goal:?} {value}");
        }
    }

    #[test]
    fn missed_goals_are_remembered_with_their_benchmark() {
        let mut board = Board::default();
        board.begin("nap");
        board.figure("length", 90.0, "s", Goal::Below(30.0));
        board.figure("snores", 0.0, "snores", Goal::Exactly(0.0));
        assert_eq!(board.missed(), ["nap.length: 90 s (goal: below 30)"]);
    }
}
