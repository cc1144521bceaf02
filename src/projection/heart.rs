//! A worker's heartbeat: a task of its own, on a connection of its own, so that it goes on while the fold hangs.

use super::Progress;
use crate::checkpoint::{self, Beat};
use crate::class::Class;
use crate::database::Database;
use crate::log::Interest;
use sqlx::PgConnection;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Counting the lag takes longer the larger it is: the pause is at least this many times as long as the counting.
const PAUSE_PER_COUNT: u32 = 20;

/// One beat may take this long before its connection is given up.
const BEAT_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Heart {
    pub(super) database: Database,
    pub(super) worker: Uuid,
    pub(super) projection: String,
    pub(super) class: Class,
    pub(super) interest: Interest,
    pub(super) interval: Duration,
    pub(super) progress: Arc<Progress>,
}

impl Heart {
    /// Beats until told to stop, then takes the heartbeat off the table.
    pub(super) async fn run(self, stop: CancellationToken) {
        let process = process_name();
        let mut conn = None;
        let mut last = (self.progress.applied(), Instant::now());
        loop {
            let started = Instant::now();
            let applied = self.progress.applied();
            #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
            let per_second = (applied - last.0) as f64 / last.1.elapsed().as_secs_f64().max(f64::EPSILON);
            last = (applied, Instant::now());
            // A failure is the worker's to report, which meets it too: here it costs a beat and the connection.
            conn = match tokio::time::timeout(BEAT_TIMEOUT, self.beat(conn, &process, per_second)).await {
                Ok(Ok(conn)) => Some(conn),
                Ok(Err(error)) => {
                    tracing::debug!(partition = %self.class, %error, "no heartbeat");
                    None
                }
                Err(_) => None,
            };
            let pause = self.interval.max(started.elapsed() * PAUSE_PER_COUNT);
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        if let Some(mut conn) = conn {
            // Left behind, it is removed after a day by another worker's beat.
            let _ = tokio::time::timeout(BEAT_TIMEOUT, checkpoint::forget_beat(&mut conn, self.worker)).await;
        }
    }

    async fn beat(
        &self,
        conn: Option<PgConnection>,
        process: &str,
        per_second: f64,
    ) -> Result<PgConnection, Box<dyn std::error::Error + Send + Sync>> {
        let mut conn = match conn {
            Some(conn) => conn,
            None => self.database.connect().await?,
        };
        let lag = checkpoint::lag(&mut conn, &self.projection, self.class, &self.interest).await?;
        self.progress.set_lag(lag);
        let beat = Beat {
            worker: self.worker,
            projection: &self.projection,
            class: self.class,
            process,
            state: self.progress.phase().to_string(),
            applied: self.progress.applied(),
            per_second,
            coordination: self.progress.coordination(),
            compute: self.progress.compute(),
        };
        checkpoint::beat(&mut conn, &beat).await?;
        Ok(conn)
    }
}

fn process_name() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}:{}", host.as_deref().unwrap_or("?"), std::process::id())
}
