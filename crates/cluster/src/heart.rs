//! The heart of a node: it writes the heartbeats, each over the one before.

use super::beat::{Beat, State};
use super::certainty::Certainty;
use super::frame::Questions;
use super::transport::{Transport, Unreachable, WriteError};
use super::{ClusterOptions, Ended, JoinError, NodeId, Record};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// A node's name, which is its own as long as its record says so.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) node: NodeId,
    pub(super) beat: Beat,
    /// Of its record, as far as it knows.
    revision: u64,
    /// Whether the last write was answered.
    answered: bool,
    /// The count of the last heartbeat that was acknowledged.
    acknowledged: u64,
    rival: Option<Rival>,
    /// How long a process is certain after its last heartbeat.
    certain_for: Duration,
    /// How long one write may take. An acknowledgement that is later than this hardly makes anybody certain any more.
    limit: Duration,
}

/// Another process whose heartbeat was found in this one's record. It may be there, with the same name; or somebody has
/// written an old heartbeat again. One that is there answers: it names a heartbeat that this process has written since.
#[derive(Debug, Clone, Copy)]
struct Rival {
    found: Instant,
    /// The first of this process's heartbeats that it can name.
    asked: u64,
}

impl Name {
    /// Takes the name. One that another process had, which was killed, is free when it has been silent long enough by
    /// the clock of this process: nobody knows how old a record is.
    pub(super) async fn take(
        transport: Arc<dyn Transport>,
        node: NodeId,
        options: &ClusterOptions,
    ) -> Result<Self, JoinError> {
        let beat = Beat::first(options.shards.get());
        let (certain_for, limit) = (options.certain_for(), options.heartbeat * 2);
        let (revision, answered, acknowledged, rival) = (0, true, 0, None);
        let mut name = Self { transport, node, beat, revision, answered, acknowledged, rival, certain_for, limit };
        loop {
            let record = name.read().await?;
            let is_taken = |beat: &Beat| beat.state != State::Gone && beat.incarnation != name.beat.incarnation;
            let other = record.as_ref().and_then(|record| Beat::of(&name.node, record)).filter(is_taken);
            name.revision = match other {
                Some(other) => name.outlast(other, options).await?,
                None => record.map_or(0, |record| record.revision),
            };
            match name.write().await {
                Ok(()) => return Ok(name),
                // Somebody else was faster: that one's heartbeats will show it.
                Err(WriteError::Conflict) => {}
                Err(WriteError::Unreachable(error)) => return Err(error.into()),
            }
        }
    }

    /// Waits as long as a dead node would be silent, and gives the revision of the record then. A record that changes
    /// meanwhile is no proof of a process: anybody may have written that can't be read, and somebody an old heartbeat
    /// again. A process answers besides, and its answer is bound to the question.
    async fn outlast(&self, other: Beat, options: &ClusterOptions) -> Result<u64, JoinError> {
        let (started, mut seen) = (Instant::now(), other);
        loop {
            sleep(options.heartbeat / 2).await;
            let record = self.read().await?;
            let revision = record.as_ref().map_or(0, |record| record.revision);
            if let Some(beat) = record.as_ref().and_then(|record| Beat::of(&self.node, record)) {
                // Only its own: that of an earlier process says nothing about this one.
                if beat.state == State::Gone && beat.incarnation == other.incarnation {
                    return Ok(revision);
                }
                let moved = (beat.incarnation, beat.count) != (seen.incarnation, seen.count);
                seen = beat;
                if moved && self.is_answered(options.heartbeat).await {
                    return Err(JoinError::AlreadyRunning(self.node.clone()));
                }
            }
            if started.elapsed() >= options.dead_after {
                return Ok(revision);
            }
        }
    }

    /// Whether a process with this name answers a greeting. This one does not serve yet.
    async fn is_answered(&self, limit: Duration) -> bool {
        let (from, incarnation) = (self.node.clone(), self.beat.incarnation);
        let greeting = Questions { from, incarnation, limit, all: Vec::new() };
        self.transport.request(&self.node, greeting.encode(), limit).await.is_ok()
    }

    async fn read(&self) -> Result<Option<Record>, Unreachable> {
        self.transport.read(&self.node, self.limit).await
    }

    async fn write(&mut self) -> Result<(), WriteError> {
        let value = self.beat.encode();
        self.revision = self.transport.write(&self.node, self.revision, value, self.limit).await?;
        Ok(())
    }

    /// Writes the next heartbeat.
    pub(super) async fn beat(&mut self, state: State) -> Result<(), BeatError> {
        self.beat.next(state);
        // A node that gets no answers can't be asked either. Others hear every write, also one that is refused: so
        // first of all it makes sure that there are answers, and is silent until then, for the others to take over.
        if self.answered {
            match self.write().await {
                Ok(()) => return self.written(),
                Err(WriteError::Conflict) => {}
                Err(WriteError::Unreachable(error)) => return Err(self.unanswered(error)),
            }
        }
        // The acknowledgement of the last one was lost, or the whole record; or somebody else has written it.
        let record = self.read().await.map_err(|error| self.unanswered(error))?;
        self.answered = true;
        // What can't be read is nobody's, and is written over.
        if let Some(other) = record.as_ref().and_then(|record| Beat::of(&self.node, record)) {
            self.compare(&other)?;
        }
        self.revision = record.map_or(0, |record| record.revision);
        self.write().await.map_err(|error| match error {
            WriteError::Conflict => BeatError::Unreachable(Unreachable("the record changes all the time".to_owned())),
            WriteError::Unreachable(error) => self.unanswered(error),
        })?;
        self.written()
    }

    /// What it means that another heartbeat is where this process's last one should be.
    fn compare(&mut self, other: &Beat) -> Result<(), BeatError> {
        if other.incarnation == self.beat.incarnation || other.state == State::Gone {
            return Ok(());
        }
        let names =
            |from: u64| matches!(other.replaces, Some((own, count)) if own == self.beat.incarnation && count >= from);
        // One that leaves has no use for the name: it does not contest it.
        if self.beat.state == State::Gone || self.rival.is_some_and(|rival| names(rival.asked)) {
            return Err(BeatError::Superseded);
        }
        // One that names this process's last heartbeat has found it, and waits for the answer: this process is there,
        // and the other one is certain of nothing.
        if self.rival.is_none() && !names(self.acknowledged) {
            tracing::warn!(
                node = %self.node,
                "another process has written this node's record, or somebody an old heartbeat: waiting whether it answers; if \
                 two nodes have this name, give one of them another"
            );
            self.rival = Some(Rival { found: Instant::now(), asked: self.beat.count });
        }
        self.beat.replaces = Some((other.incarnation, other.count));
        Ok(())
    }

    /// Its heartbeat is there. That makes nobody certain while another process may be, which has not answered yet: that
    /// one's last acknowledged heartbeat was no later than when it was found.
    fn written(&mut self) -> Result<(), BeatError> {
        if self.rival.is_some_and(|rival| rival.found.elapsed() < self.certain_for) {
            let reason = "whether another process has this node's name is not known yet";
            return Err(BeatError::Unreachable(Unreachable(reason.to_owned())));
        }
        self.rival = None;
        self.beat.replaces = None;
        self.acknowledged = self.beat.count;
        Ok(())
    }

    fn unanswered(&mut self, error: Unreachable) -> BeatError {
        self.answered = false;
        BeatError::Unreachable(error)
    }
}

#[derive(Debug)]
pub(super) enum BeatError {
    Unreachable(Unreachable),
    /// Another process has the name.
    Superseded,
}

/// What runs as long as the node is a member.
#[derive(Debug)]
pub(super) struct Heart {
    pub(super) name: Name,
    pub(super) options: ClusterOptions,
    pub(super) certainty: Arc<Certainty>,
    /// What the others are to see.
    pub(super) wanted: watch::Receiver<State>,
    /// What they can see: the last heartbeat that was acknowledged. Whoever waits is woken by another state alone.
    pub(super) shown: watch::Sender<Beat>,
}

impl Heart {
    /// Until the node is gone, by its own will or not.
    pub(super) async fn run(mut self) -> Ended {
        let mut ticks = interval(self.options.heartbeat);
        // Heartbeats that were not sent in time are not made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wanted = *self.wanted.borrow_and_update();
            let sent = Instant::now();
            match self.name.beat(wanted).await {
                Ok(()) => {
                    self.certainty.acknowledged(sent);
                    self.show();
                    if wanted == State::Gone {
                        return Ended::Left;
                    }
                }
                Err(BeatError::Superseded) => return Ended::Superseded(self.name.node),
                Err(BeatError::Unreachable(error)) => {
                    tracing::warn!(node = %self.name.node, %error, "a heartbeat was not acknowledged");
                }
            }
            tokio::select! {
                _ = ticks.tick() => {}
                changed = self.wanted.changed() => if changed.is_err() { return Ended::Left },
            }
        }
    }

    fn show(&self) {
        self.shown.send_if_modified(|shown| {
            let changed = shown.state != self.name.beat.state;
            *shown = self.name.beat;
            changed
        });
    }
}
