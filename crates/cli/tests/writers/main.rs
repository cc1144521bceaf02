//! Logs that libraries of others write, by their own code, from several processes at once: real workers fold them into
//! another database while they are written, are killed, and are replaced by more of them. In the end every event that a
//! library has acknowledged was applied once, and those of an aggregate in the order of its versions.
//!
//! `scripts/test` installs the libraries.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod compared;
mod folded;
mod installed;
mod library;
mod writer;

use compared::{Course, compare};
use folded::Folded;
use library::Library;

/// Has a library write, and fails unless what workers make of its log is right.
async fn fold(library: &Library) -> Course {
    let mut folded = Folded::new(library).await;
    let acknowledged = folded.course(library).await;
    let course = compare(library, &folded, acknowledged).await;
    let Course { events, late, burnt } = &course;
    println!("{}: {events} events, {late} of them committed late, {burnt} positions without one", library.name);
    assert!(course.burnt > 0, "no writer has rolled back: {course:?}");
    course
}

/// Emmett appends by a function of its own; inline projections of the application make its transactions long.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_that_emmett_acknowledges_is_applied_once_and_in_order() {
    let emmett = Library {
        name: "emmett",
        preset: "emmett",
        program: || installed::node("emmett.mjs"),
        settings: "",
        needs: &[
            "GRANT SELECT ON public.emt_messages TO reader",
            "CREATE INDEX ON public.emt_messages (global_position)",
        ],
        log: "SELECT global_position, stream_id, stream_position FROM emt_messages",
        table: "emt_messages",
        position: "global_position",
        first_version: 1,
    };
    let course = fold(&emmett).await;
    assert!(course.late > 0, "no event was committed after one at a higher position: {course:?}");
}

/// message-db appends by a function, any number of times in a transaction of the user's own, and locks a category of
/// streams until that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn every_message_that_message_db_acknowledges_is_applied_once_and_in_order() {
    let message_db = Library {
        name: "message-db",
        preset: "message-db",
        program: || installed::node("message_db.mjs"),
        settings: "",
        needs: &["GRANT USAGE ON SCHEMA message_store TO reader; GRANT SELECT ON message_store.messages TO reader"],
        log: "SELECT global_position, stream_name, position FROM message_store.messages",
        table: "message_store.messages",
        position: "global_position",
        first_version: 0,
    };
    let course = fold(&message_db).await;
    assert!(course.late > 0, "no event was committed after one at a higher position: {course:?}");
}

/// The library eventsourcing keeps each application in a table of its own. Where the database has its functions, it
/// leaves out the lock by which positions would commit in their order.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_that_pyeventsourcing_acknowledges_is_applied_once_and_in_order() {
    let eventsourcing = Library {
        name: "eventsourcing",
        preset: "pyeventsourcing",
        program: || installed::python("eventsourcing_bank.py"),
        settings: "[source.custom]\ntable = 'public.bank_events'",
        needs: &["GRANT SELECT ON public.bank_events TO reader"],
        log: "SELECT notification_id, originator_id::text, originator_version FROM bank_events",
        table: "bank_events",
        position: "notification_id",
        first_version: 1,
    };
    let course = fold(&eventsourcing).await;
    assert!(course.late > 0, "no event was committed after one at a higher position: {course:?}");
}

/// disintegrate appends in serializable transactions, of which those fail that were about the same, or without
/// validation.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_that_disintegrate_acknowledges_is_applied_once_and_in_order() {
    let disintegrate = Library {
        name: "disintegrate",
        preset: "disintegrate",
        program: || installed::rust("disintegrate"),
        settings: "[source.custom]\naggregate_id = 'account_id'",
        needs: &["GRANT SELECT ON public.event TO reader"],
        log: "SELECT event_id, account_id, event_id FROM event",
        table: "event",
        position: "event_id",
        first_version: 1,
    };
    let course = fold(&disintegrate).await;
    assert!(course.late > 0, "no event was committed after one at a higher position: {course:?}");
}

/// The table of postgres-es has no position: one is added when there are events already, which the rows' order is not
/// that of.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_that_postgres_es_acknowledges_is_applied_once_and_in_order_where_a_position_was_added() {
    let positions = include_str!("programs/rust/src/positions.sql");
    let documented = include_str!("../../../../docs/sources.md");
    assert!(documented.contains(positions), "docs/sources.md has other statements than {positions}");
    let postgres_es = Library {
        name: "postgres-es",
        preset: "custom",
        program: || installed::rust("postgres_es"),
        settings: POSTGRES_ES,
        needs: &["GRANT SELECT ON public.events TO reader"],
        log: "SELECT position, aggregate_id, sequence FROM public.events",
        table: "events",
        position: "position",
        first_version: 1,
    };
    let course = fold(&postgres_es).await;
    assert!(course.late > 0, "no event was committed after one at a higher position: {course:?}");
}

const POSTGRES_ES: &str = "
[source.custom]
table = 'public.events'
position = 'position'
aggregate_type = 'aggregate_type'
aggregate_id = 'aggregate_id'
version = 'sequence'
event_type = 'event_type'
payload = 'payload'
metadata = 'metadata'
";
