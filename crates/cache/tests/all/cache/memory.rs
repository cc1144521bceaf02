//! What the process really takes up, by `/proc/self/statm`.
//!
//! Each test runs in a process of its own, so that nothing else is measured with it.

use evenfold_cache::{Cache, CacheOptions, Condition, Value};
use evenfold_groups::KeyHash;
use std::process::Command;

const MIB: u64 = 1024 * 1024;

/// In a process of its own: true there.
fn alone(test: &str) -> bool {
    const VARIABLE: &str = "EVENFOLD_TEST_MEMORY_ALONE";
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    let name = format!("cache::memory::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", &name, "--nocapture"]).env(VARIABLE, "1").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{stdout}");
    false
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
}

/// The resident memory that the cache adds, as a multiple of its budget, after so many puts.
#[expect(clippy::cast_precision_loss, reason = "a ratio")]
async fn filled(puts: usize, key: impl Fn(usize) -> String, bytes: impl Fn(usize) -> usize, ttl: bool) -> f64 {
    let budget = 64 * MIB;
    let ttl = ttl.then_some(std::time::Duration::from_hours(1));
    let cache = Cache::start(CacheOptions::default().shards(2).memory_budget_bytes(budget)).await;
    let cache = cache.unwrap();
    let before = resident();
    let mut most = 0;
    for n in 0..puts {
        let value = Value::from("x".repeat(bytes(n)).as_str());
        cache.put(&key(n), value, ttl, Condition::Always).await.unwrap();
        if n % 1024 == 0 {
            most = most.max(resident().saturating_sub(before));
        }
    }
    let stats = cache.stats();
    let (most, now) = (most as f64 / budget as f64, resident().saturating_sub(before) as f64 / budget as f64);
    println!("{} entries, {} evicted: at most {most:.3}, now {now:.3}", stats.entries, stats.evicted);
    assert!(stats.evicted > stats.entries, "it was full for long");
    most
}

#[test]
fn a_full_cache_of_small_entries_takes_up_its_budget() {
    if alone("a_full_cache_of_small_entries_takes_up_its_budget") {
        run(async {
            let most = filled(620_000, |n| format!("key:{n}"), |n| n % 50, false).await;
            assert!((0.7..1.1).contains(&most), "{most}");
        });
    }
}

#[test]
fn a_full_cache_of_entries_that_expire_takes_up_its_budget() {
    if alone("a_full_cache_of_entries_that_expire_takes_up_its_budget") {
        run(async {
            let most = filled(450_000, |n| format!("a key with more than 22 bytes:{n}"), |n| n % 50, true).await;
            assert!((0.7..1.1).contains(&most), "{most}");
        });
    }
}

#[test]
fn a_full_cache_of_large_values_takes_up_its_budget() {
    if alone("a_full_cache_of_large_values_takes_up_its_budget") {
        run(async {
            let most = filled(40_000, |n| format!("key:{n}"), |n| n * 7_919 % 20_000, false).await;
            assert!((0.7..1.1).contains(&most), "{most}");
        });
    }
}

/// Values of all sizes, put in any order, leave gaps in which the next does not fit.
#[test]
fn a_full_cache_of_mixed_values_takes_up_its_budget() {
    if alone("a_full_cache_of_mixed_values_takes_up_its_budget") {
        run(async {
            let random = |n: usize| usize::try_from(KeyHash::from(n as u64).value() >> 32).unwrap();
            let most = filled(400_000, |n| format!("key:{}", random(n) % 500_000), |n| random(n) % 400, false).await;
            assert!((0.7..1.1).contains(&most), "{most}");
        });
    }
}

/// What is replaced is freed in batches, which must not grow with the number of replacements.
#[test]
fn replacing_flat_out_takes_up_no_more_and_more() {
    if alone("replacing_flat_out_takes_up_no_more_and_more") {
        run(async {
            let options = CacheOptions::default().shards(2).memory_budget_bytes(64 * MIB);
            let cache = Cache::start(options).await.unwrap();
            let before = resident();
            let mut most = 0;
            for n in 0..20_000_usize {
                let value = Value::from("x".repeat(if n % 2 == 0 { 1_000_000 } else { 3_000 }).as_str());
                cache.put(&format!("key:{}", n % 8), value, None, Condition::Always).await.unwrap();
                most = most.max(resident().saturating_sub(before));
            }
            println!("at most {} KiB of memory with {} KiB of entries", most / 1024, cache.stats().bytes / 1024);
            assert!(most < 16 * MIB, "{most}");
        });
    }
}
