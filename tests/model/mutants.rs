//! What the protocol does for a reason: without it, the model finds a counterexample.

use super::check::{rejects, rejects_at_random};
use super::histories::SEED;
use super::mutant::Mutant;
use super::protocol::Protocol;

fn one_worker() -> Protocol {
    Protocol { writers: vec![vec![&[0], &[0]]], running: vec![(0, 1)], batch: 1, ..Protocol::default() }
}

fn one_key() -> Protocol {
    Protocol { writers: vec![vec![&[0], &[0]]], running: vec![(0, 1), (0, 1)], batch: 1, ..Protocol::default() }
}

fn two_to_one() -> Protocol {
    Protocol {
        writers: vec![vec![&[0, 1], &[0, 1]]],
        running: vec![(0, 2), (1, 2)],
        starting: vec![(0, 1)],
        batch: 1,
        ..Protocol::default()
    }
}

fn one_to_two_and_back() -> Protocol {
    Protocol {
        writers: vec![vec![&[0, 0]]],
        running: vec![(0, 1)],
        starting: vec![(0, 2), (1, 2)],
        batch: 1,
        returns: 1,
        ..Protocol::default()
    }
}

#[test]
fn a_fence_reads_the_floor_before_the_snapshot() {
    rejects(Mutant::SnapshotBeforeFloor, one_worker());
}

#[test]
fn a_floor_is_not_ahead_of_what_was_handed_out() {
    rejects(Mutant::FloorAhead, one_worker());
}

#[test]
fn a_fence_knows_of_transactions_that_are_in_no_list() {
    rejects(Mutant::NoNextXid, one_worker());
}

#[test]
fn a_fence_is_not_taken_in_recovery() {
    // A snapshot lists only who began before somebody who has ended.
    let bystander = Protocol { writers: vec![vec![&[0], &[]]], ..one_worker() };
    rejects(Mutant::FenceInRecovery, bystander);
}

#[test]
fn a_position_is_drawn_by_a_transaction_that_owns_its_xid() {
    rejects(Mutant::DrawnEarlier, one_worker());
}

#[test]
fn events_at_or_below_the_floor_are_looked_for() {
    rejects(Mutant::NoLateRows, one_worker());
}

#[test]
fn a_span_comes_after_the_events_below_the_floor() {
    rejects(Mutant::SpanBeforeLateRows, Protocol { spans: true, ..one_worker() });
}

#[test]
fn a_window_has_events_above_its_floor() {
    rejects(Mutant::SpanClosesWindow, Protocol { spans: true, ..one_worker() });
}

#[test]
fn a_fence_is_taken_after_the_row_was_read() {
    rejects(Mutant::FenceBeforeRow, one_key());
}

#[test]
fn a_log_is_unchanged_only_when_nobody_was_in_progress() {
    rejects(Mutant::UnchangedWhenNotFinal, one_worker());
}

#[test]
fn an_unchanged_floor_says_nothing_about_the_snapshot_after_it() {
    rejects(Mutant::UnchangedMovesOn, one_worker());
}

#[test]
fn a_row_is_written_only_with_the_revision_that_was_read() {
    rejects(Mutant::NoRevisionCheck, one_key());
}

#[test]
fn a_revision_is_never_used_twice() {
    rejects(
        Mutant::ReusedRevisions,
        Protocol { running: vec![(0, 1), (0, 1)], starting: vec![(0, 2)], ..one_to_two_and_back() },
    );
}

#[test]
fn rows_converge_on_where_they_are_and_on_no_remembered_target() {
    let straggler = Protocol { writers: vec![vec![&[0, 1], &[1]]], running: vec![(1, 2)], batch: 2, ..two_to_one() };
    rejects(Mutant::RememberedTarget, straggler);
}

#[test]
fn open_windows_are_finished_before_rows_are_merged() {
    rejects(Mutant::MergedOpenWindows, two_to_one());
}

#[test]
fn a_worker_whose_total_was_replaced_leaves_the_rows_alone() {
    rejects(Mutant::StragglersStay, one_to_two_and_back());
}

/// The shortest counterexample is too deep to be explored up to; by chance it is met at once.
#[test]
fn merged_rows_have_one_of_their_fences_and_no_mixture() {
    let protocol = Protocol { writers: vec![vec![&[0, 1], &[0]]], batch: 2, ..two_to_one() };
    rejects_at_random(Mutant::MergedHigherFloor, SEED, protocol);
}

#[test]
fn a_worker_that_registers_has_a_heartbeat_from_then_on() {
    rejects(Mutant::SilentRegistration, Protocol { returns: 0, ..one_to_two_and_back() });
}

#[test]
fn a_paused_worker_that_counted_as_gone_commits_nothing_because_its_revisions_are_gone() {
    let paused = Protocol { returns: 0, pauses: 1, ..one_to_two_and_back() };
    rejects(Mutant::NoRevisionCheck, paused);
}

#[test]
fn nothing_is_remembered_of_a_server_that_has_crashed() {
    rejects(Mutant::RemembersAfterCrash, Protocol { server_crashes: 1, ..one_key() });
}
