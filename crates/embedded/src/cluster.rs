//! Makes the database and starts its server. Everything here happens under `start.lock`.
//!
//! The programs are run inside the place with relative names: `pg_ctl` puts the names it is given into a
//! shell's command line, where a `$` in a checkout's path would be read by the shell.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::binaries::Binaries;
use super::error::EmbeddedError;
use super::options::Options;
use super::place::Place;
use super::poll::poll;
use super::{postmaster, settings};

/// The user who owns the databases. Its name is all that distinguishes it: whoever reaches the socket is it.
pub(super) const SUPERUSER: &str = "evenfold";

/// Has a server run, and returns the directory of its socket.
pub(super) fn ensure_running(place: &Place, options: &Options) -> Result<PathBuf, EmbeddedError> {
    if let Some(socket_dir) = postmaster::settle(place)? {
        if options.durable && !settings::is_durable(place) {
            settings::write(place, &socket_dir, true)?;
            postmaster::reload(place)?;
            nix::unistd::sync();
        }
        return Ok(socket_dir);
    }
    let binaries = Binaries::find(place, options.bin_dir.as_deref())?;
    place.remove_unfinished();
    if !place.has_database() {
        create(place, &binaries, options.durable)?;
    }
    if options.durable && !settings::is_durable(place) {
        // What was written without fsync is only in the kernel's memory.
        nix::unistd::sync();
    }
    let socket_dir = place.create_socket_dir()?;
    settings::write(place, &socket_dir, options.durable)?;
    postmaster::clear_remains(place, &socket_dir)?;
    begin_log(place)?;
    boot(place, &binaries)?;
    postmaster::settle(place)?.ok_or_else(|| failed("postgres", place, &[]))
}

/// Makes a database under another name first: a killed `initdb` leaves nothing that is taken for one.
fn create(place: &Place, binaries: &Binaries, durable: bool) -> Result<(), EmbeddedError> {
    let unfinished = place.unfinished();
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(|source| place.not_writable(source))?;
    place.user().own(&unfinished, 0o700)?;
    let name = unfinished.file_name().unwrap_or_default();
    let program = binaries.program("initdb");
    let mut initdb = place.user().command(&program, place.dir());
    initdb.arg("-D").arg(name).args(["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C"]);
    if !durable {
        initdb.arg("--no-sync");
    }
    let output = initdb.output().map_err(EmbeddedError::io("run", &program))?;
    if !output.status.success() {
        let _ = fs::remove_dir_all(&unfinished);
        place.write(&place.log(), &output.stderr)?;
        return Err(failed("initdb", place, &output.stderr));
    }
    let finish = || -> io::Result<()> {
        let mut conf = OpenOptions::new().append(true).open(unfinished.join("postgresql.conf"))?;
        conf.write_all(settings::INCLUDE.as_bytes())?;
        conf.sync_all()?;
        fs::rename(&unfinished, place.data())?;
        fs::File::open(place.dir())?.sync_all()
    };
    finish().map_err(EmbeddedError::io("finish", &unfinished))
}

/// Keeps the log of the run before, and no older one: a log has no other bound.
fn begin_log(place: &Place) -> Result<(), EmbeddedError> {
    let log = place.log();
    match fs::rename(&log, place.previous_log()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(EmbeddedError::io("put away", &log)(error));
        }
        _ => {}
    }
    place.write(&log, b"")
}

/// Starts the server. `pg_ctl` gives it a session of its own, and waits until it is ready.
fn boot(place: &Place, binaries: &Binaries) -> Result<(), EmbeddedError> {
    let attempt = || {
        let output = pg_ctl_start(place, binaries)?;
        if output.status.success() || postmaster::settle(place)?.is_some() {
            return Ok(Some(()));
        }
        let error = failed("postgres", place, &output.stderr);
        // A killed server's children take a moment to notice; until then PostgreSQL guards the data.
        let orphans = matches!(&error, EmbeddedError::Failed { line, .. }
            if line.contains("still in use") || line.contains("already exists"));
        if orphans { Ok(None) } else { Err(error) }
    };
    poll(postmaster::PATIENCE, attempt)?.ok_or_else(|| failed("postgres", place, &[]))
}

fn pg_ctl_start(place: &Place, binaries: &Binaries) -> Result<Output, EmbeddedError> {
    let program = binaries.program("pg_ctl");
    let patience = postmaster::PATIENCE.as_secs().to_string();
    place
        .user()
        .command(&program, place.dir())
        .args(["start", "-D", "data", "-l", "log", "-w", "-t", &patience])
        .output()
        .map_err(EmbeddedError::io("run", &program))
}

/// The error of a program: what it printed itself, else the end of the server's log.
fn failed(program: &'static str, place: &Place, stderr: &[u8]) -> EmbeddedError {
    let log = fs::read(place.log()).unwrap_or_default();
    let texts = if program == "postgres" { [log.as_slice(), stderr] } else { [stderr, log.as_slice()] };
    let line = texts.into_iter().find_map(reason_line);
    EmbeddedError::Failed { program, line: line.unwrap_or_else(|| "it gave no reason".to_owned()), log: place.log() }
}

/// The last line that reports an error, else the last one: hints and farewells come after the reason.
fn reason_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(str::trim).rev().filter(|line| !line.is_empty());
    let reports = |line: &&str| ["FATAL:", "PANIC:", "error:"].iter().any(|word| line.contains(word));
    lines.clone().find(reports).or_else(|| lines.next()).map(str::to_owned)
}

/// The URL of the database `postgres` behind the socket, for sqlx, psql and the sqlx CLI alike.
pub(super) fn url(socket_dir: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;
    let mut url = format!("postgres://{SUPERUSER}@localhost/postgres?host=");
    for byte in socket_dir.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            url.push(char::from(*byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_reported_by_its_last_fatal_line() {
        let log = b"LOG:  starting\nFATAL:  could not bind\nHINT:  is another running?\nLOG:  shut down\n\n";
        assert_eq!(reason_line(log).unwrap(), "FATAL:  could not bind");
        assert_eq!(reason_line(b"one\ntwo\n").unwrap(), "two");
        assert!(reason_line(b"\n").is_none());
    }

    #[test]
    fn a_url_holds_any_path() {
        let url = url(Path::new("/a b/100%/x&y?z#\u{fc}+/run"));
        let host = "/a%20b/100%25/x%26y%3Fz%23%C3%BC%2B/run";
        assert_eq!(url, format!("postgres://evenfold@localhost/postgres?host={host}"));
    }
}
