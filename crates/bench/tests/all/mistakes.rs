//! What can't be measured is refused in one sentence, before anything is done.

use crate::support::Evenfold;
use crate::support::cli::finish;

const MISTAKES: [(&str, &str); 10] = [
    ("", "[subcommands: catch-up, latency, sql, sources, figures, append, fan-out"),
    ("nonsense", "unrecognized subcommand 'nonsense'"),
    ("fan-out --events=9999", "--aggregates must be at most --events, and 10000 is above 9999"),
    ("fan-out --processes=1,0", "from 1 to 64"),
    ("fan-out --batch-size=100 --max-actors=199", "and 199 is below 200"),
    ("latency --seconds=0", "from 1 to 3600"),
    ("counter --keys=90001", "from 1 to 90000"),
    ("counter --connections=0", "from 1 to 4000"),
    ("latency --max-actors=39999", "and 39999 is below 40000"),
    ("append --writers=65", "from 1 to 64"),
];

#[test]
fn each_bad_argument_is_one_sentence_and_code_2() {
    for (args, phrase) in MISTAKES {
        let mut command = Evenfold::command(&args.split_whitespace().collect::<Vec<_>>());
        command.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
        finish(command).complains(2, phrase);
    }
}
