//! What the cache promises, in the process and over HTTP.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets an error has failed, and should say where")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

use evenfold_testkit as support;

mod cache;
mod http_cache;
mod http_fuzz;
mod http_in_flight;
mod http_limits;
mod http_load;
mod http_meta;
