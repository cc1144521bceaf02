//! A checkpoint that is moved by the statement that writes what its events have changed.

use super::store::FenceColumns;
use super::{Checkpoint, CheckpointRow};
use crate::database::Schema;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

/// Where a checkpoint without an open window is to be moved, by whoever writes what its events have changed in the same
/// statement.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointMove<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) projection: &'a str,
    pub(crate) row: &'a CheckpointRow,
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) owner: Uuid,
}

impl<'a> CheckpointMove<'a> {
    /// The statement with its first nine arguments: what identifies the row and its revision, the fence, and the owner.
    pub(crate) fn query(&self, sql: &'static str) -> Query<'a, Postgres, PgArguments> {
        let Self { schema, projection, row, checkpoint, owner } = *self;
        let seen = FenceColumns::of(&checkpoint.seen);
        sqlx::query(schema.sql(sql))
            .bind(projection)
            .bind(i64::from(row.class.modulus()))
            .bind(i64::from(row.class.residue()))
            .bind(row.revision)
            .bind(seen.snapshot)
            .bind(seen.floor)
            .bind(seen.next_xid)
            .bind(seen.missing)
            .bind(owner)
    }
}
