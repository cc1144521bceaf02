//! The counters of the highest values, of all shards of all nodes.

use super::error::ServiceError;
use super::id::CounterId;
use super::inner::Inner;
use super::limits::MAX_NAMED;
use super::message::{Message, Top};
use super::question::{NodeReply, Question, RankedCounter};
use evenfold_cluster::{Cluster, Stage};
use evenfold_groups::{GatherError, Missing};
use futures_util::future::try_join_all;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

impl Inner {
    /// What is in memory is newer than the read model, which has all the others. A row of the read model may be of a
    /// counter that has less by now; so more rows are read until those that were not can't be among the highest.
    pub(super) async fn top(&self, limit: usize, deadline: Instant) -> Result<Vec<RankedCounter>, ServiceError> {
        let late = |_| {
            let problem = self.log.as_ref().and_then(|common| common.log.epochs().problem());
            ServiceError::Unavailable(problem.unwrap_or_else(|| "the counters were not all read in time".to_owned()))
        };
        let mut rows = limit;
        loop {
            let history = self.history();
            let (stored, most_of_others) = timeout_at(deadline, self.stored(rows)).await.map_err(late)??;
            let named: Vec<CounterId> = stored.iter().map(|(id, _)| id.clone()).collect();
            let mut values: HashMap<CounterId, i64> = stored.into_iter().collect();
            for ranked in self.in_memory(limit, named, deadline).await? {
                values.insert(ranked.id.0, ranked.value);
            }
            if history != self.history() {
                continue;
            }
            let all = values.into_iter().map(|(id, value)| RankedCounter { value, id: Reverse(id) });
            let top = evenfold_groups::top(limit)(Vec::new(), all.collect());
            let lowest = top.get(limit.saturating_sub(1)).map(|ranked| ranked.value);
            if most_of_others.is_none() || lowest >= most_of_others {
                return Ok(top);
            }
            rows *= 2;
        }
    }

    async fn stored(&self, rows: usize) -> Result<(Vec<(CounterId, i64)>, Option<i64>), ServiceError> {
        match &self.log {
            None => Ok((Vec::new(), None)),
            Some(common) => common.log.top(rows).await.map_err(ServiceError::Unavailable),
        }
    }

    async fn in_memory(
        &self,
        limit: usize,
        named: Vec<CounterId>,
        deadline: Instant,
    ) -> Result<Vec<RankedCounter>, ServiceError> {
        let mut all = match self.cluster() {
            Some(cluster) => of_others(cluster, limit, &named, deadline).await?,
            None => Vec::new(),
        };
        // After the others: what they hand over to this node meanwhile is found here.
        let own = self.top_here(limit, &named, deadline).await;
        all.extend(own.ok_or_else(|| missing("this node"))?);
        Ok(all)
    }

    /// Of the shards of this node. None if they do not answer in time.
    pub(super) async fn top_here(
        &self,
        limit: usize,
        named: &[CounterId],
        deadline: Instant,
    ) -> Option<Vec<RankedCounter>> {
        let permit = timeout_at(deadline, Arc::clone(&self.tops).acquire_owned()).await.ok()?.ok()?;
        let (permit, named) = (Arc::new(permit), self.by_shard(named));
        let message = |shard: u32| {
            let named = Arc::clone(&named[shard as usize]);
            Message::Top(Top::new(limit, named, Arc::clone(&permit)))
        };
        let merge = |mut all: Vec<RankedCounter>, more| {
            all.extend(more);
            all
        };
        let left = deadline.duration_since(Instant::now());
        let gathered = self.shards.ask_all(message, Vec::new(), merge, left, Missing::Fail).await;
        gathered
            .inspect_err(
                |error: &GatherError| tracing::warn!(%error, "not all shards have answered with their counters"),
            )
            .ok()
            .map(|gathered| gathered.value)
    }

    /// The names of each shard.
    fn by_shard(&self, named: &[CounterId]) -> Vec<Arc<[CounterId]>> {
        let mut shards = vec![Vec::new(); self.shard_count.get() as usize];
        for id in named {
            shards[self.shard_of(id) as usize].push(id.clone());
        }
        shards.into_iter().map(Arc::from).collect()
    }
}

fn missing(who: &str) -> ServiceError {
    ServiceError::Unavailable(format!("{who} has not answered with its counters"))
}

/// Of the nodes that may have counters: also one that leaves has some, until they are handed over.
async fn of_others(
    cluster: &Cluster<Question, NodeReply>,
    limit: usize,
    named: &[CounterId],
    deadline: Instant,
) -> Result<Vec<RankedCounter>, ServiceError> {
    let known = Arc::clone(&cluster.known().borrow());
    let mut asked: Vec<_> = known.nodes().filter(|(_, stage)| *stage != Stage::Joining).collect();
    if !asked.is_empty() && named.len() > MAX_NAMED {
        let problem = "too many counters have been decremented since the read model was brought up to date: \
                       see that workers fold the log, or ask for fewer counters";
        return Err(ServiceError::Unavailable(problem.to_owned()));
    }
    // Where a counter is at two nodes, as the answer to a handover is on its way, the one that goes on counting is
    // listed last.
    asked.sort_by_key(|(_, stage)| *stage == Stage::Live);
    let answers = asked.into_iter().map(async |(node, _)| {
        let question = Question::Top { limit: limit as u64, named: named.to_vec() };
        match cluster.ask(node, question, deadline.duration_since(Instant::now())).await {
            Ok(NodeReply::Top(ranked)) => Ok(ranked),
            _ => Err(missing(&format!("node {node}"))),
        }
    });
    Ok(try_join_all(answers).await?.concat())
}

#[cfg(test)]
mod tests {
    use super::super::inner::TOPS;
    use super::super::options::{NodeOptions, Storage};
    use super::*;
    use evenfold_groups::ProcessGroups;
    use futures_util::FutureExt;
    use std::time::Duration;

    async fn node() -> Inner {
        Inner::start(NodeOptions::default(), Storage::Volatile, &ProcessGroups::default(), true).await.unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn a_list_that_nobody_waits_for_counts_until_all_shards_have_dropped_it_and_no_shard_makes_it() {
        let node = node().await;
        // One thread: no shard handles anything before this waits.
        assert!(node.top_here(1, &[], soon()).now_or_never().is_none());
        assert_eq!(node.tops.available_permits(), TOPS - 1, "the shards still have the messages");
        let all = node.tops.acquire_many(u32::try_from(TOPS).unwrap()).await.unwrap();
        drop(all);
        let metrics = node.shards.metrics();
        let abandoned: u64 = metrics.shards.iter().map(|shard| shard.abandoned).sum();
        assert_eq!((abandoned, node.meters.handling.counts().top.count), (64, 0));
        assert!(node.top_here(1, &[], soon()).await.is_some());
        assert_eq!(node.meters.handling.counts().top.count, 64);
    }

    #[tokio::test]
    async fn each_shard_is_given_the_names_of_its_own_counters_only() {
        let node = node().await;
        let names: Vec<_> = (0..1_000).map(|n| CounterId::new(&n.to_string()).unwrap()).collect();
        let shards = node.by_shard(&names);
        assert_eq!(shards.iter().map(|names| names.len()).sum::<usize>(), names.len());
        for (shard, names) in (0..).zip(shards) {
            assert!(names.iter().all(|id| node.shard_of(id) == shard));
        }
    }
}
