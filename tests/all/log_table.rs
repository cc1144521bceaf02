//! What the database itself enforces and computes, also for writers that are not evenfold.

use crate::support::{TestDb, append_one, assert_counters_agree, counter, drain, only_worker, scalar};
use evenfold::class::Class;
use evenfold::hash::IdHash;
use evenfold::log::{self, EventBuffer, Fence, Interest, Layout, Slice, Window};
use evenfold::number::Position;
use evenfold::schema::Schema;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, PgConnection};

async fn refused(conn: &mut PgConnection, sql: &str) -> String {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_append_only() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    for sql in [
        "UPDATE evenfold.events SET payload = '{}'",
        "UPDATE evenfold.events SET payload = '{}' WHERE false",
        "DELETE FROM evenfold.events",
        "TRUNCATE evenfold.events CASCADE",
    ] {
        let message = refused(&mut conn, sql).await;
        assert!(message.contains("the log is append-only"), "{sql}: {message}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE payload ->> 'amount' = '1'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_can_choose_neither_its_xid_nor_its_position() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let columns = "version, aggregate_type, aggregate_id, event_type, payload";
    let values = "1, 't', 'a', 'e', '{}'";
    let message =
        refused(&mut conn, &format!("INSERT INTO evenfold.events (xid, {columns}) VALUES ('3', {values})")).await;
    assert!(message.contains("leave them out"), "{message}");
    let message =
        refused(&mut conn, &format!("INSERT INTO evenfold.events (position, {columns}) VALUES (7, {values})")).await;
    assert!(message.contains("leave them out"), "{message}");
    let overriding =
        format!("INSERT INTO evenfold.events (position, {columns}) OVERRIDING SYSTEM VALUE VALUES (7, {values})");
    refused(&mut conn, &overriding).await;
    append_one(&mut conn, "b", 1).await;
    let message = refused(&mut conn, &overriding).await;
    assert!(message.contains("leave them out"), "{message}");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 1);
}

/// Such a position may be at or below a fence that was taken when its transaction had no xid yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_session_has_drawn_earlier_is_no_way_in() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let columns = "version, aggregate_type, aggregate_id, event_type, payload";
    let insert = format!("INSERT INTO evenfold.events ({columns}) VALUES (1, 't', 'a', 'e', '{{}}')");
    // Of an event that was rolled back, and of nothing.
    for drawn in [format!("BEGIN; {insert}; ROLLBACK"), "SELECT nextval('evenfold.events_position_seq')".to_owned()] {
        sqlx::raw_sql(AssertSqlSafe(drawn)).execute(&mut conn).await.unwrap();
        for how in ["OVERRIDING SYSTEM VALUE", "OVERRIDING USER VALUE", ""] {
            let earlier = format!(
                "INSERT INTO evenfold.events (position, {columns}) {how}
                 VALUES (currval('evenfold.events_position_seq'), 1, 't', 'a', 'e', '{{}}')"
            );
            let message = refused(&mut conn, &earlier).await;
            assert!(message.contains("leave them out"), "{message}");
        }
    }
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut conn).await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 1);
}

/// An application's session may have any `search_path`, and may have been set to skip triggers.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_gets_its_numbers_and_its_hash_whatever_the_session_of_its_writer_is_set_to() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    let shadow = "CREATE SCHEMA shadow; CREATE SEQUENCE shadow.events_position_seq START 1000;
        CREATE FUNCTION shadow.hash(text) RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint';
        CREATE FUNCTION shadow.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS 'SELECT ''9''::xid8';
        CREATE FUNCTION shadow.length(bytea) RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION shadow.more(bigint, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 5::bigint';
        CREATE OPERATOR shadow.# (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = shadow.more);
        CREATE FUNCTION shadow.other(text, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR shadow.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = shadow.other)";
    sqlx::raw_sql(shadow).execute(&mut conn).await.unwrap();
    let mut writer = db.connect().await;
    for (n, settings) in
        ["", "SET search_path = ''", "SET search_path = shadow, pg_catalog", "SET session_replication_role = replica"]
            .iter()
            .enumerate()
    {
        let insert = format!(
            "{settings}; INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
             VALUES (1, 't', 'a{n}', 'e', '{{}}')"
        );
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut writer).await.unwrap();
        let own = format!(
            "INSERT INTO evenfold.events (xid, position, version, aggregate_type, aggregate_id, event_type, payload)
             VALUES ('3', 1, 2, 't', 'a{n}', 'e', '{{}}')"
        );
        let message = refused(&mut writer, &own).await;
        assert!(message.contains("leave them out"), "{settings}: {message}");
    }
    drain(&mut worker, &mut conn).await;
    assert_eq!(scalar(&mut conn, "SELECT max(position) FROM evenfold.events").await, 4);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.counters WHERE value = 1").await, 4);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_foreign_writer_are_counted_like_any_others() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    sqlx::raw_sql(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         SELECT n, 't', 'naïve', 'e', '{\"amount\": 2}' FROM generate_series(1, 3) n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    append_one(&mut conn, "naïve", 1).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "naïve").await, Some((7, 4)));
    assert_counters_agree(&mut conn).await;
}

/// Ids of every kind: random text, with the empty one and some that only look alike.
fn ids() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let random = prop::collection::vec("\\PC{0,40}", 500).new_tree(&mut runner).unwrap().current();
    let chosen = ["", " ", "a", "A", "ä", "a\u{308}", "日本語", "🦀", "agg-00070007", "\u{feff}", "\t\n"];
    random.into_iter().chain(chosen.map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_and_rust_agree_on_the_hash_of_every_id() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let ids = ids();
    let in_sql: Vec<(i64,)> =
        sqlx::query_as("SELECT evenfold.hash(id) FROM unnest($1::text[]) WITH ORDINALITY AS i (id, ord) ORDER BY ord")
            .bind(&ids)
            .fetch_all(&mut conn)
            .await
            .unwrap();
    for (id, (hash,)) in ids.iter().zip(in_sql) {
        assert_eq!(IdHash::of(id).to_sql(), hash, "{id:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_is_sent_its_own_events_and_no_others() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let ids = ids();
    sqlx::query(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         SELECT row_number() OVER (PARTITION BY id ORDER BY ord), 't', id, 'e', '{}'
         FROM unnest($1::text[]) WITH ORDINALITY AS i (id, ord)",
    )
    .bind(&ids)
    .execute(&mut conn)
    .await
    .unwrap();
    let (start, fence) = (Fence::before_all(), Fence::take(&Schema::default(), &mut conn).await.unwrap());
    let mut buffer = EventBuffer::default();
    for total in [1, 2, 3, 4, 7, 10, 64, 65_536] {
        let mut sent = 0;
        for class in (0..total.min(64)).map(|key| Class::partition(key, total).unwrap()) {
            let window = Window { seen: &start, upto: &fence, after: Position::new(0) };
            log::read(
                &Layout::default(),
                &mut conn,
                window,
                &Slice::of(&[class]),
                &Interest::everything(),
                10_000,
                &mut buffer,
            )
            .await
            .unwrap();
            sent += buffer.len();
            assert!(buffer.events().all(|event| class.contains(IdHash::of(event.aggregate_id))), "{class}");
            assert_eq!(buffer.len(), ids.iter().filter(|id| class.contains(IdHash::of(id))).count(), "{class}");
        }
        assert!(total > 64 || sent == ids.len(), "{total}: {sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interest_is_filtered_by_the_database_and_an_envelope_is_sent_only_where_asked_for() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for (aggregate_type, event_type) in [("order", "placed"), ("order", "paid"), ("user", "placed")] {
        let event = evenfold::event::NewEvent::new(aggregate_type, "x", event_type, &1).unwrap();
        let event = event.with_metadata(&serde_json::json!({"by": event_type})).unwrap();
        log::append(&mut conn, &[event]).await.unwrap();
    }
    let (start, fence) = (Fence::before_all(), Fence::take(&Schema::default(), &mut conn).await.unwrap());
    let class = Class::partition(0, 1).unwrap();
    let mut sent = async |interest: Interest| {
        let mut buffer = EventBuffer::default();
        let window = Window { seen: &start, upto: &fence, after: Position::new(0) };
        log::read(&Layout::default(), &mut conn, window, &Slice::of(&[class]), &interest, 10, &mut buffer)
            .await
            .unwrap();
        let metadata = buffer.events().find_map(|e| e.envelope?.metadata.map(str::to_owned));
        (buffer.events().map(|event| event.position.get()).collect::<Vec<_>>(), metadata)
    };
    assert_eq!(sent(Interest::everything()).await, (vec![1, 2, 3], None));
    assert_eq!(sent(Interest::everything().in_aggregates(["order"])).await.0, [1, 2]);
    assert_eq!(sent(Interest::everything().in_events(["placed"])).await.0, [1, 3]);
    let both = Interest::everything().in_aggregates(["order", "x"]).in_events(["paid"]).with_envelope();
    assert_eq!(sent(both).await, (vec![2], Some("{\"by\":\"paid\"}".to_owned())));
}
