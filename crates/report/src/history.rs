//! How exposure went over time: the runs of the same targets, as a report shows them.

use std::time::SystemTime;

use inventory::StoredRun;
use model::Verdict;

/// Points that are shown, the latest ones.
const POINTS_MAX: usize = 400;

/// One run of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPoint {
    /// When it began.
    pub timestamp: SystemTime,
    /// Endpoints that were exposed.
    pub exposed: u64,
    /// Endpoints that counted as alarms.
    pub alarms: u64,
    /// The grade of the network, A to F.
    pub grade: Option<String>,
}

/// Runs of the same targets, in any order. A plot is made of at least two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The runs.
    pub points: Vec<HistoryPoint>,
}

impl From<&StoredRun> for HistoryPoint {
    fn from(run: &StoredRun) -> HistoryPoint {
        HistoryPoint {
            timestamp: run.started,
            exposed: run.verdicts.of(Verdict::Exposed),
            alarms: run.alarms,
            grade: run.grade.clone(),
        }
    }
}

impl History {
    /// The points of these runs. One that broke off has none: it would look like a mend.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a StoredRun>) -> History {
        let complete = runs.into_iter().filter(|run| run.complete);
        History {
            points: complete.map(HistoryPoint::from).collect(),
        }
    }

    /// The latest points in the order of their times; none if there are too few for a plot.
    pub(crate) fn latest(&self) -> Vec<HistoryPoint> {
        let mut points = self.points.clone();
        points.sort_by_key(|point| point.timestamp);
        points.drain(..points.len().saturating_sub(POINTS_MAX));
        if points.len() < 2 { Vec::new() } else { points }
    }
}
