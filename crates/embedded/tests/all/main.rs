//! What a PostgreSQL of our own promises, with real servers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets an error has failed, and should say where"
)]

mod embedded;
