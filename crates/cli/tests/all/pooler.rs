//! Behind pgbouncer: in session mode as Debian configures it everything works, and every other mode is refused by name.

use crate::support::{Evenfold, Postgres, append_one, assert_counters_agree, scalar};
use evenfold::database::Database;
use evenfold::schema::{self, Schema, SchemaError};
use sqlx::PgConnection;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::task::block_in_place;

/// A pgbouncer in front of a server, ended when dropped.
struct Bouncer {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Bouncer {
    fn start(server: &Postgres, settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let conf = dir.path().join("pgbouncer.ini");
        fs::write(
            &conf,
            format!(
                "[databases]\npostgres = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = any\n{settings}\n",
                server.address().port()
            ),
        )
        .unwrap();
        let everyone = std::os::unix::fs::PermissionsExt::from_mode;
        fs::set_permissions(dir.path(), everyone(0o755)).unwrap();
        fs::set_permissions(&conf, everyone(0o644)).unwrap();
        let mut command = Command::new(program());
        // It refuses root, as PostgreSQL does.
        if nix::unistd::geteuid().is_root() {
            let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
            command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
        }
        let child = command.arg("-q").arg(&conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let bouncer = Self { child, port, _dir: dir };
        let started = std::time::Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(started.elapsed() < crate::support::SOON, "pgbouncer does not answer");
            std::thread::yield_now();
        }
        bouncer
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // Fails when it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> &'static Path {
    let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"].map(Path::new);
    places.into_iter().find(|place| place.exists()).expect("the tests need pgbouncer: apt-get install pgbouncer")
}

async fn migrated() -> (Postgres, PgConnection) {
    let server = block_in_place(|| Postgres::start("UTF8", ""));
    let (mut conn, _) = Database::at(&server.url()).unwrap().connect_to_server().await.unwrap();
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    (server, conn)
}

fn evenfold(url: &str, command: &str, input: &str) -> (i32, String) {
    let args = [&command.split_whitespace().collect::<Vec<_>>()[..], &["--database-url", url]].concat();
    let output = block_in_place(|| Evenfold::run(&args, input));
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn session_mode_as_debian_configures_it_needs_nothing_else() {
    let (server, mut conn) = migrated().await;
    // No `ignore_startup_parameters`: whatever evenfold needs is set by statements.
    let bouncer = Bouncer::start(&server, "pool_mode = session\ndefault_pool_size = 30");
    for command in [
        "generate --events=500 --aggregates=20 --writers=4 --batch-size=5 --yes",
        "pool --workers=2 --until-caught-up",
        "verify",
        "status",
    ] {
        let (code, text) = evenfold(&bouncer.url(), command, "");
        assert_eq!(code, 0, "{command}: {text}");
    }
    assert_eq!(scalar(&mut conn, "SELECT sum(events)::bigint FROM evenfold.counters").await, 500);
    assert_counters_agree(&mut conn).await;
    // A search_path of the URL's is the session's, also where a pooler refuses `options` as a start-up parameter.
    let url = format!("{}?options=-c%20search_path%3Delsewhere", bouncer.url());
    let mut through = Database::at(&url).unwrap().connect().await.unwrap();
    let path: String = sqlx::query_scalar("SHOW search_path").fetch_one(&mut through).await.unwrap();
    assert_eq!(path, "elsewhere");
    let event = r#"{"aggregate_type":"t","aggregate_id":"in-schema","event_type":"e","payload":{}}"#;
    for (command, input) in [("migrate --schema=es", ""), ("append --schema=es", event)] {
        let (code, text) = evenfold(&url, command, input);
        assert_eq!(code, 0, "{command}: {text}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM es.events WHERE aggregate_id = 'in-schema'").await, 1);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE aggregate_id = 'in-schema'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_that_hand_a_session_on_between_transactions_are_refused_by_name() {
    let (server, mut conn) = migrated().await;
    append_one(&mut conn, "a", 1).await;
    for settings in [
        "pool_mode = transaction",
        "pool_mode = transaction\nserver_round_robin = 1\ndefault_pool_size = 3",
        "pool_mode = statement",
    ] {
        let bouncer = Bouncer::start(&server, settings);
        for command in
            ["worker --partition-key=0 --total-partitions=1 --until-caught-up", "append", "status", "migrate"]
        {
            let (code, text) = evenfold(&bouncer.url(), command, "");
            assert!(code == 1 && text.contains("needs session mode"), "{settings}: {command}: {text}");
        }
        let refused = Database::at(&bouncer.url()).unwrap().connect().await.map(drop).unwrap_err();
        assert!(matches!(refused.unfit(), Some(SchemaError::Pooler)), "{settings}: {refused}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.counters").await, 0);
}

/// What evenfold sets would reach whoever has the session next.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_not_reset_are_refused_when_one_comes_back() {
    let (server, _) = migrated().await;
    let bouncer = Bouncer::start(&server, "pool_mode = session\nserver_reset_query =");
    let (code, text) = evenfold(&bouncer.url(), "status", "");
    assert!(code == 1 && text.contains("server_reset_query = DISCARD ALL"), "{text}");
}
