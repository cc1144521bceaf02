//! What all requests of one service share.

use crate::Cache;
use evenfold_http::auth::{Auth, Gate, Scheme};
use evenfold_http::inflight::InFlight;
use evenfold_http::metrics::Requests;
use std::sync::Arc;
use std::time::Duration;

/// A text of JSON has at most six bytes for each that it stands for (`\u0001`), and there are names around it.
const ESCAPED: usize = 6;
const AROUND_A_VALUE: usize = 1024;

/// The smallest limit of a batch: a thousand values of 16 KiB.
const MIN_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// How many requests for figures and administration may be in flight, and how many bytes they may have.
const APART: (usize, usize) = (64, 16 * 1024 * 1024);

/// How a service serves its cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceOptions {
    /// What needs a token; without, everything is open to whoever can connect, but changes are not taken from web
    /// pages.
    pub auth: Option<Auth>,
    /// How many requests for keys may be in flight; further ones are answered with 503. At least 1.
    pub max_inflight: usize,
    /// How many bytes all of them may have in memory together, with their bodies as far as they have come, their
    /// values, and their answers until these are written; further ones are answered with 503. 2 KiB of each are not
    /// counted. One request that needs more than that by itself is let through at a time.
    pub max_inflight_bytes: usize,
    /// How long a body may take to come, and a shard to report its health.
    pub request_timeout: Duration,
    /// What the cache allows a value, in bytes. A body may have six times as many, and 1 KiB, so that every value can
    /// be sent however it is escaped; the bodies of a batch, and what it answers, as many, or 16 MiB if that is more.
    pub max_item_bytes: usize,
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

    /// The same with this [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub fn request_timeout(self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self }
    }

    /// The same with this [`max_item_bytes`](Self::max_item_bytes).
    #[must_use]
    pub fn max_item_bytes(self, max_item_bytes: usize) -> Self {
        Self { max_item_bytes, ..self }
    }
}

impl Default for ServiceOptions {
    /// No token, 1,000 requests with 64 MiB, 2 seconds, 1 MiB.
    fn default() -> Self {
        Self {
            auth: None,
            max_inflight: 1_000,
            max_inflight_bytes: 64 * 1024 * 1024,
            request_timeout: Duration::from_secs(2),
            max_item_bytes: 1024 * 1024,
        }
    }
}

pub(super) struct State {
    pub(super) cache: Cache,
    pub(super) gate: Gate,
    pub(super) requests: Requests,
    pub(super) inflight: Arc<InFlight>,
    pub(super) apart: Arc<InFlight>,
    pub(super) request_timeout: Duration,
    pub(super) max_item: usize,
    pub(super) max_body: usize,
    pub(super) max_batch: usize,
}

impl State {
    pub(super) fn new(cache: Cache, options: ServiceOptions) -> Self {
        let max_body = options.max_item_bytes.saturating_mul(ESCAPED).saturating_add(AROUND_A_VALUE);
        Self {
            cache,
            gate: Gate { scheme: Scheme::Header, auth: options.auth },
            requests: Requests::of::<Self>(),
            inflight: InFlight::new(options.max_inflight, options.max_inflight_bytes),
            apart: InFlight::new(APART.0, APART.1),
            request_timeout: options.request_timeout,
            max_item: options.max_item_bytes,
            max_body,
            max_batch: max_body.max(MIN_BATCH_BYTES),
        }
    }
}
