//! Checkpoints: what has been applied, per class of a projection; what could not be; and who is at work.

mod answers;
mod at_once;
mod backlog;
mod beats;
mod converge;
mod definition;
mod delivery;
mod elsewhere;
mod erasure;
mod error;
mod heartbeat;
mod idle;
mod lag;
mod operations;
mod operator;
mod parked;
mod read_status;
mod readers;
mod status;
mod store;
mod takeover;
mod topology;
mod waiting;
mod wanted;

pub use answers::{Delivery, Events, Lag};
pub use at_once::CheckpointMove;
pub use backlog::{Backlog, backlog};
pub(crate) use beats::{Written, beat_again};
pub use converge::{Next, next};
pub(crate) use definition::check_definition;
pub use definition::{FoldedLog, check_begun, definition_of, log_of, projections};
pub use delivery::delivery;
pub(crate) use delivery::{look, now, position_of};
pub use erasure::{Erasable, Erase, EraseError, Erased, Erasure, erasable, erased_since_applied, erasures};
pub(crate) use error::BUILT_IN;
pub use error::RegisterError;
pub use heartbeat::{
    Beat, DEAD_AFTER, LONGEST_INTERVAL, RETRYING, SILENT_AFTER, SUPERSEDED, alive, beat, forget_beat, last_beat,
};
pub(crate) use lag::first_incomplete;
pub use lag::lag;
pub use operations::{
    NewOperation, Operation, ParkedPayload, begin_operation, finish_operation, operations, parked_payload,
};
pub(crate) use operator::lock_and_bump;
pub(crate) use parked::{BEHIND, parked_aggregates, parked_positions};
pub use parked::{ParkedEvent, drop_parked, has_parked, park, parked_among, unpark};
pub use read_status::{Extent, status, status_of, status_within};
pub use status::{ClassStatus, Status};
pub use store::{CheckpointRow, accept_log_server, commit, load, merge, start_over};
pub(crate) use store::{begin_elsewhere, complete_all, log_server};
pub(crate) use takeover::{copy_dropped, is_whole, lock_all, take_place_of};
pub use topology::{Registered, Takeover, register};
pub use waiting::{ParkedAggregate, cause_of, count_parked, list_parked};
pub(crate) use waiting::{Reached, Together, next_parked, one_parked, parked_after, parked_places_after};

use crate::class::Class;
use crate::log::{Between, ClassProgress, Fence, Window};
use crate::number::Position;

/// How far a class of a projection has come.
///
/// An event is applied if it is visible in `seen`, or if a window is open and it is visible in the window's `upto` at a
/// position up to the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    seen: Fence,
    window: Option<OpenWindow>,
}

/// A window of which some events have been applied, and not yet all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OpenWindow {
    upto: Fence,
    cursor: Position,
}

impl Checkpoint {
    /// Nothing has been applied.
    #[must_use]
    pub fn start() -> Self {
        Self { seen: Fence::before_all(), window: None }
    }

    /// What this fence shows has been applied, and nothing else.
    #[must_use]
    pub(crate) fn having_seen(seen: Fence) -> Self {
        Self { seen, window: None }
    }

    /// Whether the event at this position, written by this transaction, has been applied.
    #[must_use]
    pub fn applied(&self, xid: u64, position: Position) -> bool {
        self.seen.shows(xid, position)
            || self.window.as_ref().is_some_and(|open| open.upto.shows(xid, position) && position <= open.cursor)
    }

    /// Whether a window is open. It is finished before a fence is taken for the next one.
    #[must_use]
    pub fn has_open_window(&self) -> bool {
        self.window.is_some()
    }

    /// Whether there was nothing new when the fence's floor was read: no position had been handed out since, and no
    /// transaction that was in progress then can have committed one.
    ///
    /// The fence's snapshot is later than its floor, and may show an event above it. So this checkpoint stays as it is:
    /// what the fence shows has not been read.
    #[must_use]
    pub fn is_unchanged_at(&self, fence: &Fence) -> bool {
        let unchanged = self.seen.floor == fence.floor && self.seen.is_final() || self.seen == *fence;
        self.window.is_none() && unchanged
    }

    /// Opens the window from `seen` to the fence. Does nothing while one is open.
    ///
    /// The fence must have been taken after this checkpoint was read or written, never before: another worker may have
    /// moved it past the fence in between.
    pub fn open(&mut self, fence: Fence) {
        self.window.get_or_insert(OpenWindow { upto: fence, cursor: Position::START });
    }

    /// The rest of the open window.
    #[must_use]
    pub fn window(&self) -> Option<Window<'_>> {
        let open = self.window.as_ref()?;
        Some(Window { seen: &self.seen, upto: &open.upto, after: open.cursor })
    }

    /// The part of the open window, from its cursor on, that positions alone bound: above the floor of its beginning,
    /// and up to that of its end. None where that is nothing, or where events below come first, of transactions that
    /// were in progress at its beginning.
    #[must_use]
    pub fn bounded(&self) -> Option<(Position, Position)> {
        let open = self.window.as_ref()?;
        let is_past_late = open.cursor >= self.seen.floor || self.seen.is_final();
        let after = open.cursor.max(self.seen.floor);
        (is_past_late && after < open.upto.floor).then_some((after, open.upto.floor))
    }

    /// The fences that the open window is between.
    #[must_use]
    pub fn between(&self) -> Option<Between> {
        let open = self.window.as_ref()?;
        Some(Between { seen: self.seen.clone(), upto: open.upto.clone() })
    }

    /// What decides which events a class with this checkpoint has not applied.
    pub(crate) fn reached(&self, class: Class) -> ClassProgress<'_> {
        let upto = self.window.as_ref().map(|open| (&open.upto, open.cursor));
        ClassProgress { class, seen: &self.seen, upto }
    }

    /// The position above which nothing is applied.
    pub(crate) fn bound(&self) -> Position {
        let window = self.window.as_ref().map(|open| open.cursor.min(open.upto.floor));
        self.seen.floor.max(window.unwrap_or_default())
    }

    /// What is seen when no window is open.
    pub(crate) fn seen(&self) -> &Fence {
        &self.seen
    }

    /// Counts the open window's events up to this position as applied.
    pub fn advance_to(&mut self, position: Position) {
        if let Some(open) = &mut self.window {
            open.cursor = position;
        }
    }

    /// Counts all of the open window's events as applied.
    pub fn close(&mut self) {
        if let Some(open) = self.window.take() {
            self.seen = open.upto;
        }
    }

    /// The log's last position when the last window was opened.
    #[must_use]
    pub fn floor(&self) -> Position {
        self.seen.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Snapshot;

    fn fence(floor: Position, snapshot: &str) -> Fence {
        let snapshot: Snapshot = snapshot.parse().unwrap();
        let next_xid = snapshot.xmax();
        Fence::of_transactions(floor, snapshot, next_xid)
    }

    #[test]
    fn an_event_is_applied_by_a_closed_window_or_up_to_the_cursor_of_an_open_one() {
        let mut checkpoint = Checkpoint::start();
        assert!(!checkpoint.applied(5, Position::new(1)));
        checkpoint.open(fence(Position::new(3), "5:8:5"));
        checkpoint.advance_to(Position::new(2));
        assert!(checkpoint.applied(6, Position::new(2)), "visible, at the cursor");
        assert!(!checkpoint.applied(6, Position::new(3)), "visible, after the cursor");
        assert!(!checkpoint.applied(5, Position::new(1)), "in progress when the window ended");
        checkpoint.close();
        assert!(checkpoint.applied(6, Position::new(3)), "the window is closed");
        assert!(!checkpoint.applied(5, Position::new(1)), "a late event is of the next window");
        assert_eq!(checkpoint.floor(), 3);
    }

    #[test]
    fn an_open_window_keeps_its_end() {
        let mut checkpoint = Checkpoint::start();
        checkpoint.open(fence(Position::new(3), "8:8:"));
        checkpoint.advance_to(Position::new(1));
        checkpoint.open(fence(Position::new(9), "20:20:"));
        checkpoint.close();
        assert!(!checkpoint.applied(10, Position::new(4)));
        assert_eq!(checkpoint.floor(), 3);
    }

    #[test]
    fn nothing_is_new_only_when_no_position_was_taken_and_nobody_was_in_progress() {
        let mut checkpoint = Checkpoint::start();
        checkpoint.open(fence(Position::new(3), "8:8:"));
        assert!(!checkpoint.is_unchanged_at(&fence(Position::new(0), "8:8:")), "a window is open");
        checkpoint.close();
        assert!(checkpoint.is_unchanged_at(&fence(Position::new(3), "9:9:")));
        assert!(!checkpoint.is_unchanged_at(&fence(Position::new(4), "9:9:")));
        checkpoint.open(fence(Position::new(3), "8:9:8"));
        checkpoint.close();
        assert!(
            !checkpoint.is_unchanged_at(&fence(Position::new(3), "9:9:")),
            "the transaction 8 may have committed a late event"
        );
        checkpoint.open(Fence::of_transactions(Position::new(3), "9:9:".parse().unwrap(), 10));
        checkpoint.close();
        assert!(!checkpoint.is_unchanged_at(&fence(Position::new(3), "10:10:")), "9 had begun, though no list has it");
    }
}
