//! What a worker does for a reason that folds a log with a column for the transaction: without it, the model finds a
//! counterexample.

use super::by_column::{FENCES, LOOKS, folding, pool, savepoints};
use super::check::{exhaustively, rejects};
use super::log::{ByColumn, Script};
use super::mutant::Mutant;
use super::protocol::Protocol;

fn with(writers: &[Script], by: ByColumn) -> Protocol {
    Protocol { writers: vec![writers.to_vec()], batch: 1, ..folding(by) }
}

/// Two of different aggregates, of which either may have the lower position.
const TWO: &[Script] = &[&[0], &[1]];

/// Two events of one aggregate, with positions in either order.
const PAIR: &[Script] = &[&[0, 0]];

/// Three versions of one aggregate, of which the last may have the lowest position.
const THREE: &[Script] = &[&[0], &[0], &[0]];

const WIDE: usize = 3;

fn two_to_one() -> Protocol {
    Protocol { running: vec![(0, 2), (1, 2)], starting: vec![(0, 1)], ..with(TWO, FENCES) }
}

/// A mutant is rejected for its mistake, and not for what is left out.
#[test]
fn without_a_mistake_nothing_of_a_log_with_a_column_is_rejected() {
    for protocol in [
        with(TWO, FENCES),
        with(THREE, FENCES),
        with(&[&[0], &[0]], FENCES),
        Protocol { batch: WIDE, ..with(TWO, LOOKS) },
        Protocol { batch: WIDE, ..with(PAIR, LOOKS) },
        with(THREE, LOOKS),
        with(&[&[0], &[]], FENCES),
        two_to_one(),
    ] {
        exhaustively("without a mistake", &protocol, &[]);
    }
}

#[test]
fn a_floor_excludes_nothing() {
    rejects(Mutant::NoLateRows, with(TWO, FENCES));
    rejects(Mutant::NoLateRows, Protocol { batch: WIDE, ..with(TWO, LOOKS) });
}

#[test]
fn a_transaction_that_began_after_a_fence_may_write_below_its_floor() {
    rejects(Mutant::LateWereInProgress, with(TWO, FENCES));
    rejects(Mutant::LateWereInProgress, Protocol { batch: WIDE, ..with(TWO, LOOKS) });
}

#[test]
fn a_floor_that_has_not_moved_says_nothing_about_what_is_new() {
    rejects(Mutant::UnchangedWhenNotFinal, with(TWO, FENCES));
}

#[test]
fn events_of_an_aggregate_come_in_the_order_of_versions_and_not_of_positions() {
    rejects(Mutant::InOrderOfPositions, with(PAIR, FENCES));
    rejects(Mutant::InOrderOfPositions, Protocol { batch: WIDE, ..with(PAIR, LOOKS) });
}

#[test]
fn an_event_waits_for_an_earlier_version_that_comes_later() {
    rejects(Mutant::ChunkOfPositions, with(PAIR, FENCES));
}

#[test]
fn what_waits_is_not_forgotten_at_the_end_of_a_chunk() {
    rejects(Mutant::WaitingForgotten, with(PAIR, FENCES));
}

#[test]
fn a_chunk_that_is_cut_ends_at_the_last_key_that_fits() {
    rejects(Mutant::CutAndReached, Protocol { batch: 4, ..with(&[&[0, 0], &[1, 1]], FENCES) });
}

#[test]
fn whether_an_event_is_applied_depends_on_its_key() {
    rejects(Mutant::AppliedByPosition, with(THREE, FENCES));
}

#[test]
fn keys_are_those_of_the_window_that_the_checkpoint_has() {
    rejects(Mutant::KeysOfAnotherWindow, Protocol { writers: vec![vec![&[0], &[0], &[2]]], ..pool() });
}

#[test]
fn an_event_is_known_by_its_transaction_and_not_by_its_savepoint() {
    rejects(Mutant::KnownBySavepoint, savepoints());
}

#[test]
fn a_fence_by_column_is_not_taken_in_recovery() {
    rejects(Mutant::FenceInRecovery, with(TWO, FENCES));
}

#[test]
fn the_floor_and_the_snapshot_of_a_fence_are_of_one_statement() {
    rejects(Mutant::FloorBeforeSnapshot, with(TWO, FENCES));
}

#[test]
fn the_rows_and_the_snapshot_of_a_look_are_of_one_statement() {
    rejects(Mutant::SnapshotBeforeRows, Protocol { batch: WIDE, ..with(TWO, LOOKS) });
}

#[test]
fn a_look_takes_all_that_is_new_or_nothing() {
    rejects(Mutant::LookTakesWhatFits, with(PAIR, LOOKS));
}

#[test]
fn of_fences_with_one_floor_one_may_be_the_later() {
    rejects(Mutant::GatheredAtHighest, Protocol { writers: vec![vec![&[0], &[0], &[]]], ..pool() });
    rejects(Mutant::ConvergedOnHighest, two_to_one());
}
