//! Events that come before the one before them: another writer has left a version out, or has committed it later.

use super::Batch;
use crate::log::Between;
use crate::number::{Position, Version};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};

/// Of the events given, those without the version before them: it is not in the log, or comes later, or waits.
const WITHOUT: &str = "-- Which events of a batch come before the version before theirs.
SELECT k.position
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) AS k (position, aggregate_type, aggregate_id, version)
WHERE NOT coalesce((
    SELECT CASE WHEN $5::text IS NULL THEN
               NOT EXISTS (SELECT FROM evenfold.parked_events w
                           WHERE w.projection = $7 AND w.position = p.position AND w.dropped_at IS NULL)
           ELSE pg_visible_in_snapshot(p.xid, (SELECT $5::text::pg_snapshot))
                OR (p.position < k.position AND pg_visible_in_snapshot(p.xid, (SELECT $6::text::pg_snapshot)))
           END
    FROM evenfold.events p
    WHERE p.aggregate_type = k.aggregate_type AND p.aggregate_id = k.aggregate_id AND p.version = k.version - 1
    LIMIT 1
), false)";

impl Batch<'_> {
    /// Refuses events that can't be applied yet, because the version before theirs was not: by [`fold`](Self::fold), so
    /// that their aggregates are parked. For projections whose read model has no versions to compare with. Costs a step
    /// down an index for each aggregate of the batch, and for each event of a projection that does not want all of
    /// them.
    ///
    /// A batch that is [only in its view](Self::is_only_in_view) has no such event. Of a log that others write every
    /// event is applied: its versions may have gaps where rows were removed, or are no events.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only. A dropped call has refused nothing.
    pub async fn refuse_gaps(&mut self, conn: &mut PgConnection, projection: &str) -> Result<(), sqlx::Error> {
        let firsts = if self.is_foreign() { Vec::new() } else { self.firsts() };
        if firsts.is_empty() {
            return Ok(());
        }
        let between = self.applied_before().map(Between::snapshots).transpose()?;
        let without: Vec<Position> = sqlx::query_scalar(self.schema().sql(WITHOUT))
            .bind(firsts.iter().map(|first| first.position).collect::<Vec<_>>())
            .bind(firsts.iter().map(|first| first.aggregate.0).collect::<Vec<_>>())
            .bind(firsts.iter().map(|first| first.aggregate.1).collect::<Vec<_>>())
            .bind(firsts.iter().map(|first| first.version).collect::<Vec<_>>())
            .bind(between.map(|(seen, _)| seen.to_string()))
            .bind(between.map(|(_, upto)| upto.to_string()))
            .bind(projection)
            .fetch_all(conn)
            .await?;
        let without: HashSet<Position> = without.into_iter().collect();
        self.fold(|event| {
            if without.contains(&event.position) {
                let before = event.version.get() - 1;
                Err(format!("version {} comes before version {before} of its aggregate", event.version))
            } else {
                Ok(())
            }
        });
        Ok(())
    }

    /// The events whose version does not follow that of another one in the batch.
    fn firsts(&self) -> Vec<First<'_>> {
        let mut last: HashMap<(&str, &str), Version> = HashMap::new();
        let mut firsts = Vec::new();
        for event in self.with_dropped() {
            let aggregate = (event.aggregate_type, event.aggregate_id);
            let before = last.insert(aggregate, event.version).unwrap_or_default();
            if event.version != before.next() {
                firsts.push(First { position: event.position, aggregate, version: event.version });
            }
        }
        firsts
    }
}

struct First<'b> {
    position: Position,
    aggregate: (&'b str, &'b str),
    version: Version,
}
