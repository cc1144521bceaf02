//! The nodes of one process, and what carries their requests.

use super::nats::NatsArgs;
use crate::config::{UsageError, number};
use clap::Args;
use evenfold::counters::Changes;
use evenfold_cluster::nats::{Nats, NatsOptions};
use evenfold_cluster::{ClusterSecret, MAX_NODE_ID, NodeId, Transport, local};
use evenfold_counter_service::{Node, NodeOptions, Storage};
use evenfold_groups::{MAX_SHARDS, ProcessGroups};
use futures_util::future::try_join_all;
use std::sync::Arc;

#[derive(Debug, Args)]
pub(super) struct NodesArgs {
    /// How many nodes this process runs: 1 to 64 [default: 1; 7 with --demo]
    #[arg(long, default_value = "1", default_value_if("demo", "true", "7"), hide_default_value = true, value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=64)))]
    nodes: u32,
    /// How many shards the counters are divided among, the same in all nodes of a cluster: 1 to 1024 [default: 64, and
    /// 8 for a node by itself]
    #[arg(long, env = "EVENFOLD_SHARDS", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_SHARDS)))]
    shards: Option<u32>,
    /// The NATS server that connects the nodes of a cluster, with JetStream (nats-server -js -a 127.0.0.1)
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL")]
    pub(super) nats_url: Option<String>,
    /// What the cluster is called; several can share a NATS server
    #[arg(long, env = "EVENFOLD_CLUSTER", default_value = "counters", value_name = "NAME")]
    cluster: String,
    /// What this node is called in the cluster [default: the host's name and the port]
    #[arg(long, env = "EVENFOLD_NODE_ID", value_name = "NAME")]
    node_id: Option<String>,
    /// Show a cluster at work, with a NATS server and a PostgreSQL of its own (none with --volatile), and print command
    /// lines to try it; `evenfold demo` shows the workers instead
    #[arg(long)]
    pub(super) demo: bool,
    #[command(flatten)]
    nats: NatsArgs,
}

impl NodesArgs {
    /// What concerns more than one setting.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        let url = self.nats_url.as_ref().map(|_| ("--nats-url", "NATS_URL"));
        if self.demo
            && let Some((flag, variable)) = url.or_else(|| self.nats.entry())
        {
            let both =
                format!("--demo starts a NATS server of its own: leave out {flag} ({variable}), or leave out --demo");
            return Err(UsageError(both));
        }
        let useless = self.node_id.as_ref().map(|_| "--node-id").or_else(|| self.nats.given());
        if !self.demo
            && self.nats_url.is_none()
            && let Some(flag) = useless
        {
            return Err(UsageError(format!("{flag} is for a node of a cluster: give it --nats-url too")));
        }
        self.nats_options()?;
        self.names("h-0").map(drop)
    }

    fn nats_options(&self) -> Result<Option<NatsOptions>, UsageError> {
        let cluster = self.cluster_name()?;
        self.nats_url.as_deref().map(|url| self.nats.options(url, cluster)).transpose()
    }

    fn alone(&self) -> bool {
        self.nats_url.is_none() && self.nodes == 1
    }

    /// Few shards append more at once: with 8 instead of 64 the slowest of 100 requests took a third of the time. A
    /// cluster needs more, to be divided evenly.
    pub(super) fn shards(&self) -> u32 {
        self.shards.unwrap_or(if self.alone() { 8 } else { 64 })
    }

    fn cluster_name(&self) -> Result<NodeId, UsageError> {
        NodeId::new(&self.cluster).map_err(|error| UsageError(format!("--cluster {}: {error}", self.cluster)))
    }

    /// The names of the nodes: several of one process are numbered.
    fn names(&self, default: &str) -> Result<Vec<NodeId>, UsageError> {
        let base = self.node_id.as_deref().unwrap_or(default);
        let names = (1..=self.nodes).map(|n| if self.nodes == 1 { base.to_owned() } else { format!("{base}-{n}") });
        let node = |name: String| NodeId::new(&name).map_err(|error| UsageError(format!("--node-id {base}: {error}")));
        names.map(node).collect()
    }

    /// Starts the nodes, those of a cluster at the same time.
    pub(super) async fn start(
        &self,
        port: u16,
        options: &NodeOptions,
        storage: &Storage,
        groups: &ProcessGroups<Arc<Changes>>,
    ) -> anyhow::Result<Vec<Node>> {
        if self.alone() {
            return Ok(vec![Node::start(options.clone(), storage.clone(), groups).await?]);
        }
        let (network, mut nats) = (local::Network::new(), self.nats_options()?);
        if self.demo
            && let Some(options) = &mut nats
        {
            // All of its nodes are in this process: nobody else on the machine needs to know what they share.
            options.secret.get_or_insert(ClusterSecret::random());
        }
        let names = self.names(&format!("{}-{port}", host()))?;
        let joining = names.into_iter().enumerate().map(async |(number, name)| {
            let transport: Arc<dyn Transport> = match &nats {
                Some(options) => Arc::new(Nats::connect_with(options).await?),
                None => Arc::new(network.endpoint()),
            };
            // The first node passes on what the workers publish.
            let groups = if number == 0 { groups.clone() } else { ProcessGroups::default() };
            tracing::info!(node = %name, "joining");
            anyhow::Ok(Node::join(options.clone(), storage.clone(), &groups, transport, name).await?)
        });
        try_join_all(joining).await
    }
}

/// The name of this host, as far as a node may have it.
fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = name.to_string_lossy().chars().filter(fits).take(MAX_NODE_ID / 2).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        nodes: NodesArgs,
    }

    fn nodes(arguments: &[&str]) -> NodesArgs {
        Command::try_parse_from(["serve"].iter().chain(arguments)).unwrap().nodes
    }

    #[test]
    fn a_node_by_itself_has_few_shards_and_a_cluster_enough_to_be_divided() {
        for (arguments, shards) in
            [(&[][..], 8), (&["--nodes=2"], 64), (&["--nats-url=nats://x"], 64), (&["--shards=3", "--nodes=2"], 3)]
        {
            assert_eq!(nodes(arguments).shards(), shards, "{arguments:?}");
        }
    }

    #[test]
    fn no_setting_for_nats_is_ignored() {
        for flag in ["--cluster-secret-file", "--nats-creds", "--nats-nkey", "--nats-ca"] {
            let file = format!("{flag}=/nowhere");
            let alone = nodes(&[&file]).check().unwrap_err().to_string();
            assert_eq!(alone, format!("{flag} is for a node of a cluster: give it --nats-url too"));
            let demo = nodes(&[&file, "--demo"]).check();
            if flag == "--cluster-secret-file" {
                assert!(demo.is_ok(), "its nodes have a secret too");
                continue;
            }
            let variable = flag.trim_start_matches("--").replace('-', "_").to_uppercase();
            let both = format!("leave out {flag} ({variable}), or leave out --demo");
            assert!(demo.unwrap_err().to_string().ends_with(&both), "{flag}");
        }
    }

    #[test]
    fn the_nodes_of_one_process_are_numbered() {
        let names = |arguments| {
            nodes(arguments).names("host-8181").unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["host-8181"]);
        assert_eq!(names(&["--nodes=2"]), ["host-8181-1", "host-8181-2"]);
        assert_eq!(names(&["--node-id=a", "--nats-url=nats://x"]), ["a"]);
        let sentence = |arguments| nodes(arguments).check().unwrap_err().to_string();
        assert_eq!(sentence(&["--node-id=a"]), "--node-id is for a node of a cluster: give it --nats-url too");
        assert!(nodes(&["--node-id=a b", "--nats-url=nats://x"]).check().is_err());
    }
}
