//! One connection, from its first request to its end.

use super::serve::Respond;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A request's line and headers may have this many bytes: 431 beyond.
const MAX_HEAD: usize = 16 * 1024;

/// As much of what a client sends is kept for a handler that has not asked for it yet.
const READ_AHEAD: usize = 64 * 1024;

/// What happens on a connection. Written and read by its own task alone, so that relaxed accesses are enough.
#[derive(Debug, Default)]
struct Activity {
    /// Requests whose headers have come.
    begun: AtomicU64,
    /// Whether one of them has not been answered.
    answering: AtomicBool,
}

/// Answers requests until the client has enough, is silent for too long, or `closing` is cancelled.
pub(super) async fn run(stream: TcpStream, service: impl Respond, idle: Duration, closing: CancellationToken) {
    // Answers are written at once and whole: waiting for more to send would only delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (activity, service) = (&Activity::default(), &service);
    let answer = service_fn(move |request| async move {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.answering.store(true, Ordering::Relaxed);
        let response = service.respond(request).await;
        activity.answering.store(false, Ordering::Relaxed);
        Ok::<_, Infallible>(response)
    });
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_HEAD).max_buf_size(READ_AHEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    let mut silence = pin!(silence(activity, idle));
    tokio::select! {
        // A broken connection is the client's affair.
        _ = connection.as_mut() => return,
        () = silence.as_mut() => return,
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = silence => {}
    }
}

/// Waits until no request has begun for a whole interval, and none is being answered.
///
/// hyper can limit the time for headers, by a timer that is set anew for each request; one for each interval costs the
/// requests nothing.
async fn silence(activity: &Activity, interval: Duration) {
    let mut before = 0;
    loop {
        tokio::time::sleep(interval.max(Duration::from_millis(1))).await;
        let begun = activity.begun.load(Ordering::Relaxed);
        if before == begun && !activity.answering.load(Ordering::Relaxed) {
            return;
        }
        before = begun;
    }
}
