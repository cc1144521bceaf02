//! Calls that a shard takes to the log together: loaded, decided, appended, and answered.
//!
//! The log decides. Each event expects the version that its counter had when it was decided; if another node has
//! appended meanwhile, or the answer is lost, the counters concerned are read back, what may have been appended is
//! looked for by its event id, and the rest is decided again. So nothing is counted twice, whoever believes to own the
//! shard.
//!
//! All of an attempt is of one epoch of the log. A counter that was read before the server was replaced, or went back
//! to an earlier state, may have the same version and another value after it: an append that rested on it would be
//! accepted, and answered wrongly.

use super::command::{Call, CounterValue, Outcome, Refused, What};
use super::decide::{Decided, Known, decide, repeated};
use super::error::ServiceError;
use super::id::CounterId;
use super::meters::Meters;
use super::storage::{Loaded, Log, Sessions};
use evenfold::database::back_off;
use evenfold::event::RecordedEvent;
use evenfold::log::{AppendError, Appended};
use evenfold_cluster::sharding::OwnedShard;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

/// The longest pause before a database that could not be used is tried again: somebody waits for each answer.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Commands on their way to the log.
pub(super) struct Batch {
    pending: Vec<Pending>,
    /// Of this epoch.
    epoch: u64,
    known: Known,
    answers: Vec<(Call, Outcome)>,
    doubtful: bool,
}

struct Pending {
    call: Call,
    /// Its event may be in the log, by an attempt that was not answered.
    maybe: bool,
}

/// A batch that has ended: what its counters stand at, none for those of which that is not known, and the answers.
pub(super) struct Done {
    /// In which all of it was read and appended, except what may be appended yet.
    pub(super) epoch: u64,
    pub(super) counters: Vec<(CounterId, Option<CounterValue>)>,
    pub(super) answers: Vec<(Call, Outcome)>,
    /// Whether something of it may be appended yet.
    pub(super) doubtful: bool,
}

/// What is to be read back.
struct Unread {
    counters: Vec<CounterId>,
    events: Vec<Uuid>,
}

impl Unread {
    fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.events.is_empty()
    }
}

/// What is next after an attempt.
enum Next {
    End,
    Again,
    /// The database could not be used.
    Pause(String),
}

impl Batch {
    /// A batch of these calls, about counters of which some are known in this epoch.
    pub(super) fn new(calls: Vec<Call>, epoch: u64, known: Known) -> Self {
        let pending = |call: Call| Pending { maybe: call.command.may_be_repeated(), call };
        Self { pending: calls.into_iter().map(pending).collect(), epoch, known, answers: Vec::new(), doubtful: false }
    }

    /// Does what it takes until each call has an answer, or until the deadline.
    pub(super) async fn run(mut self, log: &Log, meters: &Meters, shard: OwnedShard<'_>, deadline: Instant) -> Done {
        let ids: HashSet<CounterId> = self.pending.iter().map(|pending| pending.id().clone()).collect();
        let (mut failures, mut why) = (0, "the log has not answered in time".to_owned());
        loop {
            if !shard.may_change() {
                self.hand_back(shard.is_own());
            }
            match timeout_at(deadline, self.attempt(log, meters)).await {
                Ok(Next::End) => break,
                Ok(Next::Again) => {}
                Ok(Next::Pause(problem)) => {
                    why = problem;
                    // Past the deadline the next attempt ends at once.
                    let _deadline = timeout_at(deadline, sleep(back_off(failures).min(LONGEST_PAUSE))).await;
                    failures += 1;
                }
                Err(_) => {
                    self.time_out(&log.epochs().problem().unwrap_or(why));
                    break;
                }
            }
        }
        let counted = |id: CounterId| {
            let counted = self.known.get(&id).and_then(|known| known.as_ref().ok().copied());
            (id, counted)
        };
        let counters = ids.into_iter().map(counted).collect();
        Done { epoch: self.epoch, counters, answers: self.answers, doubtful: self.doubtful }
    }

    async fn attempt(&mut self, log: &Log, meters: &Meters) -> Next {
        let began = Instant::now();
        let Some(sessions) = log.sessions().await else { return self.stopped() };
        self.enter(sessions.epoch.number());
        let unread = self.unread();
        // Boxed: nearly all batches have nothing to read, and are a task each, which would have room for it.
        if !unread.is_empty()
            && let Err(why) = Box::pin(self.load(log, &sessions, meters, unread)).await
        {
            return Next::Pause(why);
        }
        let loaded = Instant::now();
        let mut decided = decide(self.pending.iter().map(|pending| &pending.call.command), &self.known);
        let appending = Instant::now();
        meters.compute.spend(appending - loaded);
        let events = std::mem::take(&mut decided.events);
        let appended = if events.is_empty() {
            Ok(Vec::new())
        } else {
            // If the future is dropped from here on, they may be in the log, and their counters are not known any more.
            self.may_be_appended(&decided);
            sessions.append(events).await
        };
        meters.coordination.spend((loaded - began) + appending.elapsed());
        // Not answered in either case: what was committed may be lost, and is looked for.
        if sessions.epoch.has_ended() {
            return Next::Again;
        }
        match appended {
            Ok(appended) => self.commit(decided, &appended),
            Err(error) => self.failed(&error, &decided, meters),
        }
    }

    /// Goes on in this epoch: what is known from another one is forgotten.
    fn enter(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.known.clear();
        }
    }

    /// What has to be known: the counters that are not, and the events that may be in the log.
    fn unread(&self) -> Unread {
        let unknown = self.pending.iter().map(Pending::id).filter(|id| !self.known.contains_key(*id));
        let counters: HashSet<&CounterId> = unknown.collect();
        Unread {
            counters: counters.into_iter().cloned().collect(),
            events: self.pending.iter().filter_map(Pending::looked_for).collect(),
        }
    }

    /// Reads it back.
    async fn load(
        &mut self,
        log: &Log,
        sessions: &Sessions,
        meters: &Meters,
        Unread { counters: unknown, events }: Unread,
    ) -> Result<(), String> {
        let Loaded { counters, events } = log.load(sessions, &unknown, &events).await?;
        meters.loaded.add(unknown.len() as u64);
        self.known.extend(unknown.into_iter().zip(counters));
        let mut events = events.into_iter();
        for mut pending in std::mem::take(&mut self.pending) {
            let found = pending.looked_for().and_then(|_| events.next().flatten());
            pending.maybe = false;
            match found {
                Some(found) => {
                    self.overtaken(pending.id(), &found);
                    let outcome = repeated(&pending.call.command, &found);
                    self.answers.push((pending.call, outcome));
                }
                None => self.pending.push(pending),
            }
        }
        Ok(())
    }

    /// Whoever has appended what was found may have done it after the counter was read.
    fn overtaken(&mut self, id: &CounterId, found: &RecordedEvent) {
        if found.aggregate.aggregate_id == id.as_str()
            && let Some(Ok(known)) = self.known.get(id)
            && known.version < found.version.get()
        {
            self.known.remove(id);
        }
    }

    fn may_be_appended(&mut self, decided: &Decided) {
        for &index in &decided.of {
            self.pending[index].maybe = true;
        }
        for id in decided.changed.keys() {
            self.known.remove(id);
        }
    }

    /// What was decided is in the log, with these versions.
    fn commit(&mut self, decided: Decided, appended: &[Appended]) -> Next {
        if !decided.is_as(appended) {
            tracing::error!("events were appended with other versions than they were decided for; they are read back");
            return Next::Again;
        }
        self.known.extend(decided.changed.into_iter().map(|(id, counted)| (id, Ok(counted))));
        for (pending, outcome) in std::mem::take(&mut self.pending).into_iter().zip(decided.outcomes) {
            match outcome {
                Some(outcome) => self.answers.push((pending.call, outcome)),
                // What it repeats is in the log now, or was refused.
                None => self.pending.push(Pending { maybe: true, ..pending }),
            }
        }
        if self.pending.is_empty() { Next::End } else { Next::Again }
    }

    /// What was decided is not in the log, or that is not known. The counters of it are read back in any case.
    fn failed(&mut self, error: &AppendError, decided: &Decided, meters: &Meters) -> Next {
        let mut none_of_it = |but: Option<usize>| {
            for &index in &decided.of {
                self.pending[index].maybe = but == Some(index);
            }
        };
        match error {
            AppendError::Conflict { .. } => {
                meters.conflicts.add(1);
                none_of_it(None);
                Next::Again
            }
            AppendError::DuplicateEventId { index, .. } => {
                none_of_it(decided.of.get(*index).copied());
                Next::Again
            }
            AppendError::AlreadyAppended { .. } => Next::Again,
            AppendError::Closed => {
                none_of_it(None);
                self.stopped()
            }
            // These are the database's answers, and an appender distinguishes those of a connection that was lost:
            // nothing was appended.
            AppendError::Contended | AppendError::TooMany(_) | AppendError::Database(_) => {
                none_of_it(None);
                Next::Pause(error.to_string())
            }
            // The events may be in the log: an error that is not known here is taken for no less.
            _ => Next::Pause(error.to_string()),
        }
    }

    /// The log is closed. Nothing is open any more but what an earlier attempt may have appended.
    fn stopped(&mut self) -> Next {
        for Pending { call, maybe } in std::mem::take(&mut self.pending) {
            self.doubtful |= maybe;
            let unknown = || ServiceError::TimedOut("the node is stopping".to_owned());
            let error = if maybe { unknown() } else { ServiceError::Stopped };
            self.answers.push((call, Err(error.into())));
        }
        Next::End
    }

    /// The time has run out.
    fn time_out(&mut self, why: &str) {
        for Pending { call, maybe } in std::mem::take(&mut self.pending) {
            self.doubtful |= maybe;
            let error = if maybe { ServiceError::TimedOut } else { ServiceError::Unavailable };
            self.answers.push((call, Err(error(why.to_owned()).into())));
        }
    }

    /// The shard belongs to another node now, or may, without this one having noticed: then what it reads is right, but
    /// what it appends would make the other one's reads old.
    fn hand_back(&mut self, own: bool) {
        for Pending { call, maybe } in std::mem::take(&mut self.pending) {
            if own && !call.command.changes() {
                self.pending.push(Pending { call, maybe });
                continue;
            }
            self.doubtful |= maybe;
            let maybe = maybe.then(|| ServiceError::TimedOut("its shard has changed its owner".to_owned()).into());
            self.answers.push((call, Err(maybe.unwrap_or(Refused::NotOwner))));
        }
    }
}

impl Pending {
    fn id(&self) -> &CounterId {
        &self.call.command.id
    }

    /// The id of its event, if that may be in the log.
    fn looked_for(&self) -> Option<Uuid> {
        match self.call.command.what {
            What::Increment { event_id, .. } if self.maybe => Some(event_id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_in_another_epoch_decides_nothing() {
        let known = [(CounterId::new("a").unwrap(), Ok(CounterValue { value: 8, version: 8 }))];
        let mut batch = Batch::new(Vec::new(), 1, known.into_iter().collect());
        batch.enter(1);
        assert_eq!(batch.known.len(), 1);
        batch.enter(2);
        assert!(batch.known.is_empty());
    }
}
