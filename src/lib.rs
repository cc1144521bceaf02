//! evenfold folds an event log kept in PostgreSQL into read models, exactly once and in order, by N identical workers
//! that never talk to each other: all they share is the database.
//!
//! Events are [appended](log::append) to the [log], in the caller's own transaction. A [`Worker`](projection::Worker)
//! reads those of its partition by [windows](log::Window), which can't miss an event whatever the order in which
//! transactions commit, and applies them to a [`Projection`](projection::Projection) in the transaction that also
//! moves its [checkpoint].

pub mod actor;
pub mod checkpoint;
pub mod class;
pub mod counter;
pub mod counters;
pub mod database;
pub mod event;
pub mod hash;
mod invariant;
pub mod lease;
pub mod log;
pub mod projection;
pub mod schema;

/// The documents' Rust is compiled as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../docs/guide/first-steps.md")]
    pub struct FirstSteps;

    #[doc = include_str!("../docs/guide/projections.md")]
    pub struct Projections;
}
