//! What needs somebody, in sentences: what the page is red for, and why the probe fails. They have nothing that changes
//! with each counting, so that a sentence that stays is not read out again.

use crate::history::History;
use crate::reading::{ProjectionReading, Reading};
use evenfold::checkpoint::{ClassStatus, Status};
use serde::Serialize;
use std::collections::BTreeMap;

/// So many classes are named in a sentence.
const NAMED: usize = 6;

/// A transaction that has appended and is open for so many seconds is worth a sentence.
const LONG_OPEN: f64 = 60.0;

/// A class that has events behind it which are so many seconds old, and whose checkpoint has not moved for as long,
/// stands still, whatever its worker says.
const STUCK: f64 = 10.0;

/// What needs somebody.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct NeedsSomebody {
    /// Whether something is wrong, and not only worth knowing.
    pub(crate) grave: bool,
    /// Whether events are not applied because of it.
    #[serde(skip)]
    pub(crate) stops: bool,
    /// What it is.
    pub(crate) sentence: String,
    /// Since when, as Unix time in seconds, where that is known.
    pub(crate) since: Option<f64>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gravity {
    /// Events are not applied.
    Stops,
    /// Somebody must do something.
    Wrong,
    /// It is worth knowing.
    Note,
}

/// Why the projections of a reading are not as they should be: what keeps events from being applied, for a probe.
pub(crate) fn stopping(reading: &Reading) -> Vec<String> {
    let lasting = |since: f64| format!(", for {:.0} s", (reading.counted_at - since).max(0.0));
    troubles(reading, None, &History::default())
        .into_iter()
        .filter(|trouble| trouble.stops)
        .map(|trouble| trouble.sentence + &trouble.since.map(lasting).unwrap_or_default())
        .collect()
}

/// All of it, the worst first.
pub(crate) fn troubles(reading: &Reading, unreachable_since: Option<f64>, history: &History) -> Vec<NeedsSomebody> {
    let mut found = Vec::new();
    if let Some(error) = &reading.error {
        let sentence = format!("The database can't be asked, and how anything stands is not known: {error}");
        found.push(NeedsSomebody { grave: true, stops: true, sentence, since: unreachable_since });
    }
    for projection in &reading.projections {
        match &projection.rebuilds {
            Some(rebuilt) => of_rebuild(rebuilt, &projection.status, &mut found),
            None => of_projection(projection, reading.counted_at, history, &mut found),
        }
    }
    of_the_log(reading, &mut found);
    found.sort_by_key(|trouble| !trouble.grave);
    found
}

/// A rebuild that was stopped is no trouble of the projection, which goes on as it was.
fn of_rebuild(rebuilt: &str, status: &Status, found: &mut Vec<NeedsSomebody>) {
    if status.is_idle() {
        let sentence = format!("{rebuilt}: its rebuild was stopped, and goes on when it is started again");
        found.push(NeedsSomebody { grave: false, stops: false, sentence, since: None });
    }
}

fn of_projection(projection: &ProjectionReading, now: f64, history: &History, found: &mut Vec<NeedsSomebody>) {
    let status = &projection.status;
    let name = &status.projection;
    let mut add = |gravity: Gravity, sentence: String, since: Option<f64>| {
        let (grave, stops) = (gravity != Gravity::Note, gravity == Gravity::Stops);
        found.push(NeedsSomebody { grave, stops, sentence: format!("{name}: {sentence}"), since });
    };
    if status.total_partitions.is_none() {
        add(Gravity::Stops, "no worker has begun, and nobody applies its events".to_owned(), None);
    } else if !status.cover_complete {
        add(Gravity::Stops, cover(status), None);
    }
    for (why, idle) in by_reason(status) {
        let since = idle.iter().map(|class| now - since_when(class)).reduce(f64::min);
        add(Gravity::Stops, format!("nobody is at work on {}: {why}", listed(status, &idle)), since);
    }
    if let Some(why) = &projection.uncounted {
        add(Gravity::Wrong, format!("how far it is behind is not known: {why}"), None);
    }
    let at_work: Vec<&ClassStatus> = status.classes.iter().filter(|class| class.idle.is_none()).collect();
    let of = |is: &dyn Fn(&ClassStatus) -> bool| at_work.iter().copied().filter(|class| is(class)).collect::<Vec<_>>();
    let grows = of(&|class| history.grows(name, &class.class));
    if !grows.is_empty() {
        let classes = listed(status, &grows);
        let sentence = format!("what is behind grows, for a minute at least, on {classes}: more comes than is applied");
        add(Gravity::Wrong, sentence, None);
    }
    let stuck = of(&|class| class.behind > 0 && class.moved_seconds > STUCK && class.behind_seconds > STUCK);
    if !stuck.is_empty() {
        let since = stuck.iter().map(|class| now - class.moved_seconds).reduce(f64::min);
        let classes = listed(status, &stuck);
        let sentence =
            format!("events are behind and the checkpoint does not move, though a worker runs, on {classes}");
        add(Gravity::Stops, sentence, since);
    }
    let late = of(&|class| class.late.is_some());
    if !late.is_empty() {
        add(
            Gravity::Note,
            format!("the heartbeat is late, or was within the last minute, on {}", listed(status, &late)),
            None,
        );
    }
    let parked: i64 = status.classes.iter().map(|class| class.parked).sum();
    if parked > 0 {
        let what = if parked == 1 { "1 aggregate is".to_owned() } else { format!("{parked} aggregates are") };
        add(
            Gravity::Note,
            format!("{what} parked: the read model is without events of them until they are retried"),
            None,
        );
    }
    for (total, workers) in &status.waiting {
        let what = if *workers == 1 { "1 worker waits".to_owned() } else { format!("{workers} workers wait") };
        add(Gravity::Note, format!("{what} with {total} partitions, which another number has replaced"), None);
    }
}

fn of_the_log(reading: &Reading, found: &mut Vec<NeedsSomebody>) {
    let open = reading.projections.iter().filter_map(|projection| projection.status.oldest_append_open_seconds);
    if let Some(seconds) = open.reduce(f64::max).filter(|seconds| *seconds > LONG_OPEN) {
        let sentence = "A transaction that has appended events stays open: nobody sees these events until it ends";
        let since = Some(reading.counted_at - seconds);
        found.push(NeedsSomebody { grave: false, stops: false, sentence: sentence.to_owned(), since });
    }
}

/// Why the cover of the hashes is not complete.
fn cover(status: &Status) -> String {
    let moduli = status.classes.iter().filter_map(|class| class.class.split_once('/')?.1.parse::<f64>().ok());
    let share: f64 = moduli.map(|modulus| 1.0 / modulus).sum();
    let missing = (1.0 - share) * 100.0;
    if status.classes.is_empty() {
        "it has no class, and nobody applies its events".to_owned()
    } else if missing > 1e-7 {
        format!(
            "the cover of the hashes is not complete: {missing:.1} % of the hashes belong to no class, and nobody applies their events"
        )
    } else {
        "the classes overlap, and are no cover of the hashes".to_owned()
    }
}

/// The classes that nobody works on, by the reason.
fn by_reason(status: &Status) -> BTreeMap<String, Vec<&ClassStatus>> {
    let mut reasons: BTreeMap<String, Vec<&ClassStatus>> = BTreeMap::new();
    for class in &status.classes {
        let Some(idle) = &class.idle else { continue };
        let fresh = class.state.as_deref().is_some_and(|state| state.starts_with(evenfold::checkpoint::RETRYING));
        let why = match &class.owner {
            None => "no worker has it".to_owned(),
            Some(_) if fresh => idle.clone(),
            Some(owner) => format!("no heartbeat from {owner}"),
        };
        reasons.entry(why).or_default().push(class);
    }
    reasons
}

/// How long ago there was a sign of somebody who works on a class, in seconds.
fn since_when(class: &ClassStatus) -> f64 {
    class.heartbeat_seconds.filter(|age| *age > 5.0).map_or(class.moved_seconds, |age| age.min(class.moved_seconds))
}

/// These of its classes, by name as far as there is room.
fn listed(status: &Status, classes: &[&ClassStatus]) -> String {
    let names: Vec<&str> = classes.iter().take(NAMED).map(|class| class.class.as_str()).collect();
    let more = classes.len().saturating_sub(NAMED);
    let names = names.join(", ");
    let names = if more > 0 { format!("{names} and {more} more") } else { names };
    match status.classes.len() {
        1 => format!("its only class ({names})"),
        all if all == classes.len() => format!("all of its {all} classes ({names})"),
        all => format!("{} of its {all} classes ({names})", classes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn sentences(reading: &Reading) -> Vec<String> {
        let mark = |trouble: NeedsSomebody| {
            let since = trouble.since.map(|since| format!(" @{since:.0}")).unwrap_or_default();
            format!("{}{}{since}", if trouble.grave { "! " } else { "" }, trouble.sentence)
        };
        troubles(reading, Some(900.0), &History::default()).into_iter().map(mark).collect()
    }

    #[test]
    fn nothing_is_found_where_everything_is_as_it_should_be() {
        assert_eq!(sentences(&sample::reading(1000.0, 4)), [""; 0]);
    }

    #[test]
    fn classes_that_nobody_works_on_are_named_with_the_reason_and_since_when() {
        let mut reading = sample::reading(1000.0, 10);
        let classes = &mut reading.projections[0].status.classes;
        for class in &mut classes[..8] {
            class.idle = Some("no heartbeat for 40 s from host:1; its checkpoint has not moved for 50 s".to_owned());
            (class.heartbeat_seconds, class.moved_seconds) = (Some(40.0), 50.0);
        }
        (classes[8].idle, classes[8].owner) = (Some("no worker".to_owned()), None);
        (classes[8].heartbeat_seconds, classes[8].moved_seconds) = (None, 100.0);
        classes[9].state = Some("retrying: a lock".to_owned());
        classes[9].idle = Some("host:1 can't work on it: a lock".to_owned());
        let expected = [
            "! counters: nobody is at work on 1 of its 10 classes (9/10): host:1 can't work on it: a lock @998",
            "! counters: nobody is at work on 8 of its 10 classes (0/10, 1/10, 2/10, 3/10, 4/10, 5/10 and 2 more): no heartbeat from host:1 @960",
            "! counters: nobody is at work on 1 of its 10 classes (8/10): no worker has it @900",
        ];
        assert_eq!(sentences(&reading), expected);
    }

    #[test]
    fn a_cover_with_a_hole_a_database_away_and_a_projection_that_nobody_began_come_first() {
        let mut reading = sample::reading(1000.0, 4);
        let status = &mut reading.projections[0].status;
        status.classes.remove(1);
        status.cover_complete = false;
        status.classes[0].parked = 2;
        status.waiting = vec![(2, 1)];
        status.oldest_append_open_seconds = Some(70.0);
        let found = sentences(&reading);
        assert!(
            found[0].starts_with("! counters: the cover of the hashes is not complete: 25.0 % of the hashes"),
            "{found:?}"
        );
        assert!(found[1].contains("2 aggregates are parked") && found[2].contains("1 worker waits with 2 partitions"));
        assert!(found[3].contains("stays open") && found[3].ends_with("@930"), "{found:?}");
        reading.projections[0].status.total_partitions = None;
        assert!(sentences(&reading)[0].contains("no worker has begun"));
        let away = sentences(&sample::failed(1000.0));
        assert_eq!(
            away,
            ["! The database can't be asked, and how anything stands is not known: connection refused @900"]
        );
    }

    #[test]
    fn a_lag_that_grows_and_a_checkpoint_that_does_not_move_are_found() {
        let mut history = History::default();
        let mut reading = sample::reading(1000.0, 2);
        for (at, behind) in [(1000.0, 10), (1030.0, 20), (1060.0, 30)] {
            reading.counted_at = at;
            reading.projections[0].status.classes[1].behind = behind;
            history.note(&reading);
        }
        let class = &mut reading.projections[0].status.classes[1];
        (class.moved_seconds, class.behind_seconds) = (90.0, 95.0);
        let found = troubles(&reading, None, &history);
        assert!(
            found[0].grave && found[0].sentence.contains("grows") && found[0].sentence.contains("(1/2)"),
            "{found:?}"
        );
        assert!(
            found[1].grave && found[1].sentence.contains("does not move") && found[1].since == Some(970.0),
            "{found:?}"
        );
    }

    #[test]
    fn a_rebuild_that_was_stopped_is_worth_knowing_and_what_keeps_events_from_being_applied_fails_a_probe() {
        let mut reading = sample::reading(1000.0, 2);
        let mut rebuild = reading.projections[0].clone();
        rebuild.rebuilds = Some("counters".to_owned());
        for class in &mut rebuild.status.classes {
            class.idle = Some("no worker".to_owned());
        }
        reading.projections.push(rebuild);
        assert_eq!(sentences(&reading), ["counters: its rebuild was stopped, and goes on when it is started again"]);
        assert_eq!(stopping(&reading), [""; 0]);
        reading.projections[0].uncounted = Some("the log is not named".to_owned());
        reading.projections[0].status.classes[0].parked = 1;
        assert_eq!(stopping(&reading), [""; 0], "that is red, and keeps no event from being applied");
        let class = &mut reading.projections[0].status.classes[1];
        (class.idle, class.owner) = (Some("no worker".to_owned()), None);
        (class.heartbeat_seconds, class.moved_seconds) = (None, 40.0);
        let expected = "counters: nobody is at work on 1 of its 2 classes (1/2): no worker has it, for 40 s";
        assert_eq!(stopping(&reading), [expected]);
    }
}
