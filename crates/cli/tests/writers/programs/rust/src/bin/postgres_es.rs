//! Appends events by postgres-es: `prepare URL` makes its table, appends some events and gives each a position;
//! `write URL` appends until the standard input ends. Both print what was acknowledged.

use async_trait::async_trait;
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, AggregateError, DomainEvent, EventEnvelope, Query};
use postgres_es::{PostgresCqrs, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::convert::Infallible;
use std::sync::Arc;
use writers::{Failed, acknowledge, arguments, make_slow, write};

const ACCOUNTS: u64 = 40;

/// As `db/init.sql` of its repository has it.
const TABLE: &str = "
CREATE TABLE events
(
    aggregate_type text                         NOT NULL,
    aggregate_id   text                         NOT NULL,
    sequence       bigint CHECK (sequence >= 0) NOT NULL,
    event_type     text                         NOT NULL,
    event_version  text                         NOT NULL,
    payload        json                         NOT NULL,
    metadata       json                         NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
)";

/// What leaves room in the table, before the rows that come next.
const ROLLED_BACK: &str = "
BEGIN;
INSERT INTO events SELECT 'account', n::text, 1, 'Paid', '1.0', '{}', '{}' FROM generate_series(1, 1000) n;
ROLLBACK";

/// `docs/sources.md` has the same.
const POSITIONS: &str = include_str!("../positions.sql");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Paid {
    cents: i64,
}

impl DomainEvent for Paid {
    fn event_type(&self) -> String {
        "Paid".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Account {
    cents: i64,
}

/// So many payments.
struct Pay(usize);

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Pay;
    type Event = Paid;
    type Error = Infallible;
    type Services = ();

    async fn handle(&mut self, command: Pay, (): &(), sink: &EventSink<Self>) -> Result<(), Infallible> {
        for _ in 0..command.0 {
            sink.write(Paid { cents: fastrand::i64(0..100) }, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Paid) {
        self.cents += event.cents;
    }
}

/// The library calls it with what was committed.
struct Acknowledge;

#[async_trait]
impl Query<Account> for Acknowledge {
    async fn dispatch(&self, aggregate_id: &str, events: &[EventEnvelope<Account>]) {
        for event in events {
            acknowledge(aggregate_id, i64::try_from(event.sequence).expect("it is a bigint in the table"));
        }
    }
}

type Bank = Arc<PostgresCqrs<Account>>;

async fn append(bank: &Bank, account: u64, payments: usize) -> Result<(), Failed> {
    match bank.execute(&account.to_string(), Pay(payments)).await {
        Ok(()) | Err(AggregateError::AggregateConflict) => Ok(()),
        Err(error) if error.to_string().contains("rolled back") => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn prepare(pool: &PgPool, bank: &Bank) -> Result<(), Failed> {
    for sql in [TABLE, ROLLED_BACK] {
        sqlx::raw_sql(sql).execute(pool).await?;
    }
    for account in 0..ACCOUNTS {
        append(bank, account, 1).await?;
    }
    // The second events of all accounts take the room before the first ones.
    sqlx::raw_sql("VACUUM events").execute(pool).await?;
    for account in 0..ACCOUNTS {
        append(bank, account, 2).await?;
    }
    sqlx::raw_sql(POSITIONS).execute(pool).await?;
    make_slow(pool, "events", "NEW.sequence % 3 = 0").await
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let (command, pool) = arguments().await?;
    let bank = Arc::new(postgres_cqrs(pool.clone(), vec![Box::new(Acknowledge)], ()));
    if command == "prepare" {
        return prepare(&pool, &bank).await;
    }
    write(4, move || {
        let bank = bank.clone();
        async move { append(&bank, fastrand::u64(..ACCOUNTS), fastrand::usize(1..4)).await }
    })
    .await
}
