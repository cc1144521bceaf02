//! Which classes and projections are in the worst state, and how their figures are written.

use evenfold::checkpoint::{ClassStatus, Status};
use std::cmp::{Ordering, Reverse};

/// How old a heartbeat may be whose rate is still of the last few seconds.
const RECENT: f64 = 10.0;

/// The kind of a class that needs nobody.
const NO_TROUBLE: u8 = 3;

/// The classes that need somebody first; among equals the order of the classes.
pub(super) fn worst_first(classes: &[ClassStatus]) -> Vec<&ClassStatus> {
    let mut sorted: Vec<&ClassStatus> = classes.iter().collect();
    sorted.sort_by(|one, other| {
        // Of events that were appended together, none is older.
        let older = other.behind_seconds.floor().total_cmp(&one.behind_seconds.floor());
        kind(one).cmp(&kind(other)).then(older).then(other.behind.cmp(&one.behind))
    });
    sorted
}

/// What kind of trouble a class has: the less the worse.
fn kind(class: &ClassStatus) -> u8 {
    match class {
        ClassStatus { idle: Some(_), .. } => 0,
        ClassStatus { parked: 1.., .. } => 1,
        ClassStatus { late: Some(_), .. } => 2,
        _ => NO_TROUBLE,
    }
}

/// Whether anybody must look after a projection.
pub(super) fn is_troubled(status: &Status) -> bool {
    !is_begun(status) || !status.cover_complete || status.classes.iter().any(|class| kind(class) < NO_TROUBLE)
}

/// Whether its number of partitions is known, without which there is nothing to show of it.
pub(super) fn is_begun(status: &Status) -> bool {
    status.total_partitions.is_some()
}

/// The projections that need somebody first; among equals the order that was asked for.
pub(super) fn worst_projections_first(all: &[Status]) -> Vec<&Status> {
    let mut sorted: Vec<&Status> = all.iter().collect();
    sorted.sort_by(|one, other| compare(one, other));
    sorted
}

fn compare(one: &Status, other: &Status) -> Ordering {
    let rank = |status: &Status| {
        let idle = status.classes.iter().filter(|class| class.idle.is_some()).count();
        let worst = status.classes.iter().map(kind).min().unwrap_or(NO_TROUBLE);
        let worst = if is_begun(status) { worst } else { 0 };
        (if status.cover_complete { worst } else { worst.min(1) }, Reverse(idle))
    };
    let older = oldest(other).total_cmp(&oldest(one));
    rank(one).cmp(&rank(other)).then(older).then(other.behind().cmp(&one.behind()))
}

/// The age of the oldest event that is not applied, in seconds.
pub(super) fn oldest(status: &Status) -> f64 {
    status.classes.iter().map(|class| class.behind_seconds).fold(0.0, f64::max)
}

/// Events per second in the last few seconds; none where that is not known: what a dead worker did last says nothing.
pub(super) fn rate(class: &ClassStatus) -> Option<f64> {
    let recent = class.idle.is_none() && class.heartbeat_seconds.is_some_and(|age| age < RECENT);
    class.per_second.filter(|_| recent)
}

/// A time in at most seven columns.
pub(super) fn age(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    match seconds {
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 100.0 * MINUTE => format!("{:.0} min", s / MINUTE),
        s if s < 100.0 * HOUR => format!("{:.0} h", s / HOUR),
        s => format!("{:.0} d", s / (24.0 * HOUR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text) in
            [(0.04, "0.0 s"), (99.0, "99.0 s"), (100.0, "2 min"), (7200.0, "2 h"), (864_000.0, "10 d")]
        {
            assert_eq!(age(seconds), text);
        }
    }
}
