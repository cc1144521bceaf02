//! One connection, from its first request to its end.

use super::activity::{Activity, Stream, Watched};
use super::error::{misdirected, too_many_connections};
use super::host::Names;
use super::request_id;
use super::respond::Respond;
use super::route::{HEALTHZ, LIVEZ, READYZ};
use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A request's line and headers may have this many bytes: 431 beyond.
const MAX_HEAD: usize = 16 * 1024;

/// As much of what a client sends is kept for a handler that has not asked for it yet.
const READ_AHEAD: usize = 64 * 1024;

/// What is answered whatever there is to do.
const PROBES: [&str; 3] = [LIVEZ, HEALTHZ, READYZ];

/// Which requests of a connection go to the service.
#[derive(Debug)]
pub(super) struct Door {
    /// What it answers to; anything if there are none.
    pub(super) names: Option<Names>,
    /// Whether it is one of those that are kept for probes. Such a connection has one request.
    pub(super) probes_only: bool,
}

impl Door {
    /// The answer to a request that does not go to the service.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        let (version, target, headers) = (request.version(), request.uri(), request.headers());
        if self.names.as_ref().is_some_and(|names| !names.include(version, target, headers)) {
            return Some(misdirected());
        }
        (self.probes_only && !PROBES.contains(&target.path())).then(too_many_connections)
    }
}

/// Answers requests until the client has enough, is silent for too long, or `closing` is cancelled. Answers that are
/// streams end then.
pub(super) async fn run(
    stream: TcpStream,
    service: impl Respond,
    door: Door,
    activity: Arc<Activity>,
    idle: Duration,
    closing: CancellationToken,
) {
    // Answers are written at once and whole: waiting for more to send would only delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (noted, service, door, ending) = (&activity, &service, &door, &closing);
    let answer = service_fn(move |mut request: Request<Incoming>| async move {
        if !noted.begin() {
            // Its task is about to be dropped: whoever closes a connection aborts it right after.
            std::future::pending::<()>().await;
        }
        let id = request_id::of(request.headers_mut());
        let response = match door.refusal(&request) {
            Some(refusal) => refusal,
            None => service.respond(request).await,
        };
        noted.answered();
        let mut response = watched(response, noted, ending);
        response.headers_mut().insert(request_id::NAME, id);
        if door.probes_only {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(response)
    });
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_HEAD).max_buf_size(READ_AHEAD);
    let io = TokioIo::new(Watched { stream, activity: Arc::clone(&activity) });
    let mut connection = pin!(builder.serve_connection(io, answer));
    let mut silence = pin!(activity.silence(idle));
    tokio::select! {
        // A broken connection is the client's affair.
        _ = connection.as_mut() => return,
        () = silence.as_mut() => return,
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = silence => {}
        () = activity.deaf() => {}
    }
}

/// An answer whose length is not known is a stream. The others, nearly all, are left as they are.
fn watched(response: Response<Body>, activity: &Arc<Activity>, closing: &CancellationToken) -> Response<Body> {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let ending = closing.clone().cancelled_owned();
    response.map(|body| Body::new(Stream::new(body, Arc::clone(activity), ending)))
}
