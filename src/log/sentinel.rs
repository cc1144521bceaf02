//! One connection that waits for nothing but its own loss.
//!
//! The connections that read and append are idle while everything that is asked for is in memory: by themselves they
//! would notice a server that is gone with the next increment, which may never come.

use super::epoch::{Epoch, Epochs};
use crate::database::{Database, Listener, back_off};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the session is asked whether it is still there: a network that drops everything closes no socket.
const PING: Duration = Duration::from_millis(500);

/// A session that has not answered for so long is abandoned. Until then it may be slow: nothing is answered from memory
/// meanwhile, and nothing is forgotten.
const ABANDONED: Duration = Duration::from_secs(5);

/// The longest pause before a database that could not be used is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Nobody notifies it: a connection that listens is one that can wait.
/// That of the database, of all its schemas.
const CHANNEL: &str = "evenfold_sentinel";

/// Keeps a session for as long as it can, and another one after it: see [`Epochs`]. It ends when it is dropped.
#[derive(Debug)]
pub struct Sentinel {
    epochs: Arc<Epochs>,
    stop: CancellationToken,
    task: TaskTracker,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Sentinel {
    /// Starts the task that connects.
    #[must_use]
    pub fn start(database: &Database) -> Self {
        let (epochs, stop, task) = (Epochs::new(), CancellationToken::new(), TaskTracker::new());
        task.spawn(run(database.named("evenfold sentinel"), Arc::clone(&epochs), stop.clone()));
        Self { epochs, stop, task }
    }

    /// The epochs of its sessions.
    #[must_use]
    pub fn epochs(&self) -> &Arc<Epochs> {
        &self.epochs
    }

    /// Ends its connection: afterwards nothing is known to be true any more.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has ended it, and not waited until it has.
    pub async fn close(&self) {
        self.stop.cancel();
        self.task.close();
        self.task.wait().await;
    }
}

async fn run(database: Database, epochs: Arc<Epochs>, stop: CancellationToken) {
    let mut failures = 0;
    while let Some(opened) = stop.run_until_cancelled(open(&database, &epochs)).await {
        match opened {
            Ok((mut listener, epoch)) => {
                if failures > 0 {
                    tracing::info!("the database is back");
                }
                failures = 0;
                let Some(why) = stop.run_until_cancelled(keep(&mut listener, &epoch)).await else {
                    epoch.end("the service is stopping");
                    listener.close().await;
                    break;
                };
                epoch.end(&why);
                tracing::warn!("{why}: what is in memory may not be in the log, and is forgotten; connecting again");
            }
            Err(why) => {
                if failures == 0 {
                    tracing::warn!("{why}; trying again");
                } else {
                    tracing::debug!(failures, "{why}; trying again");
                }
                epochs.fail(why);
            }
        }
        let pause = back_off(failures).min(LONGEST_PAUSE);
        failures += 1;
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
}

/// Begins an epoch.
async fn open(database: &Database, epochs: &Arc<Epochs>) -> Result<(Listener, Epoch), String> {
    let mut listener = database.listen(CHANNEL).await.map_err(|error| error.to_string())?;
    let (asked, key) = (Instant::now(), fastrand::i64(..));
    let locked = listener.execute(format!("SELECT pg_advisory_lock({key})"));
    match timeout(ABANDONED, locked).await {
        Ok(Ok(())) => Ok((listener, epochs.begin(key, asked))),
        Ok(Err(error)) => Err(crate::database::describe(&error)),
        Err(_) => Err(silent()),
    }
}

/// Waits until the session has ended, or the epoch otherwise; gives why.
async fn keep(listener: &mut Listener, epoch: &Epoch) -> String {
    let lost = async {
        loop {
            let asked = Instant::now();
            match timeout(ABANDONED, listener.answers()).await {
                Ok(true) => epoch.renew(asked),
                Ok(false) => return "the connection to the database was lost".to_owned(),
                Err(_) => return silent(),
            }
            if !rest(listener, asked + PING).await {
                return "the connection to the database was lost".to_owned();
            }
        }
    };
    tokio::select! {
        why = lost => why,
        () = epoch.ended().cancelled() => "the server has started again, or is another one".to_owned(),
    }
}

/// Waits until then; false if the connection is lost.
async fn rest(listener: &mut Listener, until: Instant) -> bool {
    loop {
        match tokio::time::timeout_at(until.into(), listener.received()).await {
            // Whoever has notified this channel has nothing to say.
            Ok(true) => {}
            Ok(false) => return false,
            Err(_) => return true,
        }
    }
}

fn silent() -> String {
    format!("the database has not answered for {} seconds", ABANDONED.as_secs())
}
