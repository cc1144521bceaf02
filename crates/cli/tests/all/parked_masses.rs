//! Many parked aggregates: they are tried again many at a time, exactly as one by one, while workers go on; and logged
//! as a few lines.

use crate::cli_worker::field;
use crate::support::{
    Evenfold, LOCKED_OUT, SOON, Stepped, TestDb, append_one, assert_counters_agree, counter, drain, drain_all,
    only_worker, partition, pointer, scalar, wait_until,
};
use evenfold::checkpoint::{has_parked, list_parked};
use evenfold::counters::{Counters, NAME};
use evenfold::event::Aggregate;
use evenfold::projection::Step;
use evenfold::projection::parked::{Retried, RetryAll, drop_first, retry};
use evenfold::schema::Schema;
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, PgConnection};
use std::process::Stdio;

async fn run(conn: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(conn).await.unwrap();
}

/// Events of these aggregates, three of each, with this amount.
async fn three_each(conn: &mut PgConnection, prefix: &str, aggregates: u32, amount: &str) {
    for version in 1..=3 {
        run(
            conn,
            format!(
                "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
                 SELECT {version}, 't', '{prefix}' || n, 'e', '{{\"amount\": {amount}}}' FROM generate_series(1, {aggregates}) n"
            ),
        )
        .await;
    }
}

/// What an operator can't do: the log is mended, as a projection would be by a new version of its code.
async fn mend(conn: &mut PgConnection, which: &str) {
    run(
        conn,
        format!(
            "ALTER TABLE evenfold.events DISABLE TRIGGER events_append_only;
             UPDATE evenfold.events SET payload = '{{\"amount\": 1}}' WHERE aggregate_id LIKE '{which}';
             ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only"
        ),
    )
    .await;
}

fn counters() -> Counters {
    Counters::new(pointer(), 20_000)
}

const PARKED: &str = "SELECT count(*) FROM evenfold.parked_events WHERE dropped_at IS NULL";

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_parked_is_tried_in_few_transactions_and_workers_go_on_between_them() {
    let db = TestDb::new().await;
    let (mut conn, mut operator) = (db.connect().await, db.database.by_index().connect().await.unwrap());
    let mut worker = only_worker(&mut conn, 50_000).await;
    three_each(&mut conn, "bad", 8_000, "\"1\"").await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(scalar(&mut conn, PARKED).await, 24_000);
    mend(&mut conn, "bad%").await;

    let (mut all, mut projection, mut transactions, mut applied, mut expected) =
        (RetryAll::default(), counters(), 0, 0, 0);
    let revision = "SELECT max(revision) FROM evenfold.checkpoints";
    loop {
        append_one(&mut conn, "fine", 1).await;
        let before = scalar(&mut conn, revision).await;
        let Some(batch) = all.next(&Schema::default(), &mut operator, &mut projection).await.unwrap() else { break };
        transactions += 1;
        applied += batch.applied;
        assert!(batch.still.is_empty() && batch.events >= batch.aggregates * 3, "whole aggregates: {batch:?}");
        assert_eq!(scalar(&mut conn, revision).await, before + 1, "one bump for all of them");
        assert_eq!(scalar(&mut conn, PARKED).await, 24_000 - i64::try_from(applied).unwrap(), "as far as it says");
        assert_eq!(worker.step(&mut conn).await.unwrap(), Step::Outrun, "the worker has old counters in memory");
        expected += 1;
        drain(&mut worker, &mut conn).await;
        assert_eq!(counter(&mut conn, "fine").await, Some((expected, expected)), "it goes on before the next");
    }
    assert_eq!((transactions, applied), (3, 24_000));
    assert_counters_agree(&mut conn).await;
}

/// Parks aggregates for every reason: wrong amounts, wrong hashes, versions out of order, one with very many events.
async fn park_of_all_kinds(db: &TestDb) -> PgConnection {
    let mut conn = db.database.by_index().connect().await.unwrap();
    let mut team = Stepped::team(db, 3, 1_000).await;
    three_each(&mut conn, "text", 40, "\"1\"").await;
    three_each(&mut conn, "fine", 10, "1").await;
    let insert =
        "INSERT INTO evenfold.events (version, hash, aggregate_type, aggregate_id, event_type, payload) SELECT";
    run(
        &mut conn,
        format!("{insert} n, NULL, 't', 'long', 'e', '{{\"amount\": \"x\"}}' FROM generate_series(1, 12000) n"),
    )
    .await;
    run(
        &mut conn,
        format!(
            "{insert} CASE g.n WHEN 2 THEN 3 WHEN 3 THEN 2 ELSE g.n END, NULL, 't', 'order' || k, 'e', '{{}}'
        FROM generate_series(1, 4) AS g (n), generate_series(1, 10) k ORDER BY g.n"
        ),
    )
    .await;
    run(
        &mut conn,
        format!(
            "{insert} n, CASE n WHEN 3 THEN k END, 't', 'hash' || k, 'e', '{{}}'
        FROM generate_series(1, 5) n, generate_series(1, 10) k ORDER BY n"
        ),
    )
    .await;
    drain_all(&mut team).await;
    let of = |id: &str| Aggregate { aggregate_type: "t".into(), aggregate_id: id.into() };
    for id in ["hash3", "text5", "text6"] {
        drop_first(&Schema::default(), &mut conn, &mut counters(), &of(id)).await.unwrap();
    }
    mend(&mut conn, "text1%").await;
    mend(&mut conn, "long").await;
    run(
        &mut conn,
        "ALTER TABLE evenfold.events DISABLE TRIGGER events_append_only;
        UPDATE evenfold.events SET payload = '{\"amount\": []}' WHERE aggregate_id = 'long' AND version = 4000;
        UPDATE evenfold.events SET payload = '{\"amount\": []}' WHERE aggregate_id = 'text12' AND version = 2;
        ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only",
    )
    .await;
    conn
}

/// The counters, and what is parked or dropped, and why.
async fn outcome(conn: &mut PgConnection) -> Vec<String> {
    let text = "SELECT format('%s %s %s %s', aggregate_id, events, value, version) FROM evenfold.counters
        UNION ALL SELECT format('%s %s %s %s', aggregate_id, version, reason, dropped_at IS NULL) FROM evenfold.parked_events
        ORDER BY 1";
    sqlx::query_scalar(text).fetch_all(conn).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_that_are_tried_together_end_up_as_those_that_are_tried_one_by_one() {
    let (one, many) = (TestDb::new().await, TestDb::new().await);
    let mut conn = park_of_all_kinds(&one).await;
    let parked = list_parked(&Schema::default(), &mut conn, NAME, 1_000).await.unwrap();
    let ids: Vec<&str> = parked.iter().map(|p| p.aggregate_id.as_str()).collect();
    assert_eq!(parked.len(), 60, "40 texts, 10 out of order, 9 hashes and the long one: {ids:?}");
    let mut still_one_by_one = Vec::new();
    for p in parked {
        let aggregate = Aggregate { aggregate_type: p.aggregate_type, aggregate_id: p.aggregate_id };
        match retry(&Schema::default(), &mut conn, &mut counters(), &aggregate).await.unwrap() {
            Retried::Parked { version, reason, .. } => still_one_by_one.push((aggregate, version, reason)),
            Retried::Applied { .. } => {}
            Retried::NotParked => panic!("{aggregate} was listed"),
        }
    }
    let expected = outcome(&mut conn).await;
    assert_eq!(
        scalar(&mut conn, "SELECT max(version) FROM evenfold.counters WHERE aggregate_id = 'long'").await,
        3_999
    );
    let causes = "SELECT count(*) FROM evenfold.parked_events WHERE aggregate_id = 'long' AND reason NOT LIKE 'another event of this%'";
    assert_eq!(scalar(&mut conn, causes).await, 1, "what comes behind it waits, also in the chunks after its own");

    let mut conn = park_of_all_kinds(&many).await;
    let (mut all, mut projection, mut still) = (RetryAll::default(), counters(), Vec::new());
    while let Some(batch) = all.next(&Schema::default(), &mut conn, &mut projection).await.unwrap() {
        still.extend(batch.still.into_iter().map(|still| (still.aggregate, still.version, still.reason)));
    }
    assert_eq!(outcome(&mut conn).await, expected);
    still_one_by_one.sort();
    assert_eq!(still, still_one_by_one, "and are named, in the order of their names, with the same reasons");
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_asks_about_parked_aggregates_only_where_its_class_has_any() {
    let db = TestDb::new().await;
    let mut conn = park_of_all_kinds(&db).await;
    run(&mut conn, "DELETE FROM evenfold.parked_events WHERE hash % 3 = 1").await;
    let mut asked = Vec::new();
    for key in 0..3 {
        asked.push(has_parked(&Schema::default(), &mut conn, NAME, partition(key, 3)).await.unwrap());
    }
    assert_eq!(asked, [true, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_wrong_amounts_is_logged_as_a_few_examples_and_a_sum_for_each_reason() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    three_each(&mut conn, "bad", 1_000, "\"1\"").await;
    three_each(&mut conn, "large", 100, "1.5e300").await;
    let args = ["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up", "--batch-size=500"];
    let output = Evenfold::run(&[&args[..], &["--log=warn", "--database-url", &db.url]].concat(), "");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let (sums, examples): (Vec<&str>, Vec<&str>) = log.lines().partition(|line| line.contains("parked more events"));
    assert!((1..=5).contains(&examples.len()) && sums.len() <= 10, "{log}");
    assert!(
        examples.iter().all(|line| line.contains("aggregate_id=") && line.contains("the amount is a string")),
        "{log}"
    );
    let summed: i64 = sums.iter().map(|line| field(line, "events")).sum();
    assert_eq!(summed + i64::try_from(examples.len()).unwrap(), 3_300, "each is in one line or the other: {log}");
    assert!(sums.iter().all(|line| line.contains("partition=0/1")), "{log}");
    assert!(sums.iter().any(|line| line.contains("does not fit into 64 bits")), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_all_sums_up_what_is_still_parked_and_ctrl_c_keeps_what_was_done() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 50_000).await;
    three_each(&mut conn, "bad", 10_000, "\"1\"").await;
    drain(&mut worker, &mut conn).await;
    mend(&mut conn, "bad%").await;
    let retry = ["parked", "retry", "--all", "--database-url", &db.url];

    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let file = std::fs::File::create(&out).unwrap();
    // Holds up the second of three transactions, so that the signal comes in the middle of it.
    let mut other = db.connect().await;
    run(&mut other, "BEGIN; SELECT FROM evenfold.parked_events WHERE aggregate_id = 'bad5' FOR UPDATE").await;
    let logging = [&retry[..], &["--log=info"]].concat();
    let mut stopped = Evenfold::start_into(Evenfold::command(&logging), Stdio::from(file));
    wait_until("the second transaction", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 1).await;
    stopped.signal(Signal::SIGINT);
    wait_until("the signal", SOON, async || stopped.log().contains("finishing what is in hand")).await;
    run(&mut other, "ROLLBACK").await;
    assert_eq!(stopped.wait(), 1, "{}", stopped.log());
    assert!(
        stopped.log().contains("stopped before all parked aggregates were tried; run it again"),
        "{}",
        stopped.log()
    );
    let left = scalar(&mut conn, PARKED).await;
    assert!((1..20_000).contains(&left), "the second was finished, and the third not begun: {left}");
    let done = std::fs::read_to_string(&out).unwrap();
    assert_eq!(
        field(done.trim_end().replace("applied ", "applied=").replace(',', "").as_str(), "applied"),
        30_000 - left
    );
    assert_counters_agree(&mut conn).await;

    run(&mut conn, "ALTER TABLE evenfold.events DISABLE TRIGGER events_append_only;
        UPDATE evenfold.events e SET payload = '{\"amount\": []}' FROM evenfold.parked_events p WHERE p.position = e.position AND e.version = 2
            AND p.aggregate_id > 'bad9';
        ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only").await;
    let output = Evenfold::run(&retry, "");
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    let still = list_parked(&Schema::default(), &mut conn, NAME, 100_000).await.unwrap().len();
    assert!(still > 20 && out.lines().count() == 22, "twenty of them, how many more, and the sum: {still} {out}");
    assert!(out.contains("t/bad9") && out.contains(": still parked at version 2: the amount is an array"), "{out}");
    let shown = |number: usize| {
        if number >= 1000 { format!("{},{:03}", number / 1000, number % 1000) } else { number.to_string() }
    };
    assert!(out.contains(&format!("and {} more: see `evenfold parked list`", shown(still - 20))), "{out}");
    assert!(err.contains(&format!("{} of ", shown(still))) && err.contains("aggregates are still parked"), "{err}");
    assert_counters_agree(&mut conn).await;
}
