//! What an aggregate's events contain is erased for good, and everything else stays as it was, whoever is at work.

use crate::support::{
    TestDb, append_one, assert_counters_agree, counter, drain, event, insert, only_worker, pointer, scalar,
};
use evenfold::checkpoint::{Erasable, Erase, Erased, erasable, erased_since_applied, erasures, list_parked};
use evenfold::class::Class;
use evenfold::counters::{Counters, NAME, Rebuild, mismatches};
use evenfold::event::{Aggregate, ERASED};
use evenfold::number::Version;
use evenfold::projection::parked::{Retried, retry};
use evenfold::projection::{Worker, WorkerOptions};
use evenfold::schema::Schema;
use evenfold::{append, load};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::Path;
use tokio_util::sync::CancellationToken;

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap();
}

async fn refused(conn: &mut PgConnection, sql: &str) -> String {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap_err().to_string()
}

fn of(id: &str) -> Aggregate {
    Aggregate::new("t", id)
}

/// Erases an aggregate to its end, and gives how many events that were.
pub(crate) async fn erase(conn: &mut PgConnection, id: &str) -> u64 {
    let (mut erasing, mut events) = (Erase::default(), 0);
    loop {
        let Erased { events: some, finished, .. } = erasing.next(&Schema::default(), conn, &of(id)).await.unwrap();
        events += some;
        if finished {
            return events;
        }
    }
}

pub(crate) const SOME: &str = "SELECT events FROM evenfold.erase('t', 'a', 2)";

/// Everything of every event but what is erased.
const REST: &str =
    "SELECT md5(string_agg((xid, position, version, hash, recorded_at, event_id, aggregate_type, aggregate_id,
    event_type)::text, ',' ORDER BY position)) FROM evenfold.events";

async fn rest(conn: &mut PgConnection) -> String {
    sqlx::query_scalar(REST).fetch_one(conn).await.unwrap()
}

pub(crate) const ERASED_EVENTS: &str =
    r#"SELECT count(*) FROM evenfold.events WHERE payload::text = '{"evenfold_erased":true}' AND metadata IS NULL"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_event_keeps_everything_but_its_payload_and_its_metadata_and_it_is_recorded() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for amount in 1..=3 {
        append(&mut conn, &[event("a", amount).with_metadata(&"who").unwrap(), event("b", amount)]).await.unwrap();
    }
    let before = rest(&mut conn).await;
    assert_eq!(
        erasable(&Schema::default(), &mut conn, &of("a")).await.unwrap(),
        Erasable { events: 3, last: Version::new(3), erased: 0, read_models: vec![] }
    );
    assert_eq!(erase(&mut conn, "a").await, 3);
    assert_eq!(rest(&mut conn).await, before);
    assert_eq!(scalar(&mut conn, ERASED_EVENTS).await, 3);
    let of_others =
        "SELECT count(*) FROM evenfold.events WHERE aggregate_id = 'b' AND payload ->> 'amount' IS NOT NULL";
    assert_eq!(scalar(&mut conn, of_others).await, 3);
    let mut history = load(&mut conn, &of("a"), Version::NONE);
    while let Some(event) = history.next().await.unwrap() {
        assert!(event.is_erased() && event.payload == ERASED && event.metadata.is_none(), "{event:?}");
    }
    drop(history);
    // Twice is once.
    assert_eq!(erase(&mut conn, "a").await, 0);
    assert_eq!(erase(&mut conn, "nobody").await, 0);
    let recorded = erasures(&Schema::default(), &mut conn).await.unwrap();
    let [one] = recorded.as_slice() else { panic!("{recorded:?}") };
    assert_eq!((one.aggregate_id.as_str(), one.version, one.events), ("a", Version::new(3), 3));
    assert!(one.finished && !one.begun_by.is_empty() && one.begun_at.ends_with('Z'), "{one:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_interrupted_goes_on_and_what_was_appended_meanwhile_is_left_to_the_next_one() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    for _ in 0..5 {
        append_one(&mut conn, "a", 1).await;
    }
    assert_eq!(scalar(&mut conn, SOME).await, 2);
    // Neither waits for the other: an append that is open while there is an erasure, and the other way round.
    let mut appending = other.begin().await.unwrap();
    append_one(&mut appending, "a", 1).await;
    let mut erasing = conn.begin().await.unwrap();
    assert_eq!(scalar(&mut erasing, SOME).await, 2);
    let mut third = db.connect().await;
    append_one(&mut third, "b", 1).await;
    appending.commit().await.unwrap();
    append_one(&mut third, "a", 1).await;
    erasing.commit().await.unwrap();
    assert_eq!(erase(&mut conn, "a").await, 1);
    assert_eq!(scalar(&mut conn, ERASED_EVENTS).await, 5);
    let left = erasable(&Schema::default(), &mut conn, &of("a")).await.unwrap();
    assert_eq!((left.events, left.last, left.erased), (2, Version::new(7), 5));
    assert_eq!(erase(&mut conn, "a").await, 2);
    let recorded = erasures(&Schema::default(), &mut conn).await.unwrap();
    let recorded: Vec<_> = recorded.iter().map(|one| (one.version.get(), one.events, one.finished)).collect();
    assert_eq!(recorded, [(5, 5, true), (7, 2, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_an_erasure_updates_the_log() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    append_one(&mut conn, "b", 1).await;
    let update = "UPDATE evenfold.events SET payload = '{}'";
    for sql in [
        format!("SET evenfold_log.erasing = '1'; {update}"),
        format!("BEGIN; SELECT evenfold.erase('t', 'a'); {update}"),
    ] {
        let message = refused(&mut conn, &sql).await;
        assert!(message.contains("the log is append-only"), "{sql}: {message}");
        run(&mut conn, "ROLLBACK").await;
    }
    let message = refused(&mut conn, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT evenfold.erase('t', 'a')").await;
    assert!(message.contains("READ COMMITTED"), "{message}");
    run(&mut conn, "ROLLBACK").await;
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE payload ->> 'amount' = '1'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_event_counts_and_adds_nothing_whatever_the_pointer_is() {
    for text in ["/amount", "", "/evenfold_erased", "/0"] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let amounts: evenfold::counter::AmountPointer = text.parse().unwrap();
        insert(&mut conn, "a", 1, "7").await.unwrap();
        insert(&mut conn, "a", 2, "7").await.unwrap();
        insert(&mut conn, "b", 1, "8").await.unwrap();
        assert_eq!(erase(&mut conn, "a").await, 2);
        let counters = Counters::new(amounts.clone(), 10);
        let mut worker = Worker::new(Class::partition(0, 1).unwrap(), counters, WorkerOptions::default());
        worker.register(&mut conn).await.unwrap();
        assert_eq!(drain(&mut worker, &mut conn).await, 3, "{text}");
        assert_eq!(counter(&mut conn, "a").await, Some((0, 2)), "{text}");
        assert_eq!(mismatches(&Schema::default(), &mut conn, &amounts, 10).await.unwrap(), [], "{text}");
        // They were erased before they were applied: everything of them is compared.
        run(&mut conn, "UPDATE evenfold.counters SET value = 1 WHERE aggregate_id = 'a'").await;
        assert_eq!(mismatches(&Schema::default(), &mut conn, &amounts, 10).await.unwrap().len(), 1, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_that_were_made_of_erased_payloads_are_no_damage_until_a_rebuild_and_all_others_are_compared() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    for id in ["a", "b"] {
        append_one(&mut conn, id, 5).await;
        append_one(&mut conn, id, 7).await;
    }
    drain(&mut worker, &mut conn).await;
    let own = Schema::default();
    assert_eq!(erased_since_applied(&own, &mut conn, NAME).await.unwrap(), 0);
    assert_eq!(erase(&mut conn, "a").await, 2);
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "a").await, Some((13, 3)), "what was applied before stays");
    assert_eq!(erased_since_applied(&own, &mut conn, NAME).await.unwrap(), 1);
    assert_counters_agree(&mut conn).await;
    for damage in ["events = events + 1", "version = version + 1", "last_position = last_position + 1"] {
        let mut tx = conn.begin().await.unwrap();
        run(&mut tx, &format!("UPDATE evenfold.counters SET {damage} WHERE aggregate_id = 'a'")).await;
        assert_eq!(mismatches(&own, &mut tx, &pointer(), 10).await.unwrap().len(), 1, "{damage}");
        tx.rollback().await.unwrap();
    }
    let mut tx = conn.begin().await.unwrap();
    run(&mut tx, "UPDATE evenfold.counters SET value = value + 1").await;
    let differ = mismatches(&own, &mut tx, &pointer(), 10).await.unwrap();
    assert_eq!(differ.iter().map(|one| one.aggregate_id.as_str()).collect::<Vec<_>>(), ["b"]);
    tx.rollback().await.unwrap();

    worker.finish(&mut conn).await.unwrap();
    let rebuild = Rebuild::new(Counters::new(pointer(), 10), 10).unwrap();
    rebuild.run(&db.database, &CancellationToken::new()).await.unwrap();
    assert_eq!(counter(&mut conn, "a").await, Some((1, 3)), "of what is left");
    assert_eq!(erased_since_applied(&own, &mut conn, NAME).await.unwrap(), 0);
    run(&mut conn, "UPDATE evenfold.counters SET value = value + 1 WHERE aggregate_id = 'a'").await;
    assert_eq!(mismatches(&own, &mut conn, &pointer(), 10).await.unwrap().len(), 1, "compared again");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_an_event_is_parked_is_erased_with_it_and_it_can_be_applied_then() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    insert(&mut conn, "a", 1, r#"{"amount": "secret"}"#).await.unwrap();
    insert(&mut conn, "a", 2, r#"{"amount": 5}"#).await.unwrap();
    insert(&mut conn, "b", 1, r#"{"amount": "other"}"#).await.unwrap();
    drain(&mut worker, &mut conn).await;
    // As PostgreSQL's own sentences have what they are about in them.
    run(&mut conn, "UPDATE evenfold.parked_events SET reason = 'invalid: \"secret\"' WHERE version = 1").await;
    assert_eq!(erase(&mut conn, "a").await, 2);
    let parked = list_parked(&Schema::default(), &mut conn, NAME, 10).await.unwrap();
    let reasons: Vec<_> =
        parked.iter().map(|one| (one.aggregate_id.as_str(), one.events, one.reason.as_str())).collect();
    let expected =
        [("a", 2, "it was erased, and with it the reason why it was parked"), ("b", 1, "invalid: \"secret\"")];
    assert_eq!(reasons, expected);
    let behind =
        "SELECT count(*) FROM evenfold.parked_events WHERE reason = 'another event of this aggregate is parked'";
    assert_eq!(scalar(&mut conn, behind).await, 1, "it waits for the other one, as before");
    assert!(erasures(&Schema::default(), &mut conn).await.unwrap()[0].read_models.is_empty(), "nothing was applied");
    let retried = retry(&Schema::default(), &mut conn, &mut Counters::new(pointer(), 10), &of("a")).await.unwrap();
    assert_eq!(retried, Retried::Applied { events: 2 });
    assert_eq!(counter(&mut conn, "a").await, Some((0, 2)));
    assert_counters_agree(&mut conn).await;
}

/// The mark is a text that several languages recognise: it must be the same one in all of them.
#[test]
fn every_text_that_marks_an_erased_event_is_the_same() {
    fn files(dir: &Path, into: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                files(&entry, into);
            } else if entry.extension().is_some_and(|extension| extension == "rs" || extension == "sql") {
                into.push(entry);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for dir in ["src", "migrations", "crates/sql/src"] {
        files(&root.join(dir), &mut all);
    }
    let mut found = 0;
    for file in all {
        let text = std::fs::read_to_string(&file).unwrap().replace("\\\"", "\"");
        for (at, _) in text.match_indices("evenfold_erased") {
            let around = &text[at - 2..(at + ERASED.len() - 2).min(text.len())];
            assert_eq!(around, ERASED, "{}", file.display());
            found += 1;
        }
    }
    assert!(found >= 10, "{found}");
    let parked = "another event of this aggregate is parked";
    let migration = std::fs::read_to_string(root.join("migrations/20261128000007_erasures.sql")).unwrap();
    let known = std::fs::read_to_string(root.join("src/checkpoint/parked.rs")).unwrap();
    assert!(migration.contains(parked) && known.contains(&format!("BEHIND: &str = \"{parked}\"")));
}
