//! What groups of actors promise, one module per promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]

use evenfold_testkit as support;

mod actor_group;
mod process_groups;
mod process_groups_actors;
mod process_groups_random;
mod process_groups_slow;
