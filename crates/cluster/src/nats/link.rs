//! What everything over one connection needs: the client, the seal, and where things are.

use super::denials::Denials;
use crate::NodeId;
use crate::seal::{Refusals, SEALED, Seal};
use crate::transport::Unreachable;
use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// The most bytes of a frame where NATS allows its usual 1 MiB, which is the most here.
const MAX_FRAME: usize = 1_000_000;

/// The most bytes that a head has before a frame.
pub(super) const HEAD: usize = 24;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) cluster: NodeId,
    pub(super) seal: Seal,
    pub(super) refusals: Refusals,
    pub(super) denials: Arc<Denials>,
    /// The sessions of the nodes that are served over this connection.
    pub(super) sessions: Mutex<HashMap<NodeId, Uuid>>,
}

impl Link {
    pub(super) fn max_frame(&self) -> usize {
        self.client.max_payload().saturating_sub(SEALED + HEAD).min(MAX_FRAME)
    }

    /// Where a node is greeted.
    pub(super) fn node(&self, node: &NodeId) -> String {
        format!("evenfold.{}.node.{node}", self.cluster)
    }

    /// Where a node gets requests, while it has this session.
    pub(super) fn session(&self, node: &NodeId, session: Uuid) -> String {
        format!("evenfold.{}.node.{node}.{}", self.cluster, session.simple())
    }

    pub(super) fn serves(&self, node: &NodeId, session: Uuid) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), session);
    }

    /// The session that this node has here; none before it is served.
    pub(super) fn served(&self, node: &NodeId) -> Uuid {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(node).copied().unwrap_or_default()
    }

    pub(super) fn topic(&self, topic: &str) -> String {
        format!("evenfold.{}.topic.{topic}", self.cluster)
    }

    pub(super) fn inbox(&self, of: Uuid) -> String {
        format!("evenfold.{}.inbox.{}", self.cluster, of.simple())
    }

    /// What is sent without a connection would wait for one, and go out when nobody expects it any more.
    pub(super) fn connected(&self) -> Result<(), Unreachable> {
        if self.client.connection_state() == State::Connected {
            Ok(())
        } else {
            Err(Unreachable("there is no connection to NATS at the moment".to_owned()))
        }
    }

    pub(super) async fn subscribe(&self, subject: String) -> Result<Subscriber, Unreachable> {
        self.client.subscribe(subject).await.map_err(unreachable)
    }
}

pub(super) fn unreachable(error: impl fmt::Display) -> Unreachable {
    Unreachable(error.to_string())
}
