//! A log that others write by a sequence: every order for the smallest sizes, and histories at random.

use super::cases::Case;
use super::check::{at_random, exhaustively};
use super::histories::SEED;
use super::log::{BySequence, Source};
use super::protocol::Protocol;

pub const ALL: BySequence = BySequence {
    savepoints: true,
    prepares: true,
    renames: true,
    looks: true,
    rows: None,
    most_missing: None,
    lists: true,
    settles: true,
};

/// With transactions that are prepared, and nothing else that is unusual.
pub const PREPARED: BySequence = BySequence { savepoints: false, lists: false, settles: false, ..ALL };

/// With what is usual.
pub const PLAIN: BySequence = BySequence { prepares: false, renames: false, ..PREPARED };

pub fn folding(by: BySequence) -> Protocol {
    Protocol {
        source: Source::Sequence(by),
        writers: vec![vec![&[0], &[0]]],
        running: vec![(0, 1)],
        batch: 2,
        ..Protocol::default()
    }
}

#[test]
fn looks_apply_every_event_once_whatever_the_writers_do() {
    let protocol = Protocol {
        writers: vec![vec![&[0], &[0, 0]], vec![&[0], &[1], &[]]],
        may_abort: true,
        mishaps: 1,
        ..folding(PREPARED)
    };
    let cases = [
        Case::Abort,
        Case::Retry,
        Case::Prepared,
        Case::Renamed,
        Case::ReleasedMeanwhile,
        Case::VisibleAndLocked,
        Case::Abandoned,
        Case::Late,
        Case::CrashBetween,
        Case::Lost,
    ];
    exhaustively("looks", &protocol, &cases);
}

#[test]
fn fences_and_looks_in_any_order_apply_every_event_once() {
    let fences = BySequence { lists: true, settles: true, ..PLAIN };
    let protocol = Protocol {
        writers: vec![vec![&[0, 0], &[1], &[]], vec![&[0], &[1, 1]]],
        may_abort: true,
        batch: 1,
        ..folding(fences)
    };
    let cases = [Case::Abandoned, Case::Late, Case::Settled, Case::NotSettled, Case::Listed, Case::OpenWindow];
    exhaustively("fences and looks", &protocol, &cases);
}

#[test]
fn where_more_is_missing_than_a_fence_can_name_it_ends_below() {
    let cases = [Case::TooManyMissing, Case::Abandoned, Case::Late, Case::Listed];
    exhaustively("a bounded list", &naming_one(), &cases);
}

/// Fences that name one missing position at most.
pub fn naming_one() -> Protocol {
    let one = BySequence { lists: true, most_missing: Some(1), ..PLAIN };
    Protocol { writers: vec![vec![&[0], &[1], &[2]]], may_abort: true, ..folding(one) }
}

#[test]
fn an_event_with_the_number_of_a_savepoint_that_was_rolled_back_is_applied() {
    let savepoints = BySequence { savepoints: true, settles: true, ..PLAIN };
    let protocol = Protocol { writers: vec![vec![&[0], &[1, 1]]], ..folding(savepoints) };
    exhaustively("savepoints", &protocol, &[Case::RolledBack, Case::Late, Case::Settled]);
}

#[test]
fn of_two_workers_that_look_with_one_key_one_loses() {
    let protocol =
        Protocol { writers: vec![vec![&[0], &[1]]], running: vec![(0, 1), (0, 1)], mishaps: 1, ..folding(PLAIN) };
    let cases = [Case::Outrun, Case::StandingBy, Case::TakenUp, Case::CrashBetween, Case::Lost, Case::Late];
    exhaustively("looks, one key", &protocol, &cases);
}

#[test]
fn a_partition_of_a_log_that_others_write_is_divided_and_put_together_again() {
    let divided = Protocol { writers: vec![vec![&[0], &[2]]], starting: vec![(0, 2)], batch: 1, ..folding(PLAIN) };
    let cases = [Case::Split, Case::SplitOpen, Case::Superseded, Case::Outrun, Case::Late];
    exhaustively("looks, 1 to 2", &divided, &cases);
    let together = Protocol {
        writers: vec![vec![&[1], &[0, 1]]],
        running: vec![(1, 2)],
        starting: vec![(0, 1)],
        ..folding(PLAIN)
    };
    let cases = [Case::Takeover, Case::CatchUp, Case::Merge, Case::MergeOutrun, Case::Late];
    exhaustively("looks, 2 to 1", &together, &cases);
}

#[test]
fn rows_that_have_seen_different_positions_converge_by_what_either_has_seen() {
    at_random("what either has seen", SEED, 150_000, &two_to_one(), &[Case::Union, Case::Merge, Case::MergeOutrun]);
}

#[test]
fn workers_of_a_pool_open_their_windows_up_to_what_any_of_their_fences_shows() {
    let cases = [Case::Gathered, Case::Late, Case::Listed];
    exhaustively("looks, a pool", &Protocol { writers: vec![vec![&[0], &[1]]], ..pool() }, &cases);
    at_random("looks, a pool", SEED, 100_000, &Protocol { may_abort: true, mishaps: 1, ..pool() }, &cases);
}

pub fn pool() -> Protocol {
    Protocol {
        writers: vec![vec![&[0], &[1], &[0], &[1]]],
        running: vec![(0, 2), (1, 2)],
        gathers: true,
        ..folding(BySequence { rows: Some(1), lists: true, ..PLAIN })
    }
}

/// Looks of which one may see a position that another has not, although its floor is lower.
pub fn two_to_one() -> Protocol {
    Protocol {
        writers: vec![vec![&[0], &[1], &[0], &[1]], vec![&[0, 1], &[0], &[1]]],
        running: vec![(0, 2), (1, 2)],
        starting: vec![(0, 1)],
        may_abort: true,
        writes_empty: true,
        ..folding(BySequence { rows: Some(1), ..PLAIN })
    }
}

#[test]
fn walks_over_a_log_that_others_write_lose_nothing() {
    let protocol = Protocol {
        source: Source::Sequence(BySequence { rows: Some(2), ..ALL }),
        writers: vec![
            vec![&[0, 1, 2], &[0], &[1, 2], &[]],
            vec![&[0], &[0, 0], &[1], &[2]],
            vec![&[0, 1], &[2, 0], &[0, 1, 2]],
        ],
        may_abort: true,
        running: vec![(0, 2), (1, 2), (0, 2)],
        starting: vec![(0, 1), (0, 3), (1, 3), (2, 3)],
        batch: 1,
        mishaps: 3,
        returns: 2,
        writes_empty: true,
        ..Protocol::default()
    };
    let cases = [
        Case::RolledBack,
        Case::Prepared,
        Case::Renamed,
        Case::ReleasedMeanwhile,
        Case::VisibleAndLocked,
        Case::Abandoned,
        Case::Settled,
        Case::NotSettled,
        Case::Listed,
        Case::Late,
        Case::OpenWindow,
        Case::EmptyWindow,
        Case::SplitOpen,
        Case::Together,
        Case::MergeOutrun,
    ];
    at_random("a log that others write", SEED, 300_000, &protocol, &cases);
}
