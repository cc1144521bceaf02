//! Reading one aggregate, to decide what comes next.

use super::{ENVELOPE, PAYLOAD};
use crate::database::Schema;
use crate::event::{Aggregate, RecordedEvent};
use crate::number::{Position, Version};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Why an aggregate can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// An event is larger than evenfold takes ([`MAX_JSON_BYTES`](crate::event::MAX_JSON_BYTES)): it was written
    /// without the log's constraints.
    #[error("the event at position {position} ({aggregate}, version {version}) is larger than evenfold reads")]
    TooLarge {
        /// Whose it is.
        aggregate: Aggregate,
        /// Its place in the log.
        position: Position,
        /// Its place in its aggregate.
        version: Version,
    },
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// The events of one aggregate, read as they are asked for: see [`load`].
pub struct EventStream<'c>(BoxStream<'c, Result<RecordedEvent, LoadError>>);

impl EventStream<'_> {
    /// The next event; none after the last.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    ///
    /// # Cancel safety
    ///
    /// No event is lost by a dropped wait.
    pub async fn next(&mut self) -> Result<Option<RecordedEvent>, LoadError> {
        self.0.next().await.transpose()
    }
}

impl Stream for EventStream<'_> {
    type Item = Result<RecordedEvent, LoadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

/// Reads the events of an aggregate after a version, in the order of their versions, from the log in the schema
/// `evenfold`: those that are committed now, and the caller's own. [`Version::NONE`] reads all of them; the version of
/// a state that is at hand reads what has happened since.
///
/// What is read is decided upon by appending with the version of the last event: if somebody else has appended
/// meanwhile, that is a [conflict](super::AppendError::Conflict).
///
/// ```
/// # use evenfold::{Aggregate, BoxError, NewEvent, Version, append, load};
/// async fn ship(conn: &mut sqlx::PgConnection, order: &Aggregate) -> Result<(), BoxError> {
///     let (mut version, mut shipped) = (Version::NONE, false);
///     let mut history = load(conn, order, version);
///     while let Some(event) = history.next().await? {
///         shipped |= event.event_type == "order-shipped";
///         version = event.version;
///     }
///     drop(history);
///     if !shipped {
///         let event = NewEvent::of(order.clone(), "order-shipped", &serde_json::json!({}))?.expecting(version);
///         append(conn, &[event]).await?;
///     }
///     Ok(())
/// }
/// ```
///
/// A stream that is dropped before its end leaves the connection usable; what the database has sent already is read and
/// dropped by the next statement.
pub fn load<'c>(conn: &'c mut PgConnection, aggregate: &Aggregate, after: Version) -> EventStream<'c> {
    load_in(&Schema::default(), conn, aggregate, after)
}

pub(super) fn load_in<'c>(
    schema: &Schema,
    conn: &'c mut PgConnection,
    aggregate: &Aggregate,
    after: Version,
) -> EventStream<'c> {
    let rows = sqlx::query(schema.sql(format!(
        "SELECT version, position, event_type, {PAYLOAD}{ENVELOPE} FROM evenfold.events
         WHERE aggregate_type = $1 AND aggregate_id = $2 AND version > $3 ORDER BY version"
    )))
    .bind(aggregate.aggregate_type.clone())
    .bind(aggregate.aggregate_id.clone())
    .bind(after)
    .fetch(conn);
    let aggregate = aggregate.clone();
    EventStream(rows.map(move |row| recorded(&aggregate, &row?)).boxed())
}

fn recorded(aggregate: &Aggregate, row: &PgRow) -> Result<RecordedEvent, LoadError> {
    let (version, position, aggregate) = (row.try_get(0)?, row.try_get(1)?, aggregate.clone());
    // As text, which the type json is sent as: sqlx would only hand out what it has parsed.
    let Some(payload) = row.try_get_unchecked(3)? else {
        return Err(LoadError::TooLarge { aggregate, position, version });
    };
    Ok(RecordedEvent {
        position,
        version,
        aggregate,
        event_type: row.try_get(2)?,
        payload,
        event_id: row.try_get(4)?,
        recorded_at: row.try_get(5)?,
        metadata: row.try_get_unchecked(6)?,
    })
}
