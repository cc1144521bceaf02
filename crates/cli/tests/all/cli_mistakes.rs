//! What can't be meant is refused with code 2 and one sentence, before any database is looked for.

use crate::support::Evenfold;
use crate::support::cli::{CliOutput, finish};
use std::fs;

/// A mistake, and the phrase that says what is wrong or what to do.
struct Mistake {
    args: &'static str,
    variables: &'static [(&'static str, &'static str)],
    phrase: &'static str,
}

const fn flags(args: &'static str, phrase: &'static str) -> Mistake {
    Mistake { args, variables: &[], phrase }
}

const fn variables(variables: &'static [(&'static str, &'static str)], phrase: &'static str) -> Mistake {
    Mistake { args: "worker", variables, phrase }
}

const KEY: &str = "'--partition-key <KEY>': it must be a whole number from 0 to 65535";
const TOTAL: &str = "'--total-partitions <N>': it must be a whole number from 1 to 65536";

#[rustfmt::skip]
const MISTAKES: &[Mistake] = &[
    flags("", "give --partition-key (or PARTITION_KEY), from 0 to 3, and start one worker for each"),
    flags("worker --total-partitions=9", "from 0 to 8, and start one worker for each"),
    flags("--partition-key -1", KEY),
    flags("--partition-key=-1", KEY),
    flags("--partition-key=one", KEY),
    flags("--partition-key=1.5", KEY),
    flags("--partition-key=", KEY),
    flags("--partition-key", "a value is required for '--partition-key <KEY>'"),
    flags("--partition-key=99999999999999999999", KEY),
    flags("--partition-key=4", "of 4 partitions the keys are 0 to 3, and 4 is not among them: correct --partition-key"),
    flags("--partition-key=1 --total-partitions=1", "of 1 partitions the keys are 0 to 0"),
    flags("--partition-key=65536 --total-partitions=65536", KEY),
    flags("--partition-key=0 --partition-key=1", "cannot be used multiple times"),
    flags("--partition-key=0 --total-partitions=0", TOTAL),
    flags("--partition-key=0 --total-partitions=-4", TOTAL),
    flags("--partition-key=0 --total-partitions -4", TOTAL),
    flags("--partition-key=0 --total-partitions=65537", TOTAL),
    flags("--partition-key=0 --total-partitions=four", TOTAL),
    flags("--partition-key=0 --batch-size=0", "from 1 to 1000000"),
    flags("--partition-key=0 --batch-size -5", "from 1 to 1000000"),
    flags("--partition-key=0 --batch-size=100 --max-actors=199",
        "--max-actors must be at least twice --batch-size, or 40000 for large batches, and 199 is below 200"),
    flags("--partition-key=0 --batch-size=100000 --max-actors=39999", "and 39999 is below 40000"),
    flags("demo --batch-size=100 --max-actors=199", "--max-actors must be at least twice --batch-size"),
    flags("--partition-key=0 --poll-interval-ms=0", "from 1 to 3600000"),
    flags("--partition-key=0 --database-timeout-ms=999", "from 1000 to 3600000"),
    flags("--partition-key=0 --heartbeat-interval-ms=99", "from 100 to 2000"),
    flags("--partition-key=0 --takeover-after-ms=3600001", "from 100 to 3600000"),
    flags("--partition-key=0 --amount-pointer=amount", "is not a JSON pointer: start each part with a slash"),
    flags("--partition-key=0 --amount-pointer=/a~2", "write ~0 for ~ and ~1 for /"),
    flags("parked retry --all --amount-pointer=amount", "is not a JSON pointer"),
    flags("--partition-kee=0", "a similar argument exists: '--partition-key'"),
    flags("--nonsense", "unexpected argument '--nonsense'"),
    flags("nonsense", "unrecognized subcommand 'nonsense'"),
    flags("worker nonsense", "unexpected argument 'nonsense'"),
    flags("--log=loud counters", "loud is not a level; these are off, error, warn, info, debug, trace"),
    flags("counters --log=evenfold=loud", r#"expected one of "off", "error", "warn", "info", "debug", "trace""#),
    flags("counters --database-url=mysql://localhost/x", "not of the form postgres://user:password@host:5432/database"),
    flags("counters --database-url=postgres://localhost:port/x", "the port is no number from 1 to 65535"),
    flags("counters --database-url=postgres://localhost/x?sslmode=maybe", "sslmode is disable, allow, prefer"),
    flags("--partition-key=0 --database-url=localhost", "starts with neither postgres:// nor postgresql://"),
    flags("migrate --database-url=", "not of the form postgres://"),
    flags("--config=missing.toml counters", "can't read the settings file missing.toml"),
    flags("counters --config missing.toml", "correct --config or EVENFOLD_CONFIG"),
    flags("counters --config", "a value is required for '--config <FILE>'"),
    flags("counters --top=0", "from 1 to 1000000"),
    flags("counters an-id --top=3", "'[ID]' cannot be used with '--top <N>'"),
    flags("append --batch-size=10001", "from 1 to 10000"),
    flags("generate --events=0", "from 1 to 1000000000"),
    flags("generate --writers=65", "from 1 to 64"),
    flags("generate --rate=0", "from 1 to 10000000"),
    flags("generate", "append 1,000,000 sample events to the log in the database of the URL, which keeps them for ever: say --yes"),
    flags("generate --events=many", "(see evenfold generate --help)"),
    flags("--database-url=x parked drop", "(see evenfold parked drop --help)"),
    flags("parked nonsense", "(see evenfold parked --help)"),
    flags("nonsense", "(see evenfold --help)"),
    flags("--nonsense", "(see evenfold worker --help)"),
    flags("generate --seed=-1", "invalid value '-1' for '--seed <N>'"),
    flags("generate --aggregates=3 --writers=4", "--aggregates must be at least --writers, and 3 is below 4"),
    flags("pool --partitions=0..9", "and 4 is not among them: correct --partitions or --total-partitions"),
    flags("demo --events=many", "from 1 to 1000000000"),
    flags("bench", "[subcommands: catch-up"),
    flags("bench nonsense", "unrecognized subcommand 'nonsense'"),
    flags("bench catch-up --events=0", "from 1 to 1000000000"),
    flags("bench catch-up --runs=0", "from 1 to 1000"),
    flags("bench catch-up --workers=65", "from 1 to 64"),
    flags("bench catch-up --events=10 --aggregates=11", "--aggregates must be at most --events, and 11 is above 10"),
    flags("repair --start-over=others", "[possible values: counters]"),
    flags("repair --upgraded --start-over=counters", "cannot be used with"),
    flags("parked", "[subcommands: list, retry, drop"),
    flags("parked retry", "<TYPE>"),
    flags("parked retry only-a-type", "<ID>"),
    flags("parked drop only-a-type", "<ID>"),
    flags("db", "[subcommands: url, start, stop, reset"),
    flags("db nonsense", "unrecognized subcommand 'nonsense'"),
    variables(&[("PARTITION_KEY", "-1")], KEY),
    variables(&[("PARTITION_KEY", "")], KEY),
    variables(&[("PARTITION_KEY", "x")], KEY),
    variables(&[("PARTITION_KEY", "4")], "of 4 partitions the keys are 0 to 3"),
    variables(&[("PARTITION_KEY", "0"), ("TOTAL_PARTITIONS", "0")], TOTAL),
    variables(&[("PARTITION_KEY", "0"), ("TOTAL_PARTITIONS", "65537")], TOTAL),
    variables(&[("PARTITION_KEY", "0"), ("EVENFOLD_MAX_ACTORS", "39998")], "39998 is below 40000"),
    variables(&[("PARTITION_KEY", "0"), ("DATABASE_URL", "localhost:5432")], "not of the form postgres://"),
    variables(&[("PARTITION_KEY", "0"), ("RUST_LOG", "loud")], "(--log, RUST_LOG)"),
    variables(&[("PARTITION_KEY", "0"), ("EVENFOLD_CONFIG", "missing.toml")], "can't read the settings file missing.toml"),
];

/// Runs where a database that was looked for would not be found, and end in code 1.
fn run_mistake(mistake: &Mistake) -> CliOutput {
    let mut command = Evenfold::command(&mistake.args.split_whitespace().collect::<Vec<_>>());
    command.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none").envs(mistake.variables.iter().copied());
    finish(command)
}

#[test]
fn each_bad_flag_and_variable_is_one_sentence_and_code_2() {
    for mistake in MISTAKES {
        println!("{} {:?}", mistake.args, mistake.variables);
        run_mistake(mistake).complains(2, mistake.phrase);
    }
}

#[test]
fn the_limits_themselves_are_fine() {
    for args in [
        "--partition-key=65535 --total-partitions=65536",
        "--partition-key=0 --total-partitions=1",
        "--partition-key=3",
        "--partition-key=0 --batch-size=100 --max-actors=200",
        "--partition-key=0 --batch-size=1000000 --max-actors=40000",
        "--partition-key=0 --batch-size=1 --max-actors=2 --poll-interval-ms=1 --database-timeout-ms=1000",
        "--partition-key=0 --heartbeat-interval-ms=100 --takeover-after-ms=100 --amount-pointer=",
        "counters --top=1000000",
        "generate --yes --aggregates=4 --writers=4",
    ] {
        // So there is nothing left to complain about but the database.
        run_mistake(&flags(args, "")).complains(1, "no PostgreSQL answers at 127.0.0.1:1");
    }
}

#[test]
fn each_bad_file_is_one_sentence_and_code_2() {
    let toml = "evenfold.toml";
    #[rustfmt::skip]
    let cases: [(&str, &[u8], &str); 16] = [
        (toml, b"partition_kee = 1", "the key partition_kee, which is not a setting; these are: allowed_hosts, amount_pointer"),
        (toml, b"until_caught_up = true", "which is not a setting"),
        (toml, b"config = 'other.toml'", "which is not a setting"),
        (toml, b"[worker]\npartition_key = 1", "worker must be a text, a whole number, true or false"),
        (toml, b"partition_key = [1]", "partition_key must be a text, a whole number, true or false"),
        (toml, b"partition_key = 1\ntotal_partitions =", "evenfold.toml: line 2: "),
        (toml, b"this is no TOML", "evenfold.toml: line 1: "),
        (toml, b"partition_key = 1\npartition_key = 2", "evenfold.toml: line 2: duplicate key"),
        (toml, b"partition_key = -1", KEY),
        (toml, b"partition_key = 4", "of 4 partitions the keys are 0 to 3"),
        (toml, b"total_partitions = 0", TOTAL),
        (toml, b"total_partitions = 65537", TOTAL),
        (toml, b"partition_key = 0\nlog = 'loud'", "(--log, RUST_LOG)"),
        (toml, b"partition_key = '\xff'", "can't read the settings file evenfold.toml"),
        (".env", b"PARTITION_KEY", "the file .env can't be used: each line must be NAME=value"),
        (".env", b"DATABASE_URL=postgres://a:secret b@c", "with quotes around a value that has spaces"),
    ];
    for (name, contents, phrase) in cases {
        println!("{name}: {}", contents.escape_ascii());
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(directory.path().join(".env"), "").unwrap();
        fs::write(directory.path().join(name), contents).unwrap();
        let mut command = Evenfold::command(&["worker"]);
        command.current_dir(&directory).env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
        let output = finish(command);
        output.complains(2, phrase);
        assert!(!output.err.contains("secret"), "{output:?}");
    }
}

#[test]
fn a_settings_file_that_is_a_directory_is_refused() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let named = directory.path().to_str().unwrap();
    finish(Evenfold::command(&["counters", "--config", named])).complains(2, "Is a directory");
}
