//! A thousand classes stay readable, and are there at once.

use crate::browser::Browser;
use crate::monitored::Monitored;
use evenfold_testkit::TestDb;

/// The first paint comes within this many milliseconds.
const FIRST_PAINT: f64 = 1000.0;

/// A thousand classes, of which eight processes have all but one, and somebody has never had that.
const CLASSES: &str = "
    INSERT INTO evenfold.projections (name, definition) VALUES ('counters', 'of a test');
    INSERT INTO evenfold.topologies (projection, total) VALUES ('counters', 1000);
    INSERT INTO evenfold.checkpoints (projection, modulus, residue) SELECT 'counters', 1000, n FROM generate_series(0, 999) n;
    INSERT INTO evenfold.heartbeats (worker, projection, partition_key, total_partitions, process, state, applied,
            coordination_ms, compute_ms, beat_at)
        SELECT gen_random_uuid(), 'counters', n, 1000, 'host-' || n / 125 || ':1', 'caught up', 5, 100, 300,
            now() + interval '1 hour'
        FROM generate_series(0, 999) n WHERE n <> 500;
    INSERT INTO evenfold.projections (name, definition) VALUES ('counters.rebuild', 'of a test');
    INSERT INTO evenfold.checkpoints (projection, modulus, residue) VALUES ('counters.rebuild', 1, 0)";

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_classes_are_readable_by_everybody_and_painted_within_a_second() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    sqlx::raw_sql(CLASSES).execute(&mut conn).await.unwrap();
    let monitored = Monitored::start(&db.url, None).await;
    let mut browser = Browser::open(monitored.address, 1440, "light");
    browser.wait(".totals dd", "999 of 1,000");
    // Once more, now that there are figures for the page to begin with.
    drop(browser);
    let mut browser = Browser::open(monitored.address, 1440, "light");
    browser.wait(".totals dd", "999 of 1,000");
    let painted = browser.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime");
    assert!(painted.as_f64().unwrap() <= FIRST_PAINT, "{painted} ms");

    browser.wait("#troubles .red", "nobody is at work on 1 of its 1000 classes (500/1000): no worker has it");
    assert_eq!(browser.texts(".classes tbody th").len(), 12, "the worst first, and not all of them");
    assert_eq!(browser.texts(".classes tbody th")[0], "500/1000");
    let widths = browser.evaluate(
        "[...document.querySelectorAll('.strip g:last-child rect')].map((rect) => rect.getBoundingClientRect().width)",
    );
    assert!(widths[0].as_f64().unwrap() >= 4.0, "a class that nobody works on can be seen among a thousand: {widths}");
    assert_eq!(browser.texts(".legend li").len(), 9, "eight owners, and nobody");
    assert_eq!(browser.texts(".projection").len(), 1, "a rebuild is shown with what it rebuilds");
    assert!(browser.text(".rebuild").contains("A rebuild is under way"));
    browser.is_for_everybody(360, "thousand");
    browser.is_for_everybody(1440, "thousand");

    browser.evaluate("document.querySelector('.more').focus()");
    browser.press("Enter");
    browser.wait(".more", "Show the worst 12");
    assert_eq!(browser.texts(".classes tbody th").len(), 1000);
    // What comes next takes the focus from nobody.
    let counted = browser.text("#when");
    browser.wait(&format!("#when:not(:has-text('{counted}'))"), "counted at");
    assert_eq!(browser.evaluate("document.activeElement.className"), "more");

    sqlx::raw_sql("DELETE FROM evenfold.checkpoints WHERE residue = 7").execute(&mut conn).await.unwrap();
    browser.wait("#troubles .red", "the cover of the hashes is not complete: 0.1 % of the hashes belong to no class");
    browser.wait(".legend .red", "no class: 0.1 % of the hashes");
    assert!(browser.text(".totals .red dd:text-is('NOT complete')").contains("NOT"));
    browser.has_no_complaints();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_pages_than_may_watch_are_refused_and_shown_the_figures_all_the_same() {
    let db = TestDb::new().await;
    let monitored = Monitored::start(&db.url, None).await;
    let mut watching = Vec::new();
    for _ in 0..64 {
        let mut client = monitored.client().await;
        client.begin("GET", "/v1/watch", &[], "").await;
        assert_eq!(client.head().await.unwrap().status, 200);
        assert!(client.chunk().await.unwrap().starts_with("data: {\"age_seconds\":"));
        watching.push(client);
    }
    let refused = monitored.client().await.get("/v1/watch").await;
    assert_eq!(refused.code(), (503, "too_many_watchers".to_owned()));
    let mut browser = Browser::open(monitored.address, 1440, "light");
    let counted = browser.text("#when");
    browser.wait(&format!("#when:not(:has-text('{counted}'))"), "counted at");
    assert_eq!(browser.evaluate("document.body.classList.contains('old')"), false, "it asks, and is current");
}
