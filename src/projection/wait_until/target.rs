//! What a caller waits for.

use crate::event::Aggregate;
use crate::log::Appended;
use crate::number::{Position, Version};

/// Events that a projection is to have applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Those at these positions, which an append has returned.
    Positions(Vec<Position>),
    /// Those of an aggregate up to a version: its last one, as it is when the wait begins, where none is given.
    Aggregate {
        /// Whose events.
        aggregate: Aggregate,
        /// The version, from 1.
        version: Option<Version>,
    },
    /// Everything that is in the log and visible when the wait begins.
    Everything,
}

impl From<Position> for Target {
    fn from(position: Position) -> Self {
        Self::Positions(vec![position])
    }
}

impl From<Vec<Position>> for Target {
    fn from(positions: Vec<Position>) -> Self {
        Self::Positions(positions)
    }
}

impl From<&[Position]> for Target {
    fn from(positions: &[Position]) -> Self {
        Self::Positions(positions.to_vec())
    }
}

impl From<Appended> for Target {
    fn from(appended: Appended) -> Self {
        Self::from(appended.position)
    }
}

impl From<&[Appended]> for Target {
    fn from(appended: &[Appended]) -> Self {
        Self::Positions(appended.iter().map(|event| event.position).collect())
    }
}

impl From<&Vec<Appended>> for Target {
    fn from(appended: &Vec<Appended>) -> Self {
        Self::from(appended.as_slice())
    }
}

impl From<Aggregate> for Target {
    fn from(aggregate: Aggregate) -> Self {
        Self::Aggregate { aggregate, version: None }
    }
}
