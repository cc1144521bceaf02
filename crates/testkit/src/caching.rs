//! `evenfold cache` as a process of its own.

use super::{Client, Evenfold};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// What a machine may have set that would change what it does.
const VARIABLES: [&str; 14] = [
    "SHARDS",
    "AUTO_SHARDS",
    "MAX_SHARDS",
    "MAX_ITEM_BYTES",
    "MEMORY_BUDGET_BYTES",
    "REQUEST_TIMEOUT_MS",
    "MAX_INFLIGHT",
    "MAX_INFLIGHT_BYTES",
    "MAX_SHARD_MAILBOX",
    "COMPRESS_ABOVE_BYTES",
    "API_TOKEN",
    "READ_REQUIRES_AUTH",
    "ALLOWED_HOSTS",
    "EVENFOLD_CONFIG",
];

/// A running service, killed when dropped.
pub struct Caching {
    child: Child,
    out: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Caching {
    /// The command.
    pub fn command(args: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Evenfold::command(&[&["cache"], args].concat());
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        command
    }

    /// Starts on a port that is free, and reads the one line that it prints.
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::run(Self::command(&[&["--port=0"], args].concat(), variables))
    }

    /// Starts with so many file descriptors.
    pub fn start_limited(files: usize) -> Self {
        let command = Self::command(&["--port=0"], &[]);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"]);
        limited.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited.current_dir(command.get_current_dir().unwrap());
        Self::run(limited)
    }

    fn run(mut command: Command) -> Self {
        // A database that was looked for would not be found.
        command.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.strip_prefix("serving on http://").and_then(|rest| rest.split(',').next()).unwrap();
        assert_eq!(line, format!("serving on http://{address}, documented at http://{address}/docs\n"));
        Self { out, address: address.parse().unwrap(), child }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// The exit code. Nothing more was printed.
    pub fn wait(&mut self) -> Option<i32> {
        let mut rest = String::new();
        self.out.read_line(&mut rest).unwrap();
        assert_eq!(rest, "");
        self.child.wait().unwrap().code()
    }

    /// One figure of the metrics; none if there is no such line.
    pub async fn figure(&self, line: &str) -> Option<f64> {
        let text = self.client().await.get("/metrics").await.body;
        let value = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    /// What the process has in memory, in bytes.
    pub fn resident(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// The most that it has had, since its start or since that was forgotten.
    pub fn peak(&self) -> usize {
        self.memory("VmHWM:")
    }

    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    fn memory(&self, line: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = status.lines().find_map(|other| other.strip_prefix(line)).unwrap();
        value.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Caching {
    fn drop(&mut self) {
        // Fails when it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
