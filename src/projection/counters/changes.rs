//! Telling those who listen which counters a commit has changed, through a process group.

use super::table::CounterRow;
use crate::counter::Counter;
use crate::group::ProcessGroups;
use crate::group::process::{Group, GroupError};
use std::sync::Arc;

/// The tenant, the namespace and the name of the group.
pub(crate) const PLACE: (&str, &str, &str) = ("evenfold", "counters", "changes");

/// The most counters that are listed. No fewer than a worker that keeps up applies events at once; and with so few, a
/// message has some 100 kB.
pub const MAX_LISTED: usize = 1_000;

/// What a commit has changed, as the members of the group are told after it.
///
/// They are told by the workers of this process that were given the group, never before the commit, and at most once: a
/// worker that is killed just after its commit tells nobody. So a listener joins first, and reads the counters that it wants
/// then; takes over what is listed; and reads again at [`Changes::Any`], or when its queue has
/// [dropped](crate::group::process::Member::dropped) something. Of two rows of one counter that of the higher version
/// counts, whichever comes later: a partition may go from one worker of this process to another just after a commit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Changes {
    /// These counters, as they are now: 1,000 ([`MAX_LISTED`]) at most. One that is listed twice is the later one.
    Listed(Vec<CounterRow>),
    /// Any counter may have changed: more than can be listed; or a worker has begun, met a failure, or gone on after
    /// another; or somebody has joined while the commit was on its way; or rebuilt counters are in use.
    Any,
}

/// The group that is told: that of the tenant `evenfold`, in the namespace `counters`, with the name `changes`. It is
/// created if there is none.
///
/// # Errors
///
/// [`GroupError::TooManyTenants`] or [`GroupError::TooManyGroups`].
pub fn changes_group(groups: &ProcessGroups<Arc<Changes>>) -> Result<Group<Arc<Changes>>, GroupError> {
    let (tenant, namespace, name) = PLACE;
    groups.tenant(tenant)?.open(namespace, name)
}

/// What is to be told once it is committed.
#[derive(Debug)]
pub(super) struct Telling {
    group: Group<Arc<Changes>>,
    pending: Option<Changes>,
    /// Others may have written since this worker's last commit, and have told nobody here.
    unsure: bool,
}

impl Telling {
    pub(super) fn new(group: Group<Arc<Changes>>) -> Self {
        Self { group, pending: None, unsure: true }
    }

    /// These counters are written, in a transaction that is open.
    pub(super) fn written<'a>(&mut self, rows: impl ExactSizeIterator<Item = (&'a str, &'a str, Counter)>) {
        // Whoever joins before the commit and reads what was there before must be told after it: that needs no list.
        let listens = !self.unsure && !self.group.is_empty();
        match self.pending.get_or_insert_with(|| Changes::Listed(Vec::new())) {
            Changes::Listed(listed) if listens && listed.len() + rows.len() <= MAX_LISTED => {
                listed.extend(rows.map(|(aggregate_type, aggregate_id, counter)| CounterRow {
                    aggregate_type: aggregate_type.to_owned(),
                    aggregate_id: aggregate_id.to_owned(),
                    events: counter.events,
                    value: counter.value,
                    version: counter.version,
                    last_position: counter.last_position,
                }));
            }
            pending => *pending = Changes::Any,
        }
    }

    pub(super) fn committed(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.unsure = false;
            self.tell(pending);
        }
    }

    pub(super) fn forget(&mut self) {
        (self.pending, self.unsure) = (None, true);
    }

    /// Waits for nobody, whatever the members wish: the worker must not.
    pub(super) fn tell(&self, changes: Changes) {
        if !self.group.is_empty() {
            // It may have been deleted just now, and then there is nobody to be told.
            let _ = self.group.offer(Arc::new(changes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::process::{JoinOptions, Member};

    type Listener = Member<Arc<Changes>>;

    /// A worker that has told something, and one who listens.
    fn telling() -> Result<(Telling, Listener, ProcessGroups<Arc<Changes>>), GroupError> {
        let groups = ProcessGroups::default();
        let mut telling = Telling::new(changes_group(&groups)?);
        write(&mut telling, 0..1);
        telling.committed();
        let member = telling.group.join("m", JoinOptions::default())?;
        Ok((telling, member, groups))
    }

    fn write(telling: &mut Telling, values: std::ops::Range<i64>) {
        let rows: Vec<_> = values.map(|value| ("t", "a", Counter { value, ..Counter::default() })).collect();
        telling.written(rows.into_iter());
    }

    /// The values that were listed in each message; none for any.
    fn told(member: &mut Listener) -> Vec<Option<Vec<i64>>> {
        let values = |changes: Arc<Changes>| match &*changes {
            Changes::Listed(rows) => Some(rows.iter().map(|row| row.value).collect()),
            Changes::Any => None,
        };
        std::iter::from_fn(|| member.try_recv().ok().flatten()).map(values).collect()
    }

    #[test]
    fn what_is_written_in_a_transaction_is_told_after_its_commit_and_not_after_a_rollback() -> Result<(), GroupError> {
        let (mut telling, mut member, _groups) = telling()?;
        write(&mut telling, 1..2);
        write(&mut telling, 2..4);
        assert_eq!(told(&mut member), []);
        telling.committed();
        assert_eq!(told(&mut member), [Some(vec![1, 2, 3])]);
        telling.committed();
        write(&mut telling, 4..5);
        telling.forget();
        telling.committed();
        assert_eq!(told(&mut member), []);
        write(&mut telling, 5..6);
        telling.committed();
        write(&mut telling, 6..7);
        telling.committed();
        assert_eq!(told(&mut member), [None, Some(vec![6])], "others may have written before the first of them");
        Ok(())
    }

    #[test]
    fn more_than_can_be_listed_is_told_without_a_list_and_kept_in_none() -> Result<(), GroupError> {
        let (mut telling, mut member, _groups) = telling()?;
        write(&mut telling, 0..1_000);
        telling.committed();
        assert_eq!(told(&mut member).first().and_then(Option::as_ref).map(Vec::len), Some(1_000));
        write(&mut telling, 0..999);
        write(&mut telling, 0..2);
        assert_eq!(telling.pending, Some(Changes::Any));
        write(&mut telling, 0..2);
        telling.committed();
        assert_eq!(told(&mut member), [None]);
        Ok(())
    }

    #[test]
    fn nothing_is_listed_while_nobody_listens_and_who_joins_before_the_commit_is_told() -> Result<(), GroupError> {
        let (mut telling, member, _groups) = telling()?;
        drop(member);
        write(&mut telling, 1..2);
        assert_eq!(telling.pending, Some(Changes::Any));
        let mut member = telling.group.join("m", JoinOptions::default())?;
        telling.committed();
        assert_eq!(told(&mut member), [None]);
        Ok(())
    }
}
