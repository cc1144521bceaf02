//! Looking at the database, again and again, also where it goes away meanwhile.

use crate::Global;
use crate::session::Session;
use crate::source::Logs;
use anyhow::anyhow;
use evenfold::checkpoint::{Extent, Status, status_within};
use sqlx::PgConnection;
use std::time::Duration;

/// How long one look may take, which counts in the log, before its connection is taken for dead.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// Projections that are looked at, and the way to them.
pub(super) struct Lookout<'a> {
    names: Vec<&'a str>,
    session: Session,
    logs: Logs,
    /// None after it has failed.
    conn: Option<PgConnection>,
}

impl<'a> Lookout<'a> {
    pub(super) async fn open(global: &Global, names: Vec<&'a str>) -> anyhow::Result<Self> {
        let session = Session::open(global).await?;
        let conn = Some(session.connect_by_index().await?);
        let logs = Logs::open(global, &session).await?;
        Ok(Self { names, session, logs, conn })
    }

    /// How each stands now. After an error the next look makes new connections.
    pub(super) async fn look(&mut self, extent: Extent) -> anyhow::Result<Vec<Status>> {
        let looked = tokio::time::timeout(LONGEST_LOOK, self.each(extent)).await;
        let looked = looked.unwrap_or_else(|_| Err(anyhow!("no answer for {} s", LONGEST_LOOK.as_secs())));
        if looked.is_err() {
            self.conn = None;
            self.logs.disconnect();
        }
        looked
    }

    async fn each(&mut self, extent: Extent) -> anyhow::Result<Vec<Status>> {
        let Self { names, session, logs, conn } = self;
        let conn = match conn {
            Some(conn) => conn,
            None => conn.insert(session.connect_by_index().await?),
        };
        let own = session.database.schema();
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let log = logs.of(own, conn, name).await?.map(|(_, log)| log);
            all.push(status_within(extent, own, conn, log, name).await?);
        }
        Ok(all)
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        drop(self.conn);
        self.session.close().await
    }
}
