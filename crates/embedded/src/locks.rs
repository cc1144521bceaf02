//! The two locks that several processes share a server by. The kernel releases both when a process ends,
//! however it ends, and no child inherits them: files are opened with `O_CLOEXEC`.
//!
//! Whoever may open a file may lock it, also for reading: the files are closed to everybody else, or any local user
//! could keep the server from being started or stopped.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::error::EmbeddedError;
use super::place::Place;
use super::poll::poll;

/// Longer than the longest thing done under `start.lock`: a restart that waits for the old server to
/// end, starts the new one and waits for its recovery, each at most 60 s.
const DECISION_LIMIT: Duration = Duration::from_secs(200);

/// Nobody but the owner may open a lock file.
const PRIVATE: u32 = 0o600;

/// A lock that is held while the value lives.
#[derive(Debug)]
pub(super) struct LockGuard(#[allow(dead_code)] Flock<File>);

/// Takes `start.lock`: whoever starts or stops the server, joins or leaves its users, holds it.
pub(super) fn decide(place: &Place) -> Result<LockGuard, EmbeddedError> {
    let attempt = || take(place, "start.lock", FlockArg::LockExclusiveNonblock);
    // Polled, not waited for in the kernel: a holder may be suspended (Ctrl-Z), and that deserves a sentence.
    poll(DECISION_LIMIT, attempt)?.ok_or_else(|| busy(place))
}

/// Becomes a user of the server. To be called under `start.lock`.
pub(super) fn join(place: &Place) -> Result<LockGuard, EmbeddedError> {
    take(place, "users.lock", FlockArg::LockSharedNonblock)?.ok_or_else(|| busy(place))
}

/// Succeeds where the server has no user. To be called under `start.lock`, which keeps new ones out.
pub(super) fn alone(place: &Place) -> Result<Option<LockGuard>, EmbeddedError> {
    take(place, "users.lock", FlockArg::LockExclusiveNonblock)
}

fn take(place: &Place, name: &str, kind: FlockArg) -> Result<Option<LockGuard>, EmbeddedError> {
    let path = place.dir().join(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .mode(PRIVATE)
        .open(&path)
        .map_err(|source| place.not_writable(source))?;
    // Older versions made them readable for everybody.
    file.set_permissions(Permissions::from_mode(PRIVATE)).map_err(EmbeddedError::io("close to others", &path))?;
    match Flock::lock(file, kind) {
        Ok(lock) => Ok(Some(LockGuard(lock))),
        Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(None),
        Err((_, errno)) => Err(EmbeddedError::io("lock", &path)(io::Error::from(errno))),
    }
}

fn busy(place: &Place) -> EmbeddedError {
    EmbeddedError::Busy { dir: place.dir().to_owned(), seconds: DECISION_LIMIT.as_secs() }
}
