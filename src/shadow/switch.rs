//! Putting what a rebuild has made in the place of what is in use, in the transaction that has the checkpoints locked.

use super::compare::resolve;
use super::differences::{Pair, write_differences};
use super::replace::{bound_to, drop_old, lock, make_old_schema, move_tables};
use super::shape::shape;
use super::tables::{Shadow, ShadowError};
use crate::projection::{own_mark, table_owner};
use sqlx::PgConnection;

/// What a switch has done to the read model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Switch {
    /// The tables are what they were; so many rows were written that differed.
    Rows(u64),
    /// Other tables are in the place of the old ones.
    Tables {
        /// Their names, without a schema.
        names: Vec<String>,
        /// The schema in which the old ones are kept; none if they were dropped.
        kept: Option<String>,
    },
}

/// The tables in use that are to be changed.
struct InPlace {
    /// The schema that they are in, as SQL has it.
    schema: String,
    /// Those that `create` makes: the name, the table in the shadow, and that in use, if it is there.
    pairs: Vec<(String, String, Option<String>)>,
    /// Those that it makes no more: the name, and the table.
    gone: Vec<(String, String)>,
}

async fn in_place(tx: &mut PgConnection, shadow: &Shadow, names: &[String]) -> Result<InPlace, ShadowError> {
    shadow.leave(tx).await?;
    let projection = || shadow.projection.clone();
    let mut schema: Option<String> = None;
    let (mut pairs, mut foreign) = (Vec::with_capacity(names.len()), Vec::new());
    let quoted = shadow.quoted_tables(tx, names).await?;
    for (name, in_shadow) in names.iter().zip(quoted) {
        let mut in_use = None;
        if let Some((of, table)) = resolve(tx, name).await? {
            if table_owner(tx, &table).await?.as_ref() != Some(&shadow.projection) {
                foreign.push((of, table));
            } else if schema.as_ref().is_some_and(|schema| *schema != of) {
                return Err(ShadowError::TwoSchemas { projection: projection(), table });
            } else {
                (schema, in_use) = (Some(of), Some(table));
            }
        }
        pairs.push((name.clone(), in_shadow, in_use));
    }
    let schema = match schema {
        Some(schema) => schema,
        None => sqlx::query_scalar("SELECT quote_ident(current_schema())").fetch_one(&mut *tx).await?,
    };
    // In another schema it is in nobody's way.
    if let Some((_, table)) = foreign.into_iter().find(|(of, _)| *of == schema) {
        return Err(ShadowError::NotOwn { projection: projection(), table, mark: own_mark(&shadow.projection) });
    }
    let gone = sqlx::query_as(
        "SELECT c.relname::text, format('%I.%I', n.nspname, c.relname)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.oid = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relname = ANY ($2)
           AND regexp_replace(obj_description(c.oid, 'pg_class'), '^.*\n', '') = $3 ORDER BY 1",
    )
    .bind(&schema)
    .bind(names)
    .bind(own_mark(&shadow.projection))
    .fetch_all(tx)
    .await?;
    Ok(InPlace { schema, pairs, gone })
}

/// Makes the tables of the shadow, or their rows, those in use, and drops the shadow. The checkpoints in use must be
/// locked, and the rebuild must have caught up since.
pub(super) async fn switch(tx: &mut PgConnection, shadow: &Shadow, keep_old: bool) -> Result<Switch, ShadowError> {
    let names = shadow.tables(tx).await?;
    let InPlace { schema, pairs, gone } = in_place(tx, shadow, &names).await?;
    let there: Vec<String> =
        pairs.iter().filter(|(.., in_use)| in_use.is_some()).map(|(name, ..)| name.clone()).collect();
    let made = shape(tx, &shadow.quoted, &shadow.path, &names).await?;
    let is = shape(tx, &schema, &shadow.path, &there).await?;
    if let Some(other) = made.others.difference(&is.others).next() {
        return Err(ShadowError::OtherThan { projection: shadow.projection.clone(), what: first_line(other) });
    }
    let switched = if is.covers(&made) && gone.is_empty() {
        let pairs =
            pairs.into_iter().filter_map(|(_, shadow, in_use)| Some(Pair { in_use: in_use?, shadow })).collect();
        Switch::Rows(write_differences(tx, shadow, pairs).await?)
    } else {
        if let Some(other) = made.others.iter().next() {
            return Err(ShadowError::OtherThan { projection: shadow.projection.clone(), what: first_line(other) });
        }
        shadow.leave(tx).await?;
        let (old_names, old): (Vec<String>, Vec<String>) =
            pairs.iter().filter_map(|(name, _, in_use)| Some((name.clone(), in_use.clone()?))).chain(gone).unzip();
        let in_shadow: Vec<String> = pairs.iter().map(|(_, table, _)| table.clone()).collect();
        lock(tx, &old).await?;
        if let Some(bound) = bound_to(tx, &old, &in_shadow).await? {
            return Err(ShadowError::Bound { projection: shadow.projection.clone(), bound });
        }
        let old_schema =
            make_old_schema(tx, &super::rebuilding::schema_name("evenfold_old_", &shadow.projection)).await?;
        let new: Vec<_> = pairs.into_iter().map(|(_, table, in_use)| (table, in_use)).collect();
        move_tables(tx, &old, &old_schema, &new, &schema).await?;
        let kept = keep_old && !old.is_empty();
        if !kept {
            let quoted = old_of(tx, &old_names).await?;
            drop_old(tx, &quoted, &old_schema).await?;
        }
        Switch::Tables { names, kept: kept.then_some(old_schema) }
    };
    shadow.drop(tx).await?;
    Ok(switched)
}

async fn old_of(tx: &mut PgConnection, names: &[String]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT quote_ident(name) FROM unnest($1::text[]) AS name").bind(names).fetch_all(tx).await
}

fn first_line(of: &str) -> String {
    of.lines().next().unwrap_or_default().chars().take(80).collect()
}
