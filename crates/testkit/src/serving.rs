//! `evenfold serve` as a process of its own.

use super::{Client, Evenfold};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::net::SocketAddr;
use std::process::Command;

/// What a machine may have set that would change what it does.
const VARIABLES: [&str; 14] = [
    "API_TOKEN",
    "READ_REQUIRES_AUTH",
    "REQUEST_TIMEOUT_MS",
    "MAX_INFLIGHT",
    "MAX_INFLIGHT_BYTES",
    "ALLOWED_HOSTS",
    "MAX_SHARD_MAILBOX",
    "MAX_WATCHERS",
    "NATS_URL",
    "NATS_CREDS",
    "NATS_NKEY",
    "NATS_CA",
    "EVENFOLD_CLUSTER_SECRET",
    "DATABASE_URL",
];

/// A running service, killed when dropped.
pub struct Serving {
    pub process: Evenfold,
    out: BufReader<PipeReader>,
    pub address: SocketAddr,
    pub figures: SocketAddr,
    /// What it has printed before it served.
    pub output: String,
}

impl Serving {
    /// The command, on the ports that the arguments say.
    pub fn command(args: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Evenfold::command(&["serve"]);
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command.args(args).envs(variables.iter().copied());
        command
    }

    /// Starts it on ports that are free.
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(Self::command(&[&["--port=0", "--metrics-port=0"], args].concat(), variables))
    }

    /// Starts this command.
    pub fn of(command: Command) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let (process, mut out) = (Evenfold::start_into(command, writer.into()), BufReader::new(reader));
        let mut output = String::new();
        for _ in 0..2 {
            assert!(out.read_line(&mut output).unwrap() > 0, "it ended: {output}{}", process.log());
        }
        let after = |start: &str| {
            let rest = output.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{output}"));
            rest.split([' ', ',', '/']).next().unwrap().parse().unwrap()
        };
        let (address, figures) = (after("serving on http://"), after("figures for Prometheus on http://"));
        Self { process, out, address, figures, output }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// What it prints next, up to a line that has this in it.
    pub fn prints(&mut self, last: &str) -> String {
        let mut text = String::new();
        while !text.lines().any(|line| line.contains(last)) {
            assert!(self.out.read_line(&mut text).unwrap() > 0, "it ended: {text}{}", self.process.log());
        }
        text
    }

    /// The figures, as text.
    pub async fn metrics(&self) -> String {
        Client::connect(self.figures).await.get("/metrics").await.body
    }

    /// Ends it by a signal, and gives the exit code and what else it has printed.
    pub fn end(&mut self, signal: Signal) -> (i32, String) {
        self.process.signal(signal);
        self.ended()
    }

    /// The exit code, and what else it has printed.
    pub fn ended(&mut self) -> (i32, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.process.wait(), rest)
    }
}
