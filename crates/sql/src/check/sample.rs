//! The events that a file is tried with.

use crate::file::ProjectionFile;
use evenfold::hash::IdHash;
use evenfold::{Aggregate, Interest, RecordedEvent, Schema};
use sqlx::PgConnection;
use std::time::SystemTime;

/// Which events.
#[derive(Debug, Clone)]
pub enum Sample {
    /// This many of the log, among those that the file wants: aggregates that were written last, each from its first
    /// event on.
    ///
    /// The last events of the log would begin in the middle of aggregates, where no worker ever does, and a right
    /// projection could fail on them. How far other aggregates are means nothing to a right one: partitions are at
    /// different places all the time. So a few aggregates without the others are something that it must be able to
    /// fold.
    Log(u32),
    /// These, in place of a log.
    Given(Vec<RecordedEvent>),
}

/// An event of the sample, whose contents are in the database.
#[derive(Debug, Clone)]
pub(crate) struct Sampled {
    pub(crate) position: i64,
    pub(crate) version: i64,
    pub(crate) aggregate: Aggregate,
    pub(crate) event_type: String,
}

impl Sampled {
    pub(crate) fn hash(&self) -> u32 {
        IdHash::of(&self.aggregate.aggregate_id).value()
    }
}

/// The same columns as those of a worker's.
macro_rules! create {
    ($name:literal) => {
        concat!(
            "CREATE TEMPORARY TABLE ",
            $name,
            " (position bigint, aggregate_type text, aggregate_id text, version bigint, event_type text, payload json,
            metadata json, event_id uuid, recorded_at timestamptz) ON COMMIT DROP;"
        )
    };
}

const CREATE: &str = concat!(create!("evenfold_part"), create!("evenfold_sample"));

/// From one aggregate to the next, the one that was written last first, until there are enough events. Of an aggregate
/// that is cut off the first events are taken. The inner LIMIT makes it a loop, which ends where the outer one says.
const OF_LOG: &str = "
    INSERT INTO pg_temp.evenfold_sample
    SELECT e.position, e.aggregate_type, e.aggregate_id, e.version, e.event_type, e.payload, e.metadata, e.event_id,
        e.recorded_at
    FROM (
        SELECT aggregate_type, aggregate_id FROM (
            SELECT aggregate_type, aggregate_id, position FROM evenfold.events
            WHERE ($1::text[] IS NULL OR aggregate_type = ANY ($1)) AND ($2::text[] IS NULL OR event_type = ANY ($2))
            ORDER BY position DESC LIMIT $3
        ) AS last
        GROUP BY 1, 2 ORDER BY max(position) DESC
    ) AS a
    CROSS JOIN LATERAL (
        SELECT * FROM evenfold.events
        WHERE aggregate_type = a.aggregate_type AND aggregate_id = a.aggregate_id
          AND ($2::text[] IS NULL OR event_type = ANY ($2))
        ORDER BY version LIMIT $3
    ) AS e
    LIMIT $3";

const AT_POSITIONS: &str = "
    INSERT INTO pg_temp.evenfold_sample
    SELECT position, aggregate_type, aggregate_id, version, event_type, payload, metadata, event_id, recorded_at
    FROM evenfold.events WHERE position = ANY ($1::bigint[])";

const GIVEN: &str = "
    INSERT INTO pg_temp.evenfold_sample
    SELECT position, aggregate_type, aggregate_id, version, event_type, payload::json, metadata::json, event_id,
        timestamptz 'epoch' + recorded * interval '1 microsecond'
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::uuid[],
        $9::bigint[])
        AS e (position, aggregate_type, aggregate_id, version, event_type, payload, metadata, event_id, recorded)";

const SAMPLED: &str =
    "SELECT position, version, aggregate_type, aggregate_id, event_type FROM pg_temp.evenfold_sample ORDER BY position";

/// Of given events so many are sent at once: each may have a megabyte.
const SENT_AT_ONCE: usize = 100;

/// A view as a worker's is, which may have been taken away: see `isolate`.
const VIEW: &str = "
    TRUNCATE pg_temp.evenfold_part;
    CREATE OR REPLACE TEMPORARY VIEW batch AS
        SELECT position, aggregate_type, aggregate_id, version, event_type, payload, metadata, event_id, recorded_at,
            payload::text = '{\"evenfold_erased\":true}' AS erased
        FROM pg_temp.evenfold_part";

/// In the order of positions, as a worker's batch is.
const FILL: &str = "
    INSERT INTO pg_temp.evenfold_part
    SELECT s.position, aggregate_type, aggregate_id, version, event_type, payload, metadata, event_id, recorded_at
    FROM pg_temp.evenfold_sample s JOIN unnest($1::bigint[]) AS wanted (position) USING (position) ORDER BY position";

/// Makes `batch` and puts the sample where it is taken from. Gives the events, in the order of their positions.
pub(crate) async fn load(
    conn: &mut PgConnection,
    schema: &Schema,
    file: &ProjectionFile,
    sample: &Sample,
) -> Result<Vec<Sampled>, sqlx::Error> {
    sqlx::raw_sql(CREATE).execute(&mut *conn).await?;
    fill(conn, &[]).await?;
    match sample {
        Sample::Log(events) => {
            let (aggregates, types) = (file.interest.aggregate_types(), file.interest.event_types());
            let insert = sqlx::query(schema.sql(OF_LOG)).bind(aggregates).bind(types).bind(i64::from(*events));
            insert.execute(&mut *conn).await?;
        }
        Sample::Given(events) => insert(conn, &file.interest, events).await?,
    }
    let rows: Vec<(i64, i64, String, String, String)> = sqlx::query_as(SAMPLED).fetch_all(conn).await?;
    let sampled = |(position, version, aggregate_type, aggregate_id, event_type)| Sampled {
        position,
        version,
        aggregate: Aggregate { aggregate_type, aggregate_id },
        event_type,
    };
    Ok(rows.into_iter().map(sampled).collect())
}

/// The same in another transaction, whose log may have more.
pub(crate) async fn load_again(
    conn: &mut PgConnection,
    schema: &Schema,
    file: &ProjectionFile,
    sample: &Sample,
    positions: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(CREATE).execute(&mut *conn).await?;
    fill(conn, &[]).await?;
    match sample {
        Sample::Log(_) => sqlx::query(schema.sql(AT_POSITIONS)).bind(positions).execute(conn).await.map(drop),
        Sample::Given(events) => insert(conn, &file.interest, events).await,
    }
}

/// Has `batch` be these events.
pub(crate) async fn fill(conn: &mut PgConnection, positions: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(VIEW).execute(&mut *conn).await?;
    sqlx::query(FILL).bind(positions).execute(conn).await.map(drop)
}

async fn insert(conn: &mut PgConnection, interest: &Interest, events: &[RecordedEvent]) -> Result<(), sqlx::Error> {
    let is_in = |names: Option<&[String]>, name: &String| names.is_none_or(|names| names.contains(name));
    let wanted = |event: &&RecordedEvent| {
        is_in(interest.aggregate_types(), &event.aggregate.aggregate_type)
            && is_in(interest.event_types(), &event.event_type)
    };
    let wanted: Vec<&RecordedEvent> = events.iter().filter(wanted).collect();
    for some in wanted.chunks(SENT_AT_ONCE) {
        sqlx::query(GIVEN)
            .bind(some.iter().map(|event| event.position).collect::<Vec<_>>())
            .bind(some.iter().map(|event| event.aggregate.aggregate_type.as_str()).collect::<Vec<_>>())
            .bind(some.iter().map(|event| event.aggregate.aggregate_id.as_str()).collect::<Vec<_>>())
            .bind(some.iter().map(|event| event.version).collect::<Vec<_>>())
            .bind(some.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
            .bind(some.iter().map(|event| event.payload.as_str()).collect::<Vec<_>>())
            .bind(some.iter().map(|event| event.metadata.as_deref()).collect::<Vec<_>>())
            .bind(some.iter().map(|event| event.event_id).collect::<Vec<_>>())
            .bind(some.iter().map(|event| microseconds(event.recorded_at())).collect::<Vec<_>>())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// From the beginning of 1970.
fn microseconds(time: SystemTime) -> i64 {
    let whole = |micros: u128| i64::try_from(micros).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => whole(after.as_micros()),
        Err(before) => -whole(before.duration().as_micros()),
    }
}
