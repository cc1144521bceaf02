//! Reads on two threads with concurrent writes, against other caches with the same budget and policy.

use super::args::{CacheArgs, figure};
use evenfold_cache::{Cache, CacheOptions, Condition, Value};
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::stats::sample;
use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use moka::policy::EvictionPolicy;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, spawn_blocking};

/// How many things are measured in each run.
pub(super) const STEPS: u64 = 3;

const READERS: usize = 2;

/// Writes per second concurrent to the reads, in a portion per millisecond.
const WRITES: u64 = 50_000;
const PORTION: usize = 50;

/// As many keys as fill the budget about twice, so that writes evict.
const KEYS: usize = 200_000;
const VALUE_BYTES: usize = 100;
const BUDGET: u64 = 32 * 1024 * 1024;

/// Zipf's exponent: how much more often the more popular keys are asked for.
const SKEW: f64 = 0.99;

/// What all of them can do.
trait ReadTarget: Clone + Send + Sync + 'static {
    /// Whether it was there. The value is read: a byte of it counts.
    fn get(&self, key: &str) -> bool;
    fn put(&self, key: &str, value: Arc<str>) -> impl Future<Output = anyhow::Result<()>> + Send;
}

#[derive(Clone)]
struct Own(Cache);

impl ReadTarget for Own {
    fn get(&self, key: &str) -> bool {
        matches!(self.0.get(key), Some(found) if matches!(&found.value, Value::String(text) if !text.is_empty()))
    }

    async fn put(&self, key: &str, value: Arc<str>) -> anyhow::Result<()> {
        self.0.put(key, Value::String(value), None, Condition::Always).await?;
        Ok(())
    }
}

#[derive(Clone)]
struct Moka(moka::sync::Cache<String, Arc<str>>);

impl ReadTarget for Moka {
    fn get(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_empty())
    }

    async fn put(&self, key: &str, value: Arc<str>) -> anyhow::Result<()> {
        self.0.insert(key.to_owned(), value);
        Ok(())
    }
}

/// What an entry weighs, for those caches that ask for it.
#[derive(Clone)]
struct Bytes;

impl quick_cache::Weighter<String, Arc<str>> for Bytes {
    fn weight(&self, key: &String, value: &Arc<str>) -> u64 {
        weight(key, value)
    }
}

fn weight(key: &str, value: &str) -> u64 {
    /// What the entry takes up in addition to its texts, about.
    const OVERHEAD: usize = 150;
    (key.len() + value.len() + OVERHEAD) as u64
}

#[derive(Clone)]
struct Quick(Arc<quick_cache::sync::Cache<String, Arc<str>, Bytes>>);

impl ReadTarget for Quick {
    fn get(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_empty())
    }

    async fn put(&self, key: &str, value: Arc<str>) -> anyhow::Result<()> {
        self.0.insert(key.to_owned(), value);
        Ok(())
    }
}

fn moka() -> Moka {
    let policy = EvictionPolicy::lru();
    let weigher = |key: &String, value: &Arc<str>| u32::try_from(weight(key, value)).unwrap_or(u32::MAX);
    Moka(moka::sync::Cache::builder().eviction_policy(policy).weigher(weigher).max_capacity(BUDGET).build())
}

/// What is asked for and put, drawn before.
struct Trace {
    keys: Vec<String>,
    draws: Vec<u32>,
    value: String,
}

impl Trace {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "fewer keys than 2^32")]
    fn new() -> Self {
        let weights = (1..=KEYS).map(|rank| (rank as f64).powf(-SKEW));
        let mut sum = 0.0;
        let upto: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        let mut random = fastrand::Rng::with_seed(7);
        let draws = (0..1 << 20).map(|_| upto.partition_point(|upto| *upto < random.f64() * sum) as u32).collect();
        let keys = (0..KEYS).map(|key| format!("counter-{key:08}")).collect();
        Self { keys, draws, value: "v".repeat(VALUE_BYTES) }
    }

    /// A value of its own for each entry: one for all would be a single reference count that everybody fights for.
    fn value(&self) -> Arc<str> {
        self.value.as_str().into()
    }

    /// The keys of one who begins at his own place.
    fn from(&self, place: usize) -> impl Iterator<Item = &String> {
        let from = place * self.draws.len() / 4;
        self.draws.iter().cycle().skip(from).map(|draw| &self.keys[*draw as usize % KEYS])
    }
}

pub(super) async fn measure(args: &CacheArgs, steps: &ProgressBar) -> anyhow::Result<Vec<Figure>> {
    let trace = Arc::new(Trace::new());
    let (mut own, mut quick, mut slow) = (vec![], vec![], vec![]);
    for _ in 0..args.runs.runs {
        let cache = Cache::start(CacheOptions::default().memory_budget_bytes(BUDGET)).await?;
        own.push(rate(Own(cache.clone()), &trace, args.time()).await?);
        cache.stop().await;
        steps.inc(1);
        let cache = quick_cache::sync::Cache::with_weighter(KEYS, BUDGET, Bytes);
        quick.push(rate(Quick(Arc::new(cache)), &trace, args.time()).await?);
        steps.inc(1);
        slow.push(rate(moka(), &trace, args.time()).await?);
        steps.inc(1);
    }
    Ok(vec![
        figure("get", Unit::PerSecond, &own, "quick_cache", quick, Goal::AtLeast(1.0)),
        figure("get", Unit::PerSecond, &own, "moka", slow, Goal::AtLeast(5.0)),
    ])
}

/// Reads per second of all readers together.
async fn rate<T: ReadTarget>(target: T, trace: &Arc<Trace>, time: Duration) -> anyhow::Result<f64> {
    for key in trace.keys.iter().rev() {
        target.put(key, trace.value()).await?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writer = write(target.clone(), trace, &stop, &written);
    let started = Instant::now();
    let readers: Vec<_> = (0..READERS).map(|place| read(target.clone(), trace, &stop, place)).collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut reads = 0;
    for reader in readers {
        reads += reader.await?;
    }
    let elapsed = started.elapsed().as_secs_f64();
    writer.await??;
    let made = sample(written.load(Ordering::Relaxed)) / elapsed;
    if made < sample(WRITES) * 0.9 {
        tracing::warn!(
            "only {made:.0} of {WRITES} writes per second were made during the reads: the machine is too busy"
        );
    }
    Ok(sample(reads) / elapsed)
}

/// Reads as fast as it can, on a thread of its own.
fn read<T: ReadTarget>(target: T, trace: &Arc<Trace>, stop: &Arc<AtomicBool>, place: usize) -> JoinHandle<u64> {
    let (trace, stop) = (Arc::clone(trace), Arc::clone(stop));
    spawn_blocking(move || {
        let (mut reads, mut found) = (0, 0);
        let mut keys = trace.from(place);
        while !stop.load(Ordering::Relaxed) {
            for key in keys.by_ref().take(256) {
                found += u64::from(target.get(key));
                reads += 1;
            }
        }
        // Used, so that no read can be left out.
        std::hint::black_box(found);
        reads
    })
}

/// Writes a portion per millisecond, all of it at the same time, and makes up for what it is behind.
fn write<T: ReadTarget>(
    target: T,
    trace: &Arc<Trace>,
    stop: &Arc<AtomicBool>,
    written: &Arc<AtomicU64>,
) -> JoinHandle<anyhow::Result<()>> {
    let (trace, stop, written) = (Arc::clone(trace), Arc::clone(stop), Arc::clone(written));
    tokio::spawn(async move {
        let mut keys = trace.from(READERS);
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            let portion = keys.by_ref().take(PORTION).map(|key| target.put(key, trace.value()));
            let put = try_join_all(portion).await?;
            written.fetch_add(put.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    })
}
