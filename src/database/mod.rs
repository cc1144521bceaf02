//! Connections to PostgreSQL: each is set up and checked before anything is done on it, and what is wrong is a
//! sentence.
//!
//! Everybody connects through [`Database::connect`]. A connection that is made anew may lead to another server than the
//! one before it: to a standby, to a cluster that was restored from a dump, through a pooler. So each is checked, in
//! the round trip that sets it up, and not only the first.

mod check;
mod connect;
mod error;
mod limits;
mod listener;
mod message;
mod migrations;
mod schema;
mod session;
mod unfit;
mod url;

pub(crate) use check::{Identity, identity};
pub use check::{Server, check};
pub use error::ConnectError;
pub(crate) use limits::MOVING;
pub(crate) use listener::Listener;
pub use message::describe;
pub(crate) use message::describe_any;
pub use migrations::migrator;
pub(crate) use migrations::{FUNCTIONS, migrations};
pub use schema::{InvalidSchema, Schema};
pub use unfit::SchemaError;

use session::Settings;
#[doc(hidden)]
pub use session::literal;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The first pause after a failure; doubled with each further one up to the second, and shortened by up to half at
/// random, so that processes that failed together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where the database is, and what its connections are set to.
#[derive(Debug, Clone)]
pub struct Database {
    /// To be tried one after the other. Never empty.
    hosts: Vec<PgConnectOptions>,
    settings: Settings,
    schema: Schema,
    /// The only server that will do, where what was read from it is to be put together with more of it.
    only: Option<Identity>,
    /// Whether its servers must be standbys instead of primaries.
    standby: bool,
    /// Whether it is known that no pooler changes sessions between transactions.
    own_session: Arc<AtomicBool>,
}

impl Database {
    /// The database at a URL such as `postgres://user:password@host:5432/database`. Several hosts (`h1,h2:5433`) are
    /// tried in their order, until one is a primary.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Url`].
    pub fn at(url: &str) -> Result<Self, ConnectError> {
        let url::Parsed { hosts, settings } = url::parse(url)?;
        let hosts = hosts.into_iter().map(|host| host.application_name("evenfold").disable_statement_logging());
        Ok(Self {
            hosts: hosts.collect(),
            settings: Settings::of(settings),
            schema: Schema::default(),
            only: None,
            standby: false,
            own_session: Arc::default(),
        })
    }

    /// The same database, with connections that say in `pg_stat_activity` what they are for.
    #[must_use]
    pub fn named(&self, application_name: &str) -> Self {
        let hosts = self.hosts.iter().map(|host| host.clone().application_name(application_name)).collect();
        Self { hosts, ..self.clone() }
    }

    /// The same database, with connections for statements that must go by an index whatever the statistics of the
    /// moment say. A log that was imported in one transaction looks as if every event had the same transaction id; one
    /// that was not analyzed yet looks as if sorting all that is left were cheaper than walking the index for a batch.
    /// What is joined to the arrays of a batch is looked up, row by row, not scanned. The rows of one partition are in
    /// the table's order, which the planner of an index by partition can't know: pages cost nothing, so that the fewest
    /// rows decide. No statement is planned again for its parameters, which is more work than looking for a few new
    /// events. Compiling plans pays off for long queries only.
    #[must_use]
    pub fn by_index(&self) -> Self {
        let off = ["enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit"];
        let choice = [("seq_page_cost", "0"), ("random_page_cost", "0"), ("plan_cache_mode", "force_generic_plan")];
        let all = off.into_iter().map(|setting| (setting, "off")).chain(choice);
        self.with(all.map(|(setting, value)| (setting, value.to_owned())))
    }

    /// The same database, with connections whose commits do not wait until they are on disk, unless the URL sets
    /// `synchronous_commit`. For what is lost together with the checkpoint that says that it was done, and so is done
    /// again: a server that crashes keeps the commits up to one of them, in their order, and none of a later one.
    #[must_use]
    pub(crate) fn committing_asynchronously(&self) -> Self {
        Self { settings: self.settings.clone().with_default("synchronous_commit", "off"), ..self.clone() }
    }

    /// The same database, with another schema for everything of evenfold's than `evenfold`. The `search_path` of its
    /// connections is what the role, the database or the URL say: a projection of the user's own finds its tables by
    /// it.
    #[must_use]
    pub fn in_schema(&self, schema: Schema) -> Self {
        Self { schema, ..self.clone() }
    }

    /// The same database, with connections that find names without a schema by this `search_path`.
    #[doc(hidden)]
    #[must_use]
    pub fn searching(&self, path: &str) -> Self {
        self.with([("search_path", path.to_owned())])
    }

    /// Another database of this name, on the same servers and with the same settings.
    #[doc(hidden)]
    #[must_use]
    pub fn in_database(&self, name: &str) -> Self {
        let hosts = self.hosts.iter().map(|host| host.clone().database(name)).collect();
        // A pooler may treat it otherwise.
        Self { hosts, own_session: Arc::default(), ..self.clone() }
    }

    /// The schema that everything of evenfold's is in.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The same database, with connections whose statements fail where they would have to wait for a lock for longer.
    #[must_use]
    pub(crate) fn waiting_at_most(&self, limit: Duration) -> Self {
        Self { settings: self.settings.clone().with_lock_timeout(limit), ..self.clone() }
    }

    /// The same database, with connections to this very server only, as it has been running since.
    #[must_use]
    pub(crate) fn only(&self, identity: Identity) -> Self {
        Self { only: Some(identity), ..self.clone() }
    }

    /// The same database, with connections to hot standbys only.
    #[must_use]
    pub(crate) fn of_standby(&self) -> Self {
        Self { standby: true, ..self.clone() }
    }

    /// The server that it is pinned to by [`only`](Self::only).
    pub(crate) fn pinned(&self) -> Option<&Identity> {
        self.only.as_ref()
    }

    fn with(&self, settings: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { settings: self.settings.clone().with(settings), ..self.clone() }
    }
}

/// The pause after this many failures in a row.
#[doc(hidden)]
#[must_use]
pub fn back_off(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE);
    pause.mul_f64(1.0 - 0.5 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_failures_grow_up_to_a_limit() {
        for (failures, longest) in [(0, FIRST_PAUSE), (1, 2 * FIRST_PAUSE), (4, 16 * FIRST_PAUSE), (99, LONGEST_PAUSE)]
        {
            let pause = back_off(failures);
            assert!(longest / 2 <= pause && pause <= longest, "{failures}: {pause:?}");
        }
    }
}
