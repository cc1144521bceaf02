//! Any projection a second time, in a shadow of its tables: to compare the read model with what the log makes of it, or
//! to put that in its place.
//!
//! A projection makes its tables by [`create`](crate::Projection::create), with names that have no schema. So with
//! another schema first in the `search_path` it makes, and folds into, other tables of the same names.

mod compare;
mod differences;
mod fold;
mod rebuild;
mod rebuilding;
mod rebuilt;
mod replace;
mod shape;
mod switch;
mod tables;
mod verify;

pub use compare::{DifferingRow, Side, TableOutcome, VerifiedTable};
pub use fold::RefusedEvent;
pub(crate) use fold::{FoldError, Folded, fold_applied};
pub use rebuild::rebuild;
pub(crate) use rebuilt::release;
pub use rebuilt::{RebuildError, RebuildOptions, Rebuilt, TablesRebuilt};
pub use switch::Switch;
pub use tables::ShadowError;
pub use verify::{Verified, VerifyError, verify};
