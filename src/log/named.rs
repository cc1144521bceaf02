//! The log of a schema that has another name.

use super::append::append_in;
use super::load::load_in;
use super::{AppendError, Appended, EventStream};
use crate::database::Schema;
use crate::event::{Aggregate, NewEvent};
use crate::number::Version;
use sqlx::PgConnection;

/// The log of one schema, where that is not the schema `evenfold`.
///
/// ```no_run
/// # use evenfold::{BoxError, NewEvent};
/// # async fn f(conn: &mut sqlx::PgConnection, events: Vec<NewEvent>) -> Result<(), BoxError> {
/// use evenfold::{Log, Schema};
/// let orders = Log::in_schema(Schema::named("orders")?);
/// orders.append(conn, &events).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Log {
    schema: Schema,
}

impl Log {
    /// The log of this schema.
    #[must_use]
    pub fn in_schema(schema: Schema) -> Self {
        Self { schema }
    }

    /// Appends to it as [`append`](super::append) does to that of the schema `evenfold`.
    ///
    /// # Errors
    ///
    /// See [`append`](super::append).
    ///
    /// # Cancel safety
    ///
    /// See [`append`](super::append).
    pub async fn append(&self, conn: &mut PgConnection, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
        append_in(&self.schema, conn, events).await
    }

    /// Reads one aggregate's events from it as [`load`](super::load) does from that of the schema `evenfold`.
    pub fn load<'c>(&self, conn: &'c mut PgConnection, aggregate: &Aggregate, after: Version) -> EventStream<'c> {
        load_in(&self.schema, conn, aggregate, after)
    }
}
