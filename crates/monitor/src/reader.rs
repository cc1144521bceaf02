//! Counts how all projections stand, every few seconds.

use crate::logs::{Folded, Logs};
use crate::reading::{ProjectionReading, Reading};
use evenfold::checkpoint::{Extent, projections, status_within};
use evenfold::database::{Database, Server, describe};
use evenfold::schema::Schema;
use sqlx::PgConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Counting takes longer the more there is to count: the pause after it is this many times as long, up to a limit, so
/// that it takes one percent of a processor.
const PAUSE_PER_COUNT: u32 = 100;

/// The longest of these pauses: what stands still is to be seen within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How long all of it may take. sqlx has no timeout of its own, and a database that has gone silent is one that can't
/// be asked.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often the projections are counted.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// Counts until `shutdown`, on one connection, and gives what was counted last: before the first answer of the database
/// a reading that says so.
///
/// # Panics
///
/// Outside a tokio runtime.
#[must_use]
pub fn read_on(
    database: &Database,
    logs: Logs,
    interval: Duration,
    shutdown: &CancellationToken,
) -> watch::Receiver<Arc<Reading>> {
    let database = database.named("evenfold monitor").by_index();
    let mut first = Reading::begin(database.schema().name());
    first.error = Some("nothing was counted yet".to_owned());
    let (sender, receiver) = watch::channel(Arc::new(first));
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let mut reader = Reader { database, logs, conn: None, place: String::new(), logged: None };
        let reading = async {
            loop {
                let reading = reader.read().await;
                let pause = (reading.age() * PAUSE_PER_COUNT).clamp(interval, interval.max(LONGEST_PAUSE));
                let _ = sender.send(Arc::new(reading));
                tokio::time::sleep(pause).await;
            }
        };
        shutdown.run_until_cancelled(reading).await;
    });
    receiver
}

struct Reader {
    database: Database,
    logs: Logs,
    conn: Option<PgConnection>,
    /// Where the connection leads.
    place: String,
    /// The failure that was logged last.
    logged: Option<String>,
}

impl Reader {
    async fn read(&mut self) -> Reading {
        let mut reading = Reading::begin(self.database.schema().name());
        let late = |_| Err(format!("the database did not answer within {TIMEOUT:?}"));
        match tokio::time::timeout(TIMEOUT, self.all()).await.unwrap_or_else(late) {
            Ok(projections) => {
                reading.projections = projections;
                if self.logged.take().is_some() {
                    tracing::info!("the database can be asked again");
                }
            }
            Err(why) => {
                // In the middle of an answer, or broken.
                self.conn = None;
                self.logs.forget();
                if self.logged.as_ref() != Some(&why) {
                    tracing::error!("the projections can't be counted: {why}; trying again");
                }
                self.logged = Some(why.clone());
                reading.error = Some(why);
            }
        }
        reading.database.clone_from(&self.place);
        reading.took_seconds = reading.age().as_secs_f64();
        reading
    }

    async fn all(&mut self) -> Result<Vec<ProjectionReading>, String> {
        let mut conn = if let Some(conn) = self.conn.take() {
            conn
        } else {
            let (conn, server) = self.database.connect_with_server().await.map_err(|error| error.to_string())?;
            let Server { place, database, .. } = server;
            self.place = format!("{database} at {place}");
            conn
        };
        let schema = self.database.schema().clone();
        let names = projections(&schema, &mut conn).await.map_err(|error| describe(&error))?;
        let mut readings = Vec::with_capacity(names.len());
        for name in names {
            readings.push(self.one(&schema, &mut conn, &name).await?);
        }
        self.conn = Some(conn);
        Ok(readings)
    }

    async fn one(
        &mut self,
        schema: &Schema,
        conn: &mut PgConnection,
        projection: &str,
    ) -> Result<ProjectionReading, String> {
        let (log, uncounted, source) = match self.logs.of(schema, conn, projection).await? {
            Folded::Own => (None, None, None),
            Folded::Source(log, source) => (Some(log), None, Some(source)),
            Folded::Unknown(log, why) => (Some(log), Some(why), None),
        };
        let status = status_within(Extent::Little, schema, conn, source, projection).await;
        let status = status.map_err(|error| describe(&error))?;
        Ok(ProjectionReading::new(status, log, uncounted))
    }
}
