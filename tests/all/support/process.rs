//! The binary as a real process, to be waited for, stopped and killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running `evenfold`, killed when dropped.
pub struct Evenfold {
    child: Child,
    log: Arc<Mutex<String>>,
}

/// The binary, with nothing of this process's environment that would change what it does.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenfold"));
    for variable in ["DATABASE_URL", "PARTITION_KEY", "TOTAL_PARTITIONS", "RUST_LOG", "EVENFOLD_CONFIG"] {
        command.env_remove(variable);
    }
    // No `.env` and no settings file but the test's own.
    command.args(args).current_dir(env!("CARGO_TARGET_TMPDIR")).env("NO_COLOR", "1");
    command
}

impl Evenfold {
    /// Runs to the end.
    pub fn run(args: &[&str], input: &str) -> Output {
        Self::finish(command(args), input)
    }

    pub fn finish(mut command: Command, input: &str) -> Output {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may end before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Starts, and collects what it logs.
    pub fn spawn(args: &[&str]) -> Self {
        let mut child =
            command(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, collected) = (child.stderr.take().unwrap(), Arc::clone(&log));
        // Ends with the process that it reads from.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = collected.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// The exit code, if it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for its end, and gives the exit code.
    pub fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Evenfold {
    fn drop(&mut self) {
        // Fails when it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
