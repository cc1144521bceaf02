//! The page: every projection as the database has it, and what an operator can do about it.

mod assets;
mod error;
mod operate;
mod parked;
mod published;
mod query;
mod routes;
mod service;
mod state;
mod watch;

pub use error::PageErrorCode;
pub use service::{PageOptions, PageService};
