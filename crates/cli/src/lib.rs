//! The command line, one file per subcommand: of the program `evenfold`, and of [programs](App) for projections of
//! one's own.

#![expect(clippy::doc_markdown, reason = "clap shows the comments on arguments to people, as they are")]

#[cfg(any(feature = "cache", feature = "monitor", feature = "serve"))]
mod access;
mod advice;
mod app;
mod append;
mod asked;
#[doc(hidden)]
pub mod bench;
#[cfg(feature = "cache")]
mod cache;
mod commands;
pub mod config;
mod confirm;
mod control;
mod counters;
mod db;
mod demo;
#[doc(hidden)]
pub mod done;
mod ended;
mod erase;
mod files;
mod flags;
mod foreign;
mod gauge;
mod generate;
mod global;
mod health;
#[cfg(feature = "monitor")]
mod http;
mod import;
mod index;
mod json_lines;
mod lines;
#[cfg(any(feature = "cache", feature = "monitor", feature = "serve"))]
mod listen;
mod manual;
mod migrate;
#[cfg(feature = "monitor")]
mod monitor;
#[cfg(feature = "serve")]
#[doc(hidden)]
pub mod nats_server;
#[cfg(feature = "monitor")]
mod operating;
#[cfg(feature = "otel")]
mod otel;
#[doc(hidden)]
pub mod output;
mod panel;
mod parked;
mod pool;
#[doc(hidden)]
pub mod progress;
mod projection;
mod projections;
mod rebuild;
mod registry;
mod repair;
mod replay;
mod scale;
mod screen;
#[cfg(feature = "serve")]
mod serve;
mod server;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod signals;
mod source;
mod start;
mod status;
mod telemetry;
mod terminal;
#[doc(hidden)]
pub mod tuning;
mod uninstall;
mod verify;
mod wait;
mod worker;

pub use app::App;
#[doc(hidden)]
pub use global::Global;
#[doc(hidden)]
pub use start::{read_dotenv, start};
#[doc(hidden)]
pub use telemetry::Logging;

use std::process::ExitCode;

/// The program `evenfold`.
///
/// The exit code is 2 for what was asked wrongly, and 1 for what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    App::product().main()
}

/// The README's Rust is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
