//! Files over a log that others write, in another database: a batch is sent, and everything else is as it is.

use crate::fold::{file, rows};
use evenfold::log::Source;
use evenfold::log::foreign::{Mapping, Positions};
use evenfold::projection::parked::{RetriedTogether, RetryAll};
use evenfold::projection::{Pool, RunOptions, Sourced, Worker, WorkerOptions};
use evenfold::shadow::verify;
use evenfold::{Class, Schema};
use evenfold_sql::{ProjectionFile, SqlProjection};
use evenfold_testkit::{TestDb, scalar};
use tokio_util::sync::CancellationToken;

const LOG: &str = "CREATE TABLE journal (number bigserial PRIMARY KEY, account text NOT NULL, contents text NOT NULL,
    headers jsonb, written timestamptz NOT NULL DEFAULT '2026-05-01T10:00:00.000001Z')";

const SUMS: &str = "-- create
CREATE TABLE sums (id text PRIMARY KEY, cents bigint NOT NULL CHECK (cents >= 0), who text, at timestamptz);
-- apply
INSERT INTO sums AS t (id, cents, who, at)
SELECT aggregate_id, sum((payload ->> 'cents')::bigint), max(metadata ->> 'who'), max(recorded_at) FROM batch
GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET cents = t.cents + excluded.cents, who = excluded.who, at = excluded.at;";

const EACH: &str = "-- create
CREATE TABLE sums (id text PRIMARY KEY, cents bigint NOT NULL CHECK (cents >= 0), who text, at timestamptz);
-- each event
INSERT INTO sums AS t VALUES (event.aggregate_id, (event.payload ->> 'cents')::bigint, event.metadata ->> 'who',
    event.recorded_at)
ON CONFLICT (id) DO UPDATE SET cents = t.cents + excluded.cents, who = excluded.who, at = excluded.at;";

fn source(db: &TestDb) -> Source {
    let mapping = Mapping {
        name: "custom".to_owned(),
        table: "public.journal".to_owned(),
        position: "number".to_owned(),
        aggregate_type: "'account'".to_owned(),
        aggregate_id: "account".to_owned(),
        event_type: "'booked'".to_owned(),
        payload: "contents".to_owned(),
        metadata: Some("headers".to_owned()),
        recorded_at: Some("written".to_owned()),
        ..Mapping::default()
    };
    Source::new(&db.database, mapping.layout(Positions::Sequence("public.journal_number_seq".to_owned())).unwrap())
}

async fn fold(read_model: &TestDb, log: &TestDb, file: &ProjectionFile, batch_size: usize) {
    let (file, source) = (file.clone(), source(log));
    let make = move |class| {
        let sums = Sourced::new(SqlProjection::new(file.clone()), Some(source.clone()));
        Worker::new(class, sums, WorkerOptions::default().batch_size(batch_size))
    };
    let classes: Vec<Class> = (0..2).map(|key| Class::partition(key, 2).unwrap()).collect();
    let options = RunOptions::default().until_caught_up(true);
    let mut pool = Pool::start(&read_model.database, &classes, make, &options, &CancellationToken::new()).unwrap();
    while let Some((_, ended)) = pool.ended().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_folds_verifies_and_parks_events_of_a_log_in_another_database() {
    for (text, batch_size) in [(SUMS, 1_000), (SUMS, 3), (EACH, 1_000), (EACH, 2)] {
        let (log, read_model) = (TestDb::empty().await, TestDb::new().await);
        let (mut there, mut conn) = (log.connect().await, read_model.connect().await);
        sqlx::raw_sql(LOG).execute(&mut there).await.unwrap();
        let insert = "INSERT INTO journal (account, contents, headers)
            SELECT 'a' || n % 3, '{\"cents\": 1}', '{\"who\": \"me\"}' FROM generate_series(1, 30) n;
            INSERT INTO journal (account, contents) VALUES
                ('no number', '{\"cents\": 2}'), ('no number', '{\"cents\": \"x\"}'), ('no number', '{\"cents\": 2}'),
                ('negative', '{\"cents\": -2}'), ('no json', '{cents')";
        sqlx::raw_sql(insert).execute(&mut there).await.unwrap();
        let file = file("sums", text);
        fold(&read_model, &log, &file, batch_size).await;
        let expected: Vec<String> =
            ["(\"no number\",2,,t)", "(a0,10,me,t)", "(a1,10,me,t)", "(a2,10,me,t)"].map(str::to_owned).into();
        let sums = "SELECT id, cents, who, at = '2026-05-01T10:00:00.000001Z' FROM sums";
        assert_eq!(rows(&mut conn, sums).await, expected, "{text}");
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 4, "{text}");
        let mut fresh = Sourced::new(SqlProjection::new(file.clone()), Some(source(&log)));
        let verified = verify(&Schema::default(), &mut conn, &mut fresh, 10).await.unwrap();
        assert!(verified.agrees() && verified.events == 31, "{verified:?}");
        sqlx::raw_sql("UPDATE journal SET contents = '{\"cents\": 2}' WHERE number > 30")
            .execute(&mut there)
            .await
            .unwrap();
        let mut fresh = Sourced::new(SqlProjection::new(file.clone()), Some(source(&log)));
        let retried = RetryAll::default().next(&Schema::default(), &mut conn, &mut fresh).await.unwrap().unwrap();
        assert_eq!(retried, RetriedTogether { aggregates: 3, applied: 4, events: 4, still: vec![] });
        assert_eq!(scalar(&mut conn, "SELECT sum(cents)::bigint FROM sums").await, 40);
    }
}
