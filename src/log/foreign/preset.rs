//! A table of events that a known library makes, and what its columns mean.

use super::{Mapping, Payload, Positions};

/// How a library's table draws its positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drawn {
    /// From the sequence of the column, or of its default.
    Column,
    /// In the order of commits.
    InOrder,
}

/// A library's table, as it makes it. `{schema}` in an expression is the schema that it is in.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// What it is called in the configuration.
    pub name: &'static str,
    /// The schema that the library uses unless it is configured otherwise.
    pub schema: &'static str,
    /// Its table in that; empty where each user has others.
    pub table: &'static str,
    /// Whether users give it other names: not where the library's code or what it is joined with has its name.
    pub(super) any_name: bool,
    pub(super) from: Option<&'static str>,
    pub(super) rows: Option<(&'static str, &'static str)>,
    pub(super) position: &'static str,
    pub(super) drawn: Drawn,
    pub(super) aggregate: AggregateOf,
    pub(super) version: Option<&'static str>,
    pub(super) first_version: i64,
    pub(super) event_id: Option<&'static str>,
    pub(super) event_type: &'static str,
    pub(super) payload: &'static str,
    pub(super) payload_as: Payload,
    pub(super) metadata: Option<&'static str>,
    pub(super) recorded_at: Option<&'static str>,
    pub(super) filter: Option<&'static str>,
    pub(super) drawn_before: Option<&'static str>,
}

/// What an aggregate is in a library's table.
#[derive(Debug, Clone, Copy)]
pub(super) enum AggregateOf {
    /// Expressions: its kind, and itself.
    Columns(&'static str, &'static str),
    /// An expression: the name of a stream, which is the kind, a separator, and what follows.
    Stream(&'static str, &'static str),
    /// The same in one of several partitions, which each have streams of their own; of the default one's, no kind
    /// begins with the partition.
    StreamIn { name: &'static str, separator: &'static str, partition: &'static str, default: &'static str },
}

impl Preset {
    /// The mapping of its table in a schema, or in the one that the library uses.
    #[must_use]
    pub fn mapping(&self, schema: Option<&str>) -> Mapping {
        let schema = quoted(schema.unwrap_or(self.schema));
        let (aggregate_type, aggregate_id) = self.aggregate.expressions();
        let owned = |expression: Option<&str>| expression.map(str::to_owned);
        let table = if self.table.is_empty() { String::new() } else { format!("{schema}.{}", self.table) };
        Mapping {
            name: self.name.to_owned(),
            table,
            from: self.from.map(|from| from.replace("{schema}", &schema)),
            rows: self.rows.map(|(column, value)| (column.to_owned(), value.to_owned())),
            position: self.position.to_owned(),
            positions: (self.drawn == Drawn::InOrder).then_some(Positions::Serial),
            aggregate_type,
            aggregate_id,
            version: owned(self.version),
            first_version: self.first_version,
            event_id: owned(self.event_id),
            event_type: self.event_type.to_owned(),
            payload: self.payload.to_owned(),
            payload_as: self.payload_as,
            metadata: owned(self.metadata),
            recorded_at: owned(self.recorded_at),
            filter: owned(self.filter),
            drawn_before: self.drawn_before,
        }
    }
}

impl AggregateOf {
    /// The expressions of its kind, and of itself.
    fn expressions(self) -> (String, String) {
        match self {
            Self::Columns(kind, id) => (kind.to_owned(), id.to_owned()),
            Self::Stream(name, separator) => (kind_of(name, separator), id_of(name, separator)),
            Self::StreamIn { name, separator, partition, default } => {
                // No kind has the separator in it. So what stands before the last one is the partition.
                let kind = kind_of(name, separator);
                let kind = format!(
                    "CASE {partition} WHEN '{default}' THEN {kind} ELSE {partition} || '{separator}' || {kind} END"
                );
                (kind, id_of(name, separator))
            }
        }
    }
}

/// What stands before the first separator, which is all of it where there is none.
fn kind_of(name: &str, separator: &str) -> String {
    format!("split_part({name}, '{separator}', 1)")
}

/// What follows the first separator. The whole name where there is none, and where what follows could be taken for such
/// a name: it is the kind, or begins with it and the separator. So an id that begins in this way is the name of one
/// stream, and any other one what follows in one: two streams are never the same aggregate.
fn id_of(name: &str, separator: &str) -> String {
    let (kind, rest) = (kind_of(name, separator), format!("substr({name}, strpos({name}, '{separator}') + 1)"));
    format!(
        "CASE WHEN strpos({name}, '{separator}') = 0 \
         OR starts_with({rest} || '{separator}', {kind} || '{separator}') THEN {name} ELSE {rest} END"
    )
}

/// A name as SQL has it.
pub(super) fn quoted(name: &str) -> String {
    let plain =
        name.chars().enumerate().all(|(at, c)| c.is_ascii_lowercase() || c == '_' || at > 0 && c.is_ascii_digit());
    if plain && !name.is_empty() { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_no_plain_name_is_quoted() {
        let names =
            [("public", "public"), ("Shop", "\"Shop\""), ("a\"b", "\"a\"\"b\""), ("1a", "\"1a\""), ("", "\"\"")];
        for (name, expected) in names {
            assert_eq!(quoted(name), expected);
        }
    }
}
