//! What an operator can have done to parked aggregates: for that the code of their projections is needed.

use futures_util::future::BoxFuture;

/// A parked aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParkedKey {
    /// The projection that has parked it.
    pub projection: String,
    /// The kind of aggregate.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhatToDo {
    /// Its parked events are applied, as far as they can be.
    Retry,
    /// The first of them is dropped for good, and those behind it are applied.
    Drop,
}

impl WhatToDo {
    /// How it is called in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Drop => "drop",
        }
    }
}

/// A program that has the code of some projections.
pub trait Operator: Send + Sync + 'static {
    /// The names of its projections.
    fn projections(&self) -> Vec<String>;

    /// Does what is asked for, in one transaction; gives in a sentence what became of it, or why nothing was done.
    fn act(&self, asked: WhatToDo, key: ParkedKey) -> BoxFuture<'static, Result<String, String>>;
}
