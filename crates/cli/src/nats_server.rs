//! A NATS server of one command's own: on a free port of this machine, with a password that nobody else has, and gone
//! when the process is, however that ends.

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// How long it may take to start.
const START: Duration = Duration::from_secs(10);

/// How often the file with its port is looked for.
const TICK: Duration = Duration::from_millis(5);

/// Where packages put it. Debian's is where the PATH of an ordinary user does not look.
const PLACES: [&str; 5] =
    ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin"];

/// Runs the server until the keeper's own input ends, which it does with the process that has the other end of the
/// pipe, also where that is killed. Signals that are sent to all that has "nats" in its name must not end it before the
/// server. The server's output goes to that process; the keeper does not keep that pipe open.
const KEEPER: &str = r#""$1" -c nats.conf 2>&1 & trap '' HUP INT QUIT TERM; exec >/dev/null 2>&1
cat; kill -9 "$!"; rm -rf "$2""#;

const USER: &str = "evenfold";

/// Where the program is.
#[derive(Debug, Default, Args)]
pub struct NatsProgram {
    /// The program nats-server, where a NATS server is started [default: looked for in PATH, then in the usual places]
    #[arg(long, env = "EVENFOLD_NATS_SERVER", value_name = "FILE")]
    nats_server: Option<PathBuf>,
}

impl NatsProgram {
    /// The program that was named, else the first that is found.
    pub fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(program) = &self.nats_server {
            if program.is_file() {
                return Ok(std::path::absolute(program)?);
            }
            bail!("there is no program {}: correct --nats-server (EVENFOLD_NATS_SERVER)", program.display());
        }
        Self::find_installed(&std::env::var_os("PATH").unwrap_or_default(), &PLACES)
    }

    fn find_installed(path: &OsStr, places: &[&str]) -> anyhow::Result<PathBuf> {
        installed(path, places).context(
            "nats-server is not in PATH, nor in the usual places: install it (`apt-get install nats-server` or \
             `brew install nats-server`), or say where it is (--nats-server)",
        )
    }
}

fn installed(path: &OsStr, places: &[&str]) -> Option<PathBuf> {
    // An empty or a relative entry means the current directory, which is nobody's installation.
    let dirs = std::env::split_paths(path).filter(|dir| dir.is_absolute());
    dirs.chain(places.iter().map(PathBuf::from)).map(|dir| dir.join("nats-server")).find(|program| program.is_file())
}

/// A server with JetStream that keeps nothing: dropped, it is killed, and its files are removed.
pub struct NatsServer {
    /// Its address, with user and password.
    pub url: String,
    keeper: Keeper,
}

/// The process that kills the server, and the server's files.
struct Keeper {
    process: Child,
    dir: PathBuf,
    /// The last line of what the server has written. Closed when it has ended.
    output: watch::Receiver<Arc<str>>,
}

impl NatsServer {
    /// Starts the program, and returns once it listens.
    pub async fn start(program: &Path) -> anyhow::Result<Self> {
        let password = Uuid::new_v4().simple().to_string();
        let mut keeper = Keeper::start(program, &password)?;
        let failed = || format!("{} is no NATS server that can be used", program.display());
        let deadline = Instant::now() + START;
        let address = loop {
            if let Some(address) = written_address(&keeper.dir) {
                break address;
            }
            match timeout_at(deadline.min(Instant::now() + TICK), keeper.ended()).await {
                Ok(last) => bail!("{}, it ended: {last}", failed()),
                Err(_) if Instant::now() >= deadline => bail!("{}: it did not listen within {START:?}", failed()),
                Err(_) => {}
            }
        };
        Ok(Self { url: format!("nats://{USER}:{password}@{address}"), keeper })
    }

    /// Whether the server has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.keeper.output.has_changed().is_err()
    }

    /// Waits until the server has ended by itself, and gives the last line of what it has written.
    pub async fn ended(&mut self) -> Arc<str> {
        self.keeper.ended().await
    }
}

impl Keeper {
    fn start(program: &Path, password: &str) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("evenfold-nats-{}", Uuid::new_v4().simple()));
        write_files(&dir, password).with_context(|| format!("can't make {} for a NATS server", dir.display()))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "sh"]).arg(program).arg(&dir).current_dir(&dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C in a terminal is for the process that uses the server until its end.
        let spawned = command.process_group(0).spawn();
        let mut process = spawned.inspect_err(|_| drop(fs::remove_dir_all(&dir))).context("can't start /bin/sh")?;
        let out = process.stdout.take();
        let (last, output) = watch::channel("it wrote nothing".into());
        let keeper = Self { process, dir, output };
        let out = pipe::Receiver::from_owned_fd(OwnedFd::from(out.context("a process has no output")?))?;
        // Ends with the server.
        tokio::spawn(async move {
            let mut lines = BufReader::new(out).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!("nats-server: {line}");
                let _ = last.send_replace(line.into());
            }
        });
        Ok(keeper)
    }

    async fn ended(&mut self) -> Arc<str> {
        while self.output.changed().await.is_ok() {}
        Arc::clone(&self.output.borrow())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It kills the server and removes its files, which takes milliseconds.
        let _ = self.process.wait();
    }
}

/// The directory, and the settings in it: nobody else may read the password.
fn write_files(dir: &Path, password: &str) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join("nats.conf"))?;
    // Port -1 is one that is free; the server writes down which. All of its files are in the directory in which it is
    // started.
    write!(
        file,
        "listen: \"127.0.0.1:-1\"\nports_file_dir: \".\"\n\
         authorization {{ user: \"{USER}\", password: \"{password}\" }}\n\
         jetstream {{ store_dir: \".\", max_memory_store: 64M, max_file_store: 64M }}\n"
    )
}

/// What the server writes down about its ports.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

/// The host and the port, once they are written down as a whole.
fn written_address(dir: &Path) -> Option<String> {
    let files = fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let ports = files.filter(|path| path.extension() == Some(OsStr::new("ports")));
    let ports: Ports = serde_json::from_slice(&fs::read(ports.into_iter().next()?).ok()?).ok()?;
    Some(ports.nats.first()?.strip_prefix("nats://")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_nats_server_is_installed_one_sentence_says_how_to_install_it() {
        let empty = tempfile::tempdir().unwrap();
        let missing = NatsProgram::find_installed(empty.path().as_os_str(), &[]).unwrap_err();
        let sentence = "nats-server is not in PATH, nor in the usual places: install it (`apt-get install nats-server` or \
                        `brew install nats-server`), or say where it is (--nats-server)";
        assert_eq!(format!("{missing:#}"), sentence);
        fs::write(empty.path().join("nats-server"), "").unwrap();
        let found = NatsProgram::find_installed(empty.path().as_os_str(), &[]).unwrap();
        assert_eq!(found, empty.path().join("nats-server"));
    }

    #[test]
    fn the_path_comes_before_the_usual_places_and_a_relative_entry_is_no_installation() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let usual = [second.path().to_str().unwrap()];
        let path = std::env::join_paths([Path::new("."), Path::new(""), first.path()]).unwrap();
        assert_eq!(installed(&path, &usual), None);
        fs::write(second.path().join("nats-server"), "").unwrap();
        assert_eq!(installed(&path, &usual), Some(second.path().join("nats-server")));
        fs::write(first.path().join("nats-server"), "").unwrap();
        assert_eq!(installed(&path, &usual), Some(first.path().join("nats-server")));
    }
}
