//! The table of progress: one line per partition, drawn while its worker runs.

use super::output::BARS;
use super::progress::{BAR, WORDS, bar, style};
use evenfold::projection::{Phase, Pool, PoolWorker};
use indicatif::ProgressBar;
use std::time::Duration;

/// How often it is drawn.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How many columns a line has for what it is about.
const NAME: usize = 12;

/// The lines of the partitions of a pool.
pub(super) struct Panel {
    lines: Vec<WorkerLine>,
}

struct WorkerLine {
    member: PoolWorker,
    bar: ProgressBar,
    /// What it looks like now.
    template: &'static str,
}

impl Panel {
    pub(super) fn new(pool: &Pool) -> Self {
        Self { lines: lines("worker", pool).collect() }
    }

    /// The lines of several projections, with the name of each.
    pub(super) fn of_all(pools: &[(String, Pool)]) -> Self {
        match pools {
            [(_, only)] => Self::new(only),
            _ => Self { lines: pools.iter().flat_map(|(name, pool)| lines(name, pool)).collect() },
        }
    }

    /// Draws for as long as it is polled.
    pub(super) async fn draw(&mut self) -> std::convert::Infallible {
        loop {
            self.lines.iter_mut().for_each(WorkerLine::draw);
            tokio::time::sleep(TICK).await;
        }
    }

    /// Takes the lines off the terminal.
    pub(super) fn clear(&self) {
        for line in &self.lines {
            line.bar.finish_and_clear();
            BARS.remove(&line.bar);
        }
    }
}

fn lines(name: &str, pool: &Pool) -> impl Iterator<Item = WorkerLine> {
    pool.members().iter().map(move |member| {
        let partition = member.partition.to_string();
        // As much of the name as there is room for next to the partition.
        let shown: String = name.chars().take(NAME.saturating_sub(partition.len() + 1)).collect();
        let bar = bar("", 0).with_prefix(format!("{shown} {partition}"));
        WorkerLine { member: member.clone(), bar, template: BAR }
    })
}

impl WorkerLine {
    /// Draws a bar of what is known, and words where the worker does not work: a bar would look like progress.
    fn draw(&mut self) {
        let progress = &self.member.progress;
        let (phase, applied) = (progress.phase(), progress.applied());
        let behind = match phase {
            // Counted some time ago, and applied since.
            Phase::CaughtUp => Some(0),
            Phase::Applying => progress.lag().map(|lag| lag.events),
            Phase::Starting | Phase::StandingBy | Phase::Superseded(_) | Phase::Retrying(_) => None,
        };
        let template = if behind.is_some() { BAR } else { WORDS };
        if template != self.template {
            self.bar.set_style(style(template));
            self.template = template;
        }
        if behind.is_none() {
            self.bar.set_message(phase.to_string());
        }
        self.bar.set_length(applied + behind.unwrap_or_default());
        self.bar.set_position(applied);
    }
}
