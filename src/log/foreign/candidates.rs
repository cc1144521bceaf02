//! The tables in a database that a library may have made.

use super::preset::quoted;
use super::{Mapping, PRESETS, Preset};
use sqlx::PgConnection;

const TABLES: &str = include_str!("tables.sql");

/// A table that a library may have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// How it is read by a preset, which has its name.
    pub mapping: Mapping,
    /// The library's own name for such a table, where this one has another and is known by its columns; empty where
    /// each user has others.
    pub renamed_from: Option<&'static str>,
    /// Other presets that the table fits as well.
    pub also: Vec<&'static str>,
}

/// All tables in a database that a library may have made: of its name, or, where users give it names of their own, with
/// all columns that its preset reads. A table that several presets fit comes once for each that reads it in another
/// way.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn candidates(conn: &mut PgConnection) -> Result<Vec<Candidate>, sqlx::Error> {
    let mut found: Vec<Candidate> = Vec::new();
    for preset in &PRESETS {
        let mut all = Vec::new();
        if !preset.table.is_empty() {
            let named = tables(conn, Some(preset.table), &preset.main_columns()).await?;
            all.extend(named.iter().map(|(schema, _)| (preset.mapping(Some(schema)), None)));
        }
        if preset.any_name {
            for (schema, table) in tables(conn, None, &preset.columns()).await? {
                let table = format!("{}.{}", quoted(&schema), quoted(&table));
                if all.iter().all(|(mapping, _): &(Mapping, _)| mapping.table != table) {
                    all.push((Mapping { table, ..preset.mapping(Some(&schema)) }, Some(preset.table)));
                }
            }
        }
        for (mapping, renamed_from) in all {
            add(&mut found, Candidate { mapping, renamed_from, also: Vec::new() });
        }
    }
    Ok(found)
}

/// Tables of a name, or of any, with these columns: their schemas and names.
async fn tables(
    conn: &mut PgConnection,
    name: Option<&str>,
    columns: &[String],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as(TABLES).bind(name).bind(columns).fetch_all(conn).await
}

/// Adds one, unless another preset reads the same table in the same way.
fn add(found: &mut Vec<Candidate>, mut new: Candidate) {
    let mut is_read_so = false;
    for one in found.iter_mut().filter(|one| one.mapping.table == new.mapping.table) {
        is_read_so |= Mapping { name: new.mapping.name.clone(), ..one.mapping.clone() } == new.mapping;
        if let Some(preset) = Preset::named(&new.mapping.name) {
            one.also.push(preset.name);
        }
        new.also.extend(Preset::named(&one.mapping.name).map(|preset| preset.name));
    }
    if !is_read_so {
        found.push(new);
    }
}

impl Preset {
    /// Columns by which a table of its name is known: some of the others are not in every version.
    fn main_columns(&self) -> Vec<String> {
        let mut columns = vec![self.position.to_owned()];
        for expression in [Some(self.event_type), Some(self.payload), self.version].into_iter().flatten() {
            columns.extend(columns_in(expression).into_iter().take(1));
        }
        columns
    }

    /// All columns that it reads.
    fn columns(&self) -> Vec<String> {
        let mapping = self.mapping(None);
        let mut columns = vec![mapping.position];
        let some = [mapping.version, mapping.event_id, mapping.metadata, mapping.recorded_at, mapping.filter];
        let all = [mapping.aggregate_type, mapping.aggregate_id, mapping.event_type, mapping.payload];
        columns.extend(all.iter().chain(some.iter().flatten()).flat_map(|expression| columns_in(expression)));
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// The columns of the table, which is `e`, that an expression names.
fn columns_in(expression: &str) -> Vec<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let named = |(at, _): (usize, &str)| {
        let begins = !expression[..at].ends_with(|c| is_of_name(c) || c == '.');
        let name = expression[at + 2..].split(|c| !is_of_name(c)).next().unwrap_or_default();
        (begins && !name.is_empty()).then(|| name.to_owned())
    };
    expression.match_indices("e.").filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_an_expression_are_found() {
        for (expression, expected) in [
            ("e.kind", &["kind"][..]),
            ("'aggregate'", &[]),
            ("replace(replace(e.a_b, '%', 'e'), '.', e.c) || type.d || s.e.f", &["a_b", "c"]),
            ("to_timestamp(e.at / 1000.0)", &["at"]),
            ("e.metadata->>'_id'", &["metadata"]),
            ("", &[]),
        ] {
            assert_eq!(columns_in(expression), expected, "{expression}");
        }
    }
}
