//! The read model, in SQL.

use crate::checkpoint::CheckpointMove;
use crate::counter::Counter;
use crate::database::Schema;
use crate::event::Event;
use crate::invariant::broken;
use crate::number::{Position, Revision, Version};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row};

/// A row of the table `counters`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CounterRow {
    /// The kind of aggregate.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
    /// How many events it had.
    pub events: i64,
    /// The sum of their amounts.
    pub value: i64,
    /// The version of the last one.
    pub version: Version,
    /// The position of the last one.
    pub last_position: Position,
}

/// Which table: the one in use, or the one that a rebuild makes next to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Counters,
    Rebuild,
}

/// OFFSET 0 keeps the planner from joining: a table that had one row when it was analyzed would be read as a whole, and
/// each of its rows compared with each element of the arrays, until it is analyzed again.
impl Table {
    fn load(self) -> &'static str {
        macro_rules! load {
            ($table:literal) => {
                concat!(
                    "SELECT k.ord, c.events, c.value, c.version, c.last_position
                     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (aggregate_type, aggregate_id, ord)
                     CROSS JOIN LATERAL (SELECT * FROM ",
                    $table,
                    " WHERE aggregate_type = k.aggregate_type AND aggregate_id = k.aggregate_id OFFSET 0) c"
                )
            };
        }
        match self {
            Self::Counters => load!("evenfold.counters"),
            Self::Rebuild => load!("evenfold.counters_rebuild"),
        }
    }

    fn insert(self) -> &'static str {
        macro_rules! insert {
            ($table:literal) => {
                concat!(
                    "INSERT INTO ",
                    $table,
                    " (aggregate_type, aggregate_id, events, value, version, last_position)
                     SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
                     ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET events = excluded.events,
                         value = excluded.value, version = excluded.version, last_position = excluded.last_position"
                )
            };
        }
        match self {
            Self::Counters => insert!("evenfold.counters"),
            Self::Rebuild => insert!("evenfold.counters_rebuild"),
        }
    }

    fn update(self) -> &'static str {
        macro_rules! update {
            ($table:literal) => {
                concat!(
                    "UPDATE ",
                    $table,
                    " c SET events = k.events, value = k.value, version = k.version, last_position = k.last_position
                     FROM (SELECT r.ctid AS place, k.*
                         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
                             AS k (aggregate_type, aggregate_id, events, value, version, last_position)
                         CROSS JOIN LATERAL (SELECT ctid FROM ",
                    $table,
                    " WHERE aggregate_type = k.aggregate_type AND aggregate_id = k.aggregate_id OFFSET 0) r OFFSET 0) k
                     WHERE c.ctid = k.place"
                )
            };
        }
        match self {
            Self::Counters => update!("evenfold.counters"),
            Self::Rebuild => update!("evenfold.counters_rebuild"),
        }
    }
}

/// Why counters were not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(
        "{0} counters that this worker has read or written are not in the table any more: who removes rows from it must stop the workers first, and start over or rebuild"
    )]
    Gone(u64),
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// The counters of these events, in their order; none for those that have no row.
pub(super) async fn load(
    schema: &Schema,
    conn: &mut PgConnection,
    table: Table,
    events: &[Event<'_>],
) -> Result<Vec<Option<Counter>>, sqlx::Error> {
    let rows = sqlx::query(schema.sql(table.load()))
        .bind(events.iter().map(|event| event.aggregate_type).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.aggregate_id).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let mut counters = vec![None; events.len()];
    for row in &rows {
        let number: i64 = row.try_get(0)?;
        // A row that was left out would be a counter that begins at 0, and is written over.
        let place = usize::try_from(number - 1).ok().and_then(|index| counters.get_mut(index));
        let place = place.ok_or_else(|| broken(&format!("a row is of counter {number} of {}", events.len())))?;
        *place = Some(Counter {
            events: row.try_get(1)?,
            value: row.try_get(2)?,
            version: row.try_get(3)?,
            last_position: row.try_get(4)?,
        });
    }
    Ok(counters)
}

/// Counters as the arrays of a statement.
#[derive(Default)]
struct Arrays<'a> {
    types: Vec<&'a str>,
    ids: Vec<&'a str>,
    numbers: [Vec<i64>; 4],
}

impl<'a> Arrays<'a> {
    fn extend(&mut self, counters: impl Iterator<Item = (&'a str, &'a str, Counter)>) {
        for (aggregate_type, aggregate_id, Counter { events, value, version, last_position }) in counters {
            self.types.push(aggregate_type);
            self.ids.push(aggregate_id);
            for (column, number) in self.numbers.iter_mut().zip([events, value, version.get(), last_position.get()]) {
                column.push(number);
            }
        }
    }

    fn bind(self, query: Query<'_, Postgres, PgArguments>) -> Query<'_, Postgres, PgArguments> {
        self.numbers.into_iter().fold(query.bind(self.types).bind(self.ids), Query::bind)
    }
}

/// Writes counters, in one statement: those that have rows, or those that have none. Updating costs half of inserting
/// with ON CONFLICT, and while a worker catches up nearly all have rows.
pub(super) async fn write<'a>(
    schema: &Schema,
    conn: &mut PgConnection,
    table: Table,
    have_rows: bool,
    counters: impl Iterator<Item = (&'a str, &'a str, Counter)>,
) -> Result<(), WriteError> {
    let mut arrays = Arrays::default();
    arrays.extend(counters);
    if arrays.types.is_empty() {
        return Ok(());
    }
    let count = arrays.types.len() as u64;
    let query = sqlx::query(schema.sql(if have_rows { table.update() } else { table.insert() }));
    let written = arrays.bind(query).execute(conn).await?.rows_affected();
    if written == count { Ok(()) } else { Err(WriteError::Gone(count.saturating_sub(written))) }
}

/// Writes the counters that have rows and those that have none, and moves the checkpoint, in one statement that is its
/// own transaction. Gives the checkpoint's new revision; none if it does not have the one that was read any more: then
/// nothing is written.
pub(super) async fn write_with<'a>(
    to: CheckpointMove<'_>,
    conn: &mut PgConnection,
    there: impl Iterator<Item = (&'a str, &'a str, Counter)>,
    none: impl Iterator<Item = (&'a str, &'a str, Counter)>,
) -> Result<Option<Revision>, sqlx::Error> {
    let mut arrays = Arrays::default();
    arrays.extend(there);
    let existing = i64::try_from(arrays.types.len()).unwrap_or(i64::MAX);
    arrays.extend(none);
    let query = to.query(
        "SELECT evenfold.commit_counters($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    );
    arrays.bind(query.bind(existing)).fetch_one(conn).await?.try_get(0)
}

/// Removes all counters, in the caller's transaction.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn empty(schema: &Schema, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql("TRUNCATE evenfold.counters")).execute(tx).await?;
    Ok(())
}

/// The counters with the largest values, of one type of aggregate or of all.
///
/// # Cancel safety
///
/// Reads only.
pub async fn top(
    schema: &Schema,
    conn: &mut PgConnection,
    aggregate_type: Option<&str>,
    limit: u32,
) -> Result<Vec<CounterRow>, sqlx::Error> {
    let query = "SELECT * FROM evenfold.counters WHERE aggregate_type = $1 OR $1 IS NULL
                 ORDER BY value DESC, aggregate_type, aggregate_id LIMIT $2";
    sqlx::query(schema.sql(query))
        .bind(aggregate_type)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?
        .iter()
        .map(decode)
        .collect()
}

/// How many counters there are, and how many events they had together.
///
/// # Cancel safety
///
/// Reads only.
pub async fn totals(schema: &Schema, conn: &mut PgConnection) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(schema.sql("SELECT count(*), coalesce(sum(events), 0)::bigint FROM evenfold.counters"))
        .fetch_one(conn)
        .await
}

/// The counters with this id: one for each aggregate type that has it.
///
/// # Cancel safety
///
/// Reads only.
pub async fn one(schema: &Schema, conn: &mut PgConnection, aggregate_id: &str) -> Result<Vec<CounterRow>, sqlx::Error> {
    sqlx::query(schema.sql("SELECT * FROM evenfold.counters WHERE aggregate_id = $1 ORDER BY aggregate_type"))
        .bind(aggregate_id)
        .fetch_all(conn)
        .await?
        .iter()
        .map(decode)
        .collect()
}

fn decode(row: &PgRow) -> Result<CounterRow, sqlx::Error> {
    Ok(CounterRow {
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        events: row.try_get("events")?,
        value: row.try_get("value")?,
        version: row.try_get("version")?,
        last_position: row.try_get("last_position")?,
    })
}
