//! A monitor and workers as processes of their own.

use evenfold_testkit::{Client, Evenfold};
use std::net::SocketAddr;

/// The token of monitors that have one.
pub const TOKEN: &str = "browser-token";

/// A running `evenfold monitor`, killed when dropped.
pub struct Monitored {
    process: Evenfold,
    pub address: SocketAddr,
}

impl Monitored {
    /// Of a database, on a port that is free.
    pub async fn start(url: &str, token: Option<&str>) -> Self {
        Self::start_at("127.0.0.1:0", url, token).await
    }

    /// On this address.
    pub async fn start_at(http: &str, url: &str, token: Option<&str>) -> Self {
        let mut command = Evenfold::command(&["monitor", "--http", http, "--database-url", url]);
        command.env_remove("API_TOKEN").env_remove("READ_REQUIRES_AUTH").env_remove("ALLOWED_HOSTS");
        if let Some(token) = token {
            command.env("API_TOKEN", token);
        }
        let process = Evenfold::start(command);
        let address = process.address().await;
        Self { process, address }
    }

    /// A connection to it.
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Ends it at once.
    pub fn kill(mut self) -> SocketAddr {
        self.process.signal(nix::sys::signal::Signal::SIGKILL);
        self.process.wait();
        self.address
    }
}

/// Workers of these partitions, each a process.
pub fn workers(url: &str, total: u32) -> Vec<Evenfold> {
    (0..total).map(|key| worker(url, key, total)).collect()
}

/// A worker of one partition.
pub fn worker(url: &str, key: u32, total: u32) -> Evenfold {
    let (key, total) = (format!("--partition-key={key}"), format!("--total-partitions={total}"));
    Evenfold::spawn(&["worker", &key, &total, "--heartbeat-interval-ms=500", "--database-url", url])
}
