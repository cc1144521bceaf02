//! What is logged of parked events: a few of them one by one, and how many others there are for each reason. One deploy
//! that writes amounts as texts parks every event of the log, and a line for each would say nothing more.

use crate::checkpoint::{BEHIND, ParkedEvent};
use crate::class::Class;
use crate::event::Aggregate;
use crate::number::{Position, Version};
use std::time::{Duration, Instant};

/// Events that are logged one by one within a period.
const EXAMPLES: usize = 5;

/// Between two logs of what was summed up.
const PERIOD: Duration = Duration::from_secs(10);

/// Reasons that are counted apart: some have a number of the event in them.
const REASONS: usize = 10;

/// What a transaction has parked, to be logged once it is committed.
#[derive(Debug, Default)]
pub(super) struct ParkedLog {
    examples: Vec<Example>,
    /// Of all others.
    sums: Sums,
}

#[derive(Debug)]
struct Example {
    aggregate: Aggregate,
    version: Version,
    position: Position,
    reason: String,
}

#[derive(Debug, Default)]
struct Sums {
    reasons: Vec<(String, u64)>,
    others: u64,
}

impl Sums {
    fn add(&mut self, reason: &str, events: u64) {
        if let Some((_, sum)) = self.reasons.iter_mut().find(|(known, _)| known == reason) {
            *sum += events;
        } else if self.reasons.len() < REASONS {
            self.reasons.push((reason.to_owned(), events));
        } else {
            self.others += events;
        }
    }
}

impl ParkedLog {
    pub(super) fn add(&mut self, parked: &[ParkedEvent<'_>]) {
        for ParkedEvent { event, reason } in parked {
            // Those that wait behind one that can't be applied are only counted.
            if *reason == BEHIND || self.examples.len() == EXAMPLES {
                self.sums.add(reason, 1);
                continue;
            }
            let (aggregate_type, aggregate_id) = (event.aggregate_type.to_owned(), event.aggregate_id.to_owned());
            let aggregate = Aggregate { aggregate_type, aggregate_id };
            let (version, position) = (event.version, event.position);
            self.examples.push(Example { aggregate, version, position, reason: (*reason).to_owned() });
        }
    }
}

/// What a worker has logged of parked events lately, and is to log.
#[derive(Debug)]
pub(super) struct Warnings {
    projection: String,
    partition: Class,
    /// When the period has begun; none while there is nothing to be summed up.
    since: Option<Instant>,
    examples: usize,
    sums: Sums,
}

impl Warnings {
    pub(super) fn new(projection: &str, partition: Class) -> Self {
        Self { projection: projection.to_owned(), partition, since: None, examples: 0, sums: Sums::default() }
    }

    /// Logs what a committed transaction has parked: the first events at once, and the sums at once where they are the
    /// first of a period, or else at its end.
    pub(super) fn committed(&mut self, parked: ParkedLog, now: Instant) {
        let ParkedLog { examples, sums } = parked;
        if examples.is_empty() && sums.reasons.is_empty() {
            return;
        }
        self.flush_if_due(now);
        for Example { aggregate: Aggregate { aggregate_type, aggregate_id }, version, position, reason } in examples {
            if self.examples < EXAMPLES {
                self.examples += 1;
                let (projection, partition) = (&self.projection, self.partition);
                tracing::warn!(%partition, aggregate_type, aggregate_id, %version, %position, %reason, projection, "parked");
            } else {
                self.sums.add(&reason, 1);
            }
        }
        sums.reasons.iter().for_each(|(reason, events)| self.sums.add(reason, *events));
        self.sums.others += sums.others;
        if self.since.is_none() {
            self.since = Some(now);
            self.log_sums();
        }
    }

    /// To be called often: logs the sums of a period that is over.
    pub(super) fn flush_if_due(&mut self, now: Instant) {
        if self.since.is_some_and(|since| now.saturating_duration_since(since) >= PERIOD) {
            self.log_sums();
            (self.since, self.examples) = (None, 0);
        }
    }

    fn log_sums(&mut self) {
        let Sums { reasons, others } = std::mem::take(&mut self.sums);
        let (projection, partition) = (&self.projection, self.partition);
        for (reason, events) in reasons {
            tracing::warn!(%partition, events, %reason, projection, "parked more events, which are not logged one by one");
        }
        if others > 0 {
            tracing::warn!(%partition, events = others, projection, "parked more events, for other reasons: \
                `evenfold parked list` shows them");
        }
    }
}

/// A worker that ends has nothing left to log.
impl Drop for Warnings {
    fn drop(&mut self) {
        self.log_sums();
    }
}
