//! Waking workers that wait for events, when a writer says that it has appended some.
//!
//! One connection per process listens, however many workers there are. Nothing rests on it but time: whatever is not
//! received, because its writer does not notify or the connection is gone, is found at the next look at the log.

use crate::database::{Database, Listener, back_off};
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A connection on which nothing came for so long is asked whether it is still there, and given so long to answer:
/// one that a router has forgotten looks like one on which nothing comes.
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
    /// Begins with the first worker that can wait: until one has started, whatever is wrong with the database is for
    /// the worker to say, once.
    begun: Once,
    listening: TaskTracker,
    stop: CancellationToken,
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.stop.cancel();
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
        let (begun, listening, stop) = (Once::new(), TaskTracker::new(), CancellationToken::new());
        Self { bell: Arc::new(Bell { rung: watch::Sender::new(()), database, begun, listening, stop }) }
    }

    /// One more worker to wake, which has started.
    pub(super) fn sleeper(&self) -> Sleeper {
        let Bell { rung, database, begun, listening, stop } = &*self.bell;
        let sleeper = Sleeper { wake: self.clone(), rung: rung.subscribe() };
        if let Some(database) = database {
            begun.call_once(|| drop(listening.spawn(listen(database.clone(), rung.clone(), stop.clone()))));
        }
        sleeper
    }

    /// Listens no more: afterwards its connection is closed, so that whoever owns the server can stop it.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has ended the listening, and not waited until it has.
    pub(super) async fn close(&self) {
        let Bell { listening, stop, .. } = &*self.bell;
        stop.cancel();
        listening.close();
        listening.wait().await;
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

async fn listen(database: Database, rung: watch::Sender<()>, stop: CancellationToken) {
    let mut failures = 0;
    while let Some(listener) = stop.run_until_cancelled(database.listen(&database.schema().channel())).await {
        match listener {
            Ok(mut listener) => {
                failures = 0;
                // What was notified before has not been received.
                rung.send_replace(());
                stop.run_until_cancelled(hear(&mut listener, &rung)).await;
                listener.close().await;
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
        if stop.run_until_cancelled(tokio::time::sleep(back_off(failures))).await.is_none() {
            break;
        }
    }
}

/// Passes on what it hears, until the connection is lost.
async fn hear(listener: &mut Listener, rung: &watch::Sender<()>) {
    while is_notified(listener).await {
        rung.send_replace(());
    }
    tracing::debug!("the connection that listens is lost");
}

/// Waits for a notification; false when there will be none, because the connection is lost.
async fn is_notified(listener: &mut Listener) -> bool {
    loop {
        if let Ok(received) = tokio::time::timeout(SILENCE, listener.received()).await {
            return received;
        }
        if !matches!(tokio::time::timeout(SILENCE, listener.answers()).await, Ok(true)) {
            return false;
        }
    }
}
