//! Writing into the tables in use what differs from a shadow with the same columns, keys and constraints: no lock that
//! a reader waits for, and whatever hangs on the tables stays.

use super::tables::Shadow;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A table in use, and its shadow: as SQL has them.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) in_use: String,
    pub(super) shadow: String,
}

/// A column: its name, how its value is taken from the shadow, and whether it is of the key, and can be written. A type
/// that the shadow has of its own goes by its text.
type Column = (String, String, bool, bool);

const COLUMNS: &str = "
    SELECT quote_ident(s.attname),
        CASE WHEN t.typnamespace = $3::regnamespace
            THEN format('evenfold_shadow.%I::text::%s', s.attname, format_type(u.atttypid, u.atttypmod))
            ELSE format('evenfold_shadow.%I', s.attname) END,
        coalesce(s.attnum = ANY (i.indkey), false), s.attgenerated = ''
    FROM pg_attribute s JOIN pg_type t ON t.oid = s.atttypid
    JOIN pg_attribute u ON u.attrelid = $1::regclass AND u.attname = s.attname AND NOT u.attisdropped
    LEFT JOIN pg_index i ON i.indrelid = s.attrelid AND i.indisprimary
    WHERE s.attrelid = $2::regclass AND s.attnum > 0 AND NOT s.attisdropped ORDER BY s.attnum";

/// The statements that write one table.
struct Statements {
    delete: String,
    update: String,
    insert: String,
    /// In place of the update, where a row's new value is what another row has still.
    delete_differing: String,
}

/// Both aliases have names that no column has.
fn statements(Pair { in_use, shadow }: &Pair, columns: &[Column]) -> Statements {
    let list = |wanted: &dyn Fn(&Column) -> bool, write: &dyn Fn(&Column) -> String, by: &str| {
        columns.iter().filter(|column| wanted(column)).map(write).collect::<Vec<_>>().join(by)
    };
    let all = |_: &Column| true;
    let names = list(&all, &|(name, ..)| name.clone(), ", ");
    let written = list(&|c| c.3, &|(name, ..)| name.clone(), ", ");
    let values = list(&|c| c.3, &|(_, value, ..)| value.clone(), ", ");
    let set = list(&|c| c.3 && !c.2, &|(name, value, ..)| format!("{name} = {value}"), ", ");
    let same = list(&|c| c.2, &|(name, value, ..)| format!("evenfold_in_use.{name} = {value}"), " AND ");
    let row = |alias: &str| {
        let own = list(&all, &|(name, ..)| format!("{alias}.{name}"), ", ");
        format!("(SELECT row_to_json(evenfold_row)::text FROM (SELECT {own}) AS evenfold_row ({names}))")
    };
    let differs = format!("{} <> {}", row("evenfold_in_use"), row("evenfold_shadow"));
    let insert = format!(
        "INSERT INTO {in_use} AS evenfold_in_use ({written}) OVERRIDING SYSTEM VALUE
         SELECT {values} FROM {shadow} AS evenfold_shadow"
    );
    if same.is_empty() {
        // No key distinguishes the rows: all of them, where any differs.
        let (ours, theirs) = (row("evenfold_in_use"), row("evenfold_shadow"));
        let any = format!("EXISTS (SELECT FROM (SELECT {ours} AS line, 1 AS side FROM {in_use} AS evenfold_in_use
             UNION ALL SELECT {theirs}, -1 FROM {shadow} AS evenfold_shadow) AS sides GROUP BY line HAVING sum(side) <> 0)");
        return Statements {
            delete: format!("DELETE FROM {in_use} WHERE {any}"),
            update: String::new(),
            insert: format!("{insert} WHERE NOT EXISTS (SELECT FROM {in_use})"),
            delete_differing: String::new(),
        };
    }
    Statements {
        delete: format!(
            "DELETE FROM {in_use} AS evenfold_in_use
             WHERE NOT EXISTS (SELECT FROM {shadow} AS evenfold_shadow WHERE {same})"
        ),
        update: if set.is_empty() {
            String::new()
        } else {
            format!(
                "UPDATE {in_use} AS evenfold_in_use SET {set} FROM {shadow} AS evenfold_shadow WHERE {same} AND {differs}"
            )
        },
        insert: format!("{insert} WHERE NOT EXISTS (SELECT FROM {in_use} AS evenfold_in_use WHERE {same})"),
        delete_differing: format!(
            "DELETE FROM {in_use} AS evenfold_in_use USING {shadow} AS evenfold_shadow WHERE {same} AND {differs}"
        ),
    }
}

/// Tables in the order in which rows may be inserted: those that are referred to first.
const REFERENCES: &str = "SELECT confrelid::regclass = $2::regclass FROM pg_constraint
    WHERE contype = 'f' AND conrelid = $1::regclass AND confrelid = $2::regclass LIMIT 1";

async fn in_order(tx: &mut PgConnection, mut pairs: Vec<Pair>) -> Result<(Vec<Pair>, bool), sqlx::Error> {
    let (mut ordered, mut refer): (Vec<Pair>, bool) = (Vec::new(), false);
    while !pairs.is_empty() {
        let mut free = 0;
        for (index, pair) in pairs.iter().enumerate() {
            let mut waits = false;
            for other in pairs.iter().filter(|other| other.in_use != pair.in_use) {
                let reference: Option<bool> = sqlx::query_scalar(REFERENCES)
                    .bind(&pair.in_use)
                    .bind(&other.in_use)
                    .fetch_optional(&mut *tx)
                    .await?;
                waits |= reference.is_some();
            }
            refer |= waits;
            if !waits {
                free = index;
                break;
            }
        }
        // Of tables that refer to each other in a circle any may be the first: the database decides.
        ordered.push(pairs.remove(free));
    }
    Ok((ordered, refer))
}

/// Makes the tables in use what their shadows are, in the caller's transaction. Gives how many rows were written.
pub(super) async fn write_differences(
    tx: &mut PgConnection,
    shadow: &Shadow,
    pairs: Vec<Pair>,
) -> Result<u64, sqlx::Error> {
    shadow.leave(tx).await?;
    let (pairs, refer) = in_order(tx, pairs).await?;
    let mut all = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        let columns: Vec<Column> = sqlx::query_as(COLUMNS)
            .bind(&pair.in_use)
            .bind(&pair.shadow)
            .bind(&shadow.quoted)
            .fetch_all(&mut *tx)
            .await?;
        all.push(statements(pair, &columns));
    }
    let mut written = 0;
    // What is to go may have a value that is unique and comes again in another row; but not while others refer to it.
    if !refer {
        for one in &all {
            written += run(tx, &one.delete).await?;
        }
    }
    for one in &all {
        if refer {
            written += run(tx, &one.insert).await?;
        }
        written += update(tx, one).await?;
        if !refer {
            written += run(tx, &one.insert).await?;
        }
    }
    if refer {
        for one in all.iter().rev() {
            written += run(tx, &one.delete).await?;
        }
        for one in &all {
            written += run(tx, &one.insert).await?;
        }
    }
    Ok(written)
}

async fn update(tx: &mut PgConnection, one: &Statements) -> Result<u64, sqlx::Error> {
    let mut part = tx.begin().await?;
    match run(&mut part, &one.update).await {
        Ok(rows) => {
            part.commit().await?;
            Ok(rows)
        }
        Err(error) if is_taken(&error) && !one.delete_differing.is_empty() => {
            part.rollback().await?;
            run(tx, &one.delete_differing).await
        }
        Err(error) => Err(error),
    }
}

/// Whether a value must be unique that another row has: `unique_violation`, `exclusion_violation`.
fn is_taken(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("23505" | "23P01"))
}

async fn run(tx: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    if sql.is_empty() {
        return Ok(0);
    }
    Ok(sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false).execute(tx).await?.rows_affected())
}
