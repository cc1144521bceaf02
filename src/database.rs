//! Connections to PostgreSQL, and what is wrong where there is none, in a sentence.

mod listener;

pub(crate) use listener::Listener;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The first pause after a failure; doubled with each further one up to the second, and shortened by up to half at
/// random, so that processes that failed together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A worker that was stopped in the middle of a transaction (a debugger, a frozen container) holds its row's lock no
/// longer than this; then PostgreSQL ends the transaction, and another worker can go on.
const IDLE_IN_TRANSACTION: &str = "30s";

/// Where the database is.
#[derive(Debug, Clone)]
pub struct Database {
    options: PgConnectOptions,
}

/// Why there is no connection. Each message says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is not one.
    #[error("the database URL is not of the form postgres://user:password@host:5432/database: {0}")]
    Url(String),
    /// Nobody answers.
    #[error("no PostgreSQL answers at {place}: {source}; check that it runs there and that the URL is right")]
    Unreachable {
        /// Host and port, or the socket.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody answers in time.
    #[error("PostgreSQL at {place} did not answer within {} seconds; check the network and the server's load", CONNECT_TIMEOUT.as_secs())]
    Slow {
        /// Host and port, or the socket.
        place: String,
    },
    /// The server refuses the user or the password.
    #[error(
        "PostgreSQL at {place} does not let the user {user} in: {message}; check the user and the password in the URL"
    )]
    Login {
        /// Host and port, or the socket.
        place: String,
        /// The user.
        user: String,
        /// What the server said.
        message: String,
    },
    /// The database does not exist.
    #[error("{message} at {place}; create it (`createdb`), or correct the URL")]
    NoDatabase {
        /// Host and port, or the socket.
        place: String,
        /// What the server said.
        message: String,
    },
    /// Something else.
    #[error("no connection to PostgreSQL at {place}: {message}; check the URL and the server's log")]
    Refused {
        /// Host and port, or the socket.
        place: String,
        /// What the server said.
        message: String,
    },
}

/// What went wrong, without the driver's words around it: they name lines of PostgreSQL's own source.
#[must_use]
pub fn told(error: &sqlx::Error) -> String {
    let Some(said) = error.as_database_error() else {
        return error.to_string();
    };
    match said.code().as_deref() {
        // insufficient_privilege
        Some("42501") => {
            format!("{}: grant it to the user in the database URL, or use the tables' owner", said.message())
        }
        _ => format!("the database says: {}", said.message()),
    }
}

impl Database {
    /// The database at a URL such as `postgres://user:password@host:5432/database`.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Url`].
    pub fn at(url: &str) -> Result<Self, ConnectError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(ConnectError::Url("it starts with neither postgres:// nor postgresql://".to_owned()));
        }
        let options: PgConnectOptions = url.parse().map_err(|error| ConnectError::Url(said(&error)))?;
        let options = options
            .options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION)])
            .application_name("evenfold")
            .disable_statement_logging();
        Ok(Self { options })
    }

    /// The same database, with connections that say in `pg_stat_activity` what they are for.
    #[must_use]
    pub fn named(&self, application_name: &str) -> Self {
        Self { options: self.options.clone().application_name(application_name) }
    }

    /// The same database, with connections for statements that must go by an index whatever the statistics of the
    /// moment say. A log that was imported in one transaction looks as if every event had the same transaction id; one
    /// that was not analyzed yet looks as if sorting all that is left were cheaper than walking the index for a batch.
    /// What is joined to the arrays of a batch is looked up, row by row, not scanned. The rows of one partition are in the
    /// table's order, which the planner of an index by partition can't know: pages cost nothing, so that the fewest rows
    /// decide. No statement is planned again for its parameters, which is more work than looking for a few new events.
    /// Compiling plans pays off for long queries only.
    #[must_use]
    pub fn by_index(&self) -> Self {
        let off = ["enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit"];
        let choice = [("seq_page_cost", "0"), ("random_page_cost", "0"), ("plan_cache_mode", "force_generic_plan")];
        Self { options: self.options.clone().options(off.map(|setting| (setting, "off"))).options(choice) }
    }

    /// The same database, with connections that find evenfold's tables in this schema, and make them there: the name
    /// may need no quotes.
    #[must_use]
    pub fn in_schema(&self, name: &str) -> Self {
        Self { options: self.options.clone().options([("search_path", name)]) }
    }

    /// The same database, with connections whose statements fail where they would have to wait for a lock for longer.
    #[must_use]
    pub(crate) fn waiting_at_most(&self, limit: Duration) -> Self {
        let options = self.options.clone().options([("lock_timeout", format!("{}ms", limit.as_millis()))]);
        Self { options }
    }

    /// Makes a connection.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub async fn connect(&self) -> Result<PgConnection, ConnectError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.options.connect()).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(error)) => Err(self.explain(error)),
            Err(_) => Err(ConnectError::Slow { place: self.place() }),
        }
    }

    /// Makes a connection on which the notifications of a channel are heard. It is not made again when it is lost.
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub(crate) async fn listen(&self, channel: &str) -> Result<Listener, ConnectError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Listener::connect(&self.options, channel)).await {
            Ok(listener) => listener.map_err(|error| self.explain(error)),
            Err(_) => Err(ConnectError::Slow { place: self.place() }),
        }
    }

    fn place(&self) -> String {
        match self.options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        }
    }

    fn explain(&self, source: sqlx::Error) -> ConnectError {
        let place = self.place();
        let message = said(&source);
        if let sqlx::Error::Io(source) = source {
            return ConnectError::Unreachable { place, source };
        }
        match source.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            // invalid_password, invalid_authorization_specification
            Some("28P01" | "28000") => {
                ConnectError::Login { place, user: self.options.get_username().to_owned(), message }
            }
            // invalid_catalog_name
            Some("3D000") => ConnectError::NoDatabase { place, message },
            _ => ConnectError::Refused { place, message },
        }
    }
}

/// The pause after this many failures in a row.
pub(crate) fn back_off(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE);
    pause.mul_f64(1.0 - 0.5 * fastrand::f64())
}

/// What is wrong, without what sqlx says before it.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Configuration(error) => error.downcast_ref().map_or_else(|| error.to_string(), said),
        sqlx::Error::Tls(error) => error.to_string(),
        other => other.to_string(),
    }
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
