//! What a worker does for a reason that folds a log which others write: without it, the model finds a counterexample.

use super::by_sequence::{PLAIN, PREPARED, folding, naming_one, pool, two_to_one};
use super::cases::Case;
use super::check::{at_random, exhaustively, rejects, rejects_at_random};
use super::histories::SEED;
use super::log::{BySequence, Script};
use super::mutant::Mutant;
use super::protocol::Protocol;

const LISTS: BySequence = BySequence { looks: false, lists: true, ..PLAIN };
const SETTLES: BySequence = BySequence { settles: true, ..LISTS };
const SETTLES_PREPARED: BySequence = BySequence { prepares: true, renames: true, ..SETTLES };

fn with(writers: &[Script], by: BySequence) -> Protocol {
    Protocol { writers: vec![writers.to_vec()], ..folding(by) }
}

/// Two of different aggregates: none waits for the other, and either may commit first.
const TWO: &[Script] = &[&[0], &[1]];

const THREE: &[Script] = &[&[0], &[1], &[2]];

/// One writes two events of an aggregate, and others write between and after these.
const AROUND: &[Script] = &[&[0, 0], &[1], &[1]];

/// A mutant is rejected for its mistake, and not for what is left out.
#[test]
fn without_a_mistake_nothing_of_this_is_rejected() {
    for (writers, by) in
        [(TWO, PREPARED), (TWO, SETTLES_PREPARED), (THREE, SETTLES), (AROUND, LISTS), (&[&[0, 0], &[1]], PLAIN)]
    {
        exhaustively("without a mistake", &with(writers, by), &[Case::Late]);
    }
    at_random("without a mistake", SEED, 50_000, &two_to_one(), &[Case::Union]);
}

#[test]
fn the_lock_of_the_sequence_is_that_of_whoever_has_drawn_a_position() {
    rejects(Mutant::TableLock, with(TWO, PLAIN));
    rejects(Mutant::TableLock, with(TWO, SETTLES));
}

#[test]
fn a_prepared_transaction_may_write_what_is_missing() {
    rejects(Mutant::PreparedLeftOut, with(TWO, PREPARED));
    rejects(Mutant::PreparedLeftOut, with(TWO, SETTLES_PREPARED));
}

#[test]
fn a_transaction_that_has_gone_may_have_become_one_that_was_renamed() {
    rejects(Mutant::NotInherited, with(TWO, PREPARED));
    rejects(Mutant::NotInherited, with(TWO, SETTLES_PREPARED));
}

#[test]
fn a_missing_position_may_be_anothers() {
    rejects(Mutant::DeadAtOnce, with(TWO, PLAIN));
}

#[test]
fn no_time_is_long_enough_to_know_that_nobody_writes_what_is_missing() {
    rejects(Mutant::TimeOut, with(TWO, PLAIN));
}

#[test]
fn what_nobody_can_write_any_more_may_have_been_written_since_the_last_look() {
    rejects(Mutant::DeadWithoutLook, with(TWO, PLAIN));
}

#[test]
fn who_may_write_what_is_missing_is_read_before_the_rows() {
    rejects(Mutant::LocksAfterRows, with(TWO, PLAIN));
}

#[test]
fn who_may_write_what_is_missing_is_read_after_it_was_found() {
    rejects(Mutant::HoldersOfBefore, with(TWO, PLAIN));
}

#[test]
fn who_may_write_what_is_missing_is_also_read_where_a_fence_can_not_name_all_of_it() {
    rejects(Mutant::OnlyLooksPrune, naming_one());
}

#[test]
fn a_look_is_one_statement() {
    rejects(Mutant::LookInTwo, with(&[&[0, 0], &[1]], PLAIN));
}

#[test]
fn a_fence_that_settles_reads_the_highest_position_before_it_waits() {
    rejects(Mutant::HoldersBeforeTop, with(THREE, SETTLES));
}

#[test]
fn a_fence_that_settles_waits() {
    rejects(Mutant::SettledAtOnce, with(TWO, SETTLES));
}

#[test]
fn a_fence_lists_gaps_in_one_statement() {
    rejects(Mutant::GapsInTwo, with(AROUND, LISTS));
}

#[test]
fn a_fence_ends_where_its_gaps_were_listed() {
    rejects(Mutant::TopAfterGaps, with(THREE, LISTS));
}

#[test]
fn a_fence_looks_for_what_was_missing_after_it_has_listed_gaps() {
    rejects(Mutant::FoundBeforeGaps, with(AROUND, LISTS));
}

#[test]
fn events_at_positions_that_were_missing_are_read() {
    rejects(Mutant::NoLateRows, with(TWO, LISTS));
}

#[test]
fn rows_converge_on_what_either_has_seen() {
    rejects_at_random(Mutant::ConvergedOnHighest, SEED, two_to_one());
}

#[test]
fn workers_of_a_pool_do_not_go_back_behind_what_they_have_seen() {
    rejects_at_random(Mutant::GatheredAtHighest, SEED, Protocol { writers: vec![vec![&[0], &[1, 1]]], ..pool() });
}

#[test]
fn a_position_is_drawn_by_the_transaction_that_inserts_at_it() {
    rejects(Mutant::DrawnEarlier, with(TWO, PLAIN));
}

#[test]
fn an_event_that_is_lost_because_its_position_was_drawn_earlier_is_noticed() {
    let mutant = Some(Mutant::DrawnEarlier);
    let fences = BySequence { lists: true, ..PLAIN };
    let drawn = Protocol { mutant, only_watched: true, writes_empty: true, batch: 1, ..with(THREE, fences) };
    exhaustively("drawn earlier", &drawn, &[Case::Abandoned, Case::LostAndWatched]);
}
