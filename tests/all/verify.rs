//! `evenfold verify` counts exactly the events that the checkpoints say are applied, however far the workers are.

use crate::support::{Evenfold, Stepped, TestDb, append_one, assert_counters_agree, drain_all, event, pointer};
use evenfold::log;
use evenfold::projection::counters::mismatches;
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

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_every_way_in_which_a_counter_can_be_wrong_and_exits_with_1() {
    let wrong = [
        (
            "UPDATE counters SET value = value + 1 WHERE aggregate_id = 'a'",
            "a",
            "2 events with the value 3",
            "2 events with the value 4",
        ),
        (
            "UPDATE counters SET events = 3 WHERE aggregate_id = 'a'",
            "a",
            "2 events with the value 3",
            "3 events with the value 3",
        ),
        ("DELETE FROM counters WHERE aggregate_id = 'b'", "b", "1 events with the value 5", "nothing"),
        ("INSERT INTO counters VALUES ('t', 'c', 1, 1, 1, 1)", "c", "nothing", "1 events with the value 1"),
    ];
    for (tamper, id, log, counters) in wrong {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let mut team = Stepped::team(&db, 2, 2).await;
        for (id, amount) in [("a", 1), ("a", 2), ("b", 5)] {
            append_one(&mut conn, id, amount).await;
        }
        drain_all(&mut team).await;
        assert_eq!(Evenfold::run(&["verify", "--database-url", &db.url], "").status.code(), Some(0));
        sqlx::raw_sql(AssertSqlSafe(tamper)).execute(&mut conn).await.unwrap();
        assert_eq!(mismatches(&mut conn, &pointer(), 10).await.unwrap().len(), 1, "{tamper}");
        let output = Evenfold::run(&["verify", "--database-url", &db.url], "");
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{tamper}");
        assert_eq!(told, format!("t/{id}: the log says {log}, the read model {counters}\n"));
    }
}
