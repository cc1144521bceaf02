//! Progress bars, each on one line of 80 columns, drawn only where standard error is a terminal.

use super::output::{BARS, thousands};
use indicatif::{ProgressBar, ProgressState, ProgressStyle, style::ProgressTracker};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// The past that a rate is taken of.
const WINDOW: Duration = Duration::from_secs(3);

/// The time between two samples of it.
const SAMPLE: Duration = Duration::from_millis(100);

/// A bar for something that is complete at this length.
pub fn bar(what: &'static str, length: u64) -> ProgressBar {
    BARS.add(ProgressBar::new(length).with_style(style(BAR)).with_prefix(what))
}

/// A line for something that goes on until it is stopped.
pub fn endless(what: &'static str) -> ProgressBar {
    BARS.add(ProgressBar::no_length().with_style(style(ENDLESS)).with_prefix(what))
}

/// Lines that are drawn as they are.
pub(super) fn text() -> ProgressBar {
    BARS.add(ProgressBar::new(0).with_style(style("{msg}")))
}

/// What a line looks like.
const BAR: &str = "{prefix:>12} {figures}";
const ENDLESS: &str = "{prefix:>12} {human_pos} so far {rate:>11}";

/// How long a bar is.
const LENGTH: usize = 24;

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", Rate::default())
        .with_key("figures", Figures::default())
}

/// A bar with its figures, or the words for one that is complete because there is nothing.
pub(super) fn figures(position: u64, length: u64, rate: &Rate) -> String {
    if position == 0 && length == 0 {
        return "nothing to do".to_owned();
    }
    let cells = u128::from(position.min(length)) * LENGTH as u128 / u128::from(length.max(1));
    let cells = usize::try_from(cells).unwrap_or(LENGTH);
    let head = if cells < LENGTH && position > 0 { ">" } else { "" };
    let drawn = format!("{}{head}", "=".repeat(cells));
    let (position, length, rate) = (thousands(position), thousands(length), rate.text());
    format!("[{drawn:<LENGTH$}] {position}/{length} {rate:>11}")
}

/// How many per second in the latest few seconds: indicatif's own rate remembers for longer, and has a dozen decimals.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    samples: VecDeque<(Instant, u64)>,
    per_second: f64,
}

impl Rate {
    #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
    pub(super) fn sample(&mut self, position: u64, now: Instant) {
        if self.samples.back().is_some_and(|(at, _)| now.saturating_duration_since(*at) < SAMPLE) {
            return;
        }
        self.samples.push_back((now, position));
        while self.samples.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
        if let Some((at, before)) = self.samples.front().filter(|(at, _)| *at < now) {
            let elapsed = now.saturating_duration_since(*at).as_secs_f64();
            self.per_second = position.saturating_sub(*before) as f64 / elapsed;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a rate to look at")]
    pub(super) fn text(&self) -> String {
        format!("{}/s", thousands(self.per_second.round() as i64))
    }
}

impl ProgressTracker for Rate {
    fn clone_box(&self) -> Box<dyn ProgressTracker> {
        Box::new(self.clone())
    }

    fn tick(&mut self, state: &ProgressState, now: Instant) {
        self.sample(state.pos(), now);
    }

    fn reset(&mut self, _: &ProgressState, _: Instant) {
        *self = Self::default();
    }

    fn write(&self, _: &ProgressState, out: &mut dyn fmt::Write) {
        // A formatter can only fail where it writes to.
        let _ = out.write_str(&self.text());
    }
}

/// A bar with its figures.
#[derive(Debug, Clone, Default)]
struct Figures(Rate);

impl ProgressTracker for Figures {
    fn clone_box(&self) -> Box<dyn ProgressTracker> {
        Box::new(self.clone())
    }

    fn tick(&mut self, state: &ProgressState, now: Instant) {
        self.0.sample(state.pos(), now);
    }

    fn reset(&mut self, _: &ProgressState, _: Instant) {
        *self = Self::default();
    }

    fn write(&self, state: &ProgressState, out: &mut dyn fmt::Write) {
        // A formatter can only fail where it writes to.
        let _ = out.write_str(&figures(state.pos(), state.len().unwrap_or_default(), &self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_of_nothing_says_so_and_is_not_drawn_as_if_it_were_complete() {
        let drawn = |position, length| figures(position, length, &Rate::default());
        assert_eq!(drawn(0, 0), "nothing to do");
        assert_eq!(drawn(0, 4), format!("[{}] 0/4         0/s", " ".repeat(24)));
        assert_eq!(drawn(2_000, 4_000), format!("[{}>{}] 2,000/4,000         0/s", "=".repeat(12), " ".repeat(11)));
        for (position, length) in [(4, 4), (5, 4)] {
            assert_eq!(drawn(position, length), format!("[{}] {position}/{length}         0/s", "=".repeat(24)));
        }
        assert!(drawn(u64::MAX, u64::MAX).contains(&"=".repeat(24)));
    }

    #[test]
    fn a_rate_is_of_the_last_few_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert_eq!(rate.text(), "0/s");
        // A minute at 1,000 per second, then ten seconds at 10.
        let mut position = 0;
        for tenth in 0..=700 {
            rate.sample(position, start + SAMPLE * tenth);
            position += if tenth < 600 { 100 } else { 1 };
        }
        assert_eq!(rate.text(), "10/s");
        assert!(rate.samples.len() <= 31, "{} samples", rate.samples.len());
        // Nothing comes any more.
        for tenth in 701..=740 {
            rate.sample(position, start + SAMPLE * tenth);
        }
        assert_eq!(rate.text(), "0/s");
    }

    #[test]
    fn a_rate_has_its_thousands_apart_and_no_decimals() {
        let text = |per_second| Rate { per_second, ..Rate::default() }.text();
        assert_eq!([0.4, 27_518.895_622_570_594].map(text), ["0/s", "27,519/s"]);
    }

    #[test]
    fn what_has_no_end_shows_none() {
        let line = endless("appended");
        line.inc(12_965);
        assert_eq!((line.length(), line.position()), (None, 12_965));
    }
}
