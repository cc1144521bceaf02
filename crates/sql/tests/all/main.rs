//! What a projection in a file of SQL promises, against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed, and should say where")]

mod bad_events;
mod batch;
mod check;
mod dry_run;
mod examples;
mod fold;
mod foreign;
mod passing;
mod rebuild;
mod rebuild_resumed;
mod refusals;
mod spans;
mod verify;
