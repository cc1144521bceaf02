//! The connections that are open, and which of them makes room for the next one.

use super::activity::Activity;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use tokio::task::{AbortHandle, JoinError, JoinSet};

/// As many connections as there may be. When all places are taken, the next one takes that of a connection without a
/// request under way: first of those that have never sent the whole head of one, the oldest first, and then of those
/// that have sent none for long. Whoever opens connections and sends nothing drives out his own.
#[derive(Debug)]
pub(super) struct Room {
    places: usize,
    open: JoinSet<()>,
    /// Those that had no request when they were last looked at, the oldest first.
    fresh: VecDeque<OpenConnection>,
    /// Those that had one.
    known: VecDeque<OpenConnection>,
}

#[derive(Debug)]
struct OpenConnection {
    /// Gone when the connection has ended.
    activity: Weak<Activity>,
    task: AbortHandle,
    /// How many requests it had when it was last looked at.
    begun: u64,
}

impl Room {
    pub(super) fn new(places: usize) -> Self {
        Self { places, open: JoinSet::new(), fresh: VecDeque::new(), known: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is a place, after another connection was closed for it if need be.
    pub(super) fn has_place(&mut self) -> bool {
        self.open.len() < self.places || self.close_one()
    }

    pub(super) fn add(&mut self, activity: &Arc<Activity>, connection: impl Future<Output = ()> + Send + 'static) {
        let task = self.open.spawn(connection);
        self.fresh.push_back(OpenConnection { activity: Arc::downgrade(activity), task, begun: 0 });
        // Those that have ended are found when room is made, or here, before there are more of them than of the others.
        if self.fresh.len() + self.known.len() > 2 * self.open.len() + 64 {
            self.fresh.retain(|member| member.activity.strong_count() > 0);
            self.known.retain(|member| member.activity.strong_count() > 0);
        }
    }

    /// Closes a connection on which no request is under way; false if there is none.
    pub(super) fn close_one(&mut self) -> bool {
        while let Some(member) = self.fresh.pop_front() {
            let Some(activity) = member.activity.upgrade() else { continue };
            if activity.begun() == 0 && activity.close() {
                member.task.abort();
                return true;
            }
            self.known.push_back(member);
        }
        // Those that have had a request since they were last looked at are spared once, and so on the second way round
        // none is.
        self.close_known(|member, begun| begun == member.begun) || self.close_known(|_, _| true)
    }

    fn close_known(&mut self, may: impl Fn(&OpenConnection, u64) -> bool) -> bool {
        for _ in 0..self.known.len() {
            let Some(mut member) = self.known.pop_front() else { break };
            let Some(activity) = member.activity.upgrade() else { continue };
            let begun = activity.begun();
            if may(&member, begun) && activity.close() {
                member.task.abort();
                return true;
            }
            member.begun = begun;
            self.known.push_back(member);
        }
        false
    }

    /// Waits until a connection has ended; does not return while there is none.
    ///
    /// # Cancel safety
    ///
    /// No end is lost.
    pub(super) async fn ended(&mut self) {
        match self.open.join_next().await {
            Some(ended) => report(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits until all connections have ended.
    pub(super) async fn all_ended(&mut self) {
        while let Some(ended) = self.open.join_next().await {
            report(ended);
        }
    }

    /// Cuts all connections off.
    pub(super) async fn cut(&mut self) {
        self.open.shutdown().await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("answering a request has panicked, and its connection is closed: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(room: &mut Room) -> Arc<Activity> {
        let activity = Arc::<Activity>::default();
        let kept = Arc::clone(&activity);
        room.add(&activity, async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        activity
    }

    /// Which of them are closed, by their numbers.
    fn closed(of: &[&Arc<Activity>]) -> Vec<usize> {
        let closed = |activity: &Arc<Activity>| !activity.begin();
        of.iter().enumerate().filter(|(_, activity)| closed(activity)).map(|(number, _)| number).collect()
    }

    #[tokio::test]
    async fn those_that_have_sent_nothing_make_room_before_those_that_were_answered_and_busy_ones_never() {
        let mut room = Room::new(4);
        let (busy, answered, first, second) = (add(&mut room), add(&mut room), add(&mut room), add(&mut room));
        assert!(busy.begin() && answered.begin());
        answered.answered();
        answered.written();
        assert!(room.has_place());
        assert!(room.has_place());
        assert!(room.has_place());
        assert!(!room.has_place(), "the last one is busy");
        assert_eq!(closed(&[&busy, &answered, &first, &second]), [1, 2, 3]);
        for _ in 0..3 {
            room.ended().await;
        }
        assert!(room.has_place() && room.len() == 1);
    }

    #[tokio::test]
    async fn of_those_that_were_answered_the_ones_without_a_new_request_make_room_first() {
        let mut room = Room::new(4);
        let all = [add(&mut room), add(&mut room), add(&mut room), add(&mut room)];
        let ask = |activity: &Arc<Activity>| {
            assert!(activity.begin());
            activity.answered();
            activity.written();
        };
        all.iter().for_each(ask);
        assert!(room.close_one(), "all are alike, and the oldest is closed");
        ask(&all[1]);
        ask(&all[3]);
        assert!(room.close_one() && !all[2].begin(), "it had no request since");
        ask(&all[3]);
        assert!(room.close_one() && !all[1].begin());
        ask(&all[3]);
        assert!(room.close_one() && !all[3].begin() && !room.close_one());
    }

    #[tokio::test]
    async fn what_has_ended_is_not_kept() {
        let mut room = Room::new(1_000);
        for _ in 0..1_000 {
            let activity = Arc::<Activity>::default();
            let own = Arc::clone(&activity);
            room.add(&activity, async move { drop(own) });
            drop(activity);
            room.ended().await;
        }
        assert!(room.fresh.len() <= 66, "{}", room.fresh.len());
    }
}
