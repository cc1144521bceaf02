//! Writers that go on through everything, and know which of their events were acknowledged.

use evenfold::database::Database;
use evenfold::event::NewEvent;
use evenfold::log::{self, AppendError};
use fastrand::Rng;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::ops::Range;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const WRITERS: u64 = 4;

/// What a writer did.
#[derive(Default)]
pub struct Written {
    pub acknowledged: Vec<Uuid>,
    pub rolled_back: u64,
    /// Transactions whose end was not known, and which had been committed after all.
    pub found: u64,
    /// Attempts that failed with the database.
    pub failures: u64,
}

/// How long a transaction stays open after it has appended, and how long each writer pauses between two, in
/// milliseconds.
#[derive(Debug, Clone)]
pub struct Pace {
    pub open: Range<u64>,
    pub pause: Range<u64>,
}

impl Pace {
    /// As much as there can be.
    pub const DENSE: Self = Self { open: 0..20, pause: 0..10 };
}

/// Several writers.
pub struct Writers {
    tasks: JoinSet<Written>,
    stop: CancellationToken,
}

impl Writers {
    pub fn start(database: &Database, seed: u64, pace: &Pace) -> Self {
        Self::of(seed, |index, random, stop| write(database.clone(), random, index, pace.clone(), stop))
    }

    /// Writers that do this until they are stopped, each by its number.
    pub fn of<W>(seed: u64, write: impl Fn(u64, Rng, CancellationToken) -> W) -> Self
    where
        W: Future<Output = Written> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for index in 0..WRITERS {
            tasks.spawn(write(index, Rng::with_seed(seed.wrapping_add(index)), stop.clone()));
        }
        Self { tasks, stop }
    }

    /// Lets each finish what it has begun, and gives what all of them did.
    pub async fn stop(mut self) -> Written {
        self.stop.cancel();
        let mut all = Written::default();
        while let Some(one) = self.tasks.join_next().await {
            let one = one.unwrap();
            all.acknowledged.extend(one.acknowledged);
            all.rolled_back += one.rolled_back;
            all.found += one.found;
            all.failures += one.failures;
        }
        all
    }
}

async fn write(database: Database, mut random: Rng, index: u64, pace: Pace, stop: CancellationToken) -> Written {
    let mut written = Written::default();
    let mut conn = None;
    while !stop.is_cancelled() {
        let events = events(&mut random, index);
        let (commit, open) = (random.u8(0..10) > 0, Duration::from_millis(random.u64(pace.open.clone())));
        let mut attempts = 0;
        // Until it is known whether they are in the log: a transaction that was to be rolled back is not tried again.
        while commit || attempts == 0 {
            match attempt(&database, &mut conn, &events, commit, open).await {
                Ok(()) if commit => written.acknowledged.extend(events.iter().map(NewEvent::event_id)),
                Ok(()) => written.rolled_back += 1,
                Err(AppendError::AlreadyAppended { .. }) => {
                    written.found += 1;
                    written.acknowledged.extend(events.iter().map(NewEvent::event_id));
                }
                Err(AppendError::Database(_)) => {
                    conn = None;
                    written.failures += 1;
                    attempts += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            break;
        }
        let pause = Duration::from_millis(random.u64(pace.pause.clone()));
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    written
}

/// A few events, of aggregates of this writer's own and of some that all share.
fn events(random: &mut Rng, index: u64) -> Vec<NewEvent> {
    let count = random.usize(1..8);
    let id = |random: &mut Rng| match random.u8(0..4) {
        0 => format!("shared-{}", random.u8(0..20)),
        _ => format!("own-{index}-{}", random.u16(0..300)),
    };
    (0..count)
        .map(|_| NewEvent::new("account", id(random), "added", &json!({ "amount": random.i64(-100..100) })).unwrap())
        .collect()
}

/// One transaction, which stays open for a while after it has appended.
async fn attempt(
    database: &Database,
    kept: &mut Option<PgConnection>,
    events: &[NewEvent],
    commit: bool,
    open: Duration,
) -> Result<(), AppendError> {
    let mut conn = match kept.take() {
        Some(conn) => conn,
        None => database.connect().await.map_err(|error| sqlx::Error::Configuration(error.into()))?,
    };
    let mut tx = conn.begin().await?;
    log::append(&mut tx, events).await?;
    tokio::time::sleep(open).await;
    if commit {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    *kept = Some(conn);
    Ok(())
}
