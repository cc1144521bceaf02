//! The log that a command works on, where it is one that others write.

use crate::Global;
use crate::config::UsageError;
use crate::output::note;
use crate::session::Session;
use evenfold::database::Database;
use evenfold::log::foreign::{Foreign, Positions};
use evenfold::log::{Source, SourceError, StandbyError};

/// The log, found and checked, of which a line is written; none if it is evenfold's own.
pub(crate) async fn open(global: &Global, session: &Session) -> anyhow::Result<Option<Source>> {
    let Some(mapping) = global.source.mapping()? else { return Ok(None) };
    let database = match global.source.url() {
        Some(url) => log_database(url)?,
        None => session.database.clone(),
    };
    let (mut source, server) = Source::find_with_server(&database, &mapping).await.map_err(explained)?;
    let mut place = format!("{} at {}", server.database, server.place);
    if let Some(url) = global.source.rows_from() {
        let standby = Database::at(url).map_err(|error| UsageError(format!("--source-rows-from: {error}")))?;
        source = source.rows_from(&standby);
        if let Some(standby) = standby_of(&source).await? {
            place = format!("{place}, rows from {standby}");
        }
    }
    announce(&source, &place, global.log.is_some());
    Ok(Some(source))
}

/// Where its standby is, if that answers: a worker waits for it, and whoever reads no rows does not need it. One that
/// will not do is refused.
async fn standby_of(source: &Source) -> anyhow::Result<Option<String>> {
    match source.check_rows_from().await {
        Ok(place) => Ok(place),
        Err(SourceError::Standby(StandbyError::Connect(error))) if error.unfit().is_none() => {
            tracing::warn!(%error, "the log's standby (rows_from) does not answer");
            Ok(None)
        }
        Err(error) => Err(explained(error)),
    }
}

/// The database of this URL, which the log is in.
pub(super) fn log_database(url: &str) -> Result<Database, UsageError> {
    Database::at(url).map_err(|error| UsageError(format!("--source-url: {error}")))
}

/// With what is of help.
fn explained(error: SourceError) -> anyhow::Error {
    match error {
        SourceError::Refused { .. } => anyhow::anyhow!("{error} (`evenfold source check` shows all of it)"),
        other => other.into(),
    }
}

/// Which log it is, before anything is done with it, as a session does of its database.
fn announce(source: &Source, place: &str, quiet: bool) {
    let Some(foreign) = source.layout().foreign() else { return };
    let positions = positions(foreign);
    let called = format!("log: {} ({}), {place}", foreign.table(), foreign.name());
    if tracing::enabled!(tracing::Level::INFO) {
        tracing::info!(positions, "{called}");
    } else if !quiet {
        note(&format!("{called}, positions {positions}"));
    }
}

/// How its positions are given, in words.
pub(super) fn positions(foreign: &Foreign) -> String {
    match foreign.positions() {
        Positions::Sequence(sequence) => format!("of the sequence {sequence}"),
        Positions::Serial => "in the order of commits".to_owned(),
        Positions::Xid(column) => format!("by the transactions in {column}"),
    }
}
