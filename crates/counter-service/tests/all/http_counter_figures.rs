//! The figures of the counter service, on a port of their own.

use crate::support::{Client, Counting, TestDb};
use evenfold_counter_service::http::ServiceOptions;
use evenfold_counter_service::{Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_http::Limits;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_counted_by_route_and_class_of_status() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    for (method, path) in [
        ("POST", "/counter/a/increment"),
        ("POST", "/counter/b/increment"),
        ("POST", "/counter/%00/increment"),
        ("GET", "/counter/a"),
        ("GET", "/counters"),
        ("HEAD", "/counter/a/watch"),
        ("GET", "/healthz"),
        ("GET", "/docs"),
        ("GET", "/nothing"),
    ] {
        client.ask(method, path, &[], "").await;
    }
    for (route, status, count) in [
        ("increment", "2xx", 2.0),
        ("increment", "4xx", 1.0),
        ("read", "2xx", 1.0),
        ("top", "2xx", 1.0),
        ("watch", "2xx", 1.0),
        ("health", "2xx", 1.0),
        ("docs", "2xx", 1.0),
        ("other", "4xx", 1.0),
    ] {
        let line = format!("evenfold_counter_requests_total{{route=\"{route}\",status=\"{status}\"}}");
        assert_eq!(served.figure(&line).await, Some(count), "{line}");
    }
    let text = Client::connect(served.figures).await.get("/metrics").await.body;
    let rows = text.lines().filter_map(|line| {
        line.strip_prefix("evenfold_counter_requests_total{route=\"")?.split('"').next().map(str::to_owned)
    });
    let expected = ["increment", "read", "top", "watch", "health", "docs", "other"];
    assert_eq!(rows.collect::<BTreeSet<_>>(), expected.map(str::to_owned).into(), "there are no others");
    let durations = r#"evenfold_counter_request_duration_seconds_count{route="increment"}"#;
    assert_eq!(served.figure(durations).await, Some(3.0));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_reports_what_it_has_done_and_no_label_names_a_counter() {
    let db = TestDb::new().await;
    let options = NodeOptions::default().shards(2).max_actors(4);
    let node = Node::start(options, Storage::Durable(db.database.clone()), &ProcessGroups::default()).await.unwrap();
    let served = Counting::serving(vec![node], ServiceOptions::default(), Limits::default()).await;
    let mut client = served.client().await;
    for n in 0..10 {
        assert_eq!(client.post(&format!("/counter/c{n}/increment"), "").await.status, 200);
    }
    let text = Client::connect(served.figures).await.get("/metrics").await.body;
    let sum = |name: &str| -> f64 {
        let name = format!("evenfold_counter_{name}");
        let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(&name));
        let values: Vec<f64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(!values.is_empty(), "there is no {name} in {text}");
        values.iter().sum()
    };
    for (name, expected) in [
        ("mailbox", 0.0),
        ("loads_total", 10.0),
        ("conflicts_total", 0.0),
        ("group_commits_total", 10.0),
        ("group_commit_events_count", 10.0),
        ("group_commit_events_sum", 10.0),
        ("forwarded_requests_total", 0.0),
        ("cluster_members", 1.0),
        ("cluster_requests_total", 0.0),
        ("cluster_batches_total", 0.0),
        ("watchers", 0.0),
        ("requests_in_flight", 0.0),
    ] {
        assert!((sum(name) - expected).abs() < 1e-9, "{name} is {} in {text}", sum(name));
    }
    let actors = sum("actors");
    assert!((1.0..=4.0).contains(&actors) && (sum("passivations_total") + actors - 10.0).abs() < 1e-9, "{text}");
    assert!(sum("shard_messages_total") >= 10.0 && sum("coordination_seconds_total") > 0.0, "{text}");
    assert!(sum("compute_seconds_total") > 0.0 && sum("shard_busy_seconds_total") > 0.0, "{text}");
    let labels = text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| line.split(['{', ',']).skip(1));
    let labels: BTreeSet<&str> = labels.filter_map(|label| Some(label.split_once('=')?.0)).collect();
    assert_eq!(labels, ["le", "message", "node", "route", "shard", "status"].into());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_the_figures_has_nothing_else() {
    let served = Counting::plain().await;
    let mut client = Client::connect(served.figures).await;
    let figures = client.get("/metrics").await;
    let kind = figures.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{figures:?}");
    let figures = client.ask("GET", "/metrics", &[("accept", "application/openmetrics-text")], "").await;
    let kind = figures.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text") && figures.body.ends_with("# EOF\n"), "{figures:?}");
    assert_eq!(client.ask("HEAD", "/metrics", &[], "").await.status, 200);
    assert_eq!(client.post("/metrics", "").await.code(), (405, "method_not_allowed".to_owned()));
    for path in ["/", "/counter/a", "/docs", "/healthz"] {
        assert_eq!(client.get(path).await.code(), (404, "unknown_path".to_owned()), "{path}");
    }
    served.end().await;
}
