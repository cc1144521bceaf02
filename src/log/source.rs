//! A log that others write, in its database: what a worker reads instead of evenfold's own.

use super::Layout;
use super::foreign::{Foreign, InvalidMapping, Mapping, Positions, Refusal, refusals, sequence_of};
use super::standby::{Standby, StandbyError};
use crate::database::{ConnectError, Database, Server};
use crate::number::Position;
use sqlx::PgConnection;
use std::fmt;

/// A log that others write: where it is, and how it is read.
#[derive(Debug, Clone)]
pub struct Source {
    layout: Layout,
    database: Database,
    /// A standby of it, from which workers read rows.
    rows: Option<Database>,
}

/// Why a log of others can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no connection to its database.
    #[error("the log's database: {0}")]
    Connect(#[from] ConnectError),
    /// It can't be folded without losing events, or not be read.
    #[error("the log {table} can't be folded: {refusal}")]
    Refused {
        /// Its table.
        table: String,
        /// Why.
        refusal: Refusal,
    },
    /// Its highest position is below one that was there before: it was cut back, or is another one.
    #[error(
        "the log {table} ends at position {top}, and events up to {applied} were applied: it was restored to an \
         earlier state, or is another log; where events are gone for good, rebuild the projection"
    )]
    Behind {
        /// Its table.
        table: String,
        /// Its highest position.
        top: Position,
        /// Up to where a fence has shown it.
        applied: Position,
    },
    /// Another server answers than the one whose events were applied.
    #[error(
        "the log {table} is on another server, or on another timeline of it, than the events that were applied \
         ({was}, and now {is}): after a failover that has lost commits its positions may be those of other events; \
         where none was lost, `evenfold source accept` takes it for the same log; otherwise rebuild"
    )]
    OtherServer {
        /// Its table.
        table: String,
        /// The system identifier and the timeline of the server whose events were applied.
        was: String,
        /// Those of the server that answers.
        is: String,
    },
    /// The standby that rows are read from can't be read.
    #[error("the log's standby (rows_from): {0}")]
    Standby(#[from] StandbyError),
    /// Its mapping says too little.
    #[error(transparent)]
    Mapping(#[from] InvalidMapping),
    /// The database's.
    #[error("the log's database: {}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// As a definition has it: what it is called, and its table.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layout.foreign() {
            Some(foreign) => {
                // What checkpoints of one of the two say means nothing to the other.
                let by = if foreign.xid().is_some() { " by transactions" } else { "" };
                write!(f, "{} {}{by}", foreign.name(), foreign.table())
            }
            None => f.write_str("evenfold's own"),
        }
    }
}

/// A log that others write, and a connection to it.
#[derive(Debug)]
pub struct OpenSource {
    pub(super) layout: Layout,
    pub(super) conn: PgConnection,
}

impl OpenSource {
    /// How it is read.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How it is read, and what it is read on.
    pub(crate) fn parts(&mut self) -> (&Layout, &mut PgConnection) {
        (&self.layout, &mut self.conn)
    }
}

impl Source {
    /// The log in this database, which need not be that of the read model.
    #[must_use]
    pub fn new(database: &Database, log: Foreign) -> Self {
        Self { layout: log.into(), database: database.by_index(), rows: None }
    }

    /// The same, of which workers read rows from a hot standby of that database's server. What they find out about
    /// positions comes from the server itself.
    #[must_use]
    pub fn rows_from(self, standby: &Database) -> Self {
        Self { rows: Some(standby.by_index().of_standby()), ..self }
    }

    /// The log of this mapping in this database, of which everything is known after that, and checked.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn find(database: &Database, mapping: &Mapping) -> Result<Self, SourceError> {
        Ok(Self::find_with_server(database, mapping).await?.0)
    }

    /// The same, and which server it is on.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn find_with_server(database: &Database, mapping: &Mapping) -> Result<(Self, Server), SourceError> {
        // What is missing in it is reported before there is a connection.
        mapping.layout(Positions::Serial)?;
        let (mut conn, server) = database.connect_to_server().await?;
        let sequence = sequence_of(&mut conn, mapping).await?.unwrap_or_default();
        let source = Self::new(database, mapping.layout(Positions::Sequence(sequence))?);
        source.check(&mut conn).await?;
        Ok((source, server))
    }

    /// How it is read.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where it is.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The same, with connections that say what they are for.
    pub(crate) fn named(&self, application_name: &str) -> Self {
        Self {
            database: self.database.named(application_name),
            rows: self.rows.as_ref().map(|rows| rows.named(application_name)),
            ..self.clone()
        }
    }

    /// Where rows are read from: it, or its standby.
    pub(crate) fn rows_database(&self) -> &Database {
        self.rows.as_ref().unwrap_or(&self.database)
    }

    /// Connects to the standby that rows are read from, if there is one, and checks that it is a standby of the server
    /// that this connection leads to.
    pub(crate) async fn connect_rows(&self, primary: &mut PgConnection) -> Result<Option<Standby>, SourceError> {
        let Some(database) = &self.rows else { return Ok(None) };
        let mut standby = Standby::connect(database, primary).await?;
        self.check(standby.conn()).await?;
        Ok(Some(standby))
    }

    /// Checks that what rows are read from, if that is another server, is a standby of the log's. Gives where it is:
    /// host and port, or its socket.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn check_rows_from(&self) -> Result<Option<String>, SourceError> {
        if self.rows.is_none() {
            return Ok(None);
        }
        let standby = self.connect_rows(&mut self.connect().await?).await?;
        Ok(standby.map(|standby| standby.place().to_owned()))
    }

    /// Opens it, for whoever looks at it in addition to the database of the read model.
    ///
    /// # Errors
    ///
    /// See [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub async fn open(&self) -> Result<OpenSource, SourceError> {
        Ok(OpenSource { layout: self.layout.clone(), conn: self.connect().await? })
    }

    /// Makes a connection to it, and checks what the guarantees rest on.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    ///
    /// # Cancel safety
    ///
    /// A dropped attempt leaves nothing behind.
    pub async fn connect(&self) -> Result<PgConnection, SourceError> {
        let (mut conn, _) = self.database.connect_to_server().await?;
        self.check(&mut conn).await?;
        Ok(conn)
    }

    async fn check(&self, conn: &mut PgConnection) -> Result<(), SourceError> {
        if let Some(foreign) = self.layout.foreign()
            && let Some(refusal) = refusals(foreign, conn).await?.into_iter().next()
        {
            return Err(SourceError::Refused { table: foreign.table().to_owned(), refusal });
        }
        Ok(())
    }
}
