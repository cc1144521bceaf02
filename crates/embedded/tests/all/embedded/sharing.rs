//! Users of one server come, leave, and are killed; so is the server.

use super::*;

#[test]
fn the_first_in_starts_the_server_and_the_last_out_stops_it() {
    let checkout = Checkout::new();
    let server = checkout.start();
    let pid = checkout.pid();
    let url = server.url();
    assert_eq!(sql(&url, "select current_user, current_database()"), "evenfold|postgres");
    assert!(!server.relocated());

    assert_eq!(server.stop().unwrap(), LeaveOutcome::Stopped);
    assert!(!checkout.data().join("postmaster.pid").exists());
    eventually("the server's end", || !runs(pid));
    assert!(try_sql(&url, "select 1").is_err());
}

#[test]
fn the_first_to_leave_does_not_stop_a_shared_server() {
    let checkout = Checkout::new();
    let (first, second) = (checkout.start(), checkout.start());
    assert_eq!(first.url(), second.url());
    assert_eq!(first.stop().unwrap(), LeaveOutcome::StillUsed);
    assert_eq!(sql(&second.url(), "select 1"), "1");

    let holder = Holder::holding(&checkout.options.data_dir);
    assert_eq!(second.stop().unwrap(), LeaveOutcome::StillUsed);
    let url = embedded::status(&checkout.options).unwrap().url;
    assert_eq!(sql(&url, "select 1"), "1");
    let pid = checkout.pid();
    // Its standard input ends, and so does it: the last one out is another process than the first one in.
    let mut child = holder;
    drop(child.0.stdin.take());
    child.0.wait().unwrap();
    eventually("the server's end", || !runs(pid));
}

#[test]
fn dropping_the_last_user_stops_the_server() {
    let checkout = Checkout::new();
    let server = checkout.start();
    let pid = checkout.pid();
    drop(server);
    eventually("the server's end", || !runs(pid));
}

#[test]
fn a_server_left_behind_by_a_killed_user_is_found_used_and_stopped() {
    let checkout = Checkout::new();
    let holder = Holder::holding(&checkout.options.data_dir);
    let pid = checkout.pid();
    holder.kill();
    assert!(runs(pid));

    let server = checkout.start();
    assert_eq!(checkout.pid(), pid);
    assert!(server.was_abandoned());
    assert!(!checkout.start().was_abandoned(), "it has a user again");
    assert_eq!(sql(&server.url(), "select 1"), "1");
    assert_eq!(server.stop().unwrap(), LeaveOutcome::Stopped);
    eventually("the server's end", || !runs(pid));
}

#[test]
fn a_killed_server_is_started_again_with_its_data() {
    let mut checkout = Checkout::new();
    checkout.options.durable = true;
    let first = checkout.start();
    sql(&first.url(), "create table kept as select generate_series(1, 1000) as n");
    let pid = checkout.pid();
    kill_at_once(pid);

    let second = checkout.start();
    assert_ne!(checkout.pid(), pid);
    assert_eq!(sql(&second.url(), "select sum(n) from kept"), "500500");
    assert_eq!(first.stop().unwrap(), LeaveOutcome::StillUsed);
    assert_eq!(second.stop().unwrap(), LeaveOutcome::Stopped);
}

#[test]
fn a_busy_server_that_is_killed_is_started_again() {
    let checkout = Checkout::new();
    let server = checkout.start();
    let url = server.url();
    let mut client = Command::new(psql_program())
        .args([&url, "-Xqc", "select sum(n) from generate_series(1, 4000000) n"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let busy = "select count(*) from pg_stat_activity where query ~ '4{1}000000' and state = 'active'";
    eventually("a busy backend", || sql(&url, busy) == "1");
    // A backend that computes does not notice until it is done.
    kill_at_once(checkout.pid());

    let again = checkout.start();
    assert_eq!(sql(&again.url(), "select 1"), "1");
    client.wait().unwrap();
}

#[test]
fn a_start_that_was_killed_half_way_is_taken_up_or_cleaned_up() {
    let stages: [(&str, Stage); 3] = [
        ("initdb", |dir| unfinished(dir) > 0),
        ("database", |dir| dir.join("data").exists()),
        ("process", |dir| dir.join("data/postmaster.pid").exists()),
    ];
    for (stage, reached) in stages {
        let checkout = Checkout::new();
        let holder = Holder::spawn(&checkout.options.data_dir);
        eventually(stage, || reached(&checkout.options.data_dir));
        holder.kill();

        let server = checkout.start();
        assert_eq!(sql(&server.url(), "select 1"), "1", "killed at {stage}");
        assert_eq!(server.stop().unwrap(), LeaveOutcome::Stopped, "killed at {stage}");
        // A killed user's initdb may live a moment longer; the next start sweeps up after it.
        eventually("no half-made database", || {
            checkout.start();
            unfinished(&checkout.options.data_dir) == 0
        });
    }
}

fn unfinished(data_dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(data_dir) else {
        return 0;
    };
    let names = entries.map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("data.new-")).count()
}

#[test]
fn concurrent_first_starts_make_one_server() {
    let checkout = Checkout::new();
    let all_in = Barrier::new(8);
    let user = || {
        all_in.wait();
        let server = checkout.start();
        let pid = checkout.pid().as_raw();
        let system = sql(&server.url(), "select system_identifier from pg_control_system()");
        all_in.wait();
        (pid, system, server.stop().unwrap())
    };
    let seen: Vec<_> = thread::scope(|scope| {
        let users: Vec<_> = (0..8).map(|_| scope.spawn(user)).collect();
        users.into_iter().map(|user| user.join().unwrap()).collect()
    });
    let servers: BTreeSet<_> = seen.iter().map(|(pid, system, _)| (pid, system)).collect();
    assert_eq!(servers.len(), 1, "{seen:?}");
    let stops = seen.iter().filter(|(_, _, left)| *left == LeaveOutcome::Stopped);
    assert_eq!(stops.count(), 1, "{seen:?}");
}

#[test]
fn a_user_never_sees_the_server_go_while_others_come_and_leave() {
    let checkout = Checkout::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let server = checkout.start();
                    assert_eq!(sql(&server.url(), "select 1"), "1");
                    server.stop().unwrap();
                }
            });
        }
    });
    assert!(!embedded::status(&checkout.options).unwrap().running);
}

#[test]
fn an_interrupt_from_the_terminal_does_not_reach_the_server() {
    let checkout = Checkout::new();
    let mut holder = Holder::holding(&checkout.options.data_dir);
    let pid = checkout.pid();
    assert_ne!(getpgid(Some(pid)).unwrap(), getpgid(Some(holder.pid())).unwrap());
    assert_ne!(getsid(Some(pid)).unwrap(), getsid(Some(holder.pid())).unwrap());

    // A terminal signals the foreground process group, which the holder leads.
    nix::sys::signal::killpg(holder.pid(), Signal::SIGINT).unwrap();
    holder.0.wait().unwrap();
    let server = checkout.start();
    assert_eq!(checkout.pid(), pid);
    assert_eq!(sql(&server.url(), "select 1"), "1");
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_does_not_inherit_the_locks() {
    let checkout = Checkout::new();
    let server = checkout.start();
    let dir = server.data_dir().to_owned();
    let open = fs::read_dir(format!("/proc/{}/fd", checkout.pid())).unwrap();
    let open: Vec<_> = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect();
    assert!(open.contains(&dir.join("log")), "{open:?}");
    for lock in ["start.lock", "users.lock"] {
        assert!(!open.contains(&dir.join(lock)), "{open:?}");
    }
}

#[test]
fn a_number_that_now_is_another_process_does_not_prevent_a_start() {
    let checkout = Checkout::new();
    checkout.start().stop().unwrap();
    // PostgreSQL itself takes a process of its own user for the old server, and refuses to start.
    let owner = fs::metadata(checkout.data()).unwrap();
    let mut other = Command::new("sleep");
    other.arg("60");
    if geteuid().is_root() {
        other.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = other.spawn().unwrap();
    let socket_dir = checkout.options.data_dir.join("run");
    let left_behind =
        format!("{}\n{}\n1\n5432\n{}\n\n1 1\nready\n", other.id(), checkout.data().display(), socket_dir.display());
    fs::write(checkout.data().join("postmaster.pid"), &left_behind).unwrap();
    fs::write(socket_dir.join(".s.PGSQL.5432.lock"), &left_behind).unwrap();

    assert!(!embedded::status(&checkout.options).unwrap().running);
    assert_eq!(embedded::shut_down(&checkout.options).unwrap(), ShutDown::NotRunning);
    let server = embedded::start(&checkout.options);
    let survived = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(survived, "it was taken for the server");
    assert_eq!(sql(&server.unwrap().url(), "select 1"), "1");
}

#[test]
fn a_kept_server_stays_until_it_is_shut_down() {
    let checkout = Checkout::new();
    let asked = embedded::status(&checkout.options).unwrap();
    assert!(!asked.running && !asked.kept);
    assert!(!checkout.options.data_dir.exists(), "asking makes nothing");
    assert_eq!(embedded::shut_down(&checkout.options).unwrap(), ShutDown::NotRunning);
    assert!(!checkout.options.data_dir.exists(), "neither does stopping");

    let kept = embedded::keep(&checkout.options).unwrap();
    assert!(kept.running && kept.kept);
    assert_eq!(kept.url, asked.url);
    let user = checkout.start();
    assert!(!user.was_abandoned(), "somebody wants it to run");
    assert_eq!(user.stop().unwrap(), LeaveOutcome::Kept);
    assert_eq!(sql(&kept.url, "select 1"), "1");

    let user = checkout.start();
    let refused = embedded::shut_down(&checkout.options).unwrap_err();
    assert!(refused.to_string().contains("in use by other evenfold processes"), "{refused}");
    assert!(embedded::status(&checkout.options).unwrap().kept, "a refusal changes nothing");
    assert_eq!(user.stop().unwrap(), LeaveOutcome::Kept);

    assert_eq!(embedded::shut_down(&checkout.options).unwrap(), ShutDown::Stopped);
    assert_eq!(embedded::shut_down(&checkout.options).unwrap(), ShutDown::NotRunning);
    let status = embedded::status(&checkout.options).unwrap();
    assert!(!status.running && !status.kept);
}

#[test]
fn commits_are_durable_unless_nobody_asks_for_it() {
    let checkout = Checkout::new();
    let volatile = checkout.start();
    let settings = "select string_agg(setting, ',') from pg_settings \
        where name in ('fsync', 'full_page_writes', 'synchronous_commit')";
    assert_eq!(sql(&volatile.url(), settings), "off,off,off");

    let durable = checkout.options.clone().durable(true);
    let strict = embedded::start(&durable).unwrap();
    eventually("durability", || sql(&volatile.url(), settings) == "on,on,on");
    let lenient = checkout.start();
    assert_eq!(sql(&lenient.url(), settings), "on,on,on", "it is not switched back");
    drop((volatile, strict, lenient));

    let again = embedded::start(&Options::new("").data_dir(durable.data_dir));
    assert_eq!(sql(&again.unwrap().url(), settings), "on,on,on", "by default");
}
