//! What `deploy/`, the compose file and the Dockerfile say is what the binary does, and what those who read them
//! accept.
//!
//! `scripts/test` installs these: Prometheus, kubectl, systemd-analyze, the schemas of Kubernetes, hadolint.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]

use evenfold_testkit as support;

mod alerts;
mod alerts_fired;
mod compose;
mod dashboards;
mod health;
mod image;
mod kubernetes;
mod manifests;
mod monitor;
mod partitions;
mod programs;
mod systemd;
