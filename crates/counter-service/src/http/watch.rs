//! Watching a counter: server-sent events.

use super::error::ApiError;
use super::state::State;
use super::value::{EXAMPLE_NAME, Name, id_in, write, write_json};
use crate::{CounterId, CounterValue, ServiceError, Watching};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use evenfold_http::documented::{Documented, DocumentedAnswer};
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use futures_util::stream;
use std::convert::Infallible;
use std::time::Duration;

/// After so much silence a comment is sent: what lies between may close a connection on which nothing moves for 30 or
/// 60 seconds.
const KEEP_OPEN: Duration = Duration::from_secs(15);

/// The pause after a counter could not be read.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// As curl shows it.
const EXAMPLE_EVENT: &str = "id: 1\ndata: {\"counter_id\":\"my-counter\",\"value\":5,\"version\":1}\n\n";

pub(super) fn documented(documented: Documented) -> Documented {
    documented
        .operation("watch", "counters", "Watch a counter")
        .description(
            "Server-sent events: first what the counter stands at, then each newer value, as \
             `data: {\"counter_id\", \"value\", \"version\"}` with the version as `id`. A reader that is slow is not sent \
             all of them, but always the newest in the end. A comment comes after 15 seconds without a change. The stream \
             ends when the service stops.",
        )
        .inline_in_path::<Name>("The counter, percent-encoded.", EXAMPLE_NAME)
        .stream()
        .answer(200, DocumentedAnswer::text("A stream that stays open.", "text/event-stream", EXAMPLE_EVENT))
}

pub(super) async fn watch(call: Call<State>, place: Place) -> Result<Response, ApiError> {
    let (state, id) = (&call.state, id_in(&call.head)?);
    let mut watching = state.node().watch(&id)?;
    // Before the answer begins, so that what is wrong is reported by its status.
    let first = watching.next().await?.ok_or(ServiceError::Stopped)?;
    let watcher = Watcher { id, watching, ready: Some(first), _place: place };
    let events = stream::unfold(watcher, async |mut watcher| {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Lives as long as its answer: whoever goes away frees the place.
struct Watcher {
    id: CounterId,
    watching: Watching,
    /// The first value.
    ready: Option<CounterValue>,
    _place: Place,
}

impl Watcher {
    /// What is to be sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.ready.take() {
            return Some(self.event(first));
        }
        match tokio::time::timeout(KEEP_OPEN, self.watching.next()).await {
            Ok(Ok(Some(counted))) => Some(self.event(counted)),
            Ok(Ok(None) | Err(ServiceError::Stopped)) => None,
            Ok(Err(_)) => {
                tokio::time::sleep(TRY_AGAIN).await;
                Some(Bytes::from_static(b": the counter can't be reached now\n\n"))
            }
            Err(_) => Some(Bytes::from_static(b":\n\n")),
        }
    }

    fn event(&self, counted: CounterValue) -> Bytes {
        let mut out = b"id: ".to_vec();
        write_json(&mut out, &counted.version);
        out.extend_from_slice(b"\ndata: ");
        write(&mut out, &self.id, counted);
        out.extend_from_slice(b"\n\n");
        out.into()
    }
}
