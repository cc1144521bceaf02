//! The figures of the workers of a process, as metrics: those that Prometheus gets as well, under the same names.

use evenfold::projection::{Process, ProcessWorker};
use evenfold_monitor::{GAUGES, TOTALS, labels};
use opentelemetry::metrics::Meter;
use opentelemetry::{KeyValue, global};
use std::sync::{Arc, Mutex, PoisonError};

/// The workers that were there at the last export: one that has ended since has done something more.
#[derive(Default)]
struct Seen(Mutex<Vec<ProcessWorker>>);

impl Seen {
    /// These workers, and those that have ended.
    fn with(&self, workers: Vec<ProcessWorker>) -> Vec<ProcessWorker> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = workers;
        let ended = |one: &ProcessWorker| all.iter().all(|other| labels(other) != labels(one));
        let ended: Vec<_> = seen.iter().filter(|one| ended(one)).cloned().collect();
        all.extend(ended);
        seen.clone_from(&all);
        all
    }
}

/// Exports what the workers of this process do, for as long as it runs; nothing where metrics are not exported.
pub(crate) fn observe(process: &Process) {
    let (meter, seen) = (global::meter("evenfold"), Arc::<Seen>::default());
    for (name, help, of) in TOTALS {
        let (process, seen) = (process.clone(), Arc::clone(&seen));
        let counter = meter.f64_observable_counter(format!("evenfold_{name}")).with_description(help);
        let counter = counter.with_unit(unit(name)).with_callback(move |observer| {
            for worker in seen.with(process.workers()) {
                observer.observe(of(&worker), &attributes(&worker));
            }
        });
        let _registered = counter.build();
    }
    for (name, help, of) in GAUGES {
        let process = process.clone();
        let gauge = meter.f64_observable_gauge(format!("evenfold_{name}")).with_description(help);
        let gauge = gauge.with_unit(unit(name)).with_callback(move |observer| {
            for worker in process.workers() {
                if let Some(value) = of(&worker) {
                    observer.observe(value, &attributes(&worker));
                }
            }
        });
        let _registered = gauge.build();
    }
    phases(&meter, process);
}

/// What each worker is doing: 1 for the phase that it is in.
fn phases(meter: &Meter, process: &Process) {
    let process = process.clone();
    let gauge = meter.f64_observable_gauge("evenfold_worker_phase");
    let gauge = gauge.with_description("What the worker is doing: 1 for the phase that it is in");
    let gauge = gauge.with_callback(move |observer| {
        for worker in process.workers() {
            let phase = KeyValue::new("phase", worker.progress.phase().name());
            observer.observe(1.0, &[attributes(&worker).as_slice(), &[phase]].concat());
        }
    });
    let _registered = gauge.build();
}

/// As UCUM has it.
fn unit(name: &str) -> &'static str {
    if name.ends_with("_seconds") { "s" } else { "1" }
}

fn attributes(worker: &ProcessWorker) -> [KeyValue; 2] {
    labels(worker).map(|(name, value)| KeyValue::new(name, value))
}
