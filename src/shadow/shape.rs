//! What tables are like, by the catalog: whether those in use are the same as those that `create` makes now.

use super::tables::{path_into, set_path};
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};

/// What a table is like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TableShape {
    /// Its columns, keys, constraints and unique indexes.
    rules: BTreeSet<String>,
    /// Its other indexes, and its triggers: somebody may have added more, for his own queries.
    more: BTreeSet<String>,
}

/// What a schema has of a projection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SchemaShape {
    tables: BTreeMap<String, TableShape>,
    /// Functions, types, views and sequences.
    pub(super) others: BTreeSet<String>,
}

impl SchemaShape {
    /// Whether this has all that the other one has, and no table of it is another one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.tables.iter().all(|(name, made)| {
            let covers = |own: &TableShape| own.rules == made.rules && own.more.is_superset(&made.more);
            self.tables.get(name).is_some_and(covers)
        })
    }
}

/// One line for everything that a table is made of, and whether it is one of those that may be added.
const TABLE: &str = "
    SELECT 'column ' || row_number() OVER (ORDER BY attnum) || ' ' || quote_ident(attname) || ' '
            || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
            || ' ' || attidentity::text || attgenerated::text
            || coalesce(' COLLATE ' || nullif(attcollation, 0)::regcollation::text, '')
            || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), ''), false
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint ' || pg_get_constraintdef(oid), false FROM pg_constraint
    WHERE conrelid = $1::regclass AND contype NOT IN ('t', 'n')
    UNION ALL
    SELECT regexp_replace(pg_get_indexdef(indexrelid, 0, true), 'INDEX (\"([^\"]|\"\")+\"|\\S+) ON', 'INDEX ON'), NOT indisunique
    FROM pg_index
    WHERE indrelid = $1::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)
    UNION ALL
    SELECT regexp_replace(pg_get_triggerdef(oid, true), 'TRIGGER (\"([^\"]|\"\")+\"|\\S+) ', 'TRIGGER '), true FROM pg_trigger
    WHERE tgrelid = $1::regclass AND NOT tgisinternal
    UNION ALL
    SELECT 'partitioned ' || pg_get_partkeydef($1::regclass), false WHERE pg_get_partkeydef($1::regclass) IS NOT NULL";

/// The same for everything of a schema that is no table. Functions by their bare names: `regproc` adds the schema where
/// the `search_path` leads to another of that name, as it does in a shadow whose types are others.
const OTHERS: &str = "
    SELECT concat_ws(' ', 'the function', p.oid::regprocedure, pg_get_function_result(p.oid), p.prokind::text,
        p.provolatile::text, p.proisstrict, l.lanname, p.prosrc, p.probin, p.proconfig,
        (SELECT string_agg(f.proname, ', ' ORDER BY f.oid = a.aggtransfn) FROM pg_proc f WHERE f.oid IN (a.aggtransfn, a.aggfinalfn)),
        a.agginitval, a.aggtranstype::regtype)
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
    WHERE p.pronamespace = $1::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'the type', format_type(t.oid, NULL), t.typtype::text, t.typbasetype::regtype, t.typdefault,
        (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
        (SELECT string_agg(pg_get_constraintdef(oid), ', ' ORDER BY 1) FROM pg_constraint WHERE contypid = t.oid),
        (SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped))
    FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace = $1::regnamespace AND (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c')
    UNION ALL
    SELECT concat_ws(' ', 'the view', c.oid::regclass, pg_get_viewdef(c.oid))
    FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('v', 'm')
    UNION ALL
    SELECT concat_ws(' ', 'the sequence', c.oid::regclass)
    FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'S'";

/// What these tables are like, with the other things of the schema. The names in it are those that lead there by the
/// `search_path` with this schema before `path`, which stays set until the transaction ends.
pub(super) async fn shape(
    conn: &mut PgConnection,
    schema: &str,
    path: &str,
    tables: &[String],
) -> Result<SchemaShape, sqlx::Error> {
    set_path(conn, &path_into(schema, path)).await?;
    let mut shape = SchemaShape::default();
    for name in tables {
        let quoted: String = sqlx::query_scalar("SELECT $1 || '.' || quote_ident($2)")
            .bind(schema)
            .bind(name)
            .fetch_one(&mut *conn)
            .await?;
        let lines: Vec<(String, bool)> = sqlx::query_as(TABLE).bind(quoted).fetch_all(&mut *conn).await?;
        let table = shape.tables.entry(name.clone()).or_default();
        for (line, may_be_added) in lines {
            if may_be_added {
                table.more.insert(line)
            } else {
                table.rules.insert(line)
            };
        }
    }
    let others: Vec<String> = sqlx::query_scalar(OTHERS).bind(schema).fetch_all(conn).await?;
    shape.others.extend(others);
    Ok(shape)
}
