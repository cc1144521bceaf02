//! What is parked, what it contains when somebody asks, and what an operator can do about it.

use crate::browser::Browser;
use crate::monitored::{Monitored, TOKEN, worker};
use evenfold_testkit::{SOON, TestDb, scalar, wait_until};
use serde_json::json;
use sqlx::PgConnection;

/// An id that would be markup, were it not kept from being any; and that turns around what comes after it.
const HOSTILE: &str = "<img src=x onerror=\"document.title='taken'\">' & \u{202e}txt";

/// Appends events as writers do that number them themselves.
async fn insert(conn: &mut PgConnection, id: &str, version: i64, payload: &str) {
    sqlx::query(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         VALUES ($1, 't', $2, 'added', $3::json)",
    )
    .bind(version)
    .bind(id)
    .bind(payload)
    .execute(conn)
    .await
    .unwrap();
}

const PARKED: &str = "SELECT count(*) FROM evenfold.parked_events WHERE dropped_at IS NULL";

async fn parked(conn: &mut PgConnection, events: i64) {
    wait_until("parked events", SOON, async || scalar(conn, PARKED).await == events).await;
}

/// Who did what, and what became of it.
async fn record(conn: &mut PgConnection) -> Vec<(String, String, String, Option<String>)> {
    let rows = "SELECT who, what, aggregate_id, outcome FROM evenfold.operations ORDER BY operation";
    sqlx::query_as(rows).fetch_all(conn).await.unwrap()
}

/// Says in the dialog who one is.
fn sign(browser: &mut Browser, token: &str) {
    browser.fill("#act-who", "Ada");
    browser.fill("#act-token", token);
    browser.click("#act-do");
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_shown_with_their_payload_when_asked_and_applied_or_dropped_by_a_click() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let monitored = Monitored::start(&db.url, Some(TOKEN)).await;
    let _worker = worker(&db.url, 0, 1);
    insert(&mut conn, "gap", 1, r#"{"amount": 1}"#).await;
    insert(&mut conn, "gap", 3, r#"{"amount": 3, "secret": "</pre><script>document.title='taken'</script>"}"#).await;
    insert(&mut conn, HOSTILE, 1, r#"{"amount": "x"}"#).await;
    parked(&mut conn, 2).await;

    let mut browser = Browser::open(monitored.address, 1440, "light");
    browser.wait("#troubles .amber", "2 aggregates are parked");
    browser.wait(".parked tr", "version 3 follows version 1: expected 2");
    browser.wait(".parked th", "<img src=x onerror=\"document.title='taken'\">' & \\u{202e}txt");
    let visible = browser.text("body");
    assert!(!visible.contains("secret"), "payloads are masked");
    // What an event contains needs the token.
    browser.click(".parked tr:has-text('gap') button:text-is('Show payload')");
    browser.fill("#act-token", TOKEN);
    browser.press("Enter");
    browser.wait(".parked pre", "</pre><script>document.title='taken'</script>");
    browser.is_for_everybody(360, "parked");
    browser.is_for_everybody(1440, "parked");

    // The cause is mended, and the parked events are applied by a click; not with another token.
    insert(&mut conn, "gap", 2, r#"{"amount": 2}"#).await;
    parked(&mut conn, 3).await;
    browser.click(".parked tr:has-text('gap') button:text-is('Retry')");
    sign(&mut browser, "another");
    browser.wait("#act-wrong", "the token in Authorization is not the right one");
    assert_eq!(record(&mut conn).await, [], "who may not leaves no record, and changes nothing");
    sign(&mut browser, TOKEN);
    browser.wait("#operations tr", "applied 2 events, nothing of it is parked any more");
    browser.wait_gone(".parked tr", "gap");
    assert_eq!(scalar(&mut conn, "SELECT value FROM evenfold.counters WHERE aggregate_id = 'gap'").await, 6);

    browser.click(".parked tr:has-text('txt') button:text-is('Drop')");
    sign(&mut browser, TOKEN);
    browser.wait("#operations tr", "dropped the first parked event");
    browser.wait_gone("#troubles li", "parked");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events WHERE dropped_at IS NOT NULL").await, 1);
    let record = record(&mut conn).await;
    let done: Vec<_> = record.iter().map(|(who, what, id, _)| (who.as_str(), what.as_str(), id.as_str())).collect();
    assert_eq!(done, [("Ada", "retry", "gap"), ("Ada", "drop", HOSTILE)]);
    assert!(record.iter().all(|(.., outcome)| outcome.is_some()), "{record:?}");
    assert_eq!(browser.evaluate("document.title"), "evenfold monitor", "nothing of others was run");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_changed_and_with_one_only_by_who_has_it_and_says_who_they_are() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let _worker = worker(&db.url, 0, 1);
    insert(&mut conn, "a", 1, r#"{"amount": "x"}"#).await;
    parked(&mut conn, 1).await;
    let position = scalar(&mut conn, "SELECT position FROM evenfold.parked_events").await;
    let request = |projection: &str, id: &str, who: &str| {
        let (aggregate_type, aggregate_id) = ("t", id);
        json!({ "projection": projection, "aggregate_type": aggregate_type, "aggregate_id": aggregate_id,
            "position": position, "who": who })
        .to_string()
    };

    let read_only = Monitored::start(&db.url, None).await;
    let mut client = read_only.client().await;
    for path in ["/v1/parked/retry", "/v1/parked/drop"] {
        assert_eq!(client.post(path, request("counters", "a", "Ada")).await.code(), (403, "read_only".to_owned()));
    }
    let mut browser = Browser::open(read_only.address, 1440, "light");
    browser.wait(".parked tr", "the amount is a string");
    assert!(browser.texts("button").iter().all(|button| button != "Retry" && button != "Drop"));
    browser.wait(".projection", "start `evenfold monitor` with API_TOKEN");

    let monitored = Monitored::start(&db.url, Some(TOKEN)).await;
    let mut client = monitored.client().await;
    let payload = format!("/v1/parked/payload?projection=counters&position={position}");
    assert_eq!(client.get(&payload).await.code(), (401, "unauthorized".to_owned()));
    assert_eq!(client.post("/v1/parked/retry", request("counters", "a", "Ada")).await.status, 401);
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str())];
    assert!(client.ask("GET", &payload, &headers, "").await.body.contains(r#"{\"amount\": \"x\"}"#));
    for (projection, id, who, code) in [
        ("counters", "a", " ", (422, "invalid_body")),
        ("counters", "a", "a\u{7}", (422, "invalid_body")),
        ("counters", "b", "Ada", (404, "not_parked")),
        ("others", "a", "Ada", (409, "not_here")),
    ] {
        let answer = client.ask("POST", "/v1/parked/drop", &headers, request(projection, id, who)).await;
        assert_eq!(answer.code(), (code.0, code.1.to_owned()), "{answer:?}");
    }
    assert_eq!((scalar(&mut conn, PARKED).await, record(&mut conn).await), (1, Vec::new()), "nothing has changed");
    let answer = client.ask("POST", "/v1/parked/retry", &headers, request("counters", "a", "Ada")).await;
    assert!(answer.status == 200 && answer.body.contains("parked again at version 1"), "{answer:?}");
}
