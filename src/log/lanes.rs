//! The task of an appender: takes what waits, appends it together, and answers each caller.
//!
//! There are two lanes, each with a connection: while the database works on one group, the other is made and answered.

use super::group::{Request, TIMEOUT};
use super::queue::{Busy, Queue};
use super::sizes::Sizes;
use super::{Epoch, MAX_APPEND_EVENTS};
use crate::database::{Database, back_off};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// How long a group may wait for a lock, which is another writer's open transaction. A group is halved at most 14 times
/// before it is known whose events must wait, so this is a part of what all others wait.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// Where connections come from.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) database: Database,
    /// None where it does not matter what was read from the server before.
    pub(super) epoch: Option<Epoch>,
}

impl Connector {
    async fn connect(&self) -> Result<PgConnection, String> {
        match &self.epoch {
            Some(epoch) => epoch.connect(&self.database).await,
            None => self.database.connect().await.map_err(|error| error.to_string()),
        }
    }
}

/// What the lanes have in common.
#[derive(Debug)]
pub(super) struct Task {
    connector: Connector,
    /// Whoever waits for calls holds it.
    queue: Mutex<Queue>,
    busy: Busy,
    closing: CancellationToken,
    sizes: Arc<Sizes>,
}

impl Task {
    pub(super) fn new(
        connector: Connector,
        waiting: mpsc::Receiver<Request>,
        max_events: usize,
        closing: CancellationToken,
        sizes: Arc<Sizes>,
    ) -> Self {
        let connector = Connector { database: connector.database.waiting_at_most(LOCK_TIMEOUT), ..connector };
        let queue = Queue::new(waiting, max_events.clamp(1, MAX_APPEND_EVENTS), closing.clone());
        Self { connector, queue: Mutex::new(queue), busy: Busy::default(), closing, sizes }
    }

    /// Until the last appender is dropped or one is closed, and everything that was called for is answered.
    pub(super) async fn run(self) {
        // With a third one 8 writers append a few percent more.
        tokio::join!(self.lane(), self.lane());
    }

    async fn lane(&self) {
        let mut kept = None;
        // How often in a row there was no connection, or it was lost.
        let mut failures = 0;
        loop {
            let mut queue = self.queue.lock().await;
            if !queue.any().await {
                break;
            }
            // Before the group is made: what comes in while there is no connection is part of it.
            let conn = match kept.take() {
                Some(conn) => Ok(conn),
                None => self.connect(&mut failures).await,
            };
            let Some(mut group) = queue.take(&self.busy).await else { break };
            drop(queue);
            let outcome = match conn {
                Ok(mut conn) => {
                    group.append(self.connector.database.schema(), &mut conn, &self.sizes).await.map(|()| conn)
                }
                Err(why) => Err(why),
            };
            match outcome {
                Ok(conn) => {
                    kept = Some(conn);
                    failures = 0;
                }
                Err(why) => {
                    failures += 1;
                    tracing::warn!("{} appends have no answer: {why}", group.lose(&why));
                }
            }
            self.busy.free(&group.events);
        }
        if let Some(conn) = kept {
            // The server finds out by itself if this fails.
            let _ = tokio::time::timeout(TIMEOUT, conn.close()).await;
        }
    }

    /// A connection, or the reason why there is none, once the appender is to close.
    async fn connect(&self, failures: &mut u32) -> Result<PgConnection, String> {
        loop {
            if let Some(before) = failures.checked_sub(1) {
                self.closing.run_until_cancelled(tokio::time::sleep(back_off(before))).await;
            }
            match self.connector.connect().await {
                Ok(conn) => return Ok(conn),
                Err(why) if self.closing.is_cancelled() => return Err(why),
                Err(why) => {
                    *failures += 1;
                    tracing::warn!(failures, "appends wait: {why}; trying again");
                }
            }
        }
    }
}
