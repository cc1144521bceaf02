//! What the benchmarks promise, as real processes.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed, and should say where")]

use evenfold_testkit as support;

mod benchmarks;
mod documents;
mod growth;
mod mistakes;
