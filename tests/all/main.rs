//! What the engine promises, one module per promise, against a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets an error has failed, and should say where")]

use evenfold_testkit as support;

mod append;
mod append_in_sql;
mod appender;
mod architecture;
mod at_once;
mod crash;
mod create;
mod erase;
mod erase_workers;
mod failover;
mod fence;
mod foreign;
mod found_by_the_model;
mod late_commit;
mod late_many;
mod load;
mod log_table;
mod looks;
mod notify;
mod open_transaction;
mod order;
mod plans;
mod plans_arrays;
mod pool;
mod pool_reads;
mod process;
mod read_ahead;
mod recorded_at;
mod row;
mod schema;
mod statements;
mod superseded;
mod topology;
mod wait_until;
mod walk;
mod words;
