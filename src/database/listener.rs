//! A connection on which notifications are received.

use super::Database;
use super::limits::CONNECT_TIMEOUT;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long closing is waited for: a connection on which nothing arrives any more would not end.
const CLOSING: Duration = Duration::from_secs(2);

/// Hears one channel. The connection is not made again when it is lost.
pub(crate) struct Listener {
    inner: PgListener,
    pool: PgPool,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A pool that is open would ask the connection whether it is still good, and complain where its server has
        // ended since.
        drop(self.pool.close());
    }
}

impl Listener {
    /// Connects, and has the connection prepared before it listens.
    pub(super) async fn connect(
        database: &Database,
        host: &PgConnectOptions,
        channel: &str,
    ) -> Result<Self, sqlx::Error> {
        // A listener takes its connection from a pool: one that has no other, and is gone when the listener is.
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_slow_threshold(CONNECT_TIMEOUT);
        // A pool tries again where a connection is refused, until the time is up, and only then says that. So it is
        // given every connection, and what was wrong with it is looked at here.
        let refused = Arc::new(Mutex::new(None));
        let (database, of, found) = (database.clone(), host.clone(), Arc::clone(&refused));
        let pool = pool.after_connect(move |conn, _| {
            let (database, of, found) = (database.clone(), of.clone(), Arc::clone(&found));
            Box::pin(async move {
                let prepared = database.prepare_to_listen(conn, &of).await;
                *found.lock().unwrap_or_else(PoisonError::into_inner) = prepared.err();
                Ok(())
            })
        });
        let pool = pool.connect_lazy_with(host.clone());
        let mut listener = Self { inner: PgListener::connect_with(&pool).await?, pool };
        let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(error) = refused {
            return Err(sqlx::Error::Configuration(Box::new(error)));
        }
        listener.inner.eager_reconnect(false);
        listener.inner.listen(channel).await?;
        Ok(listener)
    }

    /// Waits for a notification; false when there will be none, because the connection is lost.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has received nothing: the next one does.
    pub(crate) async fn received(&mut self) -> bool {
        matches!(self.inner.try_recv().await, Ok(Some(_)))
    }

    /// Whether the connection is still there.
    pub(crate) async fn answers(&mut self) -> bool {
        sqlx::raw_sql("SELECT 1").execute(&mut self.inner).await.is_ok()
    }

    /// Runs a statement of our own on this connection.
    pub(crate) async fn execute(&mut self, sql: String) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut self.inner).await.map(drop)
    }

    /// Ends the connection, and waits until it has ended, for two seconds at most.
    pub(crate) async fn close(self) {
        let pool = self.pool.clone();
        drop(self);
        // What is not ended in time ends with its socket.
        let _ = tokio::time::timeout(CLOSING, pool.close()).await;
    }
}
