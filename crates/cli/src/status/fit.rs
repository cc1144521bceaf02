//! As much of a report as fits on a screen, the worst first, and how much does not.

use super::order::{age, is_begun, is_troubled, worst_first, worst_projections_first};
use super::render::{events, facts, not_begun, rows, title, totals};
use super::trouble::sentences;
use crate::advice::advice;
use crate::output::{folded_to, thousands, visible};
use crate::terminal::{TerminalSize, cut};
use evenfold::checkpoint::{ClassStatus, Status};

/// What a projection needs at least: its name, its totals, and what is worst.
const LEAST: usize = 3;

/// Screens of fewer lines have none for the time.
const WITH_TIME: usize = 8;

/// Projections with fewer lines have one for their totals, however long these are.
const WITH_WHOLE_TOTALS: usize = 10;

/// The lines for a screen of this size: never more of them, and none longer.
pub(super) fn fitted(all: &[Status], time: &str, size: TerminalSize) -> Vec<String> {
    let mut lines = Vec::new();
    if size.height >= WITH_TIME {
        lines.push(time.to_owned());
    }
    let room = size.height - lines.len();
    let sorted = worst_projections_first(all);
    let shown = if sorted.len() * LEAST <= room { sorted.len() } else { (room.saturating_sub(1) / LEAST).max(1) };
    let (shown, others) = sorted.split_at(shown.min(sorted.len()));
    let room = if others.is_empty() { room } else { room.saturating_sub(1) };
    for (status, room) in shown.iter().zip(shares(shown, room, size.width)) {
        lines.extend(block(status, room, size.width));
    }
    if !others.is_empty() {
        let troubled = others.iter().filter(|status| is_troubled(status)).count();
        let wrong = if troubled > 0 { format!(", something is wrong with {troubled} of them") } else { String::new() };
        lines.push(format!("and {} more projections{wrong}", others.len()));
    }
    lines.truncate(size.height);
    lines.iter().map(|line| cut(&visible(line), size.width)).collect()
}

/// How many lines each gets: what it needs where that is little, and the rest in equal parts.
fn shares(shown: &[&Status], room: usize, width: usize) -> Vec<usize> {
    let needs: Vec<usize> = shown.iter().map(|status| block(status, usize::MAX, width).len()).collect();
    let mut by_need: Vec<usize> = (0..needs.len()).collect();
    by_need.sort_by_key(|at| needs[*at]);
    let (mut shares, mut left) = (vec![0; needs.len()], room);
    for (n, at) in by_need.iter().enumerate() {
        shares[*at] = needs[*at].min(left / (needs.len() - n));
        left -= shares[*at];
    }
    // What is left of the division, to the worst.
    if let Some(at) = (0..needs.len()).find(|at| shares[*at] < needs[*at]) {
        shares[at] += left;
    }
    shares
}

/// A projection in this many lines at most.
fn block(status: &Status, room: usize, width: usize) -> Vec<String> {
    if !is_begun(status) {
        return not_begun(status).iter().flat_map(|line| folded_to(line, width)).take(room).collect();
    }
    let mut lines = vec![title(status)];
    lines.extend(some_of(&[totals(status)], if room < WITH_WHOLE_TOTALS { 1 } else { 2 }, width));
    let classes = worst_first(&status.classes);
    let left = room.saturating_sub(lines.len());
    let all: Vec<String> = sentences(status).iter().flat_map(|line| folded_to(line, width)).collect();
    let facts = facts(status);
    // A table of all classes has a header.
    let needed = all.len() + facts.len() + classes.len() + 1;
    if needed <= left {
        lines.extend(all);
        lines.extend(facts);
        lines.extend(table(&classes, classes.len() + 1, width));
        return lines;
    }
    lines.extend(some_of(&sentences(status), (left / 3).max(1), width));
    // They are of use where there is room for them and a table.
    lines.extend(facts.into_iter().take(left / 8));
    let left = room.saturating_sub(lines.len());
    lines.extend(table(&classes, left, width));
    lines.truncate(room);
    lines
}

/// Sentences in this many lines at most: each is cut at the end of its line before another is left out.
fn some_of(sentences: &[String], room: usize, width: usize) -> Vec<String> {
    let shown = match sentences.len() {
        all if all <= room => all,
        _ => room.saturating_sub(1).max(1),
    };
    let more = sentences.len() - shown;
    let mut spare = room.saturating_sub(shown + usize::from(more > 0));
    let mut lines = Vec::new();
    for sentence in &sentences[..shown] {
        let whole = folded_to(sentence, width);
        if whole.len() - 1 <= spare {
            spare -= whole.len() - 1;
            lines.extend(whole);
        } else {
            lines.push(advice(sentence).into_owned());
        }
    }
    if more > 0 && room > 1 {
        lines.push(format!("… and {more} more: status --check names all"));
    }
    lines
}

/// The first of these classes in this many lines at most, and how many more there are.
fn table(classes: &[&ClassStatus], room: usize, width: usize) -> Vec<String> {
    let as_lines = |classes: &[&ClassStatus]| rows(classes, width).lines().map(str::to_owned).collect::<Vec<_>>();
    if classes.len() < room {
        return as_lines(classes);
    }
    match (room, classes) {
        (0, _) | (_, []) => Vec::new(),
        (1, _) => vec![more(classes)],
        // Without a header, figures say what they are.
        (2, [worst, rest @ ..]) => {
            let (class, oldest) = (&worst.class, age(worst.behind_seconds));
            let behind = events(worst.behind, worst.estimated);
            vec![format!("worst: {class}, {behind} behind, oldest {oldest}"), more(rest)]
        }
        _ => {
            let (shown, rest) = classes.split_at(room - 2);
            let mut lines = as_lines(shown);
            lines.push(more(rest));
            lines
        }
    }
}

fn more(classes: &[&ClassStatus]) -> String {
    let idle = classes.iter().filter(|class| class.idle.is_some()).count();
    let wrong =
        if idle > 0 { format!(", {} of them without a worker", thousands(idle as i128)) } else { String::new() };
    format!("and {} more{wrong}", thousands(classes.len() as i128))
}
