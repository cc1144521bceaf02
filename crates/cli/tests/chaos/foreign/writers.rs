//! Writers of a log of another library's shape, which append as its documentation has it: the next version of an
//! aggregate is read, and refused by a unique index where somebody else was first. They go on through every crash, and
//! know which of their events were acknowledged.

use crate::writers::Written;
use evenfold::database::Database;
use fastrand::Rng;
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Of the aggregate that the parameter names, the next version: read before the position is drawn, so that of two
/// events of an aggregate the later one has the higher position.
const APPEND: &str =
    "INSERT INTO public.events (bounded_context, aggregate_type, aggregate_id, aggregate_version, event_id,
                                          event_type, payload)
    VALUES ('shop', 'account', $1, $2, $3, 'added', convert_to(format('{\"amount\": %s}', $4::bigint), 'UTF8'))";

/// How a transaction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    /// In two phases.
    Prepare,
    Rollback,
}

struct NewEvent {
    id: Uuid,
    aggregate: String,
    amount: i64,
    /// Appended once before, in a savepoint that is rolled back: its first position is nobody's.
    twice: bool,
}

/// A transaction, to be tried until it is known whether its events are in the log.
struct Transaction {
    events: Vec<NewEvent>,
    open: Duration,
    end: End,
}

pub async fn write(database: Database, index: u64, mut random: Rng, stop: CancellationToken) -> Written {
    let (mut written, mut conn) = (Written::default(), None);
    while !stop.is_cancelled() {
        let transaction = Transaction::some(&mut random, index);
        loop {
            match transaction.attempt(&database, &mut conn).await {
                Ok(()) if transaction.end == End::Rollback => written.rolled_back += 1,
                Ok(()) => written.acknowledged.extend(transaction.ids()),
                // Nothing of it is there: somebody else has appended that version, or waits for the same two.
                Err(Some(sqlx::Error::Database(error))) if is_conflict(error.code().as_deref()) => {
                    written.rolled_back += 1;
                    continue;
                }
                Err(error) => {
                    if let Some(sqlx::Error::Database(error)) = error {
                        // Of a server that ends, or starts.
                        assert!(error.code().is_some_and(|code| code.starts_with("57P")), "{error}");
                    }
                    written.failures += 1;
                    if transaction.end != End::Rollback {
                        if !transaction.is_there(&database).await {
                            continue;
                        }
                        written.found += 1;
                        written.acknowledged.extend(transaction.ids());
                    }
                }
            }
            break;
        }
        let pause = Duration::from_millis(random.u64(0..30));
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    written
}

/// A version that is there, a deadlock.
fn is_conflict(code: Option<&str>) -> bool {
    matches!(code, Some("23505" | "40P01"))
}

impl Transaction {
    fn some(random: &mut Rng, index: u64) -> Self {
        let aggregate = |random: &mut Rng| match random.u8(0..4) {
            0 => format!("shared-{}", random.u8(0..20)),
            _ => format!("own-{index}-{}", random.u16(0..100)),
        };
        let events = (0..random.usize(1..6)).map(|_| NewEvent {
            id: Uuid::from_u128(random.u128(..)),
            aggregate: aggregate(random),
            amount: random.i64(-100..100),
            twice: random.u8(0..5) == 0,
        });
        let events = events.collect();
        // Now and then so long that many others commit meanwhile, and servers are killed.
        let open = if random.u8(0..20) == 0 { random.u64(200..2_000) } else { random.u64(0..20) };
        let end = match random.u8(0..10) {
            0 => End::Rollback,
            1 => End::Prepare,
            _ => End::Commit,
        };
        Self { events, open: Duration::from_millis(open), end }
    }

    fn ids(&self) -> Vec<Uuid> {
        self.events.iter().map(|event| event.id).collect()
    }

    /// What it is called once it is prepared.
    fn name(&self) -> String {
        self.events[0].id.to_string()
    }

    /// An error is none of the database's where there was no connection.
    async fn attempt(&self, database: &Database, kept: &mut Option<PgConnection>) -> Result<(), Option<sqlx::Error>> {
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => database.connect_to_server().await.map_err(|_| None)?.0,
        };
        let done = self.run(&mut conn).await;
        let refused =
            |error: &sqlx::Error| error.as_database_error().is_some_and(|error| is_conflict(error.code().as_deref()));
        if done.as_ref().is_err_and(refused) {
            run(&mut conn, "ROLLBACK").await?;
            *kept = Some(conn);
        } else if done.is_ok() {
            *kept = Some(conn);
        }
        Ok(done?)
    }

    async fn run(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        run(conn, "BEGIN").await?;
        for event in &self.events {
            if event.twice {
                run(conn, "SAVEPOINT before").await?;
                event.append(conn).await?;
                run(conn, "ROLLBACK TO before").await?;
            }
            event.append(conn).await?;
        }
        tokio::time::sleep(self.open).await;
        match self.end {
            End::Commit => run(conn, "COMMIT").await,
            End::Rollback => run(conn, "ROLLBACK").await,
            End::Prepare => {
                run(conn, &format!("PREPARE TRANSACTION '{}'", self.name())).await?;
                tokio::time::sleep(self.open).await;
                run(conn, &format!("COMMIT PREPARED '{}'", self.name())).await
            }
        }
    }

    /// Whether its events are in the log, after a crash, or an error that leaves it open. What was prepared by
    /// then is committed.
    async fn is_there(&self, database: &Database) -> bool {
        loop {
            if let Ok((mut conn, _)) = database.connect_to_server().await
                && let Ok(known) = self.look(&mut conn).await
            {
                return known;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn look(&self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let prepared = "SELECT count(*) FROM pg_prepared_xacts WHERE gid = $1";
        if sqlx::query_scalar::<_, i64>(prepared).bind(self.name()).fetch_one(&mut *conn).await? > 0 {
            run(conn, &format!("COMMIT PREPARED '{}'", self.name())).await?;
        }
        let there: i64 = sqlx::query_scalar("SELECT count(*) FROM public.events WHERE event_id = ANY ($1)")
            .bind(self.ids())
            .fetch_one(conn)
            .await?;
        assert!(there == 0 || there == i64::try_from(self.events.len()).unwrap(), "half a transaction is in the log");
        Ok(there > 0)
    }
}

impl NewEvent {
    async fn append(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let next = "SELECT coalesce(max(aggregate_version), 0) + 1 FROM public.events
                    WHERE bounded_context = 'shop' AND aggregate_type = 'account' AND aggregate_id = $1";
        let next: i64 = sqlx::query_scalar(next).bind(&self.aggregate).fetch_one(&mut *conn).await?;
        let append = sqlx::query(APPEND).bind(&self.aggregate).bind(next).bind(self.id).bind(self.amount);
        append.execute(conn).await.map(drop)
    }
}

async fn run(conn: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.map(drop)
}
