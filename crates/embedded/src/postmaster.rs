//! The server's main process, as its `postmaster.pid` describes it, and as it really is: the file of a killed
//! server stays behind, and its process id may be another process's by now.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::EmbeddedError;
use super::place::{Place, SOCKET};
use super::poll::poll;

/// How long a server may take to get ready (it may have to recover) or to end (it writes a checkpoint).
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// After this time an incomplete file is what a crash left of it.
const WRITING: Duration = Duration::from_secs(5);

enum State {
    /// No process serves this database.
    Down,
    /// It starts, recovers or stops.
    Busy,
    /// It answers, in this socket directory.
    Ready(PathBuf),
}

/// What PostgreSQL writes into `postmaster.pid`, and into the lock file of its socket.
struct PidFile {
    pid: Pid,
    /// Line 2: the data directory.
    data: PathBuf,
    /// Line 5, written later than the first four.
    socket_dir: Option<PathBuf>,
    /// Line 8: `starting`, `ready`, `standby` or `stopping`, and blanks.
    ready: bool,
}

/// Waits for a server that starts, recovers or stops by itself. The socket directory of one that answers,
/// or `None` where nothing runs.
pub(super) fn settle(place: &Place) -> Result<Option<PathBuf>, EmbeddedError> {
    let settled = poll(PATIENCE, || {
        Ok(match state(place)? {
            State::Down => Some(None),
            State::Ready(socket_dir) => Some(Some(socket_dir)),
            State::Busy => None,
        })
    })?;
    settled.ok_or_else(|| slow(place, "starting"))
}

/// The socket directory of a server that answers now.
pub(super) fn ready(place: &Place) -> Result<Option<PathBuf>, EmbeddedError> {
    Ok(match state(place)? {
        State::Ready(socket_dir) => Some(socket_dir),
        State::Down | State::Busy => None,
    })
}

/// Has the server read its configuration again.
pub(super) fn reload(place: &Place) -> Result<(), EmbeddedError> {
    signal(place, Signal::SIGHUP).map(|_| ())
}

/// Ends the server the fast way: connections are closed, a checkpoint is written. It is asked by a signal
/// and not by `pg_ctl`, so that it can be ended after its binaries were replaced by a newer version's, and
/// so that the signal never goes to a process that merely has the number.
pub(super) fn stop(place: &Place) -> Result<bool, EmbeddedError> {
    if !signal(place, Signal::SIGINT)? {
        return Ok(false);
    }
    let gone = || Ok(matches!(state(place)?, State::Down).then_some(()));
    poll(PATIENCE, gone)?.ok_or_else(|| slow(place, "stopping"))?;
    Ok(true)
}

/// Removes what would make PostgreSQL refuse to start for the sake of a process that is none of its own: it
/// only asks whether the number is alive. To be called under `start.lock`, with the server down.
///
/// The starter of a server may have been killed, and that server may come up just now. So a file goes only
/// if it names a process that is no server, or has been incomplete for long; whoever comes second then
/// fails at the other's file, and the one that runs is used.
pub(super) fn clear_remains(place: &Place, socket_dir: &Path) -> Result<(), EmbeddedError> {
    for path in [pid_file(place), socket_dir.join(format!("{SOCKET}.lock"))] {
        let in_use = match read(&path)? {
            // The temporary directory may serve a server whose data directory was removed under it.
            Some(file) => is_postmaster(file.pid, &file.data),
            None => is_fresh(&path),
        };
        if !in_use {
            remove(&path)?;
        }
    }
    Ok(())
}

fn state(place: &Place) -> Result<State, EmbeddedError> {
    let path = pid_file(place);
    let Some(file) = read(&path)? else {
        let appears = is_fresh(&path);
        return Ok(if appears { State::Busy } else { State::Down });
    };
    let answers = file.socket_dir.as_deref().is_some_and(answers);
    Ok(match file.socket_dir {
        Some(socket_dir) if answers && file.ready => State::Ready(socket_dir),
        _ if answers || is_postmaster(file.pid, &place.data()) => State::Busy,
        _ => State::Down,
    })
}

/// Sends a signal to the server if there is one.
fn signal(place: &Place, signal: Signal) -> Result<bool, EmbeddedError> {
    let path = pid_file(place);
    let Some(file) = read(&path)? else {
        return Ok(false);
    };
    if !is_postmaster(file.pid, &place.data()) {
        if file.socket_dir.as_deref().is_some_and(answers) {
            return Err(EmbeddedError::Elsewhere { dir: place.dir().to_owned() });
        }
        return Ok(false);
    }
    match kill(file.pid, signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(EmbeddedError::io("signal the server of", &path)(io::Error::from(errno))),
    }
}

/// Whether a server listens: true also where its process can't be seen, as in another container.
fn answers(socket_dir: &Path) -> bool {
    UnixStream::connect(socket_dir.join(SOCKET)).is_ok()
}

/// Whether the process works in `data`, as the server and its children do. Compared by inode: the same
/// directory may be mounted in several places.
#[cfg(target_os = "linux")]
fn is_postmaster(pid: Pid, data: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
    let works_in = identity(Path::new(&format!("/proc/{pid}/cwd")));
    works_in.is_some() && works_in == identity(data)
}

/// Whether the process is a `postgres`, as near as can be known without `/proc`.
#[cfg(not(target_os = "linux"))]
fn is_postmaster(pid: Pid, _data: &Path) -> bool {
    std::process::Command::new("/bin/ps")
        .args(["-o", "comm=", "-p", &pid.to_string()])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("postgres"))
}

fn pid_file(place: &Place) -> PathBuf {
    place.data().join("postmaster.pid")
}

/// Whether a server may be about to write the file, which is empty for a moment after it was made.
fn is_fresh(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().unwrap_or_default() < WRITING)
}

/// `None` where the file is missing or incomplete.
fn read(path: &Path) -> Result<Option<PidFile>, EmbeddedError> {
    match fs::read(path) {
        Ok(contents) => Ok(PidFile::parse(&contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EmbeddedError::io("read", path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EmbeddedError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn slow(place: &Place, doing: &'static str) -> EmbeddedError {
    EmbeddedError::Slow { dir: place.dir().to_owned(), doing, seconds: PATIENCE.as_secs(), log: place.log() }
}

impl PidFile {
    fn parse(contents: &[u8]) -> Option<Self> {
        let lines: Vec<_> = contents.split(|byte| *byte == b'\n').collect();
        let line = |number: usize| lines.get(number - 1).copied().unwrap_or_default();
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let pid: i32 = std::str::from_utf8(line(1)).ok()?.trim().parse().ok()?;
        // A signal to 0 or to a negative number would go to a group.
        if pid <= 1 {
            return None;
        }
        let socket_dir = Some(line(5)).filter(|bytes| !bytes.is_empty());
        Some(Self {
            pid: Pid::from_raw(pid),
            data: path(line(2)),
            socket_dir: socket_dir.map(path),
            ready: line(8).trim_ascii() == b"ready",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_names_process_socket_and_readiness() {
        let file = PidFile::parse(b"4711\n/srv/pg/data\n1\n5432\n/srv/pg/run\n\n123 4\nready   \n").unwrap();
        assert_eq!(file.pid, Pid::from_raw(4711));
        assert_eq!(file.data, Path::new("/srv/pg/data"));
        assert_eq!(file.socket_dir.as_deref(), Some(Path::new("/srv/pg/run")));
        assert!(file.ready);
    }

    #[test]
    fn a_pid_file_that_is_being_written_names_no_socket() {
        let file = PidFile::parse(b"4711\n/srv/pg/data\n1\n5432\n").unwrap();
        assert!(file.socket_dir.is_none() && !file.ready);
    }

    #[test]
    fn a_pid_file_without_a_process_is_none() {
        for contents in ["", "x\n", "0\n", "-7\n", "1\n"] {
            assert!(PidFile::parse(contents.as_bytes()).is_none(), "{contents}");
        }
    }

    #[test]
    fn an_incomplete_pid_file_is_left_alone_until_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(dir.path()).unwrap();
        let data = place.data();
        fs::create_dir_all(&data).unwrap();
        let file = fs::File::create(pid_file(&place)).unwrap();
        clear_remains(&place, &data).unwrap();
        assert!(matches!(state(&place).unwrap(), State::Busy));
        assert!(pid_file(&place).exists());

        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(matches!(state(&place).unwrap(), State::Down));
        clear_remains(&place, &data).unwrap();
        assert!(!pid_file(&place).exists());
        if place.relocated() {
            fs::remove_dir_all(place.dir()).unwrap();
        }
    }
}
