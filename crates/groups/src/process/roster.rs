//! Who is in a group. Everything that changes that does so under one lock, and notifies those who watch under it as
//! well, so that they see the changes in their order and none twice.

use super::error::{Deleted, GroupError};
use super::seat::{JoinOptions, LeaveReason, Seat};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Changes that wait for somebody who watches. Who falls further behind is sent the members anew.
const WATCHED: usize = 256;

/// What happened to the members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// All who are there, by name: first of all, and again when changes were missed.
    Members(Vec<Arc<str>>),
    /// One more.
    Joined(Arc<str>),
    /// One less, and why.
    Left(Arc<str>, LeaveReason),
}

/// The members of one group.
#[derive(Debug)]
pub(super) struct Roster<M> {
    /// Tenant, namespace and name.
    pub(super) path: Arc<str>,
    limit: usize,
    state: Mutex<State<M>>,
}

/// The places of those who were there at one moment.
pub(super) type Seats<M> = Arc<[Arc<Seat<M>>]>;

#[derive(Debug)]
struct State<M> {
    seats: BTreeMap<Arc<str>, Arc<Seat<M>>>,
    /// The same as a list, which broadcasts go through outside the lock. Made by the first broadcast after a change: of
    /// a thousand who join one after the other, each would copy it.
    list: Option<Seats<M>>,
    /// None before somebody watches.
    changes: Option<broadcast::Sender<Change>>,
    ended: bool,
}

impl<M> Roster<M> {
    pub(super) fn new(path: Arc<str>, limit: usize) -> Self {
        let state = State { seats: BTreeMap::new(), list: None, changes: None, ended: false };
        Self { path, limit, state: Mutex::new(state) }
    }

    pub(super) fn join(&self, id: Arc<str>, options: JoinOptions) -> Result<Arc<Seat<M>>, GroupError> {
        let mut state = self.living()?;
        let count = state.seats.len();
        let place = match state.seats.entry(Arc::clone(&id)) {
            Entry::Occupied(_) => return Err(GroupError::AlreadyJoined(id)),
            Entry::Vacant(_) if count >= self.limit => return Err(GroupError::TooManyMembers(self.limit)),
            Entry::Vacant(place) => place,
        };
        let seat = Arc::clone(place.insert(Arc::new(Seat::new(Arc::clone(&id), options))));
        state.changed(Change::Joined(id));
        Ok(seat)
    }

    /// Ends the membership of whoever has this name; false if nobody has.
    pub(super) fn remove(&self, id: &str, why: LeaveReason) -> Result<bool, Deleted> {
        let mut state = self.living()?;
        let Some((id, seat)) = state.seats.remove_entry(id) else { return Ok(false) };
        seat.end(why);
        state.changed(Change::Left(id, why));
        Ok(true)
    }

    /// Ends this membership; false if it has ended, and somebody else may have the name by now.
    pub(super) fn end_seat(&self, seat: &Arc<Seat<M>>, why: LeaveReason) -> bool {
        let mut state = self.state();
        let is_there = state.seats.get(&seat.id).is_some_and(|other| Arc::ptr_eq(other, seat));
        if is_there {
            state.seats.remove(&seat.id);
            seat.end(why);
            state.changed(Change::Left(Arc::clone(&seat.id), why));
        }
        is_there
    }

    /// Ends the group: nobody joins, nothing is accepted any more, and everybody is notified.
    pub(super) fn end(&self) {
        let mut state = self.state();
        (state.ended, state.list, state.changes) = (true, None, None);
        for seat in std::mem::take(&mut state.seats).into_values() {
            seat.end(LeaveReason::Deleted);
        }
    }

    pub(super) fn seats(&self) -> Result<Seats<M>, Deleted> {
        let mut state = self.living()?;
        let State { seats, list, .. } = &mut *state;
        Ok(Arc::clone(list.get_or_insert_with(|| seats.values().cloned().collect())))
    }

    pub(super) fn ids(&self) -> Result<Vec<Arc<str>>, Deleted> {
        Ok(self.living()?.seats.keys().cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().seats.is_empty()
    }

    /// Who is there, and every change after that.
    pub(super) fn watch(&self) -> Result<(Vec<Arc<str>>, broadcast::Receiver<Change>), Deleted> {
        let mut state = self.living()?;
        let changes = state.changes.get_or_insert_with(|| broadcast::channel(WATCHED).0).subscribe();
        Ok((state.seats.keys().cloned().collect(), changes))
    }

    fn living(&self) -> Result<MutexGuard<'_, State<M>>, Deleted> {
        let state = self.state();
        if state.ended { Err(Deleted(Arc::clone(&self.path))) } else { Ok(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> State<M> {
    fn changed(&mut self, change: Change) {
        self.list = None;
        if let Some(changes) = &self.changes {
            // Nobody may be watching any more.
            let _ = changes.send(change);
        }
    }
}

impl<M> Drop for Roster<M> {
    /// Nobody can broadcast any more: the members learn that.
    fn drop(&mut self) {
        self.end();
    }
}
