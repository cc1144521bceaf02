//! What the columns of a table of events mean.

use super::Positions;
use crate::event::MAX_JSON_BYTES;

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
    /// Which of the table's rows have positions of this log, where not all do: a column, and its value in SQL.
    pub rows: Option<(String, String)>,
    /// The column of the positions: `bigint`, unique, never null.
    pub position: String,
    /// The sequence that positions come from, where it can't be found by the column; or that they are given in another
    /// way.
    pub positions: Option<Positions>,
    /// Expression: the kind of aggregate.
    pub aggregate_type: String,
    /// Expression: the aggregate. With its type it is one stream of events.
    pub aggregate_id: String,
    /// Expression: a number that grows with each event of an aggregate; its position where there is none, or it is
    /// null.
    pub version: Option<String>,
    /// The version of an aggregate's first event, which is 1 in evenfold.
    pub first_version: i64,
    /// Expression: the event's id, a UUID or any text; made of its position where there is none, or it is null.
    pub event_id: Option<String>,
    /// Expression: what has happened.
    pub event_type: String,
    /// Expression: JSON.
    pub payload: String,
    /// How the payload and the metadata are kept.
    pub payload_as: Payload,
    /// Expression: JSON.
    pub metadata: Option<String>,
    /// Expression: when it has happened, a `timestamptz`; before everything else where there is none, or it is null.
    pub recorded_at: Option<String>,
    /// A condition on columns that never change: which rows are events.
    pub filter: Option<String>,
    /// Why the log can't be folded where the column of the positions has no default: what is known of a library whose
    /// writers then draw them in an earlier transaction.
    pub drawn_before: Option<&'static str>,
}

/// A mapping that says too little.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a log of others needs `{0}`: the {1}")]
pub struct InvalidMapping(pub(super) &'static str, pub(super) &'static str);

impl Mapping {
    /// The log as a relation with the columns of evenfold's own. PostgreSQL makes it part of the statement around it,
    /// so that the index of the positions is used as in a statement on the table itself.
    pub(super) fn relation(&self) -> String {
        let Self { position, aggregate_type, aggregate_id, event_type, .. } = self;
        let version = match &self.version {
            Some(version) => {
                format!("coalesce(({version})::bigint + {}, {})", 1 - self.first_version, self.position_of())
            }
            None => self.position_of(),
        };
        let recorded_at = self.recorded_at.as_deref().unwrap_or("'-infinity'");
        // A row of which nobody knows the aggregate would be in no partition, and lost.
        format!(
            "SELECT e.{position} AS position, {version} AS version, \
             hashtextextended(coalesce(({aggregate_id})::text, ''), 0) & 4294967295 AS hash, \
             coalesce(({aggregate_type})::text, '') AS aggregate_type, \
             coalesce(({aggregate_id})::text, '') AS aggregate_id, \
             coalesce(({event_type})::text, '') AS event_type, {payload} AS payload, {event_id} AS event_id, \
             coalesce(({recorded_at})::timestamptz, '-infinity') AS recorded_at, {metadata} AS metadata, \
             {oversized} AS metadata_is_too_large{xid} \
             FROM {from}{filter}",
            xid = match &self.positions {
                Some(Positions::Xid(column)) => format!(", e.{column} AS xid"),
                Some(Positions::Sequence(_) | Positions::Serial) | None => String::new(),
            },
            from = self.from(),
            filter = self.condition(),
            payload = self.json(Some(&self.payload), "null"),
            metadata = self.json(self.metadata.as_deref(), ""),
            oversized = self.metadata.as_deref().map_or("false".to_owned(), |metadata| self.is_too_large(metadata)),
            event_id = self.id(),
        )
    }

    /// What lets a user read it, of whom it is known whether the schema may be used.
    #[must_use]
    pub fn grant(&self, role: &str, usable: bool) -> String {
        let tables = self.tables().join(", ");
        let schema = self.table.rsplit_once('.').map(|(schema, _)| schema).filter(|_| !usable);
        let usage = schema.map_or(String::new(), |schema| format!("GRANT USAGE ON SCHEMA {schema} TO {role}; "));
        format!("{usage}GRANT SELECT ON {tables} TO {role}")
    }

    /// The tables that are read.
    #[must_use]
    pub fn tables(&self) -> Vec<String> {
        let mut tables = vec![self.table.clone()];
        let words: Vec<&str> = self.from.as_deref().unwrap_or_default().split([' ', '\n', '(', ')']).collect();
        for pair in words.windows(2) {
            if ["FROM", "JOIN"].contains(&pair[0]) && !pair[1].is_empty() && !tables.contains(&pair[1].to_owned()) {
                tables.push(pair[1].to_owned());
            }
        }
        tables
    }

    /// What its rows come from, in which its table is `e`.
    pub(super) fn from(&self) -> String {
        self.from.clone().unwrap_or_else(|| format!("{} e", self.table))
    }

    /// Which of these are events.
    fn condition(&self) -> String {
        let rows = self.rows.as_ref().map(|(column, value)| format!("e.{column} = {value}"));
        let filter = self.filter.as_ref().map(|filter| format!("({filter})"));
        let all: Vec<String> = rows.into_iter().chain(filter).collect();
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }

    /// What the positions of the log are read from.
    pub(super) fn positioned(&self) -> String {
        match &self.rows {
            Some((column, value)) => {
                format!("(SELECT {} FROM {} WHERE {column} = {value})", self.position, self.table)
            }
            None => self.table.clone(),
        }
    }

    /// JSON in the type that it has, which says whether PostgreSQL has parsed it; none where it is too large, and
    /// `absent` where there is none.
    fn json(&self, expression: Option<&str>, absent: &str) -> String {
        let kind = match self.payload_as {
            Payload::Text => "",
            Payload::Bytes => "::bytea",
        };
        let Some(expression) = expression else {
            return format!("NULL{}", if kind.is_empty() { "::text" } else { kind });
        };
        let absent = if absent.is_empty() { "NULL".to_owned() } else { format!("'{absent}'{kind}") };
        let too_large = self.is_too_large(expression);
        format!("CASE WHEN ({expression}) IS NULL THEN {absent} WHEN {too_large} THEN NULL ELSE ({expression}) END")
    }

    /// Whether JSON is larger than evenfold takes; null where there is none. A value that is stored in 4,096 bytes or
    /// fewer has no more than that when it is decompressed: see `layout.rs`.
    fn is_too_large(&self, expression: &str) -> String {
        let cast = match self.payload_as {
            Payload::Text => "::text",
            Payload::Bytes => "",
        };
        format!("(pg_column_size({expression}) > 4096 AND octet_length(({expression}){cast}) > {MAX_JSON_BYTES})")
    }

    /// The event's id as a UUID: where it is another text, the one that its MD5 is.
    ///
    /// Most are of the type uuid, and a regular expression with counts (`{8}`) takes 3 µs, more than all else of an
    /// event. Of a text that is 36 characters long and has dashes at these four places, four dashes at all is enough.
    fn id(&self) -> String {
        let position = self.position_of();
        let Some(id) = &self.event_id else { return format!("md5({position}::text)::uuid") };
        let text = format!("({id})::text");
        let hex = "[0-9a-fA-F]*";
        format!(
            "CASE WHEN pg_typeof({id}) = 'uuid'::regtype AND ({id}) IS NOT NULL THEN {text} \
             WHEN {text} COLLATE \"C\" LIKE '________-____-____-____-____________' \
             AND {text} COLLATE \"C\" ~ '^{hex}-{hex}-{hex}-{hex}-{hex}$' THEN {text} \
             ELSE md5(coalesce({text}, {position}::text)) END::uuid"
        )
    }

    fn position_of(&self) -> String {
        format!("e.{}", self.position)
    }
}
