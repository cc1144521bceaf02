//! What is printed of a projection: totals, what is wrong, and a row per class.

use super::order::{age, is_begun, oldest, rate, worst_first};
use super::trouble::sentences;
use crate::output::{COLUMNS, sentence, table, thousands};
use evenfold::checkpoint::{ClassStatus, Status};

/// How many columns a process has at least.
const PROCESS: usize = 12;

/// How many sentences there are about what is wrong, at most: the rest is in `--check` and `--json`.
const SHOWN: usize = 8;

/// All of these projections, in full.
pub(super) fn report(all: &[Status]) -> String {
    all.iter().map(whole).collect::<Vec<_>>().join("\n")
}

fn whole(status: &Status) -> String {
    if !is_begun(status) {
        return not_begun(status).iter().map(|line| sentence(line)).collect();
    }
    let mut lines = vec![title(status), totals(status)];
    let troubles = sentences(status);
    lines.extend(troubles.iter().take(SHOWN).cloned());
    if let Some(more) = troubles.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("… and {more} more: status --check names all"));
    }
    lines.extend(facts(status));
    let lines: String = lines.iter().map(|line| sentence(line)).collect();
    lines + &rows(&worst_first(&status.classes), COLUMNS)
}

/// What there is in place of the rest where no number of partitions is known.
pub(super) fn not_begun(status: &Status) -> Vec<String> {
    let projection = &status.projection;
    if !status.classes.is_empty() {
        let checkpoints = status.classes.len();
        return vec![format!(
            "{projection}: has {checkpoints} checkpoints, and its number of partitions was removed by hand: start its \
             workers, which record it"
        )];
    }
    let mut lines = vec![format!("the projection {projection} has not been begun: start a worker")];
    lines.extend(status.events.map(|events| format!("0 of {} events are applied.", thousands(events))));
    lines
}

pub(super) fn title(status: &Status) -> String {
    let cover = if status.cover_complete { "complete" } else { "INCOMPLETE" };
    format!("{}: {} partitions, cover {cover}", status.projection, status.total_partitions.unwrap_or_default())
}

/// All classes in one line.
#[expect(clippy::cast_possible_truncation, reason = "a rate to look at")]
pub(super) fn totals(status: &Status) -> String {
    let (all, behind, oldest) = (status.classes.len(), status.behind(), oldest(status));
    let working = status.classes.iter().filter(|class| class.idle.is_none()).count();
    let mut figures = vec![format!("total: {working} of {all} classes with a worker")];
    // What belongs to no class is counted by none.
    let least = if status.cover_complete { "" } else { "at least " };
    let estimated = status.classes.iter().any(|class| class.estimated);
    figures.push(format!("{least}{} behind", events(behind, estimated)));
    if behind > 0 {
        figures.push(format!("oldest {}", age(oldest)));
    }
    let parked: i64 = status.classes.iter().map(|class| class.parked).sum();
    figures.push(format!("{} parked", thousands(parked)));
    let rates: Vec<f64> = status.classes.iter().filter_map(rate).collect();
    if !rates.is_empty() {
        figures.push(format!("{}/s", thousands(rates.iter().sum::<f64>().round() as i64)));
    }
    figures.join(", ")
}

/// What else there is to know.
pub(super) fn facts(status: &Status) -> Vec<String> {
    let mut facts = Vec::new();
    for (total, workers) in &status.waiting {
        facts.push(format!("waiting, to take over again: {workers} worker(s) of {total} partitions"));
    }
    if let Some(seconds) = status.oldest_append_open_seconds {
        facts.push(format!("oldest open transaction that appended: {}", age(seconds)));
    }
    for (total, ago) in &status.superseded {
        facts.push(format!("superseded: {total} partitions, {} ago", age(*ago)));
    }
    facts
}

/// A table of these classes.
pub(super) fn rows(classes: &[&ClassStatus], width: usize) -> String {
    let header = ["class", "position", "behind", "oldest", "rate", "parked", "beat", "worker"];
    let rows: Vec<Vec<String>> = classes.iter().map(|class| cells(class)).collect();
    let without = table(&header[..header.len() - 1], &rows, 1);
    let used = without.lines().map(|line| line.chars().count()).max().unwrap_or_default() + 2;
    let room = width.saturating_sub(used).max(PROCESS);
    let shown: Vec<Vec<String>> = rows
        .into_iter()
        .zip(classes)
        .map(|(mut row, class)| {
            row.push(class.owner.as_deref().map_or("-".to_owned(), |process| shortened(process, room)));
            row
        })
        .collect();
    table(&header, &shown, 1)
}

/// How many events, and whether they were counted.
pub(super) fn events(events: u64, estimated: bool) -> String {
    format!("{}{}", if estimated { "~" } else { "" }, thousands(events))
}

/// A row without the process.
fn cells(class: &ClassStatus) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        class.class.clone(),
        thousands(class.position.get()),
        events(class.behind, class.estimated),
        age(class.behind_seconds),
        or_dash(rate(class).map(|rate| format!("{rate:.0}/s"))),
        class.parked.to_string(),
        or_dash(class.heartbeat_seconds.map(age)),
    ]
}

/// The end of it, where the process id is, if there is no room for all.
fn shortened(process: &str, room: usize) -> String {
    let length = process.chars().count();
    if length <= room {
        return process.to_owned();
    }
    let end: String = process.chars().skip(length + 1 - room).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_at_the_front() {
        assert_eq!(shortened("host:12345", 10), "host:12345");
        assert_eq!(shortened("a-long-host:12345", 10), "…ost:12345");
    }
}
