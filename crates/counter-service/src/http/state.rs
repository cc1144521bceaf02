//! What all requests of one service share.

use crate::Node;
use evenfold::projection::PoolWorker;
use evenfold_http::auth::{Auth, Gate, Scheme};
use evenfold_http::inflight::InFlight;
use evenfold_http::metrics::Requests;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How a service serves its nodes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceOptions {
    /// What needs a token; without, everything is open to whoever can connect, but increments are not taken from web
    /// pages.
    pub auth: Option<Auth>,
    /// How many requests may be in flight; further ones are answered with 503. Watchers are not among them. At least 1.
    pub max_inflight: usize,
    /// How many bytes all of them may have in memory together, with their bodies and with their answers until these are
    /// written; further ones are answered with 503. 2 KiB of each are not counted. One request that needs more than
    /// that by itself is let through at a time.
    pub max_inflight_bytes: usize,
    /// How many may watch; further ones are answered with 503.
    pub max_watchers: usize,
    /// How long a body may take to come. What a request may take after that is up to the node.
    pub body_timeout: Duration,
    /// The workers of this process: while nobody here folds one of their partitions, the service is not ready.
    pub workers: Vec<PoolWorker>,
}

impl ServiceOptions {
    /// The same with this [`auth`](Self::auth).
    #[must_use]
    pub fn auth(self, auth: Option<Auth>) -> Self {
        Self { auth, ..self }
    }

    /// The same with this [`max_inflight`](Self::max_inflight).
    #[must_use]
    pub fn max_inflight(self, max_inflight: usize) -> Self {
        Self { max_inflight, ..self }
    }

    /// The same with this [`max_inflight_bytes`](Self::max_inflight_bytes).
    #[must_use]
    pub fn max_inflight_bytes(self, max_inflight_bytes: usize) -> Self {
        Self { max_inflight_bytes, ..self }
    }

    /// The same with this [`max_watchers`](Self::max_watchers).
    #[must_use]
    pub fn max_watchers(self, max_watchers: usize) -> Self {
        Self { max_watchers, ..self }
    }

    /// The same with this [`body_timeout`](Self::body_timeout).
    #[must_use]
    pub fn body_timeout(self, body_timeout: Duration) -> Self {
        Self { body_timeout, ..self }
    }

    /// The same with this [`workers`](Self::workers).
    #[must_use]
    pub fn workers(self, workers: Vec<PoolWorker>) -> Self {
        Self { workers, ..self }
    }
}

impl Default for ServiceOptions {
    /// No token, 10,000 requests with 64 MiB, 1,000 watchers, 2 seconds, no workers.
    fn default() -> Self {
        Self {
            auth: None,
            max_inflight: 10_000,
            max_inflight_bytes: 64 * 1024 * 1024,
            max_watchers: 1_000,
            body_timeout: Duration::from_secs(2),
            workers: Vec::new(),
        }
    }
}

pub(super) struct State {
    /// At least one.
    pub(super) nodes: Vec<Node>,
    pub(super) workers: Vec<PoolWorker>,
    turn: AtomicUsize,
    pub(super) gate: Gate,
    pub(super) requests: Requests,
    pub(super) inflight: Arc<InFlight>,
    pub(super) watchers: Arc<InFlight>,
    pub(super) body_timeout: Duration,
}

impl State {
    pub(super) fn new(nodes: Vec<Node>, options: ServiceOptions) -> Self {
        Self {
            nodes,
            workers: options.workers,
            turn: AtomicUsize::new(0),
            gate: Gate { scheme: Scheme::Bearer, auth: options.auth },
            requests: Requests::of::<Self>(),
            inflight: InFlight::new(options.max_inflight.max(1), options.max_inflight_bytes),
            // Each has an event at a time.
            watchers: InFlight::new(options.max_watchers, usize::MAX),
            body_timeout: options.body_timeout,
        }
    }

    /// The node whose turn it is.
    pub(super) fn node(&self) -> &Node {
        // One node is what almost every process has: its requests share no counter.
        let turn = if self.nodes.len() == 1 { 0 } else { self.turn.fetch_add(1, Ordering::Relaxed) };
        &self.nodes[turn % self.nodes.len()]
    }
}
