//! Putting tables of a shadow in the place of those in use, which are others: each becomes the table of that name, and
//! the old one is dropped or kept in a schema of its own.
//!
//! What is bound to a table and not to its name stays with the old one, silently: so a view, a foreign key of another
//! table or a publication refuses it.

use sqlx::{AssertSqlSafe, PgConnection};

/// What is bound to one of the tables `$1` and does not go with them. `$2`: the tables of the shadow.
const BOUND: &str = "
    WITH old AS (SELECT o.oid::regclass AS oid FROM unnest($1::text[]) AS t, LATERAL (SELECT t::regclass AS oid) AS o)
    SELECT CASE c.relkind WHEN 'v' THEN 'the view ' WHEN 'm' THEN 'the materialized view ' ELSE 'a rule of the table ' END
        || c.oid::regclass
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM old)
    UNION
    SELECT 'the foreign key ' || quote_ident(conname) || ' of the table ' || conrelid::regclass FROM pg_constraint
    WHERE contype = 'f' AND confrelid IN (SELECT oid FROM old) AND conrelid NOT IN (SELECT oid FROM old)
    UNION
    SELECT 'the publication ' || quote_ident(p.pubname) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    WHERE r.prrelid IN (SELECT oid FROM old)
    UNION
    SELECT 'the policy ' || quote_ident(polname) || ' of the table ' || polrelid::regclass FROM pg_policy
    WHERE polrelid IN (SELECT oid FROM old)
    UNION
    SELECT 'the trigger ' || quote_ident(tgname) || ' of the table ' || tgrelid::regclass FROM pg_trigger
    WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM old) AND tgname NOT IN (
        SELECT tgname FROM pg_trigger WHERE tgrelid IN (SELECT s::regclass FROM unnest($2::text[]) AS s))
    UNION
    SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
    FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid
        JOIN pg_class o ON t.oid = o.reltype OR t.typelem = o.reltype
    WHERE d.refclassid = 'pg_type'::regclass AND d.deptype = 'n' AND o.oid IN (SELECT oid FROM old)
    UNION
    SELECT 'the partitions of ' || oid FROM (
        SELECT oid::text FROM old WHERE EXISTS (SELECT FROM pg_inherits WHERE oid IN (inhparent, inhrelid))
        UNION SELECT s FROM unnest($2::text[]) AS s
            WHERE EXISTS (SELECT FROM pg_inherits WHERE s::regclass IN (inhparent, inhrelid))) AS p (oid)
    ORDER BY 1 LIMIT 1";

/// What is bound to the tables, if anything is.
pub(super) async fn bound_to(
    tx: &mut PgConnection,
    old: &[String],
    shadow: &[String],
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(BOUND).bind(old).bind(shadow).persistent(false).fetch_optional(tx).await
}

/// Locks the tables against everybody, as far as the session's `lock_timeout` allows.
pub(super) async fn lock(tx: &mut PgConnection, tables: &[String]) -> Result<(), sqlx::Error> {
    for table in tables {
        run(tx, &format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await?;
    }
    Ok(())
}

/// Whether somebody has a lock that was waited for in vain: `lock_not_available`, `deadlock_detected`.
pub(super) fn is_locked_out(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// A schema that nobody has yet, for the old tables, as SQL has it.
pub(super) async fn make_old_schema(tx: &mut PgConnection, name: &str) -> Result<String, sqlx::Error> {
    let quoted: String = sqlx::query_scalar(
        "SELECT quote_ident(name) FROM (
             SELECT $1 AS name, 0 AS n UNION ALL SELECT left($1, 55) || '_' || n, n FROM generate_series(2, 10000) AS n) AS names
         WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = name) ORDER BY n LIMIT 1",
    )
    .bind(name)
    .fetch_one(&mut *tx)
    .await?;
    run(tx, &format!("CREATE SCHEMA {quoted}")).await?;
    Ok(quoted)
}

/// Grants on the new table what is granted on the old one, and then gives it its owner, who may be another.
const RIGHTS: &str = "
    SELECT statement FROM (
    SELECT format('ALTER TABLE %s OWNER TO %I', $2::regclass, pg_get_userbyid(o.relowner)) AS statement
    FROM pg_class o, pg_class n WHERE o.oid = $1::regclass AND n.oid = $2::regclass AND o.relowner <> n.relowner
    UNION ALL
    (SELECT format('GRANT %s ON TABLE %s TO %s%s', a.privilege_type, $2::regclass,
        CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_class o CROSS JOIN LATERAL aclexplode(o.relacl) AS a
    WHERE o.oid = $1::regclass AND a.grantee <> o.relowner)
    UNION ALL
    (SELECT format('GRANT %s (%I) ON TABLE %s TO %s%s', a.privilege_type, c.attname, $2::regclass,
        CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_attribute c CROSS JOIN LATERAL aclexplode(c.attacl) AS a
    WHERE c.attrelid = $1::regclass AND NOT c.attisdropped
      AND EXISTS (SELECT FROM pg_attribute n WHERE n.attrelid = $2::regclass AND n.attname = c.attname AND NOT n.attisdropped))
    ) AS statements ORDER BY starts_with(statement, 'ALTER')";

/// Moves the old tables away and those of the shadow into their place. `new` has pairs of a table in the shadow and the
/// old table of that name, if there is one. Everything must be locked.
pub(super) async fn move_tables(
    tx: &mut PgConnection,
    old: &[String],
    old_schema: &str,
    new: &[(String, Option<String>)],
    target: &str,
) -> Result<(), sqlx::Error> {
    for (table, before) in new {
        if let Some(before) = before {
            let rights: Vec<String> =
                sqlx::query_scalar(RIGHTS).bind(before).bind(table).persistent(false).fetch_all(&mut *tx).await?;
            for statement in rights {
                run(tx, &statement).await?;
            }
        }
    }
    for table in old {
        run(tx, &format!("ALTER TABLE {table} SET SCHEMA {old_schema}")).await?;
    }
    for (table, _) in new {
        run(tx, &format!("ALTER TABLE {table} SET SCHEMA {target}")).await?;
    }
    Ok(())
}

/// Drops what was moved away: nothing that hangs on it, which would be an error.
pub(super) async fn drop_old(tx: &mut PgConnection, names: &[String], old_schema: &str) -> Result<(), sqlx::Error> {
    let moved: Vec<String> = names.iter().map(|name| format!("{old_schema}.{name}")).collect();
    if !moved.is_empty() {
        run(tx, &format!("DROP TABLE {}", moved.join(", "))).await?;
    }
    run(tx, &format!("DROP SCHEMA {old_schema}")).await
}

async fn run(tx: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(tx).await.map(drop)
}
