//! The process group through which the workers and the shards of a process publish which counters have changed.

use super::command::{Call, CounterValue, Outcome};
use super::id::{AGGREGATE_TYPE, CounterId};
use evenfold::counters::{Changes, CounterRow, Subscribers};
use evenfold::number::Position;
use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{Group, GroupError};
use std::sync::Arc;

/// The tenant, the namespace and the name of the group.
pub(crate) const PLACE: (&str, &str, &str) = ("evenfold", "counters", "changes");

/// The group in which [`Changes`] are published: that of the tenant `evenfold`, in the namespace `counters`, with the
/// name `changes`. It is created if there is none.
///
/// Who joins late, or whose queue has [dropped](evenfold_groups::process::Member::dropped) something, reads again.
///
/// # Errors
///
/// [`GroupError::TooManyTenants`] or [`GroupError::TooManyGroups`].
pub fn changes_group(groups: &ProcessGroups<Arc<Changes>>) -> Result<Group<Arc<Changes>>, GroupError> {
    let (tenant, namespace, name) = PLACE;
    groups.tenant(tenant)?.open(namespace, name)
}

/// The members of a group as those to whom a worker of this process
/// [publishes](evenfold::counters::Counters::publishing).
#[must_use]
pub fn subscribers(group: Group<Arc<Changes>>) -> Arc<dyn Subscribers> {
    Arc::new(Members(group))
}

#[derive(Debug)]
struct Members(Group<Arc<Changes>>);

impl Subscribers for Members {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for nobody, whatever the members wish.
    fn publish(&self, changes: Changes) {
        // The group may have been deleted just now, and then nobody is in it.
        let _ = self.0.offer(Arc::new(changes));
    }
}

/// Publishes to those who watch what has been counted. Workers publish it too, once they have folded it, but they may
/// be in other processes; what was published before is not newer.
pub(super) fn publish<'a>(changes: &Group<Arc<Changes>>, answers: impl Iterator<Item = (&'a Call, &'a Outcome)>) {
    if changes.is_empty() {
        return;
    }
    let counted = answers.filter_map(|(call, outcome)| Some((&call.command, outcome.as_ref().ok()?)));
    let rows: Vec<_> =
        counted.filter(|(command, _)| command.changes()).map(|(command, at)| row(&command.id, *at)).collect();
    if !rows.is_empty() {
        // It may have been deleted just now: then there is nobody to notify.
        let _ = changes.offer(Arc::new(Changes::Listed(rows)));
    }
}

fn row(id: &CounterId, counted: CounterValue) -> CounterRow {
    CounterRow {
        aggregate_type: AGGREGATE_TYPE.to_owned(),
        aggregate_id: id.as_str().to_owned(),
        events: counted.version,
        value: counted.value,
        version: counted.version.into(),
        last_position: Position::START,
    }
}
