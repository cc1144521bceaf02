//! `evenfold verify` counts exactly the events that the checkpoints say are applied, however far the workers are.

use crate::support::cli::run_at;
use crate::support::{
    Stepped, TestDb, advised, append_one, assert_counters_agree, counter, drain_all, event, ids_in, insert, partition,
    pointer, scalar,
};
use evenfold::counters::mismatches;
use evenfold::event::NewEvent;
use evenfold::log;
use evenfold::schema::Schema;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection};

#[tokio::test(flavor = "multi_thread")]
async fn it_agrees_after_every_step_of_workers_in_the_middle_of_windows_and_of_a_change() {
    let db = TestDb::new().await;
    let (mut writer, mut slow, mut conn) = (db.connect().await, db.connect().await, db.connect().await);
    let mut team = Stepped::team(&db, 2, 2).await;
    let mut late = slow.begin().await.unwrap();
    log::append(&mut late, &[event("late", 1), event("later", 1)]).await.unwrap();
    for n in 0..20 {
        append_one(&mut writer, &format!("a{}", n % 7), n).await;
    }
    for round in 0..4 {
        for one in &mut team {
            one.step().await;
            assert_counters_agree(&mut conn).await;
        }
        append_one(&mut writer, "a1", round).await;
    }
    late.commit().await.unwrap();
    let mut three = Stepped::team(&db, 3, 1).await;
    for _ in 0..8 {
        for one in &mut three {
            one.step().await;
            assert_counters_agree(&mut conn).await;
        }
    }
    drain_all(&mut three).await;
    assert_counters_agree(&mut conn).await;
}

/// Two aggregates, one of which has had an event dropped; a third of which nothing could be applied.
async fn applied() -> TestDb {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut team = Stepped::team(&db, 2, 2).await;
    for (id, amount) in [("a", 1), ("a", 2), ("b", 5)] {
        append_one(&mut conn, id, amount).await;
    }
    for id in ["b", "dropped", "waiting"] {
        let bad = NewEvent::new("t", id, "added", &json!({ "amount": "x" })).unwrap();
        log::append(&mut conn, &[bad]).await.unwrap();
    }
    drain_all(&mut team).await;
    for id in ["b", "dropped"] {
        assert_eq!(run_at(&db, &["parked", "drop", "t", id]).code, 0);
    }
    db
}

/// Follows the advice of a complaint, to the letter. Workers are at work.
fn follow(db: &TestDb, complaint: &str) {
    let advice = advised(complaint);
    let output = run_at(db, &advice.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(output.code, 0, "{advice:?}: {output:?}");
    assert_eq!(run_at(db, &["pool", "--total-partitions=2", "--until-caught-up"]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_every_way_in_which_a_counter_can_be_wrong_and_its_advice_mends_each() {
    let wrong = [
        (
            "UPDATE evenfold.counters SET value = value + 1 WHERE aggregate_id = 'a'",
            "t/a: the log says 2 events with the value 3, the read model 2 events with the value 4",
        ),
        (
            "UPDATE evenfold.counters SET events = 3 WHERE aggregate_id = 'a'",
            "t/a: the log says 2 events with the value 3, the read model 3 events with the value 3",
        ),
        (
            "UPDATE evenfold.counters SET version = 7 WHERE aggregate_id = 'a'",
            "t/a: the log says version 2, the read model version 7",
        ),
        (
            "UPDATE evenfold.counters SET version = 1 WHERE aggregate_id = 'a'",
            "t/a: the log says version 2, the read model version 1",
        ),
        (
            "UPDATE evenfold.counters SET last_position = 1 WHERE aggregate_id = 'b'",
            "t/b: the log says the last position 3, the read model the last position 1",
        ),
        (
            "UPDATE evenfold.counters SET version = 0, last_position = 0 WHERE aggregate_id = 'b'",
            "t/b: the log says version 2 and the last position 3, the read model version 0 and the last position 0",
        ),
        // An event that was dropped has moved the version, and the next one must fit.
        (
            "UPDATE evenfold.counters SET version = 1 WHERE aggregate_id = 'b'",
            "t/b: the log says version 2, the read model version 1",
        ),
        (
            "DELETE FROM evenfold.counters WHERE aggregate_id = 'b'",
            "t/b: the log says 1 events with the value 5, the read model nothing",
        ),
        (
            "DELETE FROM evenfold.counters WHERE aggregate_id = 'dropped'",
            "t/dropped: the log says 0 events with the value 0, the read model nothing",
        ),
        (
            "UPDATE evenfold.counters SET version = 3 WHERE aggregate_id = 'dropped'",
            "t/dropped: the log says version 1, the read model version 3",
        ),
        (
            "INSERT INTO evenfold.counters VALUES ('t', 'c', 1, 1, 1, 1)",
            "t/c: the log says nothing, the read model 1 events with the value 1",
        ),
        (
            "INSERT INTO evenfold.counters VALUES ('t', 'c', 0, 0, 0, 0)",
            "t/c: the log says nothing, the read model 0 events with the value 0",
        ),
        (
            "INSERT INTO evenfold.counters VALUES ('t', 'waiting', 0, 0, 1, 0)",
            "t/waiting: the log says version 0, the read model version 1",
        ),
    ];
    for (tamper, line) in wrong {
        let db = applied().await;
        let mut conn = db.connect().await;
        assert_eq!(run_at(&db, &["verify"]).code, 0);
        sqlx::raw_sql(AssertSqlSafe(tamper)).execute(&mut conn).await.unwrap();
        assert_eq!(mismatches(&Schema::default(), &mut conn, &pointer(), 10).await.unwrap().len(), 1, "{tamper}");
        let output = run_at(&db, &["verify"]);
        assert_eq!((output.code, output.out.as_str()), (1, format!("{line}\n").as_str()), "{tamper}");
        follow(&db, &output.err);
        let output = run_at(&db, &["verify"]);
        assert!(output.code == 0 && output.out.contains("all 3 counters agree"), "{tamper}: {output:?}");
        // What comes next is applied, and not parked.
        append_one(&mut conn, "a", 1).await;
        append_one(&mut conn, "b", 1).await;
        assert_eq!(run_at(&db, &["pool", "--total-partitions=2", "--until-caught-up"]).code, 0);
        assert_eq!(counter(&mut conn, "b").await, Some((6, 3)), "{tamper}");
        assert_counters_agree(&mut conn).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_without_checkpoints_do_not_agree_and_the_advice_mends_that() {
    for lost in [
        "DELETE FROM evenfold.projections",
        "DELETE FROM evenfold.checkpoints WHERE residue = 0",
        "DELETE FROM evenfold.checkpoints",
    ] {
        let db = applied().await;
        let mut conn = db.connect().await;
        // Of both partitions.
        for id in ids_in(partition(0, 2), 1).iter().chain(&ids_in(partition(1, 2), 1)) {
            append_one(&mut conn, id, 1).await;
        }
        assert_eq!(run_at(&db, &["pool", "--total-partitions=2", "--until-caught-up"]).code, 0);
        sqlx::raw_sql(lost).execute(&mut conn).await.unwrap();
        let output = run_at(&db, &["verify"]);
        assert_eq!(output.code, 1, "{lost}: {output:?}");
        follow(&db, &output.err);
        assert_counters_agree(&mut conn).await;
        let output = run_at(&db, &["verify"]);
        assert!(output.code == 0 && output.out.contains("counters agree"), "{lost}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_amount_pointer_the_advice_names_it() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let verify = ["verify", "--amount-pointer=/it's n"];
    log::append(&mut conn, &[NewEvent::new("t", "a", "added", &json!({ "it's n": 4 })).unwrap()]).await.unwrap();
    let pool = ["pool", "--total-partitions=2", "--until-caught-up", "--amount-pointer=/it's n"];
    assert_eq!(run_at(&db, &pool).code, 0);
    sqlx::raw_sql("UPDATE evenfold.counters SET value = 9").execute(&mut conn).await.unwrap();
    let output = run_at(&db, &verify);
    assert!(output.err.contains(r"`evenfold rebuild --amount-pointer '/it'\''s n'`"), "{output:?}");
    assert_eq!(run_at(&db, &["rebuild", "--amount-pointer", "/it's n"]).code, 0);
    assert_eq!(run_at(&db, &verify).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_or_not_everything_is_applied_it_says_so_and_who_is_at_work() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let verified = || run_at(&db, &["verify"]).fine().to_owned();
    assert_eq!(verified(), "Nothing is verified: the log has no events.\nNo worker is at work.\n");
    for n in 0..5 {
        append_one(&mut conn, &format!("a{n}"), 1).await;
    }
    let nothing = "Nothing is verified: none of the 5 events in the log is applied.\n";
    assert_eq!(verified(), format!("{nothing}No worker is at work.\n"));
    let json = run_at(&db, &["verify", "--json"]);
    assert_eq!(json.out, "");
    let complaint = format!("evenfold: {} No worker is at work.\n", nothing.trim());
    assert!(json.err.ends_with(&complaint), "{json:?}");

    let mut worker = Stepped::start(&db, 0, 1, 2).await;
    let behind = "Not complete: 5 events of the log are not applied yet.\n";
    sqlx::raw_sql("DELETE FROM evenfold.heartbeats").execute(&mut conn).await.unwrap();
    assert_eq!(verified(), format!("{nothing}{behind}No worker is at work.\n"));
    worker.step().await;
    let begun = verified();
    assert!(
        begun.starts_with("Recomputed by one SQL query over what is applied of the log: all 2 counters"),
        "{begun}"
    );
    assert!(
        begun.ends_with("Not complete: 3 events of the log are not applied yet.\nNo worker is at work.\n"),
        "{begun}"
    );
    sqlx::raw_sql(
        "INSERT INTO evenfold.heartbeats (worker, projection, partition_key, total_partitions, process, state, applied,
             coordination_ms, compute_ms, beat_at)
         VALUES (gen_random_uuid(), 'counters', 0, 1, 'here:1', 'applying', 0, 0, 0, now() - interval '40 s')",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    assert!(verified().ends_with("The last heartbeat of a worker is 40 s old.\n"), "{}", verified());
    worker.drain().await;
    assert_eq!(verified(), "Recomputed by one SQL query over the whole log: all 5 counters agree\n(5 events).\n");
    let bad = NewEvent::new("t", "bad", "added", &json!({ "amount": "x" })).unwrap();
    log::append(&mut conn, &[bad]).await.unwrap();
    worker.drain().await;
    assert!(verified().ends_with("1 aggregates are parked, and count on neither side: `evenfold parked list`.\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_were_written_in_another_order_are_no_mismatch() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = Stepped::start(&db, 0, 1, 10).await;
    for version in [1, 3] {
        insert(&mut conn, "a", version, "{}").await.unwrap();
    }
    worker.drain().await;
    insert(&mut conn, "a", 2, "{}").await.unwrap();
    worker.drain().await;
    assert_counters_agree(&mut conn).await;
    assert_eq!(run_at(&db, &["parked", "retry", "--all"]).code, 0);
    assert_eq!(scalar(&mut conn, "SELECT last_position FROM evenfold.counters").await, 2, "that of version 3");
    assert_counters_agree(&mut conn).await;
    sqlx::raw_sql("UPDATE evenfold.counters SET last_position = 3").execute(&mut conn).await.unwrap();
    assert_eq!(mismatches(&Schema::default(), &mut conn, &pointer(), 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_with_escape_sequences_are_printed_escaped() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    sqlx::raw_sql("INSERT INTO evenfold.counters VALUES (E't\\x1b[2J', E'a\\nb\\u202E', 1, 1, 1, 1)")
        .execute(&mut conn)
        .await
        .unwrap();
    let output = run_at(&db, &["verify"]);
    assert!(output.out.starts_with("t\\u{1b}[2J/a\\nb\\u{202e}: the log says nothing"), "{output:?}");
    assert_eq!(output.out.lines().count(), 1, "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_ones_by_name_are_listed() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    sqlx::raw_sql("INSERT INTO evenfold.counters SELECT 't', 'c' || n, 1, 1, 1, 1 FROM generate_series(1, 9) n")
        .execute(&mut conn)
        .await
        .unwrap();
    let output = run_at(&db, &["verify", "--limit=3", "--json"]);
    let ids: Vec<_> = output
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["aggregate_id"].clone())
        .collect();
    assert_eq!((output.code, ids), (1, vec![json!("c1"), json!("c2"), json!("c3")]));
}
