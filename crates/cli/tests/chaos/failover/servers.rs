//! A primary, and the server that is to replace it.

use evenfold_testkit::Postgres;

pub struct Servers {
    pub primary: Postgres,
    next: Option<Next>,
    settings: &'static str,
}

enum Next {
    /// Of the primary; to be promoted.
    Standby(Postgres),
    /// Of another cluster.
    Restored(Postgres),
}

impl Servers {
    pub fn start(settings: &'static str) -> Self {
        Self { primary: Postgres::start("UTF8", settings), next: None, settings }
    }

    pub fn add_standby(&mut self) -> &Postgres {
        // The primary is not there for a moment: this is one more restart.
        self.next = Some(Next::Standby(self.primary.standby()));
        self.next()
    }

    /// A cluster of its own with what the primary has now, and the primary is gone.
    pub fn restore(&mut self) {
        let dump = self.primary.tool("pg_dump", &["postgres"]).stdout;
        self.primary.kill();
        let other = Postgres::start("UTF8", self.settings);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), dump).unwrap();
        std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        other.tool("psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.path().to_str().unwrap(), "postgres"]);
        self.next = Some(Next::Restored(other));
    }

    pub fn next(&self) -> &Postgres {
        match &self.next {
            Some(Next::Standby(server) | Next::Restored(server)) => server,
            None => panic!("nobody is to replace the primary"),
        }
    }

    /// The next server is the primary, and the one before is gone.
    pub fn promote_next(&mut self) {
        self.primary = match self.next.take() {
            Some(Next::Standby(server)) => {
                server.promote();
                server
            }
            Some(Next::Restored(server)) => server,
            None => panic!("nobody is to replace the primary"),
        };
    }
}
