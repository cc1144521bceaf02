//! Rows that were removed or changed by hand: what is wrong is reported in words, and the advice that is printed,
//! followed literally, leads to counters that agree and to workers that go on.

use crate::definition::advised;
use crate::support::cli::run_at;
use crate::support::{
    Evenfold, SOON, Stepped, TestDb, append_one, counted, drain_all, event, ids_in, partition, pointer, rows, scalar,
    wait_until,
};
use evenfold::checkpoint::{RegisterError, Takeover};
use evenfold::class::Class;
use evenfold::counters::Counters;
use evenfold::counters::Rebuild;
use evenfold::log;
use evenfold::projection::WorkerError;
use evenfold::shadow::Rebuilt;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio_util::sync::CancellationToken;

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap();
}

/// A log that four workers have applied, with aggregates in each partition.
async fn applied(db: &TestDb) -> (PgConnection, Vec<Stepped>) {
    let mut conn = db.connect().await;
    let mut team = Stepped::team(db, 4, 10).await;
    for key in 0..4 {
        for id in ids_in(partition(key, 4), 3) {
            log::append(&mut conn, &[event(&id, 1), event(&id, 10)]).await.unwrap();
        }
    }
    drain_all(&mut team).await;
    (conn, team)
}

const CHECKPOINTS: [&str; 5] = [
    "DELETE FROM evenfold.checkpoints WHERE residue = 2",
    "DELETE FROM evenfold.checkpoints WHERE residue <> 2",
    "DELETE FROM evenfold.checkpoints",
    "INSERT INTO evenfold.checkpoints (projection, modulus, residue) VALUES ('counters', 8, 2)",
    "UPDATE evenfold.checkpoints SET modulus = 8 WHERE residue = 2",
];

const COUNTERS: [&str; 5] = [
    "DELETE FROM evenfold.counters WHERE aggregate_id IN (SELECT aggregate_id FROM evenfold.counters ORDER BY 1 LIMIT 2)",
    "DELETE FROM evenfold.counters",
    "INSERT INTO evenfold.counters VALUES ('t', 'nobody', 1, 1, 1, 1)",
    "UPDATE evenfold.counters SET value = value + 1",
    "UPDATE evenfold.counters SET events = events + 1",
];

/// Verifies, follows the advice if there is any, and verifies again.
fn follow_the_advice(db: &TestDb, damage: &str) {
    let damaged = run_at(db, &["verify"]);
    assert_eq!(damaged.code, 1, "{damage}: {damaged:#?}");
    let advice = advised(&damaged.err);
    assert_eq!(advice, [["rebuild"]], "{damage}: {damaged:#?}");
    let followed = run_at(db, &advice[0]);
    assert!(followed.fine().contains("the rebuilt counters are in use"), "{damage}: {followed:#?}");
    let agrees = run_at(db, &["verify"]);
    assert!(agrees.fine().contains("all 12 counters agree"), "{damage}: {agrees:#?}");
}

/// One more event for each partition, which the workers apply.
async fn assert_all_go_on(conn: &mut PgConnection, team: &mut [Stepped], damage: &str) {
    for key in 0..4 {
        append_one(conn, &ids_in(partition(key, 4), 1)[0], 100).await;
    }
    assert_eq!(drain_all(team).await, 4, "{damage}");
    assert_eq!(rows(conn).await, [0, 1, 2, 3].map(|key| partition(key, 4)), "{damage}");
    assert_eq!(counted(conn).await, 28, "{damage}");
}

async fn are_mended(damages: &[&str]) {
    for damage in damages {
        let db = TestDb::new().await;
        let (mut conn, mut team) = applied(&db).await;
        run(&mut conn, damage).await;
        follow_the_advice(&db, damage);
        assert_all_go_on(&mut conn, &mut team, damage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_checkpoints_the_advice_leads_back_and_running_workers_go_on() {
    are_mended(&CHECKPOINTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_counters_the_advice_leads_back_and_running_workers_go_on() {
    are_mended(&COUNTERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_positions_changed_by_hand_are_those_of_the_log_after_a_rebuild_and_nothing_stays_parked() {
    for damage in
        ["UPDATE evenfold.counters SET version = version + 3", "UPDATE evenfold.counters SET last_position = 1"]
    {
        let db = TestDb::new().await;
        let (mut conn, _) = applied(&db).await;
        let all = "SELECT md5(string_agg(c::text, ',' ORDER BY c)) FROM evenfold.counters c";
        let before: String = sqlx::query_scalar(all).fetch_one(&mut conn).await.unwrap();
        run(&mut conn, damage).await;
        // New workers have nothing in memory, and park what does not follow.
        let mut team = Stepped::team(&db, 4, 10).await;
        append_one(&mut conn, &ids_in(partition(0, 4), 1)[0], 0).await;
        drain_all(&mut team).await;
        run_at(&db, &["rebuild"]).fine();
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0, "{damage}");
        let last = format!(
            "UPDATE evenfold.counters c SET events = 2, version = 2, last_position = (SELECT max(position) FROM evenfold.events e
            WHERE e.aggregate_id = c.aggregate_id AND e.version = 2) WHERE aggregate_id = '{}' AND version = 3",
            ids_in(partition(0, 4), 1)[0]
        );
        run(&mut conn, &last).await;
        let after: String = sqlx::query_scalar(all).fetch_one(&mut conn).await.unwrap();
        assert_eq!(after, before, "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_checkpoint_says_so_in_words_and_goes_on_after_a_rebuild() {
    for damage in CHECKPOINTS {
        let db = TestDb::new().await;
        let (mut conn, mut team) = applied(&db).await;
        run(&mut conn, damage).await;
        let mut missing = 0;
        for (key, one) in (0..).zip(&mut team) {
            append_one(&mut conn, &ids_in(partition(key, 4), 1)[0], 100).await;
            let mut error = None;
            for _ in 0..4 {
                error = error.or(one.try_step().await.err());
            }
            let Some(error) = error else { continue };
            assert!(
                matches!(error, WorkerError::Incomplete(RegisterError::Incomplete { .. })),
                "{damage}: {error}, which is not to be waited for"
            );
            let sentence =
                format!("do not stand for all of partition {}: rows were removed or added by hand", one.worker.class());
            assert!(error.to_string().contains(&sentence), "{error}");
            missing += 1;
        }
        let expected = match damage {
            _ if damage.contains("residue <> 2") => 3..=3,
            "DELETE FROM evenfold.checkpoints" => 4..=4,
            // Its own row is as it was: it goes on until it looks.
            _ if damage.starts_with("INSERT") => 0..=1,
            _ => 1..=1,
        };
        assert!(expected.contains(&missing), "{damage}: the others go on, and {missing} do not");
        let mut new = Stepped::new(&db, partition(2, 4), 10, Takeover::Now).await;
        let refused = new.worker.register(&mut new.conn).await;
        let of_2 = !damage.contains("<> 2");
        assert_eq!(matches!(refused, Err(RegisterError::Incomplete { .. })), of_2, "{damage}: {refused:?}");
        let status = run_at(&db, &["status"]);
        assert!(status.fine().contains("INCOMPLETE: checkpoints were removed or"), "{status:#?}");
        assert_eq!(rebuilt(&db).await, Rebuilt::Switched);
        drain_all(&mut team).await;
        assert_eq!(counted(&mut conn).await, 28, "{damage}");
    }
}

async fn rebuilt(db: &TestDb) -> Rebuilt {
    let rebuild = Rebuild::new(Counters::new(pointer(), 1_000), 10).unwrap();
    rebuild.run(&db.database, &CancellationToken::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_process_whose_checkpoint_is_gone_is_not_silent_and_is_not_to_be_restarted() {
    let db = TestDb::new().await;
    let (mut conn, team) = applied(&db).await;
    drop(team);
    let args = ["worker", "--partition-key=2", "--total-partitions=4", "--database-url", &db.url];
    let mut worker = Evenfold::spawn(&args);
    let id = &ids_in(partition(2, 4), 1)[0];
    append_one(&mut conn, id, 100).await;
    wait_until("the worker", SOON, async || counted(&mut conn).await == 25).await;
    run(&mut conn, "DELETE FROM evenfold.checkpoints WHERE residue = 2").await;
    append_one(&mut conn, id, 100).await;
    let status = run_at(&db, &["status"]).fine().to_owned();
    assert!(status.contains("INCOMPLETE") && !status.contains("26 of 26 events are applied"), "{status}");
    let sentence = "do not stand for all of partition 2/4: rows were removed or added by hand, and its events can't be \
        applied; run `evenfold rebuild`, which restores them";
    wait_until("a sentence", SOON, async || worker.log().contains(sentence)).await;
    // One that is started now says so as well, and both go on once it is mended.
    let another = Evenfold::spawn(&args);
    wait_until("the same sentence", SOON, async || another.log().contains(sentence)).await;
    run_at(&db, &["rebuild"]).fine();
    append_one(&mut conn, id, 100).await;
    wait_until("it goes on", SOON, async || counted(&mut conn).await == 27).await;
    assert_eq!(worker.ended(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_has_lost_every_checkpoint_is_not_folded_again_on_top_of_its_counters() {
    let db = TestDb::new().await;
    let (mut conn, _) = applied(&db).await;
    run(&mut conn, "DELETE FROM evenfold.checkpoints").await;
    let mut other = Stepped::new(&db, Class::partition(0, 1).unwrap(), 10, Takeover::Now).await;
    let refused = other.worker.register(&mut other.conn).await;
    assert!(matches!(refused, Err(RegisterError::Incomplete { .. })), "{refused:?}");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.checkpoints").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_partitions_in_the_middle_is_kept_by_a_rebuild_where_no_row_is_missing() {
    let db = TestDb::new().await;
    let (mut conn, _team) = applied(&db).await;
    // One of three has registered: the rows are of several moduli, and complete.
    let mut one = Stepped::start(&db, 0, 3, 10).await;
    let before = rows(&mut conn).await;
    assert!(before.len() > 4, "{before:?}");
    assert_eq!(rebuilt(&db).await, Rebuilt::Switched);
    assert_eq!(rows(&mut conn).await, before, "whoever works on one of them goes on with it");
    one.drain().await;
    run(&mut conn, "DELETE FROM evenfold.checkpoints WHERE modulus = 3").await;
    assert_eq!(rebuilt(&db).await, Rebuilt::Switched);
    assert_eq!(rows(&mut conn).await, [0, 1, 2].map(|key| partition(key, 3)), "the present number of partitions");
}
