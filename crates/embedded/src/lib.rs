//! A PostgreSQL server of our own, for whoever names no other.
//!
//! Its database is in a directory of the checkout, it listens on a Unix socket alone, and all evenfold
//! processes of the checkout share it: the first one starts it, the last one out stops it. Who uses it is
//! known by file locks, which the kernel releases however a process ends; whatever was left behind by
//! `kill -9`, server or directory, is used or cleaned up by the next run.
//!
//! Everything here blocks, for seconds on a first start: async callers go through `spawn_blocking`.

mod binaries;
mod cluster;
#[cfg(feature = "download")]
mod download;
mod error;
mod identity;
mod locks;
mod options;
mod place;
mod poll;
mod postmaster;
mod settings;
mod version;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use error::EmbeddedError;
use locks::LockGuard;
pub use options::Options;
use place::Place;

/// What became of a server that a user left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveOutcome {
    /// It was the last user, so the server was stopped.
    Stopped,
    /// Others use it still.
    StillUsed,
    /// It was the last user, but the server is to be kept running (see [`keep`]).
    Kept,
}

/// What [`shut_down`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutDown {
    /// A server was running, and was stopped.
    Stopped,
    /// No server was running.
    NotRunning,
}

/// What [`reset`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// There was a database, and it is removed.
    Removed,
    /// There is no database.
    NothingThere,
}

/// How things stand with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its URL, also while it does not run.
    pub url: String,
    /// Whether it answers.
    pub running: bool,
    /// Whether it stays when its last user leaves.
    pub kept: bool,
    /// The directory in use.
    pub data_dir: PathBuf,
    /// Whether that is another one than was asked for (see [`Server::relocated`]).
    pub relocated: bool,
}

/// A running server, used by this value. Dropping it leaves the server as [`Server::stop`] does, and logs
/// what goes wrong.
#[derive(Debug)]
pub struct Server {
    place: Place,
    socket_dir: PathBuf,
    users: Option<LockGuard>,
    abandoned: bool,
}

/// Joins the server of `options.data_dir`, and starts it, and makes its database, where need be.
///
/// # Errors
/// No binaries, a directory that can't be used, a server that does not start within 60 s: see [`EmbeddedError`].
pub fn start(options: &Options) -> Result<Server, EmbeddedError> {
    let place = Place::resolve(&options.data_dir)?;
    place.create()?;
    let decision = locks::decide(&place)?;
    let abandoned = is_abandoned(&place)?;
    let socket_dir = cluster::ensure_running(&place, options)?;
    let users = locks::join(&place)?;
    drop(decision);
    Ok(Server { place, socket_dir, users: Some(users), abandoned })
}

/// Whether the server runs, although nobody uses it and nobody has asked for that. To be called under `start.lock`.
fn is_abandoned(place: &Place) -> Result<bool, EmbeddedError> {
    Ok(!place.keep().exists() && locks::alone(place)?.is_some() && postmaster::ready(place)?.is_some())
}

/// Starts the server where need be, and has it run on after this process and the last user, until [`shut_down`].
///
/// # Errors
/// As [`start`].
pub fn keep(options: &Options) -> Result<ServerStatus, EmbeddedError> {
    let server = start(options)?;
    server.place.write(&server.place.keep(), b"")?;
    server.stop()?;
    status(options)
}

/// Stops a server that nobody uses, kept or left behind.
///
/// # Errors
/// Other processes use it (nothing changes then), or it does not end within 60 s.
pub fn shut_down(options: &Options) -> Result<ShutDown, EmbeddedError> {
    let place = Place::resolve(&options.data_dir)?;
    if !place.has_database() {
        return Ok(ShutDown::NotRunning);
    }
    let _decision = locks::decide(&place)?;
    let Some(_alone) = locks::alone(&place)? else {
        return Err(EmbeddedError::InUse { dir: place.dir().to_owned() });
    };
    match fs::remove_file(place.keep()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(EmbeddedError::io("remove", &place.keep())(error));
        }
        _ => {}
    }
    Ok(if postmaster::stop(&place)? { ShutDown::Stopped } else { ShutDown::NotRunning })
}

/// Removes the database of a server that nobody uses, after stopping it where it runs. Downloaded binaries stay.
///
/// # Errors
/// Other processes use it (nothing changes then), it does not end within 60 s, or its files can't be removed.
pub fn reset(options: &Options) -> Result<Reset, EmbeddedError> {
    let place = Place::resolve(&options.data_dir)?;
    if !place.has_database() {
        return Ok(Reset::NothingThere);
    }
    let _decision = locks::decide(&place)?;
    let Some(_alone) = locks::alone(&place)? else {
        return Err(EmbeddedError::InUse { dir: place.dir().to_owned() });
    };
    postmaster::stop(&place)?;
    if !place.has_database() {
        // Somebody else has removed it while the lock was waited for.
        return Ok(Reset::NothingThere);
    }
    place.remove_database()?;
    Ok(Reset::Removed)
}

/// Reports how things stand, and changes nothing: nothing is started, made or waited for.
///
/// # Errors
/// The directory can't be looked at.
pub fn status(options: &Options) -> Result<ServerStatus, EmbeddedError> {
    let place = Place::resolve(&options.data_dir)?;
    let ready = postmaster::ready(&place)?;
    let running = ready.is_some();
    let socket_dir = ready.unwrap_or_else(|| place.socket_dir());
    Ok(ServerStatus {
        url: cluster::url(&socket_dir),
        running,
        kept: place.keep().exists(),
        data_dir: place.dir().to_owned(),
        relocated: place.relocated(),
    })
}

/// The directory in use, if there is a database in it. Nothing is started, made or waited for.
///
/// # Errors
/// The directory can't be looked at.
pub fn database_dir(options: &Options) -> Result<Option<PathBuf>, EmbeddedError> {
    let place = Place::resolve(&options.data_dir)?;
    Ok(place.has_database().then(|| place.dir().to_owned()))
}

impl Server {
    /// The URL of the database `postgres`, as user `evenfold`, through the Unix socket.
    #[must_use]
    pub fn url(&self) -> String {
        cluster::url(&self.socket_dir)
    }

    /// The directory in use, without symbolic links.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.place.dir()
    }

    /// Whether [`Server::data_dir`] is another directory than was asked for, because the user whom root
    /// runs the server as can't reach that one: show the user which one it is.
    #[must_use]
    pub fn relocated(&self) -> bool {
        self.place.relocated()
    }

    /// Whether it was running already without a user, because its last one was killed. It is stopped by the last user
    /// like any other.
    #[must_use]
    pub fn was_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Leaves the server, and stops it if this was its last user and it is not to be kept.
    ///
    /// # Errors
    /// It does not end within 60 s, or can't be signalled.
    pub fn stop(mut self) -> Result<LeaveOutcome, EmbeddedError> {
        self.leave()
    }

    fn leave(&mut self) -> Result<LeaveOutcome, EmbeddedError> {
        let Some(users) = self.users.take() else {
            return Ok(LeaveOutcome::StillUsed);
        };
        let _decision = locks::decide(&self.place)?;
        // Released before asking: the kernel would release it anyway to make it exclusive.
        drop(users);
        let Some(_alone) = locks::alone(&self.place)? else {
            return Ok(LeaveOutcome::StillUsed);
        };
        if self.place.keep().exists() {
            return Ok(LeaveOutcome::Kept);
        }
        postmaster::stop(&self.place)?;
        Ok(LeaveOutcome::Stopped)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::warn!(%error, "left the PostgreSQL server as it is");
        }
    }
}
