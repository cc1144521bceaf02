//! The binary as a real process, to be waited for, stopped and killed.

use crate::wait::{SOON, wait_until};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a process that is waited for may run: many times what the slowest of them needs.
const LONGEST_RUN: Duration = Duration::from_mins(3);

/// A running `evenfold`, killed when dropped.
pub struct Evenfold {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// A directory without a settings file. An empty `.env` is there, or one in a directory above it would be found.
fn quiet_directory() -> PathBuf {
    let directory = crate::scratch().join("quiet");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(".env"), "").unwrap();
    directory
}

/// The program of the package whose tests these are.
fn program() -> OsString {
    let programs = ["CARGO_BIN_EXE_evenfold", "CARGO_BIN_EXE_evenfold-bench"];
    programs.iter().find_map(std::env::var_os).expect("this package has no program: put the test into the one that has")
}

impl Evenfold {
    /// The binary, with nothing of this process's environment that would change what it does.
    pub fn command(args: &[&str]) -> Command {
        Self::command_of(program(), args)
    }

    /// The same of another program that has the same settings.
    pub fn command_of(program: impl AsRef<OsStr>, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        for variable in ["DATABASE_URL", "PARTITION_KEY", "TOTAL_PARTITIONS", "RUST_LOG"] {
            command.env_remove(variable);
        }
        // All but where the binaries are.
        let is_ours = |name: &OsString| {
            let name = name.to_string_lossy();
            name.starts_with("EVENFOLD_") || name.starts_with("OTEL_")
        };
        let ours = std::env::vars_os().map(|(name, _)| name).filter(is_ours);
        for variable in ours.filter(|name| name != "EVENFOLD_PG_BIN") {
            command.env_remove(variable);
        }
        command.args(args).current_dir(quiet_directory()).env("NO_COLOR", "1");
        command
    }

    /// Runs to the end.
    pub fn run(args: &[&str], input: &str) -> Output {
        Self::finish(Self::command(args), input.as_bytes())
    }

    /// Runs to the end, fed with this input.
    pub fn finish(mut command: Command, input: &[u8]) -> Output {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (ended, watch) = channel::<()>();
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let watchdog = std::thread::spawn(move || {
            if watch.recv_timeout(LONGEST_RUN) == Err(RecvTimeoutError::Timeout) {
                let _ = kill(id, Signal::SIGKILL);
            }
        });
        // It may end before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        drop(ended);
        watchdog.join().unwrap();
        output
    }

    /// Starts, and collects what it logs.
    pub fn spawn(args: &[&str]) -> Self {
        Self::start(Self::command(args))
    }

    pub fn start(command: Command) -> Self {
        Self::start_into(command, Stdio::null())
    }

    /// Starts, with what it prints going there.
    pub fn start_into(mut command: Command, out: Stdio) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, collected) = (child.stderr.take().unwrap(), Arc::clone(&log));
        // Ends with the process that it reads from.
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = collected.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, reader: Some(reader) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Where it answers, once its log has that: of probes and figures, or of a service.
    pub fn logged_address(&self) -> Option<SocketAddr> {
        let log = self.log();
        let rest = ["figures on http://", "started address="].into_iter().find_map(|before| log.split_once(before))?.1;
        rest.split_whitespace().next()?.trim_end_matches(':').parse().ok()
    }

    /// Waits until its log has where it answers.
    pub async fn address(&self) -> SocketAddr {
        let mut address = None;
        wait_until("its address in the log", SOON, async || {
            address = self.logged_address();
            address.is_some()
        })
        .await;
        address.unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// The exit code, if it has ended. The log is complete then.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap()?;
        Some(self.wait())
    }

    /// Waits for its end, and gives the exit code. The log is complete then.
    pub fn wait(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code().unwrap_or(-1)
    }
}

impl Drop for Evenfold {
    fn drop(&mut self) {
        // Fails when it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that a complaint advises, between backticks: its arguments, without the program's name.
pub fn advised(complaint: &str) -> Vec<String> {
    let command = complaint.split('`').nth(1).unwrap_or_else(|| panic!("no advice in: {complaint}"));
    let words = command.strip_prefix("evenfold ").unwrap_or_else(|| panic!("no command of ours: {complaint}"));
    words.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()
}
