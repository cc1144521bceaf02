//! What the compose file says is what the binary does.

use crate::support::cli::finish;
use crate::support::{Evenfold, Serving};
use std::collections::BTreeSet;
use std::process::Command;

const PROMETHEUS: &str = include_str!("../../../../deploy/prometheus/prometheus.yml");
const COMPOSE: &str = include_str!("../../../../docker-compose.yml");

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
    assert_eq!(first, ["serve", "migrate", "worker", "monitor"]);
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
        process.env("EVENFOLD_HTTP", "127.0.0.1:0");
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
        assert!(
            answers.contains("\n# TYPE evenfold_counter_requests_total counter\n") && !answers.contains("\"error\""),
            "{answers}"
        );
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
