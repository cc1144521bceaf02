//! What evenfold promises, one module per promise, against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod support;

mod actor_group;
mod append;
mod appender;
mod architecture;
mod cache;
mod changes;
mod cli;
mod cli_append;
mod cli_bench;
mod cli_cache;
mod cli_control;
mod cli_counters;
mod cli_databases;
mod cli_db;
mod cli_demo;
mod cli_generate;
mod cli_mistakes;
mod cli_pool;
mod cli_serve;
mod cli_serve_demo;
mod cli_serve_log;
mod cli_serve_ready;
mod cli_settings;
mod cli_signals;
mod cli_tables;
mod cli_which_database;
mod cli_worker;
mod cli_worker_settings;
mod cluster;
mod crash;
mod damage;
mod definition;
mod deploy;
mod embedded;
mod failover;
mod fence;
mod found_by_the_model;
mod fuzz_payloads;
mod handover;
mod handover_nats;
mod heartbeats;
mod http_cache;
mod http_counter;
mod http_counter_figures;
mod http_counter_handling;
mod http_counter_limits;
mod http_counter_refusals;
mod http_counter_watch;
mod http_docs;
mod http_fuzz;
mod http_host;
mod http_in_flight;
mod http_limits;
mod http_memory;
mod http_probes;
mod http_serve;
mod index;
mod late_commit;
mod log_table;
mod looks;
mod nats_users;
mod notify;
mod open_transaction;
mod order;
mod parked_masses;
mod parking;
mod payload_sizes;
mod payloads;
mod plans;
mod plans_arrays;
mod pool;
mod pool_reads;
mod pool_start;
mod pooler;
mod process_groups;
mod process_groups_actors;
mod process_groups_random;
mod process_groups_slow;
mod read_ahead;
mod readme;
mod rebuild;
mod replaced;
mod replicas;
mod restored;
mod roles;
mod same_key;
mod schema;
mod service;
mod service_cluster;
mod service_million;
mod service_oracle;
mod status;
mod status_check;
mod strangers;
mod superseded;
mod topology;
mod verify;
mod wake;
mod walk;
