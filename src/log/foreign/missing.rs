//! The fence that follows another one, made of what statements have shown.

use crate::log::Fence;
use crate::number::Position;

/// The most positions that a fence names as missing: it is written with every batch.
pub(in crate::log) const MOST_MISSING: usize = 10_000;

/// The fence up to `top`, for whoever has seen the events of another one: missing are the positions of these ranges,
/// which are above the other's floor and in ascending order, and of those that were missing all but the ones `found`.
/// Where that is more than `most`, it ends below the first that is left out.
///
/// What was found must be as of no earlier moment than the ranges: an event that is in no range has all earlier ones of
/// its aggregate in no range either, or found.
///
/// Gives also whether nothing was left out.
pub fn fence_after(
    seen: &Fence,
    top: Position,
    gaps: impl Iterator<Item = (i64, i64)>,
    found: &[Position],
    most: usize,
) -> (Fence, bool) {
    let mut missing: Vec<Position> = seen.missing().iter().filter(|p| !found.contains(p)).copied().collect();
    let cut = expand(gaps, &mut missing, most);
    (Fence::of_positions(cut.unwrap_or(top), missing), cut.is_none())
}

/// Adds every position of these ranges, which are in ascending order, as long as there are at most `most` in all. Gives
/// the last position before the first that is left out.
fn expand(ranges: impl Iterator<Item = (i64, i64)>, missing: &mut Vec<Position>, most: usize) -> Option<Position> {
    for (from, to) in ranges {
        for position in from..=to {
            if missing.len() >= most {
                return Some(Position::new(position - 1));
            }
            missing.push(Position::new(position));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_missing_positions_is_bounded_and_says_where_it_ends() {
        let mut missing = vec![Position::new(2)];
        assert_eq!(expand([(4, 5), (9, 9)].into_iter(), &mut missing, 10), None);
        assert_eq!(missing.iter().map(|p| p.get()).collect::<Vec<_>>(), [2, 4, 5, 9]);
        assert_eq!(expand([(11, 1_000_000_000)].into_iter(), &mut missing, 5), Some(Position::new(11)));
        assert_eq!(missing.len(), 5);
    }
}
