//! Events that are given in place of a log.

use evenfold::{Aggregate, ExpectedVersion, NewEvent, Position, RecordedEvent, Version};
use std::collections::HashMap;

/// Why an event can't be where it is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct OutOfPlace {
    /// Which of them, from 0.
    pub index: usize,
    /// Why not.
    pub sentence: String,
}

/// Gives events the positions 1, 2, 3 …, and versions that are counted for each aggregate, as a log would. The first
/// event of an aggregate begins at the version after the one that it expects: it may be from the middle of a log.
/// An event that does not say when it was recorded was recorded at the beginning of 2000.
///
/// # Errors
///
/// Where an event expects another version than its aggregate has, or has the id of an earlier one.
pub fn in_place(events: Vec<NewEvent>) -> Result<Vec<RecordedEvent>, OutOfPlace> {
    let mut versions: HashMap<Aggregate, i64> = HashMap::new();
    let mut ids = HashMap::new();
    let mut placed = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let aggregate = event.aggregate().clone();
        let expected = match event.expected() {
            ExpectedVersion::Any => None,
            ExpectedVersion::None => Some(0),
            ExpectedVersion::Exactly(version) => Some(version.get()),
        };
        let last = versions.get(&aggregate).copied();
        let before = last.or(expected).unwrap_or(0);
        if let Some(expected) = expected.filter(|expected| *expected != before) {
            let sentence = format!("{aggregate} was expected to have version {expected} and has {before}");
            return Err(OutOfPlace { index, sentence });
        }
        let Some(version) = before.checked_add(1) else {
            return Err(OutOfPlace { index, sentence: format!("there is no version after {before}") });
        };
        if let Some(earlier) = ids.insert(event.event_id(), index) {
            let sentence = format!("event {} has the same event_id, {}", earlier + 1, event.event_id());
            return Err(OutOfPlace { index, sentence });
        }
        versions.insert(aggregate, version);
        let position = i64::try_from(index).map_or(i64::MAX, |index| index.saturating_add(1));
        placed.push(event.recorded(Position::new(position), Version::new(version)));
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> NewEvent {
        NewEvent::new("order", id, "placed", &1).unwrap()
    }

    #[test]
    fn positions_are_counted_and_versions_for_each_aggregate_from_the_first_that_is_expected() {
        let events = vec![event("a"), event("b").expecting(Version::new(7)), event("a"), event("b")];
        let placed = in_place(events).unwrap();
        let all: Vec<_> = placed.iter().map(|event| (event.position.get(), event.version.get())).collect();
        assert_eq!(all, [(1, 1), (2, 8), (3, 2), (4, 9)]);
    }

    #[test]
    fn an_event_that_expects_another_version_or_has_a_taken_id_is_out_of_place() {
        let refused = |events| in_place(events).map(drop).unwrap_err();
        let conflict = refused(vec![event("a"), event("a").expecting(Version::new(2))]);
        assert_eq!(
            (conflict.index, conflict.to_string()),
            (1, "order/a was expected to have version 2 and has 1".to_owned())
        );
        let first = event("a");
        let twice = refused(vec![first.clone(), event("b").with_event_id(first.event_id())]);
        assert!(twice.index == 1 && twice.sentence.starts_with("event 1 has the same event_id"), "{twice}");
        let last = refused(vec![event("a").expecting(Version::new(i64::MAX))]);
        assert!(last.sentence.contains("no version after"), "{last}");
    }
}
