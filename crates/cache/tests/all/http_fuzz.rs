//! Whatever is sent, the answer is no 5xx, and an error has a code.

use crate::support::{Cached, Client, HttpReply};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const ROUTES: [(&str, &str); 6] = [
    ("PUT", "/v1/kv/a"),
    ("POST", "/v1/kv/incr"),
    ("POST", "/v1/kv/batch/get"),
    ("POST", "/v1/kv/batch/set"),
    ("POST", "/v1/kv/batch/delete"),
    ("POST", "/v1/admin/resize"),
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name(), inner, 0..5).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Names that mean something, most of the time.
fn name() -> impl Strategy<Value = String> {
    let known = ["value", "ttlSec", "type", "key", "keys", "entries", "delta", "shards"];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,5}"]
}

/// Almost right: a body of some route with one of its values in place of another.
fn almost() -> impl Strategy<Value = Value> {
    let right = [
        json!({"value": 1, "ttlSec": 2.5, "type": "number"}),
        json!({"value": "AA==", "type": "base64"}),
        json!({"key": "a", "delta": 1}),
        json!({"keys": ["a", "b"]}),
        json!({"entries": [{"key": "a", "value": 1}]}),
        json!({"shards": 2}),
    ];
    (prop::sample::select(right.to_vec()), name(), any_json()).prop_map(|(mut body, name, value)| {
        body[name] = value;
        body
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![any_json(), almost()].prop_map(|value| value.to_string().into_bytes());
    prop_oneof![
        4 => text.clone(),
        2 => (text, any::<prop::sample::Index>()).prop_map(|(mut text, at)| {
            text.truncate(at.index(text.len() + 1));
            text
        }),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn judge(answer: &HttpReply) -> Result<(), TestCaseError> {
    let fine = [200, 201, 204, 304].contains(&answer.status);
    let refused = [400, 404, 405, 409, 412, 413, 422].contains(&answer.status);
    prop_assert!(fine || refused, "{answer:?}");
    prop_assert_eq!(refused, answer.body.starts_with("{\"error\":{\"code\":\""), "{:?}", answer);
    Ok(())
}

/// Runs a test's cases against one service, on one connection.
fn fuzz<S: Strategy>(cases: u32, inputs: &S, case: &impl AsyncFn(&mut Client, S::Value) -> Result<(), TestCaseError>) {
    let runtime = Runtime::new().unwrap();
    let served = runtime.block_on(Cached::plain());
    let client = std::cell::RefCell::new(runtime.block_on(served.client()));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(inputs, |input| runtime.block_on(case(&mut client.borrow_mut(), input)));
    assert!(outcome.is_ok(), "{outcome:?}");
    runtime.block_on(served.end());
}

#[test]
fn no_body_is_too_much() {
    fuzz(1_500, &(prop::sample::select(&ROUTES[..]), body()), &async |client, ((method, path), body)| {
        judge(&client.ask(method, path, &[], body).await)
    });
}

#[test]
fn no_key_and_no_precondition_is_too_much() {
    let method = prop::sample::select(&["GET", "PUT", "DELETE"][..]);
    // What a URI and a header can have; anything else is no HTTP.
    let inputs = (method, "[A-Za-z0-9%!$&'()*+,;=:@._~/-]{0,40}", "[ -~]{0,20}", prop::bool::ANY);
    fuzz(1_500, &inputs, &async |client, (method, key, tag, matches)| {
        let header = if matches { "if-match" } else { "if-none-match" };
        judge(&client.ask(method, &format!("/v1/kv/{key}"), &[(header, &tag)], r#"{"value":1}"#).await)
    });
}
