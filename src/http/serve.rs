//! The listener: which connections there are, and how they come to an end.

use super::connection;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// After an accept that failed, most likely for want of file descriptors: some must be freed before it is tried again.
const AFTER_A_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many connections are open at a time; whoever comes then waits in the kernel's backlog. At least 1.
    pub connections: usize,
    /// A connection on which nothing is answered, and no request has begun, is closed after this long, or twice as long
    /// at most. That ends idle connections, headers that come too slowly, and answers that are read too slowly. A stream
    /// stays open as long as its client takes what it is sent. At least 1 ms.
    pub idle: Duration,
    /// How long requests in flight may take to be answered after a shutdown; then their connections are cut.
    pub grace: Duration,
}

impl Default for Limits {
    /// 4,096 connections, 30 seconds without a request, 10 seconds of grace.
    fn default() -> Self {
        Self { connections: 4_096, idle: Duration::from_secs(30), grace: Duration::from_secs(10) }
    }
}

/// What answers requests: a value for all connections, cheap to clone.
pub trait Respond: Clone + Send + Sync + 'static {
    /// Answers one request, whatever is wrong with it.
    fn respond(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// Answers HTTP/1.1 on this socket until `shutdown` is ready. Then it accepts no more, lets the requests in flight be
/// answered, and returns; those that take longer than the grace are cut off. Answers that are streams end at once.
///
/// What a request's handler panics with is logged; its connection is closed, the others stay.
///
/// # Panics
///
/// Outside a tokio runtime.
///
/// # Cancel safety
///
/// If the future is dropped, all connections are cut at once.
pub async fn serve(
    listener: TcpListener,
    service: impl Respond,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (place, stream) = next(&listener, &places) => {
                let connection = connection::run(stream, service.clone(), limits.idle, closing.clone());
                connections.spawn(async move {
                    let _place = place;
                    connection.await;
                });
            }
            // Otherwise the set would keep what every connection has ended with.
            Some(ended) = connections.join_next() => tell(ended),
        }
    }
    drop(listener);
    closing.cancel();
    let answered = async {
        while let Some(ended) = connections.join_next().await {
            tell(ended);
        }
    };
    if tokio::time::timeout(limits.grace, answered).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were not answered in {:?}; cut off", limits.grace);
        connections.shutdown().await;
    }
}

/// The next connection, once there is a place for it.
///
/// # Cancel safety
///
/// No connection is lost: accepting is the last thing that is waited for.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> (OwnedSemaphorePermit, TcpStream) {
    // The semaphore is never closed.
    let Ok(place) = Arc::clone(places).acquire_owned().await else { std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (place, stream),
            // The client has gone before it was accepted: that says nothing about the next one.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::warn!("can't accept a connection, trying again: {error}");
                tokio::time::sleep(AFTER_A_FAILED_ACCEPT).await;
            }
        }
    }
}

fn tell(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("answering a request has panicked, and its connection is closed: {error}");
    }
}
