//! Counters that are incremented, and whether each increment that was answered is in them.

use crate::client::{Connection, Seen, Sender, Until, load};
use anyhow::{Context, ensure};
use evenfold_cli::bench::arena::Arena;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) struct Counters {
    keys: u32,
}

#[derive(Deserialize)]
struct Counter {
    value: i64,
}

impl Counters {
    pub(super) fn new(keys: u32) -> Self {
        Self { keys }
    }

    /// Increments them at random. Before that each is incremented once, for what is only done once: reading a counter
    /// from the database, for one.
    pub(super) async fn load(&self, address: SocketAddr, connections: usize, until: Until) -> anyhow::Result<Seen> {
        let request = |key| {
            format!("POST /counter/key-{key}/increment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                .into_bytes()
        };
        let requests: Arc<[Vec<u8>]> = (0..self.keys).map(request).collect();
        let senders: Vec<Sender> = Sender::several(&requests, connections).collect();
        load(address, senders, until).await
    }

    /// Fails unless their values are as many as there were answers.
    pub(super) async fn check(&self, address: SocketAddr, answers: u64) -> anyhow::Result<()> {
        let mut connection = Connection::open(address).await?;
        let mut sum = 0;
        for key in 0..self.keys {
            let request = format!("GET /counter/key-{key} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let body = connection.ask(request.as_bytes()).await?;
            sum += serde_json::from_slice::<Counter>(body).context("no counter was answered")?.value;
        }
        ensure!(
            i64::try_from(answers) == Ok(sum),
            "{answers} increments were answered, and the values are {sum} together"
        );
        Ok(())
    }
}

/// Fails unless the log has as many increments as were answered.
pub(super) async fn check_log(arena: &Arena, answers: u64) -> anyhow::Result<()> {
    let logged: i64 = sqlx::query_scalar(
        arena
            .database
            .schema()
            .sql("SELECT coalesce(sum((payload ->> 'amount')::bigint), 0)::bigint FROM evenfold.events"),
    )
    .fetch_one(&mut arena.database.connect().await?)
    .await?;
    ensure!(i64::try_from(answers) == Ok(logged), "{answers} increments were answered, and {logged} are in the log");
    Ok(())
}
