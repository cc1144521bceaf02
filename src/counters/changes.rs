//! Publishing which counters a commit has changed.

use super::table::CounterRow;
use crate::counter::Counter;
use std::fmt::Debug;
use std::sync::Arc;

/// The most counters that are listed. No fewer than a worker that keeps up applies events at once; and with so few, a
/// message has some 100 kB.
pub const MAX_LISTED: usize = 1_000;

/// What a commit has changed, as it is published after it.
///
/// The workers of this process that were given [`Subscribers`] publish it, never before the commit, and at most once: a
/// worker that is killed just after its commit publishes nothing. So who subscribes begins to receive first, and reads
/// the counters that it wants then; takes over what is listed; and reads again at [`Changes::Any`], or when it has
/// missed something. Of two rows of one counter that of the higher version counts, whichever comes later: a partition
/// may go from one worker of this process to another just after a commit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Changes {
    /// These counters, as they are now: 1,000 ([`MAX_LISTED`]) at most. One that is listed twice is the later one.
    Listed(Vec<CounterRow>),
    /// Any counter may have changed: more than can be listed; or a worker has begun, met a failure, or gone on after
    /// another; or somebody has subscribed while the commit was on its way; or rebuilt counters are in use.
    Any,
}

/// Those to whom changes are published.
pub trait Subscribers: Debug + Send + Sync + 'static {
    /// Whether there is nobody: then changes are not listed.
    fn is_empty(&self) -> bool;

    /// Passes changes on. It waits for nobody: the worker would.
    fn publish(&self, changes: Changes);
}

/// What is to be published once it is committed.
#[derive(Debug)]
pub(super) struct Publisher {
    subscribers: Arc<dyn Subscribers>,
    pending: Option<Changes>,
    /// Others may have written since this worker's last commit, and have published nothing here.
    unsure: bool,
}

impl Publisher {
    pub(super) fn new(subscribers: Arc<dyn Subscribers>) -> Self {
        Self { subscribers, pending: None, unsure: true }
    }

    /// These counters are written, in a transaction that is open.
    pub(super) fn written<'a>(&mut self, rows: impl ExactSizeIterator<Item = (&'a str, &'a str, Counter)>) {
        // Whoever subscribes before the commit and reads what was there before must learn of it after it: that needs no
        // list.
        let listed = !self.unsure && !self.subscribers.is_empty();
        match self.pending.get_or_insert_with(|| Changes::Listed(Vec::new())) {
            Changes::Listed(list) if listed && list.len() + rows.len() <= MAX_LISTED => {
                list.extend(rows.map(|(aggregate_type, aggregate_id, counter)| CounterRow {
                    aggregate_type: aggregate_type.to_owned(),
                    aggregate_id: aggregate_id.to_owned(),
                    events: counter.events,
                    value: counter.value,
                    version: counter.version,
                    last_position: counter.last_position,
                }));
            }
            pending => *pending = Changes::Any,
        }
    }

    pub(super) fn committed(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.unsure = false;
            self.publish(pending);
        }
    }

    pub(super) fn forget(&mut self) {
        (self.pending, self.unsure) = (None, true);
    }

    pub(super) fn publish(&self, changes: Changes) {
        if !self.subscribers.is_empty() {
            self.subscribers.publish(changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};

    /// One who receives while it is there.
    #[derive(Debug, Default)]
    struct Received(Mutex<Option<Vec<Changes>>>);

    impl Subscribers for Received {
        fn is_empty(&self) -> bool {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
        }

        fn publish(&self, changes: Changes) {
            if let Some(all) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                all.push(changes);
            }
        }
    }

    impl Received {
        fn subscribe(&self) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        }

        fn leave(&self) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }

        /// The values that were listed in each message since the last call; none for any.
        fn values(&self) -> Vec<Option<Vec<i64>>> {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let values = |changes| match changes {
                Changes::Listed(rows) => Some(rows.iter().map(|row: &CounterRow| row.value).collect()),
                Changes::Any => None,
            };
            all.as_mut().map(std::mem::take).into_iter().flatten().map(values).collect()
        }
    }

    /// A worker that has published something, and one who receives.
    fn publishing() -> (Publisher, Arc<Received>) {
        let received = Arc::new(Received::default());
        let mut publisher = Publisher::new(Arc::clone(&received) as Arc<dyn Subscribers>);
        write(&mut publisher, 0..1);
        publisher.committed();
        received.subscribe();
        (publisher, received)
    }

    fn write(publisher: &mut Publisher, values: std::ops::Range<i64>) {
        let rows: Vec<_> = values.map(|value| ("t", "a", Counter { value, ..Counter::default() })).collect();
        publisher.written(rows.into_iter());
    }

    #[test]
    fn changes_are_published_after_their_commit_and_not_after_a_rollback() {
        let (mut publisher, received) = publishing();
        write(&mut publisher, 1..2);
        write(&mut publisher, 2..4);
        assert_eq!(received.values(), []);
        publisher.committed();
        assert_eq!(received.values(), [Some(vec![1, 2, 3])]);
        publisher.committed();
        write(&mut publisher, 4..5);
        publisher.forget();
        publisher.committed();
        assert_eq!(received.values(), []);
        write(&mut publisher, 5..6);
        publisher.committed();
        write(&mut publisher, 6..7);
        publisher.committed();
        assert_eq!(received.values(), [None, Some(vec![6])], "others may have written before the first of them");
    }

    #[test]
    fn more_than_can_be_listed_is_published_without_a_list_and_kept_in_none() {
        let (mut publisher, received) = publishing();
        write(&mut publisher, 0..1_000);
        publisher.committed();
        assert_eq!(received.values().first().and_then(Option::as_ref).map(Vec::len), Some(1_000));
        write(&mut publisher, 0..999);
        write(&mut publisher, 0..2);
        assert_eq!(publisher.pending, Some(Changes::Any));
        write(&mut publisher, 0..2);
        publisher.committed();
        assert_eq!(received.values(), [None]);
    }

    #[test]
    fn nothing_is_listed_while_nobody_subscribes_and_who_does_before_the_commit_learns_of_it() {
        let (mut publisher, received) = publishing();
        received.leave();
        write(&mut publisher, 1..2);
        assert_eq!(publisher.pending, Some(Changes::Any));
        received.subscribe();
        publisher.committed();
        assert_eq!(received.values(), [None]);
    }
}
