//! Reading a window of a log whose positions say nothing about the order of an aggregate's events: by keys.

use super::{Event, Transactions};
use crate::cases::{Case, Cases};
use crate::mutant::Mutant;
use evenfold::checkpoint::Checkpoint;
use evenfold::class::Class;
use evenfold::log::{Fence, Window};
use evenfold::number::Position;

/// Events that are read together.
pub struct Chunk {
    pub events: Vec<Event>,
    /// Up to where the open window is applied with them.
    pub upto: Option<Position>,
    /// Whether that is all of the window.
    pub complete: bool,
}

/// The highest position of the window's events of the aggregate up to the event's version: its own, unless an earlier
/// version has a higher one.
pub fn key(log: &Transactions, (seen, upto): (&Fence, &Fence), event: &Event) -> i64 {
    let position = |event: &Event| Position::new(event.position);
    let is_of_window = |other: &&Event| {
        let (shown, seen) = (upto.shows(other.xid, position(other)), seen.shows(other.xid, position(other)));
        shown && !seen && other.aggregate == event.aggregate && other.version <= event.version
    };
    let positions = log.committed().iter().filter(is_of_window).map(|other| other.position);
    positions.fold(event.position, i64::max)
}

/// Whether those who do not read a window find what the checkpoint says: whoever folds anew and leaves out what follows
/// an event that was not applied, and whoever asks by the key of the whole log, which may find less.
pub fn agree(log: &Transactions, checkpoint: &Checkpoint, event: &Event, is_applied: bool) -> bool {
    let applied = |event: &Event, key: i64| checkpoint.applied(event.xid, Position::new(key));
    let is_earlier = |other: &&Event| other.aggregate == event.aggregate && other.version <= event.version;
    let earlier = || log.committed().iter().filter(is_earlier);
    let anew = earlier().all(|other| applied(other, other.position));
    let highest = earlier().map(|other| other.position).fold(event.position, i64::max);
    anew == is_applied && (is_applied || !applied(event, highest))
}

/// Whether the event is not in the fence: none is that is above its floor.
pub fn is_new(seen: &Fence, event: &Event, mutant: Option<Mutant>) -> bool {
    let position = Position::new(event.position);
    let below = match mutant {
        Some(Mutant::NoLateRows) => false,
        Some(Mutant::LateWereInProgress) => seen.may_be_late(event.xid),
        _ => !seen.shows(event.xid, position),
    };
    position > seen.floor || below
}

/// The part of a window that is read next: positions above the cursor, and up to the last one, if not to the end.
#[derive(Clone, Copy)]
struct Part {
    after: i64,
    last: Option<i64>,
}

impl Part {
    /// As far as so many rows go.
    fn of(rows: &[Event], after: i64, limit: usize) -> Self {
        let above: Vec<i64> = rows.iter().map(|event| event.position).filter(|&position| position > after).collect();
        Self { after, last: if above.len() < limit { None } else { above.get(limit - 1).copied() } }
    }

    /// The same up to the first key of what has waited, as if that filled the buffer: those with one key are not
    /// divided.
    fn cut(self, keys: &[i64], cases: &Cases) -> Self {
        match keys.iter().min() {
            Some(first) if keys.iter().any(|key| key != first) => {
                cases.note(Case::Cut);
                Self { last: Some(*first), ..self }
            }
            _ => self,
        }
    }

    fn has(&self, position: i64) -> bool {
        position > self.after && self.last.is_none_or(|last| position <= last)
    }
}

/// The next chunk of the window, whose keys are those of a window that begins at a fence: at the same, unless of a
/// mutant.
pub fn chunk(
    log: &Transactions,
    (window, begin): (Window<'_>, &Fence),
    (classes, limit): (&[Class], usize),
    mutant: Option<Mutant>,
    cases: &Cases,
) -> Chunk {
    let is_of_window = |event: &&Event| {
        let shown = window.upto.shows(event.xid, Position::new(event.position));
        shown && is_new(window.seen, event, mutant) && event.is_of(classes)
    };
    let rows: Vec<Event> = log.committed().iter().filter(is_of_window).copied().collect();
    let key = |event: &Event| key(log, (begin, window.upto), event);
    let part = Part::of(&rows, window.after.get(), limit);
    let waited = rows.iter().filter(|event| key(event) > event.position).map(key);
    let (all, part) = (part, part.cut(&waited.filter(|&key| part.has(key)).collect::<Vec<_>>(), cases));
    let is_next = |event: &&Event| match mutant {
        Some(Mutant::ChunkOfPositions) => part.has(event.position),
        Some(Mutant::WaitingForgotten) => part.has(event.position) && part.has(key(event)),
        _ => part.has(key(event)),
    };
    let mut events: Vec<Event> = rows.iter().filter(is_next).copied().collect();
    match mutant {
        Some(Mutant::InOrderOfPositions) => {}
        Some(Mutant::ChunkOfPositions) => events.sort_by_key(|event| event.version),
        _ => events.sort_by_key(|event| (key(event), event.version)),
    }
    if rows.iter().any(|event| part.has(event.position) && !part.has(key(event))) {
        cases.note(Case::Waits);
    }
    let reached = if mutant == Some(Mutant::CutAndReached) { all.last } else { part.last };
    Chunk { events, upto: reached.map(Position::new), complete: reached.is_none() }
}
