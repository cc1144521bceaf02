//! PostgreSQL servers of a test's own, with standbys: started, killed, promoted, and replaced by others.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

/// What all of them have: little memory, and no way in but from this machine.
const SETTINGS: &str =
    "listen_addresses = '127.0.0.1'\nshared_buffers = 32MB\nmax_wal_size = 256MB\nwal_level = logical
max_wal_senders = 5\nhot_standby = on\nwal_receiver_status_interval = 1s\nmax_connections = 100\n";

const PATIENCE: Duration = Duration::from_mins(1);

/// A server, ended and removed with its data when dropped.
pub struct Postgres {
    dir: tempfile::TempDir,
    /// Where its programs are.
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// A primary, whose database has this encoding, with these settings in addition to the usual ones. Blocks.
    pub fn start(encoding: &str, settings: &str) -> Self {
        Self::make(Self::place(bin_dir()), encoding, settings)
    }

    /// The same of another release, whose `bin`, `lib` and `share` are in this directory. Blocks.
    pub fn start_of(release: &Path, settings: &str) -> Self {
        let mut server = Self::place(PathBuf::new());
        // The server's user may not reach the directory.
        let copy = server.dir.path().join("release");
        let copied = Command::new("cp").arg("-a").args([release, &copy]).status().unwrap();
        assert!(copied.success(), "{} was not copied", release.display());
        server.programs = copy.join("bin");
        Self::make(server, "UTF8", settings)
    }

    fn make(server: Self, encoding: &str, settings: &str) -> Self {
        let data = server.data();
        // `--no-sync`: nothing here survives the machine.
        let arguments = ["-U", "postgres", "-A", "trust", "--locale=C", "--no-sync", "-E", encoding, "-D"];
        let made = server.run("initdb", arguments.iter().map(Path::new).chain([data.as_path()]));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.configure(settings);
        server.boot();
        server
    }

    /// A standby of this server, which streams from it. This one is stopped for as long as it takes to copy it. Blocks.
    pub fn standby(&self) -> Self {
        self.stop();
        let standby = Self::place(self.programs.clone());
        let copied = own(Command::new("cp")).arg("-a").args([self.data(), standby.data()]).output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        self.boot();
        standby.configure(&format!(
            "port = {}\nprimary_conninfo = 'host=127.0.0.1 port={} user=postgres'\n",
            standby.port, self.port
        ));
        fs::write(standby.data().join("standby.signal"), "").unwrap();
        standby.boot();
        standby
    }

    fn place(programs: PathBuf) -> Self {
        // Not in the target directory, which the server's user may not reach.
        let open = Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("evenfold").permissions(open).tempdir().unwrap();
        if let Some(user) = server_user() {
            std::os::unix::fs::chown(dir.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        // Free once the listener is gone.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        Self { dir, programs, port }
    }

    fn configure(&self, settings: &str) {
        let conf = self.data().join("postgresql.conf");
        let before = fs::read_to_string(&conf).unwrap();
        let own = format!("port = {}\nunix_socket_directories = '{}'\n", self.port, self.dir.path().display());
        fs::write(conf, format!("{before}\n{SETTINGS}{own}{settings}\n")).unwrap();
    }

    fn boot(&self) {
        let log = self.dir.path().join("log");
        let data = self.data();
        let arguments = [Path::new("-D"), &data, Path::new("-l"), &log, Path::new("-w"), Path::new("start")];
        let booted = self.run("pg_ctl", arguments.into_iter());
        assert!(booted.status.success(), "{}", fs::read_to_string(log).unwrap_or_default());
    }

    /// Starts a server that was stopped or killed. Blocks.
    pub fn start_again(&self) {
        self.boot();
    }

    /// Stops it as an operator does, who waits for nobody. Blocks.
    pub fn stop(&self) {
        let data = self.data();
        let arguments = ["-m", "fast", "-w", "stop", "-D"];
        let stopped = self.run("pg_ctl", arguments.iter().map(Path::new).chain([data.as_path()]));
        assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    }

    /// Kills the main process without a warning, as a machine that fails does, and waits until it has gone.
    pub fn kill(&self) {
        let Some(pid) = self.pid() else { return };
        let started = Instant::now();
        let _ = kill(pid, Signal::SIGKILL);
        // Its children notice, and a start while they are there is refused: pg_ctl tries for as long as that.
        while !is_gone(pid) {
            assert!(started.elapsed() < PATIENCE, "the server does not die");
            std::thread::yield_now();
        }
    }

    /// Starts it after it was killed, once its children have noticed that it was. Blocks.
    pub fn start_after_kill(&self) {
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        let started = Instant::now();
        let (log, data) = (self.dir.path().join("log"), self.data());
        loop {
            let arguments = [Path::new("-D"), &data, Path::new("-l"), &log, Path::new("-w"), Path::new("start")];
            if self.run("pg_ctl", arguments.into_iter()).status.success() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{}", fs::read_to_string(log).unwrap_or_default());
        }
    }

    /// Makes a server that was stopped, a copy of another one, recover up to this place of that one's log, whose files
    /// are in the archive, and become a primary then. Blocks until it answers.
    pub fn recover_to(&self, archive: &Path, lsn: &str) {
        let data = self.data();
        fs::remove_file(data.join("standby.signal")).unwrap();
        fs::write(data.join("recovery.signal"), "").unwrap();
        self.configure(&format!(
            "primary_conninfo = ''\nrestore_command = 'cp {}/%f %p'\nrecovery_target_lsn = '{lsn}'\n\
             recovery_target_action = 'promote'",
            archive.display()
        ));
        self.boot();
    }

    /// Makes a standby a primary, and waits until it is one.
    pub fn promote(&self) {
        let data = self.data();
        let promoted = self.run("pg_ctl", ["-w", "promote", "-D"].iter().map(Path::new).chain([data.as_path()]));
        assert!(promoted.status.success(), "{}", String::from_utf8_lossy(&promoted.stderr));
    }

    fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        Some(Pid::from_raw(text.lines().next()?.trim().parse().ok()?))
    }

    /// A program of PostgreSQL's own, such as `pg_dump` or `psql`, run against this server's database.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = own(Command::new(self.programs.join(program)));
        command.current_dir(self.dir.path()).args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        self.url_of("postgres", "postgres")
    }

    pub fn url_of(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn run<'a>(&self, program: &str, arguments: impl Iterator<Item = &'a Path>) -> Output {
        own(Command::new(self.programs.join(program))).current_dir(self.dir.path()).args(arguments).output().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            // Immediate shutdown; the directory goes with it.
            let _ = kill(pid, Signal::SIGQUIT);
            let started = Instant::now();
            while !is_gone(pid) && started.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
        }
    }
}

/// PostgreSQL refuses root: then its servers are run as the user that its package made, or as nobody.
fn server_user() -> Option<User> {
    let named = |name| User::from_name(name).unwrap();
    geteuid().is_root().then(|| named("postgres").or_else(|| named("nobody")).unwrap())
}

fn own(mut command: Command) -> Command {
    // Nothing of this process's environment is to lead a tool elsewhere.
    command.env_clear().env("LC_ALL", "C").env("PATH", std::env::var_os("PATH").unwrap_or_default());
    if let Some(user) = server_user() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// Ended, and perhaps not yet waited for by whoever inherited it.
fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    let zombie = stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')));
    zombie || kill(pid, None) == Err(Errno::ESRCH)
}

/// Where initdb and the others are: `EVENFOLD_PG_BIN`, or Debian's highest, or in the `PATH`.
fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("EVENFOLD_PG_BIN") {
        return dir.into();
    }
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |dir: &PathBuf| dir.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let packaged = packaged.map(|entry| entry.path()).filter(|dir| dir.join("bin/initdb").exists()).max_by_key(version);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = packaged.map(|dir| dir.join("bin")).into_iter().chain(std::env::split_paths(&path));
    all.find(|dir| dir.join("initdb").exists()).expect("the tests need PostgreSQL's programs: install postgresql")
}
