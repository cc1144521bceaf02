//! What every benchmark takes, and where it runs.

use crate::config::number;
use crate::output::BARS;
use crate::session::Session;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

/// What every benchmark takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Runs {
    /// How often each thing is measured, in turn with what it is compared to; medians count: 1 to 1000
    #[arg(long, default_value = "5", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1000)))]
    pub runs: u64,
    /// One JSON object per figure, one per line
    #[arg(long)]
    pub json: bool,
}

impl Runs {
    #[must_use]
    pub fn describe(self) -> String {
        match self.runs {
            1 => "one run".to_owned(),
            runs => format!("medians of {runs} runs"),
        }
    }
}

/// Where a benchmark runs.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    pub session: &'a Session,
    pub shutdown: &'a CancellationToken,
}

/// A progress bar of the measurements, within 80 columns.
pub fn steps(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} [{bar:24}] {pos}/{len}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let bar = BARS.add(ProgressBar::new(count).with_style(style).with_prefix("measuring"));
    bar.tick();
    bar
}
