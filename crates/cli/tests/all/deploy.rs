//! What `deploy/` and the compose file say is what the binary does.

use crate::support::cli::finish;
use crate::support::{Evenfold, Serving, TestDb};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

const DASHBOARD: &str = include_str!("../../../../deploy/grafana/counters.json");
const PROMETHEUS: &str = include_str!("../../../../deploy/prometheus.yml");
const COMPOSE: &str = include_str!("../../../../docker-compose.yml");

/// What the queries of a dashboard ask for.
fn queries(dashboard: &Value) -> Vec<&str> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

/// The names of evenfold's metrics in a query.
fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("evenfold_"))
}

/// The names, and the names and labels, of all samples that are shown.
fn shown(metrics: &str) -> (BTreeSet<&str>, BTreeSet<(&str, &str)>) {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| line.split(' ').next().unwrap());
    let samples: Vec<(&str, &str)> = samples.map(|sample| sample.split_once('{').unwrap_or((sample, ""))).collect();
    let names = samples.iter().map(|(name, _)| *name).collect();
    let labels = samples
        .iter()
        .flat_map(|(name, labels)| labels.split(',').filter_map(|label| Some((*name, label.split_once('=')?.0))));
    (names, labels.collect())
}

/// What the queries ask for and nobody shows: names of metrics, and labels by which a metric is selected.
fn missing(queries: &[&str], metrics: &str) -> Vec<String> {
    let (known, labelled) = shown(metrics);
    let mut missing = Vec::new();
    for query in queries {
        missing.extend(names(query).filter(|name| !known.contains(name)).map(str::to_owned));
        for (before, rest) in query.match_indices('{').map(|(at, _)| query.split_at(at)) {
            let name = names(before).last().unwrap();
            let inside = rest[1..].split('}').next().unwrap();
            let labels = inside.split(',').map(|selector| selector.split(['=', '!']).next().unwrap().trim());
            missing.extend(
                labels.filter(|label| !labelled.contains(&(name, *label))).map(|label| format!("{name}{{{label}}}")),
            );
        }
    }
    missing
}

/// The metrics that are shown and that no query asks for.
fn unseen<'a>(queries: &[&str], metrics: &'a str) -> Vec<&'a str> {
    let parts = ["_total", "_bucket", "_sum", "_count"];
    let metric = |sample| parts.iter().find_map(|part| str::strip_suffix(sample, part)).unwrap_or(sample);
    let asked: BTreeSet<&str> = queries.iter().flat_map(|query| names(query)).map(metric).collect();
    let all = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    all.filter(|name| !asked.contains(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_has_all_metrics_that_a_running_service_shows_and_no_others() {
    let db = TestDb::new().await;
    let mut serving = Serving::start(&["--nodes=2"], &[("DATABASE_URL", &db.url)]);
    // What has not happened yet is not shown: a commit, an answer.
    for n in 0..20 {
        assert_eq!(serving.client().await.post(&format!("/counter/c{n}/increment"), "").await.status, 200);
    }
    let metrics = serving.metrics().await;
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let queries = queries(&dashboard);
    assert!(queries.len() >= 15, "{queries:?}");
    assert_eq!(missing(&queries, &metrics), [""; 0], "{metrics}");
    assert_eq!(unseen(&queries, &metrics), [""; 0], "{metrics}");
    // The checks see what is wrong.
    assert_eq!(unseen(&queries[1..], &metrics), [""; 0], "the second panel asks for requests, too");
    assert_eq!(unseen(&queries[2..], &metrics), ["evenfold_counter_requests"]);
    let wrong = ["sum(rate(evenfold_counter_request_total[5m]))", "evenfold_counter_watchers{shard=\"1\"}"];
    assert_eq!(missing(&wrong, &metrics), ["evenfold_counter_request_total", "evenfold_counter_watchers{shard}"]);
    serving.end(Signal::SIGTERM);
}

#[test]
fn the_panels_of_the_dashboard_have_numbers_of_their_own_and_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let number = |panel: &Value| panel["id"].as_i64().unwrap();
    let place = |panel: &Value| (panel["gridPos"]["x"].as_i64().unwrap(), panel["gridPos"]["y"].as_i64().unwrap());
    assert_eq!(panels.iter().map(number).collect::<BTreeSet<_>>().len(), panels.len());
    assert_eq!(panels.iter().map(place).collect::<BTreeSet<_>>().len(), panels.len());
}

/// The commands of the compose file that are the binary's.
fn commands() -> Vec<Vec<String>> {
    let lines = COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("command: "));
    let commands = lines.map(|list| serde_json::from_str::<Vec<String>>(list).unwrap());
    commands.filter(|command| !command[0].starts_with('-')).collect()
}

/// The variables that the compose file sets, with its default for what it takes from its own environment.
fn variables() -> Vec<(&'static str, &'static str)> {
    let lines = COMPOSE.lines().filter_map(|line| line.trim().split_once(": "));
    let variables = lines.filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    let value = |value: &'static str| match value.strip_prefix("${") {
        Some(rest) => rest.split_once(":-").unwrap().1.trim_end_matches('}'),
        None => value.trim_matches('"'),
    };
    variables.map(|(name, text)| (name, value(text))).filter(|(name, _)| *name != "DATABASE_URL").collect()
}

#[test]
fn the_commands_of_the_compose_file_are_followed_as_far_as_the_database() {
    let commands = commands();
    let first: Vec<&str> = commands.iter().map(|command| command[0].as_str()).collect();
    assert_eq!(first, ["serve", "migrate", "worker"]);
    let variables = variables();
    for name in ["NATS_URL", "API_TOKEN", "EVENFOLD_NODE_ID", "PARTITION_KEY", "TOTAL_PARTITIONS"] {
        assert!(variables.iter().any(|(other, _)| *other == name), "{name}: {variables:?}");
    }
    for command in &commands {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        if args[0] == "serve" {
            // The usual ones may be in use here.
            args.extend(["--port=0", "--metrics-port=0"]);
        }
        let mut process = Evenfold::command(&args);
        process.envs(variables.iter().copied()).env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
        finish(process).complains(1, "no PostgreSQL answers");
    }
}

/// Sample command lines for a shell: what is exported, and what is asked.
fn samples(text: &'static str) -> impl Iterator<Item = &'static str> {
    let lines = text.lines().map(|line| line.trim_start_matches('#').trim());
    lines.filter(|line| {
        line.starts_with("export API_TOKEN=") || line.starts_with("curl ") && line.contains("localhost:")
    })
}

/// What a shell answers, as if these services had their usual ports.
fn answers(lines: &[&str], serving: &Serving) -> String {
    let mut script = lines.join("\n");
    for port in [8181, 8182, 8183] {
        script = script.replace(&format!("localhost:{port}/"), &format!("{}/", serving.address));
    }
    script = script.replace("localhost:2121/", &format!("{}/", serving.figures));
    let output = Command::new("sh").args(["-ec", &script]).env_remove("API_TOKEN").output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_sample_lines_of_the_cluster_carry_the_token_that_its_nodes_need() {
    let section = include_str!("../../../../docs/services.md").split("### A cluster").nth(1).unwrap();
    for text in [COMPOSE, section.split("## ").next().unwrap()] {
        let token = variables().into_iter().find(|(name, _)| *name == "API_TOKEN").unwrap();
        let serving = Serving::start(&["--volatile"], &[token]);
        let lines: Vec<&str> = samples(text).collect();
        assert_eq!((lines.len(), lines[0]), (4, "export API_TOKEN=evenfold"), "{lines:?}");
        let answers = answers(&lines, &serving);
        assert_eq!(answers.matches(r#","value":1,"version":1}"#).count(), 2, "{answers}");
        assert!(answers.ends_with("# EOF\n") && !answers.contains("\"error\""), "{answers}");
    }
}

#[test]
fn the_files_agree_on_names_and_ports() {
    let anchors: BTreeSet<&str> =
        COMPOSE.split(" &").skip(1).filter_map(|rest| rest.split_whitespace().next()).collect();
    let uses: BTreeSet<&str> = COMPOSE.split(" *").skip(1).filter_map(|rest| rest.split_whitespace().next()).collect();
    assert_eq!(anchors, uses, "each anchor is used, and each use has one");
    let services: BTreeSet<&str> =
        COMPOSE.lines().filter_map(|line| line.strip_prefix("  node-")?.strip_suffix(':')).collect();
    let scraped: BTreeSet<&str> =
        PROMETHEUS.split('"').filter_map(|word| word.strip_prefix("node-")?.strip_suffix(":2121")).collect();
    assert_eq!((services.len(), &services), (3, &scraped));
    for port in [8181, 8182, 8183] {
        assert!(COMPOSE.contains(&format!("\"127.0.0.1:{port}:8181\"")), "{port}");
    }
    for port in [2121, 2122, 2123] {
        assert!(COMPOSE.contains(&format!("\"127.0.0.1:{port}:2121\"")), "{port}");
    }
    // Whatever can be reached from outside of the machine is for whoever runs it to open.
    let published =
        COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("- \"")).filter(|line| line.contains(':'));
    assert!(published.clone().count() >= 8 && published.into_iter().all(|port| port.starts_with("127.0.0.1:")));
}
