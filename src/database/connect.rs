//! Making a connection: the one way to do it, for whoever needs one.

use super::check::{Scope, Server, keeps, run, script};
use super::limits::{CONNECT_TIMEOUT, LOCKED_OUT};
use super::message::plain;
use super::unfit::SchemaError;
use super::{ConnectError, Database, Listener};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use std::sync::atomic::Ordering;
use uuid::Uuid;

impl Database {
    /// Makes a connection, and checks what evenfold's guarantees rest on: that the server is a primary and the log its
    /// own, that no row is hidden from the user, that the tables, their triggers and their sequence are as they were
    /// made.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub async fn connect(&self) -> Result<PgConnection, ConnectError> {
        Ok(self.connect_with_server().await?.0)
    }

    /// The same, and which server it is.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub async fn connect_with_server(&self) -> Result<(PgConnection, Server), ConnectError> {
        self.first(Scope::Log).await
    }

    /// Makes a connection of which only the server and the session are checked, for whoever makes or mends the tables.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub async fn connect_to_server(&self) -> Result<(PgConnection, Server), ConnectError> {
        self.first(Scope::Server).await
    }

    /// Whether the addresses of the servers are the same.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        let at = |host: &PgConnectOptions| (place(host), host.get_port());
        self.hosts.iter().map(at).eq(other.hosts.iter().map(at))
    }

    /// Makes a connection on which the notifications of a channel are received. It is not made again when it is lost.
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub(crate) async fn listen(&self, channel: &str) -> Result<Listener, ConnectError> {
        let mut failed = Vec::new();
        for host in &self.hosts {
            match tokio::time::timeout(CONNECT_TIMEOUT, Listener::connect(self, host, channel)).await {
                Ok(Ok(listener)) => return Ok(listener),
                Ok(Err(error)) => failed.push(explain(host, error)),
                Err(_) => failed.push(ConnectError::Slow { place: place(host) }),
            }
        }
        Err(only_or_each(failed))
    }

    /// The first host that will do.
    async fn first(&self, scope: Scope) -> Result<(PgConnection, Server), ConnectError> {
        let mut failed = Vec::new();
        for host in &self.hosts {
            // Boxed: it is large, and seldom needed by those who have it in their own futures.
            match tokio::time::timeout(CONNECT_TIMEOUT, Box::pin(self.at_host(host, scope))).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => failed.push(error),
                Err(_) => failed.push(ConnectError::Slow { place: place(host) }),
            }
        }
        Err(only_or_each(failed))
    }

    async fn at_host(&self, host: &PgConnectOptions, scope: Scope) -> Result<(PgConnection, Server), ConnectError> {
        let mark = Uuid::new_v4().to_string();
        let mut conn = host.connect().await.map_err(|error| explain(host, error))?;
        let server = self.prepare(&mut conn, host, scope, &mark).await?;
        self.own_session(&mut conn, host, &mark).await?;
        Ok((conn, server))
    }

    /// Sets the session, and checks what is behind it, in one round trip.
    async fn prepare(
        &self,
        conn: &mut PgConnection,
        host: &PgConnectOptions,
        scope: Scope,
        mark: &str,
    ) -> Result<Server, ConnectError> {
        let script = script(&self.schema, &self.settings.begin(mark, LOCKED_OUT), scope, &self.settings.end());
        let server =
            run(&self.schema, conn, script, place(host), self.standby).await.map_err(|error| unfit(host, error))?;
        match &self.only {
            Some(only) if *only != server.identity => Err(ConnectError::OtherServer { place: place(host) }),
            _ => Ok(server),
        }
    }

    /// The same for a connection that is made by a pool.
    pub(super) async fn prepare_to_listen(
        &self,
        conn: &mut PgConnection,
        host: &PgConnectOptions,
    ) -> Result<(), ConnectError> {
        self.prepare(conn, host, Scope::Log, &Uuid::new_v4().to_string()).await.map(drop)
    }

    /// Finds a pooler that hands sessions on between transactions, once in the life of a handle: with this connection
    /// idle, a second one is given its session, which has its mark; or the session has lost its mark in the meantime.
    /// Where many sessions are idle the second one may be given another. Those that evenfold has had have marks, so
    /// that one of the next connections finds out.
    async fn own_session(
        &self,
        conn: &mut PgConnection,
        host: &PgConnectOptions,
        mark: &str,
    ) -> Result<(), ConnectError> {
        if self.own_session.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Where there is room for no second one, the next connection that is made tries again.
        if let Ok(mut second) = host.connect().await {
            self.prepare(&mut second, host, Scope::Server, &Uuid::new_v4().to_string()).await?;
            // The server finds out by itself if this fails.
            let _ = second.close().await;
            self.own_session.store(true, Ordering::Relaxed);
        }
        match keeps(conn, mark).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(unfit(host, SchemaError::Pooler)),
            Err(error) => Err(explain(host, error)),
        }
    }
}

fn only_or_each(mut failed: Vec<ConnectError>) -> ConnectError {
    match (failed.pop(), failed.is_empty()) {
        (Some(only), true) => only,
        (last, _) => ConnectError::EachHost(failed.into_iter().chain(last).collect()),
    }
}

fn place(host: &PgConnectOptions) -> String {
    match host.get_socket() {
        Some(socket) => socket.display().to_string(),
        None if host.get_host().contains(':') => format!("[{}]:{}", host.get_host(), host.get_port()),
        None => format!("{}:{}", host.get_host(), host.get_port()),
    }
}

fn unfit(host: &PgConnectOptions, error: SchemaError) -> ConnectError {
    match error {
        SchemaError::Database(error) if !is_privilege(&error) => explain(host, error),
        source => ConnectError::Unfit { place: place(host), source },
    }
}

fn is_privilege(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"))
}

fn explain(host: &PgConnectOptions, source: sqlx::Error) -> ConnectError {
    let (place, message) = (place(host), plain(&source));
    let source = match source {
        sqlx::Error::Io(source) => return ConnectError::Unreachable { place, source },
        // What was found by the checks of a listener.
        sqlx::Error::Configuration(error) => match error.downcast::<ConnectError>() {
            Ok(error) => return *error,
            Err(error) => sqlx::Error::Configuration(error),
        },
        other => other,
    };
    match source.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
        // invalid_password, invalid_authorization_specification
        Some("28P01" | "28000") => ConnectError::Login { place, user: host.get_username().to_owned(), message },
        // invalid_catalog_name
        Some("3D000") => ConnectError::NoDatabase { place, message },
        // lock_not_available
        Some("55P03") => ConnectError::Locked { place },
        _ => ConnectError::Refused { place, message },
    }
}
