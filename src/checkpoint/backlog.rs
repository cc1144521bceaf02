//! How far the classes are that have not applied what is waited for, and who is at work on them.

use super::read_status::{by_class, class_status, superseded_workers};
use super::topology::total_partitions;
use super::{ClassStatus, definition_of, lag};
use crate::checkpoint::wanted::interest_of;
use crate::class::Class;
use crate::database::Schema;
use crate::log::OpenSource;
use sqlx::PgConnection;
use std::fmt;

/// More classes than this are only counted: each costs a count of its events.
const SHOWN: usize = 3;

/// What is between a projection and events that it has not applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// The number of partitions of the projection; none before the first worker.
    pub total_partitions: Option<u32>,
    /// Classes that have not applied all of their events, with who is at work on each: three at most.
    pub classes: Vec<ClassStatus>,
    /// How many such classes there are besides.
    pub more: usize,
    /// Workers that wait because another number of partitions has replaced theirs: that number, and how many they are.
    pub waiting: Vec<(i64, i64)>,
}

/// Reads how the classes stand that overlap these, as far as they are behind what the projection wants. Counts up to
/// 100,000 events of each of the first three; beyond, the number is estimated from the positions.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn backlog(
    schema: &Schema,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    projection: &str,
    pending: &[Class],
) -> Result<Backlog, sqlx::Error> {
    let interest = definition_of(schema, conn, projection).await?.as_deref().map(interest_of).unwrap_or_default();
    let total_partitions = total_partitions(schema, conn, projection).await?;
    let waiting = superseded_workers(schema, conn, projection, total_partitions.map(i64::from)).await?;
    let mut rows = by_class(schema, conn, projection, total_partitions.map(i64::from)).await?;
    rows.retain(|(class, _)| pending.iter().any(|other| other.overlaps(*class)));
    let more = rows.len().saturating_sub(SHOWN);
    rows.truncate(SHOWN);
    let mut classes = Vec::with_capacity(rows.len());
    for (class, row) in rows {
        let lag = lag(schema, conn, log.as_deref_mut(), projection, class, &interest).await?;
        classes.push(class_status(&row, class, lag)?);
    }
    Ok(Backlog { total_partitions, classes, more, waiting })
}

/// One clause per class.
impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, class) in self.classes.iter().enumerate() {
            let name = self.name_of(class);
            let events = if class.behind == 1 { "event" } else { "events" };
            let behind = format!("{name}, which is {} {events} behind", class.behind);
            write!(f, "{}", if n == 0 { "" } else { "; " })?;
            match (&class.idle, &class.owner, &class.state) {
                (None, Some(process), Some(state)) => write!(f, "{process} is at work on {behind} ({state})")?,
                (idle, ..) => {
                    write!(f, "no worker is at work on {behind} ({})", idle.as_deref().unwrap_or("no heartbeat"))?;
                }
            }
        }
        if self.more > 0 {
            write!(f, "; and {} more are behind", self.more)?;
        }
        for (total, workers) in &self.waiting {
            let current = self.total_partitions.map_or_else(String::new, |current| format!(" by {current}"));
            write!(f, "; {workers} workers of {total} partitions wait, since that number was superseded{current}")?;
        }
        Ok(())
    }
}

impl Backlog {
    /// A class of another modulus than the number of partitions is left from a change of that number.
    fn name_of(&self, class: &ClassStatus) -> String {
        match class.class.split_once('/') {
            Some((key, total)) if Some(total) == self.total_partitions.map(|total| total.to_string()).as_deref() => {
                format!("partition {key} of {total}")
            }
            _ => format!("class {}", class.class),
        }
    }
}
