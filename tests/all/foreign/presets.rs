//! The tables of libraries: what the presets make of what these write.

use crate::support::{TestDb, partition};
use evenfold::log::foreign::{Candidate, Mapping, Positions, Preset, candidates, sequence_of};
use evenfold::log::{Interest, Source, SourceError};
use evenfold::projection::{Batch, BoxError, Projection, Sourced, Step, Worker, WorkerOptions};
use sqlx::PgConnection;
use std::sync::{Arc, Mutex};

/// Notes each event in words.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<String>>>);

impl Projection for Noted {
    fn name(&self) -> &'static str {
        "noted"
    }

    fn interest(&self) -> Interest {
        Interest::everything().with_envelope()
    }

    async fn apply(&mut self, _: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        let shown = |event: evenfold::event::Event<'_>| {
            let dated = event.envelope.is_some_and(|envelope| envelope.recorded_at() > std::time::UNIX_EPOCH);
            format!(
                "{} {} {:?} {} {} {}{}",
                event.position,
                event.aggregate_type,
                event.aggregate_id,
                event.version,
                event.event_type,
                event.payload,
                if dated { "" } else { " undated" }
            )
        };
        self.0.lock().unwrap().extend(batch.events().map(shown));
        Ok(())
    }
}

/// A database with a library's table, and events in it.
async fn made(sql: &'static str) -> TestDb {
    let db = TestDb::empty().await;
    sqlx::raw_sql(sql).execute(&mut db.connect().await).await.unwrap();
    db
}

/// What is applied of it.
async fn applied(log: &TestDb, mapping: &Mapping) -> Vec<String> {
    let (read_model, noted) = (TestDb::new().await, Noted::default());
    let source = Source::find(&log.database, mapping).await.unwrap();
    let mut conn = read_model.connect().await;
    let mut worker = Worker::new(partition(0, 1), Sourced::new(noted.clone(), Some(source)), WorkerOptions::default());
    while worker.step(&mut conn).await.unwrap() != Step::CaughtUp {}
    noted.0.lock().unwrap().clone()
}

fn preset(name: &str) -> Mapping {
    let mut mapping = Preset::named(name).unwrap().mapping(None);
    match name {
        "prooph" => "public._1a2b".clone_into(&mut mapping.table),
        "disintegrate" => "cart_id".clone_into(&mut mapping.aggregate_id),
        _ => {}
    }
    mapping
}

macro_rules! library {
    ($test:ident, $name:literal, [$($event:literal),+ $(,)?]) => {
        library!($test, $name by $name, [$($event),+]);
    };
    // A library that makes the same table as another one, as which it is found.
    ($test:ident, $name:literal by $table:literal, [$($event:literal),+ $(,)?]) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let log = made(include_str!(concat!("tables/", $table, ".sql"))).await;
            let found = candidates(&mut log.connect().await).await.unwrap();
            let fits = |candidate: &&Candidate| candidate.mapping.name == $name || candidate.also.contains(&$name);
            let found: Vec<&str> = found.iter().filter(fits).map(|found| found.mapping.name.as_str()).collect();
            assert_eq!(found, [$table]);
            assert_eq!(applied(&log, &preset($name)).await, [$($event),+]);
        }
    };
}

library!(
    streams_of_message_db_are_their_categories_and_ids_and_never_the_same_aggregate,
    "message-db",
    [
        r#"1 account "123" 1 Opened {"amount": 1}"#,
        r#"2 account "123" 2 Closed null"#,
        r#"3 account "account" 1 Listed {}"#,
        r#"4 account "account-account" 1 Opened {}"#,
        r#"5 account "" 1 Opened {}"#,
        r#"6 account "7f-2" 1 Opened {}"#,
    ]
);

library!(
    events_of_emmett_are_folded_without_commands_whether_archived_or_not_and_by_partition,
    "emmett",
    [
        r#"1 cart "a" 1 added {}"#,
        r#"3 cart "a" 3 added {}"#,
        r#"4 shop__eu-cart "a" 1 added {}"#,
        r#"5 shop__eu "cart-a" 1 added {}"#,
    ]
);

library!(
    messages_of_eventuous_have_the_names_of_their_streams,
    "eventuous",
    [r#"1 Booking "1" 1 Booked {"amount": 3}"#, r#"2 Booking "1" 2 Paid {}"#, r#"3 Booking "2" 1 Booked {}"#,]
);

library!(
    events_of_commanded_are_those_of_its_stream_of_all,
    "commanded",
    [
        r#"1 stream "account-1" 1 Opened {"n": 1}"#,
        r#"2 stream "account-2" 1 Opened {"n": 2}"#,
        r#"3 stream "account-1" 2 Opened {"n": 3}"#,
    ]
);

library!(
    bounded_contexts_of_pupsourcing_are_no_parts_of_others,
    "pupsourcing",
    [r#"1 a%2Eb.c "1" 1 e {"amount": 1}"#, r#"2 a.b.c "1" 1 e {}"#, r#"3 a%252Eb.c "1" 1 e {}"#,]
);

library!(
    tenants_of_marten_have_streams_of_their_own,
    "marten",
    [r#"1 stream "a" 1 added {}"#, r#"2 stream "a" 2 added {}"#, r#"3 tenant:eu "a" 1 added {}"#,]
);

library!(
    events_of_axon_have_their_types_and_payloads_in_bytes,
    "axon-jdbc",
    [r#"1 Order "a" 1 Placed {"amount": 2}"#, r#"2  "a" 2 Paid {}"#,]
);

library!(
    events_of_a_pekko_journal_have_the_entity_of_their_persistence_id,
    "pekko-jdbc",
    [
        r#"1 Cart "1" 1 Added {"amount": 2}"#,
        r#"2 Cart "1" 2 Added {} undated"#,
        r#"3 alone "alone" 1 Added {} undated"#,
    ]
);

library!(
    events_of_an_akka_journal_are_those_of_a_pekko_one,
    "akka-jdbc" by "pekko-jdbc",
    [
        r#"1 Cart "1" 1 Added {"amount": 2}"#,
        r#"2 Cart "1" 2 Added {} undated"#,
        r#"3 alone "alone" 1 Added {} undated"#,
    ]
);

library!(
    an_event_of_rails_event_store_is_of_its_first_stream_and_comes_once,
    "rails-event-store",
    [
        r#"1 Order "1" 1 Placed {}"#,
        r#"2 Order "1" 2 Placed {}"#,
        r#"3 eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3 "eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3" 3 Placed {}"#,
    ]
);

library!(
    events_of_the_python_library_have_their_topics,
    "pyeventsourcing",
    [
        r#"1 aggregate "0cc175b9-c0f1-b6a8-31c3-99e269772661" 1 shop:Order.Placed {"amount": 4} undated"#,
        r#"2 aggregate "0cc175b9-c0f1-b6a8-31c3-99e269772661" 2 shop:Order.Paid {} undated"#,
    ]
);

library!(
    events_of_a_prooph_stream_have_the_aggregate_in_their_metadata,
    "prooph",
    [r#"1 Order "1" 1 placed {"amount": 2}"#, r#"2 Order "1" 2 placed {"amount": 2}"#,]
);

library!(
    events_of_patchlevel_have_their_playhead,
    "patchlevel",
    [r#"1 hotel "1" 1 guest {}"#, r#"2 hotel "1" 2 guest {}"#,]
);

library!(
    events_of_disintegrate_have_the_aggregate_that_was_chosen,
    "disintegrate",
    [r#"1 event "a" 1 added {"amount": 5}"#, r#"2 event "b" 2 added null"#,]
);

/// Of before version 4, whose table has no default: each position is drawn by an insert of its own into another table.
const DISINTEGRATE_3: &str = "CREATE TABLE event_sequence (event_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY);
CREATE TABLE event (event_id bigint PRIMARY KEY, event_type varchar(255), payload bytea,
                    inserted_at timestamp DEFAULT now(), cart_id text)";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_disintegrate_whose_positions_are_drawn_in_an_earlier_transaction_is_refused_until_it_is_migrated() {
    let log = made(DISINTEGRATE_3).await;
    let named = Mapping {
        positions: Some(Positions::Sequence("public.event_sequence_event_id_seq".to_owned())),
        ..preset("disintegrate")
    };
    for mapping in [preset("disintegrate"), named] {
        match Source::find(&log.database, &mapping).await {
            Err(SourceError::Refused { refusal, .. }) => {
                let sentence = "which draws positions in an earlier transaction (by the table event_sequence)";
                assert!(refusal.to_string().contains(sentence), "{refusal}");
            }
            other => panic!("{other:?}"),
        }
    }
    // What its migration does.
    let migration = "CREATE SEQUENCE seq_event_event_id;
        ALTER TABLE event ALTER COLUMN event_id SET DEFAULT nextval('seq_event_event_id')";
    sqlx::raw_sql(migration).execute(&mut log.connect().await).await.unwrap();
    Source::find(&log.database, &preset("disintegrate")).await.unwrap();
}

/// Every name that could be taken for another one, by the rule that the presets have.
#[tokio::test(flavor = "multi_thread")]
async fn two_streams_are_never_the_same_aggregate() {
    let log = made(include_str!("tables/message-db.sql")).await;
    let mut conn = log.connect().await;
    let names = "TRUNCATE message_store.messages;
        INSERT INTO message_store.messages (stream_name, position, type, data)
        SELECT DISTINCT array_to_string(ARRAY[a, b, c, d, e, f], ''), 0, 't', '{}'::jsonb
        FROM unnest(ARRAY['', 'x', '-']) a, unnest(ARRAY['', 'x', '-']) b, unnest(ARRAY['', 'x', '-']) c,
             unnest(ARRAY['', 'x', '-']) d, unnest(ARRAY['', 'x', '-']) e, unnest(ARRAY['', 'x', '-']) f";
    sqlx::raw_sql(names).execute(&mut conn).await.unwrap();
    let all = applied(&log, &preset("message-db")).await;
    let mut aggregates: Vec<&str> = all.iter().map(|event| event.split_once(' ').unwrap().1).collect();
    aggregates.sort_unstable();
    aggregates.dedup();
    assert_eq!((all.len(), aggregates.len()), (127, 127));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sequence_of_a_preset_is_found() {
    for (sql, name, expected) in [
        (include_str!("tables/emmett.sql"), "emmett", "emt_global_message_position"),
        (include_str!("tables/marten.sql"), "marten", "mt_events_sequence"),
        (include_str!("tables/eventuous.sql"), "eventuous", "eventuous.messages_global_position_seq"),
    ] {
        let log = made(sql).await;
        let sequence = sequence_of(&mut log.connect().await, &preset(name)).await.unwrap();
        assert_eq!(sequence.as_deref(), Some(expected), "{name}");
    }
    let serial = Preset::named("commanded").unwrap().mapping(None).layout(Positions::Serial).unwrap();
    assert_eq!(*serial.positions(), Positions::Serial);
}
