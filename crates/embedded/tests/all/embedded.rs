//! The own PostgreSQL server: shared, crash-proof, and explained in sentences when it can't be had.
//!
//! Runs as root (the server then runs as `postgres` or `nobody`) and as an ordinary user.
//! `EVENFOLD_PG_BIN` names other binaries than those that are found.

mod places;
mod sharing;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use evenfold_embedded::{self as embedded, EmbeddedError, LeaveOutcome, Options, Reset, Server, ShutDown};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid, getpgid, getsid};
use tempfile::TempDir;

/// The variable by which a test gives the copy of this binary that it starts the directory to use.
const LOCKED_DIR: &str = "EVENFOLD_TEST_LOCKED_DIR";

/// A directory as a checkout would have it; its server is stopped at the end of the test.
struct Checkout {
    root: TempDir,
    options: Options,
}

impl Checkout {
    fn new() -> Self {
        Self::named("pg")
    }

    fn named(name: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let options = options(&root.path().join(name));
        Self { root, options }
    }

    fn start(&self) -> Server {
        embedded::start(&self.options).unwrap()
    }

    fn pid(&self) -> Pid {
        postmaster(&self.options.data_dir)
    }

    fn data(&self) -> PathBuf {
        self.options.data_dir.join("data")
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = embedded::shut_down(&self.options);
    }
}

/// Without durability, unless a test is about it.
fn options(data_dir: &Path) -> Options {
    Options::new(data_dir).durable(false).bin_dir(std::env::var_os("EVENFOLD_PG_BIN").map(PathBuf::from))
}

fn postmaster(data_dir: &Path) -> Pid {
    let file = fs::read_to_string(data_dir.join("data/postmaster.pid")).unwrap();
    Pid::from_raw(file.lines().next().unwrap().parse().unwrap())
}

fn psql_program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("EVENFOLD_PG_BIN")
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join("psql"))
        .find(|program| program.is_file())
        .expect("psql in EVENFOLD_PG_BIN or PATH")
}

/// Runs a statement; the rows, or what psql complains about.
fn try_sql(url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new(psql_program()).args([url, "-XAtqc", statement]).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn sql(url: &str, statement: &str) -> String {
    try_sql(url, statement).unwrap()
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        thread::yield_now();
    }
}

/// Whether a process runs; one that nobody has waited for does not.
fn runs(pid: Pid) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

/// Kills the server, and nothing of what it started.
fn kill_at_once(pid: Pid) {
    kill(pid, Signal::SIGKILL).unwrap();
    eventually("the server's death", || !runs(pid));
}

/// Whether a first start has come this far.
type Stage = fn(&Path) -> bool;

/// Another process that uses the server, in a process group of its own.
struct Holder(Child);

impl Holder {
    fn spawn(data_dir: &Path) -> Self {
        let test = concat!(module_path!(), "::holder");
        let test = test.split_once("::").map_or(test, |(_, test)| test);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(LOCKED_DIR, data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self(child)
    }

    fn holding(data_dir: &Path) -> Self {
        let mut holder = Self::spawn(data_dir);
        let mut lines = BufReader::new(holder.0.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("holding")));
        holder
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test of its own: the other process of the tests below, which ends with its standard input.
#[test]
fn holder() {
    let Some(dir) = std::env::var_os(LOCKED_DIR) else {
        return;
    };
    // Whoever runs the tests in the background may have them ignore interrupts, and we would inherit that.
    #[expect(unsafe_code, reason = "the default action is no function that could do anything unsafe")]
    // SAFETY: no handler is installed.
    unsafe { nix::sys::signal::signal(Signal::SIGINT, nix::sys::signal::SigHandler::SigDfl) }.unwrap();
    let _server = embedded::start(&options(Path::new(&dir))).unwrap();
    println!("\nholding");
    let _ = std::io::stdin().read_line(&mut String::new());
}
