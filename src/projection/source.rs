//! The log that a worker folds, and the connection to it where it is not evenfold's own.

use super::WorkerError;
use super::rows::Rows;
use crate::checkpoint;
use crate::database::{Database, Schema, identity};
use crate::log::foreign::{Foreign, Holes, Taken};
use crate::log::{self, EventBuffer, Fence, Interest, Layout, Polled, Shown, Slice, Source, SourceError};
use crate::number::Position;
use sqlx::PgConnection;
use std::time::{Duration, Instant};

/// How often it is logged that the log can't be read to its end, while it is up to the same position.
const REPORT_CUT_EVERY: Duration = Duration::from_mins(1);

/// How long a worker waits that can't go on until others end their transactions.
const CUT_PAUSE: Duration = Duration::from_millis(50);

/// The log of one worker.
pub(super) struct WorkerLog {
    layout: Layout,
    source: Option<Source>,
    /// While the worker holds its partition.
    conn: Option<PgConnection>,
    /// Where rows are read from a standby.
    rows: Option<Rows>,
    holes: Holes,
    /// Up to where it was last logged that it can be read, and when.
    cut: Option<(Position, Instant)>,
}

/// Looks who may still write what is missing, where that was not just done.
async fn prune(holes: &mut Holes, foreign: &Foreign, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    if holes.wants_holders(Instant::now()) {
        holes.saw_holders(&foreign.holders(conn).await?, Instant::now());
    }
    Ok(())
}

/// The system identifier of a cluster, which stays the same on another timeline.
fn system(cluster: &str) -> &str {
    cluster.split_once('/').map_or(cluster, |(system, _)| system)
}

/// The fence without the positions that are known to be nobody's.
fn known(holes: &mut Holes, fence: Fence) -> Fence {
    match fence.shown {
        Shown::Positions { ref missing } => Fence::of_positions(fence.floor, holes.looked(missing, Instant::now())),
        Shown::Transactions { .. } | Shown::Snapshot(_) => fence,
    }
}

impl WorkerLog {
    /// evenfold's own, which is read on the worker's connection.
    pub(super) fn own(schema: &Schema) -> Self {
        Self { layout: schema.into(), source: None, conn: None, rows: None, holes: Holes::default(), cut: None }
    }

    /// One that others write.
    pub(super) fn of(source: &Source) -> Self {
        Self {
            layout: source.layout().clone(),
            source: Some(source.clone()),
            conn: None,
            rows: None,
            holes: Holes::default(),
            cut: None,
        }
    }

    /// The same in this schema, if it is evenfold's own, and with connections of this name if it is not.
    pub(super) fn in_schema(self, schema: &Schema, application_name: &str) -> Self {
        match self.source {
            Some(source) => Self::of(&source.named(application_name)),
            None => Self::own(schema),
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where it is and how it is read, if others write it.
    pub(super) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// The database that its rows are read from, if that is not the read model's.
    pub(super) fn database(&self) -> Option<&Database> {
        self.source.as_ref().map(Source::rows_database)
    }

    /// Connects anew, where it has a connection of its own, and forgets what was known.
    pub(super) async fn connect(&mut self) -> Result<(), SourceError> {
        (self.conn, self.rows) = (None, None);
        self.holes.forget();
        if let Some(source) = &self.source {
            let conn = self.conn.insert(source.connect().await?);
            self.rows = source.connect_rows(conn).await?.map(Rows::of);
        }
        Ok(())
    }

    /// From here on, what checkpoints show that were read before the call must be readable.
    pub(super) async fn need_all_shown(&mut self) -> Result<(), SourceError> {
        match (&mut self.rows, &mut self.conn) {
            (Some(rows), Some(primary)) => Ok(rows.need_all_of(primary).await?),
            _ => Ok(()),
        }
    }

    /// Whether what is needed can be read yet: not while a standby has not replayed it.
    pub(super) async fn can_be_read(&mut self) -> Result<bool, SourceError> {
        match &mut self.rows {
            Some(rows) => Ok(rows.are_replayed().await?),
            None => Ok(true),
        }
    }

    /// The connection to read its rows on, which is the worker's where it has none of its own.
    pub(super) fn conn<'c>(&'c mut self, workers: &'c mut PgConnection) -> &'c mut PgConnection {
        self.rows.as_mut().map(Rows::conn).or(self.conn.as_mut()).unwrap_or(workers)
    }

    /// Takes a fence, for whoever has seen the events of another one.
    ///
    /// Gives whether it shows all that is visible: a worker whose fence does not has not caught up.
    pub(super) async fn fence(
        &mut self,
        workers: &mut PgConnection,
        seen: &Fence,
    ) -> Result<(Fence, bool), WorkerError> {
        if let Some(replayed) = self.rows.as_mut().and_then(Rows::replayed) {
            return Ok(replayed);
        }
        let Self { layout, conn, .. } = self;
        let conn = conn.as_mut().unwrap_or(workers);
        let foreign = match &*layout {
            Layout::Own(schema) => return Ok((Fence::take(schema, conn).await?, true)),
            Layout::Foreign(foreign) => foreign,
        };
        // Also here: where a fence can't name all that is missing there is no look before the next fence.
        prune(&mut self.holes, foreign, conn).await?;
        let (fence, whole) = match foreign.fence(&mut *conn, seen).await? {
            Taken::Whole(fence) => (fence, true),
            Taken::Cut(fence) => {
                if self.cut.is_none_or(|(floor, at)| floor != fence.floor || at.elapsed() >= REPORT_CUT_EVERY) {
                    self.cut = Some((fence.floor, Instant::now()));
                    let processes = foreign.holding_processes(&mut *conn).await?;
                    tracing::warn!(
                        log = foreign.table(), position = %fence.floor, ?processes,
                        "more than 10,000 positions are missing: the log is read up to this position, until these \
                         processes end their transactions (or prepared ones are ended)"
                    );
                }
                (fence, false)
            }
            Taken::Behind(top) => {
                let table = foreign.table().to_owned();
                return Err(SourceError::Behind { table, top, applied: seen.floor }.into());
            }
        };
        let fence = known(&mut self.holes, fence);
        if !whole && fence == *seen {
            tokio::time::sleep(CUT_PAUSE).await;
        }
        if let Some(rows) = &mut self.rows {
            return Ok(rows.wait_for(conn, seen, (fence, whole)).await.map_err(SourceError::from)?);
        }
        Ok((fence, whole))
    }

    /// Checks that the log is on the server whose events were applied, or notes which one it is. A read model in the
    /// same cluster goes with its log wherever that goes; but not to another cluster, where transactions have other
    /// numbers.
    pub(super) async fn check_server(
        &mut self,
        schema: &Schema,
        workers: &mut PgConnection,
        projection: &str,
    ) -> Result<(), WorkerError> {
        let (Some(conn), Layout::Foreign(foreign)) = (&mut self.conn, &self.layout) else { return Ok(()) };
        let (there, here) = (identity(conn).await?.cluster(), identity(&mut *workers).await?.cluster());
        if there == here && foreign.xid().is_none() {
            return Ok(());
        }
        let was = checkpoint::log_server(schema, workers, projection, &there).await?;
        if was == there || there == here && system(&was) == system(&there) {
            return Ok(());
        }
        Err(SourceError::OtherServer { table: foreign.table().to_owned(), was, is: there }.into())
    }

    /// Looks what is new to a fence, in one statement. None where a fence must be taken first.
    pub(super) async fn poll(
        &mut self,
        workers: &mut PgConnection,
        (seen, floor): (&Fence, Position),
        slice: &Slice,
        interest: &Interest,
        limit: usize,
        into: &mut EventBuffer,
    ) -> Result<Option<Polled>, WorkerError> {
        let Self { layout, conn, holes, .. } = self;
        let conn = conn.as_mut().unwrap_or(workers);
        let foreign = match &*layout {
            Layout::Own(schema) => {
                return Ok(Some(log::poll(schema, conn, (seen, floor), slice, interest, limit, into).await?));
            }
            Layout::Foreign(foreign) => foreign,
        };
        prune(holes, foreign, conn).await?;
        let again = holes.to_see_again(Instant::now());
        if self.rows.is_some() {
            // Rows are not read where the fence is taken: positions are looked at, and a fence is taken.
            let risen = if again.is_empty() { Vec::new() } else { foreign.seen_among(conn, &again).await? };
            return match risen.first() {
                Some(&position) => Err(WorkerError::Risen { table: foreign.table().to_owned(), position }),
                None => Ok(None),
            };
        }
        let found = log::look(layout, conn, (seen, &again), slice, interest, limit, into).await?;
        if let Some(&position) = found.risen.first() {
            return Err(WorkerError::Risen { table: foreign.table().to_owned(), position });
        }
        let Some(fence) = found.fence else { return Ok(None) };
        let fence = known(holes, fence);
        Ok(Some(Polled { last_position: fence.floor, fence, complete: found.complete }))
    }
}
