//! Projections: named folds of the log into read models, and the workers that run them.

mod ahead;
mod batch;
mod beating;
mod catch_up;
mod chunk;
mod connections;
mod distribution;
mod error;
mod gaps;
mod heart;
mod heartbeats;
mod join;
mod late;
mod listing;
mod options;
mod own_tables;
mod pace;
pub mod parked;
mod peer;
mod phase;
mod pool;
mod process;
mod progress;
mod replica;
mod report;
mod rows;
mod run;
mod shared;
mod source;
mod sourced;
mod spans;
mod step;
mod timed;
mod traced;
mod trouble;
mod unreadable;
mod wait_until;
mod wake;
mod worker;
mod written;

pub use batch::Batch;
pub(crate) use catch_up::catch_up;
pub use chunk::CHUNK;
pub use distribution::Buckets;
pub use error::{Fatal, RunError, WorkerError};
pub use listing::ProcessWorker;
pub use options::{GRACE, LinkTo, RunOptions, WorkerOptions};
pub(crate) use own_tables::own_mark;
#[doc(hidden)]
pub use own_tables::{TablesBefore, mark_tables, owner_in_comment, table_owner};
pub use phase::Phase;
pub use pool::{MAX_WORKERS, Pool, PoolError, PoolWorker};
pub use process::Process;
pub use progress::{Counted, Progress};
pub use replica::{Replica, run_replica};
pub use report::Report;
pub use run::run;
pub use sourced::Sourced;
pub use step::{Applied, Step};
pub use traced::MAX_LINKS;
pub use trouble::Trouble;
pub use wait_until::{Target, WaitError, wait_until, wait_until_of};
pub use worker::Worker;
#[doc(hidden)]
pub use written::RowsWritten;

use crate::checkpoint::CheckpointMove;
use crate::log::{Interest, Source};
use crate::number::Revision;
use sqlx::PgConnection;
use std::future::Future;

/// What has become of a batch that was to be applied [at once](Projection::apply_at_once).
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    /// Nothing: an event is to be parked, which takes a transaction of several statements.
    NotPossible,
    /// Nothing: the checkpoint does not have the revision any more.
    Outrun,
    /// It is committed, and this is the checkpoint's new revision.
    Committed(Revision),
}

/// Whatever a projection can fail with. The batch is rolled back and tried again, unless it is [`Fatal`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A named fold of the log into a read model in the same database.
///
/// What a writer of one may rely on:
///
/// - Each event that it is [interested](Projection::interest) in is applied exactly once: what `apply` writes through
///   `conn` and the note that the events are applied are one transaction. Do not end that transaction. What `apply`
///   does elsewhere (a mail, another database) happens at least once.
/// - Events of one aggregate come in the order of their versions, within a batch and across batches. Events of
///   different aggregates come in no order that means anything.
/// - Events of one aggregate always come to the same partition, and no two workers commit for one partition at a time.
/// - `apply` is called again with the same events after a failure, and then possibly in other batches. State that it
///   keeps in memory is a cache of what is in the database: [`forget`](Projection::forget) drops it.
pub trait Projection: Send + 'static {
    /// Its name, under which its checkpoints are kept.
    fn name(&self) -> &str;

    /// Which events it wants. It must not change between runs: workers with another one are refused.
    fn interest(&self) -> Interest {
        Interest::everything()
    }

    /// What else decides the read model, in a few words. It must not change between runs either.
    fn settings(&self) -> String {
        String::new()
    }

    /// The log that it folds, where others write it: evenfold's own if there is none. It must not change between runs.
    #[doc(hidden)]
    fn source(&self) -> Option<&Source> {
        None
    }

    /// Creates what the read model is kept in, if that is not there: tables and indexes. Called once in the life of a
    /// projection, by the worker that begins it, in the transaction in which it does, and again in another schema for
    /// whatever folds the log a second time next to it; what it creates is found by the connection's `search_path`, as
    /// in [`apply`](Self::apply), so neither names a schema. The tables get a line in their comments that says whose
    /// they are.
    ///
    /// # Errors
    ///
    /// The database's, or its own. The projection is not begun then, and the worker tries again; or it ends, where the
    /// error is [`Fatal`].
    fn create(&mut self, _conn: &mut PgConnection) -> impl Future<Output = Result<(), BoxError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Applies a batch to the read model, through a connection that is inside the worker's transaction, which may have
    /// several batches: [`Batch::is_last`].
    ///
    /// An event that can never be applied is [refused](Batch::fold), which parks its aggregate; everything else goes
    /// on. An error is not the event's fault: the batch is rolled back and tried again, for ever. Between two
    /// statements no more than 30 seconds may pass, or PostgreSQL ends the transaction.
    ///
    /// # Errors
    ///
    /// The database's, or its own. The worker ends where the error is [`Fatal`].
    fn apply(
        &mut self,
        conn: &mut PgConnection,
        batch: &mut Batch<'_>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Whether a batch of so many events may be [applied at once](Self::apply_at_once) now.
    #[doc(hidden)]
    fn may_apply_at_once(&self, _events: usize) -> bool {
        false
    }

    /// Applies a batch together with the checkpoint after it, in one statement and outside of a transaction. Whatever
    /// it reads before that is as good as what it would read in the transaction: if anybody else writes meanwhile, the
    /// checkpoint has another revision, and nothing is written.
    ///
    /// # Errors
    ///
    /// As those of [`apply`](Self::apply). The batch may have been committed or not.
    #[doc(hidden)]
    fn apply_at_once(
        &mut self,
        _conn: &mut PgConnection,
        _batch: &mut Batch<'_>,
        _to: CheckpointMove<'_>,
    ) -> impl Future<Output = Result<AtOnce, BoxError>> + Send {
        std::future::ready(Ok(AtOnce::NotPossible))
    }

    /// Whether it reads events in SQL, by [`Batch::make_view`]: while it is far behind it is then given large batches
    /// of which no event leaves the server ([`Batch::is_only_in_view`]).
    fn reads_views(&self) -> bool {
        false
    }

    /// Whether it calls [`Batch::make_view`] at all. Of a log that others write the events are then read with their
    /// envelopes, since the view has them; without that, `make_view` fails there.
    fn makes_views(&self) -> bool {
        self.reads_views()
    }

    /// What was applied since the last call of this or of [`forget`](Self::forget) is committed, and visible to others.
    /// A worker that is killed right after its commit never calls it.
    fn committed(&mut self) {}

    /// Drops whatever is kept in memory: a transaction was rolled back, or another worker has written.
    fn forget(&mut self) {}
}

/// What is read for a projection: see [`Projection::makes_views`].
pub(crate) fn interest_of<P: Projection>(projection: &P) -> Interest {
    let interest = projection.interest();
    if projection.source().is_some() && projection.makes_views() { interest.with_envelope() } else { interest }
}

/// What must stay the same for all workers of a projection, in words.
pub(crate) fn definition<P: Projection>(projection: &P) -> String {
    let mut definition = projection.interest().to_string();
    if let Some(source) = projection.source() {
        definition = format!("{definition}; log: {source}");
    }
    match projection.settings() {
        settings if settings.is_empty() => definition,
        settings => format!("{definition}; {settings}"),
    }
}
