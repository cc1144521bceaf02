//! PostgreSQL in a container, where no binaries are installed.

use std::sync::{Mutex, PoisonError};
use testcontainers_modules::postgres::Postgres;
use testcontainers_modules::testcontainers::runners::SyncRunner;
use testcontainers_modules::testcontainers::{Container, ImageExt};

static CONTAINER: Mutex<Option<Container<Postgres>>> = Mutex::new(None);

/// Starts the container of the run, and gives its URL.
pub(crate) fn url() -> String {
    // On a thread of its own: it starts a runtime, which can't be done from within the test's.
    let started = std::thread::spawn(|| {
        let container = Postgres::default().with_tag("17-alpine").start().expect("a container of PostgreSQL");
        let port = container.get_host_port_ipv4(5432).expect("its port");
        *CONTAINER.lock().unwrap_or_else(PoisonError::into_inner) = Some(container);
        format!("postgres://postgres:postgres@127.0.0.1:{port}/postgres")
    });
    started.join().expect("PostgreSQL in a container")
}

/// Removes the container.
pub(crate) fn remove() {
    let container = CONTAINER.lock().unwrap_or_else(PoisonError::into_inner).take();
    // It has a runtime of its own as well.
    let _ = std::thread::spawn(move || drop(container)).join();
}
