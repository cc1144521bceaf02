//! However a process ends, evenfold's own PostgreSQL does not run on without a word.

use crate::support::cli::{CliOutput, DataDir, finish};
use crate::support::{Evenfold, SOON, wait_until};
use evenfold_embedded as embedded;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Command, Stdio};

fn runs(dir: &DataDir) -> bool {
    embedded::status(&dir.options()).unwrap().running
}

fn command(dir: &DataDir, args: &[&str]) -> Command {
    let mut command = Evenfold::command(args);
    command.env("EVENFOLD_DATA_DIR", dir.path());
    command
}

/// An `append` that waits for input, on a server that is ready.
async fn appending(dir: &DataDir) -> Child {
    let mut append = command(dir, &["append"]);
    append.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = append.spawn().unwrap();
    wait_until("the server", SOON, async || runs(dir)).await;
    child
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

fn ended(child: Child) -> CliOutput {
    child.wait_with_output().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_ends_a_worker_at_once_and_the_server_with_it() {
    let dir = DataDir::new();
    let mut worker = Evenfold::start(command(&dir, &["--partition-key=0", "--total-partitions=1"]));
    wait_until("the worker", SOON, async || worker.log().contains("started")).await;
    // Whoever stops it in order would wait for this.
    let url = embedded::status(&dir.options()).unwrap().url;
    let mut conn = evenfold::database::Database::at(&url).unwrap().connect().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE evenfold.projections, evenfold.heartbeats IN ACCESS EXCLUSIVE MODE")
        .execute(&mut conn)
        .await
        .unwrap();
    crate::support::append_one(&mut evenfold::database::Database::at(&url).unwrap().connect().await.unwrap(), "a", 1)
        .await;
    worker.signal(Signal::SIGINT);
    wait_until("the first to be received", SOON, async || worker.log().contains("once more to stop at once")).await;
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.wait(), 130, "{}", worker.log());
    assert!(!runs(&dir), "{}", worker.log());
    assert!(!worker.log().contains("evenfold: "), "nothing is wrong: {}", worker.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_ends_a_command_without_a_graceful_end_stops_the_server() {
    for (sent, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let dir = DataDir::new();
        let append = appending(&dir).await;
        signal(&append, sent);
        let output = ended(append);
        assert_eq!((output.code, runs(&dir)), (code, false), "{output:?}");
        assert!(!output.err.contains("evenfold: "), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_the_server_is_being_started_leaves_none_behind() {
    let dir = DataDir::new();
    let mut worker = Evenfold::start(command(&dir, &["--partition-key=0"]));
    let process = dir.path().join("data/postmaster.pid");
    wait_until("the server's first file", SOON, async || process.exists()).await;
    worker.signal(Signal::SIGINT);
    // Two of a kind that wait together count as one.
    wait_until("it to be received", SOON, async || worker.log().contains("once more to stop at once")).await;
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.wait(), 130, "{}", worker.log());
    assert!(!process.exists(), "{}", worker.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_others_use_is_not_stopped_under_them() {
    let dir = DataDir::new();
    let (first, second) = (appending(&dir).await, appending(&dir).await);
    // That it has joined, not only that a server runs.
    let users = dir.path().join("users.lock");
    wait_until("both to have the lock", SOON, async || {
        [&first, &second].iter().all(|child| {
            std::fs::read_dir(format!("/proc/{}/fd", child.id()))
                .unwrap()
                .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
                .any(|file| file == users)
        })
    })
    .await;
    signal(&first, Signal::SIGINT);
    assert_eq!(ended(first).code, 130);
    assert!(runs(&dir), "the other one needs it");
    signal(&second, Signal::SIGINT);
    assert_eq!(ended(second).code, 130);
    assert!(!runs(&dir));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_a_killed_process_left_running_is_named_by_the_next_one_and_stopped() {
    let dir = DataDir::new();
    let append = appending(&dir).await;
    signal(&append, Signal::SIGKILL);
    ended(append);
    assert!(runs(&dir), "nobody could stop it");
    let next = finish(command(&dir, &["counters"]));
    next.fine();
    assert!(next.err.contains("was left running by a process that was killed"), "{next:?}");
    assert!(!runs(&dir), "{next:?}");
    let after = finish(command(&dir, &["counters"]));
    assert!(!after.err.contains("left running"), "{after:?}");
}
