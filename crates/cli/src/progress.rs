//! One line on stderr that says how far a scan is: rate, found, time left. Only on a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use model::{Language, Verdict, VerdictCounts};
use sockets::Progress;
use unicode_width::UnicodeWidthChar;

/// Scans shorter than this show no progress at all.
const QUIET_START: Duration = Duration::from_millis(400);
const INTERVAL: Duration = Duration::from_millis(200);

/// The progress line.
pub(crate) struct ProgressLine {
    shown: bool,
    enabled: bool,
    language: Language,
    next_at: Duration,
    last: Option<Progress>,
}

impl ProgressLine {
    pub(crate) fn new(quiet: bool, language: Language) -> ProgressLine {
        ProgressLine {
            shown: false,
            enabled: !quiet && std::io::stderr().is_terminal(),
            language,
            next_at: QUIET_START,
            last: None,
        }
    }

    pub(crate) fn show(&mut self, progress: &Progress, verdicts: &VerdictCounts) {
        if !self.enabled || progress.elapsed < self.next_at {
            return;
        }
        self.next_at = progress.elapsed + INTERVAL;
        let rate_pps = rate(self.last.as_ref(), progress);
        self.last = Some(*progress);
        let line = line(progress, verdicts, rate_pps, self.language);
        let width = terminal_size::terminal_size_of(std::io::stderr())
            .map_or(80, |(width, _)| usize::from(width.0));
        let line = cut(&line, width.saturating_sub(1));
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{line}");
        self.shown = true;
    }

    /// Wipes the line, so that data can follow.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
            self.shown = false;
        }
    }
}

/// The beginning of a line that fills no more than these columns.
fn cut(line: &str, columns_max: usize) -> &str {
    let mut columns = 0;
    for (place, character) in line.char_indices() {
        columns += character.width().unwrap_or(0);
        if columns > columns_max {
            return &line[..place];
        }
    }
    line
}

fn rate(last: Option<&Progress>, now: &Progress) -> f64 {
    let (elapsed, sent) = match last {
        Some(last) => (
            now.elapsed - last.elapsed,
            now.packets_sent - last.packets_sent,
        ),
        None => (now.elapsed, now.packets_sent),
    };
    sent as f64 / elapsed.as_secs_f64().max(0.001)
}

fn line(
    progress: &Progress,
    verdicts: &VerdictCounts,
    rate_pps: f64,
    language: Language,
) -> String {
    let percent = progress.begun * 100 / progress.pairs.max(1);
    let exposed = verdicts.of(Verdict::Exposed);
    let left = time_left(progress);
    match language {
        Language::English => format!(
            "{percent}%  {}/{} addresses  {rate_pps:.0} packets/s  {exposed} exposed  {} talking  {left}",
            progress.begun, progress.pairs, progress.interviews
        ),
        Language::Japanese => format!(
            "{percent}%  {}/{} アドレス  {rate_pps:.0} パケット/秒  公開 {exposed}  対話中 {}  {left}",
            progress.begun, progress.pairs, progress.interviews
        ),
    }
}

fn time_left(progress: &Progress) -> String {
    if progress.begun == 0 || progress.begun >= progress.pairs {
        return String::new();
    }
    let per_pair = progress.elapsed.as_secs_f64() / progress.begun as f64;
    let left_s = (per_pair * (progress.pairs - progress.begun) as f64) as u64;
    match (left_s / 3_600, left_s / 60 % 60, left_s % 60) {
        (0, 0, seconds) => format!("{seconds}s left"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s left"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_cut_by_columns() {
        for (line, columns_max, expected) in [
            ("12%  公開 1", 20, "12%  公開 1"),
            ("12%  公開 1", 9, "12%  公開"),
            ("12%  公開 1", 8, "12%  公"),
            ("abc", 2, "ab"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(line, columns_max), expected, "{columns_max}");
        }
    }

    #[test]
    fn the_line_says_rate_found_and_time_left() {
        let progress = Progress {
            elapsed: Duration::from_secs(10),
            begun: 1_000,
            pairs: 65_536,
            packets_sent: 20_000,
            interviews: 3,
            ..Progress::default()
        };
        let mut verdicts = VerdictCounts::default();
        verdicts.add(Verdict::Exposed);
        assert_eq!(
            line(
                &progress,
                &verdicts,
                rate(None, &progress),
                Language::English
            ),
            "1%  1000/65536 addresses  2000 packets/s  1 exposed  3 talking  10m45s left"
        );
    }
}
