//! What nodes ask each other.

use super::command::{Command, CounterValue, Outcome, What};
use super::id::CounterId;
use super::limits::{is_amount, is_top, named};
use evenfold_cluster::sharding::{Claimed, Part, Released};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Question {
    /// To the owner of its shard.
    Command(Command),
    /// To everybody: the asker sees that these shards are its own, and owns each of them as soon as all have answered
    /// that they neither own nor claim it.
    Claim { shards: Vec<u32> },
    /// To a node that has something of a shard, from the one whose claim is complete.
    Release { shard: u32, part: Part },
    /// For the counters of the highest values that the node has in memory, and so many of them; and for what it has in
    /// memory of the others that are named.
    Top {
        limit: u64,
        #[serde(deserialize_with = "named")]
        named: Vec<CounterId>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum NodeReply {
    Outcome(Outcome),
    /// In the order of the shards.
    Claimed(Vec<Claimed>),
    Released(Released<CounterItems>),
    Top(Vec<RankedCounter>),
    /// The node can't answer that now.
    Refused,
}

/// Counters that are kept in memory only, as they are handed over.
pub(super) type CounterItems = Vec<(CounterId, CounterValue)>;

/// A counter by its value. The greater one has the higher value or, with the same, the name that comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct RankedCounter {
    pub(super) value: i64,
    pub(super) id: Reverse<CounterId>,
}

impl Question {
    /// Whether it is one that a node asks: names of counters have been checked as they were read.
    pub(super) fn is_allowed(&self) -> bool {
        match self {
            Self::Command(Command { what: What::Increment { amount, .. }, .. }) => is_amount(*amount),
            Self::Top { limit, .. } => usize::try_from(*limit).is_ok_and(is_top),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::MAX_COUNTER_ID;
    use super::super::limits::MAX_NAMED;
    use super::*;
    use uuid::Uuid;

    #[test]
    fn another_node_is_allowed_what_a_client_is() {
        let id = CounterId::new("a").unwrap();
        let increment = |amount| {
            let what = What::Increment { amount, event_id: Uuid::nil(), again: false, traceparent: None };
            Question::Command(Command { id: id.clone(), what })
        };
        let top = |limit, named| Question::Top { limit, named: vec![id.clone(); named] };
        for allowed in [increment(1), increment(i64::MIN), top(1, 0), top(1_000, 1)] {
            assert!(allowed.is_allowed(), "{allowed:?}");
        }
        for refused in [increment(0), top(0, 0), top(1_001, 0), top(u64::MAX, 0)] {
            assert!(!refused.is_allowed(), "{refused:?}");
        }
        let arrives = |named| postcard::from_bytes::<Question>(&postcard::to_stdvec(&top(1, named)).unwrap()).is_ok();
        assert!(arrives(MAX_NAMED) && !arrives(MAX_NAMED + 1));
    }

    /// As another node has written them: it may have other rules.
    #[derive(Serialize)]
    enum Foreign<'a> {
        Command {
            id: &'a str,
            what: What,
        },
        #[expect(dead_code, reason = "stands for a place")]
        Claim,
        #[expect(dead_code, reason = "stands for a place")]
        Release,
        Top {
            limit: u64,
            named: Vec<&'a str>,
        },
    }

    #[test]
    fn a_name_that_a_client_may_not_give_does_not_arrive_from_another_node() {
        let arrives = |name| {
            let what = || What::Increment { amount: 1, event_id: Uuid::nil(), again: false, traceparent: None };
            let questions =
                [Foreign::Command { id: name, what: what() }, Foreign::Top { limit: 1, named: vec!["a", name] }];
            questions.map(|question| postcard::from_bytes::<Question>(&postcard::to_stdvec(&question).unwrap()).is_ok())
        };
        let longest = "x".repeat(MAX_COUNTER_ID);
        for good in ["a", "ä/b c", &longest] {
            assert_eq!(arrives(good), [true, true], "{good:?}");
        }
        for bad in ["", &format!("{longest}x"), "a\0", "a\nb", "a\u{85}"] {
            assert_eq!(arrives(bad), [false, false], "{bad:?}");
        }
    }
}
