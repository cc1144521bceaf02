//! A NATS server for the benchmark, on a free port of this machine.

use super::super::child::{Process, TICK, ended};
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What to do where there is none.
pub(super) const MISSING: &str = "nats-server is missing (Debian: apt install nats-server)";

/// How long it may take to start.
const START: Duration = Duration::from_secs(10);

/// A NATS server with JetStream, which is killed when dropped, and its files removed.
pub(super) struct Nats {
    pub(super) url: String,
    _process: Process,
    _files: Files,
}

/// A directory, removed when dropped.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        // What is left is in the system's directory for what is left.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the server writes down about its ports.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

/// The program, if it is in the path.
pub(super) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian has it where only root looks.
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    places.map(|dir| dir.join("nats-server")).find(|program| program.is_file())
}

impl Nats {
    pub(super) async fn start(program: &Path) -> anyhow::Result<Self> {
        let files = Files(std::env::temp_dir().join(format!("evenfold-bench-nats-{:016x}", fastrand::u64(..))));
        std::fs::create_dir(&files.0).with_context(|| format!("can't make {}", files.0.display()))?;
        // Port -1 is one that is free; the server writes down which.
        let mut command = Command::new(program);
        command.args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"]).arg(&files.0).arg("--ports_file_dir").arg(&files.0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process(command.spawn().with_context(|| format!("can't start {}", program.display()))?);
        let written = files.0.join(format!("nats-server_{}.ports", process.0.id()));
        let asked = Instant::now();
        let url = loop {
            // It may be written half-way.
            let ports = std::fs::read(&written).ok().and_then(|text| serde_json::from_slice::<Ports>(&text).ok());
            if let Some(url) = ports.and_then(|ports| ports.nats.into_iter().next()) {
                break url;
            }
            if process.0.try_wait()?.is_some() {
                bail!("nats-server did not start: {}", ended(&mut process).await?);
            }
            ensure!(asked.elapsed() < START, "nats-server did not start in {START:?}");
            tokio::time::sleep(TICK).await;
        };
        Ok(Self { url, _process: process, _files: files })
    }
}
