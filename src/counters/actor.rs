//! Counter actors: one aggregate's counter each, and what is known of its row.

use super::changes::Publisher;
use crate::counter::{AmountPointer, Counter, Refused};
use crate::event::Event;
use crate::number::Version;
use crate::state_table::StateTable;

/// One aggregate's counter, and what is known of its row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CounterState {
    pub(super) counter: Counter,
    pub(super) row: Row,
    pub(super) changed: bool,
}

/// What is known of an actor's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Row {
    /// It has not been looked for.
    #[default]
    Unknown,
    /// It is being looked for: no event is applied before that is done.
    Awaited,
    /// There is none.
    None,
    /// There is one.
    There,
}

/// How an event is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) pointer: &'a AmountPointer,
    /// Whether an operator has dropped it.
    pub(super) dropped: bool,
    /// Whether versions before it may be nobody's.
    pub(super) with_gaps: bool,
}

impl CounterState {
    /// What an event does to it. Gives how many counters are changed by that which were not.
    pub(super) fn take(&mut self, event: &Event<'_>, how: How<'_>) -> Result<usize, Refused> {
        let How { pointer, dropped, with_gaps } = how;
        if with_gaps && event.version > self.counter.version {
            self.counter = self.counter.skip(Version::new(event.version.get() - 1));
        }
        self.counter = if dropped {
            self.counter.skip(event.version)
        } else {
            self.counter.apply(event.version, event.position, pointer.amount(event.payload))?
        };
        Ok(usize::from(!std::mem::replace(&mut self.changed, true)))
    }
}

/// A counter that is changed: type and id of its aggregate, and its actor.
pub(super) type Changed<'a> = (&'a str, &'a str, &'a mut CounterState);

/// The counters that are changed, in the order of the keys, in which the rows and the index are next to each other.
pub(super) fn changed(actors: &mut StateTable<CounterState>) -> Vec<Changed<'_>> {
    let mut changed: Vec<Changed<'_>> = actors.used().filter(|(.., actor)| actor.changed).collect();
    changed.sort_unstable_by_key(|&(aggregate_type, aggregate_id, _)| (aggregate_type, aggregate_id));
    changed
}

/// Those that have a row, or those that have none.
pub(super) fn rows<'a>(changed: &'a [Changed<'a>], row: Row) -> impl Iterator<Item = (&'a str, &'a str, Counter)> {
    let those = changed.iter().filter(move |(.., actor)| actor.row == row);
    those.map(|(aggregate_type, aggregate_id, actor)| (*aggregate_type, *aggregate_id, actor.counter))
}

/// They are in the table, as they are. What a rebuild writes is not in use yet, and is published to nobody.
pub(super) fn written(changed: Vec<Changed<'_>>, publisher: Option<&mut Publisher>) {
    if let Some(publisher) = publisher {
        publisher.written(changed.iter().map(|(aggregate_type, id, actor)| (*aggregate_type, *id, actor.counter)));
    }
    for (.., actor) in changed {
        (actor.row, actor.changed) = (Row::There, false);
    }
}
