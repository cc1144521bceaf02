//! The page: every projection as the database has it, and what an operator can do about it.

mod assets;
mod error;
mod history;
mod operate;
mod parked;
mod published;
mod query;
mod routes;
#[cfg(test)]
mod sample;
mod service;
mod state;
mod troubles;
mod watch;

pub use error::PageErrorCode;
pub use service::{PageOptions, PageService};
