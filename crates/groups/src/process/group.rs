//! A group: joining, leaving, and broadcasting to whoever is there.

use super::error::{Deleted, GroupError, MAX_QUEUE, name};
use super::member::Member;
use super::roster::Roster;
use super::seat::{JoinOptions, LeaveReason, MemberStats, Offered, Seat, Slow};
use super::watch::Watch;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A handle of a group. Clones are cheap, and are the same group.
pub struct Group<M> {
    shared: Arc<GroupState<M>>,
}

struct GroupState<M> {
    roster: Arc<Roster<M>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    broadcasts: AtomicU64,
    accepted: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
    evicted: AtomicU64,
}

/// What became of one broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// How many members have it in their queues.
    pub accepted: usize,
    /// How many of these have lost an older message to it.
    pub dropped: usize,
    /// How many go without, because they had no room, in time.
    pub refused: usize,
    /// How many were put out of the group, because they had no room.
    pub evicted: usize,
}

/// What a group has done since it was created, and how its members are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStats {
    /// Broadcasts, whoever was there.
    pub broadcasts: u64,
    /// Messages that were put into queues.
    pub accepted: u64,
    /// Messages that were taken out of queues again, to make room.
    pub dropped: u64,
    /// Messages that members went without, because they had no room.
    pub refused: u64,
    /// Members that were put out.
    pub evicted: u64,
    /// Those who are there, by name.
    pub members: Vec<MemberStats>,
}

impl<M> Group<M> {
    pub(super) fn new(path: Arc<str>, limit: usize) -> Self {
        let shared = GroupState { roster: Arc::new(Roster::new(path, limit)), counts: Counts::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Its tenant, namespace and name, with slashes between them.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.roster().path
    }

    /// Becomes a member, from the next broadcast on: of those that are on their way it gets all or none, each by
    /// itself.
    ///
    /// # Errors
    ///
    /// [`GroupError::AlreadyJoined`] while there is a member of this name; a bad name or queue, too many members, a
    /// group that was deleted.
    pub fn join(&self, id: &str, options: JoinOptions) -> Result<Member<M>, GroupError> {
        if !(1..=MAX_QUEUE).contains(&options.queue) {
            return Err(GroupError::Queue(options.queue));
        }
        let seat = self.roster().join(name("member", id)?, options)?;
        Ok(Member::new(seat, self.roster()))
    }

    /// Has a member leave, whoever holds its [`Member`], which still gets what is in its queue, and then
    /// [`LeaveReason::Removed`].
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAMember`] if nobody of this name is; a group that was deleted.
    pub fn leave(&self, id: &str) -> Result<(), GroupError> {
        if self.roster().remove(id, LeaveReason::Removed)? {
            Ok(())
        } else {
            Err(GroupError::NotAMember(id.to_owned()))
        }
    }

    /// The names of those who are there, in their order.
    ///
    /// # Errors
    ///
    /// The group was deleted.
    pub fn members(&self) -> Result<Vec<Arc<str>>, Deleted> {
        self.roster().ids()
    }

    /// Whether nobody would get a broadcast: no member is there, or the group was deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roster().is_empty()
    }

    /// Watches who joins and who leaves.
    #[must_use]
    pub fn watch(&self) -> Watch<M> {
        Watch::new(self.roster())
    }

    /// What it has done, and how its members are.
    ///
    /// # Errors
    ///
    /// The group was deleted.
    pub fn stats(&self) -> Result<GroupStats, Deleted> {
        let members = self.roster().seats()?.iter().map(|seat| seat.stats()).collect();
        let Counts { broadcasts, accepted, dropped, refused, evicted } = &self.shared.counts;
        let [broadcasts, accepted, dropped, refused, evicted] =
            [broadcasts, accepted, dropped, refused, evicted].map(|count| count.load(Ordering::Relaxed));
        Ok(GroupStats { broadcasts, accepted, dropped, refused, evicted, members })
    }

    /// Ends it for all handles.
    pub(super) fn end(&self) {
        self.roster().end();
    }

    fn roster(&self) -> &Arc<Roster<M>> {
        &self.shared.roster
    }
}

impl<M: Clone> Group<M> {
    /// Gives the message to every member, without waiting for anybody: those who would be [waited for](Slow::Wait) go
    /// without where their queues are full.
    ///
    /// # Errors
    ///
    /// The group was deleted, and nobody has got the message.
    pub fn offer(&self, message: M) -> Result<Accepted, Deleted> {
        let (mut outcome, full) = self.offer_to_all(message)?;
        for Full { seat, .. } in full {
            seat.refuse();
            outcome.refused += 1;
        }
        self.shared.counts.add(&Accepted { refused: outcome.refused, ..Accepted::default() });
        Ok(outcome)
    }

    /// Gives the message to every member, and returns how many have accepted it. All who have room get it at once; then
    /// those who are to be [waited for](Slow::Wait) are, together, each for its own time.
    ///
    /// So within a broadcast nobody waits for another member, and a sender who awaits each broadcast before the next
    /// has them in their order at every member. What a slow member delays, for no longer than its time, is this
    /// sender's next broadcast; [`offer`](Self::offer) waits for nobody. Between two senders there is no order, and
    /// members may get their messages in different orders.
    ///
    /// Whoever joins or leaves meanwhile gets the message or not.
    ///
    /// # Errors
    ///
    /// The group was deleted, and nobody has got the message. Where it is deleted while members are waited for, those
    /// count neither as accepted nor as refused.
    ///
    /// # Cancel safety
    ///
    /// From the first poll on, those who had room have the message. A dropped broadcast has stopped waiting for the
    /// others, who go without, uncounted.
    pub async fn broadcast(&self, message: M) -> Result<Accepted, Deleted> {
        let (mut outcome, full) = self.offer_to_all(message)?;
        // Nearly always nobody: then there is nothing to wait for, and nothing to allocate.
        if full.is_empty() {
            return Ok(outcome);
        }
        let wait = |Full { seat, message, wait }: Full<M>| async move { seat.offer_within(message, wait).await };
        let mut waiting: FuturesUnordered<_> = full.into_iter().map(wait).collect();
        while let Some(offered) = waiting.next().await {
            let mut late = Accepted::default();
            late.count(&offered);
            self.shared.counts.add(&late);
            outcome.accepted += late.accepted;
            outcome.refused += late.refused;
        }
        Ok(outcome)
    }

    /// One round through all members. Gives those who are to be waited for, with the message for each.
    fn offer_to_all(&self, message: M) -> Result<(Accepted, Vec<Full<M>>), Deleted> {
        let seats = self.roster().seats()?;
        let (mut outcome, mut full) = (Accepted::default(), Vec::new());
        for seat in &*seats {
            match (seat.offer(message.clone()), seat.options.slow) {
                (Offered::Full(message), Slow::Wait(wait)) => full.push(Full { seat: Arc::clone(seat), message, wait }),
                // Of several senders who find it full one puts it out.
                (Offered::Full(_), _) => {
                    outcome.evicted += usize::from(self.roster().end_seat(seat, LeaveReason::Evicted));
                }
                (offered, _) => outcome.count(&offered),
            }
        }
        self.shared.counts.broadcasts.fetch_add(1, Ordering::Relaxed);
        self.shared.counts.add(&outcome);
        Ok((outcome, full))
    }
}

/// A member that had no room and is to be waited for.
struct Full<M> {
    seat: Arc<Seat<M>>,
    message: M,
    wait: Duration,
}

impl Accepted {
    fn count<M>(&mut self, offered: &Offered<M>) {
        match offered {
            Offered::Accepted => self.accepted += 1,
            Offered::InPlaceOfOldest => {
                self.accepted += 1;
                self.dropped += 1;
            }
            Offered::Full(_) => self.refused += 1,
            Offered::Ended => {}
        }
    }
}

impl Counts {
    fn add(&self, outcome: &Accepted) {
        let Accepted { accepted, dropped, refused, evicted } = *outcome;
        let counts = [&self.accepted, &self.dropped, &self.refused, &self.evicted];
        for (count, more) in counts.into_iter().zip([accepted, dropped, refused, evicted]) {
            if more > 0 {
                count.fetch_add(more as u64, Ordering::Relaxed);
            }
        }
    }
}

impl<M> Clone for Group<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Group<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Group").field(&self.path()).finish()
    }
}
