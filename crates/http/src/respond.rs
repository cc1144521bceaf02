//! What answers on a connection.

use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use std::future::Future;

/// What answers requests: a value for all connections, cheap to clone.
pub trait Respond: Clone + Send + Sync + 'static {
    /// Answers one request, whatever is wrong with it.
    fn respond(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}
