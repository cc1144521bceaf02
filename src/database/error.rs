//! Why a connection was not made.

use super::limits::{CONNECT_TIMEOUT, LOCKED_OUT};
use super::unfit::SchemaError;

/// Why there is no connection. Each message says what to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one.
    #[error("the database URL is not of the form postgres://user:password@host:5432/database: {0}")]
    Url(String),
    /// Nobody answers.
    #[error("no PostgreSQL answers at {place}: {source}; check that it runs there and that the URL is right")]
    Unreachable {
        /// Host and port, or the socket.
        place: String,
        /// What the system reports.
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
        /// What the server reports.
        message: String,
    },
    /// The database does not exist.
    #[error("{message} at {place}; create it (`createdb`), or correct the URL")]
    NoDatabase {
        /// Host and port, or the socket.
        place: String,
        /// What the server reports.
        message: String,
    },
    /// Somebody has locked evenfold's tables.
    #[error(
        "the tables of evenfold at {place} are locked by another session for more than {} seconds; \
         pg_locks and pg_stat_activity show whose it is",
        LOCKED_OUT.as_secs()
    )]
    Locked {
        /// Host and port, or the socket.
        place: String,
    },
    /// Something else.
    #[error("no connection to PostgreSQL at {place}: {message}; check the URL and the server's log")]
    Refused {
        /// Host and port, or the socket.
        place: String,
        /// What the server reports.
        message: String,
    },
    /// The server, the session or the log is not what evenfold can work on.
    #[error("{source} (at {place})")]
    Unfit {
        /// Host and port, or the socket.
        place: String,
        /// What is wrong with it.
        source: SchemaError,
    },
    /// Another server answers than the one that was worked with so far.
    #[error(
        "another PostgreSQL server answers at {place} than before: what was read from that one is of no use here, \
         and is read again"
    )]
    OtherServer {
        /// Host and port, or the socket.
        place: String,
    },
    /// Several hosts were tried.
    #[error("none of the hosts in the database URL can be worked with: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    EachHost(Vec<ConnectError>),
}

impl ConnectError {
    /// What is wrong with the server, the session or the log, where that is why there is no connection.
    #[must_use]
    pub fn unfit(&self) -> Option<&SchemaError> {
        match self {
            Self::Unfit { source, .. } => Some(source),
            _ => None,
        }
    }
}
