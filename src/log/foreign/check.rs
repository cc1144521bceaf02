//! Whether a log that others write can be folded so that nothing is lost: what the catalogs say of its table, its
//! positions and their sequence.

use super::{Foreign, Positions};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::fmt;

const CHECK: &str = include_str!("check.sql");

/// Why a log can't be folded, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the catalogs say of a table, as far as it is one.
struct TableFacts {
    kind: String,
    persistence: String,
    row_security: bool,
    readable: bool,
    subscriber: bool,
    column: Option<PositionColumn>,
    sequence: Option<Sequence>,
}

struct PositionColumn {
    type_name: String,
    never_null: bool,
    is_unique: bool,
}

struct Sequence {
    name: String,
    cache: i64,
    increment: i64,
    cycles: bool,
}

/// All that is against folding this log; nothing if it can be.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn refusals(log: &Foreign, conn: &mut PgConnection) -> Result<Vec<Refusal>, sqlx::Error> {
    let sequence = match log.positions() {
        Positions::Sequence(sequence) => Some(sequence.as_str()),
        Positions::Serial => None,
    };
    let Some(found) = find(conn, &log.table, &log.position, sequence).await? else {
        let advice = "name it with its schema, and look whether the user may see that (GRANT USAGE ON SCHEMA)";
        return Ok(vec![Refusal(format!("there is no such table: {advice}"))]);
    };
    Ok(found.refusals(log).into_iter().map(Refusal).collect())
}

/// The sequence that a column's positions come from, as SQL names it: of its identity, or in its default.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn sequence_of(conn: &mut PgConnection, table: &str, position: &str) -> Result<Option<String>, sqlx::Error> {
    let found = find(conn, table, position, None).await?;
    Ok(found.and_then(|found| found.sequence).map(|sequence| sequence.name))
}

async fn find(
    conn: &mut PgConnection,
    table: &str,
    position: &str,
    sequence: Option<&str>,
) -> Result<Option<TableFacts>, sqlx::Error> {
    let row =
        sqlx::query(CHECK).bind(table).bind(position.trim_matches('"')).bind(sequence).fetch_optional(conn).await?;
    row.as_ref().map(TableFacts::of).transpose()
}

impl TableFacts {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let column = match row.try_get::<Option<String>, _>("type")? {
            Some(type_name) => Some(PositionColumn {
                type_name,
                never_null: row.try_get("never_null")?,
                is_unique: row.try_get("is_unique")?,
            }),
            None => None,
        };
        let sequence = match row.try_get::<Option<String>, _>("sequence")? {
            Some(name) => Some(Sequence {
                name,
                cache: row.try_get("cache")?,
                increment: row.try_get("increment")?,
                cycles: row.try_get("cycles")?,
            }),
            None => None,
        };
        Ok(Self {
            kind: row.try_get("kind")?,
            persistence: row.try_get("persistence")?,
            row_security: row.try_get("row_security")?,
            readable: row.try_get("readable")?,
            subscriber: row.try_get("subscriber")?,
            column,
            sequence,
        })
    }

    fn refusals(&self, log: &Foreign) -> Vec<String> {
        let mut against = self.of_table(log);
        against.extend(self.of_column(log));
        if *log.positions() != Positions::Serial {
            against.extend(self.of_sequence(log));
        }
        against
    }

    fn of_table(&self, Foreign { table, .. }: &Foreign) -> Vec<String> {
        let mut against = Vec::new();
        if !["r", "p"].contains(&self.kind.as_str()) {
            against.push(
                "it is no table; a view or a foreign table has no positions of its own: name the table".to_owned(),
            );
        }
        if self.persistence != "p" {
            against.push("it is unlogged or temporary, and empty after a crash: ALTER TABLE … SET LOGGED".to_owned());
        }
        if !self.readable {
            against.push(format!("the user may not read it: GRANT SELECT ON {table} TO CURRENT_USER, as its owner"));
        }
        if self.row_security {
            against
                .push("row security hides rows of it from the user: ALTER ROLE … BYPASSRLS, as a superuser".to_owned());
        }
        if self.subscriber {
            against.push(
                "it is filled by logical replication, whose transactions draw no positions here: fold it at the \
                 publisher"
                    .to_owned(),
            );
        }
        against
    }

    fn of_column(&self, Foreign { position, .. }: &Foreign) -> Vec<String> {
        let Some(column) = &self.column else { return vec![format!("it has no column {position}")] };
        let mut against = Vec::new();
        if column.type_name != "bigint" {
            against.push(format!("its column {position} is {} instead of bigint", column.type_name));
        }
        if !column.never_null || !column.is_unique {
            against.push(format!(
                "its column {position} may be null or the same in two rows: it needs NOT NULL and a unique index of \
                 its own"
            ));
        }
        against
    }

    fn of_sequence(&self, Foreign { position, .. }: &Foreign) -> Vec<String> {
        let Some(Sequence { name, cache, increment, cycles }) = &self.sequence else {
            return vec![format!(
                "no sequence is known that {position} comes from: it has no identity and no default; name the sequence"
            )];
        };
        let mut against = Vec::new();
        if *cache != 1 {
            against.push(format!(
                "its sequence {name} has CACHE {cache}: sessions use numbers that they drew in earlier transactions, \
                 and events would be lost; ALTER SEQUENCE {name} CACHE 1, and connect all writers anew"
            ));
        }
        if *increment != 1 {
            against.push(format!("its sequence {name} has INCREMENT {increment} instead of 1"));
        }
        if *cycles {
            against
                .push(format!("its sequence {name} may CYCLE: positions would come again; ALTER SEQUENCE … NO CYCLE"));
        }
        against
    }
}
