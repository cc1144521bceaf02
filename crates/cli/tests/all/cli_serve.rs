//! `serve`: the counter service as a process of its own.

use crate::support::cli::{DataDir, finish};
use crate::support::{
    Client, Evenfold, NatsServer, SOON, Serving, TestDb, assert_counters_agree, counter, scalar, wait_until,
};
use evenfold_embedded as embedded;
use nix::sys::signal::Signal;
use serde_json::json;
use std::net::{SocketAddr, TcpListener};
use tokio::net::TcpStream;

/// Nothing listens on port 1.
const NOBODY: &str = "postgres://nobody@127.0.0.1:1/none";

const FREE: [&str; 2] = ["--port=0", "--metrics-port=0"];

async fn increment(client: &mut Client, id: &str) -> i64 {
    let reply = client.post(&format!("/counter/{id}/increment"), "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["value"].as_i64().unwrap()
}

/// How many members each node of the process sees.
fn members(metrics: &str) -> Vec<&str> {
    metrics.lines().filter(|line| line.starts_with("evenfold_counter_cluster_members{")).collect()
}

/// What went well is logged without a warning.
fn no_warnings(serving: &Serving) {
    let log = serving.process.log();
    assert!(!log.contains(" WARN ") && !log.contains("ERROR") && !log.contains("evenfold: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_url_it_starts_its_own_database_folds_the_log_and_stops_all_of_it() {
    let dir = DataDir::new();
    let data = dir.path();
    let mut serving = Serving::start(&["--data-dir", data.to_str().unwrap()], &[]);
    let mut client = serving.client().await;
    assert_eq!(increment(&mut client, "my-counter").await, 1);
    let five = client.post("/counter/my-counter/increment", r#"{"amount": 5}"#).await;
    assert_eq!(five.json(), json!({"counter_id": "my-counter", "value": 6, "version": 2}));
    assert_eq!(client.get("/counter/my-counter").await.json()["value"], 6);
    let top = async || serving.client().await.get("/counters?top=1").await.json()["counters"][0]["value"] == 6;
    wait_until("the read model", SOON, top).await;
    assert!(
        serving.metrics().await.contains("evenfold_counter_requests_total{route=\"increment\",status=\"2xx\"} 2\n")
    );
    assert_eq!(serving.end(Signal::SIGTERM), (0, String::new()), "{}", serving.process.log());
    no_warnings(&serving);
    assert!(!embedded::status(&embedded::Options::new(&data)).unwrap().running, "its server has ended with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_in_the_log_whichever_signal_ends_it() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let mut serving = Serving::start(&["--no-workers"], &[("DATABASE_URL", &db.url)]);
        let asking = (0..8).map(|n| {
            let address = serving.address;
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut answered = 0;
                loop {
                    client.begin("POST", &format!("/counter/c{}/increment", n % 3), &[], "").await;
                    match client.answer().await {
                        Some(reply) if reply.status == 200 => answered += 1,
                        _ => return answered,
                    }
                }
            })
        });
        let asking: Vec<_> = asking.collect();
        wait_until("increments", SOON, async || scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await > 50)
            .await;
        let (code, _) = serving.end(signal);
        assert_eq!(code, if signal == Signal::SIGKILL { -1 } else { 0 }, "{}", serving.process.log());
        let mut answered = 0;
        for client in asking {
            answered += client.await.unwrap();
        }
        let logged = scalar(&mut conn, "SELECT sum((payload->>'amount')::bigint)::bigint FROM evenfold.events").await;
        // Whoever was not answered may be counted.
        assert!((answered..=answered + 8).contains(&logged), "{signal}: {answered} were answered, {logged} counted");
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.counters").await, 0, "--no-workers folds nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_at_the_end_is_answered() {
    let db = TestDb::new().await;
    let mut serving = Serving::start(&[], &[("DATABASE_URL", &db.url)]);
    let mut client = serving.client().await;
    client.send("POST /counter/a/increment HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\n\r\n{\"amou").await;
    let inflight = "evenfold_counter_requests_in_flight 1\n";
    wait_until("the request", SOON, async || serving.metrics().await.contains(inflight)).await;
    serving.process.signal(Signal::SIGTERM);
    let gone = async || TcpStream::connect(serving.address).await.is_err();
    wait_until("the end of the listener", SOON, gone).await;
    client.send("nt\":7}").await;
    // As long as it is in flight, its figures can be read.
    assert_eq!(client.answer().await.unwrap().json()["value"], 7);
    assert_eq!(serving.ended().0, 0);
    assert_eq!(counter(&mut db.connect().await, "a").await.map_or(7, |(value, _)| value), 7);
    no_warnings(&serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_nodes_in_one_process_divide_the_shards_and_stop_one_after_the_other() {
    let db = TestDb::new().await;
    let args = ["--nodes=3", "--shards=12", "--total-partitions=2"];
    let mut serving = Serving::start(&args, &[("DATABASE_URL", &db.url)]);
    assert!(serving.output.contains(" by 3 nodes, "), "{}", serving.output);
    let mut client = serving.client().await;
    for n in 0..60 {
        assert_eq!(increment(&mut client, &format!("c{}", n % 20)).await, n / 20 + 1);
    }
    let metrics = serving.metrics().await;
    let members = members(&metrics);
    assert_eq!(members.len(), 3, "{metrics}");
    assert!(members.iter().all(|line| line.ends_with("} 3.0")), "{members:?}");
    assert_eq!(serving.end(Signal::SIGTERM).0, 0);
    no_warnings(&serving);
    let mut conn = db.connect().await;
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 60);
    Evenfold::run(&["pool", "--until-caught-up", "--workers=2", "--database-url", &db.url], "");
    assert_counters_agree(&mut conn).await;
    assert_eq!(counter(&mut conn, "c7").await, Some((3, 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn volatile_says_that_counters_are_lost_and_needs_no_database() {
    let args = ["--volatile", "--max-actors=64", "--shards=1"];
    let mut serving = Serving::start(&args, &[("DATABASE_URL", NOBODY)]);
    let mut client = serving.client().await;
    for n in 0..64 {
        assert_eq!(increment(&mut client, &format!("c{n}")).await, 1);
    }
    assert_eq!(client.post("/counter/another/increment", "").await.code(), (507, "full".to_owned()));
    let (code, rest) = serving.end(Signal::SIGTERM);
    assert_eq!(code, 0);
    assert_eq!(rest, "counters are in memory only (--volatile): lost when this process ends\n");
    no_warnings(&serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_it_may_be_reached_from_elsewhere_and_increments_need_it() {
    let variables = [("API_TOKEN", "secret"), ("DATABASE_URL", NOBODY)];
    let serving = Serving::start(&["--volatile", "--bind=0.0.0.0"], &variables);
    let address = SocketAddr::new([127, 0, 0, 1].into(), serving.address.port());
    let mut client = Client::connect(address).await;
    let path = "/counter/a/increment";
    assert_eq!(client.post(path, "").await.code(), (401, "unauthorized".to_owned()));
    let wrong = client.ask("POST", path, &[("authorization", "Bearer wrong")], "").await;
    assert_eq!(wrong.code(), (401, "unauthorized".to_owned()));
    assert_eq!(client.ask("POST", path, &[("authorization", "Bearer secret")], "").await.status, 200);
    assert_eq!(client.get("/counter/a").await.json()["value"], 1, "reads are open unless READ_REQUIRES_AUTH is set");
    let variables = [variables[0], variables[1], ("READ_REQUIRES_AUTH", "true")];
    let serving = Serving::start(&["--volatile"], &variables);
    assert_eq!(serving.client().await.get("/counter/a").await.code(), (401, "unauthorized".to_owned()));
    assert_eq!(serving.client().await.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_come_from_variables() {
    let variables = [("MAX_WATCHERS", "1"), ("MAX_INFLIGHT", "1"), ("EVENFOLD_SHARDS", "3"), ("DATABASE_URL", NOBODY)];
    let serving = Serving::start(&["--volatile"], &variables);
    let metrics = serving.metrics().await;
    assert_eq!(metrics.lines().filter(|line| line.starts_with("evenfold_counter_mailbox{")).count(), 3, "{metrics}");
    let mut first = serving.client().await;
    first.begin("GET", "/counter/a/watch", &[], "").await;
    assert_eq!(first.answer().await.unwrap().status, 200);
    let second = serving.client().await.get("/counter/a/watch").await;
    assert_eq!(second.code(), (503, "too_many_watchers".to_owned()));
    let mut slow = serving.client().await;
    slow.send("POST /counter/a/increment HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\n\r\n{").await;
    let inflight = "evenfold_counter_requests_in_flight 1\n";
    wait_until("the request", SOON, async || serving.metrics().await.contains(inflight)).await;
    let refused = serving.client().await.post("/counter/a/increment", "").await;
    assert_eq!(refused.code(), (503, "too_many_in_flight".to_owned()));
}

/// Flags, variables, and the phrase that says what is wrong or what to do.
type Mistake = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

#[test]
fn what_can_not_be_meant_is_one_sentence_and_code_2() {
    #[rustfmt::skip]
    let cases: [Mistake; 24] = [
        (&["--bind=0.0.0.0"], &[], "0.0.0.0 can be reached from other machines: set API_TOKEN, or bind to 127.0.0.1"),
        (&["--bind=localhost"], &[], "'--bind <ADDR>'"),
        (&[], &[("API_TOKEN", "")], "API_TOKEN (--api-token): the token is empty"),
        (&[], &[("API_TOKEN", "a b")], "visible ASCII characters only"),
        (&[], &[("READ_REQUIRES_AUTH", "true")], "set API_TOKEN too"),
        (&[], &[("READ_REQUIRES_AUTH", "maybe")], "'--read-requires-auth <BOOL>'"),
        (&["--port=65536"], &[], "from 0 to 65535"),
        (&["--metrics-port=-1"], &[], "from 0 to 65535"),
        (&[], &[("EVENFOLD_MAX_ACTORS", "1")], "from 2 to 100000000"),
        (&[], &[("REQUEST_TIMEOUT_MS", "99")], "from 100 to 3600000"),
        (&[], &[("MAX_INFLIGHT", "0")], "from 1 to 1000000"),
        (&[], &[("MAX_SHARD_MAILBOX", "0")], "from 1 to 1048576"),
        (&[], &[("MAX_WATCHERS", "10001")], "from 1 to 10000"),
        (&["--nodes=0"], &[], "from 1 to 64"),
        (&["--nodes=65"], &[], "from 1 to 64"),
        (&["--shards=1025"], &[], "from 1 to 1024"),
        (&[], &[("EVENFOLD_SHARDS", "0")], "from 1 to 1024"),
        (&["--total-partitions=0"], &[], "from 1 to 65536"),
        (&["--node-id=a"], &[], "--node-id is for a node of a cluster: give it --nats-url too"),
        (&[], &[("EVENFOLD_NODE_ID", "a")], "give it --nats-url too"),
        (&["--node-id=a b", "--nats-url=nats://127.0.0.1:1"], &[], "--node-id a b: "),
        (&["--cluster="], &[], "--cluster : "),
        (&[], &[("EVENFOLD_CLUSTER", "a.b")], "--cluster a.b: "),
        (&["--volatile=yes"], &[], "'--volatile'"),
    ];
    for (args, variables, phrase) in cases {
        println!("{args:?} {variables:?}");
        // Nobody is there: what is wrong is reported before anybody is asked.
        let variables = [variables, &[("DATABASE_URL", NOBODY)]].concat();
        finish(Serving::command(args, &variables)).complains(2, phrase);
    }
}

#[test]
fn more_partitions_than_one_process_may_have_are_refused() {
    let db = tokio::runtime::Runtime::new().unwrap().block_on(TestDb::new());
    let variables = [("DATABASE_URL", db.url.as_str()), ("TOTAL_PARTITIONS", "1025")];
    let output = finish(Serving::command(&FREE, &variables));
    output.complains(2, "one process has at most 1024 partitions");
}

#[test]
fn a_database_that_is_missing_or_not_migrated_is_one_sentence_that_says_what_to_do() {
    let missing = finish(Serving::command(&FREE, &[("DATABASE_URL", NOBODY)]));
    missing.complains(1, "no PostgreSQL answers at 127.0.0.1:1");
    missing.complains(1, "check that it runs there and that the URL is right");
    let db = tokio::runtime::Runtime::new().unwrap().block_on(TestDb::empty());
    finish(Serving::command(&FREE, &[("DATABASE_URL", &db.url)])).complains(1, "`evenfold migrate`");
}

#[test]
fn a_nats_server_that_is_missing_is_one_sentence() {
    let args = [&FREE[..], &["--volatile", "--nats-url=nats://me:topsecret@127.0.0.1:1"]].concat();
    let output = finish(Serving::command(&args, &[]));
    output.complains(1, "127.0.0.1:1");
    assert!(!output.err.contains("topsecret"), "{output:?}");
}

/// The sum of what the counters stand at, as their owners say.
async fn sum(client: &mut Client, keys: i64) -> i64 {
    let mut sum = 0;
    for key in 0..keys {
        sum += client.get(&format!("/counter/c{key}")).await.json()["value"].as_i64().unwrap();
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_nats_connects_are_one_cluster_and_hand_over_at_the_end() {
    let nats = NatsServer::start();
    let args = |name| ["--volatile", "--cluster=c", "--nats-url", &nats.url(), "--node-id", name].map(str::to_owned);
    let start = |name| {
        let args = args(name);
        Serving::start(&args.each_ref().map(String::as_str), &[])
    };
    let (mut one, two) = (start("one"), start("two"));
    for node in [&one, &two] {
        let all = async || members(&node.metrics().await).iter().all(|line| line.ends_with("} 2.0"));
        wait_until("both to see both", SOON, all).await;
    }
    let mut client = one.client().await;
    for n in 0..200 {
        assert!(increment(&mut client, &format!("c{}", n % 40)).await > 0);
    }
    let mut other = two.client().await;
    assert_eq!(sum(&mut other, 40).await, 200, "each is the counter that the other has");
    assert_eq!(one.end(Signal::SIGTERM).0, 0);
    no_warnings(&one);
    assert_eq!(sum(&mut other, 40).await, 200, "counters in memory are handed over");
}

#[test]
fn a_port_that_is_taken_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for flag in ["--port", "--metrics-port"] {
        let other = if flag == "--port" { "--metrics-port=0" } else { "--port=0" };
        let args = ["--volatile", other, flag, &port.to_string()];
        let phrase = format!("is in use: stop who has it, or choose another port ({flag})");
        finish(Serving::command(&args, &[])).complains(1, &phrase);
    }
}

#[test]
fn what_it_prints_fits_into_eighty_columns_and_secrets_are_not_shown() {
    let variables = [("API_TOKEN", "topsecret"), ("NATS_URL", "nats://me:topsecret@127.0.0.1:1")];
    let mut command = Evenfold::command(&["serve", "--help"]);
    command.envs(variables);
    let help = finish(command);
    assert!(help.fine().contains("API_TOKEN") && help.out.contains("NATS_URL"), "{help:?}");
    assert!(!help.out.contains("topsecret"), "{help:?}");
    let wide = |text: &str| text.lines().find(|line| line.chars().count() > 80).map(str::to_owned);
    assert_eq!(wide(&help.out), None);
    let mut serving = Serving::start(&["--volatile", "--nodes=3"], &[("DATABASE_URL", NOBODY)]);
    let (code, rest) = serving.end(Signal::SIGTERM);
    assert_eq!((code, wide(&serving.output), wide(&rest)), (0, None, None), "{}{rest}", serving.output);
}
