//! A log that others write, as it is read.

use super::{InvalidMapping, Mapping, Positions};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// A log that others write: its table, and what its columns mean.
#[derive(Debug, Clone)]
pub struct Foreign {
    pub(super) name: String,
    pub(super) table: String,
    pub(super) position: String,
    pub(super) positions: Positions,
    /// The log as a relation with the columns of evenfold's own.
    pub(super) relation: String,
    pub(super) mapping: Mapping,
}

impl Foreign {
    /// What the log is called: a preset's name, or `custom`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its table, as SQL has it.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// How its positions are given.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// A template's text for this log: see [`Layout`](crate::log::Layout).
    fn render(&self, template: &str) -> String {
        template
            .replace("{log}", &format!("({}) AS log", self.relation))
            .replace("{table}", &self.mapping.positioned())
            .replace("{position}", &self.position)
    }
}

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
            mapping: self.clone(),
        })
    }
}

impl Foreign {
    /// A statement on its table.
    pub(in crate::log) fn statement(&self, template: &str) -> SqlStr {
        // Put together from our own text and what whoever runs evenfold has written in its configuration.
        AssertSqlSafe(self.render(template)).into_sql_str()
    }
}
