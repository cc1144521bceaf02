//! A check finds what is wrong with a file before it is begun, passes what is right, and changes nothing.

use crate::examples::{EXAMPLES, example_file, history, interleaved};
use crate::fold::{append_all, event, file, fold, projection, rows};
use evenfold::{NewEvent, Schema};
use evenfold_sql::ProjectionFile;
use evenfold_sql::check::{CheckError, CheckOptions, Checked, Finding, Sample, Way, check, in_place};
use evenfold_testkit::{TestDb, scalar};
use serde_json::json;
use sqlx::PgConnection;

fn options(sample: Sample) -> CheckOptions {
    CheckOptions { sample, seed: 7, plans: false }
}

async fn checked(conn: &mut PgConnection, file: &ProjectionFile) -> Result<Checked, CheckError> {
    check(conn, &Schema::default(), file, &options(Sample::Log(20_000))).await
}

/// A log with a few hundred orders.
async fn shop() -> (TestDb, PgConnection) {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut random = fastrand::Rng::with_seed(20_261_128);
    let events = interleaved(&mut random, history_of(300));
    append_all(&mut conn, &events).await;
    (db, conn)
}

fn history_of(orders: usize) -> Vec<Vec<NewEvent>> {
    history(&mut fastrand::Rng::with_seed(1), "o", orders)
}

const TOTALS: &str = "-- events: order-paid\n-- create
CREATE TABLE w (customer text PRIMARY KEY, orders bigint NOT NULL, cents bigint NOT NULL);
-- apply
INSERT INTO w AS t (customer, orders, cents)
SELECT payload ->> 'customer', count(*), sum((payload ->> 'cents')::bigint) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (customer) DO UPDATE SET orders = t.orders + excluded.orders, cents = t.cents + excluded.cents";

/// How a wrong projection is found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// By folding it in another way, which differs in this table.
    Differs(Way, &'static str),
    /// By folding it in another way, which fails.
    Fails(Way),
    /// It can't be run, or not on any event.
    Refused,
}

type Wrong = (&'static str, String, Found, &'static str);

const ENDS: &str = "what the SQL does depends on where a batch ends";

const STATUS: &str = "CREATE TABLE w (id text PRIMARY KEY, status text, at timestamptz)";

fn statement(create: &str, apply: &str) -> String {
    format!("-- create\n{create};\n-- apply\n{apply}")
}

/// The wrong projections: what is wrong, the file, how it is found, and what the sentence has.
fn wrong() -> Vec<Wrong> {
    vec![
        (
            "a sum is overwritten",
            TOTALS.replace("cents = t.cents + excluded.cents", "cents = excluded.cents"),
            Found::Differs(Way::Batches, "w"),
            ENDS,
        ),
        (
            "now()",
            statement(
                STATUS,
                "INSERT INTO w SELECT DISTINCT ON (aggregate_id) aggregate_id, event_type, now() FROM batch
                 ORDER BY aggregate_id, version DESC
                 ON CONFLICT (id) DO UPDATE SET status = excluded.status, at = excluded.at",
            ),
            Found::Differs(Way::Again, "w"),
            "w differs each time it is folded",
        ),
        (
            "the last order of a customer",
            format!(
                "-- events: order-paid\n{}",
                statement(
                    "CREATE TABLE w (customer text PRIMARY KEY, last_order text NOT NULL)",
                    "INSERT INTO w SELECT DISTINCT ON (payload ->> 'customer') payload ->> 'customer', aggregate_id FROM batch
                     ORDER BY payload ->> 'customer', position DESC
                     ON CONFLICT (customer) DO UPDATE SET last_order = excluded.last_order",
                )
            ),
            Found::Differs(Way::Partitions, "w"),
            "the order of events of different aggregates, and there is none",
        ),
        (
            "deletes before it inserts",
            statement(
                "CREATE TABLE w (id text PRIMARY KEY)",
                "DELETE FROM w USING batch WHERE id = aggregate_id AND event_type = 'order-shipped';
                 INSERT INTO w SELECT aggregate_id FROM batch WHERE event_type = 'order-placed'",
            ),
            Found::Differs(Way::Batches, "w"),
            ENDS,
        ),
        (
            "the first row begins at 0",
            TOTALS.replace("count(*), sum((payload ->> 'cents')::bigint)", "0, 0").replace(
                "orders = t.orders + excluded.orders, cents = t.cents + excluded.cents",
                "orders = t.orders + 1, cents = t.cents",
            ),
            Found::Differs(Way::Batches, "w"),
            ENDS,
        ),
        (
            "an average of averages",
            format!(
                "-- events: order-paid\n{}",
                statement(
                    "CREATE TABLE w (customer text PRIMARY KEY, average numeric NOT NULL)",
                    "INSERT INTO w AS t SELECT payload ->> 'customer', avg((payload ->> 'cents')::bigint) FROM batch GROUP BY 1
                     ON CONFLICT (customer) DO UPDATE SET average = (t.average + excluded.average) / 2",
                )
            ),
            Found::Differs(Way::Batches, "w"),
            ENDS,
        ),
    ]
}

/// More of them.
fn also_wrong() -> Vec<Wrong> {
    vec![
        (
            "an upsert without a column that is NOT NULL",
            statement(
                "CREATE TABLE w (id text PRIMARY KEY, customer text NOT NULL, shipped boolean NOT NULL DEFAULT false)",
                "INSERT INTO w (id, customer) SELECT aggregate_id, payload ->> 'customer' FROM batch
                 WHERE event_type = 'order-placed';
                 INSERT INTO w (id, shipped) SELECT aggregate_id, true FROM batch WHERE event_type <> 'order-placed'
                 ON CONFLICT (id) DO UPDATE SET shipped = true",
            ),
            Found::Refused,
            "null value in column \"customer\"",
        ),
        (
            "a table of somebody else",
            TOTALS.replace("INSERT INTO w AS t", "WITH d AS (DELETE FROM evenfold.counters) INSERT INTO w AS t"),
            Found::Refused,
            "this would delete from evenfold.counters, which is no table of this file's -- create",
        ),
        ("COMMIT", format!("{TOTALS};\nCOMMIT"), Found::Refused, "COMMIT is no INSERT, UPDATE, DELETE or MERGE"),
        (
            "a column that the database numbers",
            statement(
                "CREATE TABLE w (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL)",
                "INSERT INTO w (id) SELECT aggregate_id FROM batch",
            ),
            Found::Refused,
            "numbers that the database hands out: a rebuild would hand out others",
        ),
        (
            "a number that is counted up from what is there",
            statement(
                "CREATE TABLE w (id text PRIMARY KEY, n bigint NOT NULL)",
                "INSERT INTO w SELECT id, (SELECT count(*) FROM w) + row_number() OVER (ORDER BY id)
                 FROM (SELECT DISTINCT aggregate_id AS id FROM batch) AS o ON CONFLICT DO NOTHING",
            ),
            Found::Differs(Way::Batches, "w"),
            ENDS,
        ),
        (
            "a row for each event instead of each key",
            TOTALS
                .replace("count(*), sum((payload ->> 'cents')::bigint)", "1, (payload ->> 'cents')::bigint")
                .replace(" GROUP BY 1 ORDER BY 1", ""),
            Found::Refused,
            "ON CONFLICT DO UPDATE command cannot affect row a second time",
        ),
        (
            "a join that meets a row with several events",
            statement(
                "CREATE TABLE w (id text PRIMARY KEY, events bigint NOT NULL)",
                "INSERT INTO w SELECT DISTINCT aggregate_id, 0 FROM batch ON CONFLICT DO NOTHING;
                 UPDATE w SET events = events + 1 FROM batch WHERE id = aggregate_id",
            ),
            Found::Differs(Way::Batches, "w"),
            ENDS,
        ),
        (
            "random()",
            statement(
                STATUS,
                "INSERT INTO w SELECT DISTINCT aggregate_id, random()::text FROM batch ON CONFLICT DO NOTHING",
            ),
            Found::Differs(Way::Again, "w"),
            "is there a now(), random() or gen_random_uuid() in it?",
        ),
        (
            "an INSERT that expects to be the first one",
            statement("CREATE TABLE w (id text PRIMARY KEY)", "INSERT INTO w SELECT DISTINCT aggregate_id FROM batch"),
            Found::Fails(Way::Batches),
            "in small batches it fails, and in one batch it does not: order/",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_projection_is_found_with_its_sentence() {
    let (_db, mut conn) = shop().await;
    for (name, text, how, sentence) in wrong().into_iter().chain(also_wrong()) {
        let outcome = checked(&mut conn, &file("w", &text)).await;
        let found = match &outcome {
            Err(CheckError::Refused(refused)) => {
                assert!(refused.contains(sentence), "{name}: {refused}");
                Found::Refused
            }
            Err(other) => panic!("{name}: {other}"),
            Ok(checked) => {
                let [finding] = &checked.findings[..] else { panic!("{name}: {checked:?}") };
                assert!(finding.to_string().contains(sentence), "{name}: {finding}");
                match finding {
                    Finding::Differs { way, tables } => {
                        assert!(!finding.rows().is_empty(), "{name}: {finding:?}");
                        assert!(tables.len() == 1 && tables[0].table == "w", "{name}: {finding:?}");
                        Found::Differs(*way, "w")
                    }
                    Finding::Fails { way, .. } => Found::Fails(*way),
                    other => panic!("{name}: {other:?}"),
                }
            }
        };
        assert_eq!(found, how, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_is_right_whatever_the_seed_and_nothing_is_changed_by_a_check() {
    let (db, mut conn) = shop().await;
    let there =
        "SELECT (SELECT count(*) FROM pg_class) + (SELECT count(*) FROM pg_namespace) + (SELECT count(*) FROM pg_proc)";
    let before = scalar(&mut conn, there).await;
    for (name, ..) in EXAMPLES {
        for seed in [1, 2, fastrand::u64(..)] {
            let options = CheckOptions { seed, plans: true, ..options(Sample::Log(20_000)) };
            let checked = check(&mut conn, &Schema::default(), &example_file(name), &options).await.unwrap();
            assert_eq!(checked.findings, [], "{name}, seed {seed}");
            assert!(checked.events >= 8 && checked.tables.iter().all(|one| one.rows > 0), "{name}: {checked:?}");
            let (batches, most) = checked.batches.unwrap();
            assert!(batches > 3 && most > 1 && checked.partitions == Some(3), "{name}: {checked:?}");
            assert_eq!(checked.plans.len(), checked.statements.unwrap_or(0), "{name}");
        }
    }
    assert_eq!(scalar(&mut conn, there).await, before);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.projections").await, 0);
    // Nor where it is begun, and folded while others are checked.
    fold(&db, &projection("w", TOTALS), 1, 100).await.unwrap();
    let is = rows(&mut conn, "SELECT * FROM w").await;
    assert_eq!(checked(&mut conn, &file("w", TOTALS)).await.unwrap().findings, []);
    checked(&mut conn, &file("w", &format!("{TOTALS}; COMMIT"))).await.unwrap_err();
    assert_eq!(rows(&mut conn, "SELECT * FROM w").await, is);
}

/// A right projection that takes it for granted that an aggregate begins at its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_the_log_has_aggregates_from_their_first_event_on() {
    let (_db, mut conn) = shop().await;
    let text = "-- create
CREATE TABLE w (id text PRIMARY KEY, version bigint NOT NULL);
-- each event
IF event.version = 1 THEN INSERT INTO w VALUES (event.aggregate_id, 1); CONTINUE; END IF;
UPDATE w SET version = event.version WHERE id = event.aggregate_id AND version = event.version - 1;
IF NOT FOUND THEN RAISE 'version % has no predecessor', event.version; END IF;";
    for most in [1, 7, 50, 333] {
        let sample = options(Sample::Log(most));
        let checked = check(&mut conn, &Schema::default(), &file("w", text), &sample).await.unwrap();
        assert_eq!((checked.findings, checked.events), (vec![], most as usize));
    }
    // Those that were written last.
    let last = rows(&mut conn, "SELECT position FROM evenfold.events ORDER BY position DESC LIMIT 1").await;
    let checked = check(&mut conn, &Schema::default(), &file("w", text), &options(Sample::Log(50))).await.unwrap();
    assert_eq!(format!("({})", checked.positions.unwrap().1), last[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_would_be_parked_is_named_and_the_others_are_folded() {
    let (_db, mut conn) = shop().await;
    let pay = |cents: &str| json!({"customer": "x", "cents": cents});
    let bad = [
        event("bad", "order-placed", &json!({})),
        event("bad", "order-paid", &pay("7")),
        event("bad", "order-paid", &pay("a lot")),
        event("bad", "order-paid", &pay("9")),
    ];
    append_all(&mut conn, &bad).await;
    let before = checked(&mut conn, &file("w", TOTALS)).await.unwrap();
    let [finding] = &before.findings[..] else { panic!("{before:?}") };
    let sentence = finding.to_string();
    assert!(
        sentence
            .starts_with("order/bad, version 3 (order-paid), can't be applied: invalid input syntax for type bigint")
            && sentence.contains("it would be parked"),
        "{sentence}"
    );
    // The paid event before it is folded, the one after it is not.
    let customers = before.tables[0].rows;
    assert!(customers > 1 && before.partitions == Some(3), "{before:?}");
    let paid = scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE event_type = 'order-paid'").await;
    assert_eq!(i64::try_from(before.events).unwrap(), paid - 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_read_columns_that_are_always_null_and_writes_of_functions_are_known() {
    let (_db, mut conn) = shop().await;
    sqlx::raw_sql("CREATE TABLE rates (rate bigint PRIMARY KEY); INSERT INTO rates VALUES (2)")
        .execute(&mut conn)
        .await
        .unwrap();
    let create = "-- create\nCREATE TABLE w (id text PRIMARY KEY, rate bigint, typo text);";
    let function = "CREATE FUNCTION rate() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT max(rate) FROM rates); END $$;";
    for text in [
        format!(
            "{create}\n-- apply\nINSERT INTO w SELECT DISTINCT aggregate_id, rate, payload ->> 'nope' FROM batch, rates ON CONFLICT DO NOTHING"
        ),
        format!(
            "{create}{function}\n-- apply\nINSERT INTO w SELECT DISTINCT aggregate_id, rate() FROM batch ON CONFLICT DO NOTHING"
        ),
        format!(
            "{create}\n-- each event\nINSERT INTO w SELECT event.aggregate_id, rate FROM rates ON CONFLICT DO NOTHING;"
        ),
    ] {
        let checked = checked(&mut conn, &file("w", &text)).await.unwrap();
        assert_eq!((checked.findings, checked.reads), (vec![], vec!["public.rates".to_owned()]), "{text}");
        let [reads, null] = &checked.warnings[..] else { panic!("{:?}", checked.warnings) };
        assert!(reads.contains("also reads public.rates") && null.starts_with("typo of w is NULL"), "{reads}; {null}");
    }
    let writes = "CREATE FUNCTION note() RETURNS int LANGUAGE sql AS 'INSERT INTO rates VALUES (3) ON CONFLICT DO NOTHING RETURNING 1';";
    let text = format!(
        "{create}{writes}\n-- apply\nINSERT INTO w SELECT DISTINCT aggregate_id, note() FROM batch ON CONFLICT DO NOTHING"
    );
    let refused = checked(&mut conn, &file("w", &text)).await.unwrap_err().to_string();
    assert!(refused.contains("this has written public.rates"), "{refused}");
    assert_eq!(rows(&mut conn, "SELECT * FROM rates").await, ["(2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_a_worker_could_not_make_is_found() {
    let (db, mut conn) = shop().await;
    fold(&db, &projection("first", TOTALS), 1, 100).await.unwrap();
    sqlx::raw_sql("CREATE TABLE v (customer text PRIMARY KEY)").execute(&mut conn).await.unwrap();
    for (text, sentence) in [
        (TOTALS.to_owned(), "the table w belongs to the projection first"),
        (
            TOTALS.replace("TABLE w", "TABLE v").replace("INTO w", "INTO v"),
            "there is a table public.v that no projection",
        ),
    ] {
        let checked = checked(&mut conn, &file("second", &text)).await.unwrap();
        let [finding] = &checked.findings[..] else { panic!("{checked:?}") };
        assert!(finding.to_string().contains(sentence), "{finding}");
    }
    assert_eq!(checked(&mut conn, &file("first", TOTALS)).await.unwrap().findings, []);
}

/// What is not there can't be compared: nothing is reported as right.
#[tokio::test(flavor = "multi_thread")]
async fn of_no_events_nothing_is_folded_and_of_few_it_is_known_what_was_not_tried() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let empty = checked(&mut conn, &file("w", TOTALS)).await.unwrap();
    assert_eq!((empty.events, empty.batches, empty.partitions), (0, None, None));
    let pay = json!({"customer": "x", "cents": 1});
    let overwrites = file("w", &TOTALS.replace("cents = t.cents + excluded.cents", "cents = excluded.cents"));
    let paid = |id: &str| event(id, "order-paid", &pay);
    let of = |events: Vec<NewEvent>| options(Sample::Given(in_place(events).unwrap()));
    let one = check(&mut conn, &Schema::default(), &overwrites, &of(vec![paid("a")])).await.unwrap();
    assert_eq!((one.events, one.batches, one.partitions), (1, Some((1, 1)), Some(1)));
    // With two it is found.
    let two = check(&mut conn, &Schema::default(), &overwrites, &of(vec![paid("a"), paid("b")])).await.unwrap();
    assert!(matches!(two.findings[..], [Finding::Differs { way: Way::Batches, .. }]), "{two:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_events_are_folded_in_place_of_the_log_with_what_they_have() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    let line = r#"{"aggregate_type":"order","aggregate_id":"a","event_type":"order-paid","expected_version":4,
        "payload":{"cents": 5},"metadata":{"by":"me"},"recorded_at":"1969-12-31T23:59:59.5Z",
        "event_id":"0190163d-8694-739b-aea5-966c26f8ad91"}"#;
    let text = "-- aggregates: order\n-- create\nCREATE TABLE w (position bigint PRIMARY KEY, version bigint, type text, id text,
        payload json, metadata json, recorded_at text, event_id uuid);
        \n-- apply\nINSERT INTO w SELECT position, version, event_type, aggregate_id, payload, metadata,
        (recorded_at AT TIME ZONE 'UTC')::text, event_id FROM batch";
    let other = NewEvent::new("customer", "c", "named", &1).unwrap();
    let events = vec![other, NewEvent::from_json(line).unwrap(), event("a", "order-paid", &json!(null))];
    let sample = options(Sample::Given(in_place(events).unwrap()));
    let checked = check(&mut conn, &Schema::default(), &file("w", text), &sample).await.unwrap();
    assert_eq!((checked.findings, checked.events, checked.tables[0].rows), (vec![], 2, 2));
    assert_eq!(
        checked.tables[0].example.as_deref(),
        Some(
            r#"{"position":2,"version":5,"type":"order-paid","id":"a","payload":{"cents": 5},"metadata":{"by":"me"},"recorded_at":"1969-12-31 23:59:59.5","event_id":"0190163d-8694-739b-aea5-966c26f8ad91"}"#
        )
    );
}
