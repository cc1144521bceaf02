//! What serving HTTP promises, over real connections.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]

use evenfold_testkit as support;

mod http_router;
mod http_serve;
