//! Every order of events, for the smallest sizes that show every action. What must have occurred is listed, so that a
//! model in which it can't happen any more does not pass.

use super::cases::Case;
use super::check::exhaustively;
use super::protocol::Protocol;

#[test]
fn one_worker_applies_every_event_once_whatever_the_writers_do() {
    let protocol = Protocol {
        writers: vec![vec![&[0], &[0], &[]], vec![&[0, 0], &[0]]],
        may_abort: true,
        running: vec![(0, 1)],
        batch: 1,
        mishaps: 1,
        writes_empty: true,
        apart: true,
        ..Protocol::default()
    };
    let cases = [
        Case::Abort,
        Case::Retry,
        Case::Late,
        Case::Unlisted,
        Case::Unchanged,
        Case::OpenWindow,
        Case::EmptyWindow,
        Case::CrashBetween,
        Case::Lost,
    ];
    exhaustively("one worker", &protocol, &cases);
}

#[test]
fn a_worker_that_applies_spans_applies_every_event_once_whatever_the_writers_do() {
    let protocol = Protocol {
        writers: vec![vec![&[0], &[0], &[]], vec![&[0, 0], &[0]]],
        may_abort: true,
        running: vec![(0, 1)],
        batch: 2,
        spans: true,
        mishaps: 1,
        apart: true,
        ..Protocol::default()
    };
    let cases = [Case::Span, Case::Late, Case::Unlisted, Case::OpenWindow, Case::CrashBetween, Case::Lost];
    exhaustively("spans", &protocol, &cases);
}

#[test]
fn partitions_with_windows_that_spans_have_left_open_become_others() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 1], &[1]]],
        running: vec![(1, 2)],
        starting: vec![(0, 1)],
        batch: 1,
        spans: true,
        ..Protocol::default()
    };
    exhaustively(
        "spans, 2 to 1",
        &protocol,
        &[Case::Span, Case::Takeover, Case::CatchUp, Case::Merge, Case::OpenWindow],
    );
    let protocol = Protocol {
        writers: vec![vec![&[0, 1]]],
        running: vec![(0, 1)],
        starting: vec![(0, 2), (1, 2)],
        batch: 1,
        spans: true,
        ..Protocol::default()
    };
    exhaustively("spans, 1 to 2", &protocol, &[Case::Span, Case::Takeover, Case::Split, Case::Superseded]);
}

#[test]
fn of_two_workers_with_one_key_one_loses_and_becomes_the_successor() {
    let protocol = Protocol {
        writers: vec![vec![&[0], &[0]]],
        running: vec![(0, 1), (0, 1)],
        batch: 1,
        mishaps: 1,
        ..Protocol::default()
    };
    let cases = [Case::Outrun, Case::StandingBy, Case::TakenUp, Case::CrashBetween, Case::Lost, Case::Late];
    exhaustively("one key", &protocol, &cases);
}

#[test]
fn one_partition_becomes_two_while_its_worker_goes_on() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 1]]],
        running: vec![(0, 1)],
        starting: vec![(0, 2), (1, 2)],
        batch: 1,
        mishaps: 1,
        ..Protocol::default()
    };
    let cases = [Case::Takeover, Case::Split, Case::SplitOpen, Case::Outrun, Case::Superseded, Case::CrashBetween];
    exhaustively("1 to 2", &protocol, &cases);
}

#[test]
fn two_partitions_become_one_while_a_worker_of_the_two_goes_on() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 1], &[1]]],
        running: vec![(1, 2)],
        starting: vec![(0, 1)],
        batch: 2,
        ..Protocol::default()
    };
    let cases = [
        Case::Takeover,
        Case::CatchUp,
        Case::Merge,
        Case::MergeOutrun,
        Case::StandingBy,
        Case::Outrun,
        Case::Superseded,
    ];
    exhaustively("2 to 1", &protocol, &cases);
}

#[test]
fn workers_of_a_pool_open_their_windows_up_to_the_latest_of_their_fences() {
    let protocol = Protocol {
        writers: vec![vec![&[0], &[1]]],
        running: vec![(0, 2), (1, 2)],
        gathers: true,
        batch: 1,
        ..Protocol::default()
    };
    exhaustively("a pool", &protocol, &[Case::Gathered, Case::Late, Case::OpenWindow]);
}

#[test]
fn two_partitions_become_three_by_way_of_their_cells() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 1]]],
        running: vec![(0, 2), (1, 2)],
        starting: vec![(0, 3), (1, 3)],
        batch: 1,
        ..Protocol::default()
    };
    let cases = [Case::Takeover, Case::Split, Case::SplitOpen, Case::CatchUp, Case::Merge, Case::Superseded];
    exhaustively("2 to 3", &protocol, &cases);
}

#[test]
fn one_partition_becomes_two_and_one_again_when_the_first_takes_over_in_its_turn() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 1]]],
        running: vec![(0, 1)],
        starting: vec![(0, 2), (1, 2)],
        batch: 1,
        mishaps: 1,
        returns: 1,
        ..Protocol::default()
    };
    let cases = [Case::SplitOpen, Case::Together, Case::CatchUp, Case::Merge, Case::MergeOutrun, Case::MissedMerge];
    exhaustively("1 to 2 and back", &protocol, &cases);
}

#[test]
fn a_replaced_total_takes_over_at_once_from_workers_that_have_crashed() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 0]]],
        running: vec![(0, 1)],
        starting: vec![(0, 2)],
        batch: 1,
        mishaps: 2,
        ..Protocol::default()
    };
    let cases = [Case::TakenFromNobody, Case::Superseded, Case::Split, Case::Merge, Case::CrashBetween];
    exhaustively("1 to 2, which crash", &protocol, &cases);
}

#[test]
fn a_worker_that_is_paused_counts_as_gone_and_nothing_is_lost_when_it_goes_on() {
    let protocol = Protocol {
        writers: vec![vec![&[0, 1]]],
        running: vec![(0, 1)],
        starting: vec![(0, 2), (1, 2)],
        batch: 1,
        pauses: 2,
        ..Protocol::default()
    };
    let cases = [Case::TakenFromNobody, Case::TakenFromPaused, Case::Superseded, Case::Outrun, Case::MergeOutrun];
    exhaustively("1 to 2, which are paused", &protocol, &cases);
}

#[test]
fn a_server_that_crashes_takes_read_model_and_checkpoints_back_together_and_no_event() {
    let one = Protocol {
        writers: vec![vec![&[0], &[0], &[]], vec![&[0, 0], &[0]]],
        running: vec![(0, 1)],
        batch: 1,
        server_crashes: 1,
        writes_empty: true,
        apart: true,
        ..Protocol::default()
    };
    exhaustively("one worker, and a server that crashes", &one, &[Case::WentBack, Case::Late, Case::EmptyWindow]);
    let twins = Protocol {
        writers: vec![vec![&[0], &[0]]],
        running: vec![(0, 1), (0, 1)],
        batch: 1,
        server_crashes: 1,
        ..Protocol::default()
    };
    exhaustively("twins, and a server that crashes", &twins, &[Case::WentBack, Case::Outrun, Case::StandingBy]);
    let split = Protocol {
        writers: vec![vec![&[0, 1]]],
        running: vec![(0, 1)],
        starting: vec![(0, 2), (1, 2)],
        batch: 1,
        server_crashes: 1,
        ..Protocol::default()
    };
    exhaustively("1 to 2, on a server that crashes", &split, &[Case::WentBack, Case::TotalWentBack, Case::Split]);
}
