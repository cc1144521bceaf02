//! Workers that are processes of their own: this same program.

use super::arena::Arena;
use crate::cli::done::Done;
use crate::cli::worker::Tuning;
use anyhow::{Context, bail};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often the processes are looked at. They run for a second or more.
const TICK: Duration = Duration::from_millis(2);

/// A process that does not outlive its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has this many worker processes apply the log between them, and gives what each says that it did.
pub(super) async fn fold(arena: &Arena, tuning: &Tuning, total: u32) -> anyhow::Result<Vec<Done>> {
    let program = std::env::current_exe().context("can't find this program, to start it as a worker")?;
    let mut processes = Vec::new();
    for key in 0..total {
        let mut command = Command::new(&program);
        command
            .args(["worker", "--until-caught-up", "--json", "--takeover", "--log=error"])
            .args([format!("--partition-key={key}"), format!("--total-partitions={total}")])
            // Not as an argument, which other users of the machine could read.
            .env("DATABASE_URL", &arena.url)
            .envs(tuning.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        processes.push(Process(command.spawn().context("can't start a worker process")?));
    }
    let mut done = Vec::new();
    for process in &mut processes {
        // What they say is a few lines, which a pipe holds until they have ended.
        let status = loop {
            match process.0.try_wait()? {
                Some(status) => break status,
                None => tokio::time::sleep(TICK).await,
            }
        };
        done.push(outcome(process, status)?);
    }
    Ok(done)
}

fn outcome(process: &mut Process, status: ExitStatus) -> anyhow::Result<Done> {
    let (mut out, mut err) = (String::new(), String::new());
    process.0.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out)).transpose()?;
    process.0.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err)).transpose()?;
    if !status.success() {
        bail!("a worker process ended with {status}: {}", err.lines().last().unwrap_or("it said nothing"));
    }
    serde_json::from_str(&out).context("can't read what a worker process said")
}
