//! What the examples have in common: a database, and sample events.

#![allow(dead_code, reason = "each example needs some of it")]

use evenfold::{BoxError, Database, NewEvent, append, migrate};
use evenfold_embedded::{self as embedded, Server};
use std::str::FromStr;

/// The database of `DATABASE_URL`, or one of its own.
pub(crate) struct Place {
    pub(crate) database: Database,
    own: Option<Server>,
}

impl Place {
    pub(crate) async fn open() -> Result<Self, BoxError> {
        let (url, own) = if let Some(url) = setting::<String>("DATABASE_URL")? {
            (url, None)
        } else {
            let start = || embedded::start(&embedded::Options::new(".evenfold/examples"));
            let server = tokio::task::spawn_blocking(start).await??;
            (server.url(), Some(server))
        };
        let database = Database::at(&url)?;
        migrate(database.schema(), &mut database.connect_to_server().await?.0).await?;
        Ok(Self { database, own })
    }

    /// Stops the server, unless others use it.
    pub(crate) fn close(self) -> Result<(), BoxError> {
        self.own.map(Server::stop).transpose()?;
        Ok(())
    }
}

/// What a variable says; none if it is not set.
pub(crate) fn setting<T: FromStr>(name: &str) -> Result<Option<T>, BoxError> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("{name} is {text:?}, which it can't be").into())
}

/// Appends so many events to each of so many aggregates, and gives how many that were.
pub(crate) async fn append_samples(database: &Database, aggregates: u32, events: u32) -> Result<u64, BoxError> {
    let mut conn = database.connect().await?;
    for number in 0..events {
        let event = |aggregate: u32| {
            NewEvent::new("order", format!("order-{aggregate}"), "line-added", &serde_json::json!({ "amount": number }))
        };
        let batch = (0..aggregates).map(event).collect::<Result<Vec<_>, _>>()?;
        append(&mut conn, &batch).await?;
    }
    Ok(u64::from(aggregates) * u64::from(events))
}
