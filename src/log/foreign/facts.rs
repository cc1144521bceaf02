//! What the catalogs say of a log that others write.

use super::{Mapping, Positions};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

const CHECK: &str = include_str!("check.sql");

/// What the catalogs say of a table.
pub(super) struct TableFacts {
    pub(super) kind: String,
    pub(super) persistence: String,
    pub(super) rights: Rights,
    pub(super) subscriber: bool,
    pub(super) column: Option<PositionColumn>,
    pub(super) is_version_unique: bool,
    pub(super) draws: Draws,
    pub(super) sequence: Option<Sequence>,
}

/// What the user may do.
pub(super) struct Rights {
    /// The user, as SQL has it.
    pub(super) role: String,
    /// Whether the user may use its schema.
    pub(super) usable: bool,
    /// Whether the user may use its schema, and read it and the others that are joined to it.
    pub(super) readable: bool,
    pub(super) row_security: bool,
}

/// What its identity or its default draws from.
pub(super) struct Draws {
    pub(super) from: Option<String>,
    /// It has a default that draws from no sequence that is known.
    pub(super) from_unknown: bool,
    /// It draws from another sequence than the one that is named.
    pub(super) from_another: bool,
    pub(super) named_is_unknown: bool,
}

pub(super) struct PositionColumn {
    pub(super) type_name: String,
    pub(super) never_null: bool,
    pub(super) is_unique: bool,
    pub(super) has_index: bool,
}

pub(super) struct Sequence {
    pub(super) name: String,
    pub(super) cache: i64,
    pub(super) increment: i64,
    pub(super) cycles: bool,
    /// Whether the user may see its last value.
    pub(super) readable: bool,
}

/// What is known of a mapping's table, with the sequence that is named for it; none where there is no such table.
pub(super) async fn find(
    conn: &mut PgConnection,
    mapping: &Mapping,
    sequence: Option<&str>,
) -> Result<Option<TableFacts>, sqlx::Error> {
    let configured = match &mapping.positions {
        Some(Positions::Sequence(sequence)) => Some(sequence.as_str()),
        Some(Positions::Serial | Positions::Xid(_)) | None => None,
    };
    let row = sqlx::query(CHECK)
        .bind(&mapping.table)
        .bind(column(&mapping.position))
        .bind(sequence.or(configured).filter(|sequence| !sequence.is_empty()))
        .bind(mapping.rows.as_ref().map(|(name, _)| column(name)))
        .bind(mapping.version.as_deref().map(column))
        .bind(mapping.tables())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(TableFacts::of).transpose()
}

/// The name of a column, where an expression is one of the table.
pub(super) fn column(expression: &str) -> String {
    expression.trim().trim_start_matches("e.").trim_matches('"').to_owned()
}

impl TableFacts {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let column = match row.try_get::<Option<String>, _>("type")? {
            Some(type_name) => Some(PositionColumn {
                type_name,
                never_null: row.try_get("never_null")?,
                is_unique: row.try_get("is_unique")?,
                has_index: row.try_get("has_index")?,
            }),
            None => None,
        };
        let sequence = match row.try_get::<Option<String>, _>("sequence")? {
            Some(name) => Some(Sequence {
                name,
                cache: row.try_get("cache")?,
                increment: row.try_get("increment")?,
                cycles: row.try_get("cycles")?,
                readable: row.try_get("may_see_last")?,
            }),
            None => None,
        };
        Ok(Self {
            kind: row.try_get("kind")?,
            persistence: row.try_get("persistence")?,
            rights: Rights {
                role: row.try_get("role")?,
                usable: row.try_get("usable")?,
                readable: row.try_get("readable")?,
                row_security: row.try_get("row_security")?,
            },
            subscriber: row.try_get("subscriber")?,
            column,
            is_version_unique: row.try_get("is_version_unique")?,
            draws: Draws {
                from: row.try_get("drawn_from")?,
                from_unknown: row.try_get("draws_from_unknown")?,
                from_another: row.try_get::<Option<bool>, _>("draws_from_another")?.unwrap_or(false),
                named_is_unknown: row.try_get("named_is_unknown")?,
            },
            sequence,
        })
    }
}
