//! Histories at random, of what is too large to be explored: several changes of the total, twins, crashes.

use super::cases::Case;
use super::check::at_random;
use super::protocol::Protocol;

/// Another seed is another set of histories.
pub const SEED: u64 = 20_260_801;

/// Some 15 seconds.
const STATES: usize = 1_500_000;

const ALL: [Case; 21] = [
    Case::Abort,
    Case::Retry,
    Case::Late,
    Case::Unlisted,
    Case::Unchanged,
    Case::OpenWindow,
    Case::EmptyWindow,
    Case::Outrun,
    Case::StandingBy,
    Case::TakenUp,
    Case::CrashBetween,
    Case::Lost,
    Case::Takeover,
    Case::Superseded,
    Case::Split,
    Case::SplitOpen,
    Case::MissedMerge,
    Case::Together,
    Case::CatchUp,
    Case::Merge,
    Case::MergeOutrun,
];

#[test]
fn walks_through_four_totals_lose_nothing() {
    let protocol = Protocol {
        writers: vec![
            vec![&[0, 1, 2], &[0], &[1, 2]],
            vec![&[0], &[0, 0], &[1]],
            vec![&[2, 1], &[1, 2], &[]],
            vec![&[0, 1], &[2, 0], &[0, 1, 2]],
        ],
        may_abort: true,
        running: vec![(0, 1)],
        starting: vec![(0, 2), (1, 2), (0, 3), (1, 3), (2, 3), (0, 4), (1, 4), (2, 4), (3, 4)],
        batch: 1,
        mishaps: 3,
        returns: 2,
        writes_empty: true,
        apart: true,
        ..Protocol::default()
    };
    at_random("1, 2, 3 and 4 partitions", SEED, STATES, &protocol, &ALL);
}

#[test]
fn twins_and_a_change_back_and_forth_lose_nothing() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 1], &[0], &[1], &[]], vec![&[0], &[0], &[0, 1]], vec![&[1, 0], &[0, 1], &[2]]],
        may_abort: true,
        running: vec![(0, 2), (1, 2), (0, 2)],
        starting: vec![(0, 1), (0, 1), (0, 3), (1, 3), (2, 3)],
        batch: 2,
        spans: true,
        mishaps: 4,
        returns: 3,
        writes_empty: true,
        apart: true,
        ..Protocol::default()
    };
    at_random("twins", SEED, STATES, &protocol, &ALL);
}
