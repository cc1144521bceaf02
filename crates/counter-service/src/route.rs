//! Bringing a command to the node that owns its counter, and again where that has no answer.

use super::command::{Command, CounterValue, Outcome, Refused, What};
use super::error::ServiceError;
use super::inner::Inner;
use super::question::{NodeReply, Question};
use evenfold_cluster::{Cluster, NodeId, PeerError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long one attempt with another node may take: less than it takes to notice that the node is dead, so that there
/// is time for another attempt with its successor.
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// The pause before a command is tried again: a shard changes its owner in some milliseconds, or when a node is taken
/// for dead.
const PAUSE: Duration = Duration::from_millis(20);

/// What one attempt has led to.
enum Attempt {
    Ended(Result<CounterValue, ServiceError>),
    /// Nothing has happened.
    Nothing(String),
    /// It may have been counted.
    Maybe(String),
}

impl Inner {
    /// Has the owner handle a command. An increment is tried again until it is known what has become of it: the id of
    /// its event keeps it from being counted twice.
    pub(super) async fn ask(&self, mut command: Command) -> Result<CounterValue, ServiceError> {
        let deadline = Instant::now() + self.options.request_timeout;
        let mut maybe = false;
        loop {
            let why = match self.attempt(&command, deadline).await {
                Attempt::Ended(Ok(answered)) => return Ok(answered),
                // What an earlier attempt has led to is as little known as before.
                Attempt::Ended(Err(error)) if maybe => return Err(ServiceError::TimedOut(error.to_string())),
                Attempt::Ended(Err(error)) => return Err(error),
                Attempt::Nothing(why) => why,
                Attempt::Maybe(why) => {
                    if command.changes() && self.log.is_none() {
                        // Nobody remembers it: another attempt could count it twice.
                        return Err(ServiceError::TimedOut(why));
                    }
                    maybe = command.changes();
                    command.try_again();
                    why
                }
            };
            let next = Instant::now() + PAUSE;
            if next >= deadline {
                let error = if maybe { ServiceError::TimedOut } else { ServiceError::Unavailable };
                return Err(error(why));
            }
            sleep_until(next).await;
        }
    }

    async fn attempt(&self, command: &Command, deadline: Instant) -> Attempt {
        let shard = self.shard_of(&command.id);
        if let Some(cluster) = self.cluster() {
            let view = cluster.view();
            let owner = view.owner(shard);
            if owner != cluster.id() {
                return self.elsewhere(cluster, owner, command, deadline).await;
            }
        }
        Attempt::of(self.here(command.clone(), deadline).await)
    }

    async fn elsewhere(
        &self,
        cluster: &Cluster<Question, NodeReply>,
        owner: &NodeId,
        command: &Command,
        deadline: Instant,
    ) -> Attempt {
        self.meters.forwarded.add(1);
        let limit = deadline.duration_since(Instant::now()).min(ATTEMPT);
        match cluster.ask(owner, Question::Command(command.clone()), limit).await {
            Ok(NodeReply::Outcome(outcome)) => Attempt::of(outcome),
            Ok(_) => Attempt::Nothing(format!("node {owner} is stopping")),
            Err(error @ PeerError::NotSent(_)) => Attempt::Nothing(error.to_string()),
            Err(error @ PeerError::Unanswered { .. }) => Attempt::Maybe(error.to_string()),
        }
    }
}

impl Attempt {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Ok(counted) => Self::Ended(Ok(counted)),
            Err(Refused::NotOwner) => Self::Nothing("its shard has no sure owner just now".to_owned()),
            Err(Refused::Error(ServiceError::TimedOut(why))) => Self::Maybe(why),
            // Another node may be about to answer for it.
            Err(Refused::Error(ServiceError::Stopped)) => Self::Nothing("its shard's node is stopping".to_owned()),
            Err(Refused::Error(error)) => Self::Ended(Err(error)),
        }
    }
}

impl Command {
    fn try_again(&mut self) {
        if let What::Increment { again, .. } = &mut self.what {
            *again = true;
        }
    }
}
