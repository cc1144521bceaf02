//! Several partitions in one process: the failure of one is its own.

use crate::support::{SOON, TestDb, append_one, assert_all_applied_once, ids_in, partition, pointer, wait_until};
use evenfold::checkpoint::RegisterError;
use evenfold::class::Class;
use evenfold::counters::{Counters, NAME};
use evenfold::hash::IdHash;
use evenfold::projection::{
    Batch, BoxError, Phase, Pool, Projection, RunError, RunOptions, Worker, WorkerError, WorkerOptions,
};
use sqlx::PgConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy)]
enum How {
    Panics,
    Fails,
}

/// The counters, except that batches with an event of one class come to nothing the first few times, after the counters
/// were written.
struct Flaky {
    counters: Counters,
    class: Class,
    times: Arc<AtomicU32>,
    how: How,
}

impl Projection for Flaky {
    fn name(&self) -> &'static str {
        NAME
    }

    fn settings(&self) -> String {
        self.counters.settings()
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        self.counters.apply(conn, batch).await?;
        let concerned = batch.events().any(|event| self.class.contains(IdHash::of(event.aggregate_id)));
        let left = concerned
            && self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |times| times.checked_sub(1)).is_ok();
        match self.how {
            How::Panics if left => panic!("the projection's own mistake"),
            How::Fails if left => Err("it is not its day".into()),
            _ => Ok(()),
        }
    }

    fn forget(&mut self) {
        self.counters.forget();
    }
}

/// A pool of four, of which partition 2 comes to nothing this often, and what is left of that.
fn flaky_pool(db: &TestDb, how: How, times: u32, stop: &CancellationToken) -> (Pool, Arc<AtomicU32>) {
    let left = Arc::new(AtomicU32::new(times));
    let times = Arc::clone(&left);
    let make = move |class| {
        let counters = Counters::new(pointer(), 100);
        let flaky = Flaky { counters, class: partition(2, 4), times: Arc::clone(&times), how };
        Worker::new(class, flaky, WorkerOptions::default().batch_size(3))
    };
    let partitions: Vec<Class> = (0..4).map(|key| partition(key, 4)).collect();
    (Pool::start(&db.database, &partitions, make, &RunOptions::default(), stop).unwrap(), left)
}

async fn one_fails(how: How) {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let stop = CancellationToken::new();
    // So often that it can't recover before the others are looked at.
    let (mut pool, left) = flaky_pool(&db, how, u32::MAX, &stop);
    for key in 0..4 {
        for id in ids_in(partition(key, 4), 5) {
            append_one(&mut conn, &id, 1).await;
        }
    }
    let members = pool.members().to_vec();
    let others = [0, 1, 3];
    wait_until("the others to go on", SOON, async || others.iter().all(|&n| members[n].progress.applied() == 5)).await;
    wait_until("the third to fail again", SOON, async || left.load(Ordering::Relaxed) < u32::MAX - 1).await;
    assert_eq!(members[2].progress.applied(), 0);
    let troubles = pool.troubles();
    let [(failing, trouble)] = &troubles[..] else { panic!("one partition of four: {troubles:?}") };
    assert_eq!(*failing, partition(2, 4));
    assert!(trouble.next_try.is_some() && ["panicked", "not its day"].iter().any(|why| trouble.why.contains(why)));
    left.store(1, Ordering::Relaxed);
    wait_until("the third to recover", SOON, async || members[2].progress.applied() == 5).await;
    wait_until("the end of the trouble", SOON, async || pool.troubles().is_empty()).await;
    stop.cancel();
    while let Some((partition, report)) = pool.ended().await {
        assert_eq!(report.unwrap().applied, 5, "{partition}");
    }
    assert_all_applied_once(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_projection_panics_is_started_again_while_the_others_go_on() {
    one_fails(How::Panics).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_projection_fails_is_tried_again_while_the_others_go_on() {
    one_fails(How::Fails).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_superseded_ends_with_the_sentence_for_each_partition() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let stop = CancellationToken::new();
    let (mut pool, _) = flaky_pool(&db, How::Fails, 0, &stop);
    let members = pool.members().to_vec();
    wait_until("all to be at work", SOON, async || members.iter().all(|m| m.progress.phase() == Phase::CaughtUp)).await;
    let team = crate::support::Stepped::team(&db, 3, 10).await;
    for key in 0..4 {
        append_one(&mut conn, &ids_in(partition(key, 4), 1)[0], 1).await;
    }
    while let Some((partition, ended)) = pool.ended().await {
        let superseded = matches!(ended, Err(RunError::Worker(WorkerError::Superseded { by: 3, .. })));
        assert!(superseded, "{partition}: {ended:?}");
        let trouble = members[partition.residue() as usize].trouble().unwrap();
        assert_eq!(trouble.next_try, None, "it is not tried again: {trouble:?}");
        assert!(trouble.why.contains("gone on with 3 partitions"), "{trouble:?}");
    }
    assert_eq!(pool.troubles().len(), 4);
    drop(team);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_differ_end_a_pool_because_trying_again_is_of_no_use() {
    let db = TestDb::new().await;
    crate::support::Stepped::team(&db, 2, 10).await;
    let make = |class| {
        let other = "/another".parse().unwrap();
        Worker::new(class, Counters::new(other, 100), WorkerOptions::default())
    };
    let partitions = [partition(0, 2), partition(1, 2)];
    let stop = CancellationToken::new();
    let mut pool = Pool::start(&db.database, &partitions, make, &RunOptions::default(), &stop).unwrap();
    while let Some((partition, ended)) = pool.ended().await {
        let refused = matches!(ended, Err(RunError::Register(RegisterError::OtherDefinition { .. })));
        assert!(refused, "{partition}: {ended:?}");
    }
    let troubles = pool.troubles();
    assert!(troubles.len() == 2 && troubles.iter().all(|(_, trouble)| trouble.next_try.is_none()), "{troubles:?}");
}
