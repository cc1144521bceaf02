//! Our own server, as this process uses it.

use super::output::complain;
use evenfold_embedded::{self as embedded, EmbeddedError, LeaveOutcome};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Our own server while this process uses it: whatever ends the process leaves it. Locked while it is started and left,
/// so that whoever wants to leave it waits for that.
static SERVER: Mutex<Option<embedded::Server>> = Mutex::new(None);

/// That this process uses our own server. Dropped, it leaves it.
pub(super) struct Own;

impl Drop for Own {
    fn drop(&mut self) {
        if let Err(error) = leave_server() {
            complain(&format!("{error}; evenfold's own PostgreSQL may run on: `evenfold db stop` stops it"));
        }
    }
}

/// What is worth a word about a server that was started.
pub(super) struct Used {
    pub(super) elsewhere: Option<PathBuf>,
    pub(super) abandoned: bool,
}

pub(super) fn start_server(options: &embedded::Options) -> Result<(String, Used), EmbeddedError> {
    let mut own = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let server = embedded::start(options)?;
    let elsewhere = server.relocated().then(|| server.data_dir().to_owned());
    let used = (server.url(), Used { elsewhere, abandoned: server.was_abandoned() });
    *own = Some(server);
    Ok(used)
}

/// Leaves our own server, where this process uses it; blocks until that is done.
pub(super) fn leave_server() -> Result<Option<LeaveOutcome>, EmbeddedError> {
    let mut own = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    own.take().map(embedded::Server::stop).transpose()
}
