//! A service as a process of its own: this same program.

use super::super::client::Connection;
use anyhow::{Context, bail, ensure};
use evenfold_cli::bench::child::{Process, ended};
use evenfold_cli::done::memory_of;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// How long a service may take until it can answer.
const READY: Duration = Duration::from_secs(30);

/// What somebody may have set for a service of theirs, which is not meant for this one.
const OTHERS: [&str; 4] = ["API_TOKEN", "READ_REQUIRES_AUTH", "NATS_URL", "EVENFOLD_NODE_ID"];

/// A service, which is killed when dropped.
pub(super) struct Service {
    process: Process,
    pub(super) address: SocketAddr,
    /// Open as long as it runs: it may have more to say.
    _out: BufReader<ChildStdout>,
}

impl Service {
    pub(super) async fn constant() -> anyhow::Result<Self> {
        Self::start(command(&["constant"])?).await
    }

    /// Counters as typed actors: on one node, or on so many over the NATS server at this address.
    pub(super) async fn typed(nodes: Option<(u32, &str)>) -> anyhow::Result<Self> {
        let (nodes, url) = nodes.unwrap_or((1, ""));
        let mut command = command(&["typed", &format!("--nodes={nodes}")])?;
        command.env("NATS_URL", url);
        Self::start(command).await
    }

    /// The counter service, ready for requests.
    pub(super) async fn serving(args: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut command = command(&[&["serve", "--port=0", "--metrics-port=0"], args].concat())?;
        // What is secret is not an argument, which other users of the machine could read.
        command.envs(variables.iter().copied());
        let service = Self::start(command).await?;
        let asked = Instant::now();
        while !service.is_ready().await {
            ensure!(asked.elapsed() < READY, "the service was not ready in {READY:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(service)
    }

    async fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut process = Process(command.spawn().context("can't start a service")?);
        let out = process.0.stdout.take().context("a service has no output")?;
        let output = spawn_blocking(move || {
            let (mut out, mut line) = (BufReader::new(out), String::new());
            out.read_line(&mut line).map(|_| (out, line))
        });
        let (out, line) = output.await??;
        let Some(rest) = line.strip_prefix("serving on http://") else {
            bail!("a service did not start: {}", ended(&mut process).await?);
        };
        let address = rest.split([' ', ',', '\n']).next().unwrap_or_default();
        let address = address.parse().with_context(|| format!("a service serves at {address}, which is no address"))?;
        Ok(Self { process, address, _out: out })
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut connection) = Connection::open(self.address).await else { return false };
        connection.ask(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_ok()
    }

    /// The most memory that it has had so far, in bytes; none where the system does not report it.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        memory_of(&self.process.0.id().to_string(), "VmHWM:")
    }

    /// Has it finish what is in hand, and waits for its end.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.process.0.id())?), Signal::SIGTERM)?;
        let output = ended(&mut self.process).await?;
        let status = self.process.0.wait()?;
        ensure!(status.success(), "a service ended with {status}: {output}");
        Ok(())
    }
}

fn command(args: &[&str]) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("can't find this program, to start it as a service")?;
    let mut command = Command::new(program);
    for name in OTHERS {
        command.env_remove(name);
    }
    command
        .args(args)
        .arg("--log=error")
        // Where there is no settings file.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}
