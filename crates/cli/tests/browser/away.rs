//! Where the database can't be asked, or the monitor is gone, the page says so, and what it shows is marked as old.

use crate::browser::Browser;
use crate::monitored::{Monitored, workers};
use evenfold_testkit::{Evenfold, Postgres};
use tokio::task::block_in_place;

/// Waits until the page says why it shows what is old, and fails unless that is marked.
fn is_old(browser: &mut Browser, why: &str) {
    browser.wait("#currency", why);
    browser.wait("#when", "NOT CURRENT");
    assert_eq!(browser.evaluate("document.body.classList.contains('old')"), true);
    assert!(browser.text(".projection > .stale-note").starts_with("Not current: as of "));
    assert_eq!(browser.text("#calm"), "", "nothing reassures");
}

/// Waits until what is shown is how things stand.
fn is_current(browser: &mut Browser) {
    browser.wait("#when:not(:has-text('NOT CURRENT'))", "counted at");
    browser.wait_gone("#currency .stale-note", "");
    assert_eq!(browser.evaluate("document.body.classList.contains('old')"), false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_database_and_a_killed_monitor_are_reported_in_words_and_old_figures_are_marked() {
    let server = block_in_place(|| Postgres::start("UTF8", ""));
    let url = server.url();
    let migrated = Evenfold::run(&["migrate", "--database-url", &url], "");
    assert!(migrated.status.success(), "{migrated:?}");
    let _workers = workers(&url, 1);
    let monitored = Monitored::start(&url, None).await;
    let mut browser = Browser::open(monitored.address, 1440, "light");
    browser.wait(".totals dd", "1 of 1");
    is_current(&mut browser);

    block_in_place(|| server.stop());
    browser.wait("#troubles .red", "The database can't be asked, and how anything stands is not known");
    is_old(&mut browser, "What is shown below was counted at");
    browser.is_for_everybody(1440, "away");
    // Whoever comes now is shown no figures at all.
    let mut late = Browser::open(monitored.address, 1440, "light");
    late.wait("#troubles .red", "The database can't be asked");
    late.wait("#when", "NOT CURRENT: never counted");
    assert_eq!(late.texts(".projection"), [""; 0]);
    late.has_no_complaints();
    drop(late);

    block_in_place(|| server.start_again());
    is_current(&mut browser);
    browser.has_no_complaints();
    let address = monitored.kill().to_string();
    is_old(&mut browser, "Evenfold monitor can't be reached since");
    // The page finds it again by itself.
    let _again = Monitored::start_at(&address, &url, None).await;
    is_current(&mut browser);
}
