//! The units of `deploy/systemd`, by systemd's own checks.

use crate::programs::{judged, with_files};
use crate::support::Evenfold;
use crate::support::cli::finish;

const UNITS: [(&str, &str); 2] = [
    ("evenfold-worker@0.service", include_str!("../../../../deploy/systemd/evenfold-worker@.service")),
    ("evenfold-monitor.service", include_str!("../../../../deploy/systemd/evenfold-monitor.service")),
];

/// Where a unit expects the program.
const INSTALLED: &str = "/usr/local/bin/evenfold";

fn command_line(unit: &str) -> &str {
    unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap()
}

/// The verdict of systemd on a unit whose program is where the tests have it.
fn verified(name: &str, unit: &str, check: &[&str]) -> crate::programs::Verdict {
    let unit = unit.replace(INSTALLED, env!("CARGO_BIN_EXE_evenfold"));
    let directory = with_files(&[(name, &unit)]);
    judged("systemd-analyze", &[check, &[&format!("./{name}")]].concat(), directory.path())
}

#[test]
fn systemd_reads_the_units_without_a_complaint() {
    for (name, unit) in UNITS {
        let verdict = verified(name, unit, &["verify"]);
        assert!(verdict.accepted && !verdict.text.contains(name), "{}", verdict.text);
        let broken = unit.replace("ProtectSystem=strict", "ProtectSystem=strictly");
        assert!(verified(name, &broken, &["verify"]).text.contains("Failed to parse"));
    }
}

/// From 0, of which nothing is, to 10, without any protection.
#[test]
fn the_units_give_the_process_few_rights() {
    for (name, unit) in UNITS {
        let check = ["security", "--offline=true", "--no-pager", "--threshold=20"];
        let verdict = verified(name, unit, &check);
        assert!(verdict.accepted, "{}", verdict.text);
        let broken = unit.replace("CapabilityBoundingSet=\n", "");
        assert!(!verified(name, &broken, &check).accepted, "{name}");
    }
}

#[test]
fn the_command_lines_of_the_units_are_followed_as_far_as_the_database() {
    for (name, unit) in UNITS {
        let line = command_line(unit).strip_prefix(INSTALLED).unwrap().replace("%i", "0");
        let mut process = Evenfold::command(&line.split_whitespace().collect::<Vec<_>>());
        process.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none").env("EVENFOLD_HTTP", "127.0.0.1:0");
        finish(process).complains(1, "no PostgreSQL answers");
        assert!(unit.contains("\nEnvironmentFile=/etc/evenfold/evenfold.env\n"), "{name}");
    }
}
