//! What the columns of a table of events mean.

use super::{Foreign, Positions};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// How a table keeps payloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Payload {
    /// As `json`, `jsonb` or a text.
    #[default]
    Text,
    /// As `bytea`, in UTF-8.
    Bytes,
}

/// A table of events, and what its columns mean. What is an *expression* may be the name of a column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// What the log is called in sentences: a preset's name, or `custom`.
    pub name: String,
    /// The table that has the column of the positions, as SQL names it.
    pub table: String,
    /// What comes after FROM where it is more than the table: with other tables that are joined to it, each row of the
    /// table once. The table is called `e` in it.
    pub from: Option<String>,
    /// The column of the positions: `bigint`, unique, never null.
    pub position: String,
    /// The sequence that positions come from, where it can't be found by the column; `serial` where positions are in
    /// the order of commits.
    pub positions: Option<Positions>,
    /// Expression: the kind of aggregate.
    pub aggregate_type: String,
    /// Expression: the aggregate. With its type it is one stream of events.
    pub aggregate_id: String,
    /// Expression: a number that grows with each event of an aggregate; its position where there is none.
    pub version: Option<String>,
    /// The version of an aggregate's first event, which is 1 in evenfold.
    pub first_version: i64,
    /// Expression: the event's id, a UUID or any text.
    pub event_id: Option<String>,
    /// Expression: what has happened.
    pub event_type: String,
    /// Expression: JSON.
    pub payload: String,
    /// How the payload and the metadata are kept.
    pub payload_as: Payload,
    /// Expression: JSON.
    pub metadata: Option<String>,
    /// Expression: when it has happened, a `timestamptz`.
    pub recorded_at: Option<String>,
    /// A condition on columns that never change: which rows are events.
    pub filter: Option<String>,
}

/// A mapping that says too little.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a log of others needs `{0}`: the {1}")]
pub struct InvalidMapping(&'static str, &'static str);

/// The most bytes of a payload, and of the metadata: as many as evenfold's own log takes.
const MOST_BYTES: u32 = 1_048_576;

impl Mapping {
    /// The log that is read by it, with positions given as it says, or as `found` where it says nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidMapping`] where something is empty that every log has.
    pub fn layout(&self, found: Positions) -> Result<Foreign, InvalidMapping> {
        let needed = [
            ("table", "table with its schema", &self.table),
            ("position", "column that grows with each event", &self.position),
            ("aggregate_type", "kind of aggregate, as an SQL expression such as 'order'", &self.aggregate_type),
            ("aggregate_id", "aggregate, as a column or an SQL expression", &self.aggregate_id),
            ("event_type", "type of event, as a column or an SQL expression", &self.event_type),
            ("payload", "event's contents in JSON, as a column or an SQL expression", &self.payload),
        ];
        if let Some((key, what, _)) = needed.iter().find(|(_, _, value)| value.trim().is_empty()) {
            return Err(InvalidMapping(key, what));
        }
        Ok(Foreign {
            name: self.name.clone(),
            table: self.table.clone(),
            position: self.position.clone(),
            positions: self.positions.clone().unwrap_or(found),
            relation: self.relation(),
        })
    }

    /// The log as a relation with the columns of evenfold's own. PostgreSQL makes it part of the statement around it,
    /// so that the index of the positions is used as in a statement on the table itself.
    fn relation(&self) -> String {
        let Self { position, aggregate_type, aggregate_id, event_type, .. } = self;
        let from = self.from.clone().unwrap_or_else(|| format!("{} e", self.table));
        let version = match &self.version {
            Some(version) => format!("({version})::bigint + {}", 1 - self.first_version),
            None => format!("e.{position}"),
        };
        let filter = self.filter.as_ref().map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let recorded_at = self.recorded_at.as_deref().unwrap_or("'-infinity'");
        // A row of which nobody knows the aggregate would be in no partition, and lost.
        format!(
            "SELECT e.{position} AS position, {version} AS version, \
             hashtextextended(coalesce(({aggregate_id})::text, ''), 0) & 4294967295 AS hash, \
             coalesce(({aggregate_type})::text, '') AS aggregate_type, \
             coalesce(({aggregate_id})::text, '') AS aggregate_id, \
             coalesce(({event_type})::text, '') AS event_type, {payload} AS payload, {event_id} AS event_id, \
             ({recorded_at})::timestamptz AS recorded_at, {metadata} AS metadata FROM {from}{filter}",
            payload = self.json(Some(&self.payload), "null"),
            metadata = self.json(self.metadata.as_deref(), ""),
            event_id = self.id(),
        )
    }

    /// JSON as text or bytes; none where it is too large, and `absent` where there is none.
    fn json(&self, expression: Option<&str>, absent: &str) -> String {
        let (kind, cast) = match self.payload_as {
            Payload::Text => ("text", "::text"),
            Payload::Bytes => ("bytea", ""),
        };
        let Some(expression) = expression else { return format!("NULL::{kind}") };
        let absent = if absent.is_empty() { "NULL".to_owned() } else { format!("'{absent}'::{kind}") };
        // A value that is stored in 4,096 bytes or fewer has no more than that when it is decompressed: see
        // `layout.rs`.
        format!(
            "CASE WHEN ({expression}) IS NULL THEN {absent} WHEN pg_column_size({expression}) > 4096 \
             AND octet_length(({expression}){cast}) > {MOST_BYTES} THEN NULL ELSE ({expression}){cast} END"
        )
    }

    /// The event's id as a UUID: where it is another text, the one that its MD5 is.
    fn id(&self) -> String {
        let Some(id) = &self.event_id else { return format!("md5({}::text)::uuid", self.position_of()) };
        format!(
            "CASE WHEN ({id})::text ~* '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$' THEN ({id})::text \
             ELSE md5(coalesce(({id})::text, '')) END::uuid"
        )
    }

    fn position_of(&self) -> String {
        format!("e.{}", self.position)
    }
}

impl Foreign {
    /// A statement on its table.
    pub(in crate::log) fn statement(&self, template: &str) -> SqlStr {
        // Put together from our own text and what whoever runs evenfold has written in its configuration.
        AssertSqlSafe(self.render(template)).into_sql_str()
    }
}
