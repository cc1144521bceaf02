//! The page of `evenfold monitor` in a real browser, over a real PostgreSQL with real workers: what it shows is what is
//! in the database, and where that is not known it says so in words.
//!
//! `scripts/test` installs the browser and what drives it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod away;
mod browser;
mod figures;
mod monitored;
mod operators;
mod thousand;
