//! A model of the whole protocol, checked with `stateright`: writers, fences, limited batches, workers, crashes, and
//! changes of the number of partitions, in every order that PostgreSQL allows.
//!
//! The decisions are the production code's: `Checkpoint`, `checkpoint::next`, `Fence`, `Snapshot`, `Holes`, `Class`.
//! Modelled by hand is what PostgreSQL does ([`log`]), what the statements on the checkpoints do ([`store`]), and the
//! order of a worker's steps ([`worker`]).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets an error has failed, and should say where")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod by_column;
mod by_column_mutants;
mod by_sequence;
mod by_sequence_mutants;
mod cases;
mod chance;
mod check;
mod exhaustive;
mod explore;
mod fencing;
mod handover;
mod histories;
mod log;
mod looking;
mod mutant;
mod mutants;
mod polling;
mod protocol;
mod reading;
mod rebuild;
mod replicas;
mod step;
mod store;
mod worker;
