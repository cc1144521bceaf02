//! Where the data and the socket are, and what may be wrong with that.

use super::*;

#[test]
fn two_checkouts_do_not_collide() {
    // Sockets in the directory, and, with the long name, in the temporary one.
    for name in ["pg".to_owned(), "deep".repeat(30)] {
        let (one, two) = (Checkout::named(&name), Checkout::named(&name));
        let (first, second) = (one.start(), two.start());
        sql(&first.url(), "create table mine ()");
        let missing = try_sql(&second.url(), "table mine").unwrap_err();
        assert!(missing.contains("does not exist"), "{missing}");
        let urls = [first.url(), second.url()];
        first.stop().unwrap();
        assert_eq!(sql(&second.url(), "select 1"), "1");
        drop(second);
        for url in urls {
            let _ = fs::remove_dir(url.split_once("?host=").unwrap().1);
        }
    }
}

#[test]
fn a_wrong_directory_and_wrong_binaries_are_reported_in_a_sentence() {
    let scratch = Checkout::new();
    let root = scratch.root.path();
    let with_bin = |name: &str| options(&root.join(format!("{name}-pg"))).bin_dir(Some(root.join(name)));

    scratch.start().stop().unwrap();
    let version = scratch.data().join("PG_VERSION");
    let installed = fs::read_to_string(&version).unwrap().trim().to_owned();
    fs::write(&version, "99\n").unwrap();
    fs::create_dir(root.join("foreign")).unwrap();
    fs::write(root.join("foreign/thesis.tex"), "").unwrap();
    fs::create_dir_all(root.join("cluster/base")).unwrap();
    fs::write(root.join("cluster/PG_VERSION"), "15\n").unwrap();
    fs::write(root.join("file"), "").unwrap();
    fs::create_dir(root.join("nothing")).unwrap();
    fs::create_dir(root.join("old")).unwrap();
    for program in ["initdb", "pg_ctl", "postgres"] {
        let script = root.join("old").join(program);
        fs::write(&script, "#!/bin/sh\necho 'postgres (PostgreSQL) 12.22'\n").unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    }

    fs::create_dir_all(root.join("anothers/data")).unwrap();
    let anothers = if geteuid().is_root() {
        "anothers/data belongs to user root, but the server would run as "
    } else {
        "anothers is not empty"
    };

    let newest = format!("are PostgreSQL {installed}: install PostgreSQL 99, or move the directory away");
    let cases: [(Options, &[&str]); 7] = [
        (options(&root.join("anothers")), &[anothers, "--data-dir"]),
        (scratch.options.clone(), &["made by PostgreSQL 99, but", &newest]),
        (options(&root.join("file/pg")), &["file/pg is not writable", "--data-dir"]),
        (options(&root.join("foreign")), &["foreign is not empty", "--data-dir"]),
        (options(&root.join("cluster")), &["cluster is not empty", "--data-dir"]),
        (with_bin("nothing"), &["no usable PostgreSQL binaries in", "/nothing", "EVENFOLD_PG_BIN"]),
        (with_bin("old"), &["PostgreSQL 12 in", "/old", "install PostgreSQL 13 or newer"]),
    ];
    for (options, expected) in cases {
        let sentence = embedded::start(&options).unwrap_err().to_string();
        for part in expected {
            assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
        }
        assert!(!sentence.contains('\n'), "{sentence}");
    }
    assert_eq!(fs::read_dir(root.join("foreign")).unwrap().count(), 1, "left as it was");
    fs::write(&version, format!("{installed}\n")).unwrap();
}

#[test]
fn a_directory_closed_for_writing_is_a_sentence() {
    if geteuid().is_root() {
        return; // root writes everywhere; the table above has a path that root can't make either
    }
    let scratch = Checkout::new();
    let closed = scratch.root.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
    for dir in [closed.clone(), closed.join("pg")] {
        let error = embedded::start(&options(&dir)).unwrap_err();
        assert!(matches!(error, EmbeddedError::NotWritable { .. }), "{error}");
    }
}

#[test]
fn a_directory_that_the_server_cannot_reach_is_replaced_and_named() {
    if !geteuid().is_root() {
        return; // an ordinary user drops to nobody; the mode bits are tested in the module
    }
    let checkout = Checkout::named("home/pg");
    let home = checkout.root.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();

    let server = checkout.start();
    assert!(server.relocated());
    let replaced = server.data_dir().to_owned();
    assert!(!replaced.starts_with(checkout.root.path()), "{}", replaced.display());
    assert!(!home.join("pg").exists());
    sql(&server.url(), "create table mine ()");
    assert_eq!(server.stop().unwrap(), LeaveOutcome::Stopped);

    // A database that is there is found even when the directory opens up.
    fs::set_permissions(&home, Permissions::from_mode(0o755)).unwrap();
    let status = embedded::status(&checkout.options).unwrap();
    assert_eq!((status.data_dir, status.relocated), (replaced.clone(), true));
    let server = checkout.start();
    assert_eq!(sql(&server.url(), "select count(*) from mine"), "0");
    assert_eq!(server.stop().unwrap(), LeaveOutcome::Stopped);
    fs::remove_dir_all(replaced).unwrap();
}

#[test]
fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let checkout = Checkout::named(&format!("{}/pg", "deep".repeat(30)));
    let server = checkout.start();
    let url = server.url();
    let (_, socket_dir) = url.split_once("?host=").unwrap();
    assert!(socket_dir.len() < 90, "{socket_dir}");
    assert_eq!(fs::metadata(socket_dir).unwrap().mode() & 0o777, 0o700);
    assert_eq!(sql(&url, "select 1"), "1");

    let status = embedded::status(&checkout.options).unwrap();
    assert_eq!((status.url, status.running), (url.clone(), true));
    server.stop().unwrap();
    fs::remove_dir(socket_dir).unwrap();
}

#[test]
fn a_path_may_hold_any_character() {
    let names = ["a b \"c\" 'd' $(e) `f` 100% g\\h&i?j#k+ü/pg", "a comma, which separates hosts in a URL/pg"];
    for name in names {
        let checkout = Checkout::named(name);
        let server = checkout.start();
        let url = server.url();
        assert_eq!(sql(&url, "select 1"), "1", "{url}");
        assert_eq!(server.stop().unwrap(), LeaveOutcome::Stopped);
        let _ = fs::remove_dir(url.split_once("?host=").unwrap().1);
    }
}

#[test]
fn nobody_else_reaches_the_data_or_the_socket() {
    let checkout = Checkout::new();
    let server = checkout.start();
    for dir in ["data", "run"] {
        let mode = fs::metadata(server.data_dir().join(dir)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "{dir}");
    }
    assert_eq!(sql(&server.url(), "show listen_addresses"), "");
}

#[test]
fn nobody_else_can_open_a_file_or_lock_it_or_replace_it_also_in_a_directory_of_an_older_version() {
    let checkout = Checkout::new();
    let dir = &checkout.options.data_dir;
    fs::create_dir(dir).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
    for lock in ["start.lock", "users.lock"] {
        fs::write(dir.join(lock), "").unwrap();
        fs::set_permissions(dir.join(lock), Permissions::from_mode(0o666)).unwrap();
    }
    let status = embedded::keep(&checkout.options).unwrap();
    assert!(status.running && !status.relocated);

    assert_eq!(fs::metadata(dir).unwrap().mode() & 0o022, 0, "others can't replace what is in it");
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
        seen.insert(entry.file_name().into_string().unwrap());
    }
    assert_eq!(seen, ["data", "keep", "log", "run", "start.lock", "users.lock"].map(str::to_owned).into());
}

#[test]
fn a_reset_removes_the_database_alone_and_the_next_start_makes_a_new_one() {
    let checkout = Checkout::new();
    let dir = &checkout.options.data_dir;
    assert_eq!(embedded::reset(&checkout.options).unwrap(), Reset::NothingThere);
    assert!(!dir.exists(), "nothing is made");

    let server = checkout.start();
    sql(&server.url(), "create table mine ()");
    let refused = embedded::reset(&checkout.options).unwrap_err();
    assert!(refused.to_string().contains("in use by other evenfold processes"), "{refused}");
    assert_eq!(sql(&server.url(), "select count(*) from mine"), "0", "a refusal changes nothing");
    server.stop().unwrap();

    // Also one that was kept running.
    fs::write(dir.join(".gitignore"), "*").unwrap();
    let pid = {
        embedded::keep(&checkout.options).unwrap();
        checkout.pid()
    };
    assert_eq!(embedded::reset(&checkout.options).unwrap(), Reset::Removed);
    eventually("the server's end", || !runs(pid));
    let left: BTreeSet<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left, [".gitignore", "run", "start.lock", "users.lock"].map(str::to_owned).into());
    assert_eq!(embedded::reset(&checkout.options).unwrap(), Reset::NothingThere);

    let server = checkout.start();
    assert!(try_sql(&server.url(), "table mine").unwrap_err().contains("does not exist"));
    assert_eq!(server.stop().unwrap(), LeaveOutcome::Stopped, "it is not kept any more");
}
