//! The counter service over HTTP: what is asked for, who may, and what is counted about it.

mod docs;
mod error;
mod figures;
mod health;
mod increment;
mod metrics;
mod read;
mod routes;
mod service;
mod state;
mod value;
mod watch;

pub use error::ErrorCode;
pub use metrics::MetricsService;
pub use service::CounterService;
pub use state::ServiceOptions;
