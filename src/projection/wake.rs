//! Waking workers that wait for events, when a writer says that it has appended some.
//!
//! One connection per process listens, however many workers there are. Nothing rests on it but time: whatever is not
//! heard, because its writer does not notify or the connection is gone, is found at the next look at the log.

use crate::database::{Database, back_off};
use crate::log::CHANNEL;
use sqlx::postgres::PgListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A connection on which nothing was said for so long is asked whether it is still there, and given so long to answer:
/// one that a router has forgotten looks like one on which nothing is said.
const SILENCE: Duration = Duration::from_mins(1);

/// Wakes all workers of a process. The connection that listens ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct Wake {
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    rung: watch::Sender<()>,
    /// Where to listen; nowhere if nobody is to be woken.
    database: Option<Database>,
    /// Begins with the first worker that can wait: until one has started, whatever is wrong with the database is for the
    /// worker to say, once.
    listening: OnceLock<JoinHandle<()>>,
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.get() {
            listening.abort();
        }
    }
}

impl Wake {
    /// Listens, from the first worker on and again whenever the connection is lost.
    pub(super) fn listening(database: &Database) -> Self {
        Self::new(Some(database.named("evenfold listener")))
    }

    /// Wakes nobody: for workers that end when nothing is left.
    pub(super) fn never() -> Self {
        Self::new(None)
    }

    fn new(database: Option<Database>) -> Self {
        Self { bell: Arc::new(Bell { rung: watch::Sender::new(()), database, listening: OnceLock::new() }) }
    }

    /// One more worker to wake, which has started.
    pub(super) fn sleeper(&self) -> Sleeper {
        let Bell { rung, database, listening } = &*self.bell;
        let sleeper = Sleeper { wake: self.clone(), rung: rung.subscribe() };
        if let Some(database) = database {
            listening.get_or_init(|| tokio::spawn(listen(database.clone(), rung.clone())));
        }
        sleeper
    }
}

/// One worker's ear.
#[derive(Debug)]
pub(super) struct Sleeper {
    wake: Wake,
    rung: watch::Receiver<()>,
}

impl Sleeper {
    /// Waits until woken; ends at once if that has happened since the last time, be it in the middle of a step.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has not been woken: the next one is.
    pub(super) async fn woken(&mut self) {
        if self.rung.changed().await.is_err() {
            // Can't be, as long as this holds the other end.
            std::future::pending::<()>().await;
        }
    }

    /// How many workers there are to wake.
    pub(super) fn workers(&self) -> u32 {
        u32::try_from(self.wake.bell.rung.receiver_count()).unwrap_or(u32::MAX)
    }
}

async fn listen(database: Database, rung: watch::Sender<()>) {
    let mut failures = 0;
    loop {
        match database.listen(CHANNEL).await {
            Ok(mut listener) => {
                failures = 0;
                // What was said before has not been heard.
                rung.send_replace(());
                while is_told(&mut listener).await {
                    rung.send_replace(());
                }
                tracing::debug!("the connection that listens is lost");
            }
            Err(error) if failures == 0 => {
                tracing::warn!(%error, "nobody listens: events are found at the poll interval; trying again");
                failures = 1;
            }
            Err(error) => {
                tracing::debug!(%error, "nobody listens");
                failures += 1;
            }
        }
        tokio::time::sleep(back_off(failures)).await;
    }
}

/// Waits for a notification; false when there will be none, because the connection is lost.
async fn is_told(listener: &mut PgListener) -> bool {
    loop {
        if let Ok(heard) = tokio::time::timeout(SILENCE, listener.try_recv()).await {
            return matches!(heard, Ok(Some(_)));
        }
        let asked = tokio::time::timeout(SILENCE, sqlx::raw_sql("SELECT 1").execute(&mut *listener)).await;
        if !matches!(asked, Ok(Ok(_))) {
            return false;
        }
    }
}
