//! Whether given events are applied, read from the database in one statement, and so in one snapshot.

use super::answers::{Delivery, Events};
use super::store::class_of;
use super::wanted::interest_of;
use super::{definition_of, elsewhere};
use crate::class::{Class, is_exact_cover};
use crate::database::Schema;
use crate::event::Aggregate;
use crate::invariant::broken;
use crate::log::{Interest, OpenSource};
use crate::number::{Position, Version};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// The log as it is for a connection.
pub(crate) struct Now {
    /// Whether the connection is in a transaction.
    pub(crate) in_transaction: bool,
    /// The events that are visible.
    pub(crate) visible: Events,
}

/// Reads what is visible, in one snapshot.
pub(crate) async fn now(
    schema: &Schema,
    conn: &mut PgConnection,
    log: Option<&mut OpenSource>,
) -> Result<Now, sqlx::Error> {
    // The time at which its transaction began is the same for two statements only if they are in one: also in a
    // transaction that the driver does not know of, because it was begun by a statement.
    let began: String = sqlx::query_scalar("SELECT now()::text").fetch_one(&mut *conn).await?;
    let row = sqlx::query(schema.sql(
        "SELECT now()::text = $1, pg_current_snapshot()::text, coalesce((SELECT max(position) FROM evenfold.events), 0)",
    ))
    .bind(began)
    .fetch_one(conn)
    .await?;
    let last = match log {
        None => row.try_get(2)?,
        // What is visible at or below it later on is waited for as well.
        Some(log) => log.last_position().await?,
    };
    Ok(Now { in_transaction: row.try_get(0)?, visible: Events::VisibleIn { snapshot: row.try_get(1)?, last } })
}

/// The position of an aggregate's event of a version, or of its last one.
pub(crate) async fn position_of(
    schema: &Schema,
    conn: &mut PgConnection,
    log: Option<&mut OpenSource>,
    aggregate: &Aggregate,
    version: Option<Version>,
) -> Result<Option<Position>, sqlx::Error> {
    if let Some(log) = log {
        return log.position_of(aggregate, version).await;
    }
    sqlx::query_scalar(schema.sql(
        "SELECT position FROM evenfold.events
         WHERE aggregate_type = $1 AND aggregate_id = $2 AND ($3::bigint IS NULL OR version = $3)
         ORDER BY version DESC LIMIT 1",
    ))
    .bind(&aggregate.aggregate_type)
    .bind(&aggregate.aggregate_id)
    .bind(version)
    .fetch_optional(conn)
    .await
}

/// Reads what has become of events, in one statement: everything that it says is so in one snapshot, the read model's
/// among it.
///
/// An event that the projection is not interested in, by the definition that it was begun with, is none that it has to
/// apply.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn delivery(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    events: &Events,
) -> Result<Delivery, sqlx::Error> {
    look(schema, conn, None, (projection, events), &mut None).await
}

/// [`delivery`], for whoever looks again and again: the definition that its last look has found, and the interest in
/// it.
pub(crate) async fn look(
    schema: &Schema,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    (projection, events): (&str, &Events),
    known: &mut Option<(String, Interest)>,
) -> Result<Delivery, sqlx::Error> {
    loop {
        if known.is_none() {
            let definition = definition_of(schema, &mut *conn, projection).await?;
            *known = definition.map(|definition| {
                let interest = interest_of(&definition);
                (definition, interest)
            });
        }
        let Some((definition, interest)) = &*known else { return Ok(Delivery::NotBegun) };
        if let Some(log) = &mut log {
            return match events {
                Events::At(positions) => elsewhere::at(schema, conn, log, (projection, positions), interest).await,
                Events::VisibleIn { last, .. } => {
                    elsewhere::up_to(schema, conn, log, (projection, *last), interest).await
                }
            };
        }
        let rows = rows(schema, conn, projection, events, interest).await?;
        let first = rows.first().ok_or_else(|| broken("a look at the checkpoints has a row at least"))?;
        if first.try_get::<Option<&str>, _>(0)? != Some(definition) {
            // Begun anew meanwhile, with another definition perhaps: what it wants is to be read again.
            *known = None;
            continue;
        }
        return match events {
            Events::At(_) => at(&rows),
            Events::VisibleIn { .. } => up_to(&rows),
        };
    }
}

async fn rows(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    events: &Events,
    interest: &Interest,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let query = match events {
        Events::At(positions) => {
            sqlx::query(schema.sql(include_str!("delivery_at.sql"))).bind(projection).bind(positions)
        }
        Events::VisibleIn { snapshot, last } => {
            sqlx::query(schema.sql(include_str!("delivery_up_to.sql"))).bind(projection).bind(snapshot).bind(last)
        }
    };
    query.bind(interest.aggregate_types.as_deref()).bind(interest.event_types.as_deref()).fetch_all(conn).await
}

fn at(rows: &[PgRow]) -> Result<Delivery, sqlx::Error> {
    let first = |state: &str| rows.iter().find(|row| row.try_get(1).is_ok_and(|of: Option<&str>| of == Some(state)));
    if let Some(row) = first("invisible") {
        return Ok(Delivery::NotVisible(row.try_get(4)?));
    }
    if first("uncovered").is_some() {
        return Ok(Delivery::Uncovered);
    }
    if let Some(row) = first("parked") {
        return parked(row, 5);
    }
    if let Some(row) = first("dropped") {
        return Ok(Delivery::Dropped(row.try_get(4)?));
    }
    let mut pending = Vec::new();
    for row in rows {
        if row.try_get::<Option<&str>, _>(1)?.is_some() {
            pending.push(class_of(row, 2)?);
        }
    }
    Ok(if pending.is_empty() { Delivery::Applied } else { Delivery::Pending(pending) })
}

fn up_to(rows: &[PgRow]) -> Result<Delivery, sqlx::Error> {
    let (mut cover, mut pending) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        if row.try_get::<Option<i64>, _>(1)?.is_some() {
            let class = class_of(row, 1)?;
            cover.push(class);
            if row.try_get(3)? {
                pending.push(class);
            }
        }
    }
    let whole = Class::partition(0, 1).map_err(|error| broken(&error.to_string()))?;
    if !is_exact_cover(whole, &cover) {
        return Ok(Delivery::Uncovered);
    }
    match rows.first() {
        Some(row) if row.try_get::<Option<i64>, _>(4)?.is_some() => parked(row, 4),
        _ if pending.is_empty() => Ok(Delivery::Applied),
        _ => Ok(Delivery::Pending(pending)),
    }
}

/// The cause in four columns, from this one on.
fn parked(row: &PgRow, at: usize) -> Result<Delivery, sqlx::Error> {
    Ok(Delivery::Parked {
        position: row.try_get(at)?,
        aggregate: Aggregate { aggregate_type: row.try_get(at + 1)?, aggregate_id: row.try_get(at + 2)? },
        reason: row.try_get(at + 3)?,
    })
}
