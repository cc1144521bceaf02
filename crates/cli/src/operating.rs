//! What an operator has `monitor` do: it needs the code of the projections, which this program has.

use super::registry::Configured;
use evenfold::database::Database;
use evenfold::event::Aggregate;
use evenfold::log::Source;
use evenfold::projection::parked::Retried;
use evenfold_monitor::{Operator, ParkedKey, WhatToDo};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The projections of this program, with their settings.
pub(super) struct Operating {
    database: Database,
    source: Option<Source>,
    projections: BTreeMap<String, Arc<dyn Configured>>,
}

impl Operating {
    /// Those that are given, on this database, and on the log that others write if there is one.
    pub(super) fn new(
        database: &Database,
        source: Option<Source>,
        projections: Vec<(String, Box<dyn Configured>)>,
    ) -> Self {
        let projections = projections.into_iter().map(|(name, one)| (name, Arc::from(one))).collect();
        // Before the tables have statistics, their rows are found by their indexes all the same.
        Self { database: database.named("evenfold monitor").by_index(), source, projections }
    }
}

impl Operator for Operating {
    fn projections(&self) -> Vec<String> {
        self.projections.keys().cloned().collect()
    }

    fn act(&self, what: WhatToDo, key: ParkedKey) -> BoxFuture<'static, Result<String, String>> {
        let (database, source) = (self.database.clone(), self.source.clone());
        let configured = self.projections.get(&key.projection).cloned();
        Box::pin(async move {
            let Some(configured) = configured else {
                return Err(format!("this program does not have the projection {}", key.projection));
            };
            // Not every projection's work can be moved between threads.
            let runtime = Handle::current();
            let work = move || runtime.block_on(act(&database, source, &*configured, what, key));
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("a defect; the log says more".to_owned()))
        })
    }
}

async fn act(
    database: &Database,
    source: Option<Source>,
    configured: &dyn Configured,
    what: WhatToDo,
    key: ParkedKey,
) -> Result<String, String> {
    let mut conn = database.connect().await.map_err(|error| error.to_string())?;
    let schema = database.schema();
    let source = folded(schema, &mut conn, source, &key.projection).await?;
    let mut projection = configured.parked(source);
    let aggregate = Aggregate { aggregate_type: key.aggregate_type, aggregate_id: key.aggregate_id };
    let retried = match what {
        WhatToDo::Retry => projection.retry(schema, &mut conn, &aggregate).await,
        WhatToDo::Drop => projection.drop_first(schema, &mut conn, &aggregate).await,
    };
    let retried = retried.map_err(|error| error.to_string())?;
    Ok(match (what, retried) {
        (_, Retried::NotParked) => return Err("it was not parked any more".to_owned()),
        (WhatToDo::Retry, Retried::Applied { events }) => {
            format!("applied {events} events, nothing of it is parked any more")
        }
        (WhatToDo::Drop, Retried::Applied { events }) => {
            format!("dropped the first parked event, applied {events} behind it, nothing of it is parked any more")
        }
        (WhatToDo::Retry, Retried::Parked { events, version, reason }) => {
            format!("applied {events} events, parked again at version {version}: {reason}")
        }
        (WhatToDo::Drop, Retried::Parked { events, version, reason }) => {
            format!(
                "dropped the first parked event, applied {events} behind it, parked again at version {version}: {reason}"
            )
        }
    })
}

/// The log that the projection was begun with, if others write it.
async fn folded(
    schema: &evenfold::schema::Schema,
    conn: &mut sqlx::PgConnection,
    source: Option<Source>,
    projection: &str,
) -> Result<Option<Source>, String> {
    use evenfold::checkpoint::{FoldedLog, log_of};
    match log_of(schema, conn, projection).await.map_err(|error| evenfold::database::describe(&error))? {
        None => Ok(source),
        Some(FoldedLog::Own) => Ok(None),
        Some(FoldedLog::Other(log)) => match source {
            Some(source) if source.to_string() == log => Ok(Some(source)),
            _ => Err(format!(
                "the projection folds the log {log}: start the monitor with --source and --source-url, or [source] in \
                 evenfold.toml, as its workers have them"
            )),
        },
    }
}
