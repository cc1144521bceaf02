//! The partitions of a pool that is far behind are read together, and one that is slow is left to itself.

use crate::support::{
    SOON, Stepped, TestDb, append_one, assert_all_applied_once, counted, event, partition, pointer, scalar, wait_until,
};
use evenfold::checkpoint::Takeover;
use evenfold::class::Class;
use evenfold::counters::{Counters, NAME};
use evenfold::log;
use evenfold::projection::{Batch, BoxError, Pool, Projection, RunOptions, Worker, WorkerOptions};
use sqlx::PgConnection;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

const EVENTS: i64 = 2_001;

/// Rows of the log that the server has fetched for anybody.
const FETCHED: &str = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'events'";

/// The counters, of which one class has to wait for a permit for each batch.
struct Gated {
    counters: Counters,
    gate: Option<Arc<Semaphore>>,
}

impl Projection for Gated {
    fn name(&self) -> &'static str {
        NAME
    }

    fn settings(&self) -> String {
        self.counters.settings()
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        if let Some(gate) = &self.gate {
            gate.acquire().await?.forget();
        }
        self.counters.apply(conn, batch).await
    }

    fn forget(&mut self) {
        self.counters.forget();
    }
}

/// A log that looks long, by its positions: so long that nobody counts the lag, which would be reading, too.
async fn fill(conn: &mut PgConnection) {
    for _ in 0..20 {
        let events: Vec<_> = (0..100).map(|n| event(&format!("a{}", n % 60), 1)).collect();
        log::append(conn, &events).await.unwrap();
    }
    scalar(conn, "SELECT setval('evenfold.events_position_seq', 200000)").await;
    append_one(conn, "a0", 1).await;
}

fn start(db: &TestDb, gate: &Arc<Semaphore>, stop: &CancellationToken) -> Pool {
    let gate = Arc::clone(gate);
    let make = move |class: Class| {
        let gate = (class.residue() == 2).then(|| Arc::clone(&gate));
        let counters = Counters::new(pointer(), 1_000);
        Worker::new(class, Gated { counters, gate }, WorkerOptions::default().batch_size(80))
    };
    let partitions: Vec<Class> = (0..4).map(|key| partition(key, 4)).collect();
    let options = RunOptions::default().until_caught_up(true);
    Pool::start(&db.database, &partitions, make, &options, stop).unwrap()
}

async fn end(mut pool: Pool) -> (u64, u64) {
    let (mut received, mut applied) = (0, 0);
    while let Some((_, report)) = pool.ended().await {
        let report = report.unwrap();
        (received, applied) = (received + report.received, applied + report.applied);
    }
    (received, applied)
}

/// Lets the partitions be where they have come to at different times.
async fn spread(db: &TestDb, conn: &mut PgConnection) {
    for key in 0..4 {
        append_one(conn, "a0", 1).await;
        Stepped::new(db, partition(key, 4), 10, Takeover::Now).await.drain().await;
    }
}

async fn is_read_once(db: &TestDb, conn: &mut PgConnection, behind: i64) {
    let before = scalar(conn, FETCHED).await;
    let pool = start(db, &Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), &CancellationToken::new());
    assert_eq!(end(pool).await, (behind.unsigned_abs(), behind.unsigned_abs()));
    let mut fetched = 0;
    wait_until("the statistics of the reading", SOON, async || {
        fetched = scalar(conn, FETCHED).await - before;
        fetched >= behind
    })
    .await;
    assert!(fetched < 2 * behind, "{fetched} rows for {behind} events");
    assert_all_applied_once(conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_once_for_all_partitions_of_a_pool_that_is_far_behind() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    fill(&mut conn).await;
    is_read_once(&db, &mut conn, EVENTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_read_once_also_where_the_partitions_have_come_to_different_fences() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    spread(&db, &mut conn).await;
    let applied = counted(&mut conn).await;
    fill(&mut conn).await;
    is_read_once(&db, &mut conn, EVENTS + 4 - applied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_hangs_holds_up_no_other_and_goes_on_by_itself() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    fill(&mut conn).await;
    let gate = Arc::new(Semaphore::new(2));
    let pool = start(&db, &gate, &CancellationToken::new());
    let members = pool.members().to_vec();
    let share = |class: Class| format!("SELECT count(*) FROM evenfold.events WHERE hash % 4 = {}", class.residue());
    for member in members.iter().filter(|member| member.partition.residue() != 2) {
        let sql = sqlx::AssertSqlSafe(share(member.partition));
        let all: i64 = sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap();
        wait_until("the others", SOON, async || member.progress.applied() == all.unsigned_abs()).await;
    }
    assert_eq!(gate.available_permits(), 0, "the third has begun");
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    assert_eq!(end(pool).await.1, EVENTS.unsigned_abs());
    assert_all_applied_once(&mut conn).await;
}
