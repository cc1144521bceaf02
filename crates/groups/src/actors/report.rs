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
    /// Time that senders have spent on finding the shard and putting the message into its mailbox, added up over all
    /// senders. Estimated from one message in 64.
    pub routing: Duration,
    /// Time that senders have waited for room in a mailbox, added up over all of them: four that wait for a second at
    /// the same time are four seconds.
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
    /// How many of them were handled since the number of shards changed last: shards have different ages, and this is
    /// what can be compared.
    pub handled_since_resize: u64,
    /// How many questions were left out because nobody waited for the answer any more.
    pub abandoned: u64,
    /// How many messages were dropped after a panic, as the group's options say.
    pub dropped: u64,
    /// How often it panicked.
    pub panics: u64,
    /// Time spent on handling messages; what a handler waits for is in it.
    pub busy: Duration,
    /// Time that messages have waited in the mailbox, added up over all of them: a thousand that wait for a second at
    /// the same time are a thousand seconds. Estimated from one message in 64.
    pub queueing: Duration,
}

impl<S: Shard> Router<S> {
    pub(super) fn metrics(&self) -> GroupMetrics {
        let of = |shard, depth, meters: &super::meters::Meters| ShardMetrics {
            shard,
            depth,
            handled: meters.handled.get(),
            handled_since_resize: meters.handled_since_resize(),
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

    /// The messages that the busiest shard has handled as a multiple of the mean, since the number of shards changed
    /// last, or since the start: 1 is even, and n shards of which one has all are at n. None while nothing was handled
    /// since then. Of few messages it says little: five to four shards can't be even.
    #[must_use]
    pub fn imbalance(&self) -> Option<f64> {
        let sum: u64 = self.shards.iter().map(|shard| shard.handled_since_resize).sum();
        let most = self.shards.iter().map(|shard| shard.handled_since_resize).max()?;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        (sum > 0).then(|| most as f64 * self.shards.len() as f64 / sum as f64)
    }

    /// Work besides handling: time that senders have spent on finding the shard and putting the message into its
    /// mailbox. What waits does no work: [`delay`](Self::delay) has the waiting.
    #[must_use]
    pub fn coordination(&self) -> Duration {
        self.routing
    }

    /// Time spent on handling messages, added up over all shards.
    #[must_use]
    pub fn compute(&self) -> Duration {
        self.all().map(|shard| shard.busy).sum()
    }

    /// Coordination per compute: both are work, of senders and of shards. None before anything was handled.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let compute = self.compute().as_secs_f64();
        (compute > 0.0).then(|| self.coordination().as_secs_f64() / compute)
    }

    /// How long the average message has waited before it was handled: for room in its mailbox, and in there. None
    /// before anything was handled.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.each(self.waiting + self.queueing())
    }

    fn queueing(&self) -> Duration {
        self.all().map(|shard| shard.queueing).sum()
    }

    /// So much of a sum as comes to one message.
    #[expect(clippy::cast_precision_loss, reason = "an average to look at")]
    fn each(&self, sum: Duration) -> Option<Duration> {
        let handled = self.handled();
        (handled > 0).then(|| sum.div_f64(handled as f64))
    }

    fn all(&self) -> impl Iterator<Item = &ShardMetrics> {
        self.shards.iter().chain([&self.gone])
    }

    fn write_shards(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shard, recent) = ("shard", "since resize");
        writeln!(f, "{shard:>5}  {:>12}  {recent:>12}  {:>8}  {:>10}  {:>6}", "handled", "waiting", "busy", "panics")?;
        for ShardMetrics { shard, depth, handled, handled_since_resize: recent, panics, busy, .. } in &self.shards {
            let busy = format!("{busy:.1?}");
            writeln!(f, "{shard:>5}  {handled:>12}  {recent:>12}  {depth:>8}  {busy:>10}  {panics:>6}")?;
        }
        let ShardMetrics { handled, panics, busy, .. } = &self.gone;
        if *handled == 0 {
            return Ok(());
        }
        let busy = format!("{busy:.1?}");
        writeln!(f, "{:>5}  {handled:>12}  {:>12}  {:>8}  {busy:>10}  {panics:>6}", "gone", "", "")?;
        writeln!(f, "  (gone: shards that a resize has ended)")
    }

    /// What comes to one message, where there was one.
    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |sum| self.each(sum).map(|each| format!("{each:.1?}"));
        let (coordination, compute) = (self.coordination(), self.compute());
        let all = (each(coordination), each(compute), self.delay(), each(self.waiting), each(self.queueing()));
        let (Some(routing), Some(handling), Some(delay), Some(room), Some(mailbox)) = all else { return Ok(()) };
        writeln!(f, "coordination  {coordination:.1?} of the senders' time: {routing} a message, to its mailbox")?;
        writeln!(f, "compute       {compute:.1?} of the shards' time: {handling} a message, to handle it")?;
        if let Some(ratio) = self.ratio() {
            writeln!(f, "              coordination per compute: {ratio:.2}")?;
        }
        writeln!(f, "delay         {delay:.1?} from the average message to its turn:")?;
        writeln!(f, "              {room} for room in the mailbox, {mailbox} in the mailbox")
    }
}

/// A report of at most 80 columns.
impl fmt::Display for GroupMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} shards, {} messages handled", self.id, self.shards.len(), self.handled())?;
        self.write_shards(f)?;
        self.write_times(f)?;
        let Some(imbalance) = self.imbalance() else {
            return writeln!(f, "imbalance     not known: nothing was handled since the last resize or the start");
        };
        writeln!(f, "imbalance     {imbalance:.2}: messages of the busiest shard, as a multiple of the mean,")?;
        writeln!(f, "              since the last resize or the start (1 is even)")
    }
}
