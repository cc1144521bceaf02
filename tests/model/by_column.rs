//! A log that others write, with a column for the transaction, and positions that earlier transactions have drawn:
//! every order for the smallest sizes, and histories at random.

use super::cases::Case;
use super::check::{at_random, exhaustively};
use super::histories::SEED;
use super::log::{ByColumn, Source};
use super::protocol::Protocol;

pub const ALL: ByColumn = ByColumn { draws_earlier: true, savepoints: true, looks: true, fences: true };

pub const PLAIN: ByColumn = ByColumn { savepoints: false, ..ALL };

pub const FENCES: ByColumn = ByColumn { looks: false, ..PLAIN };

pub const LOOKS: ByColumn = ByColumn { fences: false, ..PLAIN };

/// The first of two writers may have the last version at the lowest of three positions, and another aggregate's event
/// between: that version waits while the cursor passes it.
pub fn folding(by: ByColumn) -> Protocol {
    Protocol {
        source: Source::Column(by),
        writers: vec![vec![&[0, 2, 0], &[1]]],
        running: vec![(0, 1)],
        batch: 2,
        ..Protocol::default()
    }
}

#[test]
fn windows_apply_every_event_once_and_in_order_wherever_its_position_is() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 0], &[1], &[]], vec![&[0], &[0], &[0]]],
        may_abort: true,
        batch: 1,
        mishaps: 1,
        ..folding(FENCES)
    };
    let cases = [
        Case::Abort,
        Case::Retry,
        Case::DrawnEarlier,
        Case::Waits,
        Case::HasWaited,
        Case::OpenWindow,
        Case::Late,
        Case::Unlisted,
        Case::CrashBetween,
        Case::Lost,
    ];
    exhaustively("by column, windows", &protocol, &cases);
}

#[test]
fn a_chunk_is_cut_where_more_have_waited_than_fit() {
    let protocol = Protocol { writers: vec![vec![&[0, 0], &[1, 1]]], batch: 4, mishaps: 1, ..folding(FENCES) };
    exhaustively("by column, a cut", &protocol, &[Case::Cut, Case::OpenWindow, Case::CrashBetween, Case::Lost]);
}

#[test]
fn looks_and_windows_in_any_order_apply_every_event_once() {
    let looks = Protocol { writers: vec![vec![&[0, 0], &[0], &[]]], may_abort: true, mishaps: 1, ..folding(LOOKS) };
    let cases = [Case::TakenWhole, Case::TooManyForLook, Case::DrawnEarlier, Case::Late, Case::Unlisted];
    exhaustively("by column, looks", &looks, &cases);
    let both = Protocol { writers: vec![vec![&[0, 0], &[1, 0]]], ..folding(PLAIN) };
    let cases = [Case::TakenWhole, Case::TooManyForLook, Case::OpenWindow, Case::Waits, Case::HasWaited, Case::Late];
    exhaustively("by column, looks and windows", &both, &cases);
}

#[test]
fn events_that_savepoints_have_written_are_applied_with_their_transaction() {
    let cases = [Case::RolledBack, Case::DrawnEarlier, Case::Late];
    exhaustively("by column, savepoints", &savepoints(), &cases);
}

pub fn savepoints() -> Protocol {
    Protocol { writers: vec![vec![&[0, 0], &[1]]], ..folding(ALL) }
}

#[test]
fn of_two_workers_that_fold_by_column_with_one_key_one_loses() {
    let protocol = Protocol { running: vec![(0, 1), (0, 1)], batch: 1, mishaps: 1, ..folding(FENCES) };
    let cases = [Case::Outrun, Case::StandingBy, Case::TakenUp, Case::CrashBetween, Case::Lost, Case::HasWaited];
    exhaustively("by column, one key", &protocol, &cases);
}

#[test]
fn a_partition_of_a_log_with_a_column_is_divided_and_put_together_again() {
    let divided =
        Protocol { writers: vec![vec![&[0, 2, 0], &[2]]], starting: vec![(0, 2)], batch: 1, ..folding(FENCES) };
    let cases = [Case::Split, Case::SplitOpen, Case::Superseded, Case::Outrun, Case::HasWaited];
    exhaustively("by column, 1 to 2", &divided, &cases);
    let together = Protocol { running: vec![(1, 2)], starting: vec![(0, 1)], batch: 1, ..folding(FENCES) };
    let cases = [Case::Takeover, Case::CatchUp, Case::Merge, Case::MergeOutrun, Case::HasWaited];
    exhaustively("by column, 2 to 1", &together, &cases);
}

#[test]
fn workers_of_a_pool_open_their_windows_up_to_the_latest_of_the_fences_of_a_log_with_a_column() {
    exhaustively("by column, a pool", &pool(), &[Case::Gathered, Case::HasWaited, Case::OpenWindow, Case::Late]);
    let larger = Protocol { writers: vec![vec![&[0, 0], &[1, 1], &[0], &[1]]], may_abort: true, mishaps: 1, ..pool() };
    at_random("by column, a pool", SEED, 100_000, &larger, &[Case::Gathered, Case::HasWaited, Case::DrawnEarlier]);
}

pub fn pool() -> Protocol {
    Protocol { running: vec![(0, 2), (1, 2)], gathers: true, batch: 1, ..folding(FENCES) }
}

#[test]
fn walks_over_a_log_with_a_column_lose_nothing() {
    let protocol = Protocol {
        writers: vec![
            vec![&[0, 1, 0], &[0], &[1, 2], &[]],
            vec![&[0, 0], &[0, 0], &[1], &[2, 1]],
            vec![&[0, 1], &[2, 0], &[0, 1, 2]],
        ],
        may_abort: true,
        running: vec![(0, 2), (1, 2), (0, 2)],
        starting: vec![(0, 1), (0, 3), (1, 3), (2, 3)],
        batch: 2,
        mishaps: 3,
        returns: 2,
        writes_empty: true,
        ..folding(ALL)
    };
    let cases = [
        Case::RolledBack,
        Case::DrawnEarlier,
        Case::Waits,
        Case::HasWaited,
        Case::Cut,
        Case::TakenWhole,
        Case::TooManyForLook,
        Case::Late,
        Case::Unlisted,
        Case::OpenWindow,
        Case::EmptyWindow,
        Case::SplitOpen,
        Case::Together,
        Case::CatchUp,
        Case::MergeOutrun,
    ];
    at_random("by column", SEED, 300_000, &protocol, &cases);
}
