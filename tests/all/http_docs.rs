//! The OpenAPI document says what the service does, and the page needs nothing from elsewhere.

use crate::support::Cached;
use evenfold::http::cache::ErrorCode;
use serde_json::Value;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_document_is_there_and_says_how_it_fails() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let api = client.get("/docs/openapi.json").await.json();
    let mut operations = BTreeSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let answer = client.ask(&method.to_uppercase(), &path.replace("{key}", "a"), &[], "").await;
            let documented = operation["responses"].as_object().unwrap();
            assert!(documented.contains_key(&answer.status.to_string()), "{method} {path}: {answer:?}");
            assert!(!answer.body.contains("unknown_path") && answer.status != 405, "{method} {path}: {answer:?}");
            operations.insert(format!("{method} {path}"));
        }
    }
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
    assert_eq!(operations, expected.map(str::to_owned).into());
    served.end().await;
}

/// Each status that some operation answers with, and what is said about it.
fn answers(api: &Value) -> Vec<(u16, &str)> {
    let methods = api["paths"].as_object().unwrap().values().flat_map(|methods| methods.as_object().unwrap().values());
    let answers = methods.flat_map(|operation| operation["responses"].as_object().unwrap());
    answers.map(|(status, answer)| (status.parse().unwrap(), answer["description"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_code_is_in_the_document_with_its_status() {
    let served = Cached::plain().await;
    let api = served.client().await.get("/docs/openapi.json").await.json();
    let codes = api["components"]["schemas"]["ErrorCode"]["enum"].as_array().unwrap();
    assert_eq!(codes.len(), 25);
    let about = api["info"]["description"].as_str().unwrap();
    let answers = answers(&api);
    for code in codes {
        let name = format!("`{}`", code.as_str().unwrap());
        let status = serde_json::from_value::<ErrorCode>(code.clone()).unwrap().status().as_u16();
        let said = answers.iter().filter(|(_, what)| what.contains(&name)).map(|(status, _)| *status);
        let said: BTreeSet<u16> = said.chain(about.contains(&name).then_some(status)).collect();
        assert_eq!(said, [status].into(), "{name}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_of_the_document_leads_somewhere() {
    let served = Cached::plain().await;
    let api = served.client().await.get("/docs/openapi.json").await.json();
    let mut open = vec![&api];
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
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_offline() {
    let served = Cached::plain().await;
    let page = served.client().await.get("/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(page.body.contains("/docs/openapi.json") && !page.body.contains("://"), "nothing from elsewhere");
    served.end().await;
}
