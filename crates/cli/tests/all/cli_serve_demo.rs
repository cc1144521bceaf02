//! `serve --demo`: a cluster with servers of its own, and command lines to try it.

use crate::support::cli::{DataDir, finish};
use crate::support::{Descendant, SOON, Serving, descendants, nats_url, wait_until};
use bytes::Bytes;
use evenfold_cluster::nats::{Nats, NatsError};
use evenfold_cluster::transport::RequestError;
use evenfold_cluster::{NodeId, Transport};
use evenfold_embedded as embedded;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const VOLATILE: [&str; 2] = ["--demo", "--volatile"];
const FREE: [&str; 2] = ["--port=0", "--metrics-port=0"];

/// The command lines that were printed, as a shell reads them.
struct Printed(Vec<String>);

impl Printed {
    fn by(serving: &mut Serving) -> Self {
        let text = serving.prints("/watch'");
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{text}");
        let lines: Vec<String> = text.split("  curl ").skip(1).map(|line| format!("curl {line}")).collect();
        assert_eq!(lines.len(), 4, "{text}");
        Self(lines)
    }

    fn shell(line: &str, token: Option<&str>) -> Command {
        let mut command = Command::new("sh");
        // The shell's place is taken by what it runs, which is what is to be ended.
        command
            .arg("-c")
            .arg(format!("exec {line}"))
            .env_remove("API_TOKEN")
            .envs(token.map(|token| ("API_TOKEN", token)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What the line answers.
    fn answer(&self, line: usize, token: Option<&str>) -> Value {
        let output = Self::shell(&self.0[line], token).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.0[line]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}: {output:?}", self.0[line]))
    }

    /// They count, read, list and watch.
    fn hold_what_they_promise(&self, token: Option<&str>) {
        assert_eq!(self.answer(0, token)["value"], 1);
        assert_eq!(self.answer(1, token)["value"], 1);
        assert_eq!(self.answer(2, token)["counters"][0]["counter_id"], "a");
        let watching = Watching(Self::shell(&self.0[3], token).spawn().unwrap());
        let mut values = watching.values();
        assert_eq!(values.next(), Some(1));
        assert_eq!(self.answer(0, token)["value"], 2);
        assert_eq!(values.next(), Some(2));
    }
}

/// A watcher, ended when dropped.
struct Watching(Child);

impl Watching {
    fn values(mut self) -> impl Iterator<Item = i64> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        lines.filter_map(move |line| {
            let _process = &self;
            let value: Value = serde_json::from_str(line.unwrap().strip_prefix("data:")?).unwrap();
            value["value"].as_i64()
        })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The NATS server, and the processes that look after it.
fn servers(serving: &Serving) -> (Descendant, Vec<Descendant>) {
    let mut found = descendants(serving.process.pid());
    let nats = found.iter().position(|found| found.command.ends_with("/nats-server -c nats.conf "));
    (found.remove(nats.unwrap_or_else(|| panic!("{found:?}"))), found)
}

async fn gone((server, others): &(Descendant, Vec<Descendant>)) {
    wait_until("the end of its servers", SOON, async || {
        server.has_ended() && others.iter().all(Descendant::has_ended) && !server.dir.exists()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lines_that_are_printed_answer_what_they_promise_and_all_servers_end_with_it() {
    let dir = DataDir::new();
    let data = dir.path();
    let mut serving = Serving::start(&["--demo", "--data-dir", data.to_str().unwrap()], &[]);
    assert!(serving.output.contains(" by 7 nodes, "), "{}", serving.output);
    Printed::by(&mut serving).hold_what_they_promise(None);
    let metrics = serving.metrics().await;
    let shards = metrics.lines().filter(|line| line.starts_with("evenfold_counter_mailbox{")).count();
    assert_eq!(shards, 7 * 64, "{metrics}");
    let servers = servers(&serving);
    assert_eq!(serving.end(Signal::SIGTERM), (0, String::new()), "{}", serving.process.log());
    let log = serving.process.log();
    assert!(!log.contains(" WARN ") && !log.contains("ERROR"), "{log}");
    gone(&servers).await;
    let own = embedded::Options::new(dir.demonstrations());
    assert!(!embedded::status(&own).unwrap().running, "its PostgreSQL has ended with it");
    assert!(!data.exists(), "the data of others are left alone");
}

#[test]
fn with_a_token_the_lines_that_need_it_have_it_and_it_is_not_shown() {
    let variables = [("API_TOKEN", "topsecret"), ("READ_REQUIRES_AUTH", "true")];
    let mut serving = Serving::start(&VOLATILE, &variables);
    serving.prints("--volatile");
    let printed = Printed::by(&mut serving);
    assert!(!printed.0.concat().contains("topsecret"));
    printed.hold_what_they_promise(Some("topsecret"));
    for line in 0..3 {
        assert_eq!(printed.answer(line, None)["error"]["code"], "unauthorized", "{}", printed.0[line]);
    }
    assert_eq!(serving.end(Signal::SIGTERM).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_nats_server_ends_whichever_signal_ends_it_and_not_before_at_ctrl_c() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let mut command = Serving::command(&[&FREE[..], &VOLATILE].concat(), &[]);
        command.process_group(0);
        let mut serving = Serving::of(command);
        let servers = servers(&serving);
        // As a terminal sends it: to all of the group.
        killpg(Pid::from_raw(i32::try_from(serving.process.pid()).unwrap()), signal).unwrap();
        let code = serving.ended().0;
        assert_eq!(code, if signal == Signal::SIGKILL { -1 } else { 0 }, "{}", serving.process.log());
        let log = serving.process.log();
        assert!(!log.contains(" WARN ") && !log.contains("ERROR"), "{signal}: {log}");
        gone(&servers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_on_the_machine_gets_into_its_nats_server() {
    let serving = Serving::start(&VOLATILE, &[]);
    let (server, _) = servers(&serving);
    let written = server.dir.join(format!("nats-server_{}.ports", server.pid));
    let ports: Value = serde_json::from_slice(&std::fs::read(written).unwrap()).unwrap();
    let url = ports["nats"][0].as_str().unwrap();
    assert!(url.starts_with("nats://127.0.0.1:"), "{ports}");
    let cluster = NodeId::new("counters").unwrap();
    for url in [url.to_owned(), url.replace("//", "//evenfold:wrong@"), url.replace("//", "//evenfold@")] {
        let refused = Nats::connect(&url, cluster.clone()).await.err();
        assert!(matches!(refused, Some(NatsError::Refused(_))), "{url}: {refused:?}");
    }
    let mode = |path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777;
    assert_eq!((mode(server.dir.clone()), mode(server.dir.join("nats.conf"))), (0o700, 0o600));
    for process in descendants(serving.process.pid()) {
        assert!(!process.command.contains("password"), "{}", process.command);
    }
    // Who may read the file has the password, and not what the nodes share.
    let configuration = std::fs::read_to_string(server.dir.join("nats.conf")).unwrap();
    let password = configuration.split("password: \"").nth(1).unwrap().split('"').next().unwrap();
    let inside = Nats::connect(&url.replace("//", &format!("//evenfold:{password}@")), cluster).await.unwrap();
    let nodes = inside.nodes(SOON).await.unwrap();
    assert_eq!(nodes.len(), 7);
    let answer = inside.request(&nodes[0], Bytes::from_static(b"?"), Duration::from_millis(500)).await;
    assert!(answer.as_ref().is_err_and(RequestError::not_handled), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_them_count_in_the_same_log() {
    let dir = DataDir::new();
    let data = dir.path();
    let args = ["--demo", "--nodes=2", "--data-dir", data.to_str().unwrap()];
    let mut first = Serving::start(&args, &[]);
    let mut second = Serving::start(&args, &[]);
    for (serving, value) in [(&first, 1), (&second, 2), (&first, 3)] {
        let counted = serving.client().await.post("/counter/hello/increment", "").await;
        assert_eq!(counted.json()["value"], value, "{counted:?}");
    }
    assert_eq!(first.end(Signal::SIGTERM).0, 0, "{}", first.process.log());
    assert_eq!(second.client().await.post("/counter/hello/increment", "").await.json()["value"], 4);
    assert_eq!(second.end(Signal::SIGTERM).0, 0, "{}", second.process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_another_number_of_partitions_that_was_killed_is_not_waited_for() {
    let dir = DataDir::new();
    let data = dir.path();
    for (n, (partitions, signal)) in
        [(2, Signal::SIGTERM), (3, Signal::SIGKILL), (2, Signal::SIGTERM)].iter().enumerate()
    {
        let partitions = format!("--total-partitions={partitions}");
        let args = ["--demo", "--nodes=2", &partitions, "--data-dir", data.to_str().unwrap()];
        let mut serving = Serving::start(&args, &[]);
        let counted = serving.client().await.post("/counter/a/increment", "").await;
        assert_eq!(counted.json()["value"], n + 1, "{counted:?}");
        let applied = async || serving.process.log().contains(" applied ");
        wait_until("what was counted to be folded", Duration::from_secs(10), applied).await;
        assert!(!serving.process.log().contains("superseded"), "{}", serving.process.log());
        serving.end(*signal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_server_that_ends_ends_the_demonstration_with_a_sentence() {
    let mut serving = Serving::start(&VOLATILE, &[]);
    let (server, _) = servers(&serving);
    nix::sys::signal::kill(Pid::from_raw(i32::try_from(server.pid).unwrap()), Signal::SIGTERM).unwrap();
    wait_until("the end of the service", SOON, async || serving.process.ended().is_some()).await;
    assert_eq!(serving.ended().0, 1);
    let log = serving.process.log();
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("evenfold: the NATS server of the demonstration has ended; start it again"), "{log}");
    assert!(!server.dir.exists(), "its files are removed");
}

#[test]
fn what_contradicts_it_and_what_is_missing_is_one_sentence() {
    let refused = |args: &[&str], variables: &[(&str, &str)], code, phrase| {
        let args = [&FREE[..], &VOLATILE, args].concat();
        finish(Serving::command(&args, variables)).complains(code, phrase);
    };
    let both = "--demo starts a NATS server of its own: leave out --nats-url (NATS_URL), or leave out --demo";
    refused(&["--nats-url", nats_url()], &[], 2, both);
    refused(&[], &[("NATS_URL", nats_url())], 2, both);
    let nowhere = "there is no program /nowhere/nats-server: correct --nats-server (EVENFOLD_NATS_SERVER)";
    refused(&["--nats-server=/nowhere/nats-server"], &[], 1, nowhere);
    refused(&[], &[("EVENFOLD_NATS_SERVER", "/nowhere/nats-server")], 1, nowhere);
    let other = "/bin/sh is no NATS server that can be used, it ended: ";
    refused(&["--nats-server=/bin/sh"], &[], 1, other);
    // A name is for a node of a cluster, which this is.
    let mut named = Serving::start(&[&VOLATILE[..], &["--nodes=1", "--node-id=mine"]].concat(), &[]);
    assert!(named.output.contains("serving on "));
    assert_eq!(named.end(Signal::SIGTERM).0, 0);
}
