//! The dashboards of Grafana ask for figures that there are, and for all of them.

use crate::monitor::Monitor;
use crate::programs::{accepted, with_files};
use crate::support::documents::document;
use crate::support::{Cached, Client, Evenfold, SOON, Serving, TestDb, append_one, wait_until};
use evenfold_cache::CacheOptions;
use evenfold_cache::http::ServiceOptions;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

const CACHE: &str = include_str!("../../../../deploy/grafana/cache.json");
const COUNTERS: &str = include_str!("../../../../deploy/grafana/counters.json");
const PROJECTIONS: &str = include_str!("../../../../deploy/grafana/projections.json");

/// What the queries of a dashboard ask for.
fn queries(dashboard: &str) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// The names of evenfold's metrics in a query.
fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("evenfold_"))
}

/// What is shown: families, their names in queries, and the labels of those of which there are samples.
struct Shown<'a> {
    families: Vec<&'a str>,
    names: BTreeSet<String>,
    sampled: BTreeSet<&'a str>,
    labels: BTreeSet<(&'a str, &'a str)>,
}

fn shown(metrics: &str) -> Shown<'_> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: Vec<(&str, &str)> = types.collect();
    let of = |(name, kind): &(&str, &str)| match *kind {
        "histogram" => ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")).to_vec(),
        _ => vec![(*name).to_owned()],
    };
    let samples = metrics.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').next().unwrap());
    let samples: Vec<(&str, &str)> = samples.map(|sample| sample.split_once('{').unwrap_or((sample, ""))).collect();
    let labels = samples
        .iter()
        .flat_map(|(name, labels)| labels.split(',').filter_map(|label| Some((*name, label.split_once('=')?.0))));
    Shown {
        families: types.iter().map(|(name, _)| *name).collect(),
        names: types.iter().flat_map(of).collect(),
        sampled: samples.iter().map(|(name, _)| *name).collect(),
        labels: labels.collect(),
    }
}

/// What the queries ask for and nobody shows: names of metrics, and labels by which a metric is selected.
fn missing(queries: &[impl AsRef<str>], metrics: &str) -> Vec<String> {
    let (shown, mut missing) = (shown(metrics), Vec::new());
    for query in queries.iter().map(AsRef::as_ref) {
        missing.extend(names(query).filter(|name| !shown.names.contains(*name)).map(str::to_owned));
        for (before, rest) in query.match_indices('{').map(|(at, _)| query.split_at(at)) {
            let name = names(before).last().unwrap();
            let inside = rest[1..].split('}').next().unwrap();
            let labels = inside.split(',').map(|selector| selector.split(['=', '!']).next().unwrap().trim());
            let unknown =
                labels.filter(|label| shown.sampled.contains(name) && !shown.labels.contains(&(name, *label)));
            missing.extend(unknown.map(|label| format!("{name}{{{label}}}")));
        }
    }
    missing
}

/// The metrics that are shown and that no query asks for.
fn unseen<'a>(queries: &[impl AsRef<str>], metrics: &'a str) -> Vec<&'a str> {
    let asked: BTreeSet<&str> = queries.iter().flat_map(|query| names(query.as_ref())).collect();
    let parts = ["", "_bucket", "_sum", "_count"];
    let is_asked = |name: &str| parts.iter().any(|part| asked.contains(format!("{name}{part}").as_str()));
    shown(metrics).families.into_iter().filter(|name| !is_asked(name)).collect()
}

/// Those of its workers are in the other dashboard.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboards_have_all_metrics_that_a_running_service_shows_and_no_others() {
    let db = TestDb::new().await;
    let mut serving = Serving::start(&["--nodes=2"], &[("DATABASE_URL", &db.url)]);
    // What has not happened yet is not shown: a commit, an answer.
    for n in 0..20 {
        assert_eq!(serving.client().await.post(&format!("/counter/c{n}/increment"), "").await.status, 200);
    }
    let metrics = serving.metrics().await;
    let own = queries(COUNTERS);
    assert!(own.len() >= 15, "{own:?}");
    assert_eq!(missing(&own, &metrics), [""; 0], "{metrics}");
    let all = [own.clone(), queries(PROJECTIONS)].concat();
    assert_eq!(unseen(&all, &metrics), [""; 0], "{metrics}");
    // The checks see what is wrong.
    assert_eq!(unseen(&all[1..], &metrics), [""; 0], "the second panel asks for requests, too");
    assert_eq!(unseen(&all[2..], &metrics), ["evenfold_counter_requests_total"]);
    let wrong = ["sum(rate(evenfold_counter_request_total[5m]))", "evenfold_counter_watchers{shard=\"1\"}"];
    assert_eq!(missing(&wrong, &metrics), ["evenfold_counter_request_total", "evenfold_counter_watchers{shard}"]);
    serving.end(Signal::SIGTERM);
}

/// What a pool shows that has applied something.
async fn of_workers(db: &TestDb) -> (Evenfold, String) {
    let pool = ["pool", "--http=127.0.0.1:0", "--workers=2", "--total-partitions=2", "--log=info"];
    let pool = Evenfold::spawn(&[&pool[..], &["--database-url", &db.url]].concat());
    let mut text = String::new();
    wait_until("the figures of a batch", SOON, async || {
        let Some(address) = pool.logged_address() else { return false };
        text = Client::connect(address).await.get("/metrics").await.body;
        text.lines().any(|line| line.starts_with("evenfold_worker_behind_events{"))
    })
    .await;
    (pool, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_of_the_projections_has_all_metrics_of_the_monitor_and_of_workers_and_no_others() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 0..20 {
        append_one(&mut conn, &format!("a{n}"), 1).await;
    }
    let (_pool, workers) = of_workers(&db).await;
    let monitor = Monitor::start(&db);
    let mut counted = String::new();
    wait_until("a count", SOON, async || {
        counted = monitor.metrics().await;
        counted.contains("evenfold_projection_worker_up{")
    })
    .await;
    let (metrics, queries) = (format!("{counted}{workers}"), queries(PROJECTIONS));
    assert_eq!(missing(&queries, &metrics), [""; 0], "{metrics}");
    assert_eq!(unseen(&queries, &metrics), [""; 0], "{metrics}");
    assert_eq!(
        tabulated("docs/guide/operating.md", "\n## Figures\n"),
        shown(&metrics).families.into_iter().map(str::to_owned).collect(),
        "docs/guide/operating.md"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_of_the_cache_and_its_table_have_all_of_its_metrics_and_no_others() {
    let served = Cached::new(CacheOptions::default().shards(4), ServiceOptions::default()).await;
    let mut client = served.client().await;
    assert_eq!(client.put("/v1/kv/hot", r#"{"value":1}"#).await.status, 201);
    assert_eq!(client.get("/v1/kv/none").await.status, 404);
    let mut metrics = String::new();
    wait_until("a hot key", SOON, async || {
        assert!((0..10_000).all(|_| served.cache.get("hot").is_some()));
        metrics = served.client().await.get("/metrics").await.body;
        metrics.contains("evenfold_cache_hot_key_load{") && metrics.contains("evenfold_cache_shard_imbalance_ratio ")
    })
    .await;
    let queries = queries(CACHE);
    assert_eq!(missing(&queries, &metrics), [""; 0], "{metrics}");
    assert_eq!(unseen(&queries, &metrics), [""; 0], "{metrics}");
    let all = shown(&metrics).families.into_iter().map(str::to_owned).collect();
    assert_eq!(tabulated("docs/services.md", "\n### Figures of the cache\n"), all, "docs/services.md");
    served.end().await;
}

/// The figures that a document has in the tables below a heading.
fn tabulated(name: &str, heading: &str) -> BTreeSet<String> {
    let text = document(name).text;
    let section = text.split(heading).nth(1).unwrap().split("\n## ").next().unwrap();
    section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

#[test]
fn prometheus_can_read_every_query() {
    let mut rules = "groups:\n- name: queries\n  rules:\n".to_owned();
    let all = [queries(COUNTERS), queries(PROJECTIONS), queries(CACHE)].concat();
    for (n, query) in all.iter().enumerate() {
        let query = query.replace("$__rate_interval", "1m").replace("$projection", ".*");
        write!(rules, "  - record: query:{n}\n    expr: {}\n", Value::from(query)).unwrap();
    }
    let directory = with_files(&[("rules.yml", &rules)]);
    let output = accepted("promtool", &["check", "rules", "rules.yml"], directory.path());
    assert!(output.contains(&format!("{} rules found", all.len())), "{output}");
}

#[test]
fn the_panels_of_a_dashboard_have_numbers_of_their_own_and_do_not_overlap() {
    for dashboard in [COUNTERS, PROJECTIONS, CACHE] {
        let dashboard: Value = serde_json::from_str(dashboard).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let number = |panel: &Value| panel["id"].as_i64().unwrap();
        let place = |panel: &Value| (panel["gridPos"]["x"].as_i64().unwrap(), panel["gridPos"]["y"].as_i64().unwrap());
        assert_eq!(panels.iter().map(number).collect::<BTreeSet<_>>().len(), panels.len());
        assert_eq!(panels.iter().map(place).collect::<BTreeSet<_>>().len(), panels.len());
    }
}
