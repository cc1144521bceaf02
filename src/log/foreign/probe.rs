//! What is read of a log that others write before it is folded: whether its mapping can be read, and its first and last
//! positions.

use super::facts::TableFacts;
use super::{Foreign, Payload};
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// Why its events can't be read as they are mapped.
pub(super) async fn types(
    log: &Foreign,
    found: &TableFacts,
    conn: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let mapping = &log.mapping;
    let mut against = Vec::new();
    for (key, expression) in [("payload", Some(&mapping.payload)), ("metadata", mapping.metadata.as_ref())] {
        let Some(expression) = expression else { continue };
        // The type that an expression has, without a row.
        let sql = format!(
            "SELECT coalesce(nullif(t.typbasetype, 0), t.oid)::regtype::text, t.typcategory::text FROM pg_type t
             WHERE t.oid = pg_typeof((SELECT {expression} FROM {} WHERE false))::oid",
            mapping.from()
        );
        let row = match sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *conn).await {
            Ok(row) => row,
            Err(error) => return of_the_mapping(log, &found.rights.role, error).map(|sentence| vec![sentence]),
        };
        let (name, category): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        against.extend(of_type(log, key, &name, &category));
    }
    if against.is_empty() {
        let shown = format!("SELECT * FROM ({}) AS log LIMIT 0", log.relation);
        if let Err(error) = sqlx::query(AssertSqlSafe(shown)).fetch_all(&mut *conn).await {
            return of_the_mapping(log, &found.rights.role, error).map(|sentence| vec![sentence]);
        }
    }
    Ok(against)
}

fn of_type(log: &Foreign, key: &str, name: &str, category: &str) -> Option<String> {
    match (log.mapping.payload_as, name) {
        (Payload::Bytes, "bytea") => None,
        (Payload::Text, _) if ["json", "jsonb"].contains(&name) || ["S", "X"].contains(&category) => None,
        (_, "oid") => Some(format!(
            "its {key} is a large object (oid), which is not in the table: have its writers use bytea or jsonb"
        )),
        (Payload::Text, "bytea") => Some(format!(
            "its {key} is bytea: set payload_encoding = \"utf8\" where that is JSON in UTF-8; what is compressed, \
             encrypted or in another format can't be folded"
        )),
        (Payload::Bytes, _) => Some(format!(
            "its {key} is {name} instead of bytea: set payload_encoding = \"none\" where that is JSON or a text"
        )),
        (Payload::Text, _) => Some(format!("its {key} is {name} instead of json, jsonb, a text or bytea with JSON")),
    }
}

/// A sentence of what PostgreSQL has against the mapping; other errors are errors.
fn of_the_mapping(log: &Foreign, role: &str, error: sqlx::Error) -> Result<String, sqlx::Error> {
    let Some(reason) = error.as_database_error() else { return Err(error) };
    // Classes of PostgreSQL: a statement that can't be, a value that can't be.
    match reason.code().unwrap_or_default().as_ref() {
        "42501" => Ok(format!("{}: {}, as its owner", reason.message(), log.mapping.grant(role, true))),
        code if ["42", "22", "0A"].contains(&code.get(..2).unwrap_or_default()) => {
            Ok(format!("it is not as the mapping {} has it: {}", log.name(), reason.message()))
        }
        _ => Err(error),
    }
}

/// What is against the positions that there are.
pub(super) async fn positions(
    log: &Foreign,
    found: &TableFacts,
    conn: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let position = &log.position;
    let nulls = if found.column.as_ref().is_some_and(|column| column.never_null) {
        "false"
    } else {
        "EXISTS (SELECT FROM {table} t WHERE t.{position} IS NULL)"
    };
    // Pooled ids may be above it.
    let sequence = found.sequence.as_ref().filter(|sequence| sequence.readable && log.xid().is_none());
    // As of a snapshot that is older than the last value that is seen.
    let last =
        sequence.map_or("NULL::bigint".to_owned(), |sequence| format!("(SELECT last_value FROM {})", sequence.name));
    let sql = format!(
        "SELECT (SELECT t.{{position}} FROM {{table}} t ORDER BY t.{{position}} LIMIT 1),
                (SELECT t.{{position}} FROM {{table}} t WHERE t.{{position}} IS NOT NULL
                 ORDER BY t.{{position}} DESC LIMIT 1), {nulls}, {last}"
    );
    let row = sqlx::query(log.statement(&sql)).fetch_one(conn).await?;
    let (lowest, highest, null, last): (Option<i64>, Option<i64>, bool, Option<i64>) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    let mut against = Vec::new();
    if let Some(lowest) = lowest.filter(|lowest| *lowest < 1) {
        against.push(format!("it has an event at the position {lowest}: positions must be 1 or more"));
    }
    if null {
        against.push(format!("it has events without a position: its column {position} must not be null"));
    }
    if let (Some(highest), Some(last), Some(sequence)) = (highest, last, sequence)
        && highest > last
    {
        let name = &sequence.name;
        against.push(format!(
            "it has an event at the position {highest}, and the last value of its sequence {name} is {last}: positions \
             would come again; SELECT setval('{name}', {highest}), and see who writes positions of another origin"
        ));
    }
    Ok(against)
}
