//! Folding the log anew into a shadow, by as many workers as are wanted, and putting it in the place of what is in use.

use super::rebuilding::{Rebuilding, comment_of, name_of, schema_name};
use super::rebuilt::{RebuildError, RebuildOptions, Rebuilt, TablesRebuilt, release};
use super::replace::is_locked_out;
use super::shape::shape;
use super::switch::{Switch, switch};
use super::tables::{Shadow, ShadowError};
use crate::checkpoint::{self, RegisterError, Takeover};
use crate::class::Class;
use crate::database::{Database, Schema, back_off};
use crate::projection::{
    Pool, PoolError, Progress, Projection, RunError, RunOptions, Worker, WorkerError, WorkerOptions, catch_up,
    definition,
};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a switch waits for a lock on a table in use: whoever comes after it waits behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '300ms'";

/// How often whoever watches is called.
const TICK: Duration = Duration::from_millis(100);

/// A rebuild that is at work.
struct TableRebuild<'a, M> {
    /// To which names lead as they do for the projection's workers.
    database: &'a Database,
    /// To which names lead to the shadow first.
    into: Database,
    make: M,
    name: String,
    definition: String,
    shadow: Shadow,
    options: &'a RebuildOptions,
    shutdown: &'a CancellationToken,
    watch: &'a (dyn Fn(u64) + Sync),
    applied: u64,
}

/// Folds the log anew, from where an earlier rebuild by the same projection has stopped, and then puts the tables that
/// it has made, or their rows, in the place of those in use. Workers may run meanwhile: at the end they wait for a
/// moment, and go on from what was rebuilt; those with another definition end. `watch` is given, now and then, how many
/// events are applied.
///
/// Where the tables are what they were, only rows that differ are written, and no reader waits. Where `create` makes
/// others, they take the place of the old ones under a lock that readers wait for, for some milliseconds; while a
/// reader keeps it away for 300 ms, the switch is tried again, until `shutdown`.
///
/// # Errors
///
/// See [`RebuildError`]. What is in use is as it was; the next rebuild goes on.
///
/// # Cancel safety
///
/// A dropped rebuild has folded so far, and has switched or not. The next one goes on.
pub async fn rebuild<P, M>(
    database: &Database,
    make: M,
    options: &RebuildOptions,
    shutdown: &CancellationToken,
    watch: &(dyn Fn(u64) + Sync),
) -> Result<TablesRebuilt, RebuildError>
where
    P: Projection,
    M: Fn() -> P + Clone + Send + 'static,
{
    let database = database.named("evenfold rebuild");
    let (mut conn, server) = database.connect_with_server().await?;
    // What was folded from one server must not be put in use on another.
    let database = database.only(server.identity);
    let (own, projection) = (database.schema().clone(), make());
    let name = projection.name().to_owned();
    let shadow = Shadow::named(&mut conn, &schema_name(&format!("{}_rebuild_", own.name()), &name), &name).await?;
    if !claim(&own, &mut conn, &name).await? {
        return Err(RebuildError::Busy);
    }
    let mut rebuild = TableRebuild {
        into: database.by_index().searching(&shadow.path_into()),
        database: &database,
        definition: definition(&projection),
        make,
        name,
        shadow,
        options,
        shutdown,
        watch,
        applied: 0,
    };
    let (outcome, switch) = rebuild.run(&mut conn).await?;
    release(&mut conn).await;
    Ok(TablesRebuilt { outcome, applied: rebuild.applied, switch })
}

/// Makes this connection the only one that rebuilds the projection, until it ends. False if another one is.
async fn claim(own: &Schema, conn: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('evenfold rebuild ' || $1 || ' ' || $2, 0))")
        .bind(own.name())
        .bind(name)
        .fetch_one(conn)
        .await
}

impl<P, M> TableRebuild<'_, M>
where
    P: Projection,
    M: Fn() -> P + Clone + Send + 'static,
{
    async fn run(&mut self, conn: &mut PgConnection) -> Result<(Rebuilt, Option<Switch>), RebuildError> {
        let own = self.database.schema().clone();
        if !self.permitted(checkpoint::definition_of(&own, conn, &self.name).await?)? {
            return Ok((Rebuilt::NothingThere, None));
        }
        self.prepare(&own, conn).await?;
        let mut folding = self.into.connect().await?;
        let mut first = self.worker(Class::partition(0, self.options.workers).map_err(RegisterError::from)?);
        first.register(&mut folding).await?;
        checkpoint::copy_dropped(&own, conn, &self.name, &name_of(&self.name)).await?;
        if !self.fold().await? {
            return Ok((Rebuilt::Stopped, None));
        }
        // One class from here on: all of it is switched over at one fence.
        let mut worker = self.worker(Class::partition(0, 1).map_err(RegisterError::from)?).reading_ahead(&self.into);
        worker.register(&mut folding).await?;
        let outcome = self.switch_over(&own, &mut folding, &mut worker).await;
        self.applied += worker.progress().applied();
        outcome
    }

    /// Whether there is a projection to rebuild, given its definition; an error if it is another one and may not be.
    fn permitted(&self, stored: Option<String>) -> Result<bool, RegisterError> {
        let Some(stored) = stored else { return Ok(false) };
        if stored == self.definition || self.options.new_definition {
            return Ok(true);
        }
        let (projection, given) = (self.name.clone(), self.definition.clone());
        Err(RegisterError::OtherDefinition { projection, stored, given })
    }

    /// Begins anew where an earlier rebuild is not complete and can't be gone on with: it had another definition than
    /// this one, it has made other tables, or something of it is gone.
    async fn prepare(&self, own: &Schema, conn: &mut PgConnection) -> Result<(), RebuildError> {
        let (rebuild, comment) = (name_of(&self.name), comment_of(&self.name));
        let there = self.shadow.is_there(conn, &comment).await?;
        let earlier = checkpoint::definition_of(own, conn, &rebuild).await?;
        if !there && earlier.is_none() {
            return Ok(());
        }
        let goes_on = there
            && earlier.as_ref() == Some(&self.definition)
            && checkpoint::is_whole(own, conn, &rebuild).await?
            && self.makes_the_same(conn).await?;
        if goes_on {
            return Ok(());
        }
        let mut tx = conn.begin().await?;
        checkpoint::start_over(own, &mut tx, &rebuild).await?;
        if there {
            self.shadow.drop(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Whether the projection makes the tables that are in the shadow: what `create` does is no part of a definition.
    async fn makes_the_same(&self, conn: &mut PgConnection) -> Result<bool, RebuildError> {
        let mut tx = conn.begin().await?;
        let trial = format!("evenfold_trial_{}", Uuid::new_v4().simple());
        let trial = Shadow { quoted: trial, ..self.shadow.clone() };
        let outcome = async {
            trial.make(&mut tx).await?;
            trial.enter(&mut tx).await?;
            let names = trial.fill(&mut tx, &mut (self.make)()).await?;
            let made = shape(&mut tx, &trial.quoted, &trial.path, &names).await?;
            let names = self.shadow.tables(&mut tx).await?;
            Ok::<_, ShadowError>(made == shape(&mut tx, &self.shadow.quoted, &self.shadow.path, &names).await?)
        };
        let outcome = outcome.await;
        tx.rollback().await?;
        Ok(outcome?)
    }

    fn worker(&self, class: Class) -> Worker<Rebuilding<P>> {
        let (own, shadow) = (self.database.schema().clone(), self.shadow.clone());
        let options =
            WorkerOptions { batch_size: self.options.batch_size, topology: Takeover::Now, ..WorkerOptions::default() };
        let rebuilding = Rebuilding::new((self.make)(), own.clone(), shadow);
        Worker::new(class, rebuilding, options).in_schema(own)
    }

    /// Folds by as many workers as are wanted, until they have caught up; false if it is to stop.
    async fn fold(&mut self) -> Result<bool, RebuildError> {
        let stop = self.shutdown.child_token();
        let workers = self.options.workers;
        let classes: Vec<Class> = (0..workers)
            .map(|key| Class::partition(key, workers))
            .collect::<Result<_, _>>()
            .map_err(RegisterError::from)?;
        let (make, own, shadow) = (self.make.clone(), self.database.schema().clone(), self.shadow.clone());
        let options =
            WorkerOptions { batch_size: self.options.batch_size, topology: Takeover::Now, ..WorkerOptions::default() };
        let make =
            move |class| Worker::new(class, Rebuilding::new(make(), own.clone(), shadow.clone()), options.clone());
        let run = RunOptions::default().until_caught_up(true);
        let mut pool = Pool::start(&self.into, &classes, make, &run, &stop).map_err(pool_error)?;
        let progress: Vec<Arc<Progress>> = pool.members().iter().map(|member| Arc::clone(&member.progress)).collect();
        let sum = || progress.iter().map(|one| one.applied()).sum::<u64>();
        let (mut failed, before) = (None, self.applied);
        loop {
            (self.watch)(before + sum());
            let Ok(ended) = tokio::time::timeout(TICK, pool.ended()).await else { continue };
            let Some((_, ended)) = ended else { break };
            if let Err(error) = ended {
                failed.get_or_insert(error);
                stop.cancel();
            }
        }
        self.applied += sum();
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(!self.shutdown.is_cancelled()),
        }
    }

    /// Catches up, and switches over: as often as it takes.
    async fn switch_over(
        &mut self,
        own: &Schema,
        folding: &mut PgConnection,
        worker: &mut Worker<Rebuilding<P>>,
    ) -> Result<(Rebuilt, Option<Switch>), RebuildError> {
        let mut locked_out = 0;
        loop {
            if !self.catch_up(folding, worker).await? {
                worker.finish(folding).await?;
                return Ok((Rebuilt::Stopped, None));
            }
            match self.attempt(own, folding, worker).await {
                Err(RebuildError::Run(RunError::Worker(WorkerError::Database(error)))) if is_locked_out(&error) => {
                    locked_out += 1;
                    if locked_out == 10 {
                        let projection = &self.name;
                        tracing::warn!(projection, %error, "a table in use is locked by others: switching over is tried again");
                    }
                    worker.forget();
                    let _ = self.shutdown.run_until_cancelled(tokio::time::sleep(back_off(locked_out.min(4)))).await;
                }
                done => return done,
            }
        }
    }

    /// Locks what is in use, catches up for the last time, and switches over, in one transaction.
    async fn attempt(
        &mut self,
        own: &Schema,
        folding: &mut PgConnection,
        worker: &mut Worker<Rebuilding<P>>,
    ) -> Result<(Rebuilt, Option<Switch>), RebuildError> {
        let mut conn = self.database.connect().await?;
        let mut tx = conn.begin().await?;
        let outcome = async {
            if !self.permitted(checkpoint::lock_all(own, &mut tx, &self.name).await?)? {
                return Ok((Rebuilt::NothingThere, None));
            }
            // Once more, on the other connection, now that nobody applies anything: the fence of this window shows at
            // least what any checkpoint in use has applied, so that nothing in use is undone.
            if !self.catch_up(folding, worker).await? {
                return Ok((Rebuilt::Stopped, None));
            }
            worker.finish(folding).await?;
            sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *tx).await?;
            let switched = switch(&mut tx, &self.shadow, self.options.keep_old).await?;
            checkpoint::take_place_of(own, &mut tx, &self.name, &name_of(&self.name), &self.definition).await?;
            Ok::<_, RebuildError>((Rebuilt::Switched, Some(switched)))
        };
        let outcome = outcome.await;
        // A transaction that is merely dropped keeps its locks until the connection is used again.
        if matches!(outcome, Ok((Rebuilt::Switched, _))) {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        outcome
    }

    /// Catches up; false if it is to stop.
    async fn catch_up(
        &self,
        folding: &mut PgConnection,
        worker: &mut Worker<Rebuilding<P>>,
    ) -> Result<bool, WorkerError> {
        let watch = |worker: &Worker<_>| (self.watch)(self.applied + worker.progress().applied());
        catch_up(worker, folding, self.shutdown, watch).await
    }
}

fn pool_error(error: PoolError) -> RebuildError {
    RebuildError::Run(RunError::Worker(WorkerError::Database(sqlx::Error::Configuration(Box::new(error)))))
}
