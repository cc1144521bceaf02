//! The table of progress: totals and a line per partition, as many as fit, drawn while their workers run.

use super::gauge::{Gauge, Kind, counts};
use super::output::{BARS, thousands};
use super::progress::{Rate, figures, text};
use super::terminal::{TerminalSize, cut};
use evenfold::projection::Pool;
use indicatif::ProgressBar;
use std::cmp::Reverse;
use std::io;
use std::time::{Duration, Instant};

/// How often it is drawn.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How often lines change places, where not all fit: more often nobody could read them.
const SORTED_EVERY: Duration = Duration::from_secs(1);

/// Lines of the terminal that are left to a bar of the command and to the cursor.
const SPARE: usize = 2;

/// The lines of the partitions of a pool.
pub(super) struct Panel {
    gauges: Vec<Gauge>,
    /// Those of the gauges that are drawn, if not all fit, and since when.
    chosen: Vec<usize>,
    chosen_at: Option<Instant>,
    /// Of all together.
    rate: Rate,
    /// All lines: drawn as one, so that they are complete at any moment.
    block: ProgressBar,
}

impl Panel {
    pub(super) fn new(pool: &Pool) -> Self {
        Self::with(gauges("worker", pool).collect())
    }

    /// The lines of several projections, with the name of each.
    pub(super) fn of_all(pools: &[(String, Pool)]) -> Self {
        match pools {
            [(_, only)] => Self::new(only),
            _ => Self::with(pools.iter().flat_map(|(name, pool)| gauges(name, pool)).collect()),
        }
    }

    fn with(gauges: Vec<Gauge>) -> Self {
        Self { gauges, chosen: Vec::new(), chosen_at: None, rate: Rate::default(), block: text() }
    }

    /// Draws for as long as it is polled.
    pub(super) async fn draw(&mut self) -> std::convert::Infallible {
        loop {
            if !BARS.is_hidden() {
                let lines = self.lines(TerminalSize::of(io::stderr()), Instant::now());
                self.block.set_message(lines.join("\n"));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Takes the lines off the terminal.
    pub(super) fn clear(&self) {
        self.block.finish_and_clear();
        BARS.remove(&self.block);
    }

    fn lines(&mut self, size: TerminalSize, now: Instant) -> Vec<String> {
        self.gauges.iter_mut().for_each(|gauge| gauge.read(now));
        let room = size.height.saturating_sub(SPARE).max(1);
        let mut lines = Vec::new();
        if self.gauges.len() > 1 {
            lines.push(self.totals(now));
        }
        if lines.len() + self.gauges.len() <= room {
            // All of them, each in its place.
            self.chosen_at = None;
            lines.extend(self.gauges.iter().map(Gauge::line));
        } else {
            self.choose(room.saturating_sub(lines.len() + 1), now);
            lines.extend(self.chosen.iter().map(|at| self.gauges[*at].line()));
            let others = (0..self.gauges.len()).filter(|at| !self.chosen.contains(at));
            let others: Vec<Kind> = others.map(|at| self.gauges[at].kind()).collect();
            lines.push(format!("{:>12} and {} more: {}", "", others.len(), counts(&others)));
        }
        lines.truncate(room);
        lines.iter().map(|line| cut(line, size.width)).collect()
    }

    /// Chooses those that need somebody most, and of these the ones that are furthest behind.
    fn choose(&mut self, room: usize, now: Instant) {
        let due = self.chosen_at.is_none_or(|at| now.saturating_duration_since(at) >= SORTED_EVERY);
        if due || self.chosen.len() != room {
            let mut sorted: Vec<usize> = (0..self.gauges.len()).collect();
            sorted.sort_by_key(|at| (self.gauges[*at].kind(), Reverse(self.gauges[*at].behind())));
            sorted.truncate(room);
            (self.chosen, self.chosen_at) = (sorted, Some(now));
        }
    }

    /// All in one line: a bar, or words where it is not known how much is left.
    fn totals(&mut self, now: Instant) -> String {
        let applied = self.gauges.iter().map(Gauge::applied).sum();
        self.rate.sample(applied, now);
        let behind: Option<u64> = self.gauges.iter().map(Gauge::behind).sum();
        let shown = if let Some(behind) = behind {
            figures(applied, applied + behind, &self.rate)
        } else {
            let kinds: Vec<Kind> = self.gauges.iter().map(Gauge::kind).collect();
            let applied = thousands(applied);
            format!("{applied} applied, {}; {}", self.rate.text(), counts(&kinds))
        };
        format!("{:>12} {shown}", "total")
    }
}

fn gauges(name: &str, pool: &Pool) -> impl Iterator<Item = Gauge> {
    pool.members().iter().map(move |member| Gauge::new(name, member.clone()))
}
