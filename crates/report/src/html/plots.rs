//! Plots: versions and amplification as bars, exposure over time as lines.

use std::time::{Duration, SystemTime};

use model::Language;

use super::Document;
use super::map::open_svg;
use super::markup::Markup;
use crate::HistoryPoint;
use crate::escape::escape_for_terminal;
use crate::words::{day, grouped, moment};

/// Sizes in pixels: a plot is this wide, a bar with its label this high.
const WIDTH: u64 = 480;
const BAR_ROW: u64 = 36;
const BAR_HEIGHT: u64 = 12;
/// Room for the value behind the longest bar's end, and the least width of a bar.
const VALUE_WIDTH: f64 = 70.0;
const BAR_WIDTH_MIN: f64 = 2.0;
/// The plot over time: its height, and the room around the lines.
const TIME_HEIGHT: f64 = 260.0;
const TIME_LEFT: f64 = 48.0;
const TIME_RIGHT: f64 = 18.0;
const TIME_TOP: f64 = 14.0;
const TIME_BOTTOM: f64 = 48.0;
/// Up to so many runs, each has a dot and its grade.
const DOTS_MAX: usize = 40;

/// A bar: its label, how long it is, and the value in words.
type Bar = (String, f64, String);

impl Document<'_> {
    pub(super) fn plots(&mut self, history: &[HistoryPoint]) {
        let digest = self.digest;
        let language = digest.language();
        let versions = digest.versions.bars(language);
        let versions: Vec<Bar> = versions
            .into_iter()
            .map(|(name, count)| (name, count as f64, grouped(count)))
            .collect();
        let amplifiers = digest.amplifiers.bars(language);
        if versions.is_empty() && amplifiers.is_empty() && history.is_empty() {
            return;
        }
        self.section("plots", "In pictures", "図で見る");
        self.markup.raw("<div class=\"plots\">\n");
        if !history.is_empty() {
            self.over_time(history);
        }
        if !versions.is_empty() {
            let title = digest.pick(
                "Versions: endpoints of each",
                "バージョン別のエンドポイント数",
            );
            self.bars("versions", title, &versions);
        }
        if !amplifiers.is_empty() {
            let title = digest.pick(
                "Amplification over UDP: bytes received for each sent",
                "UDP による増幅（送信 1 バイトあたりの受信バイト数）",
            );
            let total = digest.amplifiers.total();
            let shown = amplifiers.len() as u64;
            let title = match language {
                _ if total == shown => title.to_owned(),
                Language::English => {
                    format!("{title}, the worst {shown} of {} endpoints", grouped(total))
                }
                Language::Japanese => format!("{title}：{} 件中、上位 {shown} 件", grouped(total)),
            };
            self.bars("amplification", &title, &amplifiers);
        }
        self.markup.raw("</div>\n");
        self.end_of_section();
    }

    /// Bars below each other, each with its label above it.
    fn bars(&mut self, name: &'static str, title: &str, bars: &[Bar]) {
        let markup = &mut self.markup;
        let (id, about) = (format!("{name}-title"), format!("{name}-about"));
        let told = bars
            .iter()
            .map(|(label, _, value)| format!("{label}: {value}"));
        let description = told.collect::<Vec<_>>().join("; ");
        let longest = bars
            .iter()
            .map(|(_, length, _)| *length)
            .fold(0.0, f64::max);
        markup.raw("<figure>");
        markup.element("figcaption", &[], title);
        open_svg(markup, (WIDTH, bars.len() as u64 * BAR_ROW), [&id, &about]);
        markup.element("title", &[("id", &id)], title);
        markup.element("desc", &[("id", &about)], &description);
        for (row, (label, length, value)) in (0..).zip(bars) {
            let top = row * BAR_ROW;
            let share = if longest > 0.0 { length / longest } else { 0.0 };
            let width = (share * (WIDTH as f64 - VALUE_WIDTH)).max(BAR_WIDTH_MIN);
            let (text_y, bar_y) = ((top + 13).to_string(), (top + 18).to_string());
            markup.element(
                "text",
                &[("class", "label"), ("x", "0"), ("y", &text_y)],
                label,
            );
            markup.element(
                "text",
                &[
                    ("class", "value end"),
                    ("x", &WIDTH.to_string()),
                    ("y", &text_y),
                ],
                value,
            );
            markup.empty(
                "rect",
                &[
                    ("class", "bar"),
                    ("x", "0"),
                    ("y", &bar_y),
                    ("width", &format!("{width:.1}")),
                    ("height", &BAR_HEIGHT.to_string()),
                ],
            );
        }
        markup.close("svg");
        markup.close("figure");
    }

    /// Exposed endpoints and alarms, run by run.
    fn over_time(&mut self, history: &[HistoryPoint]) {
        let digest = self.digest;
        let title = digest.pick("Exposure over time", "公開状況の推移");
        let words = [
            digest.pick("exposed", "exposed"),
            digest.pick("alarms", "要対処"),
        ];
        let told = history.iter().map(|point| {
            let (exposed, alarms) = (grouped(point.exposed), grouped(point.alarms));
            let time = moment(point.timestamp);
            format!("{time}: {} {exposed}, {} {alarms}", words[0], words[1])
        });
        let description = told.collect::<Vec<_>>().join("; ");
        let markup = &mut self.markup;
        markup.raw("<figure class=\"wide\">");
        markup.element("figcaption", &[], title);
        let ids = ["time-title", "time-about"];
        open_svg(markup, (2 * WIDTH, TIME_HEIGHT as u64), ids);
        markup.element("title", &[("id", ids[0])], title);
        markup.element("desc", &[("id", ids[1])], &description);
        let scale = Scale::of(history);
        scale.axes(markup, history);
        scale.line(markup, "exposed", history, |point| point.exposed);
        scale.line(markup, "alarms", history, |point| point.alarms);
        if history.len() <= DOTS_MAX {
            scale.grades(markup, history, digest.pick("grade", "評価"));
        }
        markup.close("svg");
        markup.raw("<ul class=\"legend\">");
        for (class, word) in [("exposed", words[0]), ("alarms", words[1])] {
            markup.open("li", &[]);
            markup.element("span", &[("class", "line"), ("data-line", class)], "");
            markup.raw(" ");
            markup.text(word);
            markup.close("li");
        }
        markup.raw("</ul>");
        markup.close("figure");
    }
}

/// Where times and counts lie.
struct Scale {
    first: SystemTime,
    span: Duration,
    /// The count at the top.
    top: u64,
    step: u64,
}

impl Scale {
    fn of(history: &[HistoryPoint]) -> Scale {
        let times = || history.iter().map(|point| point.timestamp);
        let first = times().min().unwrap_or(SystemTime::UNIX_EPOCH);
        let last = times().max().unwrap_or(first);
        let most = history
            .iter()
            .map(|point| point.exposed.max(point.alarms))
            .max();
        let most = most.unwrap_or_default().max(1);
        let step = round_step(most);
        Scale {
            first,
            span: last.duration_since(first).unwrap_or_default(),
            top: most.div_ceil(step).saturating_mul(step),
            step,
        }
    }

    fn x(&self, time: SystemTime) -> f64 {
        let since = time.duration_since(self.first).unwrap_or_default();
        let width = 2.0 * WIDTH as f64 - TIME_LEFT - TIME_RIGHT;
        let share = if self.span.is_zero() {
            0.5
        } else {
            since.as_secs_f64() / self.span.as_secs_f64()
        };
        TIME_LEFT + share * width
    }

    fn y(&self, count: u64) -> f64 {
        let height = TIME_HEIGHT - TIME_TOP - TIME_BOTTOM;
        TIME_TOP + height * (1.0 - count as f64 / self.top as f64)
    }

    /// Lines at round counts, and the first, middle and last day.
    fn axes(&self, markup: &mut Markup, history: &[HistoryPoint]) {
        let right = format!("{:.1}", 2.0 * WIDTH as f64 - TIME_RIGHT);
        let left = format!("{TIME_LEFT:.1}");
        let mut count = 0;
        while count <= self.top {
            let y = format!("{:.1}", self.y(count));
            let label_y = format!("{:.1}", self.y(count) + 4.0);
            markup.empty(
                "line",
                &[
                    ("class", "grid"),
                    ("x1", &left),
                    ("x2", &right),
                    ("y1", &y),
                    ("y2", &y),
                ],
            );
            let x = format!("{:.1}", TIME_LEFT - 8.0);
            let place: &[(&'static str, &str)] =
                &[("class", "axis end"), ("x", &x), ("y", &label_y)];
            markup.element("text", place, &grouped(count));
            let Some(next) = count.checked_add(self.step) else {
                break;
            };
            count = next;
        }
        let y = format!("{:.1}", TIME_HEIGHT - 8.0);
        let last = self.first + self.span;
        let days = match history.len() {
            0..=2 => vec![("axis", self.first), ("axis end", last)],
            _ => vec![
                ("axis", self.first),
                ("axis middle", self.first + self.span / 2),
                ("axis end", last),
            ],
        };
        for (class, time) in days {
            let x = format!("{:.1}", self.x(time));
            markup.element(
                "text",
                &[("class", class), ("x", &x), ("y", &y)],
                &day(time),
            );
        }
    }

    fn line(
        &self,
        markup: &mut Markup,
        class: &'static str,
        history: &[HistoryPoint],
        count: fn(&HistoryPoint) -> u64,
    ) {
        let places: Vec<(f64, f64)> = history
            .iter()
            .map(|point| (self.x(point.timestamp), self.y(count(point))))
            .collect();
        let points = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}"));
        let points = points.collect::<Vec<_>>().join(" ");
        markup.empty("polyline", &[("data-line", class), ("points", &points)]);
        if history.len() > DOTS_MAX {
            return;
        }
        for (point, (x, y)) in history.iter().zip(places) {
            let (x, y) = (format!("{x:.1}"), format!("{y:.1}"));
            markup.open(
                "circle",
                &[("data-line", class), ("cx", &x), ("cy", &y), ("r", "4")],
            );
            let title = format!("{}: {}", moment(point.timestamp), grouped(count(point)));
            markup.element("title", &[], &title);
            markup.close("circle");
        }
    }

    /// The grade of each run, below its dots.
    fn grades(&self, markup: &mut Markup, history: &[HistoryPoint], word: &str) {
        let y = format!("{:.1}", TIME_HEIGHT - 28.0);
        if history.iter().any(|point| point.grade.is_some()) {
            let x = format!("{:.1}", TIME_LEFT - 8.0);
            markup.element("text", &[("class", "axis end"), ("x", &x), ("y", &y)], word);
        }
        for point in history {
            if let Some(grade) = &point.grade {
                let x = format!("{:.1}", self.x(point.timestamp));
                let place: &[(&'static str, &str)] =
                    &[("class", "axis middle"), ("x", &x), ("y", &y)];
                markup.element("text", place, &escape_for_terminal(grade));
            }
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten, so that some four of them reach this far.
fn round_step(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if most.div_ceil(step) <= 5 {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (most, step) in [(1, 1), (5, 1), (6, 2), (11, 5), (48, 10), (480, 100)] {
            assert_eq!(round_step(most), step, "{most}");
        }
        assert!(u64::MAX.div_ceil(round_step(u64::MAX)) <= 5);
    }
}
