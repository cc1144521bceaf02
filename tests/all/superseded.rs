//! Which number of partitions is the newer one: who takes over, who waits, and what they say.

use crate::support::{
    SOON, Stepped, TestDb, append_one, assert_all_applied_once, drain, only_worker, partition, rows, wait_until,
    worker_of,
};
use evenfold::checkpoint::{RegisterError, Registered, Takeover};
use evenfold::projection::{self, GRACE, Phase, RunError, RunOptions, WorkerError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_replaced_number_waits_for_the_grace_time_and_then_works() {
    let db = TestDb::new().await;
    Stepped::start(&db, 0, 2, 10).await;
    Stepped::start(&db, 0, 3, 10).await;
    let mut late = Stepped::new(&db, partition(1, 2), 10, Takeover::After(GRACE)).await;
    let Registered::Superseded { by, retry_in } = late.register().await else { panic!("it took over") };
    assert_eq!(by, 3);
    assert!(retry_in <= GRACE && retry_in > GRACE / 2, "{retry_in:?}");

    let mut patient = Stepped::new(&db, partition(1, 2), 10, Takeover::After(Duration::ZERO)).await;
    assert_eq!(patient.register().await, Registered::Ready, "its grace time is over");
    rows(&mut patient.conn).await;
    let mut replaced = Stepped::new(&db, partition(1, 3), 10, Takeover::After(GRACE)).await;
    assert!(matches!(replaced.register().await, Registered::Superseded { by: 2, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_to_take_over_does_so_at_once() {
    let db = TestDb::new().await;
    Stepped::start(&db, 0, 2, 10).await;
    Stepped::start(&db, 0, 3, 10).await;
    let mut forced = Stepped::new(&db, partition(1, 2), 10, Takeover::Now).await;
    assert_eq!(forced.register().await, Registered::Ready);
    rows(&mut forced.conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_whose_number_was_replaced_does_not_take_over_whatever_its_options() {
    for topology in [Takeover::Now, Takeover::After(Duration::ZERO)] {
        let db = TestDb::new().await;
        let mut writer = db.connect().await;
        let mut old = Stepped::new(&db, partition(0, 2), 1, topology).await;
        assert_eq!(old.register().await, Registered::Ready);
        old.step().await;
        let mut new = Stepped::new(&db, partition(0, 3), 1, topology).await;
        assert_eq!(new.register().await, Registered::Ready);
        append_one(&mut writer, "a", 1).await;
        let ended = old.failure().await;
        assert!(matches!(ended, WorkerError::Superseded { by: 3, .. }), "{ended}: two sets would take turns for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_a_replaced_number_says_so_and_waits_until_it_is_stopped() {
    let db = TestDb::new().await;
    Stepped::start(&db, 0, 2, 10).await;
    Stepped::start(&db, 0, 3, 10).await;
    let waiting = Stepped::new(&db, partition(1, 2), 10, Takeover::After(GRACE)).await.worker;
    let (progress, stop) = (waiting.progress(), CancellationToken::new());
    let (database, token) = (db.database.clone(), stop.clone());
    let run = tokio::spawn(async move { projection::run(&database, waiting, &RunOptions::default(), token).await });
    wait_until("it to say so", SOON, async || progress.phase() == Phase::Superseded(3)).await;
    stop.cancel();
    assert_eq!(run.await.unwrap().unwrap().applied, 0);

    let waiting = Stepped::new(&db, partition(1, 2), 10, Takeover::After(GRACE)).await.worker;
    let options = RunOptions::default().until_caught_up(true);
    let ended = projection::run(&db.database, waiting, &options, CancellationToken::new()).await;
    let Err(error @ RunError::Worker(WorkerError::Superseded { .. })) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains("gone on with 3 partitions"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_takes_over_when_its_grace_time_has_passed() {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    Stepped::start(&db, 0, 1, 10).await;
    Stepped::start(&db, 0, 3, 10).await;
    append_one(&mut writer, "a", 1).await;
    let waiting = Stepped::new(&db, partition(0, 1), 10, Takeover::After(Duration::from_secs(2))).await.worker;
    let (progress, stop) = (waiting.progress(), CancellationToken::new());
    let (database, token) = (db.database.clone(), stop.clone());
    let run = tokio::spawn(async move { projection::run(&database, waiting, &RunOptions::default(), token).await });
    wait_until("it to wait", SOON, async || progress.phase() == Phase::Superseded(3)).await;
    wait_until("it to take over", SOON, async || progress.applied() == 1).await;
    stop.cancel();
    run.await.unwrap().unwrap();
    assert_eq!(rows(&mut writer).await, [partition(0, 1)]);
    assert_all_applied_once(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_finds_out_that_its_number_was_replaced() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut idle = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    assert_eq!(drain(&mut idle, &mut conn).await, 1);
    worker_of(partition(0, 2), 10).register(&mut db.connect().await).await.unwrap();
    wait_until("the refusal", SOON, async || {
        matches!(idle.step(&mut conn).await, Err(WorkerError::Superseded { by: 2, .. }))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_fine_a_cut_is_refused_with_the_advice_and_changes_nothing() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::team(&db, 2, 10).await;
    let mut odd = Stepped::new(&db, partition(0, 65_535), 10, Takeover::Now).await;
    let refused = odd.worker.register(&mut conn).await.unwrap_err();
    assert!(matches!(refused, RegisterError::TooFine(_)));
    assert_eq!(
        refused.to_string(),
        "going from 2 to 65535 partitions at once would cut the log into more than 65536 classes: \
         go by way of a multiple or a divisor of 2"
    );
    assert_eq!(rows(&mut conn).await, [partition(0, 2), partition(1, 2)]);
    let mut other = Stepped::new(&db, partition(0, 2), 10, Takeover::After(GRACE)).await;
    assert_eq!(other.register().await, Registered::Ready, "2 is still the number of partitions");
}
