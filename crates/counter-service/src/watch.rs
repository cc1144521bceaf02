//! Watching one counter.

use super::command::CounterValue;
use super::error::ServiceError;
use super::id::{AGGREGATE_TYPE, CounterId};
use super::node::Node;
use evenfold::counters::Changes;
use evenfold_groups::process::{GroupError, JoinOptions, Member, Slow};
use std::sync::Arc;
use uuid::Uuid;

/// A watcher that has this many changes waiting for it is given no more of them, and reads the counter anew.
const WATCHERS_QUEUE: usize = 64;

/// One counter's values, each newer than the one before. A watcher that is slow is not given all of them, but always
/// the newest in the end. After the database has lost what it had committed (a crash without `synchronous_commit`, a
/// failover, a restored backup), that is what the log has then, with a version that may be lower.
pub struct Watching {
    node: Node,
    id: CounterId,
    member: Member<Arc<Changes>>,
    /// What was given last.
    last: Option<CounterValue>,
    /// Whether something may have been missed.
    unsure: bool,
    dropped: u64,
}

impl Node {
    /// Watches a counter.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Busy`] when as many watch as may.
    pub fn watch(&self, id: &CounterId) -> Result<Watching, ServiceError> {
        let options = JoinOptions::default().queue(WATCHERS_QUEUE).slow(Slow::DropOldest);
        let member = self.inner.watchers.join(&Uuid::new_v4().to_string(), options).map_err(|error| match error {
            GroupError::TooManyMembers(_) => ServiceError::Busy,
            _ => ServiceError::Stopped,
        })?;
        self.inner.begun.notify_one();
        Ok(Watching { node: self.clone(), id: id.clone(), member, last: None, unsure: true, dropped: 0 })
    }
}

impl Watching {
    /// What the counter stands at, at first, and then what it stands at after it has changed. None when the node stops.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] when the counter can't be read. The next call tries again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a dropped wait.
    pub async fn next(&mut self) -> Result<Option<CounterValue>, ServiceError> {
        loop {
            if self.unsure {
                let counted = self.node.get(&self.id).await?;
                self.unsure = false;
                // It is later than all that was listed before it. Where it has a lower version, the log has gone back,
                // and what was listed is of another history of it.
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

    /// What is listed of this counter, as far as it goes on from what was given. A version that is not the next one may
    /// have been missed, or be nobody's: the counter is read before anybody is given it, and after it what is listed is
    /// compared again.
    fn listed(&mut self, changes: &Changes) -> Option<CounterValue> {
        let Changes::Listed(rows) = changes else {
            self.unsure = true;
            return None;
        };
        let rows =
            rows.iter().filter(|row| row.aggregate_id == self.id.as_str() && row.aggregate_type == AGGREGATE_TYPE);
        let mut listed: Vec<_> =
            rows.map(|row| CounterValue { value: row.value, version: row.version.get() }).collect();
        listed.sort_unstable_by_key(|counted| counted.version);
        let mut newer = None;
        for counted in listed {
            match follows(self.last, counted) {
                Follows::Next => newer = Some(*self.last.insert(counted)),
                Follows::Known => {}
                Follows::Unsure => self.unsure = true,
            }
        }
        newer
    }
}

/// How what is listed stands to what was given.
#[derive(Debug, PartialEq, Eq)]
enum Follows {
    Next,
    /// The same, or what was before it: shards and workers both list it.
    Known,
    /// Some are missing between them, or they contradict each other.
    Unsure,
}

fn follows(last: Option<CounterValue>, listed: CounterValue) -> Follows {
    match last {
        Some(last) if listed.version == last.version && listed.value != last.value => Follows::Unsure,
        Some(last) if listed.version <= last.version => Follows::Known,
        Some(last) if Some(listed.version) == last.version.checked_add(1) => Follows::Next,
        _ => Follows::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_version_is_believed_without_a_look() {
        let counted = |version, value| CounterValue { value, version };
        let last = Some(counted(5, 50));
        for (listed, expected) in [
            (counted(6, 60), Follows::Next),
            (counted(6, -1), Follows::Next),
            (counted(5, 50), Follows::Known),
            (counted(4, 7), Follows::Known),
            (counted(0, 0), Follows::Known),
            (counted(-1, 0), Follows::Known),
            (counted(5, 51), Follows::Unsure),
            (counted(7, 70), Follows::Unsure),
            (counted(i64::MAX, 70), Follows::Unsure),
        ] {
            assert_eq!(follows(last, listed), expected, "{listed:?}");
        }
        assert_eq!(follows(None, counted(1, 1)), Follows::Unsure);
        assert_eq!(follows(Some(counted(i64::MAX, 1)), counted(i64::MIN, 1)), Follows::Known);
    }
}
