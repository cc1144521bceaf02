//! Events of a log that others write at given positions, and what a projection has not applied of it.

use super::by_version::snapshot_of;
use super::foreign::{Foreign, Positions};
use super::layout::wrong_kind;
use super::window::AT_POSITIONS;
use super::{EventBuffer, Fence, Interest, OpenSource, Shown};
use crate::class::Class;
use crate::event::Aggregate;
use crate::hash::IdHash;
use crate::number::{Position, Version};
use futures_util::TryStreamExt;
use sqlx::Row;
use std::time::Duration;

const LAG: &str = include_str!("source_lag.sql");
const LAG_BY_XID: &str = include_str!("source_lag_by_xid.sql");

/// What decides who an event is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addressed {
    pub(crate) position: Position,
    /// Up to which position a window must have been applied for the event to be: above its own where it waits for that.
    pub(crate) key: Position,
    /// The transaction that wrote it, where the log has it.
    pub(crate) xid: u64,
    pub(crate) version: Version,
    pub(crate) hash: IdHash,
    pub(crate) aggregate: Aggregate,
    /// Whether it is of the types that were asked for.
    pub(crate) wanted: bool,
}

/// How far a class is, as far as that decides which events it has not applied.
pub(crate) struct ClassProgress<'a> {
    pub(crate) class: Class,
    pub(crate) seen: &'a Fence,
    /// The end of the open window, and how far in it the applied events go.
    pub(crate) upto: Option<(&'a Fence, Position)>,
}

/// Events that are not applied, and the age of the oldest.
pub(crate) type Unapplied = (u64, Duration);

impl OpenSource {
    /// A fence that shows all that is visible, and may show more.
    pub(crate) async fn visible_now(&mut self) -> Result<Fence, sqlx::Error> {
        match self.layout.foreign().filter(|_| self.has_transactions()) {
            Some(foreign) => foreign.visible_now(&mut self.conn).await,
            None => Ok(Fence::of_positions(Position::new(i64::MAX), Vec::new())),
        }
    }

    /// Fills the buffer with the events at these positions, in the order in which they are asked for, and with not many
    /// more than 16 MiB. A position at which there is no event, or none any more, is left out.
    pub(crate) async fn read_at(
        &mut self,
        positions: &[Position],
        interest: &Interest,
        into: &mut EventBuffer,
    ) -> Result<(), sqlx::Error> {
        into.clear();
        let mut rows = sqlx::query(self.layout.sql(AT_POSITIONS, interest)).bind(positions).fetch(&mut self.conn);
        while let Some(row) = rows.try_next().await? {
            into.push_row(&row, interest)?;
            if into.is_full() {
                break;
            }
        }
        Ok(())
    }

    /// Who the events at these positions are for; nothing of those that are not visible.
    pub(crate) async fn addressed(
        &mut self,
        positions: &[Position],
        interest: &Interest,
    ) -> Result<Vec<Addressed>, sqlx::Error> {
        // The key may be lower than that, as the window need not have all of these: then the event is taken for applied
        // a moment later than it is.
        let of_transaction = if self.has_transactions() {
            "(SELECT max(k.position) FROM (SELECT * FROM {log}) k WHERE k.aggregate_type = e.aggregate_type
                AND k.aggregate_id = e.aggregate_id AND k.version <= e.version), xid::text::bigint"
        } else {
            "position, 0::bigint"
        };
        let template = format!(
            "SELECT position, version, hash, aggregate_type, aggregate_id,
                ($2::text[] IS NULL OR aggregate_type = ANY ($2)) AND ($3::text[] IS NULL OR event_type = ANY ($3)),
                {of_transaction}
            FROM (SELECT * FROM {{log}}) e WHERE position = ANY ($1::bigint[]) ORDER BY position"
        );
        let rows = sqlx::query(self.layout.sql(&template, interest))
            .bind(positions)
            .bind(interest.aggregate_types.as_deref())
            .bind(interest.event_types.as_deref())
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Addressed {
                    position: row.try_get(0)?,
                    version: row.try_get(1)?,
                    hash: IdHash::from_sql(row.try_get(2)?),
                    aggregate: Aggregate { aggregate_type: row.try_get(3)?, aggregate_id: row.try_get(4)? },
                    wanted: row.try_get(5)?,
                    key: row.try_get(6)?,
                    xid: row.try_get::<i64, _>(7)?.unsigned_abs(),
                })
            })
            .collect()
    }

    /// Whether it has a column for the transaction, and positions in no order.
    pub(crate) fn has_transactions(&self) -> bool {
        self.layout.has_transactions()
    }

    /// The position of an aggregate's event of a version, or of its last one.
    pub(crate) async fn position_of(
        &mut self,
        aggregate: &Aggregate,
        version: Option<Version>,
    ) -> Result<Option<Position>, sqlx::Error> {
        let template = "SELECT position FROM {log}
            WHERE aggregate_type = $1 AND aggregate_id = $2 AND ($3::bigint IS NULL OR version = $3)
            ORDER BY version DESC LIMIT 1";
        sqlx::query_scalar(self.layout.sql(template, &Interest::everything()))
            .bind(&aggregate.aggregate_type)
            .bind(&aggregate.aggregate_id)
            .bind(version)
            .fetch_optional(&mut self.conn)
            .await
    }

    /// The highest position that is visible, 0 without one.
    pub(crate) async fn last_position(&mut self) -> Result<Position, sqlx::Error> {
        let template = "SELECT coalesce((SELECT t.{position} FROM {table} t ORDER BY t.{position} DESC LIMIT 1), 0)";
        sqlx::query_scalar(self.layout.sql(template, &Interest::everything())).fetch_one(&mut self.conn).await
    }

    /// For each of these positions, the age of the first event that is visible above it; zero without one, or where its
    /// time is infinite.
    pub(crate) async fn ages_after(&mut self, bounds: &[Position]) -> Result<Vec<Duration>, sqlx::Error> {
        let template = "SELECT coalesce((
                SELECT CASE WHEN isfinite(e.recorded_at) THEN extract(epoch FROM clock_timestamp() - e.recorded_at) END
                FROM (SELECT * FROM {log}) e WHERE e.position > b.bound ORDER BY e.position LIMIT 1
            ), 0)::float8
            FROM unnest($1::bigint[]) WITH ORDINALITY AS b (bound, number) ORDER BY b.number";
        let ages: Vec<f64> = sqlx::query_scalar(self.layout.sql(template, &Interest::everything()))
            .bind(bounds)
            .fetch_all(&mut self.conn)
            .await?;
        Ok(ages.into_iter().map(|age| Duration::try_from_secs_f64(age).unwrap_or_default()).collect())
    }

    /// Whether a fence has to name positions at which nobody has seen an event yet.
    pub(crate) fn has_holes(&self) -> bool {
        let positions = self.layout.foreign().map(Foreign::positions);
        positions.is_some_and(|positions| matches!(positions, Positions::Sequence(_)))
    }

    /// How many events there are, where there are fewer positions than this.
    pub(crate) async fn count(&mut self, most: i64) -> Result<Option<u64>, sqlx::Error> {
        let template =
            "SELECT CASE WHEN coalesce((SELECT max(t.{position}) - min(t.{position}) FROM {table} t), 0) < $1
            THEN (SELECT count(*) FROM {log}) END";
        let events: Option<i64> = sqlx::query_scalar(self.layout.sql(template, &Interest::everything()))
            .bind(most)
            .fetch_one(&mut self.conn)
            .await?;
        Ok(events.map(i64::unsigned_abs))
    }

    /// How many events there are. Costs one scan of the log.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn count_all(&mut self) -> Result<u64, sqlx::Error> {
        Ok(self.count(i64::MAX).await?.unwrap_or_default())
    }

    /// How many rows were deleted from it since the statistics of its server began.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn deleted_rows(&mut self) -> Result<i64, sqlx::Error> {
        match self.layout.foreign() {
            Some(foreign) => foreign.deleted_rows(&mut self.conn).await,
            None => Ok(0),
        }
    }

    /// What each of these has not applied of the events up to a position, in their order. Costs one scan of them.
    pub(crate) async fn unapplied(
        &mut self,
        reached: &[ClassProgress<'_>],
        interest: &Interest,
        last: Position,
    ) -> Result<Vec<Unapplied>, sqlx::Error> {
        let template = if self.has_transactions() { LAG_BY_XID } else { LAG };
        let shown = |fence: &Fence| match fence.shown {
            _ if self.has_transactions() => Ok(snapshot_of(fence)?.to_string()),
            Shown::Positions { .. } => Ok(fence.to_string()),
            Shown::Snapshot(_) | Shown::Transactions { .. } => Err(wrong_kind()),
        };
        let seen = reached.iter().map(|one| shown(one.seen)).collect::<Result<Vec<_>, _>>()?;
        let upto = reached.iter().map(|one| one.upto.map(|(upto, _)| shown(upto)).transpose());
        let upto = upto.collect::<Result<Vec<_>, _>>()?;
        let rows = sqlx::query(self.layout.sql(template, interest))
            .bind(reached.iter().map(|one| i64::from(one.class.modulus())).collect::<Vec<_>>())
            .bind(reached.iter().map(|one| i64::from(one.class.residue())).collect::<Vec<_>>())
            .bind(seen)
            .bind(upto)
            .bind(reached.iter().map(|one| one.upto.map(|(_, cursor)| cursor)).collect::<Vec<_>>())
            .bind(interest.aggregate_types.as_deref())
            .bind(interest.event_types.as_deref())
            .bind(last)
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter()
            .map(|row| {
                let age = Duration::try_from_secs_f64(row.try_get(1)?).unwrap_or_default();
                Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), age))
            })
            .collect()
    }
}
