//! What all pages are sent: each counting once, made once for all of them.

use crate::history::History;
use crate::reading::Reading;
use crate::troubles::{NeedsSomebody, troubles};
use axum::body::Bytes;
use evenfold::checkpoint::{Operation, operations};
use evenfold::database::Database;
use evenfold_http::inflight::InFlight;
use serde::Serialize;
use sqlx::PgConnection;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// So many operations are shown.
const OPERATIONS: i64 = 20;

/// How long reading them may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where no page is open, what operators did is read this seldom.
const UNWATCHED: Duration = Duration::from_secs(10);

/// What is sent with each counting.
pub(super) struct PageContents {
    /// What was counted before.
    pub(super) history: Mutex<History>,
    /// Whether there is a token; without one nothing is changed.
    pub(super) token: bool,
    /// The projections that this program has the code of.
    pub(super) projections: Vec<String>,
}

/// What publishing needs.
pub(super) struct Publisher {
    pub(super) database: Database,
    pub(super) shown: Arc<PageContents>,
    /// Something was done, and is to be shown.
    pub(super) operated: Arc<Notify>,
    pub(super) watchers: Arc<InFlight>,
}

/// What is sent of one counting. It is made when somebody asks for it, since mostly nobody does.
#[derive(Debug)]
pub(super) struct Published {
    reading: Arc<Reading>,
    unreachable_since: Option<f64>,
    operations: Arc<[Operation]>,
    /// All but the age, which is another one each time it is sent.
    rest: OnceLock<Bytes>,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    reading: &'a Reading,
    troubles: &'a [NeedsSomebody],
    operations: &'a [Operation],
    operator: Able<'a>,
}

/// What can be done from a page.
#[derive(Serialize)]
struct Able<'a> {
    /// Whether there is a token; without one nothing is changed.
    token: bool,
    /// The projections that this program has the code of.
    projections: &'a [String],
}

impl Published {
    pub(super) fn new(reading: Arc<Reading>, unreachable_since: Option<f64>, operations: Arc<[Operation]>) -> Self {
        Self { reading, unreachable_since, operations, rest: OnceLock::new() }
    }

    /// All of it, in JSON, with its age now.
    pub(super) fn json(&self, shown: &PageContents) -> Vec<u8> {
        let rest = self.rest.get_or_init(|| self.rest(shown));
        let age = self.reading.age().as_secs_f64();
        let mut out = format!("{{\"age_seconds\":{age:.3},").into_bytes();
        out.extend_from_slice(rest.get(1..).unwrap_or_default());
        out
    }

    fn rest(&self, shown: &PageContents) -> Bytes {
        let (reading, operations) = (&self.reading, &self.operations);
        let troubles = {
            let history = shown.history.lock().unwrap_or_else(PoisonError::into_inner);
            troubles(reading, self.unreachable_since, &history)
        };
        let operator = Able { token: shown.token, projections: &shown.projections };
        let whole = Whole { reading, troubles: &troubles, operations, operator };
        // Of texts and finite numbers: nothing in it can fail to be written.
        serde_json::to_vec(&whole).unwrap_or_else(|_| b"{}".to_vec()).into()
    }
}

/// Publishes each counting, and what operators do as soon as it is done, for as long as there is somebody who counts.
pub(super) async fn publish(
    publisher: Publisher,
    mut readings: watch::Receiver<Arc<Reading>>,
    states: watch::Sender<Arc<Published>>,
) {
    let mut record = Record { database: publisher.database, conn: None, latest: Arc::new([]), read_at: None };
    let mut unreachable_since = None;
    loop {
        let reading = Arc::clone(&readings.borrow_and_update());
        unreachable_since = reading.error.as_ref().map(|_| unreachable_since.unwrap_or(reading.counted_at));
        let watched = publisher.watchers.taken() > 0 || record.read_at.is_none_or(|at| at.elapsed() > UNWATCHED);
        if reading.error.is_none() && watched {
            record.read().await;
        }
        publisher.shown.history.lock().unwrap_or_else(PoisonError::into_inner).note(&reading);
        states.send_replace(Arc::new(Published::new(reading, unreachable_since, Arc::clone(&record.latest))));
        tokio::select! {
            changed = readings.changed() => if changed.is_err() { return },
            () = publisher.operated.notified() => {}
        }
    }
}

/// What operators did, as it was read last.
struct Record {
    database: Database,
    conn: Option<PgConnection>,
    latest: Arc<[Operation]>,
    read_at: Option<Instant>,
}

impl Record {
    /// Reads it again. Where that fails it stays as it was read last: nothing in it can become wrong.
    async fn read(&mut self) {
        let database = self.database.clone();
        let conn = self.conn.take();
        let read = async move {
            let mut conn = match conn {
                Some(conn) => conn,
                None => database.connect().await.map_err(|error| error.to_string())?,
            };
            let latest = operations(database.schema(), &mut conn, OPERATIONS).await;
            latest.map(|latest| (latest, conn)).map_err(|error| evenfold::database::describe(&error))
        };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok((latest, conn))) => {
                (self.latest, self.conn, self.read_at) = (latest.into(), Some(conn), Some(Instant::now()));
            }
            Ok(Err(error)) => tracing::debug!("what operators did could not be read: {error}"),
            Err(_) => tracing::debug!("what operators did could not be read in {PATIENCE:?}"),
        }
    }
}
