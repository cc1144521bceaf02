//! Whether what was seen of one key can be explained by changes and reads that were made one after another.
//!
//! The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993): whatever nobody else had returned
//! from before it was called may have been first. States that have been seen with the same calls left are not searched
//! again (Lowe, "Testing for Linearizability", 2017).

use std::collections::HashSet;

/// A call, from before it was made until after it had returned, by a clock that all share.
#[derive(Debug, Clone)]
pub struct Call {
    pub began: u64,
    pub ended: u64,
    pub did: Did,
}

/// A version and the value that has it.
pub type Entry = Option<(u64, i64)>;

/// What was asked for, and the answer.
#[derive(Debug, Clone)]
pub enum Did {
    Get(Entry),
    Put {
        now: (u64, i64),
        created: bool,
    },
    /// Put if the version is this one; without a version, if the key is absent.
    PutIf {
        version: Option<u64>,
        now: (u64, i64),
    },
    /// The same, and the version was another one.
    Conflict {
        version: Option<u64>,
        current: Option<u64>,
    },
    Incr {
        by: i64,
        now: (u64, i64),
    },
    Delete {
        was_there: bool,
    },
}

impl Did {
    /// What is held afterwards; none if it can't have been done to what was held before.
    fn apply(&self, entry: Entry) -> Option<Entry> {
        let version = entry.map(|(version, _)| version);
        let (possible, after) = match self {
            Self::Get(seen) => (*seen == entry, entry),
            Self::Put { now, created } => (*created == entry.is_none(), Some(*now)),
            Self::PutIf { version: expected, now } => (*expected == version, Some(*now)),
            Self::Conflict { version: expected, current } => (*current == version && expected != current, entry),
            Self::Incr { by, now } => (entry.map_or(0, |(_, value)| value) + by == now.1, Some(*now)),
            Self::Delete { was_there } => (*was_there == entry.is_some(), None),
        };
        possible.then_some(after)
    }
}

/// Whether the calls about one key, which is absent at first, are linearizable. At most 128.
pub fn is_linearizable(calls: &[Call]) -> bool {
    assert!(calls.len() <= 128, "{} calls", calls.len());
    let all = if calls.len() == 128 { u128::MAX } else { (1 << calls.len()) - 1 };
    let mut seen = HashSet::new();
    let mut open = vec![(0_u128, None)];
    while let Some((done, entry)) = open.pop() {
        if done == all {
            return true;
        }
        if !seen.insert((done, entry)) {
            continue;
        }
        let left = || calls.iter().enumerate().filter(move |(n, _)| done & (1 << n) == 0);
        let first_return = left().map(|(_, call)| call.ended).min().unwrap_or(u64::MAX);
        for (n, call) in left().filter(|(_, call)| call.began < first_return) {
            open.extend(call.did.apply(entry).map(|entry| (done | 1 << n, entry)));
        }
    }
    false
}

fn calls(history: &[(u64, u64, Did)]) -> Vec<Call> {
    history.iter().map(|(began, ended, did)| Call { began: *began, ended: *ended, did: did.clone() }).collect()
}

#[test]
fn histories_that_some_order_explains_are_accepted() {
    use Did::{Conflict, Delete, Get, Incr, Put, PutIf};
    let fine: [&[(u64, u64, Did)]; 4] = [
        &[],
        &[(0, 1, Put { now: (1, 7), created: true }), (2, 3, Get(Some((1, 7)))), (4, 5, Delete { was_there: true })],
        // Reads concurrent to a put see it or not, whichever began first.
        &[
            (0, 9, Put { now: (1, 7), created: true }),
            (1, 2, Get(None)),
            (1, 4, Get(Some((1, 7)))),
            (3, 5, Get(Some((1, 7)))),
        ],
        // Of two that put if absent one is later.
        &[
            (0, 5, PutIf { version: None, now: (1, 7) }),
            (0, 5, Conflict { version: None, current: Some(1) }),
            (1, 6, Incr { by: 2, now: (2, 9) }),
        ],
    ];
    for history in fine {
        assert!(is_linearizable(&calls(history)), "{history:?}");
    }
}

#[test]
fn histories_that_no_order_explains_are_rejected() {
    use Did::{Conflict, Delete, Get, Incr, Put, PutIf};
    let put = |at, version, created| (at, at + 1, Put { now: (version, 7), created });
    let wrong: [&[(u64, u64, Did)]; 8] = [
        // A stale read, and one of what was never put.
        &[put(0, 1, true), put(2, 2, false), (4, 5, Get(Some((1, 7))))],
        &[put(0, 1, true), (2, 3, Get(Some((1, 8))))],
        // Two reads, one after the other, see two changes in the wrong order.
        &[(0, 9, Put { now: (1, 7), created: true }), (1, 2, Get(Some((1, 7)))), (3, 4, Get(None))],
        // Two win with the same version.
        &[
            put(0, 1, true),
            (2, 9, PutIf { version: Some(1), now: (2, 7) }),
            (2, 9, PutIf { version: Some(1), now: (3, 7) }),
        ],
        // A conflict with the version that was asked for.
        &[put(0, 1, true), (2, 3, Conflict { version: Some(1), current: Some(1) })],
        // A lost count.
        &[(0, 5, Incr { by: 1, now: (1, 1) }), (0, 5, Incr { by: 1, now: (2, 1) })],
        // What was deleted is found, and what was there is not deleted.
        &[put(0, 1, true), (2, 3, Delete { was_there: true }), (4, 5, Get(Some((1, 7))))],
        &[put(0, 1, true), (2, 3, Delete { was_there: false })],
    ];
    for history in wrong {
        assert!(!is_linearizable(&calls(history)), "{history:?}");
    }
}
