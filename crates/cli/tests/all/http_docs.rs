//! The OpenAPI documents say what the services do, and their page needs nothing from elsewhere.

use crate::support::{Cached, Client, Counting};
use evenfold_cache::CacheOptions;
use evenfold_cache::http as cache;
use evenfold_counter_service::http as counter;
use evenfold_http::{ApiToken, Auth};
use serde_json::Value;
use std::collections::BTreeSet;

/// Asks each operation of the document, with `a` in the place of a parameter, and gives their names.
async fn operations(client: &mut Client, api: &Value) -> BTreeSet<String> {
    let mut operations = BTreeSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let asked = path.replace("{key}", "a").replace("{id}", "a");
            // A stream is asked for its head alone: it has no end.
            let asked_by = if path.ends_with("/watch") { "HEAD".to_owned() } else { method.to_uppercase() };
            let answer = client.ask(&asked_by, &asked, &[], "").await;
            let documented = operation["responses"].as_object().unwrap();
            assert!(documented.contains_key(&answer.status.to_string()), "{method} {path}: {answer:?}");
            assert!(!answer.body.contains("unknown_path") && answer.status != 405, "{method} {path}: {answer:?}");
            operations.insert(format!("{method} {path}"));
        }
    }
    operations
}

async fn document(client: &mut Client) -> Value {
    let api = client.get("/docs/openapi.json").await.json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_cache_is_there_and_says_how_it_fails() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let api = document(&mut client).await;
    let expected = [
        "delete /v1/kv/{key}",
        "get /healthz",
        "get /metrics",
        "get /readyz",
        "get /v1/kv/{key}",
        "post /v1/admin/drain",
        "post /v1/admin/resize",
        "post /v1/admin/resume",
        "post /v1/kv/batch/delete",
        "post /v1/kv/batch/get",
        "post /v1/kv/batch/set",
        "post /v1/kv/incr",
        "put /v1/kv/{key}",
    ];
    assert_eq!(operations(&mut client, &api).await, expected.map(str::to_owned).into());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_counters_is_there_and_says_how_it_fails() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    let api = document(&mut client).await;
    let expected = [
        "get /counter/{id}",
        "get /counter/{id}/watch",
        "get /counters",
        "get /healthz",
        "get /readyz",
        "post /counter/{id}/increment",
    ];
    assert_eq!(operations(&mut client, &api).await, expected.map(str::to_owned).into());
    served.end().await;
}

/// What is served besides the operations.
const PAGES: [&str; 3] = ["/", "/docs", "/docs/openapi.json"];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// Whether this is a path like that of an operation.
fn is_like(path: &str, operation: &str) -> bool {
    let (path, operation): (Vec<_>, Vec<_>) = (path.split('/').collect(), operation.split('/').collect());
    path.len() == operation.len() && path.iter().zip(operation).all(|(one, like)| *one == like || like.starts_with('{'))
}

/// The methods that the document has for a path.
fn documented(api: &Value, path: &str) -> BTreeSet<String> {
    if PAGES.contains(&path) {
        return ["GET", "HEAD"].map(str::to_owned).into();
    }
    let paths = api["paths"].as_object().unwrap().iter().filter(|(operation, _)| is_like(path, operation));
    let mut methods: BTreeSet<String> = paths
        .flat_map(|(_, methods)| methods.as_object().unwrap().keys())
        .map(|method| method.to_uppercase())
        .collect();
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods
}

/// The paths of the document, and others around them.
fn paths(api: &Value) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = PAGES.map(str::to_owned).into();
    for operation in api["paths"].as_object().unwrap().keys() {
        let path = operation.replace("{key}", "a").replace("{id}", "a");
        paths.extend([format!("{path}/"), format!("{path}/a"), format!("{path}x"), operation.to_uppercase()]);
        paths.extend(path.match_indices('/').flat_map(|(at, _)| [path[..at].to_owned(), path[..=at].to_owned()]));
        paths.insert(path);
    }
    paths.remove("");
    paths
}

/// Asks for each of these paths by each method, and compares what is served to what is documented.
async fn assert_documented(client: &mut Client) {
    let api = document(client).await;
    for path in paths(&api) {
        let expected = documented(&api, &path);
        // A stream has no end.
        for method in METHODS.into_iter().filter(|method| !(*method == "GET" && path.ends_with("/watch"))) {
            let answer = client.ask(method, &path, &[], "").await;
            let unknown = answer.status == 404 && (method == "HEAD" || answer.body.contains("\"unknown_path\""));
            let other = answer.status == 405;
            if expected.contains(method) {
                // A key that is not there is no path that is not there, which a HEAD does not show.
                assert!((!unknown || method == "HEAD") && !other, "{method} {path} is documented: {answer:?}");
            } else if expected.is_empty() {
                assert!(unknown, "{method} {path} is not documented: {answer:?}");
            } else {
                assert!(other, "{method} {path} is not documented: {answer:?}");
                let allow = answer.header("allow").unwrap().split(',').map(str::to_owned).collect::<BTreeSet<_>>();
                assert_eq!(allow, expected, "{method} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_operation_is_served_and_every_served_one_is_documented() {
    let (cached, counting) = (Cached::plain().await, Counting::plain().await);
    for mut client in [cached.client().await, counting.client().await] {
        assert_documented(&mut client).await;
    }
    cached.end().await;
    counting.end().await;
}

/// By a path alone: the service may be reached by any name. It is as open as the page.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_the_address_alone_is_led_to_the_page() {
    let auth = || Some(Auth { token: ApiToken::new("secret").unwrap(), reads: true });
    let cached =
        Cached::new(CacheOptions::default(), evenfold_cache::http::ServiceOptions::default().auth(auth())).await;
    let counting = Counting::with(evenfold_counter_service::http::ServiceOptions::default().auth(auth())).await;
    for mut client in [cached.client().await, counting.client().await] {
        for method in ["GET", "HEAD"] {
            let led = client.ask(method, "/", &[], "").await;
            assert_eq!((led.status, led.header("location")), (307, Some("/docs")), "{led:?}");
        }
        assert_eq!(client.get("/docs").await.status, 200);
        assert_eq!(client.post("/", "").await.code(), (405, "method_not_allowed".to_owned()));
        assert_eq!(client.get("/?").await.status, 307);
        assert_eq!(client.get("//").await.code(), (401, "unauthorized".to_owned()));
    }
    cached.end().await;
    counting.end().await;
}

/// Each status that some operation answers with, and its description.
fn answers(api: &Value) -> Vec<(u16, &str)> {
    let methods = api["paths"].as_object().unwrap().values().flat_map(|methods| methods.as_object().unwrap().values());
    let answers = methods.flat_map(|operation| operation["responses"].as_object().unwrap());
    answers.map(|(status, answer)| (status.parse().unwrap(), answer["description"].as_str().unwrap())).collect()
}

/// Each code of the document is listed at its status, and at no other; how many there are.
fn assert_codes(api: &Value, status: impl Fn(Value) -> u16) -> usize {
    let codes = api["components"]["schemas"]["ErrorCode"]["enum"].as_array().unwrap();
    let about = api["info"]["description"].as_str().unwrap();
    let answers = answers(api);
    for code in codes {
        let name = format!("`{}`", code.as_str().unwrap());
        let status = status(code.clone());
        let statuses = answers.iter().filter(|(_, what)| what.contains(&name)).map(|(status, _)| *status);
        let statuses: BTreeSet<u16> = statuses.chain(about.contains(&name).then_some(status)).collect();
        assert_eq!(statuses, [status].into(), "{name}");
    }
    codes.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_code_is_in_the_document_with_its_status() {
    let cached = Cached::plain().await;
    let api = document(&mut cached.client().await).await;
    let status = |code| serde_json::from_value::<cache::ErrorCode>(code).unwrap().status().as_u16();
    assert_eq!(assert_codes(&api, status), 29);
    cached.end().await;
    let counting = Counting::plain().await;
    let api = document(&mut counting.client().await).await;
    let status = |code| serde_json::from_value::<counter::ErrorCode>(code).unwrap().status().as_u16();
    assert_eq!(assert_codes(&api, status), 29);
    counting.end().await;
}

fn assert_references(api: &Value) {
    let mut open = vec![api];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                    assert!(api.pointer(target.trim_start_matches('#')).is_some(), "{target}");
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_of_the_documents_leads_somewhere() {
    let (cached, counting) = (Cached::plain().await, Counting::plain().await);
    for mut client in [cached.client().await, counting.client().await] {
        assert_references(&document(&mut client).await);
    }
    cached.end().await;
    counting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_offline_and_is_one_for_all_services() {
    let (cached, counting) = (Cached::plain().await, Counting::plain().await);
    let mut pages = Vec::new();
    for mut client in [cached.client().await, counting.client().await] {
        let page = client.get("/docs").await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert!(page.body.contains("/docs/openapi.json") && !page.body.contains("://"), "nothing from elsewhere");
        pages.push(page.body);
    }
    assert_eq!(pages[0], pages[1]);
    cached.end().await;
    counting.end().await;
}
