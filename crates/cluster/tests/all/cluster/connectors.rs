//! The transports that are tested, each the same way.

use super::nodes::id;
use crate::support::nats_url;
use evenfold_cluster::local::Network;
use evenfold_cluster::nats::{Nats, NatsOptions};
use evenfold_cluster::{ClusterSecret, NodeId, Transport};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Connects nodes with each other, and with nobody else.
pub enum Connector {
    Local(Network),
    Nats { url: String, cluster: NodeId },
}

impl Connector {
    pub fn local() -> Self {
        Self::Local(Network::new())
    }

    pub fn nats() -> Self {
        Self::nats_at(nats_url())
    }

    pub fn nats_at(url: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self::Nats { url: url.to_owned(), cluster: id(&name) }
    }

    /// A connection of its own.
    pub async fn transport(&self) -> Arc<dyn Transport> {
        match self {
            Self::Local(network) => Arc::new(network.endpoint()),
            Self::Nats { url, cluster } => {
                let secret = Some(ClusterSecret::new("of the nodes of a test").unwrap());
                let options = NatsOptions::new(url, cluster.clone()).secret(secret);
                Arc::new(Nats::connect_with(&options).await.unwrap())
            }
        }
    }
}

/// Runs each of these functions over each transport.
macro_rules! over_both {
    ($($name:ident),+ $(,)?) => {
        mod local {
            $(#[tokio::test] async fn $name() { super::$name($crate::cluster::connectors::Connector::local()).await })+
        }
        mod nats {
            $(#[tokio::test] async fn $name() { super::$name($crate::cluster::connectors::Connector::nats()).await })+
        }
    };
}
pub(super) use over_both;
