//! What the rows of a partition need next, after a change of the number of partitions has left it more than one.
//!
//! Decided anew from the rows at every step, and never from a target that was chosen before: a row may have moved on in
//! the meantime.

use super::Checkpoint;
use crate::class::Class;
use crate::log::Fence;

/// What to do next with the rows of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// One row and no open window: take a fence, and open the window up to it.
    Fence,
    /// These rows have the same window open: read it for all of them.
    Finish(Vec<usize>),
    /// These rows are equally far behind others: open the window up to what any of the partition's rows has seen.
    CatchUp(Vec<usize>, Fence),
    /// All rows are equally far: one row with this checkpoint takes their place.
    Merge(Checkpoint),
}

/// Decides what to do next with the rows that are inside a partition, and together are all of it. Rows are given by
/// their index; those that are treated together have the same modulus and the same checkpoint.
#[must_use]
pub fn next(partition: Class, rows: &[(Class, &Checkpoint)]) -> Next {
    let alike = |index: usize| {
        let (class, checkpoint) = rows[index];
        let same = |(other, at): &(Class, &Checkpoint)| other.modulus() == class.modulus() && *at == checkpoint;
        (0..rows.len()).filter(|&n| same(&rows[n])).collect::<Vec<_>>()
    };
    if let Some(open) = rows.iter().position(|(_, checkpoint)| checkpoint.has_open_window()) {
        return Next::Finish(alike(open));
    }
    let seen = || rows.iter().map(|(_, checkpoint)| &checkpoint.seen);
    let Some(most) = seen().cloned().reduce(|most, fence| most.union(&fence)) else {
        return Next::Fence;
    };
    if let Some(behind) = seen().position(|fence| !fence.shows_as_much_as(&most)) {
        return Next::CatchUp(alike(behind), most);
    }
    if let [(class, _)] = rows
        && *class == partition
    {
        return Next::Fence;
    }
    // Of fences with one snapshot the one with the lower floor holds for all of them: it promises less.
    let lowest = seen().min_by_key(|fence| fence.floor).cloned();
    Next::Merge(Checkpoint { seen: lowest.unwrap_or(most), window: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(residue: u32, modulus: u32) -> Class {
        Class::partition(residue, modulus).unwrap()
    }

    fn at(floor: i64, snapshot: &str) -> Checkpoint {
        let floor = crate::number::Position::new(floor);
        let snapshot: crate::log::Snapshot = snapshot.parse().unwrap();
        let next_xid = snapshot.xmax();
        Checkpoint { seen: Fence::of_transactions(floor, snapshot, next_xid), window: None }
    }

    fn decide(partition: Class, rows: &[(Class, Checkpoint)]) -> Next {
        next(partition, &rows.iter().map(|(class, checkpoint)| (*class, checkpoint)).collect::<Vec<_>>())
    }

    #[test]
    fn open_windows_are_finished_before_anything_else_and_equal_rows_together() {
        let mut open = at(3, "5:5:");
        open.open(at(9, "9:9:").seen);
        let rows = [(class(0, 4), at(9, "9:9:")), (class(2, 8), open.clone()), (class(6, 8), open.clone())];
        assert_eq!(decide(class(0, 2), &rows), Next::Finish(vec![1, 2]));
        let rows = [(class(0, 4), open.clone()), (class(2, 8), open.clone()), (class(6, 8), open)];
        assert_eq!(decide(class(0, 2), &rows), Next::Finish(vec![0]), "another modulus is another filter");
    }

    #[test]
    fn rows_behind_catch_up_with_the_most_advanced_one() {
        let rows = [(class(0, 4), at(3, "5:9:5")), (class(2, 4), at(3, "9:9:"))];
        assert_eq!(decide(class(0, 2), &rows), Next::CatchUp(vec![0], at(3, "9:9:").seen), "5 has ended since");
        let rows = [(class(0, 4), at(7, "12:12:")), (class(2, 4), at(3, "9:9:"))];
        assert_eq!(decide(class(0, 2), &rows), Next::CatchUp(vec![1], at(7, "12:12:").seen));
    }

    #[test]
    fn rows_with_sets_of_positions_catch_up_with_their_union() {
        let at = |floor: i64, missing: &[i64]| {
            let position = crate::number::Position::new;
            let missing = missing.iter().map(|&n| position(n)).collect();
            Checkpoint { seen: Fence::of_positions(position(floor), missing), window: None }
        };
        let union = at(9, &[8]);
        let rows = [(class(0, 4), at(5, &[])), (class(2, 4), at(9, &[4, 8]))];
        assert_eq!(decide(class(0, 2), &rows), Next::CatchUp(vec![0], union.seen.clone()));
        let rows = [(class(0, 4), union.clone()), (class(2, 4), at(9, &[4, 8]))];
        assert_eq!(decide(class(0, 2), &rows), Next::CatchUp(vec![1], union.seen.clone()));
        let rows = [(class(0, 4), union.clone()), (class(2, 4), union.clone())];
        assert_eq!(decide(class(0, 2), &rows), Next::Merge(union));
    }

    #[test]
    fn equal_rows_are_merged_with_the_lower_floor_and_a_single_one_takes_a_fence() {
        let rows = [(class(0, 4), at(7, "9:9:")), (class(2, 4), at(5, "9:9:"))];
        assert_eq!(decide(class(0, 2), &rows), Next::Merge(at(5, "9:9:")));
        assert_eq!(decide(class(0, 2), &[(class(0, 2), at(5, "9:9:"))]), Next::Fence);
    }
}
