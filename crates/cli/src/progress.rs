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

/// What a line looks like.
pub const BAR: &str = "{prefix:>12} [{bar:24}] {human_pos}/{human_len} {rate:>11}";
pub const ENDLESS: &str = "{prefix:>12} {human_pos} so far {rate:>11}";
/// For words in place of figures: as many of them as fit.
pub const WORDS: &str = "{prefix:>12} {wide_msg}";

#[must_use]
pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", Rate::default())
        .progress_chars("=> ")
}

/// How many per second in the latest few seconds: indicatif's own rate remembers for longer, and has a dozen decimals.
#[derive(Debug, Clone, Default)]
struct Rate {
    samples: VecDeque<(Instant, u64)>,
    per_second: f64,
}

impl Rate {
    #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
    fn sample(&mut self, position: u64, now: Instant) {
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
    fn text(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
