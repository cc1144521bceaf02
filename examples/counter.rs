//! Counters as typed actors on seven nodes: one actor per key, in memory, at whatever node owns it.
//! `cargo run --release --example counter`

use anyhow::Context;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router, http::StatusCode};
use evenfold_actors::{Actor, Actors, Cluster, Handle, JoinOptions, Message, Moves, Node, NodeId, RequestError};
use evenfold_cli::nats_server::{NatsProgram, NatsServer};
use evenfold_cluster::{Transport, local, nats::Nats};
use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const NODES: usize = 7;
const SHARDS: NonZeroU32 = NonZeroU32::new(64).unwrap();
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: i64,
}

#[derive(Serialize, Deserialize)]
struct Increment {
    amount: i64,
}

#[derive(Serialize, Deserialize)]
struct Read;

#[derive(Serialize, Deserialize)]
struct CounterResponse {
    value: i64,
}

impl Message for Increment {
    type Reply = CounterResponse;
}

impl Message for Read {
    type Reply = CounterResponse;
}

impl Actor for Counter {
    type Messages = (Increment, Read);
    type Handover = Moves;

    fn merge(&mut self, other: Self) {
        self.value = self.value.saturating_add(other.value);
    }
}

impl Handle<Increment> for Counter {
    async fn handle(&mut self, increment: Increment) -> CounterResponse {
        self.value = self.value.saturating_add(increment.amount);
        self.handle(Read).await
    }
}

impl Handle<Read> for Counter {
    async fn handle(&mut self, _: Read) -> CounterResponse {
        CounterResponse { value: self.value }
    }
}

/// Requests enter at any of the nodes.
type Entrances = Arc<[Actors<Counter>]>;

fn any(at: &Entrances) -> &Actors<Counter> {
    &at[fastrand::usize(..at.len())]
}

type Answer = Result<Json<CounterResponse>, (StatusCode, String)>;

fn answer(reply: Result<CounterResponse, RequestError>) -> Answer {
    reply.map(Json).map_err(|error| match error {
        RequestError::Key(_) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
        _ => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    })
}

async fn increment(State(at): State<Entrances>, Path(id): Path<String>, body: String) -> Answer {
    let increment = if body.is_empty() { Ok(Increment { amount: 1 }) } else { serde_json::from_str(&body) };
    let increment = increment.map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    answer(any(&at).request(&id, increment, LIMIT).await)
}

async fn read(State(at): State<Entrances>, Path(id): Path<String>) -> Answer {
    answer(any(&at).request(&id, Read, LIMIT).await)
}

/// Nodes that serve until they are to stop, and then leave: requests on one socket, figures on the other.
pub(crate) async fn serve(
    transports: Vec<Arc<dyn Transport>>,
    http: TcpListener,
    prometheus: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let join = async |(number, transport)| -> anyhow::Result<(Node, Actors<Counter>)> {
        let options = JoinOptions::new(transport, NodeId::new(&format!("node-{number}"))?).shards(SHARDS);
        let node = Cluster::join(options).await?;
        let counters = node.actors("counter", |_| Counter::default()).await?;
        Ok((node, counters))
    };
    let joined = try_join_all(transports.into_iter().enumerate().map(join)).await?.into_iter();
    let (nodes, counters): (Vec<_>, Vec<_>) = joined.unzip();
    let routes = Router::new().route("/counter/{id}", get(read)).route("/counter/{id}/increment", post(increment));
    let figures = nodes.clone();
    let metrics = get(async move || evenfold_actors::figures(&figures).unwrap_or_default());
    tokio::select! {
        ended = axum::serve(http, routes.with_state(counters.into())) => ended?,
        ended = axum::serve(prometheus, Router::new().route("/metrics", metrics)) => ended?,
        () = stop => {}
    }
    join_all(nodes.iter().map(Node::leave)).await;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listen = async |port| TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("port {port}"));
    let (http, prometheus) = (listen(8181).await?, listen(2121).await?);
    let mut transports: Vec<Arc<dyn Transport>> = Vec::new();
    let nats = match NatsProgram::default().find() {
        Ok(program) => Some(NatsServer::start(&program).await?),
        Err(missing) => {
            println!("Within this process, without NATS: {missing:#}.");
            None
        }
    };
    let network = local::Network::new();
    for _ in 0..NODES {
        transports.push(match &nats {
            Some(server) => Arc::new(Nats::connect(&server.url, NodeId::new("counters")?).await?),
            None => Arc::new(network.endpoint()),
        });
    }
    let how = if nats.is_some() { "over a NATS server of their own" } else { "in one process" };
    println!(
        "{NODES} nodes {how} share {SHARDS} shards until Ctrl-C. In another terminal:\n  \
         curl -X POST localhost:8181/counter/my-counter/increment\n  \
         curl localhost:8181/counter/my-counter\n  curl localhost:2121/metrics"
    );
    serve(transports, http, prometheus, async { drop(tokio::signal::ctrl_c().await) }).await
}
