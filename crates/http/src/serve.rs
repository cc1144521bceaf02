//! The listener: which connections there are, and how they come to an end.

use super::activity::Activity;
use super::connection::{self, Door};
use super::host::{AllowedHosts, Names};
use super::respond::Respond;
use super::room::Room;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// After an accept that failed, most likely for want of file descriptors: some must be freed before it is tried again.
const AFTER_A_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Who opens more connections than there are file descriptors for is not to fill the log.
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(1);

/// So many connections more are open at a time, for probes alone.
const FOR_PROBES: usize = 64;

/// What connections may cost, and what they may ask for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// How many connections are open at a time. The next one takes the place of one without a request under way: of the
    /// oldest that has never sent the whole head of a request, or of one that has sent none for long. While all have
    /// requests, 64 more are open: on these, `/livez`, `/healthz` and `/readyz` are answered, and everything else with
    /// 503. At least 1.
    pub connections: usize,
    /// A connection on which nothing is answered, and no request has begun, is closed after this long, or twice as long
    /// at most. That ends idle connections, headers that come too slowly, and answers that are read too slowly. A
    /// stream stays open as long as its client takes what it is sent. At least 1 ms.
    pub idle: Duration,
    /// How long requests in flight may take to be answered after a shutdown; then their connections are cut.
    pub grace: Duration,
    /// The names that the service answers to, by the header Host, besides the address that is asked, and `localhost`
    /// where that is of this machine alone. While there are none, a service that listens on a loopback address answers
    /// to no other name, and one that other machines reach to any. What is refused gets 421.
    pub allowed_hosts: AllowedHosts,
}

impl Limits {
    /// The same with this [`connections`](Self::connections).
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// The same with this [`idle`](Self::idle).
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// The same with this [`grace`](Self::grace).
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The same with this [`allowed_hosts`](Self::allowed_hosts).
    #[must_use]
    pub fn allowed_hosts(self, allowed_hosts: AllowedHosts) -> Self {
        Self { allowed_hosts, ..self }
    }
}

impl Default for Limits {
    /// 4,096 connections, 30 seconds without a request, 10 seconds of grace, no names.
    fn default() -> Self {
        let (idle, grace) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { connections: 4_096, idle, grace, allowed_hosts: AllowedHosts::default() }
    }
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
    let mut open = Open::new(&listener, service, limits);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            // In this order: what has ended is a place for what comes.
            biased;
            () = &mut shutdown => break,
            () = open.clients.ended() => {}
            () = open.probes.ended() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => open.take(stream),
                Err(error) => open.failed(&error).await,
            },
        }
    }
    drop(listener);
    open.end().await;
}

/// The connections of a service.
struct Open<S> {
    service: S,
    limits: Limits,
    listening: IpAddr,
    clients: Room,
    probes: Room,
    closing: CancellationToken,
    complained: Option<Instant>,
}

impl<S: Respond> Open<S> {
    fn new(listener: &TcpListener, service: S, limits: Limits) -> Self {
        let (clients, probes) = (Room::new(limits.connections.max(1)), Room::new(FOR_PROBES));
        // A listener that does not know where it is can't accept either. If it could, what it is not known to be is not
        // trusted.
        let listening = listener.local_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip());
        Self { service, limits, listening, clients, probes, closing: CancellationToken::new(), complained: None }
    }

    /// Takes a connection up, if there is a place for it; otherwise it is closed.
    fn take(&mut self, stream: TcpStream) {
        let probes_only = !self.clients.has_place();
        let room = if probes_only { &mut self.probes } else { &mut self.clients };
        // Fails for a connection that is broken already.
        let (true, Ok(local)) = (!probes_only || room.has_place(), stream.local_addr()) else { return };
        let names = Names::of(self.listening, local, &self.limits.allowed_hosts);
        let (door, activity) = (Door { names, probes_only }, Arc::<Activity>::default());
        let (service, closing) = (self.service.clone(), self.closing.clone());
        let connection = connection::run(stream, service, door, Arc::clone(&activity), self.limits.idle, closing);
        room.add(&activity, connection);
    }

    /// What to do after an accept that failed.
    async fn failed(&mut self, error: &io::Error) {
        // The client has gone before it was accepted: that says nothing about the next one.
        if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
            return;
        }
        if self.complained.is_none_or(|last| last.elapsed() > BETWEEN_COMPLAINTS) {
            tracing::warn!("can't accept a connection, trying again: {error}");
            self.complained = Some(Instant::now());
        }
        // With fewer file descriptors than connections, those without a request make room as well.
        if self.clients.close_one() || self.probes.close_one() {
            tokio::select! {
                () = self.clients.ended() => {}
                () = self.probes.ended() => {}
            }
        } else {
            tokio::time::sleep(AFTER_A_FAILED_ACCEPT).await;
        }
    }

    /// Lets the requests in flight be answered, and cuts off those that are not in time.
    async fn end(mut self) {
        self.closing.cancel();
        let answered = async {
            self.clients.all_ended().await;
            self.probes.all_ended().await;
        };
        if tokio::time::timeout(self.limits.grace, answered).await.is_err() {
            let connections = self.clients.len() + self.probes.len();
            tracing::warn!(connections, "requests were not answered in {:?}; cut off", self.limits.grace);
            self.clients.cut().await;
            self.probes.cut().await;
        }
    }
}
