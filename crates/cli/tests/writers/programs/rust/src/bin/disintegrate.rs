//! Appends events by disintegrate: `prepare URL` makes its tables; `write URL` appends until the standard input ends,
//! and prints what was acknowledged.

use disintegrate::serde::json::Json;
use disintegrate::{Decision, DecisionError, Event, EventStore, NoSnapshot, StateMutate, StateQuery};
use disintegrate_postgres::{Error, PgDecisionMaker, PgEventStore};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgDatabaseError;
use std::convert::Infallible;
use writers::{Failed, acknowledge, arguments, chance, make_slow, write};

const ACCOUNTS: u64 = 200;

#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[stream(AccountEvent, [Paid])]
enum DomainEvent {
    Paid {
        #[id]
        account_id: String,
        #[id]
        shop_id: i64,
        cents: i64,
    },
    Visited {
        #[id]
        account_id: String,
    },
}

#[derive(Default, Clone, StateQuery, Serialize, Deserialize)]
#[state_query(AccountEvent)]
struct Account {
    #[id]
    account_id: String,
    cents: i64,
}

impl StateMutate for Account {
    fn mutate(&mut self, event: Self::Event) {
        let AccountEvent::Paid { cents, .. } = event;
        self.cents += cents;
    }
}

/// Pays several times from an account, which is appended if nobody else has paid from it since its events were read.
struct Pay {
    account_id: String,
}

impl Decision for Pay {
    type Event = DomainEvent;
    type StateQuery = Account;
    type Error = Infallible;

    fn state_query(&self) -> Account {
        Account { account_id: self.account_id.clone(), cents: 0 }
    }

    fn process(&self, _: &Account) -> Result<Vec<DomainEvent>, Infallible> {
        let paid = || DomainEvent::Paid {
            account_id: self.account_id.clone(),
            shop_id: fastrand::i64(0..10),
            cents: fastrand::i64(0..100),
        };
        Ok((0..fastrand::usize(1..4)).map(|_| paid()).collect())
    }
}

type Store = PgEventStore<DomainEvent, Json<DomainEvent>>;
type Maker = PgDecisionMaker<DomainEvent, Json<DomainEvent>, NoSnapshot>;

async fn append(store: &Store, maker: &Maker) -> Result<(), Failed> {
    let appended = if chance(0.3) {
        // Without validation there is no order between the events of an account: each is of one of its own.
        let account_id = format!("{:032x}", fastrand::u128(..));
        store.append_without_validation(vec![DomainEvent::Visited { account_id }]).await.map_err(Failed::from)
    } else {
        let account_id = format!("{:032x}", fastrand::u64(..ACCOUNTS));
        maker.make(Pay { account_id }).await.map_err(|error| match error {
            DecisionError::EventStore(error) | DecisionError::StateStore(error) => error,
            DecisionError::Domain(error) => match error {},
        })
    };
    match appended {
        Ok(events) => {
            for event in events {
                let (DomainEvent::Paid { account_id, .. } | DomainEvent::Visited { account_id }) = &*event;
                acknowledge(account_id, event.id());
            }
            Ok(())
        }
        Err(error) if error.downcast_ref().is_some_and(is_rolled_back) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether somebody else has appended to the same account, or the trigger has rolled back.
fn is_rolled_back(error: &Error) -> bool {
    match error {
        Error::Concurrency => true,
        Error::Database(sqlx::Error::Database(error)) => {
            let error = error.downcast_ref::<PgDatabaseError>();
            error.code() == "40001" || error.message() == "rolled back"
        }
        _ => false,
    }
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let (command, pool) = arguments().await?;
    if command == "prepare" {
        sqlx::raw_sql(include_str!("../disintegrate.sql")).execute(&pool).await?;
        return make_slow(&pool, "event", "NEW.event_id % 3 = 0").await;
    }
    let store = Store::new_uninitialized(pool, Json::default());
    let maker = disintegrate_postgres::decision_maker(store.clone(), NoSnapshot);
    write(4, move || {
        let (store, maker) = (store.clone(), maker.clone());
        async move { append(&store, &maker).await }
    })
    .await
}
