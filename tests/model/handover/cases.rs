//! Who joins and leaves, and which mistakes must be found.

use super::cluster::Cluster;
use super::{Mutant, reach};
use crate::explore::{at_random, exhaustively, rejects};

/// One owns the shard, and two join, of whom the second is its owner in the end.
fn joins() -> Cluster {
    Cluster { first: Some(0), join: [false, true, true], wanted: Cluster::CONTENDED, ..Cluster::default() }
}

/// Nobody is there, and all join.
fn begins() -> Cluster {
    Cluster { join: [true; 3], counts: 1, wanted: Cluster::CONTENDED, ..Cluster::default() }
}

/// One owns the shard, which is another one's then, and its own again.
fn returns() -> Cluster {
    let (join, leave) = ([true, false, true], [false, false, true]);
    Cluster { first: Some(1), join, leave, wanted: Cluster::MOVES, ..Cluster::default() }
}

/// Two join, and the owner of both is there for a while only.
fn passes() -> Cluster {
    let (join, leave) = ([false, true, true], [false, false, true]);
    Cluster { first: Some(0), join, leave, counts: 0, wanted: Cluster::CONTENDED, ..Cluster::default() }
}

/// The owner leaves when another one is there.
fn leaves() -> Cluster {
    let (join, leave) = ([false, true, false], [true, false, false]);
    Cluster { first: Some(0), join, leave, wanted: Cluster::MOVES, ..Cluster::default() }
}

/// Everybody joins and leaves at any time, but for the last one, and answers are lost.
fn replaced() -> Cluster {
    let (join, leave) = ([false, true, true], [true; 3]);
    Cluster { first: Some(0), join, leave, counts: 2, mishaps: 2, wanted: Cluster::ALL, ..Cluster::default() }
}

/// The shard is handed over while answers are lost.
fn lossy(mishaps: u8) -> Cluster {
    Cluster {
        first: Some(0),
        join: [false, true, true],
        mishaps,
        counts: 0,
        wanted: Cluster::ALL,
        ..Cluster::default()
    }
}

/// The same, and nodes follow their views late.
fn late(cluster: &Cluster) -> Cluster {
    Cluster { lags: true, ..cluster.clone() }
}

#[test]
fn nodes_that_join_at_the_same_moment_lose_nothing() {
    exhaustively("two join", &joins());
}

#[test]
fn nodes_that_find_nobody_do_not_both_count() {
    exhaustively("all join", &begins());
}

#[test]
fn nodes_that_join_and_leave_at_the_same_moment_lose_nothing() {
    exhaustively("one joins and leaves", &returns());
    exhaustively("one passes", &passes());
    at_random("all join and leave", 29, 2_000_000, &replaced());
}

#[test]
fn nodes_that_follow_their_views_late_lose_nothing() {
    exhaustively("two join, late", &late(&joins()));
    exhaustively("one joins and leaves, late", &late(&returns()));
    at_random("all join and leave, late", 31, 1_000_000, &late(&replaced()));
}

#[test]
fn lost_answers_and_late_questions_lose_nothing() {
    exhaustively("answers are lost", &lossy(1));
}

#[test]
fn a_shard_can_always_be_acquired_by_another_node() {
    for (name, cluster) in [
        ("two join", joins()),
        ("all join", Cluster { counts: 0, ..begins() }),
        ("one joins and leaves", returns()),
        ("one joins and leaves, late", late(&returns())),
        ("one passes", passes()),
        ("answers are lost", lossy(1)),
    ] {
        reach::always(name, &cluster);
    }
}

#[test]
fn who_joins_looks_who_is_there_after_it_has_announced_itself() {
    rejects(Mutant::ListedBeforeNamed, &begins());
}

#[test]
fn who_joins_waits_until_the_others_know_it() {
    rejects(Mutant::NoGreeting, &joins());
}

#[test]
fn those_who_leave_are_asked_too() {
    rejects(Mutant::OnlyMembersAsked, &passes());
}

#[test]
fn of_two_who_claim_none_has_it_free() {
    rejects(Mutant::FreeWhileClaiming, &begins());
}

#[test]
fn an_answer_is_good_for_the_claim_that_it_was_given_to() {
    rejects(Mutant::AnswersKept, &passes());
}

#[test]
fn a_part_is_kept_until_the_next_one_is_asked_for() {
    rejects(Mutant::ForgottenWhenSent, &lossy(1));
}

#[test]
fn who_has_asked_for_a_part_goes_on_until_it_is_answered() {
    reach::rejects(Mutant::TakingAbandoned, &joins());
}

#[test]
fn a_question_that_was_overtaken_is_not_looked_at() {
    rejects(Mutant::Overtaken, &lossy(2));
}

#[test]
fn counters_are_promised_to_one_while_they_are_given() {
    rejects(Mutant::PromisedTwice, &lossy(1));
}

#[test]
fn who_leaves_stays_until_it_owns_nothing() {
    rejects(Mutant::GoneTooEarly, &leaves());
}

#[test]
fn who_leaves_takes_nothing_over_any_more() {
    rejects(Mutant::ClaimsWhileLeaving, &late(&passes()));
}
