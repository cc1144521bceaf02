//! What a check has found, in sentences.

use std::fmt;

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An event of the sample can't be applied: its aggregate would be parked from there on.
    Parked(Parked),
    /// Two ways of folding the same events have made different tables.
    Differs {
        /// The two ways.
        way: Way,
        /// Where.
        tables: Vec<Difference>,
    },
    /// What can be folded as one batch fails in another way of folding it.
    Fails {
        /// Which.
        way: Way,
        /// With what.
        reason: String,
    },
    /// A table can't be made where a worker would make it.
    Taken(String),
}

/// A way of folding the sample, other than as one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As one batch, once more.
    Again,
    /// In many small batches.
    Batches,
    /// One partition after the other.
    Partitions,
}

/// An event that can't be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Its place in the sample's log.
    pub position: i64,
    /// Its place in its aggregate.
    pub version: i64,
    /// Whose it is.
    pub aggregate: evenfold::Aggregate,
    /// What happened.
    pub event_type: String,
    /// Why it can't be applied.
    pub reason: String,
}

/// The rows in which a table is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// How many rows only the fold in one batch has.
    pub first: i64,
    /// How many rows only the other one has.
    pub second: i64,
    /// Some of them, as JSON.
    pub shown_first: Vec<String>,
    /// Some of these, as JSON.
    pub shown_second: Vec<String>,
}

/// A row is shown up to so many characters.
const SHOWN: usize = 160;

pub(crate) fn row(row: &str) -> String {
    match row.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &row[..at]),
        None => row.to_owned(),
    }
}

impl Finding {
    /// The rows that show it, as JSON, each with what it is.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        let Self::Differs { way, tables } = self else { return Vec::new() };
        let (one, other) = match way {
            Way::Again => ("the first time", "the second time"),
            Way::Batches => ("in one batch", "in small batches"),
            Way::Partitions => ("in one batch", "in partitions"),
        };
        let mut all = Vec::new();
        for Difference { table, shown_first, shown_second, .. } in tables {
            all.extend(shown_first.iter().map(|shown| format!("{table} {one}: {}", row(shown))));
            all.extend(shown_second.iter().map(|shown| format!("{table} {other}: {}", row(shown))));
        }
        all
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parked(parked) => {
                write!(f, "{parked}: it would be parked, with what comes after it in its aggregate")
            }
            Self::Taken(sentence) => f.write_str(sentence),
            Self::Differs { way, tables } => {
                let counts: Vec<String> =
                    tables.iter().map(|one| format!("{} in {}", one.first + one.second, one.table)).collect();
                let (counts, names) = (counts.join(", "), tables.iter().map(|one| one.table.as_str()));
                match way {
                    Way::Again => write!(
                        f,
                        "{} differs each time it is folded ({counts}): is there a now(), random() or gen_random_uuid() in \
                         it? batch.recorded_at does not change",
                        names.collect::<Vec<_>>().join(", ")
                    ),
                    Way::Batches => write!(
                        f,
                        "one batch and many small ones give different rows ({counts}): what the SQL does depends on where \
                         a batch ends, which can be anywhere; let it add to what is there"
                    ),
                    Way::Partitions => write!(
                        f,
                        "partitions in turn give different rows than one ({counts}): the SQL depends on the order of \
                         events of different aggregates, and there is none"
                    ),
                }
            }
            Self::Fails { way, reason } => {
                let way = match way {
                    Way::Again => "the second time",
                    Way::Batches => "in small batches",
                    Way::Partitions => "in partitions in turn",
                };
                write!(f, "{way} it fails, and in one batch it does not: {reason}")
            }
        }
    }
}

impl fmt::Display for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, aggregate, event_type, reason, .. } = self;
        write!(f, "{aggregate}, version {version} ({event_type}), can't be applied: {reason}")
    }
}
