//! Projections that are files of SQL: `projections/NAME.sql` is the projection `NAME`.
//!
//! ```sql
//! -- What each customer paid on each day.
//! -- events: order-paid
//!
//! -- create
//! CREATE TABLE paid_by_day (
//!     customer text, day date, orders bigint NOT NULL, cents bigint NOT NULL, PRIMARY KEY (customer, day)
//! );
//!
//! -- apply
//! INSERT INTO paid_by_day AS t (customer, day, orders, cents)
//! SELECT payload ->> 'customer', (recorded_at AT TIME ZONE 'UTC')::date, count(*), sum((payload ->> 'cents')::bigint)
//! FROM batch
//! GROUP BY 1, 2
//! ORDER BY 1, 2 -- partitions write the same rows: always in the order of the key
//! ON CONFLICT (customer, day) DO UPDATE SET orders = t.orders + excluded.orders, cents = t.cents + excluded.cents;
//! ```
//!
//! The headings are comments, each in a line of its own:
//!
//! - `-- events: a, b` and `-- aggregates: t`, before the first section: only events of these types, or of aggregates
//!   of these types. Without them: every event.
//! - `-- create`: makes the tables, once in the life of the projection.
//! - `-- apply`: statements, run once per batch, over the relation `batch`. Or instead
//! - `-- each event`: the body of a PL/pgSQL block, run once per event, in order, over the record `event`.
//!
//! `batch` and `event` have the columns `position`, `aggregate_type`, `aggregate_id`, `version`, `event_type`,
//! `payload`, `metadata`, `event_id`, `recorded_at`, and `erased`: whether what the event contained was erased.

mod batch;
pub mod check;
mod deadlocks;
mod definition;
mod fault;
mod file;
mod gate;
mod heading;
mod isolate;
mod kinds;
mod lexer;
mod place;
mod projection;
mod run;
mod session;
mod split;
mod tables;

pub use file::{FileError, ProjectionFile};
pub use place::Flaw;
pub use projection::SqlProjection;
