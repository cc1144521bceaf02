//! Waiting until a projection has applied given events: reading one's own writes.

mod error;
mod target;

pub use error::WaitError;
pub use target::Target;

use crate::checkpoint::{self, Delivery, Events};
use crate::database::Schema;
use crate::log::OpenSource;
use sqlx::PgConnection;
use std::time::Duration;
use tokio::time::Instant;

/// The pauses between two looks: the first, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long after the deadline the database may take to answer the last look, and how far everything is.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Waits until a projection has applied events: what an append has returned, an aggregate up to a version, or
/// everything that is in the log now. Whoever reads the read model afterwards reads what these events have made of it.
///
/// ```no_run
/// # use evenfold::{NewEvent, Schema, append, wait_until};
/// # async fn f(conn: &mut sqlx::PgConnection, event: NewEvent) -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// let appended = append(conn, &[event]).await?;
/// wait_until(&Schema::default(), conn, "revenue", &appended, Duration::from_secs(2)).await?;
/// // What is selected from the read model of `revenue` now contains the event.
/// # Ok(()) }
/// ```
///
/// Whether an event is applied is decided in the database, by the checkpoint of its class, and so also while the number
/// of partitions changes. One statement looks at it by primary keys, after pauses that grow from 5 to 100 ms; until the
/// first look after the timeout, also where that is zero. Workers commit the read model with the checkpoint, so an
/// event that is applied is in the read model.
///
/// An event that the projection is not [interested](super::Projection::interest) in, by the definition that it was
/// begun with, is none that it has to apply: there is nothing to wait for. With [`Target::Everything`] events that an
/// operator has dropped are not waited for either.
///
/// # Errors
///
/// [`WaitError`]. What will not come by waiting ends the wait at once: an event that is parked or dropped, one that
/// nobody can see, checkpoints that were damaged. A projection that is not begun is waited for, until the timeout.
///
/// # Cancel safety
///
/// Reads only. The connection of a dropped wait may be in the middle of an answer, which sqlx reads before its next
/// statement.
pub async fn wait_until(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    target: impl Into<Target>,
    timeout: Duration,
) -> Result<(), WaitError> {
    wait_until_of(schema, conn, None, projection, target, timeout).await
}

/// [`wait_until`], for a projection of a log that others write. Positions are those of that log; versions begin at 1
/// also where those of the log begin at 0. An aggregate is looked for in all of the log, unless it has an index on the
/// mapping's expressions.
///
/// # Errors
///
/// Those of [`wait_until`].
///
/// # Cancel safety
///
/// That of [`wait_until`].
#[doc(hidden)]
pub async fn wait_until_of(
    schema: &Schema,
    conn: &mut PgConnection,
    log: Option<&mut OpenSource>,
    projection: &str,
    target: impl Into<Target>,
    timeout: Duration,
) -> Result<(), WaitError> {
    let waiting = wait(schema, conn, log, projection, target.into(), timeout);
    let silent = timeout.saturating_add(LAST_LOOK);
    tokio::time::timeout(silent, waiting).await.unwrap_or(Err(WaitError::Unanswered { waited: silent }))
}

async fn wait(
    schema: &Schema,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    projection: &str,
    target: Target,
    timeout: Duration,
) -> Result<(), WaitError> {
    let (started, mut pause, mut known) = (Instant::now(), FIRST_PAUSE, None);
    let events = events(schema, conn, log.as_deref_mut(), target).await?;
    loop {
        let last = started.elapsed() >= timeout;
        match checkpoint::look(schema, conn, log.as_deref_mut(), (projection, &events), &mut known).await? {
            Delivery::Applied => return Ok(()),
            Delivery::Pending(classes) if last => {
                let backlog = checkpoint::backlog(schema, conn, log, projection, &classes).await?;
                return Err(WaitError::TimedOut { projection: projection.to_owned(), waited: timeout, backlog });
            }
            Delivery::NotBegun if last => return Err(WaitError::NotBegun { projection: projection.to_owned() }),
            Delivery::Pending(_) | Delivery::NotBegun => {}
            Delivery::NotVisible(position) => return Err(WaitError::NotVisible { position }),
            Delivery::Uncovered => return Err(WaitError::Uncovered { projection: projection.to_owned() }),
            Delivery::Dropped(position) => {
                return Err(WaitError::Dropped { projection: projection.to_owned(), position });
            }
            Delivery::Parked { position, aggregate, reason } => {
                return Err(WaitError::Parked { projection: projection.to_owned(), position, aggregate, reason });
            }
        }
        tokio::time::sleep(pause.min(timeout.saturating_sub(started.elapsed()))).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// The events that are waited for, as they are when the wait begins.
async fn events(
    schema: &Schema,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    target: Target,
) -> Result<Events, WaitError> {
    let now = checkpoint::now(schema, conn, log.as_deref_mut()).await?;
    if now.in_transaction {
        return Err(WaitError::InTransaction);
    }
    match target {
        Target::Positions(positions) => Ok(Events::At(positions)),
        Target::Everything => Ok(now.visible),
        Target::Aggregate { aggregate, version } => {
            // Versions are applied in their order, so that of an aggregate's events the last one is enough.
            match checkpoint::position_of(schema, conn, log, &aggregate, version).await? {
                Some(position) => Ok(Events::At(vec![position])),
                None => Err(WaitError::NoSuchVersion { aggregate, version }),
            }
        }
    }
}
