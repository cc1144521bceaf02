//! Events that are given in place of a log.

use crate::lines::Lines;
use anyhow::anyhow;
use evenfold::RecordedEvent;
use evenfold_sql::check::in_place;
use std::io::Read;

/// Events that are given in place of a log, and their lines.
pub(super) struct Given {
    pub(super) events: Vec<RecordedEvent>,
    lines: Vec<u64>,
}

impl Given {
    pub(super) fn read(input: impl Read, called: &str) -> anyhow::Result<Self> {
        let (lines, events): (Vec<u64>, Vec<_>) = Lines::of(input, called).all()?.into_iter().unzip();
        let line = |index: usize| lines.get(index).copied().unwrap_or_default();
        let events = in_place(events).map_err(|error| anyhow!("line {}: {error}", line(error.index)))?;
        Ok(Self { events, lines })
    }

    /// The line of the event at a position, which begin at 1.
    pub(super) fn line(&self, position: i64) -> u64 {
        let index = usize::try_from(position - 1).unwrap_or_default();
        self.lines.get(index).copied().unwrap_or_default()
    }
}
