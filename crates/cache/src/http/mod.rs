//! The cache as an HTTP service: what is asked for, who may, and what is counted about it.

mod admin;
mod batch;
mod condition;
mod docs;
mod entry;
mod error;
mod expiry;
mod health;
mod incr;
mod key;
mod kind;
mod kv;
mod meta;
mod metrics;
mod results;
mod routes;
mod service;
mod state;

pub use batch::MAX_BATCH_KEYS;
pub use error::ErrorCode;
pub use service::CacheService;
pub use state::ServiceOptions;
