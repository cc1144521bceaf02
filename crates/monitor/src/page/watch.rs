//! The figures, now and whenever they are counted: server-sent events.

use super::assets;
use super::error::PageError;
use super::published::Published;
use super::query::one;
use super::state::PageState;
use crate::history::STEP;
use axum::body::{Body, Bytes};
use axum::http::Response;
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use futures_util::stream;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::watch::Receiver;

/// After so much silence a comment is sent: what lies between may close a connection on which nothing moves for 30 or
/// 60 seconds.
const KEEP_OPEN: Duration = Duration::from_secs(15);

/// So many lines are sent at once.
const LINES: usize = 100;

/// All figures as they were counted last, in JSON.
pub(super) fn now(state: &PageState) -> Vec<u8> {
    let published = Arc::clone(&state.published.borrow());
    published.json(&state.shown)
}

/// The lines of some classes.
pub(super) fn history(call: &Call<PageState>) -> Result<Response<Body>, PageError> {
    let query = call.head.query();
    let (projection, classes) = (one(query, "projection")?, one(query, "classes")?);
    let history = call.state.shown.history.lock().unwrap_or_else(PoisonError::into_inner);
    let lines: Map<String, Value> = classes
        .split(',')
        .take(LINES)
        .filter_map(|class| Some((class.to_owned(), history.line(&projection, class)?.into())))
        .collect();
    Ok(assets::json(json!({ "step_seconds": STEP, "classes": lines }).to_string().into_bytes()))
}

pub(super) fn watch(call: Call<PageState>, place: Place) -> Response<Body> {
    let mut published = call.state.published.clone();
    published.mark_changed();
    let watcher = Watcher { state: call.state, published, _place: place };
    let events = stream::unfold(watcher, async |mut watcher| {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    assets::answer("text/event-stream", Body::from_stream(events))
}

/// Lives as long as its answer: whoever goes away frees the place. Whoever is slow is sent what is newest.
struct Watcher {
    state: Arc<PageState>,
    published: Receiver<Arc<Published>>,
    _place: Place,
}

impl Watcher {
    /// What is to be sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        match tokio::time::timeout(KEEP_OPEN, self.published.changed()).await {
            Ok(Ok(())) => {
                let published = Arc::clone(&self.published.borrow_and_update());
                // JSON has no line breaks.
                let mut event = b"data: ".to_vec();
                event.extend(published.json(&self.state.shown));
                event.extend_from_slice(b"\n\n");
                Some(event.into())
            }
            Ok(Err(_)) => None,
            Err(_) => Some(Bytes::from_static(b":\n\n")),
        }
    }
}
