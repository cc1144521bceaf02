//! A PostgreSQL server of the run's own, to be killed.

use evenfold::database::Database;
use evenfold_embedded::{self as embedded, Options};
use evenfold_testkit::{SOON, wait_until};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgConnection;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// The server, ended and removed with its data when dropped.
pub struct Server {
    options: Options,
    data_dir: PathBuf,
    pub url: String,
    /// The process that writes what is committed, if that is stopped.
    writer: Mutex<Option<Pid>>,
    _dir: tempfile::TempDir,
}

impl Server {
    /// Makes and starts it. Blocks.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("chaos").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = Options::new(dir.path().join("pg"));
        // Kept, so that it does not end with a user of it, of which there are none.
        let status = embedded::keep(&options).unwrap();
        Self { options, data_dir: status.data_dir, url: status.url, writer: Mutex::default(), _dir: dir }
    }

    /// Has it acknowledge commits that are not on disk: a crash loses those since the last [`flush`](Self::flush), as a
    /// failover to a standby that lags does. The process that would write them is stopped, as it writes every page that
    /// is full.
    pub async fn acknowledge_early(&self) {
        let mut conn = self.connect().await;
        sqlx::raw_sql("ALTER SYSTEM SET synchronous_commit = off").execute(&mut conn).await.unwrap();
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut conn).await.unwrap();
        wait_until("the setting", SOON, async || {
            let off: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut conn).await.unwrap();
            off == "off"
        })
        .await;
        self.stop_writing().await;
    }

    /// Stops the process that writes what is committed, while it holds no lock.
    async fn stop_writing(&self) {
        let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
        let mut conn = self.connect().await;
        wait_until("its process that writes", SOON, async || {
            let Some(pid) = sqlx::query_scalar(query).fetch_optional(&mut conn).await.unwrap() else { return false };
            let pid = Pid::from_raw(pid);
            kill(pid, Signal::SIGSTOP).unwrap();
            *self.writer.lock().unwrap() = Some(pid);
            let goes_on = tokio::time::timeout(Duration::from_secs(2), self.flush()).await.is_ok();
            if !goes_on {
                kill(pid, Signal::SIGCONT).unwrap();
            }
            goes_on
        })
        .await;
    }

    async fn connect(&self) -> PgConnection {
        let (database, mut conn) = (Database::at(&self.url).unwrap(), None);
        // One that has just started again may still reset a connection.
        wait_until("a connection", SOON, async || {
            conn = database.connect_to_server().await.ok();
            conn.is_some()
        })
        .await;
        conn.unwrap().0
    }

    /// Has everything on disk that was committed until now.
    pub async fn flush(&self) {
        let mut conn = self.connect().await;
        let commit = "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, '', '')";
        sqlx::raw_sql(commit).execute(&mut conn).await.unwrap();
    }

    /// Kills the main process without a warning, as a machine that fails does, and starts it again.
    pub async fn crash(&self) {
        self.kill().await;
        self.restart().await;
    }

    /// Starts it again, as it was.
    pub async fn restart(&self) {
        let again = tokio::task::block_in_place(|| embedded::keep(&self.options)).unwrap();
        assert_eq!(again.url, self.url);
        if self.writer.lock().unwrap().is_some() {
            self.stop_writing().await;
        }
    }

    /// Kills the main process without a warning.
    pub async fn kill(&self) {
        let (pid, socket_dir) = self.postmaster();
        kill(pid, Signal::SIGKILL).unwrap();
        if let Some(writer) = *self.writer.lock().unwrap() {
            kill(writer, Signal::SIGKILL).unwrap();
        }
        // A start while it is dying would find it answering: also while a child that it has just forked still has the
        // socket on which it listened.
        let socket = socket_dir.join(".s.PGSQL.5432");
        wait_until("the server to die", SOON, async || {
            (kill(pid, None) == Err(Errno::ESRCH) || is_dead(pid)) && UnixStream::connect(&socket).is_err()
        })
        .await;
    }

    /// Its main process, and the directory of its socket.
    fn postmaster(&self) -> (Pid, PathBuf) {
        let text = fs::read_to_string(self.data_dir.join("data/postmaster.pid")).unwrap();
        let line = |number| text.lines().nth(number).unwrap().trim();
        (Pid::from_raw(line(0).parse().unwrap()), line(4).into())
    }
}

/// Ended, and not yet waited for by whoever inherited it.
fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.lock().unwrap().take() {
            // Gone with a server that was killed.
            let _ = kill(writer, Signal::SIGCONT);
        }
        if let Err(error) = embedded::shut_down(&self.options) {
            eprintln!("the server of {} was left running: {error}", self.data_dir.display());
            return;
        }
        // Elsewhere than in the temporary directory if the server's user could not reach that.
        let _ = fs::remove_dir_all(&self.data_dir);
    }
}
