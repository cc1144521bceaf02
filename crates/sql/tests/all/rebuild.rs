//! The log folded anew into a shadow, which takes the place of what is in use: rows or tables, while workers run and
//! readers read.

use crate::examples::{all_at_work, alone, example, history};
use crate::fold::{append_all, event, fold, projection, rows};
use evenfold::Schema;
use evenfold::shadow::{RebuildError, RebuildOptions, Rebuilt, Switch, TablesRebuilt, rebuild, verify};
use evenfold_sql::SqlProjection;
use evenfold_testkit::{SOON, TestDb, scalar, wait_until};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

pub(crate) const SUMS: &str = "-- create
CREATE TABLE sums (id text PRIMARY KEY, n bigint NOT NULL, last json);
CREATE TABLE seen (position bigint PRIMARY KEY);
-- apply
INSERT INTO seen SELECT position FROM batch;
INSERT INTO sums AS t SELECT aggregate_id, sum((payload ->> 'n')::bigint), (array_agg(payload ORDER BY version DESC))[1]
FROM batch GROUP BY 1 ORDER BY 1 ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n, last = excluded.last";

/// The same with a column more, and without the second table.
pub(crate) const WIDER: &str = "-- create
CREATE TABLE sums (id text PRIMARY KEY, n bigint NOT NULL, events bigint NOT NULL DEFAULT 0);
CREATE INDEX ON sums (n);
-- apply
INSERT INTO sums AS t SELECT aggregate_id, sum((payload ->> 'n')::bigint), count(*)
FROM batch GROUP BY 1 ORDER BY 1 ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n, events = t.events + excluded.events";

const LEFT: &str = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'evenfold\\_%')
    + (SELECT count(*) FROM evenfold.projections WHERE name LIKE '%.rebuild')";

pub(crate) fn options(workers: u32) -> RebuildOptions {
    RebuildOptions::default().workers(workers).new_definition(true)
}

pub(crate) async fn run(
    db: &TestDb,
    of: &SqlProjection,
    options: &RebuildOptions,
) -> Result<TablesRebuilt, RebuildError> {
    let (own, stop) = (of.clone(), CancellationToken::new());
    rebuild(&db.database, move || own.clone(), options, &stop, &|_| {}).await
}

pub(crate) async fn switched(db: &TestDb, of: &SqlProjection, workers: u32) -> (u64, Switch) {
    let TablesRebuilt { outcome, applied, switch, .. } = run(db, of, &options(workers)).await.unwrap();
    assert_eq!(outcome, Rebuilt::Switched);
    (applied, switch.unwrap())
}

pub(crate) async fn sql(conn: &mut PgConnection, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(conn).await.unwrap();
}

pub(crate) async fn append_sums(conn: &mut PgConnection, events: i64) {
    for n in 1..=events {
        append_all(conn, &[event(&format!("a{}", n % 7), "added", &json!({"n": n}))]).await;
    }
}

pub(crate) async fn assert_verified(db: &TestDb, of: &SqlProjection) {
    let mut conn = db.connect().await;
    let verified = verify(&Schema::default(), &mut conn, &mut of.clone(), 5).await.unwrap();
    assert!(verified.agrees() && verified.events > 0, "{verified:#?}");
}

/// Reads a table again and again, with prepared statements and without, and fails where a read fails or shows something
/// that is neither the old rows nor the new ones.
struct Reader {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    reading: tokio::task::JoinHandle<()>,
}

impl Reader {
    async fn start(db: &TestDb, query: &'static str, allowed: &[&str]) -> Self {
        let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let allowed: Vec<String> = allowed.iter().map(|&row| row.to_owned()).collect();
        let (mut conn, ended, count) = (db.connect().await, Arc::clone(&stop), Arc::clone(&reads));
        let reading = tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                for prepared in [true, false] {
                    let read: Vec<String> =
                        sqlx::query_scalar(query).persistent(prepared).fetch_all(&mut conn).await.unwrap();
                    assert!(read.iter().all(|row| allowed.contains(row)) && !read.is_empty(), "{read:?}");
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let reader = Self { stop, reads, reading };
        reader.reads_on().await;
        reader
    }

    async fn reads_on(&self) {
        let before = self.reads.load(Ordering::Relaxed);
        wait_until("a read", SOON, async || self.reads.load(Ordering::Relaxed) > before || self.reading.is_finished())
            .await;
    }

    async fn end(self) {
        self.reads_on().await;
        self.stop.store(true, Ordering::Relaxed);
        self.reading.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_tables_are_the_same_only_rows_that_differ_are_written_and_whatever_hangs_on_them_stays() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_sums(&mut conn, 70).await;
    let sums = projection("sums", SUMS);
    fold(&db, &sums, 2, 9).await.unwrap();
    let right = rows(&mut conn, "SELECT * FROM sums").await;
    sql(
        &mut conn,
        "CREATE VIEW hangs AS SELECT * FROM sums; CREATE INDEX ON sums (n);
         CREATE TABLE refers (id text REFERENCES sums); INSERT INTO refers VALUES ('a1');
         GRANT SELECT ON sums TO PUBLIC;
         UPDATE sums SET n = -1, last = NULL WHERE id = 'a1'; DELETE FROM sums WHERE id = 'a2';
         INSERT INTO sums VALUES ('stranger', 1)",
    )
    .await;
    let before = rows(&mut conn, "SELECT xmin, id FROM sums WHERE id IN ('a3', 'a4', 'a5')").await;
    let table = scalar(&mut conn, "SELECT 'sums'::regclass::oid::bigint").await;
    let reader = Reader::start(&db, "SELECT n::text FROM sums WHERE id = 'a1'", &["-1", "325"]).await;
    let (applied, switch) = switched(&db, &sums, 3).await;
    reader.end().await;
    assert_eq!((applied, switch), (70, Switch::Rows(3)));
    assert_eq!(rows(&mut conn, "SELECT * FROM sums").await, right);
    assert_eq!(rows(&mut conn, "SELECT * FROM hangs").await, right);
    assert_eq!(
        rows(&mut conn, "SELECT xmin, id FROM sums WHERE id IN ('a3', 'a4', 'a5')").await,
        before,
        "as they were"
    );
    assert_eq!(scalar(&mut conn, "SELECT 'sums'::regclass::oid::bigint").await, table);
    assert_eq!(scalar(&mut conn, LEFT).await, 0, "nothing is left");
    // The workers go on from there.
    append_sums(&mut conn, 7).await;
    fold(&db, &sums, 2, 9).await.unwrap();
    assert_verified(&db, &sums).await;
    assert_eq!(switched(&db, &sums, 1).await.1, Switch::Rows(0), "of what is right nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_tables_are_others_they_take_the_place_of_the_old_ones_with_their_rights_and_readers_see_either() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_sums(&mut conn, 70).await;
    fold(&db, &projection("sums", SUMS), 2, 9).await.unwrap();
    let role = format!("reader_{}", db.name);
    sql(
        &mut conn,
        &format!("CREATE ROLE \"{role}\"; GRANT SELECT ON sums TO \"{role}\"; GRANT UPDATE (n) ON sums TO PUBLIC"),
    )
    .await;
    sql(&mut conn, "UPDATE sums SET n = -1 WHERE id = 'a1'").await;
    let wider = projection("sums", WIDER);
    let reader = Reader::start(&db, "SELECT n::text FROM sums WHERE id = 'a1'", &["-1", "325"]).await;
    let kept = run(&db, &wider, &options(2).keep_old(true)).await.unwrap();
    reader.end().await;
    let expected = Switch::Tables { names: vec!["sums".to_owned()], kept: Some("evenfold_old_sums".to_owned()) };
    assert_eq!((kept.applied, kept.switch), (70, Some(expected)));
    assert_eq!(rows(&mut conn, "SELECT id, n, events FROM sums").await.len(), 7);
    assert_eq!(rows(&mut conn, "SELECT n FROM evenfold_old_sums.sums WHERE id = 'a1'").await, ["(-1)"]);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold_old_sums.seen").await, 70, "it is made no more");
    let granted: bool = sqlx::query_scalar(
        "SELECT has_table_privilege($1, 'sums', 'SELECT') AND has_column_privilege($1, 'sums', 'n', 'UPDATE')",
    )
    .bind(&role)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert!(granted);
    sql(&mut conn, &format!("DROP SCHEMA evenfold_old_sums CASCADE; DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\""))
        .await;
    append_sums(&mut conn, 7).await;
    fold(&db, &wider, 2, 9).await.unwrap();
    assert_verified(&db, &wider).await;
    // Workers with the old definition end with the way on.
    let refused = fold(&db, &projection("sums", SUMS), 2, 9).await.unwrap_err();
    assert!(refused.is_final() && refused.to_string().contains("`evenfold rebuild --projection sums`"), "{refused}");
    // And back again, without keeping anything.
    let (_, switch) = switched(&db, &projection("sums", SUMS), 1).await;
    assert_eq!(switch, Switch::Tables { names: vec!["seen".to_owned(), "sums".to_owned()], kept: None });
    assert_eq!(scalar(&mut conn, LEFT).await, 0, "nothing is left");
    assert_verified(&db, &projection("sums", SUMS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_of_tables_waits_for_a_reader_that_has_one_open_and_lets_others_read_meanwhile() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_sums(&mut conn, 20).await;
    fold(&db, &projection("sums", SUMS), 1, 100).await.unwrap();
    let mut slow = db.connect().await;
    let mut open = slow.begin().await.unwrap();
    sqlx::query("SELECT * FROM sums").execute(&mut *open).await.unwrap();
    let (database, wider) = (db.database.clone(), projection("sums", WIDER));
    let again = wider.clone();
    let rebuilding = tokio::spawn(async move {
        rebuild(&database, move || wider.clone(), &options(1), &CancellationToken::new(), &|_| {}).await
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE%' AND wait_event_type = 'Lock'";
    for attempt in ["the first", "the next"] {
        wait_until(attempt, SOON, async || scalar(&mut conn, waits).await == 1).await;
        // For 300 ms at most.
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM sums").await, 6 + 1);
        wait_until("it is over", SOON, async || scalar(&mut conn, waits).await == 0).await;
    }
    assert!(!rebuilding.is_finished());
    open.commit().await.unwrap();
    assert_eq!(rebuilding.await.unwrap().unwrap().outcome, Rebuilt::Switched);
    assert_verified(&db, &again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_stay_with_an_old_table_is_named_and_once_it_is_gone_the_rebuild_goes_on_where_it_was() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_sums(&mut conn, 20).await;
    fold(&db, &projection("sums", SUMS), 1, 100).await.unwrap();
    let wider = projection("sums", WIDER);
    let mut applied = 0;
    for (hang, named, drop) in [
        ("CREATE VIEW hangs AS SELECT * FROM sums", "the view hangs", "DROP VIEW hangs"),
        (
            "CREATE MATERIALIZED VIEW hangs AS SELECT * FROM seen",
            "the materialized view hangs",
            "DROP MATERIALIZED VIEW hangs",
        ),
        ("CREATE TABLE refers (id text REFERENCES sums)", "of the table refers", "DROP TABLE refers"),
        (
            "CREATE RULE hangs AS ON DELETE TO sums DO ALSO SELECT 1",
            "a rule of the table sums",
            "DROP RULE hangs ON sums",
        ),
        ("CREATE PUBLICATION hangs FOR TABLE sums", "the publication hangs", "DROP PUBLICATION hangs"),
        (
            "CREATE FUNCTION hangs(sums) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "function hangs(sums)",
            "DROP FUNCTION hangs(sums)",
        ),
        (
            "CREATE TRIGGER hangs BEFORE UPDATE ON sums FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "the trigger hangs of the table sums",
            "DROP TRIGGER hangs ON sums",
        ),
    ] {
        sql(&mut conn, hang).await;
        let refused = run(&db, &wider, &options(2)).await.unwrap_err();
        assert!(refused.is_final() && refused.to_string().contains(named), "{hang}: {refused}");
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM seen").await, 20, "as it was");
        sql(&mut conn, drop).await;
    }
    applied += switched(&db, &wider, 1).await.0;
    assert_eq!(applied, 0, "everything was folded before the first refusal");
    assert_verified(&db, &wider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_is_rebuilt_alongside_running_workers_and_writers_and_loses_and_doubles_nothing() {
    let mut random = fastrand::Rng::with_seed(fastrand::u64(..));
    println!("seed {}", random.get_seed());
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let stop = CancellationToken::new();
    let mut pools = all_at_work(&db, &stop);
    let begun = "SELECT count(*) FROM evenfold.projections";
    wait_until("all are begun", SOON, async || {
        scalar(&mut conn, begun).await == i64::try_from(alone().count()).unwrap()
    })
    .await;
    let (enough, mut writer) = (CancellationToken::new(), db.connect().await);
    let (ended, mut written) = (enough.clone(), 0_i64);
    let writing = tokio::spawn(async move {
        for round in 0.. {
            for one in history(&mut random, &format!("{round}"), 10).into_iter().flatten() {
                append_all(&mut writer, &[one]).await;
                written += 1;
            }
            if ended.is_cancelled() {
                break;
            }
        }
        written
    });
    for workers in 1..=2 {
        for (name, ..) in alone() {
            let (_, switch) = switched(&db, &example(name), workers).await;
            // What workers have not applied yet is written by it.
            assert!(matches!(switch, Switch::Rows(_)), "{name}: {switch:?}");
        }
    }
    enough.cancel();
    let last = writing.await.unwrap();
    wait_until("everything", SOON, async || scalar(&mut conn, "SELECT count(*) FROM timeline").await == last).await;
    stop.cancel();
    for pool in &mut pools {
        while let Some((_, ended)) = pool.ended().await {
            ended.unwrap();
        }
    }
    for (name, folded, expected) in alone().filter(|(name, ..)| *name != "totals") {
        fold(&db, &example(name), 1, 1_000).await.unwrap();
        assert_eq!(rows(&mut conn, folded).await, rows(&mut conn, expected).await, "{name}");
        assert_verified(&db, &example(name)).await;
    }
    assert_eq!(scalar(&mut conn, LEFT).await, 0, "nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_change_their_rows_and_tables_that_refer_to_each_other_are_written_all_the_same() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_sums(&mut conn, 14).await;
    let text = "-- create
CREATE TABLE parents (id text PRIMARY KEY, slot int UNIQUE);
CREATE TABLE children (position bigint PRIMARY KEY, parent text NOT NULL REFERENCES parents, twice bigint GENERATED ALWAYS AS (position * 2) STORED);
-- apply
INSERT INTO parents SELECT DISTINCT aggregate_id, substr(aggregate_id, 2)::int FROM batch ON CONFLICT DO NOTHING;
INSERT INTO children SELECT position, aggregate_id FROM batch";
    let family = projection("family", text);
    fold(&db, &family, 1, 100).await.unwrap();
    let unique = "-- create
CREATE TABLE slots (id text PRIMARY KEY, slot int UNIQUE);
-- apply
INSERT INTO slots SELECT DISTINCT aggregate_id, substr(aggregate_id, 2)::int FROM batch ON CONFLICT DO NOTHING";
    let slots = projection("slots", unique);
    fold(&db, &slots, 1, 100).await.unwrap();
    let all = "SELECT p.*, c.* FROM parents p LEFT JOIN children c ON c.parent = p.id UNION ALL SELECT id, slot, 0, '', 0 FROM slots";
    let right = rows(&mut conn, all).await;
    for damage in [
        "UPDATE slots SET slot = -slot - 1; UPDATE slots SET slot = 6 + slot + 1",
        "DELETE FROM slots WHERE id = 'a1'; UPDATE slots SET slot = 1 WHERE id = 'a2'",
        "DELETE FROM children; DELETE FROM parents WHERE id IN ('a1', 'a2')",
        "INSERT INTO parents VALUES ('x', 100); UPDATE children SET parent = 'x'; DELETE FROM parents WHERE id = 'a3'",
    ] {
        sql(&mut conn, damage).await;
        assert_ne!(rows(&mut conn, all).await, right, "{damage}");
        switched(&db, &slots, 1).await;
        switched(&db, &family, 1).await;
        assert_eq!(rows(&mut conn, all).await, right, "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_the_projections_is_never_replaced_or_written() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_sums(&mut conn, 10).await;
    let one = SUMS
        .replace("CREATE TABLE seen (position bigint PRIMARY KEY);\n", "")
        .replace("INSERT INTO seen SELECT position FROM batch;\n", "");
    fold(&db, &projection("sums", &one), 1, 100).await.unwrap();
    sql(&mut conn, "CREATE TABLE seen (position bigint PRIMARY KEY); INSERT INTO seen VALUES (4711)").await;
    let refused = run(&db, &projection("sums", SUMS), &options(1)).await.unwrap_err().to_string();
    assert!(refused.contains("public.seen does not say that it is a table of the projection sums"), "{refused}");
    assert_eq!(rows(&mut conn, "SELECT * FROM seen").await, ["(4711)"]);
    sql(&mut conn, "DROP TABLE seen").await;
    switched(&db, &projection("sums", SUMS), 1).await;
    assert_verified(&db, &projection("sums", SUMS)).await;
    // A schema under the name of the shadow.
    sql(&mut conn, "CREATE SCHEMA evenfold_rebuild_sums").await;
    let refused = run(&db, &projection("sums", SUMS), &options(1)).await.unwrap_err().to_string();
    assert!(refused.contains("is no shadow of the projection sums"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_names_its_tables_schema_and_one_that_makes_other_functions_are_refused() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_sums(&mut conn, 10).await;
    fold(&db, &projection("sums", SUMS), 1, 100).await.unwrap();
    let right = rows(&mut conn, "SELECT * FROM sums").await;
    let named = projection("sums", &SUMS.replace("INTO sums", "INTO public.sums"));
    let refused = run(&db, &named, &options(1)).await.unwrap_err();
    assert!(refused.is_final() && refused.to_string().contains("has written public.sums"), "{refused}");
    assert_eq!(rows(&mut conn, "SELECT * FROM sums").await, right);
    let function = "CREATE FUNCTION twice(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT $1 * 2';\n-- apply";
    let with = projection(
        "sums",
        &SUMS
            .replace("-- apply", function)
            .replace("sum((payload ->> 'n')::bigint)", "sum(twice((payload ->> 'n')::bigint))"),
    );
    let refused = run(&db, &with, &options(1)).await.unwrap_err().to_string();
    assert!(refused.contains("makes more than tables") && refused.contains("twice(bigint)"), "{refused}");
    // Made by hand, it is the same.
    sql(&mut conn, "CREATE FUNCTION twice(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT $1 * 2'").await;
    switched(&db, &with, 1).await;
    assert_verified(&db, &with).await;
}
