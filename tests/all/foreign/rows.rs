//! What is read of each row of a log that others write, and what is done without.

use crate::support::{TestDb, partition, scalar};
use evenfold::counters::Counters;
use evenfold::log::foreign::Mapping;
use evenfold::log::{Interest, Source};
use evenfold::projection::{Batch, BoxError, Projection, Sourced, Step, Worker, WorkerError, WorkerOptions};
use sqlx::PgConnection;
use std::sync::{Arc, Mutex};

const TABLE: &str = "CREATE TABLE public.log (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL, version bigint NOT NULL, id text, body {type}, meta text, UNIQUE (stream, version)
)";

/// What others take for an id: UUIDs in either case, and what is almost one.
const IDS: &str = "INSERT INTO public.log (stream, version, id, body)
    SELECT 's', row_number() OVER (), id, '{}' FROM unnest(ARRAY[
        '6f9619ff-8b86-d011-b42d-00cf4fc964ff', '6F9619FF-8B86-D011-B42D-00CF4FC964FF',
        '6f9619ff-8b86-d011-b42d-00cf4fc964fg', '6f9619ff-8b86-d011-b42d-00cf4fc964f', '-f9619ff-8b86-d011-b42d-00cf4fc964ff',
        '6f9619ff-8b86-d011-b42d-00cf4fc964f-', '6f9619ff8b86d011b42d00cf4fc964ff', '------------------------------------',
        '{6f9619ff-8b86-d011-b42d-00cf4fc964ff}', 'ü', '', NULL, E'6f9619ff-8b86-d011-b42d-00cf4fc964f\\n']) AS id";

/// What they must be: those that have the form of a UUID themselves, and of the others the MD5.
const UUIDS: &str = "SELECT array_agg(CASE WHEN id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN id::uuid
    ELSE md5(coalesce(id, position::text))::uuid END::text ORDER BY position) FROM public.log";

/// Notes the ids of events, and whether they had any.
#[derive(Clone, Default)]
struct Ids {
    noted: Arc<Mutex<Vec<String>>>,
    /// Whether it calls `make_view`, without declaring it.
    views: bool,
}

impl Projection for Ids {
    fn name(&self) -> &'static str {
        "ids"
    }

    fn interest(&self) -> Interest {
        if self.views { Interest::everything() } else { Interest::everything().with_envelope() }
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        if self.views {
            batch.make_view(conn).await?;
        }
        let ids = batch.events().filter_map(|event| Some(event.envelope?.event_id.to_string()));
        self.noted.lock().unwrap().extend(ids);
        Ok(())
    }
}

/// A log with bodies of this type, and how it is read.
async fn log(body: &str) -> (TestDb, Source) {
    let db = TestDb::empty().await;
    let table = sqlx::AssertSqlSafe(TABLE.replace("{type}", body));
    sqlx::raw_sql(table).execute(&mut db.connect().await).await.unwrap();
    let mapping = Mapping {
        name: "custom".to_owned(),
        table: "public.log".to_owned(),
        position: "position".to_owned(),
        first_version: 1,
        aggregate_type: "'t'".to_owned(),
        aggregate_id: "stream".to_owned(),
        version: Some("version".to_owned()),
        event_id: Some("id".to_owned()),
        event_type: "'e'".to_owned(),
        payload: "body".to_owned(),
        metadata: Some("meta".to_owned()),
        ..Mapping::default()
    };
    let source = Source::find(&db.database, &mapping).await.unwrap();
    (db, source)
}

async fn fold<P: Projection>(read_model: &TestDb, projection: P, source: &Source) -> Result<(), WorkerError> {
    let mut conn = read_model.connect().await;
    let projection = Sourced::new(projection, Some(source.clone()));
    let mut worker = Worker::new(partition(0, 1), projection, WorkerOptions::default());
    while worker.step(&mut conn).await? != Step::CaughtUp {}
    Ok(())
}

fn counters() -> Counters {
    Counters::new("/amount".parse().unwrap(), 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_no_uuid_is_its_md5_and_any_that_is_one_is_itself() {
    let (db, source) = log("jsonb").await;
    let mut conn = db.connect().await;
    sqlx::raw_sql(IDS).execute(&mut conn).await.unwrap();
    let expected: Vec<String> = sqlx::query_scalar(UUIDS).fetch_one(&mut conn).await.unwrap();
    let ids = Ids::default();
    fold(&TestDb::new().await, ids.clone(), &source).await.unwrap();
    assert_eq!(*ids.noted.lock().unwrap(), expected);
    // Also where the column has the type.
    let retype = "ALTER TABLE public.log ALTER id TYPE uuid USING CASE WHEN position < 3 THEN id::uuid END";
    sqlx::raw_sql(retype).execute(&mut conn).await.unwrap();
    let expected: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(
        UUIDS.replace("id ~*", "id::text ~*").replace("coalesce(id,", "coalesce(id::text,"),
    ))
    .fetch_one(&mut conn)
    .await
    .unwrap();
    let ids = Ids::default();
    fold(&TestDb::new().await, ids.clone(), &source).await.unwrap();
    assert_eq!(*ids.noted.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_not_json_parks_its_aggregate_and_one_that_nobody_reads_does_not() {
    let written = "INSERT INTO public.log (stream, version, body, meta)
        VALUES ('a', 1, '{\"amount\": 2}', '{'), ('b', 1, '{\"amount\": 3', NULL), ('c', 1, '{\"amount\": 4}', '{}')";
    let (db, source) = log("text").await;
    sqlx::raw_sql(written).execute(&mut db.connect().await).await.unwrap();
    let read_model = TestDb::new().await;
    fold(&read_model, counters(), &source).await.unwrap();
    let mut conn = read_model.connect().await;
    let parked =
        "SELECT coalesce(array_agg(aggregate_id ORDER BY 1), '{}') FROM evenfold.parked_events WHERE projection = $1";
    let parked = async |conn: &mut PgConnection, projection: &str| -> Vec<String> {
        sqlx::query_scalar(parked).bind(projection).fetch_one(conn).await.unwrap()
    };
    assert_eq!(parked(&mut conn, "counters").await, ["b"]);
    assert_eq!(scalar(&mut conn, "SELECT sum(value)::bigint FROM evenfold.counters").await, 6);
    fold(&read_model, Ids::default(), &source).await.unwrap();
    assert_eq!(parked(&mut conn, "ids").await, ["a", "b"], "its interest has the metadata");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_too_large_parks_its_aggregate_where_it_is_read() {
    let (db, source) = log("jsonb").await;
    let written = "INSERT INTO public.log (stream, version, body, meta) VALUES ('a', 1, '{\"amount\": 2}',
        (SELECT to_json(string_agg(md5(n::text), '')) FROM generate_series(1, 40000) n)::text), ('b', 1, '{}', '{}')";
    sqlx::raw_sql(written).execute(&mut db.connect().await).await.unwrap();
    let read_model = TestDb::new().await;
    let ids = Ids::default();
    fold(&read_model, ids.clone(), &source).await.unwrap();
    fold(&read_model, counters(), &source).await.unwrap();
    let parked = "SELECT count(*) FROM evenfold.parked_events WHERE aggregate_id = 'a' AND projection = 'ids'
        AND reason LIKE 'its payload or its metadata is larger than%'";
    let mut conn = read_model.connect().await;
    assert_eq!(scalar(&mut conn, parked).await, 1);
    assert_eq!(ids.noted.lock().unwrap().len(), 1);
    assert_eq!(scalar(&mut conn, "SELECT sum(value)::bigint FROM evenfold.counters").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_the_same_text_whatever_type_it_is_kept_in() {
    for body in ["text", "varchar(100)", "json", "jsonb"] {
        let (db, source) = log(body).await;
        let written =
            "INSERT INTO public.log (stream, version, body) VALUES ('a', 1, '{\"amount\": 2}'), ('b', 1, NULL)";
        sqlx::raw_sql(written).execute(&mut db.connect().await).await.unwrap();
        let read_model = TestDb::new().await;
        fold(&read_model, counters(), &source).await.unwrap();
        // An event without an amount counts 1.
        let sum = scalar(&mut read_model.connect().await, "SELECT sum(value)::bigint FROM evenfold.counters").await;
        assert_eq!(sum, 3, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_makes_a_view_without_declaring_it_fails_with_a_sentence_and_applies_nothing() {
    let (db, source) = log("jsonb").await;
    sqlx::raw_sql(IDS).execute(&mut db.connect().await).await.unwrap();
    let read_model = TestDb::new().await;
    let ids = Ids { views: true, ..Ids::default() };
    let error = fold(&read_model, ids.clone(), &source).await.unwrap_err().to_string();
    assert!(error.contains("must declare it by Projection::makes_views"), "{error}");
    assert_eq!(*ids.noted.lock().unwrap(), Vec::<String>::new());
    let floor = "SELECT max(floor)::bigint FROM evenfold.checkpoints";
    assert_eq!(scalar(&mut read_model.connect().await, floor).await, 0);
}
