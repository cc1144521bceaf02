//! `evenfold monitor` as a process of its own.

use crate::support::{Client, Evenfold, TestDb};
use std::io::{BufRead, BufReader, PipeReader};
use std::net::SocketAddr;

/// A running monitor, killed when dropped.
pub(crate) struct Monitor {
    pub(crate) process: Evenfold,
    pub(crate) address: SocketAddr,
    /// What it prints: a pipe without a reader would end it.
    _out: BufReader<PipeReader>,
}

impl Monitor {
    /// Starts it on a port that is free.
    pub(crate) fn start(db: &TestDb) -> Self {
        let mut command = Evenfold::command(&["monitor", "--http=127.0.0.1:0"]);
        command.env("DATABASE_URL", &db.url).env_remove("API_TOKEN");
        let (reader, writer) = std::io::pipe().unwrap();
        let (process, mut out) = (Evenfold::start_into(command, writer.into()), BufReader::new(reader));
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended: {}", process.log());
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().trim().parse().unwrap();
        Self { process, address, _out: out }
    }

    pub(crate) async fn metrics(&self) -> String {
        Client::connect(self.address).await.get("/metrics").await.body
    }
}
