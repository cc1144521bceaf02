//! What workers have made of a log, against the log, and against what was acknowledged to its writers.

use crate::folded::Folded;
use crate::library::Library;
use crate::writer::Acknowledged;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

/// What writers have done that makes a log hard to follow.
#[derive(Debug)]
pub struct Course {
    pub events: usize,
    /// Events that were committed after one at a higher position.
    pub late: i64,
    /// Positions below the highest that no event has.
    pub burnt: i64,
}

type Aggregate = (String, String);

/// Fails unless every event of the log was acknowledged and is applied once, and those of an aggregate in the order of
/// their versions.
pub async fn compare(library: &Library, folded: &Folded, mut acknowledged: Vec<Acknowledged>) -> Course {
    let (mut log, mut model) = (folded.log().await, folded.read_model().await);
    let events: Vec<(i64, String, i64)> = sqlx::query_as(AssertSqlSafe(library.log)).fetch_all(&mut log).await.unwrap();
    let mut written: Vec<Acknowledged> = events.iter().map(|(_, stream, version)| (stream.clone(), *version)).collect();
    written.sort();
    acknowledged.sort();
    assert!(written == acknowledged, "{} in the log, {} acknowledged", written.len(), acknowledged.len());
    let by_position: BTreeMap<i64, &(i64, String, i64)> = events.iter().map(|event| (event.0, event)).collect();
    assert_eq!(by_position.len(), events.len(), "positions of the log that come twice");

    let noted: Vec<(i64, String, String, i64, i64, i64)> =
        sqlx::query_as("SELECT position, type, id, version, nth, times FROM noted ORDER BY position")
            .fetch_all(&mut model)
            .await
            .unwrap();
    let expected = nth(&written);
    let applied: BTreeSet<i64> = noted.iter().map(|row| row.0).collect();
    let lost: Vec<_> = by_position.iter().filter(|(position, _)| !applied.contains(position)).collect();
    assert!(lost.is_empty(), "{} of {} events lost: {lost:?}", lost.len(), events.len());
    let mut aggregates = BTreeMap::<&str, Aggregate>::new();
    for (position, kind, id, version, nth, times) in &noted {
        let event = by_position.get(position).unwrap_or_else(|| panic!("nobody wrote {position}"));
        assert_eq!(*times, 1, "how often {event:?} was applied");
        assert_eq!(*version, event.2 + 1 - library.first_version, "{event:?}");
        assert_eq!(*nth, expected[&(event.1.as_str(), event.2)], "the how manyth of its aggregate {event:?} was");
        let aggregate = (kind.clone(), id.clone());
        assert_eq!(*aggregates.entry(&event.1).or_insert_with(|| aggregate.clone()), aggregate, "{event:?}");
    }
    let distinct: BTreeSet<_> = aggregates.values().collect();
    assert_eq!(distinct.len(), aggregates.len(), "streams that are the same aggregate");
    let parked: i64 =
        sqlx::query_scalar("SELECT count(*) FROM evenfold.parked_events").fetch_one(&mut model).await.unwrap();
    assert_eq!(parked, 0, "parked events");
    let (late, burnt) = late_and_burnt(library, &mut log).await;
    Course { events: events.len(), late, burnt }
}

/// The how manyth of its stream each event is, of all in the order of their versions.
fn nth(written: &[Acknowledged]) -> BTreeMap<(&str, i64), i64> {
    let mut streams = BTreeMap::<&str, i64>::new();
    let mut expected = BTreeMap::new();
    for (stream, version) in written {
        let nth = streams.entry(stream).or_default();
        *nth += 1;
        expected.insert((stream.as_str(), *version), *nth);
    }
    expected
}

/// How many events were committed after one at a higher position, and how many positions have no event.
async fn late_and_burnt(library: &Library, log: &mut PgConnection) -> (i64, i64) {
    let Library { table, position, .. } = library;
    let sql = format!(
        "SELECT count(*), (SELECT max({position}) - count(*) FROM {table}) FROM (
             SELECT at, min(at) OVER (ORDER BY {position} DESC) AS earliest_above
             FROM (SELECT {position}, pg_xact_commit_timestamp(xmin) AS at FROM {table}) e) e
         WHERE at > earliest_above"
    );
    sqlx::query_as(AssertSqlSafe(sql)).fetch_one(log).await.unwrap()
}
