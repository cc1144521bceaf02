//! The metrics of a service and its nodes. No label is a counter's name: there may be millions.

use super::state::State;
use crate::{Handling, NodeMetrics};
use evenfold_groups::ShardMetrics;
use evenfold_http::metrics::{gauge, histogram};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// What has been counted up to one moment.
pub(super) struct Scrape {
    state: Arc<State>,
    nodes: Vec<NodeMetrics>,
}

/// A figure of a node that only grows: its name, what it is, and where.
type Total = (&'static str, &'static str, fn(&NodeMetrics) -> f64);

/// A figure of a node as it is now.
type Present = (&'static str, &'static str, fn(&NodeMetrics) -> u64);

/// A figure of a node's shard.
type OfShard = (&'static str, &'static str, MetricType, fn(&ShardMetrics) -> f64);

const TOTALS: [Total; 9] = [
    ("passivations", "Counters that were idle and made room for others", |node| float(node.passivations)),
    ("loads", "Counters that were read from the database", |node| float(node.loads)),
    ("conflicts", "Appends refused because somebody else had appended", |node| float(node.conflicts)),
    ("group_commits", "Transactions that have appended events", |node| float(node.commits.count())),
    ("forwarded_requests", "Requests sent on to the owner of the shard", |node| float(node.forwarded)),
    ("coordination_seconds", "Time that went into waiting for nodes and the database", |node| {
        node.coordination.as_secs_f64()
    }),
    ("compute_seconds", "Time that went into deciding", |node| node.compute.as_secs_f64()),
    ("cluster_requests", "Requests sent to other nodes, in batches", |node| float(node.batched)),
    ("cluster_batches", "Batches sent to other nodes", |node| float(node.batches)),
];

const PRESENT: [Present; 3] = [
    ("cluster_members", "Nodes of the cluster, as this one sees it", |node| node.members),
    ("owned_shards", "Shards that the node owns", |node| node.owned as u64),
    ("counters", "Counters that the node has in memory, in all of its shards", |node| node.counters.iter().sum()),
];

const HANDLING: &str = "How long shards took for a message: from taking it from the mailbox to its answer. \
Of what waits for the log, as increments do unless the service is volatile, that is the wait for those before \
it about the same counter, and its commit. An increment or a read is one message to one shard, a top list one to every shard";

const SHARDS: [OfShard; 3] = [
    ("mailbox", "Messages that wait for the shard", MetricType::Gauge, |shard| {
        float(u64::try_from(shard.depth).unwrap_or(u64::MAX))
    }),
    ("shard_messages", "Messages handled by the shard", MetricType::Counter, |shard| float(shard.handled)),
    ("shard_busy_seconds", "How long handling took", MetricType::Counter, |shard| shard.busy.as_secs_f64()),
];

/// Exact up to 2^53, which nothing that is counted reaches.
#[expect(clippy::cast_precision_loss, reason = "figures are floating point on their way to Prometheus")]
fn float(count: u64) -> f64 {
    count as f64
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.requests(&mut encoder)?;
        self.counters(&mut encoder)?;
        for figure in &SHARDS {
            self.shards(&mut encoder, figure)?;
        }
        for figure in &TOTALS {
            self.totals(&mut encoder, figure)?;
        }
        for figure in &PRESENT {
            self.present(&mut encoder, figure)?;
        }
        self.handling(&mut encoder)?;
        self.commits(&mut encoder)
    }
}

impl Scrape {
    pub(super) fn of(state: Arc<State>) -> Self {
        let nodes = state.nodes.iter().map(crate::Node::metrics).collect();
        Self { state, nodes }
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.state.requests.encode(encoder)?;
        let inflight = i64::try_from(self.state.inflight.taken()).unwrap_or(i64::MAX);
        gauge(encoder, "requests_in_flight", "Requests that are being answered, without watchers", &inflight)?;
        let bytes = i64::try_from(self.state.inflight.bytes()).unwrap_or(i64::MAX);
        gauge(encoder, "bytes_in_flight", "Bytes of the bodies and the answers of these requests", &bytes)?;
        let watchers = i64::try_from(self.state.watchers.taken()).unwrap_or(i64::MAX);
        gauge(encoder, "watchers", "Streams that are open", &watchers)
    }

    fn counters(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Counters in memory";
        let mut family = encoder.encode_descriptor("actors", help, None, MetricType::Gauge)?;
        for node in &self.nodes {
            for (shard, counters) in node.counters.iter().enumerate() {
                let labels = [("node", node.node.clone()), ("shard", shard.to_string())];
                family.encode_family(&labels)?.encode_gauge(&float(*counters))?;
            }
        }
        Ok(())
    }

    fn shards(&self, encoder: &mut DescriptorEncoder<'_>, (name, help, kind, of): &OfShard) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
        for node in &self.nodes {
            for shard in &node.actors.shards {
                let labels = [("node", node.node.clone()), ("shard", shard.shard.to_string())];
                let mut one = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => one.encode_counter::<NoLabelSet, _, f64>(&of(shard), None)?,
                    _ => one.encode_gauge(&of(shard))?,
                }
            }
        }
        Ok(())
    }

    fn totals(&self, encoder: &mut DescriptorEncoder<'_>, (name, help, of): &Total) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for node in &self.nodes {
            let labels = [("node", node.node.as_str())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&of(node), None)?;
        }
        Ok(())
    }

    fn present(&self, encoder: &mut DescriptorEncoder<'_>, (name, help, of): &Present) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for node in &self.nodes {
            family.encode_family(&[("node", node.node.as_str())])?.encode_gauge(&float(of(node)))?;
        }
        Ok(())
    }

    fn handling(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            encoder.encode_descriptor("message_duration_seconds", HANDLING, None, MetricType::Histogram)?;
        for node in &self.nodes {
            let Handling { increment, read, top } = &node.handling;
            for (message, counts) in [("increment", increment), ("read", read), ("top", top)] {
                if counts.count > 0 {
                    histogram(&mut family, &[("node", node.node.as_str()), ("message", message)], counts)?;
                }
            }
        }
        Ok(())
    }

    fn commits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Events of one transaction";
        let mut family = encoder.encode_descriptor("group_commit_events", help, None, MetricType::Histogram)?;
        for node in self.nodes.iter().filter(|node| node.commits.count() > 0) {
            let labels = [("node", node.node.as_str())];
            let commits = &node.commits;
            let mut histogram = family.encode_family(&labels)?;
            histogram.encode_histogram::<NoLabelSet>(float(commits.events), commits.count(), &commits.buckets, None)?;
        }
        Ok(())
    }
}
