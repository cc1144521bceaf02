//! A membership, as the member has it.

use super::roster::Roster;
use super::seat::{LeaveReason, MemberStats, Seat};
use std::sync::{Arc, Weak};
use std::task::ready;
use tokio::task::coop;

/// A membership in a group. Dropping it leaves the group, so a task that ends, is aborted or panics has left.
///
/// It does not keep the group: when nobody has a [`Group`](super::Group), a [`Tenant`](super::Tenant) or the
/// [`ProcessGroups`](super::ProcessGroups) any more, the members get [`LeaveReason::Deleted`].
#[derive(Debug)]
pub struct Member<M> {
    seat: Arc<Seat<M>>,
    roster: Weak<Roster<M>>,
    /// What others are notified of when this is dropped.
    leaves_as: Option<LeaveReason>,
}

impl<M> Member<M> {
    pub(super) fn new(seat: Arc<Seat<M>>, roster: &Arc<Roster<M>>) -> Self {
        Self { seat, roster: Arc::downgrade(roster), leaves_as: None }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.seat.id
    }

    /// Waits for the next message. Those of one sender, who awaits each broadcast, come in the order of the broadcasts.
    ///
    /// # Errors
    ///
    /// Why it is a member no more, after everything that was accepted before; and again at each further call.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has taken no message.
    pub async fn recv(&mut self) -> Result<M, LeaveReason> {
        std::future::poll_fn(|cx| {
            // A member that always finds a message would never let its thread go.
            let budget = ready!(coop::poll_proceed(cx));
            let next = ready!(self.seat.poll_next(cx));
            budget.made_progress();
            std::task::Poll::Ready(next)
        })
        .await
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<M>, LeaveReason> {
        self.seat.try_next().transpose()
    }

    /// How many messages were taken out of its queue again, to make room for later ones.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.seat.stats().dropped
    }

    /// What it has got, and not.
    #[must_use]
    pub fn stats(&self) -> MemberStats {
        self.seat.stats()
    }

    /// Leaves, as something else than [`LeaveReason::Stopped`].
    pub(super) fn leave_as(mut self, why: LeaveReason) {
        self.leaves_as = Some(why);
    }
}

impl<M> Drop for Member<M> {
    fn drop(&mut self) {
        let unwinding = if std::thread::panicking() { LeaveReason::Panicked } else { LeaveReason::Stopped };
        if let Some(roster) = self.roster.upgrade() {
            roster.end_seat(&self.seat, self.leaves_as.unwrap_or(unwinding));
        }
        self.seat.clear();
    }
}
