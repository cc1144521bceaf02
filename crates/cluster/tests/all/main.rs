//! What the nodes of a cluster promise each other, in one process and over a real nats-server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

use evenfold_testkit as support;

mod cluster;
