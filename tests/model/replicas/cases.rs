//! What fails, and which mistakes must be found.

use super::Mutant;
use super::cluster::{Cluster, MISSED, REFILLED, SUCCEEDED};
use crate::explore::{exhaustively, rejects};

/// Each that fails has a replica, or is one, and others take its place.
fn spared() -> Cluster {
    Cluster { wanted: &[SUCCEEDED, REFILLED], ..Cluster::default() }
}

/// Both others are replicas.
fn two_replicas() -> Cluster {
    Cluster { replicas: 2, wanted: &[SUCCEEDED, REFILLED], ..Cluster::default() }
}

/// Any of them fails at any time.
fn unspared() -> Cluster {
    Cluster { any_fault: true, wanted: &[SUCCEEDED, MISSED, REFILLED], ..Cluster::default() }
}

/// Nobody has a replica.
fn alone() -> Cluster {
    Cluster { replicas: 0, any_fault: true, wanted: &[MISSED], ..Cluster::default() }
}

#[test]
fn with_a_replica_no_answered_write_is_lost_with_a_node() {
    exhaustively("one replica", &spared());
}

#[test]
fn with_two_replicas_no_answered_write_is_lost_with_a_node() {
    exhaustively("two replicas", &Cluster { faults: 1, ..two_replicas() });
}

#[test]
fn a_lost_write_is_a_miss_and_nothing_older_is_shown() {
    exhaustively("any fault", &unspared());
    exhaustively("no replicas", &alone());
}

#[test]
fn a_write_is_answered_when_its_replicas_have_it() {
    rejects(Mutant::AnsweredBeforeReplicas, &spared());
}

#[test]
fn one_that_may_have_been_taken_for_dead_answers_nothing() {
    rejects(Mutant::UncertainAnswers, &spared());
}

#[test]
fn a_replica_takes_nothing_from_an_earlier_owner() {
    rejects(Mutant::EarlierOwnerTaken, &unspared());
    rejects(Mutant::EarlierOwnerFills, &unspared());
    rejects(Mutant::EarlierOwnerDrops, &spared());
}

#[test]
fn each_owner_has_an_epoch_of_its_own() {
    rejects(Mutant::EpochKept, &spared());
}

#[test]
fn of_several_copies_the_newest_is_taken() {
    rejects(Mutant::AnyCopyTaken, &two_replicas());
}

#[test]
fn old_copies_are_dropped_before_a_write_is_answered() {
    rejects(Mutant::OldCopiesLeft, &unspared());
}

#[test]
fn one_that_may_have_been_taken_for_dead_drops_what_it_has() {
    rejects(Mutant::KeptAfterLapse, &unspared());
}

#[test]
fn a_replica_is_counted_on_before_it_answers_that_it_is_complete() {
    rejects(Mutant::CountedTooLate, &unspared());
}

#[test]
fn a_replica_acknowledges_nothing_before_it_is_complete() {
    rejects(Mutant::IncompleteAcknowledges, &spared());
}

#[test]
fn what_was_acknowledged_is_void_when_a_replica_is_filled_anew() {
    rejects(Mutant::AcknowledgedBefore, &spared());
}
