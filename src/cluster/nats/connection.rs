//! The connection itself, and what gets lost with it.

use super::{NodeId, user};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Messages that may wait for each subscription; further ones are lost, which is told. Frames are large.
const SUBSCRIPTION: usize = 1_024;

/// How long until a connection attempt is given up.
const CONNECT: Duration = Duration::from_secs(5);

/// The pause between two attempts to connect again: far less than the silence after which a node is dead.
const AGAIN: Duration = Duration::from_millis(100);

/// A connection on which nothing comes is given up after three of these.
const PING: Duration = Duration::from_secs(1);

/// Why there is no connection to NATS. No password is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NatsError {
    /// The address can't be read.
    #[error("{0} is not the address of a NATS server: write it like nats://user:password@host:4222")]
    Address(String),
    /// Nobody answers there.
    #[error("no NATS server answers at {0} ({1}): start one with nats-server -js, or correct the address")]
    NoServer(String, String),
    /// The user or the password is wrong.
    #[error("the NATS server at {0} refuses this user: correct the user and the password in the address")]
    Refused(String),
    /// There is a server, and the records can't be kept there.
    #[error("the NATS server at {0} can't keep the records of the nodes ({1}): start it with -js, for JetStream")]
    NoJetStream(String, String),
}

/// Connects, and starts the task that hears of losses.
pub(super) async fn connect(url: &str, cluster: &NodeId) -> Result<(Client, Losses, AbortOnDropHandle<()>), NatsError> {
    let parse = |part: &str| part.trim().parse::<ServerAddr>().map_err(|_| NatsError::Address(shown(url)));
    let servers: Vec<ServerAddr> = url.split(',').map(parse).collect::<Result<_, _>>()?;
    // More than can happen while they are looked at; of more of them one is as good as all.
    let (told, mut events) = mpsc::channel(64);
    let options = user::identify(ConnectOptions::new(), &servers)
        .name(format!("evenfold {cluster}"))
        .connection_timeout(CONNECT)
        .subscription_capacity(SUBSCRIPTION)
        .ping_interval(PING)
        .reconnect_delay_callback(|_| AGAIN)
        .event_callback(move |event| {
            let _ = told.try_send(event);
            std::future::ready(())
        });
    let client = options.connect(servers).await.map_err(|error| match error.kind() {
        ConnectErrorKind::ServerParse => NatsError::Address(shown(url)),
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => NatsError::Refused(shown(url)),
        _ => NatsError::NoServer(shown(url), error.to_string()),
    })?;
    let (sender, mut receiver) = watch::channel(0);
    let connected = client.clone();
    let task = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            take_in(&event, &connected, &sender).await;
        }
    });
    let task = AbortOnDropHandle::new(task);
    // The first connection is no loss, and is not told to anybody.
    let _ = timeout(CONNECT, receiver.changed()).await;
    Ok((client, Losses(receiver), task))
}

async fn take_in(event: &Event, client: &Client, losses: &watch::Sender<u64>) {
    match event {
        Event::SlowConsumer(_) => losses.send_modify(|count| *count += 1),
        Event::Disconnected => tracing::warn!("the connection to NATS is lost"),
        // The subscriptions are there again once NATS has answered what was sent behind them: what was missed was missed
        // before.
        Event::Connected => {
            let _ = timeout(CONNECT, settled(client)).await;
            if *losses.borrow() > 0 {
                tracing::info!("connected to NATS again");
            }
            losses.send_modify(|count| *count += 1);
        }
        other => tracing::warn!("NATS: {other}"),
    }
}

/// Waits until the server has taken in what was sent to it before: it goes by the order, so one question that nobody answers
/// (which it says at once) tells it. A flush only tells that the bytes have gone out.
pub(super) async fn settled(client: &Client) {
    let _ = client.request("evenfold.nobody", Bytes::new()).await;
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

/// The address without what is before its hosts.
pub(super) fn shown(url: &str) -> String {
    let hosts = url.split(',').map(|part| part.trim().rsplit_once('@').map_or(part.trim(), |(_, host)| host));
    hosts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        assert_eq!(shown("nats://me:p@ss@host:4222, nats://me:secret@other"), "host:4222,other");
        assert_eq!(shown("nats://host"), "nats://host");
    }
}
