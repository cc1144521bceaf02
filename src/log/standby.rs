//! A hot standby of a log that others write, from which rows are read, and how far it has replayed.
//!
//! Whatever a statement on the primary has seen was committed there, and logged before it could be seen. So it is at or
//! before the place in the primary's write-ahead log that is asked for after that statement; and a standby that has
//! replayed up to that place shows all of it, to each statement that begins later.

use crate::database::{ConnectError, Database, SchemaError, identity};
use sqlx::{PgConnection, Row};
use std::time::{Duration, Instant};

/// How long one call waits for the standby.
const PATIENCE: Duration = Duration::from_millis(100);

/// After how long it is logged that the standby is behind.
const REPORTED_AFTER: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The cluster and the timeline of a standby, as `Identity::cluster` has those of a primary. It has written its
/// timeline down once it has flushed something of it, or made a restartpoint on it.
const CLUSTER: &str = "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || upper(lpad(to_hex(greatest(
    (SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery()))), 8, '0'))";

const END: &str = "SELECT pg_current_wal_insert_lsn()::text, current_setting('wal_block_size')::bigint,
    pg_size_bytes(current_setting('wal_segment_size'))";

const REPLAYED: &str = "SELECT pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false),
    pg_last_wal_replay_lsn()::text, CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END";

/// Why the standby of a log can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandbyError {
    /// There is no connection to it, or it is no standby.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It is not one of the log's server.
    #[error(
        "it is at {standby}, and the log itself at {primary} (cluster, timeline, database): name a standby of that server; \
         one that follows it through a failover shows so after its next restartpoint, within its checkpoint_timeout"
    )]
    NotItsStandby {
        /// Cluster, timeline and database of the standby.
        standby: String,
        /// Those of the log.
        primary: String,
    },
    /// The standby's, or while it is connected to, the log's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// A connection to a standby, and what it must have replayed before rows are read on it.
pub(crate) struct Standby {
    conn: PgConnection,
    place: String,
    needed: Option<Needed>,
}

struct Needed {
    /// As PostgreSQL writes it.
    lsn: String,
    since: Instant,
    /// The reason that was logged last.
    reported: Option<&'static str>,
}

impl Standby {
    /// Connects, and checks that it is a standby of the server that the other connection leads to.
    pub(super) async fn connect(database: &Database, primary: &mut PgConnection) -> Result<Self, StandbyError> {
        let (mut conn, server) = database.connect_to_server().await?;
        let there: String = sqlx::query_scalar(CLUSTER).fetch_one(&mut conn).await?;
        let here: String = sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut *primary).await?;
        let primary = format!("{}/{here}", identity(primary).await?.cluster());
        let standby = format!("{there}/{}", server.database);
        if standby != primary {
            return Err(StandbyError::NotItsStandby { standby, primary });
        }
        Ok(Self { conn, place: server.place, needed: None })
    }

    /// Its host and port, or its socket, as it was connected to.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    /// From here on it must have replayed what was visible on the primary before the call.
    pub(crate) async fn need_all_of(&mut self, primary: &mut PgConnection) -> Result<(), sqlx::Error> {
        let row = sqlx::query(END).fetch_one(primary).await?;
        let (end, page, segment): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let lsn = last_record(&end, page.unsigned_abs(), segment.unsigned_abs())
            .ok_or_else(|| sqlx::Error::Protocol(format!("{end} is no place in a write-ahead log")))?;
        self.needed = Some(Needed { lsn, since: Instant::now(), reported: None });
        Ok(())
    }

    /// Whether it has replayed what it must have; waits for a moment if it has not, and logs after a second why not.
    pub(crate) async fn has_replayed(&mut self) -> Result<bool, StandbyError> {
        let Some(needed) = &mut self.needed else { return Ok(true) };
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let row = sqlx::query(REPLAYED).bind(&needed.lsn).fetch_one(&mut self.conn).await?;
            // It may have got events since that the primary does not have.
            if !row.try_get::<bool, _>(0)? {
                let source = SchemaError::Primary;
                return Err(StandbyError::Connect(ConnectError::Unfit { place: self.place.clone(), source }));
            }
            if row.try_get(1)? {
                self.needed = None;
                return Ok(true);
            }
            let replayed: Option<String> = row.try_get(2)?;
            needed.report(&self.place, replayed.as_deref().unwrap_or("nothing"), row.try_get(3)?);
            if started.elapsed() >= PATIENCE {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PATIENCE / 4);
        }
    }
}

impl Needed {
    /// Once for each reason.
    fn report(&mut self, place: &str, replayed: &str, paused: bool) {
        let reason = if paused {
            "its replay is paused: pg_wal_replay_resume() there goes on"
        } else {
            "it is behind the primary"
        };
        if self.since.elapsed() >= REPORTED_AFTER && self.reported != Some(reason) {
            self.reported = Some(reason);
            tracing::warn!(
                standby = place, needed = %self.lsn, replayed,
                "no rows are read until the standby has replayed what the log's server shows: {reason}"
            );
        }
    }
}

/// The end of the last record before a place where the next one will be written: that is behind the header of a page
/// where the last record has filled the page before, and nobody replays a header.
fn last_record(end: &str, page: u64, segment: u64) -> Option<String> {
    /// Of a page, and of the first page of a segment.
    const HEADERS: [u64; 2] = [24, 40];
    let (high, low) = end.split_once('/')?;
    let end = (u64::from_str_radix(high, 16).ok()? << 32) | u64::from_str_radix(low, 16).ok()?;
    let header = if end.checked_rem(segment)? < page { HEADERS[1] } else { HEADERS[0] };
    let end = if end.checked_rem(page)? == header { end - header } else { end };
    Some(format!("{:X}/{:X}", end >> 32, end & u64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_a_page_is_not_waited_for() {
        let (page, segment) = (8_192, 16 << 20);
        let of = |end| last_record(end, page, segment).unwrap();
        assert_eq!(of("16/B374D848"), "16/B374D848");
        assert_eq!(of("16/B374C018"), "16/B374C000", "the header of a page");
        assert_eq!(of("16/B374C028"), "16/B374C028", "as long as the header of a segment's first page, and not there");
        assert_eq!(of("17/028"), "17/0", "the header of a segment's first page");
        assert_eq!(of("17/018"), "17/18");
        assert_eq!(last_record("nowhere", page, segment), None);
    }
}
