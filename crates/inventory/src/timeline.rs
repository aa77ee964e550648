//! How exposure went from run to run, as points to be drawn.

use std::time::SystemTime;

use model::{Verdict, VerdictCounts};

use crate::StoredRun;

/// A run as a point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelinePoint {
    /// When the run began.
    pub at: SystemTime,
    /// How many endpoints got each verdict.
    pub verdicts: VerdictCounts,
    /// How many counted as alarms.
    pub alarms: u64,
    /// Whether everything that was planned was judged; if not, the counts are too low.
    pub complete: bool,
}

impl TimelinePoint {
    fn exposed(&self) -> u64 {
        self.verdicts.of(Verdict::Exposed)
    }
}

/// Points in order of time. Which runs can be compared (of the same targets, by the same source)
/// is for the caller to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    points: Vec<TimelinePoint>,
}

impl Timeline {
    /// The points of these runs, at most so many. If there are more runs, neighbours share a
    /// point, and it is the one with most exposed endpoints: no peak is lost. The last run always
    /// has a point of its own.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a StoredRun>, points_max: usize) -> Timeline {
        let mut points: Vec<TimelinePoint> = runs
            .into_iter()
            .map(|run| TimelinePoint {
                at: run.started,
                verdicts: run.verdicts,
                alarms: run.alarms,
                complete: run.complete,
            })
            .collect();
        points.sort_by_key(|point| point.at);
        if points.len() > points_max {
            points = thinned(&points, points_max);
        }
        Timeline { points }
    }

    /// The points, oldest first.
    pub fn points(&self) -> &[TimelinePoint] {
        &self.points
    }

    /// The most exposed endpoints of any point, which is where an axis ends; 0 without points.
    pub fn exposed_max(&self) -> u64 {
        let exposed = self.points.iter().map(TimelinePoint::exposed);
        exposed.max().unwrap_or(0)
    }
}

fn thinned(points: &[TimelinePoint], points_max: usize) -> Vec<TimelinePoint> {
    let Some((last, earlier)) = points.split_last() else {
        return Vec::new();
    };
    let groups = match points_max {
        0 => return Vec::new(),
        1 => return vec![last.clone()],
        more => more - 1,
    };
    let size = earlier.len().div_ceil(groups);
    let peak = |group: &[TimelinePoint]| group.iter().max_by_key(|point| point.exposed()).cloned();
    let mut kept: Vec<TimelinePoint> = earlier.chunks(size).filter_map(peak).collect();
    kept.push(last.clone());
    kept
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::RunKind;

    fn run(day: u64, exposed: u64) -> StoredRun {
        let mut verdicts = VerdictCounts::default();
        verdicts.add_many(Verdict::Exposed, exposed);
        StoredRun {
            run: "run".into(),
            kind: RunKind::Scan,
            source: crate::OWN_SOURCE.into(),
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400),
            ended: None,
            targets: Vec::new(),
            fingerprint: String::new(),
            resumed_from: None,
            complete: true,
            verdicts,
            alarms: exposed / 2,
            observations: exposed,
            grade: None,
            vantage: None,
            log: None,
        }
    }

    fn exposed(runs: &[StoredRun], points_max: usize) -> Vec<u64> {
        let timeline = Timeline::of(runs, points_max);
        let points = timeline.points();
        assert!(points.is_sorted_by_key(|point| point.at));
        assert!(
            points
                .iter()
                .all(|point| point.alarms == point.exposed() / 2)
        );
        points.iter().map(TimelinePoint::exposed).collect()
    }

    #[test]
    fn points_are_in_order_and_peaks_are_kept() {
        let runs: Vec<StoredRun> = [(3, 4), (1, 8), (2, 0), (4, 6), (5, 2)]
            .map(|(day, count)| run(day, count))
            .to_vec();
        assert_eq!(exposed(&runs, 10), [8, 0, 4, 6, 2]);
        assert_eq!(exposed(&runs, 5), [8, 0, 4, 6, 2]);
        assert_eq!(exposed(&runs, 3), [8, 6, 2]);
        assert_eq!(exposed(&runs, 2), [8, 2]);
        assert_eq!(exposed(&runs, 1), [2]);
        assert_eq!(exposed(&runs, 0), [] as [u64; 0]);
        assert_eq!(exposed(&[], 3), [] as [u64; 0]);
        assert_eq!(Timeline::of(&runs, 10).exposed_max(), 8);
        assert_eq!(Timeline::default().exposed_max(), 0);
    }

    #[test]
    fn a_thousand_runs_fit_a_picture() {
        let runs: Vec<StoredRun> = (0..1_000).map(|day| run(day, day % 97)).collect();
        for points_max in 2..120 {
            let kept = exposed(&runs, points_max);
            assert!(
                kept.len() <= points_max && kept.contains(&96),
                "{points_max}"
            );
            assert_eq!(kept.last(), Some(&(999 % 97)));
        }
    }
}
