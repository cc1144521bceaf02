//! Typed actors by key, of one node by itself.

use super::load::Load;
use super::targets::{Ask, Target};
use evenfold_actors::{Actor, Actors, Cluster, Handle, JoinOptions, Message, Moves, NodeId};
use evenfold_cluster::{ClusterOptions, local};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const LONG: Duration = Duration::from_mins(1);

#[derive(Default, Serialize, Deserialize)]
struct Sum(u64);

/// Gives the sum.
#[derive(Serialize, Deserialize)]
struct More(u64);

impl Message for More {
    type Reply = u64;
}

impl Actor for Sum {
    type Messages = (More,);
    type Handover = Moves;
}

impl Handle<More> for Sum {
    async fn handle(&mut self, More(more): More) -> u64 {
        self.0 += more;
        self.0
    }
}

/// An actor per key, and as many shards as the others have actors.
#[derive(Clone)]
pub(super) struct Typed {
    actors: Actors<Sum>,
    keys: Vec<String>,
}

impl Target for Typed {
    async fn start(load: &Load) -> anyhow::Result<Self> {
        let options = JoinOptions::local(&local::Network::new(), NodeId::new("bench")?);
        let node = Cluster::join(options.cluster(ClusterOptions::default().shards(load.shards))).await?;
        Ok(Self { actors: node.actors("sum", |_| Sum::default()).await?, keys: load.keys.clone() })
    }

    async fn send(&self, _: &Load, key: &str, number: u64) -> anyhow::Result<()> {
        self.actors.request(key, More(number), LONG).await?;
        Ok(())
    }

    async fn sum(self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for key in &self.keys {
            sum += self.actors.request(key, More(0), LONG).await?;
        }
        Ok(sum)
    }
}

impl Ask for Typed {
    async fn ask(&self, load: &Load, key: &str) -> anyhow::Result<()> {
        self.send(load, key, 1).await
    }
}
