//! The connection itself, what gets lost with it, and what the server refuses.

use super::denials::Denials;
use super::error::NatsError;
use super::inbox::Inbox;
use super::options::{NatsOptions, is_loopback, shown};
use async_nats::rustls;
use async_nats::{Client, ConnectError, ConnectErrorKind, Event, ServerError};
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Messages that may wait for each subscription; further ones are lost, which is reported. Frames are large.
const SUBSCRIPTION: usize = 1_024;

/// How long until a connection attempt times out.
const CONNECT: Duration = Duration::from_secs(5);

/// The pause between two attempts to connect again: far less than the silence after which a node is dead.
const AGAIN: Duration = Duration::from_millis(100);

/// A connection on which nothing comes is closed after three of these.
const PING: Duration = Duration::from_secs(1);

/// Whether it was reported that a server without a secret listens to other machines.
static EXPOSED: Once = Once::new();

/// What happens to the connection. More than can happen while they are looked at; of more of them one is as good as
/// all.
pub(super) type Events = mpsc::Receiver<Event>;

/// Connects. What happens then is for [`follow`]; what the server refuses is noted at once.
pub(super) async fn connect(options: &NatsOptions, denials: Arc<Denials>) -> Result<(Client, Events), NatsError> {
    let servers = options.servers()?;
    let (happened, events) = mpsc::channel(64);
    let mut connecting = options
        .identify()?
        .name(format!("evenfold {}", options.cluster))
        // All that a node needs a permission for is below one subject, and below those of its bucket.
        .custom_inbox_prefix(format!("evenfold.{}.inbox", options.cluster))
        .connection_timeout(CONNECT)
        .subscription_capacity(SUBSCRIPTION)
        .ping_interval(PING)
        .reconnect_delay_callback(|_| AGAIN)
        .event_callback(move |event| {
            let denied = matches!(&event, Event::ServerError(ServerError::Other(error)) if denials.take_in(error));
            if !denied {
                let _ = happened.try_send(event);
            }
            std::future::ready(())
        });
    if options.secret.is_none() {
        // Those could be on other machines, where a secret is needed.
        connecting = connecting.ignore_discovered_servers();
    }
    let client = connecting.connect(servers).await.map_err(|error| refused(&shown(&options.url), &error))?;
    let host = client.server_info().host;
    if options.secret.is_none() && !host.is_empty() && !is_loopback(&host) {
        // Each node of a process has a connection, and what this says is the same for all.
        EXPOSED.call_once(|| {
            tracing::warn!(
                "other machines can reach this NATS server, and nodes without a secret believe everybody: give it -a 127.0.0.1, \
                 or set EVENFOLD_CLUSTER_SECRET"
            );
        });
    }
    Ok((client, events))
}

fn refused(url: &str, error: &ConnectError) -> NatsError {
    let url = url.to_owned();
    match error.kind() {
        ConnectErrorKind::ServerParse => NatsError::Address(url),
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => NatsError::Refused(url),
        ConnectErrorKind::Tls => NatsError::Tls(url, error.to_string()),
        _ if is_tls(error) => NatsError::Tls(url, error.to_string()),
        _ => NatsError::NoServer(url, error.to_string()),
    }
}

/// Whether TLS is what went wrong: the client calls that an error of reading or writing.
fn is_tls(error: &ConnectError) -> bool {
    let mut causes = std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    causes.any(|cause| {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause.is::<rustls::Error>() || inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some()
    })
}

/// Starts the task that takes in what happens to the connection.
pub(super) async fn follow(mut events: Events, inbox: Arc<Inbox>) -> (Losses, AbortOnDropHandle<()>) {
    let (sender, mut receiver) = watch::channel(0);
    let task = tokio::spawn(async move {
        let mut reasons = BTreeSet::new();
        while let Some(event) = events.recv().await {
            take_in(&event, &inbox, &sender, &mut reasons).await;
        }
    });
    // The first connection is no loss, and is not reported to anybody.
    let _ = timeout(CONNECT, receiver.changed()).await;
    (Losses(receiver), AbortOnDropHandle::new(task))
}

/// The reasons are those for which there is no connection, as far as they have been logged since there was one: it is
/// tried again many times a second.
async fn take_in(event: &Event, inbox: &Inbox, losses: &watch::Sender<u64>, reasons: &mut BTreeSet<String>) {
    match event {
        Event::SlowConsumer(_) => losses.send_modify(|count| *count += 1),
        Event::Disconnected => tracing::warn!("the connection to NATS is lost"),
        // The subscriptions are there again once NATS has answered what was sent behind them: what was missed was
        // missed before.
        Event::Connected => {
            reasons.clear();
            let _ = inbox.settled().await;
            if *losses.borrow() > 0 {
                tracing::info!("connected to NATS again");
            }
            losses.send_modify(|count| *count += 1);
        }
        Event::ClientError(error) => {
            if reasons.insert(error.to_string()) {
                tracing::warn!("no connection to NATS yet, trying again until there is one: {error}");
            }
        }
        other => tracing::warn!("NATS: {other}"),
    }
}

/// How often something was lost.
#[derive(Debug, Clone)]
pub(super) struct Losses(watch::Receiver<u64>);

impl Losses {
    pub(super) fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until there are more.
    pub(super) async fn more(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
