//! Actors by key, on nodes of one process.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]

mod counter;
mod errors;
mod kinds;
mod moving;
mod nodes;
mod order;
mod over_nats;
mod stored;

use evenfold_testkit as support;
