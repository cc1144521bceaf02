//! Watching one counter.

use super::command::Counted;
use super::error::ServiceError;
use super::id::CounterId;
use super::node::Node;
use super::shard::AGGREGATE_TYPE;
use crate::group::process::Member;
use crate::projection::counters::Changes;
use std::sync::Arc;

/// One counter's values, each newer than the one before. A watcher that is slow is not given all of them, but always the
/// newest in the end. After the database has lost what it had committed (a crash without `synchronous_commit`, a failover, a
/// restored backup), that is what the log has then, with a version that may be lower.
pub struct Watching {
    node: Node,
    id: CounterId,
    member: Member<Arc<Changes>>,
    /// What was given last.
    last: Option<Counted>,
    /// Whether something may have been missed.
    unsure: bool,
    dropped: u64,
}

impl Watching {
    pub(super) fn new(node: Node, id: CounterId, member: Member<Arc<Changes>>) -> Self {
        Self { node, id, member, last: None, unsure: true, dropped: 0 }
    }

    /// What the counter stands at, at first, and then what it stands at after it has changed. None when the node stops.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] when the counter can't be read. The next call tries again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a dropped wait.
    pub async fn next(&mut self) -> Result<Option<Counted>, ServiceError> {
        loop {
            if self.unsure {
                let counted = self.node.get(&self.id).await?;
                self.unsure = false;
                // It is later than all that was listed before it. Where it has a lower version, the log has gone back, and
                // what was listed is of another history of it.
                if self.last.replace(counted) != Some(counted) {
                    return Ok(Some(counted));
                }
            }
            let Ok(changes) = self.member.recv().await else { return Ok(None) };
            self.unsure = std::mem::replace(&mut self.dropped, self.member.dropped()) != self.dropped;
            if let Some(newer) = self.listed(&changes) {
                return Ok(Some(newer));
            }
        }
    }

    /// What is told about this counter, if that is newer than what was given.
    fn listed(&mut self, changes: &Changes) -> Option<Counted> {
        let Changes::Listed(rows) = changes else {
            self.unsure = true;
            return None;
        };
        let rows =
            rows.iter().filter(|row| row.aggregate_id == self.id.as_str() && row.aggregate_type == AGGREGATE_TYPE);
        let told =
            rows.map(|row| Counted { value: row.value, version: row.version }).max_by_key(|told| told.version)?;
        self.newer(told)
    }

    fn newer(&mut self, counted: Counted) -> Option<Counted> {
        let newer = self.last.is_none_or(|last| counted.version > last.version);
        newer.then(|| *self.last.insert(counted))
    }
}
