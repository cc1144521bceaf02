//! One reader for the partitions of a pool: where several of them are far behind, the log is read once, and each gets
//! its events.
//!
//! Only a saving. Whoever is far behind waits for a moment for the others; then all of them open their windows up to
//! one fence, and what is between that and the least that any of them has seen is read for all. A partition that is not
//! there in time, is much further behind than others, or does not take its events, reads by itself.

use super::ahead::ReadAhead;
use super::chunk::{CHUNK, Chunk, Limit};
use crate::checkpoint::Checkpoint;
use crate::class::Class;
use crate::database::{Database, Identity};
use crate::log::{EventBuffer, Fence, Interest, Layout, Shown, Slice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// How long those that are far behind wait for the others.
const GATHERING: Duration = Duration::from_millis(100);

/// How long all wait for one partition that does not take its events, before it is left to itself.
const STALL: Duration = Duration::from_secs(2);

/// Chunks that wait for a partition: one may be slow for a moment without holding up the others.
const WAITING: usize = 4;

/// Between how many positions there are few events.
#[expect(clippy::cast_possible_wrap, reason = "a small number")]
const NEAR: i64 = CHUNK as i64;

/// What the workers of a pool share.
#[derive(Debug)]
pub(super) struct Shared {
    members: usize,
    gathering: Mutex<Option<Gathering>>,
}

/// Members that are far behind, and wait for others that are.
#[derive(Debug, Default)]
struct Gathering {
    arrivals: Vec<Arrival>,
    complete: Arc<Notify>,
    /// The server of all of them: a fence of one means nothing on another.
    server: Option<Identity>,
}

#[derive(Debug)]
struct Arrival {
    class: Class,
    /// With no window open.
    checkpoint: Checkpoint,
    fence: Fence,
    opening: oneshot::Sender<Opening>,
}

/// How a window is opened: up to a fence, and where its events come from, if not by the worker's own reading.
pub(super) type Opening = (Fence, Option<Box<ReadAhead>>);

/// How to read, which is the same for all members.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) database: Database,
    pub(super) layout: Layout,
    pub(super) interest: Interest,
    pub(super) limit: Limit,
}

impl Shared {
    /// For a pool of so many workers.
    pub(super) fn new(members: usize) -> Arc<Self> {
        Arc::new(Self { members, gathering: Mutex::default() })
    }

    /// How a member with this checkpoint, which has taken `fence`, opens its window: up to that, or to another member's
    /// fence, which is later than what this one has seen.
    ///
    /// # Cancel safety
    ///
    /// Whoever goes away is missed by nobody.
    pub(super) async fn gather(
        self: &Arc<Self>,
        class: Class,
        checkpoint: &Checkpoint,
        fence: Fence,
        reading: &Reading,
    ) -> Opening {
        // Alone, or not so far behind that waiting for others would be worth it.
        if self.members < 2 || fence.floor.distance_from(checkpoint.floor()) <= NEAR {
            return (fence, None);
        }
        let (sender, opening) = oneshot::channel();
        self.arrive(Arrival { class, checkpoint: checkpoint.clone(), fence: fence.clone(), opening: sender }, reading);
        // Whoever is connected to another server than the first has not arrived.
        opening.await.unwrap_or((fence, None))
    }

    fn arrive(self: &Arc<Self>, arrival: Arrival, reading: &Reading) {
        let mut gathering = self.gathering();
        let Gathering { arrivals, complete, server } = gathering.get_or_insert_with(|| self.begin(reading.clone()));
        if server.as_ref() != reading.database.pinned() {
            return;
        }
        arrivals.push(arrival);
        if arrivals.len() == self.members {
            complete.notify_one();
        }
    }

    fn begin(self: &Arc<Self>, reading: Reading) -> Gathering {
        let gathering = Gathering { server: reading.database.pinned().cloned(), ..Gathering::default() };
        let (shared, complete) = (Arc::clone(self), Arc::clone(&gathering.complete));
        tokio::spawn(async move {
            // Complete or not: those who are there go on.
            let _ = tokio::time::timeout(GATHERING, complete.notified()).await;
            let gathered = shared.gathering().take().unwrap_or_default();
            if let Some(together) = gathered.decide() {
                together.serve(&reading).await;
            }
        });
        gathering
    }

    fn gathering(&self) -> MutexGuard<'_, Option<Gathering>> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathering {
    /// Shows each of those who have come how to open its window; gives what is to be read for several of them.
    fn decide(self) -> Option<SharedRead> {
        let first = self.arrivals.first()?;
        let (modulus, most) = (first.class.modulus(), self.arrivals.iter().map(|one| one.checkpoint.floor()).max()?);
        // Later than what any of them has seen, as each took its own after that.
        let last = self.arrivals.iter().map(|one| one.fence.clone()).reduce(|last, fence| last.union(&fence))?;
        let near = |one: &Arrival| one.class.modulus() == modulus && most.distance_from(one.checkpoint.floor()) <= NEAR;
        // Whoever is alone gets nothing, and reads by itself.
        let near: Vec<Arrival> = self.arrivals.into_iter().filter(near).collect();
        if near.len() < 2 { None } else { SharedRead::of(near, &last) }
    }
}

/// Members whose windows have the same end, and where their events go.
#[derive(Debug)]
struct SharedRead {
    /// From the least that any of them has seen.
    at: Checkpoint,
    modulus: u32,
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    class: Class,
    /// What it has seen, where others have seen less.
    seen: Option<Fence>,
    chunks: mpsc::Sender<Chunk>,
    /// Buffers that were applied.
    used: mpsc::Receiver<EventBuffer>,
    filling: EventBuffer,
}

impl SharedRead {
    /// Subscribes all of them to the window up to this fence.
    fn of(members: Vec<Arrival>, fence: &Fence) -> Option<Self> {
        let least = members.iter().map(|one| one.checkpoint.seen().clone()).reduce(|a, b| a.intersection(&b))?;
        let alike = |one: &Arrival| one.checkpoint.seen().shows_as_much_as(&least);
        if matches!(fence.shown, Shown::Snapshot(_)) && !members.iter().all(alike) {
            // Which of a window's events wait, and for which position, is another matter in another window.
            return None;
        }
        let (mut at, modulus) = (Checkpoint::having_seen(least), members.first()?.class.modulus());
        at.open(fence.clone());
        let mut subscribers = Vec::with_capacity(members.len());
        for Arrival { class, checkpoint: mut own, opening, .. } in members {
            let seen = Some(own.seen().clone()).filter(|seen| !seen.shows_as_much_as(at.seen()));
            let (chunks, receiver) = mpsc::channel(WAITING);
            let (sender, used) = mpsc::channel(WAITING + 1);
            own.open(fence.clone());
            let ahead = ReadAhead::of(receiver, sender, &own, &Slice::of(&[class]));
            // Whoever has gone away in the meantime takes no events.
            let _ = opening.send((fence.clone(), Some(Box::new(ahead))));
            subscribers.push(Subscriber { class, seen, chunks, used, filling: EventBuffer::default() });
        }
        Some(Self { at, modulus, subscribers })
    }

    /// Reads the window to its end, and hands each subscriber its events, for as long as there are any. Where reading
    /// fails, the subscribers' chunks end, and they read by themselves.
    async fn serve(mut self, Reading { database, layout, interest, limit }: &Reading) {
        let classes: Vec<Class> = self.subscribers.iter().map(|subscriber| subscriber.class).collect();
        let differ = self.subscribers.iter().any(|subscriber| subscriber.seen.is_some());
        let interest = if differ { interest.clone().with_xid() } else { interest.clone() };
        let mut ahead = ReadAhead::start((database, layout), &self.at, &Slice::of(&classes), &interest, limit.clone());
        while let Some((chunk, _)) = ahead.next().await {
            let complete = chunk.complete;
            let share = chunk.decoding / u32::try_from(self.subscribers.len()).unwrap_or(u32::MAX).max(1);
            self.distribute(&chunk.events);
            ahead.give_back(chunk.events);
            let mut kept = Vec::with_capacity(self.subscribers.len());
            for mut subscriber in self.subscribers {
                if subscriber.deliver(complete, share).await {
                    kept.push(subscriber);
                }
            }
            self.subscribers = kept;
            if complete || self.subscribers.is_empty() {
                break;
            }
        }
    }

    fn distribute(&mut self, events: &EventBuffer) {
        let mut by_residue: Vec<Option<&mut Subscriber>> = (0..self.modulus).map(|_| None).collect();
        for subscriber in &mut self.subscribers {
            let residue = subscriber.class.residue() as usize;
            by_residue[residue] = Some(subscriber);
        }
        for subscriber in &mut by_residue.iter_mut().flatten() {
            subscriber.filling.parsed_as(events);
        }
        for (index, event) in events.events().enumerate() {
            // Those of a subscriber that has gone away are nobody's.
            let Some(subscriber) = &mut by_residue[(event.hash.value() % self.modulus) as usize] else { continue };
            let seen = subscriber.seen.as_ref().zip(events.xid(index));
            let seen = seen.is_some_and(|(seen, xid)| seen.shows(xid, event.position));
            if !seen {
                subscriber.filling.push(&event);
            }
        }
    }
}

impl Subscriber {
    /// Sends what was filled. Whether the subscriber goes on: one that has stopped, or does not take anything, does
    /// not.
    async fn deliver(&mut self, complete: bool, decoding: Duration) -> bool {
        if self.filling.is_empty() && !complete {
            return true;
        }
        let mut empty = self.used.try_recv().unwrap_or_default();
        empty.clear();
        let events = std::mem::replace(&mut self.filling, empty);
        self.chunks.send_timeout(Chunk { events, complete, decoding }, STALL).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Position;

    fn reading(server: &str) -> Reading {
        // Nobody answers there: what is read together ends at once.
        let database = Database::at("postgres://nobody@127.0.0.1:1/none").unwrap().only(Identity::named(server));
        Reading { database, layout: Layout::default(), interest: Interest::everything(), limit: Limit::new(1) }
    }

    /// How two members open their windows that are far behind, with fences of their own.
    async fn opened(servers: [&str; 2]) -> [Opening; 2] {
        let fences = [100_000, 200_000].map(|floor| Fence { floor: Position::new(floor), ..Fence::before_all() });
        opened_from(servers, [Checkpoint::start(), Checkpoint::start()], fences).await
    }

    async fn opened_from(servers: [&str; 2], from: [Checkpoint; 2], fences: [Fence; 2]) -> [Opening; 2] {
        let shared = Shared::new(2);
        let member = |n: u32| {
            let (shared, at, fence) = (Arc::clone(&shared), from[n as usize].clone(), fences[n as usize].clone());
            let (class, reading) = (Class::partition(n, 2).unwrap(), reading(servers[n as usize]));
            async move { shared.gather(class, &at, fence, &reading).await }
        };
        let (first, second) = tokio::join!(member(0), member(1));
        [first, second]
    }

    /// In one pool they may be for a moment: while an address moves, or with several hosts.
    #[tokio::test]
    async fn members_that_are_connected_to_different_servers_open_no_window_together() {
        let [first, second] = opened(["one", "another"]).await;
        assert_eq!([first.0.floor, second.0.floor], [100_000, 200_000], "each up to a fence of its own server");
        assert!(first.1.is_none() && second.1.is_none());
        let [first, second] = opened(["one", "one"]).await;
        assert_eq!(first.0, second.0, "on one server they open it up to one fence");
        assert!(first.1.is_some() && second.1.is_some());
    }

    #[tokio::test]
    async fn members_that_have_seen_different_snapshots_do_not_read_together_where_events_wait() {
        let at = |floor: i64, snapshot: &str| Fence::of_snapshot(Position::new(floor), snapshot.parse().unwrap());
        let upto = || [at(100_000, "50:50:"), at(100_000, "60:60:")];
        let from = |one: &str, other: &str| [one, other].map(|seen| Checkpoint::having_seen(at(10, seen)));
        let [first, second] = opened_from(["one", "one"], from("9:9:", "8:8:"), upto()).await;
        assert_eq!([first.0, second.0], upto(), "each up to a fence of its own");
        assert!(first.1.is_none() && second.1.is_none());
        let [first, second] = opened_from(["one", "one"], from("9:9:", "9:9:"), upto()).await;
        assert!(first.0 == second.0 && first.1.is_some() && second.1.is_some());
    }
}
