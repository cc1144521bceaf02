//! The place of a request, on its way to the handler.

use super::inflight::Place;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::{Parts, Request};
use std::sync::{Arc, Mutex, PoisonError};

/// The place of a request that was let in. A handler that is called with it puts it into its answer.
#[derive(Debug)]
pub struct Admitted(pub Place);

/// What goes through the router: extensions must be clones of each other.
#[derive(Debug, Clone)]
struct Carried(Arc<Mutex<Option<Place>>>);

impl Admitted {
    /// Sends it along, through the router.
    pub fn carry<B>(self, request: &mut Request<B>) {
        request.extensions_mut().insert(Carried(Arc::new(Mutex::new(Some(self.0)))));
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admitted {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let carried = parts.extensions.get::<Carried>();
        let place = carried.and_then(|Carried(place)| place.lock().unwrap_or_else(PoisonError::into_inner).take());
        place.map(Self).ok_or_else(|| {
            tracing::error!(
                path = parts.uri.path(),
                "a request came to its handler without a place among those in flight"
            );
            StatusCode::INTERNAL_SERVER_ERROR
        })
    }
}
