//! The schema that everything of evenfold's is in.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The schema's name unless another one is chosen. Every statement of the source is written with it.
const DEFAULT: &str = "evenfold";

/// The most bytes of a name. PostgreSQL has 63, of which channels take the name and this.
const MAX_BYTES: usize = 63 - CHANNEL.len();

/// What comes after the schema's name in the channel on which appends notify.
const CHANNEL: &str = "_events";

/// In which schema of a database everything of evenfold's is: its tables, their functions and triggers, and the table
/// of its migrations. Several logs in one database have a schema each, and know nothing of each other.
///
/// Statements name the schema, so that no `search_path` leads them to tables of an application that has the same names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Schema(Option<Arc<Names>>);

/// Of a schema that is not the default.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Names {
    name: String,
    /// As SQL has it: a name such as `user` needs its quotes.
    quoted: String,
}

/// A name that is not one of a schema for evenfold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a schema for evenfold must have a name of 1 to {MAX_BYTES} of the characters a to z, 0 to 9 and _, not beginning with a \
     digit or pg_, and not be public or information_schema, which are everybody's; {0:?} is not such a name"
)]
pub struct InvalidSchema(String);

impl Schema {
    /// The schema of this name, which may be there or not.
    ///
    /// # Errors
    ///
    /// [`InvalidSchema`]: the name must have 1 to 56 of the characters `a` to `z`, `0` to `9` and `_`, not begin with a
    /// digit or `pg_`, and not be `public` or `information_schema`. `public` belongs to everybody: nobody could
    /// distinguish evenfold's tables from those of an application, and it could not be removed with what is in it.
    pub fn named(name: &str) -> Result<Self, InvalidSchema> {
        let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        let reserved = name.starts_with("pg_") || ["public", "information_schema"].contains(&name);
        if !letters || !begins || reserved || name.len() > MAX_BYTES {
            return Err(InvalidSchema(name.to_owned()));
        }
        if name == DEFAULT {
            return Ok(Self::default());
        }
        Ok(Self(Some(Arc::new(Names { name: name.to_owned(), quoted: format!("\"{name}\"") }))))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or(DEFAULT, |names| &names.name)
    }

    /// Its name in front of a relation, in a statement.
    fn quoted(&self) -> &str {
        self.0.as_ref().map_or(DEFAULT, |names| &names.quoted)
    }

    /// The channel on which an append notifies, by NOTIFY and when it commits, that there is something to read:
    /// `evenfold_events` for the schema `evenfold`. Once in 50 ms where a process appends often, so whoever is woken
    /// must go on looking for a while, and must look by itself now and then.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("{}{CHANNEL}", self.name())
    }

    /// A statement that is written for the schema `evenfold`, for this one: every relation and function in it is named
    /// `evenfold.…`, and the channel `evenfold_events`. For the default schema it is the text as it is.
    #[must_use]
    pub fn sql(&self, statement: impl Into<Cow<'static, str>>) -> SqlStr {
        // Put together from our own text, and a name that was checked.
        AssertSqlSafe(self.text(statement)).into_sql_str()
    }

    /// The same, as a text: for statements that are put together, and for advice in messages.
    pub(crate) fn text(&self, statement: impl Into<Cow<'static, str>>) -> Cow<'static, str> {
        let statement = statement.into();
        if self.0.is_none() {
            return statement;
        }
        let own = statement.replace("evenfold.", &format!("{}.", self.quoted()));
        Cow::Owned(own.replace("evenfold_events", &self.channel()))
    }

    /// What to add to a command of evenfold's, so that it is about this schema.
    pub(crate) fn flag(&self) -> String {
        if self.0.is_none() { String::new() } else { format!(" --schema {}", self.name()) }
    }
}

/// As SQL has it: in front of a relation, in a statement that somebody is advised to run.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.quoted())
    }
}

impl FromStr for Schema {
    type Err = InvalidSchema;

    fn from_str(name: &str) -> Result<Self, InvalidSchema> {
        Self::named(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = "SELECT pg_notify('evenfold_events', ''), 'evenfold.events'::regclass FROM evenfold.events";

    #[test]
    fn a_statement_is_the_same_text_in_the_default_schema_and_names_another_one_in_its_place() {
        assert!(matches!(Schema::default().text(STATEMENT), Cow::Borrowed(text) if std::ptr::eq(text, STATEMENT)));
        assert_eq!(Schema::named("evenfold"), Ok(Schema::default()));
        let expected = r#"SELECT pg_notify('order_events', ''), '"order".events'::regclass FROM "order".events"#;
        assert_eq!(Schema::named("order").map(|schema| schema.text(STATEMENT).into_owned()), Ok(expected.to_owned()));
    }

    #[test]
    fn a_name_that_is_not_one_is_refused() {
        let long = "a".repeat(MAX_BYTES + 1);
        for name in
            ["", "Orders", "a-b", "a.b", "a\"b", "a b", "1a", "ä", "pg_x", "public", "information_schema", &long]
        {
            assert_eq!(Schema::named(name), Err(InvalidSchema(name.to_owned())), "{name}");
        }
        for name in ["_", "a1", "order", "evenfold_2", &"a".repeat(MAX_BYTES)] {
            assert_eq!(Schema::named(name).map(|schema| schema.name().to_owned()), Ok(name.to_owned()));
        }
    }
}
