//! Workers that are moved one step at a time, and what must hold between any two steps.

use super::{TestDb, drain, pointer, scalar};
use evenfold::checkpoint::{Beat, Registered, Takeover, beat};
use evenfold::class::{Class, is_exact_cover};
use evenfold::counters::{Counters, NAME};
use evenfold::hash::IdHash;
use evenfold::projection::{GRACE, Step, Worker, WorkerError, WorkerOptions};
use evenfold::schema::Schema;
use sqlx::PgConnection;
use std::time::Duration;

/// A worker with a connection of its own.
pub struct Stepped {
    pub worker: Worker<Counters>,
    pub conn: PgConnection,
}

impl Stepped {
    /// A worker that has not registered.
    pub async fn new(db: &TestDb, partition: Class, batch_size: usize, topology: Takeover) -> Self {
        let takeover_after = Duration::from_millis(1);
        let options = WorkerOptions::default().batch_size(batch_size).takeover_after(takeover_after).topology(topology);
        let worker = Worker::new(partition, Counters::new(pointer(), 1_000), options);
        Self { worker, conn: db.connect().await }
    }

    /// A worker that is ready to step.
    pub async fn start(db: &TestDb, key: u32, total: u32, batch_size: usize) -> Self {
        let mut one = Self::new(db, partition(key, total), batch_size, Takeover::After(GRACE)).await;
        assert_eq!(one.register().await, Registered::Ready, "{key} of {total}");
        one
    }

    /// All partitions of a total, ready to step.
    pub async fn team(db: &TestDb, total: u32, batch_size: usize) -> Vec<Self> {
        let mut team = Vec::new();
        for key in 0..total {
            team.push(Self::start(db, key, total, batch_size).await);
            rows(&mut team[0].conn).await;
        }
        team
    }

    /// Registers, and leaves a heartbeat where it is ready, as a worker that runs does.
    pub async fn register(&mut self) -> Registered {
        let registered = self.worker.register(&mut self.conn).await.unwrap();
        if registered == Registered::Ready {
            self.beat().await;
        }
        registered
    }

    pub async fn beat(&mut self) {
        let one = Beat {
            worker: self.worker.id(),
            projection: NAME,
            class: self.worker.class(),
            process: "test:1",
            state: "starting".to_owned(),
            applied: 0,
            per_second: 0.0,
            coordination: Duration::ZERO,
            compute: Duration::ZERO,
        };
        beat(&Schema::default(), &mut self.conn, &one).await.unwrap();
    }

    pub async fn try_step(&mut self) -> Result<Step, WorkerError> {
        self.worker.step(&mut self.conn).await
    }

    pub async fn step(&mut self) -> Step {
        self.try_step().await.unwrap()
    }

    /// Steps until a step fails, which it must soon, and gives the reason.
    pub async fn failure(&mut self) -> WorkerError {
        for _ in 0..10 {
            if let Err(error) = self.try_step().await {
                return error;
            }
        }
        panic!("it goes on")
    }

    /// Steps until nothing is left, and gives the number of events applied.
    pub async fn drain(&mut self) -> u64 {
        drain(&mut self.worker, &mut self.conn).await
    }
}

/// Steps all of them until nothing is left, one step each in turn, and gives the number of events applied.
pub async fn drain_all(team: &mut [Stepped]) -> u64 {
    let before: u64 = team.iter().map(|one| one.worker.progress().applied()).sum();
    let (mut idle, mut rounds) = (0, 0);
    while idle < 2 {
        idle += 1;
        rounds += 1;
        assert!(rounds < 1_000, "they come to no end");
        for one in &mut *team {
            if one.step().await != Step::CaughtUp {
                idle = 0;
            }
            rows(&mut one.conn).await;
        }
    }
    team.iter().map(|one| one.worker.progress().applied()).sum::<u64>() - before
}

pub fn partition(key: u32, total: u32) -> Class {
    Class::partition(key, total).unwrap()
}

/// Ids of aggregates, the first `count` of this class.
pub fn ids_in(class: Class, count: usize) -> Vec<String> {
    (0..).map(|n| format!("id{n}")).filter(|id| class.contains(IdHash::of(id))).take(count).collect()
}

/// The classes of the checkpoints. Fails unless they are disjoint and together hold every hash.
pub async fn rows(conn: &mut PgConnection) -> Vec<Class> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT residue, modulus FROM evenfold.checkpoints ORDER BY modulus, residue")
            .fetch_all(conn)
            .await
            .unwrap();
    let number = |n: i64| u32::try_from(n).unwrap();
    let classes: Vec<Class> = rows.iter().map(|&(key, total)| partition(number(key), number(total))).collect();
    assert!(is_exact_cover(partition(0, 1), &classes), "the checkpoints are no exact cover: {classes:?}");
    classes
}

/// How many events the counters have counted.
pub async fn counted(conn: &mut PgConnection) -> i64 {
    scalar(conn, "SELECT coalesce(sum(events), 0)::bigint FROM evenfold.counters").await
}

/// Fails unless every event of the log was applied exactly once, in the order of the versions: a counter parks what is
/// not its next version.
pub async fn assert_all_applied_once(conn: &mut PgConnection) {
    rows(conn).await;
    assert_eq!(scalar(conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    assert_eq!(counted(conn).await, scalar(conn, "SELECT count(*) FROM evenfold.events").await);
    super::assert_counters_agree(conn).await;
}
