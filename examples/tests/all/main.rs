//! The examples do what they say, as real processes.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed, and should say where")]

mod counter;
mod custom_projection;
mod documents;
mod example;
mod replayed;
mod several_projections;
mod stories;
