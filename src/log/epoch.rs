//! Whether the server behind some connections is the one that it was, in the state that it was in.
//!
//! A server that crashed without having flushed what it had committed, a standby that lagged when it took over, and a
//! database that was restored have less than was read from them before, and none of their answers says so. But no
//! session outlives a server's memory. So an *epoch* is the life of one session, the [sentinel](super::sentinel)'s,
//! which holds an advisory lock with a random key. A connection is of an epoch if the lock was held where it leads to,
//! after it was made: then it is a session of the same server as the sentinel's, between the same two starts. What is
//! read and committed through the connections of one epoch belongs to one history of the log; what those of two epochs
//! have read may not.

use crate::database::{Database, describe};
use sqlx::PgConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long after the sentinel's session was asked, and has answered, it is taken to be alive.
pub(super) const LEASE: Duration = Duration::from_millis(1_500);

/// The epochs of a database, as one sentinel knows them.
#[derive(Debug)]
pub struct Epochs {
    /// That of the present epoch; while there is none, that of the next one. It begins at random, so that nobody else
    /// has the same.
    number: AtomicU64,
    /// Until when the sentinel's session is taken to be alive, in milliseconds after the start.
    alive_until: AtomicU64,
    started: Instant,
    state: watch::Sender<EpochState>,
}

#[derive(Debug)]
enum EpochState {
    Open {
        key: i64,
        ended: CancellationToken,
    },
    /// There is no epoch.
    Lost {
        since: Instant,
        why: String,
    },
}

impl Epochs {
    pub(super) fn new() -> Arc<Self> {
        let lost = EpochState::Lost { since: Instant::now(), why: "it is being connected to".to_owned() };
        Arc::new(Self {
            number: AtomicU64::new(fastrand::u64(..)),
            alive_until: AtomicU64::new(0),
            started: Instant::now(),
            state: watch::Sender::new(lost),
        })
    }

    /// What is known from an epoch of another number may not be true any more.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    /// Whether the server can't have been away for longer than a moment. Ask this first, and for the number then: an
    /// epoch that ends in between is noticed.
    pub fn is_alive(&self) -> bool {
        self.millis(Instant::now()) < self.alive_until.load(Ordering::SeqCst)
    }

    /// What is wrong with the database, and for how long, in a sentence; none if nothing is.
    pub fn problem(&self) -> Option<String> {
        if self.is_alive() {
            return None;
        }
        let (time, why) = match &*self.state.borrow() {
            EpochState::Lost { since, why } => (since.elapsed(), why.clone()),
            EpochState::Open { .. } => (self.silence(), "it does not answer".to_owned()),
        };
        Some(format!("the database has been unavailable for {}: {why}", spoken(time)))
    }

    /// The present epoch; waits for one while there is none.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait changes nothing.
    pub async fn present(self: &Arc<Self>) -> Epoch {
        let mut states = self.state.subscribe();
        loop {
            if let Some(epoch) = self.open(&states.borrow_and_update()) {
                return epoch;
            }
            // It can't end: this one has its other end.
            let _changed = states.changed().await;
        }
    }

    /// Waits until the epoch of this number is over; gives the number of the next one.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait changes nothing.
    pub async fn after(&self, number: u64) -> u64 {
        // Before looking: an end from here on is not missed.
        let mut states = self.state.subscribe();
        while self.number() == number {
            let _changed = states.changed().await;
        }
        self.number()
    }

    fn open(self: &Arc<Self>, state: &EpochState) -> Option<Epoch> {
        let EpochState::Open { key, ended } = state else { return None };
        Some(Epoch { number: self.number(), key: *key, ended: ended.clone(), epochs: Arc::clone(self) })
    }

    /// A session holds the lock of this key, as it answered when it was asked then.
    pub(super) fn begin(self: &Arc<Self>, key: i64, asked: Instant) -> Epoch {
        let ended = CancellationToken::new();
        self.state.send_modify(|state| {
            *state = EpochState::Open { key, ended: ended.clone() };
            self.alive_until.store(self.millis(asked + LEASE), Ordering::SeqCst);
        });
        Epoch { number: self.number(), key, ended, epochs: Arc::clone(self) }
    }

    /// There is no epoch yet, for another reason than before.
    pub(super) fn fail(&self, reason: String) {
        self.state.send_modify(|state| {
            if let EpochState::Lost { why, .. } = state {
                *why = reason;
            }
        });
    }

    fn millis(&self, at: Instant) -> u64 {
        // In five hundred million years.
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    fn silence(&self) -> Duration {
        let asked = Duration::from_millis(self.alive_until.load(Ordering::SeqCst)).saturating_sub(LEASE);
        self.started.elapsed().saturating_sub(asked)
    }
}

/// One epoch.
#[derive(Debug, Clone)]
pub struct Epoch {
    number: u64,
    key: i64,
    ended: CancellationToken,
    epochs: Arc<Epochs>,
}

impl Epoch {
    /// Which one it is.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether what is known from it may not be true any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.epochs.number() != self.number
    }

    /// Is cancelled when it has ended.
    #[must_use]
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Makes a connection of this epoch; where that is not possible, says why in a sentence.
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub async fn connect(&self, database: &Database) -> Result<PgConnection, String> {
        let mut conn = database.connect().await.map_err(|error| error.to_string())?;
        // Shared, so that those who ask at the same time do not take it for held.
        let free = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock_shared($1)").bind(self.key).persistent(false);
        let free: bool = free.fetch_one(&mut conn).await.map_err(|error| describe(&error))?;
        if free {
            let why = "the server has started again, or is another one";
            self.end(why);
            return Err(why.to_owned());
        }
        Ok(conn)
    }

    /// From now on nothing that is known from it is good. It may have ended before.
    pub(super) fn end(&self, why: &str) {
        self.epochs.state.send_modify(|state| {
            if self.has_ended() {
                return;
            }
            // In this order: whoever sees it alive after this sees the other number.
            self.epochs.alive_until.store(0, Ordering::SeqCst);
            self.epochs.number.fetch_add(1, Ordering::SeqCst);
            *state = EpochState::Lost { since: Instant::now(), why: why.to_owned() };
        });
        self.ended.cancel();
    }

    /// Its session has answered what it was asked then.
    pub(super) fn renew(&self, asked: Instant) {
        // With the state locked: an epoch that has ended is not alive.
        let _state = self.epochs.state.borrow();
        if !self.has_ended() {
            self.epochs.alive_until.store(self.epochs.millis(asked + LEASE), Ordering::SeqCst);
        }
    }
}

/// A time for people.
fn spoken(time: Duration) -> String {
    match time.as_secs() {
        0..100 => format!("{:.1} seconds", time.as_secs_f64()),
        seconds @ 100..6_000 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3_600),
    }
}
