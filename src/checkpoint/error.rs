//! Why a worker can't work on a projection.

use super::wanted::log_in;
use crate::class::{Class, ClassError};
use crate::database::describe_any;
use sqlx::error::BoxDynError;

/// Why a worker can't work on a projection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The projection was begun with other settings.
    #[error(
        "the projection {projection} is defined by ({}), and ({}) was given: {}",
        around(stored, given),
        around(given, stored),
        other_way(projection, stored, given)
    )]
    OtherDefinition {
        /// Its name.
        projection: String,
        /// What it was begun with.
        stored: String,
        /// What was given.
        given: String,
    },
    /// Rows were removed from the checkpoints, or added to them, by hand: what a partition has applied can't be known.
    #[error(
        "the checkpoints of the projection {projection} do not stand for all of partition {partition}: rows were removed \
         or added by hand, and its events can't be applied; run `evenfold rebuild{}`, which restores them",
        option(projection)
    )]
    Incomplete {
        /// The projection.
        projection: String,
        /// The partition.
        partition: Class,
    },
    /// What the projection keeps its read model in could not be created.
    #[error("the tables of the projection {projection} can't be created: {}; nothing was begun", reason(.error))]
    Create {
        /// The projection.
        projection: String,
        /// Why not.
        error: BoxDynError,
    },
    /// Something must be changed in the projection itself before it can be begun.
    #[error("the projection {projection} can't be begun: {reason}")]
    Unfit {
        /// The projection.
        projection: String,
        /// What must be changed.
        reason: String,
    },
    /// The step between the two numbers of partitions is too fine.
    #[error(transparent)]
    TooFine(#[from] ClassError),
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// What a projection's code has failed with. A table that is there already has rows, of an earlier life or of something
/// else, on top of which the log would be folded once more.
fn reason(error: &BoxDynError) -> String {
    let database = error.downcast_ref::<sqlx::Error>();
    let code = database.and_then(sqlx::Error::as_database_error).and_then(sqlx::error::DatabaseError::code);
    // duplicate_table
    if code.as_deref() == Some("42P07") {
        return format!("{}: drop it, or create one of another name", describe_any(error.as_ref()));
    }
    describe_any(error.as_ref())
}

/// The projection that is built in can be folded anew in its place.
pub(crate) const BUILT_IN: &str = "counters";

/// What names the projection to a command, whose default is the one that is built in.
fn option(projection: &str) -> String {
    if projection == BUILT_IN { String::new() } else { format!(" --projection {projection}") }
}

/// What to do about another definition.
fn other_way(projection: &str, stored: &str, given: &str) -> String {
    if log_in(stored) != log_in(given) {
        let way = if projection == BUILT_IN { "it" } else { "the projection another name and other tables, or" };
        return format!(
            "a read model is of one log; to fold the other one as well, give {way} a schema of its own (--schema)"
        );
    }
    if projection == BUILT_IN {
        return format!(
            "give the same settings, or fold the log anew under the new ones, with `evenfold rebuild --new-definition` \
             while the present {projection} stay in use, or with `evenfold repair --start-over {projection}`, which \
             empties them"
        );
    }
    format!(
        "give the same, or fold the log anew under the new one, while what there is stays in use, with `evenfold rebuild \
         --projection {projection}` (and --new-definition, unless it is a file of SQL)"
    )
}

/// The longest definition that is shown whole, in characters.
const SHOWN: usize = 200;

/// What a definition has around its first difference to another one, if it is long: that of a projection can be a file.
fn around(definition: &str, other: &str) -> String {
    if definition.chars().count() <= SHOWN {
        return definition.to_owned();
    }
    let same = definition.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(SHOWN / 4);
    let shown: String = definition.chars().skip(from).take(SHOWN).collect();
    format!("{}{shown}{}", if from > 0 { "… " } else { "" }, if shown.chars().count() < SHOWN { "" } else { " …" })
}

impl RegisterError {
    /// Whether trying again is of no use, because something must be changed in the process that registers.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::OtherDefinition { .. } | Self::Unfit { .. } | Self::TooFine(_))
    }

    pub(super) fn other(projection: &str, stored: String, given: &str) -> Self {
        Self::OtherDefinition { projection: projection.to_owned(), stored, given: given.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_definitions_the_difference_is_shown_and_short_ones_are_shown_whole() {
        let long = |word: &str| format!("{} {word} {}", "a".repeat(900), "b".repeat(900));
        let sentence = |stored: String, given: &str| RegisterError::other("p", stored, given).to_string();
        let shown = sentence(long("this"), &long("that"));
        assert!(shown.contains("aa this bb") && shown.contains("aa that bb") && shown.chars().count() < 900, "{shown}");
        let shown = sentence("all".to_owned(), "some");
        assert!(shown.contains("is defined by (all), and (some) was given"), "{shown}");
    }
}
