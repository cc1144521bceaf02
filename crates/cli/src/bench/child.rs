//! Processes of the benchmarks' own: workers, which are this same program, and others.

use super::arena::Arena;
use crate::done::Done;
use crate::tuning::Tuning;
use anyhow::{Context, bail};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often the processes are looked at. They run for a second or more.
pub const TICK: Duration = Duration::from_millis(2);

/// A process that does not outlive its owner.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a process has ended, and gives the last line of what it complained about: that is a few lines, which a
/// pipe holds until then.
pub async fn ended(process: &mut Process) -> anyhow::Result<String> {
    while process.0.try_wait()?.is_none() {
        tokio::time::sleep(TICK).await;
    }
    let mut err = String::new();
    process.0.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err)).transpose()?;
    Ok(err.lines().last().unwrap_or("it printed nothing").to_owned())
}

/// Has this many worker processes apply the log between them, and gives what each says that it did.
pub async fn fold(arena: &Arena, tuning: &Tuning, total: u32) -> anyhow::Result<Vec<Done>> {
    let mut processes = Vec::new();
    for key in 0..total {
        let mut command = worker(arena, tuning, key, total)?;
        command.arg("--until-caught-up");
        processes.push(Process(command.spawn().context("can't start a worker process")?));
    }
    let mut done = Vec::new();
    for process in &mut processes {
        let complaint = ended(process).await?;
        done.push(outcome(process, &complaint)?);
    }
    Ok(done)
}

/// A worker of this partition as a process, which prints what it has done when it ends.
pub fn worker(arena: &Arena, tuning: &Tuning, key: u32, total: u32) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("can't find this program, to start it as a worker")?;
    let mut command = Command::new(program);
    command
        .args(["worker", "--json", "--takeover", "--log=error"])
        .args([format!("--partition-key={key}"), format!("--total-partitions={total}")])
        // Not as an argument, which other users of the machine could read.
        .env("DATABASE_URL", &arena.url)
        .env("EVENFOLD_SCHEMA", arena.database.schema().name())
        .envs(tuning.variables())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// What a worker that has ended says that it did.
pub fn outcome(process: &mut Process, complaint: &str) -> anyhow::Result<Done> {
    let mut out = String::new();
    process.0.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out)).transpose()?;
    let status = process.0.wait()?;
    if !status.success() {
        bail!("a worker process ended with {status}: {complaint}");
    }
    serde_json::from_str(&out).context("can't read what a worker process printed")
}
