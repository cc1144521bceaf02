//! A projection under another name, whose tables are made in a shadow.

use super::tables::{Shadow, ShadowError};
use crate::database::{Schema, literal};
use crate::hash::IdHash;
use crate::log::{Interest, Source};
use crate::projection::{Batch, BoxError, Fatal, Projection, RowsWritten, mark_tables};
use sqlx::{AssertSqlSafe, PgConnection};

/// The name under which a rebuild of a projection keeps how far it has come.
pub(super) fn name_of(projection: &str) -> String {
    format!("{projection}.rebuild")
}

/// PostgreSQL's limit.
const MOST_BYTES: usize = 63;

/// The name of a schema for a projection, which is cut where it is too long, and has the rest as a hash.
pub(super) fn schema_name(prefix: &str, projection: &str) -> String {
    let name = format!("{prefix}{projection}");
    if name.len() <= MOST_BYTES {
        return name;
    }
    let hash = format!("_{:08x}", IdHash::of(projection).value());
    let mut end = MOST_BYTES - hash.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{hash}", &name[..end])
}

/// The comment of the schema: only one with it is dropped.
pub(super) fn comment_of(projection: &str) -> String {
    format!("Shadow of the projection {projection} of evenfold: a rebuild folds into it, and drops it at its end")
}

/// What the workers of a rebuild fold: what the projection is, into the shadow, to which their sessions' names lead.
pub(super) struct Rebuilding<P> {
    projection: P,
    name: String,
    schema: Schema,
    shadow: Shadow,
}

impl<P: Projection> Rebuilding<P> {
    pub(super) fn new(projection: P, schema: Schema, shadow: Shadow) -> Self {
        Self { name: name_of(projection.name()), projection, schema, shadow }
    }
}

/// What must be changed is a sentence that ends the rebuild; everything else passes.
fn boxed(error: ShadowError) -> BoxError {
    match error {
        ShadowError::Database(error) => error.into(),
        ShadowError::Create { error, .. } => error,
        sentence => Box::new(Fatal(sentence.to_string())),
    }
}

impl<P: Projection> Projection for Rebuilding<P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn interest(&self) -> Interest {
        self.projection.interest()
    }

    fn settings(&self) -> String {
        self.projection.settings()
    }

    fn source(&self) -> Option<&Source> {
        self.projection.source()
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        self.shadow.make(conn).await.map_err(boxed)?;
        let of = self.projection.name().to_owned();
        let sql = format!("COMMENT ON SCHEMA {} IS {}", self.shadow.quoted, literal(&comment_of(&of)));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
        let tables = self.shadow.fill(conn, &mut self.projection).await.map_err(boxed)?;
        // As those of the projection that they are to be, not of this one.
        let quoted = self.shadow.quoted_tables(conn, &tables).await?;
        mark_tables(conn, &of, &quoted).await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        self.projection.apply(&mut *conn, batch).await?;
        // What was written of a batch that is given back is rolled back.
        if batch.is_last() && batch.given_back().is_none() {
            self.shadow.check_written(conn, self.schema.name(), &RowsWritten::default()).await.map_err(boxed)?;
        }
        Ok(())
    }

    fn reads_views(&self) -> bool {
        self.projection.reads_views()
    }

    fn makes_views(&self) -> bool {
        self.projection.makes_views()
    }

    fn committed(&mut self) {
        self.projection.committed();
    }

    fn forget(&mut self) {
        self.projection.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_has_a_name_that_postgresql_takes_whole_and_no_other_projection_has() {
        assert_eq!(schema_name("evenfold_old_", "revenue"), "evenfold_old_revenue");
        let long = |end: &str| schema_name("evenfold_old_", &format!("{}{end}", "ä".repeat(40)));
        assert!(long("a").len() <= MOST_BYTES && long("a") != long("b"), "{}", long("a"));
    }
}
