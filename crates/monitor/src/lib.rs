//! Seen from outside: figures of projections and workers for Prometheus, and probes for orchestrators.
//!
//! Of a process that folds, [`ProcessService`] shows what its own workers do. [`MonitorService`] shows every projection
//! of a database, counted there: right also when every worker is dead.

mod error;
mod figures;
mod history;
mod logs;
mod monitor;
mod operator;
mod page;
mod probes;
mod process;
mod reader;
mod readiness;
mod reading;
#[cfg(test)]
mod sample;
mod troubles;

pub use figures::{GAUGES, Gauge, TOTALS, Total, labels};
pub use logs::Logs;
pub use monitor::MonitorService;
pub use operator::{Operator, ParkedKey, WhatToDo};
pub use page::{PageErrorCode, PageOptions, PageService};
pub use process::{OtherWork, ProcessService};
pub use reader::{INTERVAL, read_on};
pub use reading::{ProjectionReading, Reading};
