//! How large the spans of a worker are: batches that are bounded by positions, and applied without being read.

use crate::number::Position;
use std::time::Duration;

/// How many positions the first span has, and the fewest that make one.
const FIRST: i64 = 100_000;
const FEWEST: i64 = 1_000;

/// A span should take this long: a large one writes a row of the read model less often than many small ones do, and
/// until it is committed nobody sees anything of it.
const SHORTER_THAN: Duration = Duration::from_millis(1_500);
const LONGER_THAN: Duration = Duration::from_millis(600);

/// How large the next span is.
#[derive(Debug)]
pub(super) struct Spans {
    positions: i64,
    /// The most that one has.
    most: i64,
    /// Up to here the events are read.
    read_up_to: Position,
}

impl Spans {
    /// Those of a worker that applies so many events at most in one transaction.
    pub(super) fn new(batch_size: usize) -> Self {
        let most = i64::try_from(batch_size).unwrap_or(i64::MAX).max(1);
        Self { positions: FIRST.min(most), most, read_up_to: Position::START }
    }

    fn fewest(&self) -> i64 {
        FEWEST.min(self.most)
    }

    /// The next one, between these positions.
    pub(super) fn next(&self, (after, floor): (Position, Position)) -> Option<(Position, Position)> {
        let to = floor.min(Position::new(after.get().saturating_add(self.positions)));
        (after >= self.read_up_to && to.get() - after.get() >= self.fewest()).then_some((after, to))
    }

    /// One is begun. Unless it ends well, the next one is smaller: it may have taken longer than a statement may.
    pub(super) fn begin(&mut self) -> i64 {
        let size = self.positions;
        self.positions = (size / 4).max(self.fewest());
        size
    }

    /// One of so many positions was applied in this time.
    pub(super) fn applied(&mut self, positions: i64, took: Duration) {
        let next = if took > SHORTER_THAN {
            positions / 2
        } else if took < LONGER_THAN {
            positions.saturating_mul(2)
        } else {
            positions
        };
        self.positions = next.clamp(self.fewest(), self.most);
    }

    /// One was given back, which says nothing of its size: it comes again as it was, or its events are read.
    pub(super) fn given_back(&mut self, positions: i64, read_up_to: Option<Position>) {
        self.positions = positions;
        self.read_up_to = read_up_to.unwrap_or(self.read_up_to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(spans: &Spans, after: i64, floor: i64) -> Option<i64> {
        spans.next((Position::new(after), Position::new(floor))).map(|(_, to)| to.get())
    }

    #[test]
    fn a_span_grows_while_it_takes_less_than_it_may_and_shrinks_while_it_takes_more() {
        let mut spans = Spans::new(500_000);
        assert_eq!(at(&spans, 5, i64::MAX), Some(5 + FIRST));
        for (took, positions) in [(SECOND / 2, 2 * FIRST), (SECOND, 2 * FIRST), (2 * SECOND, FIRST)] {
            let size = spans.begin();
            spans.applied(size, took);
            assert_eq!(at(&spans, 5, i64::MAX), Some(5 + positions), "{took:?}");
        }
        for _ in 0..100 {
            let size = spans.begin();
            spans.applied(size, Duration::ZERO);
        }
        assert_eq!(at(&spans, 5, i64::MAX), Some(5 + 500_000));
    }

    #[test]
    fn a_span_ends_at_the_floor_and_what_is_too_little_for_one_is_read() {
        let spans = Spans::new(500_000);
        assert_eq!(at(&spans, 10, 10 + FEWEST), Some(10 + FEWEST));
        assert_eq!(at(&spans, 10, 10 + FEWEST - 1), None);
        assert_eq!(at(&spans, i64::MAX - 1, i64::MAX), None, "no overflow");
        assert_eq!(at(&Spans::new(10), 5, 500), Some(15), "no more than a transaction may have");
    }

    #[test]
    fn after_one_that_did_not_end_the_next_is_smaller() {
        let mut spans = Spans::new(500_000);
        spans.begin();
        assert_eq!(at(&spans, 0, i64::MAX), Some(FIRST / 4));
        for _ in 0..10 {
            spans.begin();
        }
        assert_eq!(at(&spans, 0, i64::MAX), Some(FEWEST));
    }
}
