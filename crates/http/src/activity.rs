//! What happens on one connection: requests, answers that are streams, and whether the client reads them.

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// After a shutdown, a stream whose client does not take the end of it in this time is cut.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Whether a connection may be closed to make room for another one.
mod state {
    /// No request is under way: nothing is lost.
    pub(super) const IDLE: u8 = 0;
    /// From when the headers of a request have come until all of its answer is written.
    pub(super) const BUSY: u8 = 1;
    /// It is being closed, and takes no request any more.
    pub(super) const CLOSED: u8 = 2;
}

/// What happens on a connection. All but the state is written by its own task alone, so that relaxed accesses are
/// enough.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Whoever makes room closes an idle connection, and its own task makes an idle one busy: each exchanges what it
    /// has seen, so that a request that has begun is never cut off for that.
    state: AtomicU8,
    /// Requests whose headers have come.
    begun: AtomicU64,
    /// Whether one of them has not been answered.
    answering: AtomicBool,
    /// Whether an answer is a stream that has not ended.
    streaming: AtomicBool,
    /// Whether the last answer was a stream.
    streamed: AtomicBool,
    /// How often bytes were taken by the client's side.
    taken: AtomicU64,
    /// Whether it takes no more for now.
    blocked: AtomicBool,
}

impl Activity {
    /// A request begins; false if the connection has been closed meanwhile.
    pub(super) fn begin(&self) -> bool {
        let began = self.state.compare_exchange(state::IDLE, state::BUSY, Ordering::Relaxed, Ordering::Relaxed);
        if began == Err(state::CLOSED) {
            return false;
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
        self.streamed.store(false, Ordering::Relaxed);
        true
    }

    /// How many requests have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Closes the connection for requests, if none is under way.
    pub(super) fn close(&self) -> bool {
        self.state.compare_exchange(state::IDLE, state::CLOSED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// All that there was to write is written.
    fn flushed(&self) {
        let busy = self.answering.load(Ordering::Relaxed) || self.streaming.load(Ordering::Relaxed);
        // Nobody else changes what is busy.
        if !busy && self.state.load(Ordering::Relaxed) == state::BUSY {
            self.state.store(state::IDLE, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn written(&self) {
        self.flushed();
    }

    pub(super) fn answered(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }

    /// Waits until for a whole interval no request has begun, none was being answered, and no stream was read.
    ///
    /// hyper can limit the time for headers, by a timer that is set anew for each request; one for each interval costs
    /// the requests nothing.
    pub(super) async fn silence(&self, interval: Duration) {
        let mut before = (0, 0);
        loop {
            tokio::time::sleep(interval.max(Duration::from_millis(1))).await;
            let now = (self.begun.load(Ordering::Relaxed), self.taken.load(Ordering::Relaxed));
            // A stream that has nothing to send counts as read as long as everything it has sent was taken.
            let read = now.1 != before.1 || !self.blocked.load(Ordering::Relaxed);
            let busy = self.answering.load(Ordering::Relaxed) || (self.streaming.load(Ordering::Relaxed) && read);
            if now.0 == before.0 && !busy {
                return;
            }
            before = now;
        }
    }

    /// Waits until a stream can't be ended because its client does not read.
    pub(super) async fn deaf(&self) {
        loop {
            tokio::time::sleep(LAST_WORDS).await;
            if self.streamed.load(Ordering::Relaxed) && self.blocked.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// The body of an answer that is a stream: it ends when the connection is to be closed.
pub(super) struct Stream {
    body: Body,
    activity: Arc<Activity>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream {
    pub(super) fn new(body: Body, activity: Arc<Activity>, closing: WaitForCancellationFutureOwned) -> Self {
        activity.streaming.store(true, Ordering::Relaxed);
        activity.streamed.store(true, Ordering::Relaxed);
        Self { body, activity, closing: Box::pin(closing) }
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.closing.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.activity.streaming.store(false, Ordering::Relaxed);
    }
}

/// The client's side of a connection.
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    pub(super) activity: Arc<Activity>,
}

impl Watched {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.blocked.store(written.is_pending(), Ordering::Relaxed);
        if written.is_ready() {
            self.activity.taken.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.activity.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
