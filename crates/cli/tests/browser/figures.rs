//! What the page shows is what the database says: before and after a kill, and a change of totals.

use crate::browser::Browser;
use crate::monitored::{Monitored, worker, workers};
use evenfold::checkpoint::status;
use evenfold::counters::NAME;
use evenfold::schema::Schema;
use evenfold_testkit::{Evenfold, SOON, TestDb, append_one, ids_in, partition, scalar, wait_until};
use nix::sys::signal::Signal;
use sqlx::PgConnection;
use std::time::{Duration, Instant};

/// A dead worker is red on the page within this time.
const RED: Duration = Duration::from_secs(10);

/// A figure of the only projection, by its name.
fn figure(browser: &mut Browser, name: &str) -> String {
    browser.text(&format!(".totals div:has(dt:text-is('{name}')) dd"))
}

/// Waits until a figure is this.
fn becomes(browser: &mut Browser, name: &str, value: &str) {
    let selector = format!(".totals div:has(dt:text-is('{name}')) dd:text-is('{value}')");
    browser.wait(&selector, "");
}

/// The cells of the row of a class.
fn row(browser: &mut Browser, class: &str) -> Vec<String> {
    browser.texts(&format!("tr[data-class='{class}'] > *"))
}

async fn append(conn: &mut PgConnection, ids: &[String], times: i64) {
    for id in ids {
        for _ in 0..times {
            append_one(conn, id, 1).await;
        }
    }
}

async fn applied(conn: &mut PgConnection, events: i64) {
    let sum = "SELECT coalesce(sum(events), 0)::bigint FROM evenfold.counters";
    wait_until("the events", SOON, async || scalar(conn, sum).await == events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_the_database_says_and_a_killed_worker_is_red_within_ten_seconds() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let monitored = Monitored::start(&db.url, None).await;
    let mut browser = Browser::open(monitored.address, 1440, "light");
    browser.wait("#calm", "No projection has begun in this database");

    let mut all = workers(&db.url, 2);
    let ids = [0, 1].map(|key| ids_in(partition(key, 2), 1)[0].clone());
    append(&mut conn, &ids, 5).await;
    applied(&mut conn, 10).await;
    becomes(&mut browser, "Classes with somebody at work", "2 of 2");
    becomes(&mut browser, "Events behind", "0");
    assert_eq!(figure(&mut browser, "Partitions"), "2");
    assert_eq!(figure(&mut browser, "Cover of the hashes"), "complete");
    browser.wait("#calm", "Nothing found that needs somebody, in 1 projection");
    let standing = status(&Schema::default(), &mut conn, NAME).await.unwrap();
    for class in &standing.classes {
        // What a worker has spent comes with its second heartbeat.
        browser.wait(&format!("tr[data-class='{}'] td[data-label='Coordination']", class.class), " % of ");
        let shown = row(&mut browser, &class.class);
        assert_eq!(shown[0], class.class);
        assert_eq!(shown[1], class.position.to_string());
        assert_eq!(shown[6], class.owner.as_deref().unwrap());
        assert!(shown[7].ends_with(" s") && shown[8].contains(" % of "), "{shown:?}");
    }
    let strip = "document.querySelectorAll('.strip rect').length";
    assert!(browser.evaluate(strip).as_i64().unwrap() >= 2, "a segment for each owner");
    browser.has_no_complaints();

    all[0].signal(Signal::SIGKILL);
    all[0].wait();
    let killed = Instant::now();
    append(&mut conn, &ids[..1], 3).await;
    browser.wait("#troubles .red", "nobody is at work on 1 of its 2 classes (0/2): no heartbeat from");
    assert!(killed.elapsed() < RED, "{:?}", killed.elapsed());
    becomes(&mut browser, "Events behind", "3");
    assert_eq!(figure(&mut browser, "Classes with somebody at work"), "1 of 2");
    let shown = row(&mut browser, "0/2");
    assert_eq!((shown[2].as_str(), shown[9].starts_with("nobody at work: no heartbeat for")), ("3", true), "{shown:?}");
    assert_eq!(browser.texts("tr.red th"), ["0/2"]);
    assert!(browser.text(".legend .red").starts_with("nobody at work: 1 class, 50 %"));
    assert!(browser.text("#troubles .red").contains(", since "), "since when is in the sentence");
    assert_eq!(browser.text("#calm"), "", "nothing reassures");

    let _again = worker(&db.url, 0, 2);
    browser.wait_gone("#troubles .red", "nobody is at work");
    becomes(&mut browser, "Events behind", "0");
    browser.has_no_complaints();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_totals_is_shown_with_the_number_that_was_replaced_and_its_grace() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let monitored = Monitored::start(&db.url, None).await;
    let _two = workers(&db.url, 2);
    append(&mut conn, &["a".to_owned()], 1).await;
    applied(&mut conn, 1).await;
    let mut browser = Browser::open(monitored.address, 360, "dark");
    becomes(&mut browser, "Partitions", "2");
    let _three: Vec<Evenfold> = workers(&db.url, 3);
    becomes(&mut browser, "Partitions", "3");
    browser.wait(".topology tr", "replaced at");
    browser.wait(".topology tr", "workers with it wait for");
    becomes(&mut browser, "Classes with somebody at work", "3 of 3");
    // One that is restarted with the number that was replaced.
    let _late = worker(&db.url, 0, 2);
    browser.wait("#troubles .amber", "1 worker waits with 2 partitions");
    browser.wait(".topology", "1 worker waits with 2 partitions");
    browser.has_no_complaints();
}
