//! Figures: what was measured, against what, and whether it is good enough.

use super::stats::{median, ratio};
use crate::output::{print, print_json, table, thousands};
use serde::Serialize;

/// How far a figure may be from its yardstick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Shown, and judged by nobody.
    Open,
}

impl Goal {
    fn met(self, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(ratio? <= most),
            Self::AtLeast(least) => Some(ratio? >= least),
            Self::Open => None,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::AtMost(most) => format!("<= {most}"),
            Self::AtLeast(least) => format!(">= {least}"),
            Self::Open => "-".to_owned(),
        }
    }
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
    Events,
    PerSecond,
    Mebibytes,
    Bytes,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Events => "events",
            Self::PerSecond => "/s",
            Self::Mebibytes => "MiB",
            Self::Bytes => "B",
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a number to look at")]
    fn describe(self, value: Option<f64>) -> String {
        let Some(value) = value else { return "-".to_owned() };
        match self {
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Events => thousands(value.round() as i64),
            Self::PerSecond => format!("{}/s", thousands(value.round() as i64)),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Bytes => format!("{} B", thousands(value.round() as i64)),
        }
    }
}

/// One figure: the same thing measured several times, and its yardstick in the same runs. Where nothing could be
/// measured, there are no samples.
#[derive(Debug, Clone)]
pub struct Figure {
    pub what: String,
    pub unit: Unit,
    pub samples: Vec<f64>,
    /// The yardstick's name.
    pub against: &'static str,
    pub yardstick: Vec<f64>,
    pub goal: Goal,
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        ratio(median(&self.samples), median(&self.yardstick))
    }

    fn row(&self) -> Vec<String> {
        let met = self.goal.met(self.ratio()).map_or("-", |met| if met { "yes" } else { "no" });
        vec![
            self.what.clone(),
            self.unit.describe(median(&self.samples)),
            self.against.to_owned(),
            self.unit.describe(median(&self.yardstick)),
            self.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.3}")),
            self.goal.describe(),
            met.to_owned(),
        ]
    }
}

/// A figure as a line of JSON: what the table shows, in full.
#[derive(Serialize)]
struct ReportLine<'a> {
    benchmark: &'a str,
    what: &'a str,
    unit: &'a str,
    runs: usize,
    median: Option<f64>,
    yardstick: &'a str,
    yardstick_median: Option<f64>,
    ratio: Option<f64>,
    at_most: Option<f64>,
    at_least: Option<f64>,
    met: Option<bool>,
}

impl<'a> ReportLine<'a> {
    fn of(benchmark: &'a str, figure: &'a Figure) -> Self {
        let (at_most, at_least) = match figure.goal {
            Goal::AtMost(most) => (Some(most), None),
            Goal::AtLeast(least) => (None, Some(least)),
            Goal::Open => (None, None),
        };
        let ratio = figure.ratio();
        Self {
            benchmark,
            what: &figure.what,
            unit: figure.unit.name(),
            runs: figure.samples.len(),
            median: median(&figure.samples),
            yardstick: figure.against,
            yardstick_median: median(&figure.yardstick),
            ratio,
            at_most,
            at_least,
            met: figure.goal.met(ratio),
        }
    }
}

/// Prints the figures, below a sentence about the data, or as JSON, one object per line.
pub fn show(benchmark: &str, about: &str, figures: &[Figure], json: bool) -> anyhow::Result<()> {
    if json {
        return figures.iter().try_for_each(|figure| print_json(&ReportLine::of(benchmark, figure)));
    }
    let header = ["what", "median", "against", "its median", "ratio", "goal", "met"];
    let rows: Vec<Vec<String>> = figures.iter().map(Figure::row).collect();
    print(&format!("{about}\n\n{}", table(&header, &rows, 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(samples: &[f64], yardstick: &[f64], goal: Goal) -> Figure {
        Figure {
            what: "16 processes: rows".into(),
            unit: Unit::Seconds,
            samples: samples.to_vec(),
            against: "one worker",
            yardstick: yardstick.to_vec(),
            goal,
        }
    }

    #[test]
    fn a_ratio_is_that_of_the_medians_and_the_goal_is_asked_of_it_unrounded() {
        let met = |figure: &Figure| figure.row()[4..].join(" ");
        assert_eq!(met(&figure(&[3.0, 1.0, 2.0], &[4.0, 1.0, 9.0], Goal::AtMost(0.5))), "0.500 <= 0.5 yes");
        assert_eq!(met(&figure(&[1.0], &[2.0], Goal::AtMost(0.499_999))), "0.500 <= 0.499999 no");
        assert_eq!(met(&figure(&[2.0], &[2.0], Goal::AtLeast(1.0))), "1.000 >= 1 yes");
        assert_eq!(met(&figure(&[1.9], &[2.0], Goal::AtLeast(1.0))), "0.950 >= 1 no");
        assert_eq!(met(&figure(&[1.9], &[2.0], Goal::Open)), "0.950 - -");
        assert_eq!(met(&figure(&[], &[], Goal::AtMost(1.0))), "- <= 1 -");
    }

    #[test]
    fn the_json_has_what_the_table_shows() {
        let figure = figure(&[3.0], &[2.0], Goal::AtMost(1.5));
        let line = serde_json::to_value(ReportLine::of("fan-out", &figure)).unwrap();
        let expected = serde_json::json!({
            "benchmark": "fan-out", "what": "16 processes: rows", "unit": "s", "runs": 1, "median": 3.0,
            "yardstick": "one worker", "yardstick_median": 2.0, "ratio": 1.5, "at_most": 1.5, "at_least": null,
            "met": true,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn the_widest_rows_fit_into_eighty_columns() {
        let widest = Figure {
            what: "1,000/s, open tx: p99".into(),
            samples: vec![1_000_000.0],
            unit: Unit::Events,
            yardstick: vec![1_000_000.0],
            ..figure(&[], &[], Goal::AtMost(1.05))
        };
        let table = table(&["", "", "", "its median", "ratio", "", "met"], &[widest.row()], 1);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    }
}
