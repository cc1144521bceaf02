//! Nodes to test with.

use evenfold_cluster::local::{Endpoint, Network};
use evenfold_cluster::{Answer, Cluster, ClusterOptions, JoinError, NodeId};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for anything that should happen at once.
pub const LIMIT: Duration = Duration::from_secs(20);

pub fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// Answers with its name and the question.
#[derive(Debug, Clone)]
pub struct Echo(pub NodeId);

impl Answer<String, String> for Echo {
    async fn answer(&self, from: &NodeId, question: String) -> String {
        assert_ne!(question, "panic", "as it was asked");
        format!("{} answers {from}: {question}", self.0)
    }
}

pub type Node = Cluster<String, String>;

pub async fn try_join(endpoint: &Endpoint, name: &str) -> Result<Node, JoinError> {
    Cluster::join(Arc::new(endpoint.clone()), id(name), ClusterOptions::default(), Echo(id(name))).await
}

pub async fn join(network: &Network, name: &str) -> (Node, Endpoint) {
    let endpoint = network.endpoint();
    (try_join(&endpoint, name).await.unwrap(), endpoint)
}

/// Waits until a node knows these members, and no others.
pub async fn sees(node: &Node, members: &[&str]) {
    let members: Vec<NodeId> = members.iter().map(|name| id(name)).collect();
    let mut views = node.watch();
    let seen = tokio::time::timeout(LIMIT, views.wait_for(|view| view.members() == members)).await;
    assert!(seen.is_ok(), "{} sees {:?}, not {members:?}", node.id(), node.view().members());
}
