//! What commands do to counters. It knows no log: asked the same, it says the same.

use super::command::{Command, CounterValue, Outcome, What};
use super::error::ServiceError;
use super::id::{AGGREGATE_TYPE, CounterId};
use evenfold::event::{InvalidEvent, NewEvent, RecordedEvent};
use evenfold::log::Appended;
use evenfold::number::Version;
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What an increment is called in the log.
const EVENT_TYPE: &str = "incremented";

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    amount: i64,
}

/// Stored with the event: what was answered, for whoever repeats the request.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    value: i64,
    /// What has caused it, where that is known.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

/// What counters stand at in the log; or why that is not known of one.
pub(super) type Known = Map<Result<CounterValue, String>>;

/// By counter. The hashes have a random seed, as names come from outside.
pub(super) type Map<T> = HashMap<CounterId, T, RandomState>;

/// What is to be appended, and answered once it is.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) events: Vec<NewEvent>,
    /// Which command each event is of.
    pub(super) of: Vec<usize>,
    /// Which version each event is to have.
    pub(super) versions: Vec<i64>,
    /// Of each command; none if it repeats one before it, and has to wait for what becomes of that.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// What the counters that change stand at then.
    pub(super) changed: Map<CounterValue>,
}

/// Decides commands one after the other. Each of their counters must be known.
pub(super) fn decide<'a>(commands: impl Iterator<Item = &'a Command>, known: &Known) -> Decided {
    let mut decided = Decided::default();
    let mut keys = HashSet::default();
    for (index, command) in commands.enumerate() {
        let outcome = decided.one(index, command, known, &mut keys);
        decided.outcomes.push(outcome);
    }
    decided
}

impl Decided {
    fn one(
        &mut self,
        index: usize,
        command: &Command,
        known: &Known,
        keys: &mut HashSet<Uuid, RandomState>,
    ) -> Option<Outcome> {
        let before = match (self.changed.get(&command.id), known.get(&command.id)) {
            (Some(counted), _) | (None, Some(Ok(counted))) => *counted,
            (None, Some(Err(reason))) => return Some(Err(ServiceError::Parked(reason.clone()).into())),
            (None, None) => return None,
        };
        let What::Increment { amount, event_id, traceparent, .. } = command.what else { return Some(Ok(before)) };
        if !keys.insert(event_id) {
            return None;
        }
        let after = match before.plus(amount) {
            Ok(after) => after,
            Err(overflow) => return Some(Err(overflow.into())),
        };
        let metadata = Metadata { value: after.value, traceparent: traceparent.map(|cause| cause.to_string()) };
        match event(&command.id, amount, event_id, before, &metadata) {
            Ok(event) => self.events.push(event),
            Err(error) => return Some(Err(ServiceError::Unavailable(error.to_string()).into())),
        }
        self.of.push(index);
        self.versions.push(after.version);
        self.changed.insert(command.id.clone(), after);
        Some(Ok(after))
    }
}

impl Decided {
    /// Whether the events have the versions that they were decided for.
    pub(super) fn is_as(&self, appended: &[Appended]) -> bool {
        appended.iter().map(|event| event.version.get()).eq(self.versions.iter().copied())
    }
}

fn event(
    id: &CounterId,
    amount: i64,
    event_id: Uuid,
    before: CounterValue,
    metadata: &Metadata,
) -> Result<NewEvent, InvalidEvent> {
    NewEvent::new(AGGREGATE_TYPE, id.as_str(), EVENT_TYPE, &Payload { amount })?
        .with_event_id(event_id)
        .expecting(Version::new(before.version))
        .with_metadata(metadata)
}

/// What is answered to a command whose event id is in the log: what was answered before, if it is the same command.
pub(super) fn repeated(command: &Command, found: &RecordedEvent) -> Outcome {
    let of_this = found.aggregate.aggregate_type == AGGREGATE_TYPE
        && found.aggregate.aggregate_id == command.id.as_str()
        && found.event_type == EVENT_TYPE;
    let payload = serde_json::from_str(&found.payload).ok();
    let metadata = found.metadata.as_deref().and_then(|metadata| serde_json::from_str(metadata).ok());
    match (command.what, payload, metadata) {
        (What::Increment { amount, .. }, Some(Payload { amount: same }), Some(Metadata { value, .. }))
            if of_this && same == amount =>
        {
            Ok(CounterValue { value, version: found.version.get() })
        }
        _ => Err(ServiceError::KeyReused.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenfold::number::Position;
    use serde_json::value::RawValue;

    fn id(name: &str) -> CounterId {
        CounterId::new(name).unwrap()
    }

    fn increment(name: &str, amount: i64, key: u128) -> Command {
        Command {
            id: id(name),
            what: What::Increment { amount, event_id: Uuid::from_u128(key), again: false, traceparent: None },
        }
    }

    fn read(name: &str) -> Command {
        Command { id: id(name), what: What::Read }
    }

    fn known(counters: &[(&str, i64, i64)]) -> Known {
        counters.iter().map(|&(name, value, version)| (id(name), Ok(CounterValue { value, version }))).collect()
    }

    #[test]
    fn each_command_sees_those_before_it() {
        let commands = [read("a"), increment("a", 2, 1), increment("b", 7, 2), increment("a", 3, 3), read("a")];
        let decided = decide(commands.iter(), &known(&[("a", 10, 4), ("b", 0, 0)]));
        let counted = |value, version| Some(Ok(CounterValue { value, version }));
        assert_eq!(decided.outcomes, [counted(10, 4), counted(12, 5), counted(7, 1), counted(15, 6), counted(15, 6)]);
        assert_eq!(decided.of, [1, 2, 3]);
        let expected: Vec<_> = decided.events.iter().map(evenfold::event::NewEvent::expected).collect();
        assert_eq!(expected, [4, 0, 5].map(|version| Version::new(version).into()));
        assert_eq!(decided.changed[&id("a")], CounterValue { value: 15, version: 6 });
    }

    #[test]
    fn what_does_not_fit_is_no_event_and_the_next_one_goes_on_from_before() {
        let commands = [increment("a", 1, 1), increment("a", -1, 2)];
        let decided = decide(commands.iter(), &known(&[("a", i64::MAX, 4)]));
        let overflow = ServiceError::Overflow { value: i64::MAX, amount: 1 };
        let less = CounterValue { value: i64::MAX - 1, version: 5 };
        assert_eq!(decided.outcomes, [Some(Err(overflow.into())), Some(Ok(less))]);
        assert_eq!(decided.events.len(), 1);
    }

    #[test]
    fn a_repeated_key_waits_and_a_counter_that_is_not_known_changes_nothing() {
        let commands = [increment("a", 1, 1), increment("a", 1, 1), increment("b", 1, 2)];
        let mut counters = known(&[("a", 0, 0)]);
        counters.insert(id("b"), Err("bad".to_owned()));
        let decided = decide(commands.iter(), &counters);
        assert_eq!(decided.outcomes[1], None);
        assert_eq!(decided.outcomes[2], Some(Err(ServiceError::Parked("bad".to_owned()).into())));
        assert_eq!(decided.events.len(), 1);
    }

    #[test]
    fn only_the_same_command_is_answered_again() {
        let of_type = |event_type: &str, name: &str, payload: &str, metadata: Option<&str>| {
            let json = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
            let event = NewEvent::new(AGGREGATE_TYPE, name, event_type, &json(payload)).unwrap();
            let event = match metadata {
                Some(metadata) => event.with_metadata(&json(metadata)).unwrap(),
                None => event,
            };
            event.recorded(Position::new(1), Version::new(3))
        };
        let found = |name: &str, payload: &str, metadata: Option<&str>| of_type(EVENT_TYPE, name, payload, metadata);
        let (command, value) = (increment("a", 5, 1), Some(r#"{"value":11}"#));
        assert_eq!(
            repeated(&command, &found("a", r#"{"amount":5}"#, value)),
            Ok(CounterValue { value: 11, version: 3 })
        );
        let others = [
            found("b", r#"{"amount":5}"#, value),
            found("a", r#"{"amount":6}"#, value),
            found("a", "{}", value),
            found("a", r#"{"amount":5}"#, None),
            of_type("other", "a", r#"{"amount":5}"#, value),
        ];
        for other in others {
            assert_eq!(repeated(&command, &other), Err(ServiceError::KeyReused.into()), "{other:?}");
        }
    }
}
