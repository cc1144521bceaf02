//! The last ten minutes, in memory: how many events each class was behind.

use crate::reading::Reading;
use std::collections::{HashMap, VecDeque};

/// The seconds of one point of a line.
pub(crate) const STEP: u32 = 5;

/// The points of a line.
const POINTS: u64 = 120;

/// So many classes have a line, in all projections together: some 2 KiB each.
const LINES: usize = 10_000;

/// What was counted in the last ten minutes. Of each five seconds the largest number is kept.
#[derive(Debug, Default)]
pub(crate) struct History {
    lines: HashMap<String, HashMap<String, Line>>,
    count: usize,
    now: u64,
}

#[derive(Debug, Default)]
struct Line {
    /// The number of the five seconds, and how many events it was behind then.
    points: VecDeque<(u64, u64)>,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time of this century")]
fn slot(unix: f64) -> u64 {
    (unix.max(0.0) / f64::from(STEP)) as u64
}

impl History {
    /// Notes what was counted. What could not be counted leaves a gap.
    pub(crate) fn note(&mut self, reading: &Reading) {
        self.now = self.now.max(slot(reading.counted_at));
        self.forget();
        let now = self.now;
        for projection in reading.projections.iter().filter(|projection| projection.uncounted.is_none()) {
            let lines = self.lines.entry(projection.status.projection.clone()).or_default();
            for class in &projection.status.classes {
                if let Some(line) = lines.get_mut(&class.class) {
                    line.note(now, class.behind);
                } else if self.count < LINES {
                    self.count += 1;
                    lines.entry(class.class.clone()).or_default().note(now, class.behind);
                }
            }
        }
    }

    /// Forgets what is older, and the classes that there were.
    fn forget(&mut self) {
        let oldest = self.now.saturating_sub(POINTS - 1);
        for lines in self.lines.values_mut() {
            lines.retain(|_, line| {
                while line.points.front().is_some_and(|(at, _)| *at < oldest) {
                    line.points.pop_front();
                }
                !line.points.is_empty()
            });
        }
        self.lines.retain(|_, lines| !lines.is_empty());
        self.count = self.lines.values().map(HashMap::len).sum();
    }

    /// A point for each five seconds of the last ten minutes, the last one at the end; none where nothing was counted.
    pub(crate) fn line(&self, projection: &str, class: &str) -> Option<Vec<Option<u64>>> {
        let line = self.lines.get(projection)?.get(class)?;
        let mut points = vec![None; usize::try_from(POINTS).unwrap_or_default()];
        for (at, behind) in &line.points {
            let ago = usize::try_from(self.now - at).unwrap_or(usize::MAX);
            if let Some(point) = points.len().checked_sub(ago + 1).and_then(|index| points.get_mut(index)) {
                *point = Some(*behind);
            }
        }
        Some(points)
    }

    /// Whether a class was further behind half a minute ago than a minute ago, and is still further now.
    pub(crate) fn grows(&self, projection: &str, class: &str) -> bool {
        let line = self.lines.get(projection).and_then(|lines| lines.get(class));
        let at = |ago: u64| line.and_then(|line| line.at(self.now.checked_sub(ago)?));
        let half = 30 / u64::from(STEP);
        match (at(2 * half), at(half), at(0)) {
            (Some(first), Some(middle), Some(last)) => first < middle && middle < last,
            _ => false,
        }
    }
}

impl Line {
    fn note(&mut self, now: u64, behind: u64) {
        match self.points.back_mut() {
            Some((at, most)) if *at == now => *most = behind.max(*most),
            _ => self.points.push_back((now, behind)),
        }
    }

    fn at(&self, slot: u64) -> Option<u64> {
        self.points.iter().rev().find(|(at, _)| *at == slot).map(|(_, behind)| *behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn counted(at: f64, behind: &[u64]) -> Reading {
        let mut reading = sample::reading(at, behind.len());
        for (class, behind) in reading.projections[0].status.classes.iter_mut().zip(behind) {
            class.behind = *behind;
        }
        reading
    }

    #[test]
    fn a_line_has_ten_minutes_and_a_gap_where_nothing_was_counted() {
        let mut history = History::default();
        history.note(&counted(1000.0, &[7]));
        history.note(&counted(1002.0, &[9]));
        history.note(&counted(1004.0, &[1]));
        history.note(&sample::failed(1010.0));
        history.note(&counted(1015.0, &[3]));
        let line = history.line("counters", "0/1").unwrap();
        assert_eq!(line.len(), 120);
        assert_eq!(line[116..], [Some(9), None, None, Some(3)]);
        assert!(line[..116].iter().all(Option::is_none));
        history.note(&counted(1613.0, &[2]));
        let line = history.line("counters", "0/1").unwrap();
        assert_eq!((line[0], line[119]), (Some(3), Some(2)));
        history.note(&sample::failed(3000.0));
        assert_eq!(history.line("counters", "0/1"), None, "what is not counted any more is forgotten");
    }

    #[test]
    fn only_so_many_classes_have_a_line_and_those_that_are_gone_make_room() {
        let mut history = History::default();
        history.note(&counted(1000.0, &vec![1; LINES + 10]));
        assert_eq!(history.count, LINES);
        history.note(&counted(2000.0, &[1]));
        assert_eq!(history.count, 1);
    }

    #[test]
    fn a_class_further_behind_than_half_a_minute_ago_and_than_a_minute_ago_grows() {
        for (points, grows) in [([1, 2, 3], true), ([1, 3, 3], false), ([3, 2, 4], false), ([0, 0, 0], false)] {
            let mut history = History::default();
            for (n, behind) in points.iter().enumerate() {
                history.note(&counted(1000.0 + 30.0 * f64::from(u32::try_from(n).unwrap()), &[*behind]));
            }
            assert_eq!(history.grows("counters", "0/1"), grows, "{points:?}");
        }
        assert!(!History::default().grows("counters", "0/1"), "nothing is known");
    }
}
