//! What the tests share: a database each, servers, processes, and waiting.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::implicit_hasher,
    reason = "it is part of the tests: what meets an error has failed, and should say where"
)]

#[cfg(feature = "cache")]
mod cached;
mod caching;
mod children;
#[cfg(feature = "engine")]
pub mod cli;
#[cfg(feature = "containers")]
mod container;
#[cfg(feature = "counter-service")]
mod counting;
pub mod documents;
#[cfg(feature = "engine")]
mod engine;
pub mod figures;
#[cfg(feature = "groups")]
pub mod groups;
mod http;
mod nats;
#[cfg(feature = "engine")]
pub mod oracle;
#[cfg(feature = "engine")]
mod others;
mod postgres;
mod process;
pub mod proxy;
mod releases;
mod scratch;
#[cfg(feature = "engine")]
mod server;
mod serving;
#[cfg(feature = "cluster")]
pub mod shaky;
mod shop;
#[cfg(feature = "engine")]
mod stepped;
mod wait;

#[cfg(feature = "cache")]
pub use cached::Cached;
pub use caching::Caching;
pub use children::{Descendant, descendants};
#[cfg(feature = "counter-service")]
pub use counting::Counting;
#[cfg(feature = "engine")]
pub use engine::*;
pub use http::{Client, HttpReply};
pub use nats::{NatsServer, nats_url};
#[cfg(feature = "engine")]
pub use others::{LOG_OF_OTHERS, assert_each_noted_once};
pub use postgres::Postgres;
pub use process::{Evenfold, advised};
pub use proxy::{Proxy, Server};
pub use releases::{Release, releases};
pub use scratch::scratch;
#[cfg(feature = "engine")]
pub use server::{TestDb, server_url};
pub use serving::Serving;
pub use shop::SHOP_TABLE;
#[cfg(feature = "engine")]
pub use stepped::{Stepped, assert_all_applied_once, counted, drain_all, ids_in, partition, rows};
pub use wait::{SOON, wait_until};
