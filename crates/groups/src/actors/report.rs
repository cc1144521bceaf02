//! What a group has done, and how much of the time went into the work and how much into getting it there.

use super::router::Router;
use super::shard::Shard;
use std::fmt;
use std::time::Duration;

/// What an actor group has done until now.
#[derive(Debug, Clone)]
pub struct GroupMetrics {
    /// What the group is called.
    pub id: String,
    /// Its shards, in the order of their numbers.
    pub shards: Vec<ShardMetrics>,
    /// What the shards have done that are no more.
    pub gone: ShardMetrics,
    /// Time that senders have spent on finding the shard and putting the message into its mailbox. Estimated from one
    /// message in 64.
    pub routing: Duration,
    /// Time that senders have waited for room in a mailbox.
    pub waiting: Duration,
}

/// What one shard has done until now.
#[derive(Debug, Clone, Default)]
pub struct ShardMetrics {
    /// Its number.
    pub shard: u32,
    /// How many messages wait.
    pub depth: usize,
    /// How many messages were handled.
    pub handled: u64,
    /// How many questions were left out because nobody waited for the answer any more.
    pub abandoned: u64,
    /// How many messages were dropped after a panic, as the group's options say.
    pub dropped: u64,
    /// How often it panicked.
    pub panics: u64,
    /// Time spent on handling messages.
    pub busy: Duration,
    /// Time that messages have waited in the mailbox, added up. Estimated from one message in 64.
    pub queueing: Duration,
}

impl<S: Shard> Router<S> {
    pub(super) fn metrics(&self) -> GroupMetrics {
        let of = |shard, depth, meters: &super::meters::Meters| ShardMetrics {
            shard,
            depth,
            handled: meters.handled.get(),
            abandoned: meters.abandoned.get(),
            dropped: meters.dropped.get(),
            panics: meters.panics.get(),
            busy: meters.busy.get(),
            queueing: meters.queueing.get(),
        };
        let members = self.read();
        let shards =
            members.iter().map(|member| of(member.cell.shard, member.cell.mailbox.depth(), &member.cell.meters));
        GroupMetrics {
            id: self.options.id.clone(),
            shards: shards.collect(),
            gone: of(0, 0, &self.gone),
            routing: self.routing.routing.get(),
            waiting: self.routing.waiting.get(),
        }
    }
}

impl GroupMetrics {
    /// How many messages were handled.
    #[must_use]
    pub fn handled(&self) -> u64 {
        self.all().map(|shard| shard.handled).sum()
    }

    /// How often shards panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.all().map(|shard| shard.panics).sum()
    }

    /// How many messages wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.all().map(|shard| shard.depth).sum()
    }

    /// How much more the busiest shard has handled than the average one: 1 is even. None before anything was handled.
    #[must_use]
    pub fn imbalance(&self) -> Option<f64> {
        let sum: u64 = self.shards.iter().map(|shard| shard.handled).sum();
        let most = self.shards.iter().map(|shard| shard.handled).max()?;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        (sum > 0).then(|| most as f64 * self.shards.len() as f64 / sum as f64)
    }

    /// Time that messages have spent before they were handled: routing, waiting for room, and waiting in the mailbox.
    /// Added up over all messages, many of which wait at the same time.
    #[must_use]
    pub fn coordination(&self) -> Duration {
        self.routing + self.waiting + self.queueing()
    }

    /// Time spent on handling messages.
    #[must_use]
    pub fn compute(&self) -> Duration {
        self.all().map(|shard| shard.busy).sum()
    }

    /// Coordination per compute. None before anything was handled.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let compute = self.compute().as_secs_f64();
        (compute > 0.0).then(|| self.coordination().as_secs_f64() / compute)
    }

    fn queueing(&self) -> Duration {
        self.all().map(|shard| shard.queueing).sum()
    }

    fn all(&self) -> impl Iterator<Item = &ShardMetrics> {
        self.shards.iter().chain([&self.gone])
    }
}

/// A report of at most 80 columns.
impl fmt::Display for GroupMetrics {
    #[expect(clippy::cast_precision_loss, reason = "an average to look at")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} shards, {} messages handled", self.id, self.shards.len(), self.handled())?;
        writeln!(f, "{:>5}  {:>12}  {:>8}  {:>10}  {:>6}", "shard", "handled", "waiting", "busy", "panics")?;
        for ShardMetrics { shard, depth, handled, panics, busy, .. } in &self.shards {
            let busy = format!("{busy:.1?}");
            writeln!(f, "{shard:>5}  {handled:>12}  {depth:>8}  {busy:>10}  {panics:>6}")?;
        }
        if self.gone.handled > 0 {
            let busy = format!("{:.1?}", self.gone.busy);
            writeln!(f, "{:>5}  {:>12}  {:>8}  {busy:>10}  {:>6}", "gone", self.gone.handled, "", self.gone.panics)?;
        }
        let (routing, waiting, queueing) = (self.routing, self.waiting, self.queueing());
        writeln!(
            f,
            "coordination {:.1?}: routing {routing:.1?}, waiting for room {waiting:.1?},",
            self.coordination()
        )?;
        let each = queueing.div_f64(f64::max(1.0, self.handled() as f64));
        writeln!(f, "  in mailboxes {queueing:.1?} (added up over all messages: {each:.1?} each)")?;
        write!(f, "compute {:.1?}", self.compute())?;
        if let (Some(ratio), Some(imbalance)) = (self.ratio(), self.imbalance()) {
            write!(f, "; coordination per compute {ratio:.2}; imbalance {imbalance:.2}")?;
        }
        writeln!(f)
    }
}
