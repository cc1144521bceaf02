//! The counters of the highest values, of all shards of all nodes.

use super::error::ServiceError;
use super::id::CounterId;
use super::inner::Inner;
use super::peer::{Question, Reply};
use super::shard::{Message, Ranked};
use crate::group::{GatherError, Missing};
use futures_util::future::join_all;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::{Instant, timeout, timeout_at};

impl Inner {
    /// What is in memory is newer than the read model, which has all the others. A row of the read model may be of a counter
    /// that has less by now; so more rows are read until those that were not can't be among the highest.
    pub(super) async fn top(&self, limit: usize, deadline: Instant) -> Result<Vec<Ranked>, ServiceError> {
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
            let all = values.into_iter().map(|(id, value)| Ranked { value, id: Reverse(id) });
            let top = crate::group::top(limit)(Vec::new(), all.collect());
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
    ) -> Result<Vec<Ranked>, ServiceError> {
        let missing = |who: String| ServiceError::Unavailable(format!("{who} has not told its counters"));
        let own = self.top_here(limit, &named);
        let Some(cluster) = self.ownership.cluster() else {
            return own.await.ok_or_else(|| missing("this node".to_owned()));
        };
        let view = cluster.view();
        let others = view.members().iter().filter(|member| *member != cluster.id()).map(async |member| {
            let question = Question::Top { limit: limit as u64, named: named.clone() };
            match cluster.ask(member, question, deadline.duration_since(Instant::now())).await {
                Ok(Reply::Top(ranked)) => Ok(ranked),
                _ => Err(missing(format!("node {member}"))),
            }
        });
        let (own, others) = tokio::join!(own, join_all(others));
        let mut all = own.ok_or_else(|| missing("this node".to_owned()))?;
        for other in others {
            all.extend(other?);
        }
        Ok(all)
    }

    /// Of the shards of this node. None if they do not answer.
    pub(super) async fn top_here(&self, limit: usize, named: &[CounterId]) -> Option<Vec<Ranked>> {
        let turn = timeout(self.options.request_timeout, self.tops.acquire()).await;
        let _turn = turn.ok()?.ok()?;
        let named: Arc<[CounterId]> = named.into();
        let message = |_| Message::Top(limit, Arc::clone(&named));
        let merge = |mut all: Vec<Ranked>, more| {
            all.extend(more);
            all
        };
        let gathered =
            self.shards.ask_all(message, Vec::new(), merge, self.options.request_timeout, Missing::Fail).await;
        gathered
            .inspect_err(|error: &GatherError| tracing::warn!(%error, "not all shards have told their counters"))
            .ok()
            .map(|gathered| gathered.value)
    }
}
