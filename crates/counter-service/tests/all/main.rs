//! What the counter service promises, against a real PostgreSQL and a real nats-server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets an error has failed, and should say where"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

use evenfold_testkit as support;

mod changes;
mod handover;
mod handover_nats;
mod http_counter;
mod http_counter_figures;
mod http_counter_handling;
mod http_counter_limits;
mod http_counter_refusals;
mod http_counter_watch;
mod service;
mod service_cluster;
mod service_million;
mod service_oracle;
