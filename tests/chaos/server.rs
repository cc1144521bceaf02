//! A PostgreSQL server of the run's own, to be killed.

use crate::wait::{SOON, wait_until};
use evenfold::embedded::{self, Options};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};

/// The server, ended and removed with its data when dropped.
pub struct Server {
    options: Options,
    data_dir: PathBuf,
    pub url: String,
    _dir: tempfile::TempDir,
}

impl Server {
    /// Makes and starts it. Blocks.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("chaos").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = Options::new(dir.path().join("pg"));
        // Kept, so that it does not end with a user of it, of which there are none.
        let status = embedded::keep(&options).unwrap();
        Self { options, data_dir: status.data_dir, url: status.url, _dir: dir }
    }

    /// Kills the main process without a warning, as a machine that fails does, and starts it again.
    pub async fn crash(&self) {
        let pid = self.postmaster();
        kill(pid, Signal::SIGKILL).unwrap();
        // A start while it is dying would find it answering.
        wait_until("the server to die", SOON, async || kill(pid, None) == Err(Errno::ESRCH) || is_dead(pid)).await;
        let again = tokio::task::block_in_place(|| embedded::keep(&self.options)).unwrap();
        assert_eq!(again.url, self.url);
    }

    fn postmaster(&self) -> Pid {
        let text = fs::read_to_string(self.data_dir.join("data/postmaster.pid")).unwrap();
        Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap())
    }
}

/// Ended, and not yet waited for by whoever inherited it.
fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = embedded::shut_down(&self.options) {
            eprintln!("the server of {} was left running: {error}", self.data_dir.display());
            return;
        }
        // Elsewhere than in the temporary directory if the server's user could not reach that.
        let _ = fs::remove_dir_all(&self.data_dir);
    }
}
