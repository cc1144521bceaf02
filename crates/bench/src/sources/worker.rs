//! A worker as a process of its own, of a log that others write.

use super::other_log::OtherLog;
use anyhow::Context;
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::child::{self, Process};
use evenfold_cli::done::Done;
use evenfold_cli::tuning::Tuning;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// How often a condition is looked at, and for how long.
const TICK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_mins(2);

/// It ends with this value, if it has not ended before.
pub(super) struct WorkerProcess {
    process: Process,
    #[expect(dead_code, reason = "removed when it is dropped")]
    settings: NamedTempFile,
}

impl WorkerProcess {
    pub(super) fn start(arena: &Arena, log: &OtherLog, tuning: &Tuning) -> anyhow::Result<Self> {
        let mut settings = NamedTempFile::with_suffix(".toml").context("a file of settings")?;
        settings.write_all(log.settings().as_bytes())?;
        let mut command = child::worker(arena, tuning, 0, 1)?;
        command.env("EVENFOLD_CONFIG", settings.path());
        Ok(Self { process: Process(command.spawn().context("can't start a worker process")?), settings })
    }

    /// Waits until the read model is in this state, which it must come to while the process runs.
    pub(super) async fn until(
        &mut self,
        what: &str,
        condition: impl AsyncFn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        while !condition().await? {
            anyhow::ensure!(started.elapsed() < PATIENCE, "waited two minutes for {what}");
            if self.process.0.try_wait()?.is_some() {
                let complaint = child::ended(&mut self.process).await?;
                anyhow::bail!("a worker process ended before it was stopped: {complaint}");
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    /// Ends it as whoever stops a service does, and gives what it has done.
    pub(super) async fn stop(mut self) -> anyhow::Result<Done> {
        let pid = Pid::from_raw(self.process.0.id().cast_signed());
        kill(pid, Signal::SIGTERM).context("can't stop a worker process")?;
        let complaint = child::ended(&mut self.process).await?;
        child::outcome(&mut self.process, &complaint)
    }
}
