//! One reader for the partitions of a pool: where several of them are equally far behind, the log is read once, and each
//! gets its events.
//!
//! Only a saving. A partition that goes its own way (it came late, it is slow, its checkpoint is another one) reads by
//! itself, and joins the others at a later window: all of them open their windows up to the same fences.

use super::worker::{Chunk, Limit, ReadAhead};
use crate::checkpoint::Checkpoint;
use crate::class::Class;
use crate::database::Database;
use crate::log::{EventBuffer, Fence, Interest, Slice};
use sqlx::PgConnection;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// How long a fence that another partition has taken is as good as a new one.
const FRESH: Duration = Duration::from_millis(20);

/// The same, for whoever is far behind: there is enough to read up to it.
const FRESH_ENOUGH: Duration = Duration::from_secs(5);

/// How long to wait while another partition takes a fence.
const HELD_UP: Duration = Duration::from_millis(250);

/// How long the first partition waits for the others, which start at about the same time.
const GATHERING: Duration = Duration::from_millis(100);

/// How long all wait for one partition that does not take its events, before it is left to itself.
const STALL: Duration = Duration::from_secs(2);

/// Chunks that wait for a partition: one may be slow for a moment without holding up the others.
const WAITING: usize = 4;

/// What the workers of a pool share.
#[derive(Debug)]
pub(super) struct Shared {
    members: usize,
    fence: tokio::sync::Mutex<Option<Taken>>,
    gathering: Mutex<Option<Gathering>>,
}

#[derive(Debug)]
struct Taken {
    fence: Fence,
    at: Instant,
    number: u64,
}

/// Partitions that are about to be read together: those that have this window before them.
#[derive(Debug)]
struct Gathering {
    at: Checkpoint,
    modulus: u32,
    subscribers: Vec<Subscriber>,
    complete: Arc<Notify>,
}

#[derive(Debug)]
struct Subscriber {
    class: Class,
    chunks: mpsc::Sender<Chunk>,
    /// Buffers that were applied.
    used: mpsc::Receiver<EventBuffer>,
    filling: EventBuffer,
}

/// A worker's part in what is shared.
#[derive(Debug, Clone)]
pub(super) struct Member {
    shared: Arc<Shared>,
    /// The last fence that it was given. It is given none twice: where that one shows nothing new, the next one may.
    given: u64,
}

impl Shared {
    /// For a pool of so many workers.
    pub(super) fn new(members: usize) -> Arc<Self> {
        Arc::new(Self { members, fence: tokio::sync::Mutex::default(), gathering: Mutex::default() })
    }

    fn gathering(&self) -> std::sync::MutexGuard<'_, Option<Gathering>> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), given: 0 }
    }

    /// A fence to open a window up to: one that another member has taken, if it is later than what this one has seen, or
    /// a new one.
    pub(super) async fn fence(&mut self, conn: &mut PgConnection, seen: &Fence) -> Result<Fence, sqlx::Error> {
        // Whoever holds this up, with a connection that went silent, holds up only himself.
        let Ok(mut last) = tokio::time::timeout(HELD_UP, self.shared.fence.lock()).await else {
            return Fence::take(conn).await;
        };
        let number = last.as_ref().map_or(0, |taken| taken.number);
        if let Some(Taken { fence, at, .. }) = last.as_ref().filter(|taken| taken.number > self.given) {
            let fresh = if is_wide(seen, fence) { FRESH_ENOUGH } else { FRESH };
            // A later snapshot makes it right to open a window up to it, whenever this member's row was read: what the
            // row has applied is visible in it. An earlier one would take the checkpoint back.
            if fence.progress() > seen.progress() && at.elapsed() < fresh {
                self.given = number;
                return Ok(fence.clone());
            }
        }
        let fence = Fence::take(conn).await?;
        self.given = number + 1;
        *last = Some(Taken { fence: fence.clone(), at: Instant::now(), number: self.given });
        Ok(fence)
    }

    /// Reads the window that was just opened together with the other members that have the same one before them. None if
    /// it has too few events to be worth it, or the others are elsewhere.
    pub(super) fn join(
        &self,
        database: &Database,
        at: &Checkpoint,
        class: Class,
        interest: &Interest,
        limit: Limit,
    ) -> Option<ReadAhead> {
        at.opened().filter(|(seen, upto)| is_wide(seen, upto))?;
        let (chunks, receiver) = mpsc::channel(WAITING);
        let (sender, used) = mpsc::channel(WAITING + 1);
        let subscriber = Subscriber { class, chunks, used, filling: EventBuffer::default() };
        let mut gathering = self.shared.gathering();
        match &mut *gathering {
            Some(Gathering { at: theirs, modulus, subscribers, complete }) => {
                if theirs != at || *modulus != class.modulus() {
                    return None;
                }
                subscribers.push(subscriber);
                if subscribers.len() == self.shared.members {
                    complete.notify_one();
                }
            }
            none => {
                let complete = Arc::<Notify>::default();
                let (at, modulus) = (at.clone(), class.modulus());
                *none = Some(Gathering { at, modulus, subscribers: vec![subscriber], complete: Arc::clone(&complete) });
                let (shared, database, interest) = (Arc::clone(&self.shared), database.clone(), interest.clone());
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(GATHERING, complete.notified()).await;
                    let gathered = shared.gathering().take();
                    if let Some(gathered) = gathered {
                        gathered.serve(&database, &interest, limit).await;
                    }
                });
            }
        }
        Some(ReadAhead::of(receiver, sender, at, &Slice::of(&[class])))
    }
}

/// Whether there may be more events between two fences than are read at once.
fn is_wide(seen: &Fence, upto: &Fence) -> bool {
    upto.floor.saturating_sub(seen.floor) > i64::try_from(super::CHUNK).unwrap_or(i64::MAX)
}

impl Gathering {
    /// Reads the window to its end, and hands each subscriber its events, for as long as there are any.
    async fn serve(self, database: &Database, interest: &Interest, limit: Limit) {
        let Self { at, modulus, mut subscribers, .. } = self;
        let classes: Vec<Class> = subscribers.iter().map(|subscriber| subscriber.class).collect();
        let mut ahead = ReadAhead::start(database, &at, &Slice::of(&classes), interest, limit);
        // Where reading fails, the subscribers' chunks end, and they read by themselves.
        while let Some((Chunk { events, complete, decoding }, _)) = ahead.next().await {
            let share = decoding / u32::try_from(subscribers.len()).unwrap_or(u32::MAX).max(1);
            let mut of_residue = vec![None; modulus as usize];
            for (index, subscriber) in subscribers.iter().enumerate() {
                of_residue[subscriber.class.residue() as usize] = Some(index);
            }
            for event in events.events() {
                let residue = (event.hash.value() % modulus) as usize;
                if let Some(subscriber) = of_residue[residue].and_then(|index| subscribers.get_mut(index)) {
                    subscriber.filling.push(&event);
                }
            }
            ahead.give_back(events);
            let mut kept = Vec::with_capacity(subscribers.len());
            for mut subscriber in subscribers {
                if subscriber.hand_over(complete, share).await {
                    kept.push(subscriber);
                }
            }
            subscribers = kept;
            if complete || subscribers.is_empty() {
                break;
            }
        }
    }
}

impl Subscriber {
    /// Sends what was filled. Whether the subscriber goes on: one that has stopped, or does not take anything, does not.
    async fn hand_over(&mut self, complete: bool, decoding: Duration) -> bool {
        if self.filling.is_empty() && !complete {
            return true;
        }
        let mut empty = self.used.try_recv().unwrap_or_default();
        empty.clear();
        let events = std::mem::replace(&mut self.filling, empty);
        self.chunks.send_timeout(Chunk { events, complete, decoding }, STALL).await.is_ok()
    }
}
