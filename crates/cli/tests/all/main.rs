//! What the program promises, as real processes against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

use evenfold_testkit as support;

mod application;
mod cli;
mod cli_append;
mod cli_cache;
mod cli_control;
mod cli_counters;
mod cli_databases;
mod cli_db;
mod cli_demo;
mod cli_generate;
mod cli_manual;
mod cli_mistakes;
mod cli_pool;
mod cli_projection_check;
mod cli_projections;
mod cli_serve;
mod cli_serve_demo;
mod cli_serve_log;
mod cli_serve_ready;
mod cli_settings;
mod cli_signals;
mod cli_source;
mod cli_tables;
mod cli_wait;
mod cli_which_database;
mod cli_worker;
mod cli_worker_settings;
mod crash;
mod damage;
mod definition;
mod documents;
mod emulator;
mod erase;
mod fuzz_payloads;
mod heartbeats;
mod http_curl;
mod http_docs;
mod http_host;
mod http_memory;
mod http_probes;
mod index;
mod log_json;
mod monitoring;
mod moved_tables;
mod nats_users;
mod parked_masses;
mod parking;
mod payload_sizes;
mod payloads;
mod pool_panel;
mod pool_start;
mod pooler;
mod probes;
mod rebuild;
mod replaced;
mod replicas;
mod restored;
mod roles;
mod same_key;
mod status;
mod status_check;
mod status_watch;
mod strangers;
mod two_schemas;
mod uninstall;
mod verify;
mod wake;
