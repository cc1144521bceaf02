//! What was measured, as figures.

use super::folded::Taken;
use evenfold_cli::bench::report::{Figure, Goal, Unit};

/// How many projections are folded side by side in one process.
pub(super) const SEVERAL: usize = 5;

/// One sample per run.
#[derive(Debug, Default)]
pub(super) struct SqlSamples {
    pub(super) copy: Vec<f64>,
    pub(super) counters: Vec<Taken>,
    pub(super) totals: Vec<Taken>,
    pub(super) counters_pool: Vec<Taken>,
    pub(super) totals_pool: Vec<Taken>,
    pub(super) rebuilt: Vec<Taken>,
    pub(super) unread: Vec<Taken>,
    pub(super) several: Vec<Taken>,
    /// The median of each run, in milliseconds.
    pub(super) visible: Vec<f64>,
    pub(super) insert: Vec<f64>,
}

impl SqlSamples {
    pub(super) fn figures(&self) -> Vec<Figure> {
        let times = |taken: &[Taken], factor: usize| {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let factor = factor as f64;
            walls(taken).iter().map(|wall| wall * factor).collect::<Vec<_>>()
        };
        vec![
            seconds("totals", walls(&self.totals), "counters", walls(&self.counters), 1.2),
            seconds("totals: CPU", cpus(&self.totals), "counters", cpus(&self.counters), 0.75),
            seconds("totals, pool of 2", walls(&self.totals_pool), "COPY", self.copy.clone(), 1.25),
            seconds("totals, pool of 2", walls(&self.totals_pool), "counters", walls(&self.counters_pool), 0.8),
            seconds("no payload", walls(&self.unread), "COPY", self.copy.clone(), 1.0),
            seconds("rebuild of totals", walls(&self.rebuilt), "totals", walls(&self.totals), 1.2),
            Figure {
                what: "100/s: p50".to_owned(),
                unit: Unit::Milliseconds,
                samples: self.visible.clone(),
                against: "INSERT",
                yardstick: self.insert.clone(),
                goal: Goal::AtMost(3.0),
            },
            seconds("five projections", walls(&self.several), "five times one", times(&self.totals, SEVERAL), 0.8),
        ]
    }
}

fn seconds(what: &str, samples: Vec<f64>, against: &'static str, yardstick: Vec<f64>, most: f64) -> Figure {
    Figure { what: what.to_owned(), unit: Unit::Seconds, samples, against, yardstick, goal: Goal::AtMost(most) }
}

fn walls(taken: &[Taken]) -> Vec<f64> {
    taken.iter().map(|taken| taken.wall).collect()
}

fn cpus(taken: &[Taken]) -> Vec<f64> {
    taken.iter().filter_map(|taken| taken.cpu).collect()
}
