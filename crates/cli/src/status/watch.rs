//! `status --watch`: again every second, and in words where the database does not answer.

use super::fit::fitted;
use super::look::Lookout;
use super::order::age;
use super::render::report;
use crate::output::{complain, folded_to, print, print_json, visible};
use crate::screen::{Screen, draw};
use crate::start::in_words;
use crate::terminal::{TerminalSize, cut, obeys};
use evenfold::checkpoint::{Extent, Status};
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a look may take before the figures of the one before are no longer shown.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks until it is to stop. Only if the first look fails, that is an error: the database may come back.
pub(super) async fn watch(lookout: &mut Lookout<'_>, json: bool, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let Some(first) = shutdown.run_until_cancelled(lookout.look(Extent::Little)).await else { return Ok(()) };
    let mut view = View::new(json, first?)?;
    view.show()?;
    while shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
        let mut look = pin!(lookout.look(Extent::Little));
        let mut asked = Instant::now();
        loop {
            tokio::select! {
                looked = &mut look => {
                    view.take(looked);
                    break;
                }
                () = tokio::time::sleep(PATIENCE.saturating_sub(asked.elapsed())) => {
                    view.away("the database has not answered yet");
                    asked = Instant::now();
                }
                () = shutdown.cancelled() => return Ok(()),
            }
            view.show()?;
        }
        view.show()?;
    }
    Ok(())
}

/// What is shown, and where.
struct View {
    /// None where standard output is no terminal: what is written there stays.
    screen: Option<Screen>,
    json: bool,
    last: LastLook,
    /// When the figures were counted last.
    counted: (SystemTime, Instant),
}

enum LastLook {
    Figures(Vec<Status>),
    /// None, and why.
    Nothing(String),
}

impl View {
    fn new(json: bool, first: Vec<Status>) -> anyhow::Result<Self> {
        let screen = if !json && obeys(&io::stdout()) { Some(Screen::enter()?) } else { None };
        Ok(Self { screen, json, last: LastLook::Figures(first), counted: (SystemTime::now(), Instant::now()) })
    }

    fn take(&mut self, looked: anyhow::Result<Vec<Status>>) {
        match looked {
            Ok(all) => {
                self.last = LastLook::Figures(all);
                self.counted = (SystemTime::now(), Instant::now());
            }
            Err(error) => self.away(&in_words(&error)),
        }
    }

    /// No figures are better than old ones.
    fn away(&mut self, why: &str) {
        if self.json && !matches!(self.last, LastLook::Nothing(_)) {
            complain(&format!("nothing is counted for now: {why}; it is tried again every second"));
        }
        self.last = LastLook::Nothing(visible(why).into_owned());
    }

    fn show(&self) -> anyhow::Result<()> {
        match (&self.screen, &self.last) {
            (Some(_), _) => {
                let size = TerminalSize::of(io::stdout());
                Ok(draw(&self.lines(size), size.height)?)
            }
            (None, LastLook::Figures(all)) if self.json => all.iter().try_for_each(print_json),
            (None, LastLook::Figures(all)) => print(&format!("{}\n{}\n", clock(self.counted.0), report(all))),
            (None, LastLook::Nothing(_)) if self.json => Ok(()),
            (None, LastLook::Nothing(why)) => print(&format!("{}\n\n", self.nothing(why))),
        }
    }

    fn lines(&self, size: TerminalSize) -> Vec<String> {
        match &self.last {
            LastLook::Figures(all) => {
                let time = format!("{}, every second; Ctrl-C ends it", clock(self.counted.0));
                fitted(all, &time, size)
            }
            LastLook::Nothing(why) => {
                let lines = folded_to(&self.nothing(why), size.width);
                lines.iter().take(size.height).map(|line| cut(line, size.width)).collect()
            }
        }
    }

    fn nothing(&self, why: &str) -> String {
        let (since, ago) = (clock(self.counted.0), age(self.counted.1.elapsed().as_secs_f64()));
        format!("NO FIGURES since {since}, for {ago}: {why}. It is tried again every second; Ctrl-C ends it.")
    }
}

/// The time of the day.
fn clock(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02} UTC", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_day() {
        assert_eq!(clock(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 20_000 + 3_723)), "01:02:03 UTC");
    }
}
