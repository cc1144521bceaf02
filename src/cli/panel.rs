//! The table of progress: one line per partition, drawn while its worker runs.

use super::generate::bar;
use evenfold::projection::{Member, Phase, Pool};
use indicatif::{MultiProgress, ProgressBar};
use std::time::Duration;

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(100);

/// The lines of the partitions of a pool.
pub(super) struct Panel {
    lines: Vec<(Member, ProgressBar)>,
}

impl Panel {
    pub(super) fn new(bars: &MultiProgress, pool: &Pool) -> Self {
        let line = |member: &Member| {
            (member.clone(), bars.add(bar("", 0).with_prefix(format!("worker {}", member.partition))))
        };
        Self { lines: pool.members().iter().map(line).collect() }
    }

    /// Draws for as long as it is polled.
    pub(super) async fn draw(&self) -> std::convert::Infallible {
        loop {
            for (member, bar) in &self.lines {
                let applied = member.progress.applied();
                let behind = match member.progress.phase() {
                    // Counted some time ago, and applied since.
                    Phase::CaughtUp => 0,
                    _ => member.progress.lag().map_or(0, |lag| lag.events),
                };
                bar.set_length(applied + behind);
                bar.set_position(applied);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Takes the lines off the terminal.
    pub(super) fn clear(&self) {
        for (_, bar) in &self.lines {
            bar.finish_and_clear();
        }
    }
}
