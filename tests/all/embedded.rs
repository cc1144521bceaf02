//! The own PostgreSQL server: shared, crash-proof, and told in sentences when it can't be had.
//!
//! Runs as root (the server then runs as `postgres` or `nobody`) and as an ordinary user.
//! `EVENFOLD_PG_BIN` names other binaries than those that are found.

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

use evenfold::embedded::{self, EmbeddedError, Left, Options, Server, ShutDown};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid, getpgid, getsid};
use tempfile::TempDir;

/// The variable by which a test tells the copy of this binary that it starts which directory to use.
const HELD_DIR: &str = "EVENFOLD_TEST_HELD_DIR";

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
    Options {
        durable: false,
        bin_dir: std::env::var_os("EVENFOLD_PG_BIN").map(PathBuf::from),
        ..Options::new(data_dir)
    }
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
            .env(HELD_DIR, data_dir)
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
    let Some(dir) = std::env::var_os(HELD_DIR) else {
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

#[test]
fn the_first_in_starts_the_server_and_the_last_out_stops_it() {
    let checkout = Checkout::new();
    let server = checkout.start();
    let pid = checkout.pid();
    let url = server.url();
    assert_eq!(sql(&url, "select current_user, current_database()"), "evenfold|postgres");
    assert!(!server.relocated());

    assert_eq!(server.stop().unwrap(), Left::Stopped);
    assert!(!checkout.data().join("postmaster.pid").exists());
    eventually("the server's end", || !runs(pid));
    assert!(try_sql(&url, "select 1").is_err());
}

#[test]
fn the_first_to_leave_does_not_stop_a_shared_server() {
    let checkout = Checkout::new();
    let (first, second) = (checkout.start(), checkout.start());
    assert_eq!(first.url(), second.url());
    assert_eq!(first.stop().unwrap(), Left::StillUsed);
    assert_eq!(sql(&second.url(), "select 1"), "1");

    let holder = Holder::holding(&checkout.options.data_dir);
    assert_eq!(second.stop().unwrap(), Left::StillUsed);
    let url = embedded::status(&checkout.options).unwrap().url;
    assert_eq!(sql(&url, "select 1"), "1");
    let pid = checkout.pid();
    // Its standard input ends, and so does it: the last one out is another process than the first one in.
    let mut child = holder;
    drop(child.0.stdin.take());
    child.0.wait().unwrap();
    eventually("the server's end", || !runs(pid));
}

#[test]
fn dropping_the_last_user_stops_the_server() {
    let checkout = Checkout::new();
    let server = checkout.start();
    let pid = checkout.pid();
    drop(server);
    eventually("the server's end", || !runs(pid));
}

#[test]
fn a_server_left_behind_by_a_killed_user_is_found_used_and_stopped() {
    let checkout = Checkout::new();
    let holder = Holder::holding(&checkout.options.data_dir);
    let pid = checkout.pid();
    holder.kill();
    assert!(runs(pid));

    let server = checkout.start();
    assert_eq!(checkout.pid(), pid);
    assert_eq!(sql(&server.url(), "select 1"), "1");
    assert_eq!(server.stop().unwrap(), Left::Stopped);
    eventually("the server's end", || !runs(pid));
}

#[test]
fn a_killed_server_is_started_again_with_its_data() {
    let mut checkout = Checkout::new();
    checkout.options.durable = true;
    let first = checkout.start();
    sql(&first.url(), "create table kept as select generate_series(1, 1000) as n");
    let pid = checkout.pid();
    kill_at_once(pid);

    let second = checkout.start();
    assert_ne!(checkout.pid(), pid);
    assert_eq!(sql(&second.url(), "select sum(n) from kept"), "500500");
    assert_eq!(first.stop().unwrap(), Left::StillUsed);
    assert_eq!(second.stop().unwrap(), Left::Stopped);
}

#[test]
fn a_busy_server_that_is_killed_is_started_again() {
    let checkout = Checkout::new();
    let server = checkout.start();
    let url = server.url();
    let mut client = Command::new(psql_program())
        .args([&url, "-Xqc", "select sum(n) from generate_series(1, 4000000) n"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let busy = "select count(*) from pg_stat_activity where query ~ '4{1}000000' and state = 'active'";
    eventually("a busy backend", || sql(&url, busy) == "1");
    // A backend that computes does not notice until it is done.
    kill_at_once(checkout.pid());

    let again = checkout.start();
    assert_eq!(sql(&again.url(), "select 1"), "1");
    client.wait().unwrap();
}

#[test]
fn a_start_that_was_killed_half_way_is_taken_up_or_cleaned_up() {
    let stages: [(&str, Stage); 3] = [
        ("initdb", |dir| unfinished(dir) > 0),
        ("database", |dir| dir.join("data").exists()),
        ("process", |dir| dir.join("data/postmaster.pid").exists()),
    ];
    for (stage, reached) in stages {
        let checkout = Checkout::new();
        let holder = Holder::spawn(&checkout.options.data_dir);
        eventually(stage, || reached(&checkout.options.data_dir));
        holder.kill();

        let server = checkout.start();
        assert_eq!(sql(&server.url(), "select 1"), "1", "killed at {stage}");
        assert_eq!(server.stop().unwrap(), Left::Stopped, "killed at {stage}");
        // A killed user's initdb may live a moment longer; the next start sweeps up after it.
        eventually("no half-made database", || {
            checkout.start();
            unfinished(&checkout.options.data_dir) == 0
        });
    }
}

fn unfinished(data_dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(data_dir) else {
        return 0;
    };
    let names = entries.map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("data.new-")).count()
}

#[test]
fn concurrent_first_starts_make_one_server() {
    let checkout = Checkout::new();
    let all_in = Barrier::new(8);
    let user = || {
        all_in.wait();
        let server = checkout.start();
        let pid = checkout.pid().as_raw();
        let system = sql(&server.url(), "select system_identifier from pg_control_system()");
        all_in.wait();
        (pid, system, server.stop().unwrap())
    };
    let seen: Vec<_> = thread::scope(|scope| {
        let users: Vec<_> = (0..8).map(|_| scope.spawn(user)).collect();
        users.into_iter().map(|user| user.join().unwrap()).collect()
    });
    let servers: BTreeSet<_> = seen.iter().map(|(pid, system, _)| (pid, system)).collect();
    assert_eq!(servers.len(), 1, "{seen:?}");
    let stops = seen.iter().filter(|(_, _, left)| *left == Left::Stopped);
    assert_eq!(stops.count(), 1, "{seen:?}");
}

#[test]
fn a_user_never_sees_the_server_go_while_others_come_and_leave() {
    let checkout = Checkout::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let server = checkout.start();
                    assert_eq!(sql(&server.url(), "select 1"), "1");
                    server.stop().unwrap();
                }
            });
        }
    });
    assert!(!embedded::status(&checkout.options).unwrap().running);
}

#[test]
fn two_checkouts_do_not_collide() {
    // Sockets in the directory, and, with the long name, in the temporary one.
    for name in ["pg".to_owned(), "deep".repeat(30)] {
        let (one, two) = (Checkout::named(&name), Checkout::named(&name));
        let (first, second) = (one.start(), two.start());
        sql(&first.url(), "create table mine ()");
        let missing = try_sql(&second.url(), "table mine").unwrap_err();
        assert!(missing.contains("does not exist"), "{missing}");
        let urls = [first.url(), second.url()];
        first.stop().unwrap();
        assert_eq!(sql(&second.url(), "select 1"), "1");
        drop(second);
        for url in urls {
            let _ = fs::remove_dir(url.split_once("?host=").unwrap().1);
        }
    }
}

#[test]
fn what_is_wrong_with_a_directory_or_binaries_is_a_sentence() {
    let scratch = Checkout::new();
    let root = scratch.root.path();
    let with_bin = |name: &str| Options { bin_dir: Some(root.join(name)), ..options(&root.join(format!("{name}-pg"))) };

    scratch.start().stop().unwrap();
    let version = scratch.data().join("PG_VERSION");
    let installed = fs::read_to_string(&version).unwrap().trim().to_owned();
    fs::write(&version, "99\n").unwrap();
    fs::create_dir(root.join("foreign")).unwrap();
    fs::write(root.join("foreign/thesis.tex"), "").unwrap();
    fs::create_dir_all(root.join("cluster/base")).unwrap();
    fs::write(root.join("cluster/PG_VERSION"), "15\n").unwrap();
    fs::write(root.join("file"), "").unwrap();
    fs::create_dir(root.join("nothing")).unwrap();
    fs::create_dir(root.join("old")).unwrap();
    for program in ["initdb", "pg_ctl", "postgres"] {
        let script = root.join("old").join(program);
        fs::write(&script, "#!/bin/sh\necho 'postgres (PostgreSQL) 12.22'\n").unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    }

    fs::create_dir_all(root.join("anothers/data")).unwrap();
    let anothers = if geteuid().is_root() {
        "anothers/data belongs to user root, but the server would run as "
    } else {
        "anothers is not empty"
    };

    let newest = format!("are PostgreSQL {installed}: install PostgreSQL 99, or move the directory away");
    let cases: [(Options, &[&str]); 7] = [
        (options(&root.join("anothers")), &[anothers, "--data-dir"]),
        (scratch.options.clone(), &["made by PostgreSQL 99, but", &newest]),
        (options(&root.join("file/pg")), &["file/pg is not writable", "--data-dir"]),
        (options(&root.join("foreign")), &["foreign is not empty", "--data-dir"]),
        (options(&root.join("cluster")), &["cluster is not empty", "--data-dir"]),
        (with_bin("nothing"), &["no usable PostgreSQL binaries in", "/nothing", "EVENFOLD_PG_BIN"]),
        (with_bin("old"), &["PostgreSQL 12 in", "/old", "install PostgreSQL 13 or newer"]),
    ];
    for (options, expected) in cases {
        let sentence = embedded::start(&options).unwrap_err().to_string();
        for part in expected {
            assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
        }
        assert!(!sentence.contains('\n'), "{sentence}");
    }
    assert_eq!(fs::read_dir(root.join("foreign")).unwrap().count(), 1, "left as it was");
    fs::write(&version, format!("{installed}\n")).unwrap();
}

#[test]
fn a_directory_closed_for_writing_is_a_sentence() {
    if geteuid().is_root() {
        return; // root writes everywhere; the table above has a path that root can't make either
    }
    let scratch = Checkout::new();
    let closed = scratch.root.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
    for dir in [closed.clone(), closed.join("pg")] {
        let error = embedded::start(&options(&dir)).unwrap_err();
        assert!(matches!(error, EmbeddedError::NotWritable { .. }), "{error}");
    }
}

#[test]
fn a_directory_that_the_server_cannot_reach_is_replaced_and_named() {
    if !geteuid().is_root() {
        return; // an ordinary user drops to nobody; the mode bits are tested in the module
    }
    let checkout = Checkout::named("home/pg");
    let home = checkout.root.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();

    let server = checkout.start();
    assert!(server.relocated());
    let replaced = server.data_dir().to_owned();
    assert!(!replaced.starts_with(checkout.root.path()), "{}", replaced.display());
    assert!(!home.join("pg").exists());
    sql(&server.url(), "create table mine ()");
    assert_eq!(server.stop().unwrap(), Left::Stopped);

    // A database that is there is found even when the directory opens up.
    fs::set_permissions(&home, Permissions::from_mode(0o755)).unwrap();
    let status = embedded::status(&checkout.options).unwrap();
    assert_eq!((status.data_dir, status.relocated), (replaced.clone(), true));
    let server = checkout.start();
    assert_eq!(sql(&server.url(), "select count(*) from mine"), "0");
    assert_eq!(server.stop().unwrap(), Left::Stopped);
    fs::remove_dir_all(replaced).unwrap();
}

#[test]
fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let checkout = Checkout::named(&format!("{}/pg", "deep".repeat(30)));
    let server = checkout.start();
    let url = server.url();
    let (_, socket_dir) = url.split_once("?host=").unwrap();
    assert!(socket_dir.len() < 90, "{socket_dir}");
    assert_eq!(fs::metadata(socket_dir).unwrap().mode() & 0o777, 0o700);
    assert_eq!(sql(&url, "select 1"), "1");

    let status = embedded::status(&checkout.options).unwrap();
    assert_eq!((status.url, status.running), (url.clone(), true));
    server.stop().unwrap();
    fs::remove_dir(socket_dir).unwrap();
}

#[test]
fn a_path_may_hold_any_character() {
    let names = ["a b \"c\" 'd' $(e) `f` 100% g\\h&i?j#k+ü/pg", "a comma, which separates hosts in a URL/pg"];
    for name in names {
        let checkout = Checkout::named(name);
        let server = checkout.start();
        let url = server.url();
        assert_eq!(sql(&url, "select 1"), "1", "{url}");
        assert_eq!(server.stop().unwrap(), Left::Stopped);
        let _ = fs::remove_dir(url.split_once("?host=").unwrap().1);
    }
}

#[test]
fn nobody_else_reaches_the_data_or_the_socket() {
    let checkout = Checkout::new();
    let server = checkout.start();
    for dir in ["data", "run"] {
        let mode = fs::metadata(server.data_dir().join(dir)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "{dir}");
    }
    assert_eq!(sql(&server.url(), "show listen_addresses"), "");
}

#[test]
fn an_interrupt_from_the_terminal_does_not_reach_the_server() {
    let checkout = Checkout::new();
    let mut holder = Holder::holding(&checkout.options.data_dir);
    let pid = checkout.pid();
    assert_ne!(getpgid(Some(pid)).unwrap(), getpgid(Some(holder.pid())).unwrap());
    assert_ne!(getsid(Some(pid)).unwrap(), getsid(Some(holder.pid())).unwrap());

    // A terminal signals the foreground process group, which the holder leads.
    nix::sys::signal::killpg(holder.pid(), Signal::SIGINT).unwrap();
    holder.0.wait().unwrap();
    let server = checkout.start();
    assert_eq!(checkout.pid(), pid);
    assert_eq!(sql(&server.url(), "select 1"), "1");
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_does_not_inherit_the_locks() {
    let checkout = Checkout::new();
    let server = checkout.start();
    let dir = server.data_dir().to_owned();
    let open = fs::read_dir(format!("/proc/{}/fd", checkout.pid())).unwrap();
    let open: Vec<_> = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect();
    assert!(open.contains(&dir.join("log")), "{open:?}");
    for lock in ["start.lock", "users.lock"] {
        assert!(!open.contains(&dir.join(lock)), "{open:?}");
    }
}

#[test]
fn a_number_that_now_is_another_process_does_not_prevent_a_start() {
    let checkout = Checkout::new();
    checkout.start().stop().unwrap();
    // PostgreSQL itself takes a process of its own user for the old server, and refuses to start.
    let owner = fs::metadata(checkout.data()).unwrap();
    let mut other = Command::new("sleep");
    other.arg("60");
    if geteuid().is_root() {
        other.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = other.spawn().unwrap();
    let socket_dir = checkout.options.data_dir.join("run");
    let left_behind =
        format!("{}\n{}\n1\n5432\n{}\n\n1 1\nready\n", other.id(), checkout.data().display(), socket_dir.display());
    fs::write(checkout.data().join("postmaster.pid"), &left_behind).unwrap();
    fs::write(socket_dir.join(".s.PGSQL.5432.lock"), &left_behind).unwrap();

    assert!(!embedded::status(&checkout.options).unwrap().running);
    assert_eq!(embedded::shut_down(&checkout.options).unwrap(), ShutDown::NotRunning);
    let server = embedded::start(&checkout.options);
    let survived = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(survived, "it was taken for the server");
    assert_eq!(sql(&server.unwrap().url(), "select 1"), "1");
}

#[test]
fn a_kept_server_stays_until_it_is_shut_down() {
    let checkout = Checkout::new();
    let asked = embedded::status(&checkout.options).unwrap();
    assert!(!asked.running && !asked.kept);
    assert!(!checkout.options.data_dir.exists(), "asking makes nothing");
    assert_eq!(embedded::shut_down(&checkout.options).unwrap(), ShutDown::NotRunning);
    assert!(!checkout.options.data_dir.exists(), "neither does stopping");

    let kept = embedded::keep(&checkout.options).unwrap();
    assert!(kept.running && kept.kept);
    assert_eq!(kept.url, asked.url);
    assert_eq!(checkout.start().stop().unwrap(), Left::Kept);
    assert_eq!(sql(&kept.url, "select 1"), "1");

    let user = checkout.start();
    let refused = embedded::shut_down(&checkout.options).unwrap_err();
    assert!(refused.to_string().contains("in use by other evenfold processes"), "{refused}");
    assert!(embedded::status(&checkout.options).unwrap().kept, "a refusal changes nothing");
    assert_eq!(user.stop().unwrap(), Left::Kept);

    assert_eq!(embedded::shut_down(&checkout.options).unwrap(), ShutDown::Stopped);
    assert_eq!(embedded::shut_down(&checkout.options).unwrap(), ShutDown::NotRunning);
    let status = embedded::status(&checkout.options).unwrap();
    assert!(!status.running && !status.kept);
}

#[test]
fn commits_are_durable_unless_nobody_asks_for_it() {
    let checkout = Checkout::new();
    let volatile = checkout.start();
    let settings = "select string_agg(setting, ',') from pg_settings \
        where name in ('fsync', 'full_page_writes', 'synchronous_commit')";
    assert_eq!(sql(&volatile.url(), settings), "off,off,off");

    let durable = Options { durable: true, ..checkout.options.clone() };
    let strict = embedded::start(&durable).unwrap();
    eventually("durability", || sql(&volatile.url(), settings) == "on,on,on");
    let lenient = checkout.start();
    assert_eq!(sql(&lenient.url(), settings), "on,on,on", "it is not switched back");
    drop((volatile, strict, lenient));

    let again = embedded::start(&Options { data_dir: durable.data_dir, ..Options::new("") });
    assert_eq!(sql(&again.unwrap().url(), settings), "on,on,on", "by default");
}
