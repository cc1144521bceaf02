//! What was measured, as figures.

use super::super::sql::Taken;
use evenfold_cli::bench::report::{Figure, Goal, Unit};

/// What a worker's memory may grow by, in MiB.
const MOST_MIB: f64 = 16.0;

/// One sample per run.
#[derive(Debug, Default)]
pub(super) struct SourceSamples {
    pub(super) own: Vec<Taken>,
    pub(super) sequence: Vec<Taken>,
    pub(super) second_server: Vec<Taken>,
    pub(super) jsonb: Vec<Taken>,
    /// The median of each run, in milliseconds.
    pub(super) steady_own: Vec<f64>,
    pub(super) steady_sequence: Vec<f64>,
    pub(super) sparse_own: Vec<f64>,
    pub(super) sparse_sequence: Vec<f64>,
    /// Events per second.
    pub(super) alone: Vec<f64>,
    pub(super) next_to_a_worker: Vec<f64>,
    /// Peaks, in MiB.
    pub(super) none_missing: Vec<f64>,
    pub(super) missing: Vec<f64>,
}

impl SourceSamples {
    pub(super) fn figures(self) -> Vec<Figure> {
        let more = self.missing.iter().zip(&self.none_missing).map(|(with, without)| with - without).collect();
        let (own, sequence) = (walls(&self.own), walls(&self.sequence));
        let second_server = walls(&self.second_server);
        vec![
            figure("catch up", Unit::Seconds, sequence.clone(), "own", own.clone(), Goal::AtMost(1.15)),
            figure("catch up: CPU", Unit::Seconds, cpus(&self.sequence), "own", cpus(&self.own), Goal::Open),
            figure("catch up, jsonb", Unit::Seconds, walls(&self.jsonb), "own", own, Goal::Open),
            figure("jsonb: CPU", Unit::Seconds, cpus(&self.jsonb), "own", cpus(&self.own), Goal::Open),
            figure("log elsewhere", Unit::Seconds, second_server, "same db", sequence, Goal::AtMost(1.2)),
            figure("100/s: p50", Unit::Milliseconds, self.steady_sequence, "own", self.steady_own, Goal::AtMost(1.3)),
            figure("after idle: p50", Unit::Milliseconds, self.sparse_sequence, "own", self.sparse_own, Goal::Open),
            figure("writers", Unit::PerSecond, self.next_to_a_worker, "no worker", self.alone, Goal::AtLeast(0.97)),
            figure("peak memory", Unit::Mebibytes, self.missing, "none missing", self.none_missing, Goal::Open),
            figure("more memory", Unit::Mebibytes, more, "the limit", vec![MOST_MIB], Goal::AtMost(1.0)),
        ]
    }
}

fn walls(taken: &[Taken]) -> Vec<f64> {
    taken.iter().map(|taken| taken.wall).collect()
}

fn cpus(taken: &[Taken]) -> Vec<f64> {
    taken.iter().filter_map(|taken| taken.cpu).collect()
}

fn figure(what: &str, unit: Unit, samples: Vec<f64>, against: &'static str, yardstick: Vec<f64>, goal: Goal) -> Figure {
    Figure { what: what.to_owned(), unit, samples, against, yardstick, goal }
}
