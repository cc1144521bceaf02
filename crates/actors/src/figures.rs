//! The figures of nodes, for Prometheus. No label is the key of an actor: there may be millions.

use super::meters::ActorsMetrics;
use evenfold_cluster::ClusterMetrics;
use evenfold_http::metrics::{counter_family, gauge_family, histogram};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;

/// A figure of a node's actors of one kind: its name, what it is, and where.
type OfKind = (&'static str, &'static str, fn(&ActorsMetrics) -> f64);

const PRESENT: [OfKind; 3] = [
    ("actors", "Actors in memory", |kind| float(kind.actors)),
    ("owned_shards", "Shards that the node owns", |kind| float(kind.owned as u64)),
    ("mailbox_messages", "Messages that wait for a shard", |kind| float(kind.shards.depth() as u64)),
];

const TOTALS: [OfKind; 8] = [
    ("local_requests", "Attempts with actors of the node itself", |kind| float(kind.local)),
    ("remote_requests", "Attempts with actors of other nodes", |kind| float(kind.remote)),
    ("refused_messages", "Messages that were not handled: too many, or of another node's", |kind| float(kind.refused)),
    ("passivations", "Idle actors that have made room for others", |kind| float(kind.passivated)),
    ("panics", "Messages at which an actor has panicked", |kind| float(kind.panics)),
    ("failed_saves", "Attempts to save a state that have failed", |kind| float(kind.unsaved)),
    ("moved_actors", "Actors that were handed over to other nodes", |kind| float(kind.moved)),
    ("dropped_actors", "Actors whose state could not be read after the handover", |kind| float(kind.dropped)),
];

/// Exact up to 2^53, which nothing that is counted reaches.
#[expect(clippy::cast_precision_loss, reason = "figures are floating point on their way to Prometheus")]
fn float(count: u64) -> f64 {
    count as f64
}

/// What has been counted up to one moment, by node.
#[derive(Debug)]
struct Scrape(Vec<(String, (Vec<ActorsMetrics>, ClusterMetrics))>);

pub(super) fn text(nodes: Vec<(String, (Vec<ActorsMetrics>, ClusterMetrics))>) -> Result<String, fmt::Error> {
    evenfold_http::metrics::text("evenfold_actors", Scrape(nodes))
}

impl Scrape {
    fn of(&self, value: fn(&ActorsMetrics) -> f64) -> impl Iterator<Item = ([(&str, &str); 2], f64)> {
        self.kinds().map(move |(node, kind)| ([("node", node), ("kind", kind.kind.as_str())], value(kind)))
    }

    fn kinds(&self) -> impl Iterator<Item = (&str, &ActorsMetrics)> {
        self.0.iter().flat_map(|(node, (kinds, _))| kinds.iter().map(move |kind| (node.as_str(), kind)))
    }

    fn nodes(&self, value: fn(&ClusterMetrics) -> u64) -> impl Iterator<Item = ([(&str, &str); 1], f64)> {
        self.0.iter().map(move |(node, (_, cluster))| ([("node", node.as_str())], float(value(cluster))))
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in PRESENT {
            gauge_family(&mut encoder, name, help, self.of(value))?;
        }
        for (name, help, value) in TOTALS {
            counter_family(&mut encoder, name, help, self.of(value))?;
        }
        let help = "Nodes of the cluster, as this one sees it";
        gauge_family(&mut encoder, "cluster_members", help, self.nodes(|cluster| cluster.members))?;
        let help = "Requests sent to other nodes, in batches";
        counter_family(&mut encoder, "cluster_requests", help, self.nodes(|cluster| cluster.sent))?;
        let help = "Batches sent to other nodes";
        counter_family(&mut encoder, "cluster_batches", help, self.nodes(|cluster| cluster.batches))?;
        let help = "How long actors took for a message, waiting included";
        let mut family = encoder.encode_descriptor("message_duration_seconds", help, None, MetricType::Histogram)?;
        for (node, kind) in self.kinds() {
            for (message, counts) in kind.handling.iter().filter(|(_, counts)| counts.count > 0) {
                histogram(&mut family, &[("node", node), ("kind", &kind.kind), ("message", message)], counts)?;
            }
        }
        Ok(())
    }
}
